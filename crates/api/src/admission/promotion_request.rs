//! What is refused in a PromotionRequest (`admission` 3.9).

use std::collections::BTreeSet;

use super::field_error::FieldError;
use crate::promotion_request::PromotionRequestSpec;
use crate::stage::Stage;

/// What is wrong with a PromotionRequest in `namespace`. `stage` is the one it
/// names, if that exists, and `targets` are those of the namespace. Whether
/// they still fit the Stage's selectors is not asked.
pub fn validate_promotion_request(
    spec: &PromotionRequestSpec,
    namespace: &str,
    stage: Option<&Stage>,
    targets: &BTreeSet<String>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |i: usize| format!("spec.targets[{i}].name");
    let mut seen = BTreeSet::new();
    for (i, target) in spec.targets.iter().enumerate() {
        if !seen.insert(&target.name) {
            errors.push(FieldError::duplicate(at(i), &*target.name));
        }
    }
    let name = &*spec.stage;
    let problem = match stage {
        None => Some(format!("Stage {name:?} not found in namespace {namespace:?}")),
        Some(stage) if stage.spec.targets.is_none() => Some(format!(
            "Stage {name:?} does not select Targets; it is promoted to with a Promotion rather \
             than a PromotionRequest"
        )),
        Some(_) => None,
    };
    errors.extend(problem.map(|p| FieldError::invalid("spec.stage", name, p)));
    for (i, target) in spec.targets.iter().enumerate() {
        if !targets.contains(&target.name) {
            let detail = format!("Target {:?} not found in namespace {namespace:?}", target.name);
            errors.push(FieldError::invalid(at(i), &*target.name, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion_request::NamedTarget;
    use crate::stage::StageTargets;

    #[test]
    fn targets_exist_and_stand_once() {
        let mut aware = Stage::new("s", Default::default());
        aware.spec.targets = Some(StageTargets::default());
        let classic = Stage::new("s", Default::default());
        let there: BTreeSet<String> = ["a".into(), "b".into()].into();
        type Case<'a> = (&'a str, Option<&'a Stage>, &'a [&'a str], Vec<&'a str>);
        let cases: Vec<Case<'_>> = vec![
            ("admission/A150", Some(&aware), &["a", "b", "a"], vec!["spec.targets[2].name"]),
            (
                "admission/A150",
                Some(&aware),
                &["a", "a", "a"],
                vec!["spec.targets[1].name", "spec.targets[2].name"],
            ),
            ("api/targets-E3", Some(&classic), &["a"], vec!["spec.stage"]),
            ("admission/A151", Some(&classic), &[], vec!["spec.stage"]),
            ("no Stage", None, &[], vec!["spec.stage"]),
            ("admission/A152", Some(&aware), &["a", "elsewhere"], vec!["spec.targets[1].name"]),
            ("admission/A153", Some(&aware), &[], vec![]),
            // Its selectors fit nothing.
            ("admission/A154", Some(&aware), &["a"], vec![]),
        ];
        for (case, stage, names, wanted) in cases {
            let spec = PromotionRequestSpec {
                stage: "s".into(),
                freight: "f".into(),
                targets: names.iter().map(|n| NamedTarget { name: (*n).into() }).collect(),
            };
            let errors = validate_promotion_request(&spec, "p", stage, &there);
            let fields: Vec<&str> = errors.iter().map(|e| &*e.field).collect();
            assert_eq!(fields, wanted, "{case}");
        }
    }
}
