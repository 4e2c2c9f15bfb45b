//! Stage: what is wanted where, and what is there (`api` 4.5).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifacts::{FreightCollection, FreightOrigin, FreightReference};
use crate::duration::GoDuration;
use crate::enums::PromotionPhase;
use crate::health::Health;
use crate::kind::{AGE, READY, STATUS, resource, spec_and_status};
use crate::promotion::PromotionStatus;
use crate::step::{ExpressionVariable, PromotionStep};

/// A place that Freight is promoted to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: StageSpec,
    /// What is there.
    #[serde(default)]
    pub status: Option<StageStatus>,
}

resource!(
    Stage,
    "stages",
    NamespaceResourceScope,
    &[],
    &[
        ("Shard", ".spec.shard", "string"),
        ("Current Freight", ".status.freightSummary", "string"),
        ("Health", ".status.health.status", "string"),
        READY,
        STATUS,
        AGE
    ],
    &["spec"],
    true,
    "A place that Freight is promoted to, and how."
);
spec_and_status!(Stage, StageSpec, StageStatus);

/// What is wanted, and how it gets there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageSpec {
    /// The shard that serves it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shard: String,
    /// Variables of all its steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<ExpressionVariable>,
    /// Which Freight it wants.
    #[serde(default)]
    #[schemars(extend("x-required" = true, "minItems" = 1))]
    pub requested_freight: Vec<FreightRequest>,
    /// How Freight gets there; without steps the Stage only controls the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_template: Option<PromotionTemplate>,
    /// How it is told whether Freight is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// The Targets that it fans out to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<StageTargets>,
}

/// Freight of an origin, and where it may come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreightRequest {
    /// What it comes from.
    pub origin: FreightOrigin,
    /// Where it may come from.
    pub sources: FreightSources,
}

/// Where Freight may come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FreightSources {
    /// Straight from the Warehouse.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// From these Stages, once it is verified there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// How long it must have been in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::schema::DURATION))]
    pub required_soak_time: Option<GoDuration>,
    /// Whether all of the Stages or one of them must have verified it: `All`,
    /// `OneOf`; empty is `OneOf`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["All", "OneOf", ""]))]
    pub availability_strategy: String,
    /// Which of the available Freight is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_promotion_options: Option<AutoPromotionOptions>,
}

/// Which of the available Freight is promoted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AutoPromotionOptions {
    /// `NewestFreight`, or `MatchUpstream`; empty is the former.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["NewestFreight", "MatchUpstream"]))]
    pub selection_policy: String,
}

/// How Freight gets to a Stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionTemplate {
    /// What Promotions are made from.
    pub spec: PromotionTemplateSpec,
}

/// What Promotions are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PromotionTemplateSpec {
    /// Variables of all steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<ExpressionVariable>,
    /// The steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("minItems" = 1, "x-step-rules" = "template"))]
    pub steps: Vec<PromotionStep>,
}

/// How it is told whether Freight is good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Verification {
    /// What the AnalysisRun is made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub analysis_templates: Vec<AnalysisTemplateReference>,
    /// What else it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
    /// Its arguments; may hold expressions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<AnalysisRunArgument>,
}

/// An AnalysisTemplate by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnalysisTemplateReference {
    /// The name.
    pub name: String,
    /// `AnalysisTemplate`, or `ClusterAnalysisTemplate`; empty is the former.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["AnalysisTemplate", "ClusterAnalysisTemplate"]))]
    pub kind: String,
}

/// What an AnalysisRun carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AnalysisRunMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An argument of an AnalysisRun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnalysisRunArgument {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The Targets that a Stage fans out to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTargets {
    /// Those that fit any of these; an empty list is none.
    #[schemars(schema_with = "crate::selector_schema::selectors")]
    pub selectors: Vec<LabelSelector>,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StageStatus {
    /// Conditions by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The refresh token that was last dealt with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_refresh: String,
    /// What the Stage has and had, newest first, ten at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freight_history: Vec<FreightCollection>,
    /// What the Stage has, in a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub freight_summary: String,
    /// How well it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The generation that was last dealt with whole.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub observed_generation: i64,
    /// The Promotion that may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_promotion: Option<PromotionReference>,
    /// The Promotion that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promotion: Option<PromotionReference>,
    /// Never written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_promotion_request: Option<PromotionRequestReference>,
    /// Never written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promotion_request: Option<PromotionRequestReference>,
    /// Whether new Freight is promoted by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_promotion_enabled: bool,
    /// Never written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_window_status: Option<PromotionWindowStatus>,
    /// Anything that steps keep about the Stage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::opaque_map")]
    pub metadata: BTreeMap<String, Value>,
    /// Origins whose new Freight is not promoted by itself, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub auto_promotion_holds: BTreeMap<String, AutoPromotionHold>,
    /// Those holds that have an effect.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub effective_auto_promotion_holds: BTreeMap<String, AutoPromotionHold>,
}

/// A Promotion, and how it stood when it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionReference {
    /// Its name.
    pub name: String,
    /// What it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freight: Option<FreightReference>,
    /// How it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PromotionStatus>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// A PromotionRequest, and how it stood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionRequestReference {
    /// Its name.
    pub name: String,
    /// What it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freight: Option<NamedFreight>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "PromotionPhase::is_empty")]
    pub phase: PromotionPhase,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Freight by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedFreight {
    /// The name.
    pub name: String,
}

/// Whether the Stage may promote now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionWindowStatus {
    /// Whether it may not.
    pub closed: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it may again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_open: Option<Time>,
    /// Until when it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_close: Option<Time>,
    /// Why not after that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next_close_reason: String,
}

/// Why new Freight of an origin is not promoted by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoPromotionHold {
    /// The Freight that was promoted by hand.
    pub freight_name: String,
    /// Its origin.
    pub origin: FreightOrigin,
    /// The Promotion by which that was done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub promotion_name: String,
    /// Who did it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// When the Promotion was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}
