//! A Promotion as admission would make it, from the Stage and the Freight
//! (`promotions` 2.1). Pure: the Stage controller and tests call it, and the
//! Promotion controller completes with it what no webhook completed.

use api::{ExpressionVariable, Promotion, PromotionSpec, PromotionStep, Stage};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::inflation::{InflationError, TaskLookup, inflate};

/// Why there can be no Promotion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The Stage only passes Freight on.
    #[error("Stage {stage:?} in namespace {namespace:?} defines no promotion steps")]
    NoSteps {
        /// The Stage.
        stage: String,
        /// Its namespace.
        namespace: String,
    },
    /// A task that a step refers to cannot be used.
    #[error(
        "failed to inflate Promotion steps: inflate task steps for task {task:?} ({alias:?}): {error}"
    )]
    Inflation {
        /// The task's name.
        task: String,
        /// The referring step's alias.
        alias: String,
        /// What is wrong.
        error: InflationError,
    },
    /// The Stage or the Freight has no name to make the Promotion's of.
    #[error("a Promotion needs the name of a Stage and of a piece of Freight")]
    NoName,
}

/// The Promotion that brings the Freight named `freight` to `stage`, ready to
/// be created. Its name orders it after all earlier ones of the Stage.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    stage: &Stage,
    freight: &str,
    tasks: &dyn TaskLookup,
    now: Timestamp,
) -> Result<Promotion, BuildError> {
    let (vars, steps) = vars_and_steps(stage, tasks)?;
    let name = api::names::promotion(&stage.name_any(), freight, now);
    if name.is_empty() {
        return Err(BuildError::NoName);
    }
    let mut promotion = Promotion::new(
        &name,
        PromotionSpec {
            stage: stage.name_any(),
            freight: Some(freight.to_owned()),
            vars,
            steps,
            ..Default::default()
        },
    );
    promotion.metadata.namespace = stage.namespace();
    set_metadata(&mut promotion.metadata, stage);
    Ok(promotion)
}

/// What the Stage's template says a Promotion does: the Stage's variables
/// followed by the template's, and the steps with tasks inflated.
///
/// # Errors
/// See [`BuildError`].
pub fn vars_and_steps(
    stage: &Stage,
    tasks: &dyn TaskLookup,
) -> Result<(Vec<ExpressionVariable>, Vec<PromotionStep>), BuildError> {
    let template = stage.spec.promotion_template.as_ref().filter(|t| !t.spec.steps.is_empty());
    let template = template.ok_or_else(|| BuildError::NoSteps {
        stage: stage.name_any(),
        namespace: stage.namespace().unwrap_or_default(),
    })?;
    let vars: Vec<_> = stage.spec.vars.iter().chain(&template.spec.vars).cloned().collect();
    let steps = inflate(&template.spec.steps, &vars, tasks)
        .map_err(|(task, alias, error)| BuildError::Inflation { task, alias, error })?;
    Ok((vars, steps))
}

/// Sets the shard and Stage labels, the Stage annotation, and the Stage as
/// the owner unless a PromotionRequest is it.
pub fn set_metadata(metadata: &mut ObjectMeta, stage: &Stage) {
    let labels = metadata.labels.get_or_insert_default();
    if stage.spec.shard.is_empty() {
        labels.remove(api::labels::SHARD);
    } else {
        labels.insert(api::labels::SHARD.to_owned(), stage.spec.shard.clone());
    }
    let name = stage.name_any();
    labels.insert(api::labels::STAGE.to_owned(), api::labels::shorten(&name));
    metadata
        .annotations
        .get_or_insert_default()
        .insert(api::annotations::STAGE.to_owned(), name.clone());
    let is_request = |o: &OwnerReference| {
        o.controller == Some(true)
            && o.kind == "PromotionRequest"
            && o.api_version == Stage::api_version(&())
    };
    if !metadata.owner_references.iter().flatten().any(is_request) {
        metadata.owner_references = Some(vec![OwnerReference {
            api_version: Stage::api_version(&()).into_owned(),
            kind: Stage::kind(&()).into_owned(),
            name,
            uid: stage.uid().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]);
    }
}
