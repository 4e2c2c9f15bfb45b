//! What is refused in a Stage (`admission` 3.5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::field_error::FieldError;
use super::steps::{validate_aliases, validate_retries};
use crate::stage::StageSpec;

const STEPS: &str = "spec.promotionTemplate.spec.steps";

/// What is wrong with a Stage's spec. Whether the Warehouses, Stages and tasks
/// exist that it names is not asked.
pub fn validate_stage(spec: &StageSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeMap::new();
    let mut reported = BTreeSet::new();
    for request in &spec.requested_freight {
        if seen.insert(&request.origin, ()).is_some() && reported.insert(&request.origin) {
            errors.push(FieldError::invalid(
                "spec.requestedFreight",
                Value::Null,
                format!(
                    "freight with origin {} requested multiple times in spec.requestedFreight",
                    request.origin
                ),
            ));
        }
    }
    for (i, request) in spec.requested_freight.iter().enumerate() {
        if !request.matches_upstream() {
            continue;
        }
        let field =
            format!("spec.requestedFreight[{i}].sources.autoPromotionOptions.selectionPolicy");
        if request.sources.direct {
            errors.push(FieldError::invalid(
                &*field,
                "MatchUpstream",
                "selection policy 'MatchUpstream' cannot be used when accepting Freight directly \
                 from its origin",
            ));
        }
        if request.sources.stages.len() != 1 {
            errors.push(FieldError::invalid(
                field,
                "MatchUpstream",
                "selection policy 'MatchUpstream' requires exactly one upstream Stage to be \
                 specified",
            ));
        }
    }
    if let Some(template) = &spec.promotion_template {
        errors.extend(validate_aliases(STEPS, &template.spec.steps));
        errors.extend(validate_retries(STEPS, &template.spec.steps));
        for (i, step) in template.spec.steps.iter().enumerate() {
            if step.task.is_none() {
                continue;
            }
            if !step.condition.is_empty() {
                errors.push(FieldError::forbidden(
                    format!("{STEPS}[{i}].if"),
                    "PromotionTemplate step referencing a task cannot have an 'if' condition",
                ));
            }
            if step.config.is_some() {
                errors.push(FieldError::forbidden(
                    format!("{STEPS}[{i}].config"),
                    "PromotionTemplate step referencing a task cannot have a config",
                ));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(spec: Value) -> Vec<String> {
        let spec: StageSpec = serde_json::from_value(spec).unwrap();
        validate_stage(&spec).into_iter().map(|e| e.field).collect()
    }

    fn requests(sources: &[Value]) -> Value {
        let all: Vec<Value> = sources
            .iter()
            .map(|s| json!({"origin": {"kind": "Warehouse", "name": "w"}, "sources": s}))
            .collect();
        json!({"requestedFreight": all})
    }

    #[test]
    fn origins_are_asked_for_once_and_matched_from_one_stage() {
        let policy = "spec.requestedFreight[0].sources.autoPromotionOptions.selectionPolicy";
        let matching = |direct: bool, stages: &[&str]| {
            requests(&[json!({
                "direct": direct, "stages": stages,
                "autoPromotionOptions": {"selectionPolicy": "MatchUpstream"},
            })])
        };
        let direct = json!({"direct": true});
        let cases: Vec<(&str, Value, Vec<&str>)> = vec![
            (
                "admission/A60",
                requests(&[direct.clone(), direct.clone(), direct]),
                vec!["spec.requestedFreight"],
            ),
            ("admission/A61", matching(true, &[]), vec![policy, policy]),
            ("admission/A62", matching(false, &["u"]), vec![]),
            ("admission/A63", matching(false, &["u", "v"]), vec![policy]),
        ];
        for (case, spec, wanted) in cases {
            assert_eq!(fields(spec), wanted, "{case}");
        }
    }

    #[test]
    fn a_step_that_names_a_task_has_nothing_of_its_own() {
        let template = |step: Value| json!({"requestedFreight": [], "promotionTemplate": {"spec": {"steps": [step]}}});
        let task = json!({"task": {"name": "t"}, "if": "${{ true }}", "config": {}});
        assert_eq!(
            fields(template(task)),
            [format!("{STEPS}[0].if"), format!("{STEPS}[0].config")],
            "admission/A67"
        );
        let plain = json!({"uses": "fail", "if": "${{ true }}", "config": {}});
        assert!(fields(template(plain)).is_empty(), "admission/A68");
    }
}
