//! Aliases of steps (`admission` 2.2), for templates and tasks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::field_error::FieldError;
use crate::promotion_task::PromotionTaskSpec;
use crate::step::PromotionStep;

static RESERVED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^(step|task)-[0-9]+$").ok());

/// Whether an alias is one that steps without an alias get.
pub fn reserved_alias(alias: &str) -> bool {
    RESERVED.as_ref().is_some_and(|r| r.is_match(alias.trim()))
}

/// What is wrong with the aliases of the steps at `path`: each must be the
/// only one of its name, and none may look like one that is made up.
pub fn validate_aliases(path: &str, steps: &[PromotionStep]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        let alias = step.alias.trim();
        if alias.is_empty() {
            continue;
        }
        let field = format!("{path}[{i}].as");
        match first.get(alias) {
            Some(k) => errors.push(FieldError::invalid(
                &*field,
                alias,
                format!("step alias duplicates that of {path}[{k}]"),
            )),
            None => {
                first.insert(alias, i);
            }
        }
        if reserved_alias(alias) {
            errors.push(FieldError::invalid(field, alias, "step alias is reserved"));
        }
    }
    errors
}

/// What of the steps' retries at `path` cannot be read. The schema lets it
/// through (`api` 3.4); upstream stumbles over it when it reads the object.
pub(super) fn validate_retries(path: &str, steps: &[PromotionStep]) -> Vec<FieldError> {
    let problems = steps.iter().enumerate().filter_map(|(i, step)| {
        let (field, value, detail) = step.retry.as_ref()?.problem()?;
        Some(FieldError::invalid(format!("{path}[{i}].retry.{field}"), value.clone(), detail))
    });
    problems.collect()
}

/// What is wrong with a task, of either kind.
pub fn validate_task(spec: &PromotionTaskSpec) -> Vec<FieldError> {
    let mut errors = validate_aliases("spec.steps", &spec.steps);
    errors.extend(validate_retries("spec.steps", &spec.steps));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(aliases: &[&str]) -> Vec<String> {
        let steps = aliases
            .iter()
            .map(|a| PromotionStep { alias: (*a).into(), ..Default::default() })
            .collect();
        validate_task(&PromotionTaskSpec { steps, ..Default::default() })
            .iter()
            .map(|e| format!("{} {}", e.field, e.detail))
            .collect()
    }

    #[test]
    fn retries_can_be_read() {
        let spec = serde_json::json!({"steps": [
            {"uses": "a", "retry": {"timeout": "1m"}}, {"uses": "b", "retry": {"timeout": "1d"}}
        ]});
        let errors = validate_task(&serde_json::from_value(spec).unwrap());
        assert_eq!(errors.len(), 1);
        assert_eq!(
            errors[0].to_string(),
            "spec.steps[1].retry.timeout: Invalid value: \"1d\": must be a duration, for example \
             30s, 5m or 1h30m"
        );
    }

    #[test]
    fn aliases_are_unique_and_not_made_up() {
        let duplicate =
            |i| format!("spec.steps[{i}].as step alias duplicates that of spec.steps[0]");
        let reserved = |i| format!("spec.steps[{i}].as step alias is reserved");
        let cases: Vec<(&str, &[&str], Vec<String>)> = vec![
            ("admission/A64", &["a", "b", "a"], vec![duplicate(2)]),
            ("api/inflation-X5", &["step-1"], vec![reserved(0)]),
            ("admission/A65", &["step-1", "task-3"], vec![reserved(0), reserved(1)]),
            ("admission/A65", &["step-x", "my-step-1"], vec![]),
            ("admission/A66", &[" a ", "a"], vec![duplicate(1)]),
            ("both at once", &["step-1", "step-1"], vec![reserved(0), duplicate(1), reserved(1)]),
            ("none", &["", " ", ""], vec![]),
        ];
        for (case, aliases, wanted) in cases {
            assert_eq!(errors(aliases), wanted, "{case}");
        }
    }
}
