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
