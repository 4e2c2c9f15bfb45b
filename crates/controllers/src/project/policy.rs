//! Pure: whether a Stage is promoted to by itself (`stages` 16.1), and the
//! legacy block of a Project.
//!
//! Old manifests carry `spec.promotionPolicies` on the Project. It is honoured
//! as if it stood at the end of the ProjectConfig's list, so a ProjectConfig's
//! policy for the same Stage wins; a condition and a warning Event say where
//! the block belongs today.

use api::{Project, ProjectConfig, PromotionPolicy, Stage};
use kube::ResourceExt;

use crate::context::Stores;
use crate::stage::auto_promotion::Switch;
use crate::store::Key;

/// Whether `stage` is promoted to by itself, from the stores.
///
/// # Errors
/// A policy whose pattern or selector does not parse, in the reference's words.
pub fn switch(stores: &Stores, stage: &Stage) -> Result<Switch, String> {
    let namespace = stage.namespace().unwrap_or_default();
    let project = stores.projects.get(&Key::cluster(&namespace));
    let config = stores.project_configs.get(&Key::new(&namespace, &namespace));
    decide(project.as_deref(), config.as_deref(), stage)
}

/// Whether `stage` is promoted to by itself: the first policy that matches
/// decides, those of the ProjectConfig first.
///
/// # Errors
/// A policy whose pattern or selector does not parse, in the reference's words.
pub fn decide(
    project: Option<&Project>,
    config: Option<&ProjectConfig>,
    stage: &Stage,
) -> Result<Switch, String> {
    let Some(project) = project else { return Ok(Switch::NoProject) };
    let of_config = config.map(|c| c.spec.promotion_policies.as_slice()).unwrap_or_default();
    for policies in [of_config, legacy(project)] {
        if let Some(enabled) =
            api::policy::first_match(policies, stage).map_err(|e| e.to_string())?
        {
            return Ok(if enabled { Switch::On } else { Switch::Off });
        }
    }
    Ok(Switch::NoPolicy { config: config.is_some() })
}

/// The Project's legacy policies.
pub fn legacy(project: &Project) -> &[PromotionPolicy] {
    &project.spec.promotion_policies
}

/// What to say about a Project's legacy policies; none if it has none. The
/// text is a manifest's worth: where they belong and what is to be written.
pub fn legacy_notice(project: &Project) -> Option<String> {
    let policies = legacy(project);
    if policies.is_empty() {
        return None;
    }
    let name = project.name_any();
    let stages: Vec<String> = policies
        .iter()
        .map(|p| match &p.stage_selector {
            Some(selector) if selector.name.is_empty() => "a label selector".to_owned(),
            Some(selector) => selector.name.clone(),
            None => p.stage.clone(),
        })
        .collect();
    Some(format!(
        "spec.promotionPolicies of a Project is deprecated: the policies for {} are honoured, but they belong into spec.promotionPolicies of a ProjectConfig named {name:?} in namespace {name:?}, where each wins over the one here; move them there and remove spec from the Project",
        stages.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn project(policies: Value) -> Project {
        serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"promotionPolicies": policies}}),
        )
        .expect("a Project")
    }

    fn config(policies: Value) -> ProjectConfig {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "p"}, "spec": {"promotionPolicies": policies},
        }))
        .expect("a ProjectConfig")
    }

    fn stage() -> Stage {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "p", "labels": {"a": "b"}},
            "spec": {"requestedFreight": []},
        }))
        .expect("a Stage")
    }

    #[test]
    fn the_first_policy_that_matches_decides() {
        let case = "stages/22.8-8";
        let on = |mut p: Value| {
            p["autoPromotionEnabled"] = json!(true);
            p
        };
        let by_name = json!({"stageSelector": {"name": "s"}});
        for (policies, expected) in [
            (json!([]), Switch::NoPolicy { config: true }),
            (json!([on(json!({"stage": "other"}))]), Switch::NoPolicy { config: true }),
            (json!([on(json!({"stage": "s"}))]), Switch::On),
            (json!([on(by_name.clone())]), Switch::On),
            (json!([on(json!({"stageSelector": {"matchLabels": {"a": "b"}}}))]), Switch::On),
            (json!([on(by_name.clone()), by_name.clone()]), Switch::On),
            (json!([by_name.clone(), on(by_name)]), Switch::Off),
        ] {
            let found =
                decide(Some(&project(json!([]))), Some(&config(policies.clone())), &stage());
            assert_eq!(found, Ok(expected), "{case} {policies}");
        }
        let plain = project(json!([]));
        let none = decide(Some(&plain), None, &stage());
        assert_eq!(none, Ok(Switch::NoPolicy { config: false }), "{case}");
        for pattern in ["regex:(", "glob:["] {
            let bad = config(json!([on(json!({"stageSelector": {"name": pattern}}))]));
            assert!(decide(Some(&plain), Some(&bad), &stage()).is_err(), "{case} {pattern}");
        }
    }

    #[test]
    fn the_legacy_block_counts_after_the_config() {
        let legacy = project(json!([{"stage": "s", "autoPromotionEnabled": true}]));
        assert_eq!(decide(Some(&legacy), None, &stage()), Ok(Switch::On));
        let no = config(json!([{"stage": "s"}]));
        assert_eq!(decide(Some(&legacy), Some(&no), &stage()), Ok(Switch::Off));
        let other = config(json!([{"stage": "t"}]));
        assert_eq!(decide(Some(&legacy), Some(&other), &stage()), Ok(Switch::On));
        assert_eq!(decide(None, Some(&no), &stage()), Ok(Switch::NoProject));
        assert!(legacy_notice(&legacy).is_some_and(|n| n.contains("the policies for s are")));
        assert_eq!(legacy_notice(&project(json!([]))), None);
    }
}
