//! Promotion: Freight on its way to a Stage (`api` 4.6).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::artifacts::{FreightCollection, FreightOrigin, FreightReference};
use crate::enums::{PromotionPhase, PromotionStepStatus};
use crate::health::HealthCheckStep;
use crate::kind::{AGE, resource, spec_and_status};
use crate::step::{ExpressionVariable, PromotionStep};

/// Freight on its way to a Stage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What goes where, and how.
    #[serde(default)]
    pub spec: PromotionSpec,
    /// How far it got.
    #[serde(default)]
    pub status: Option<PromotionStatus>,
}

resource!(
    Promotion,
    "promotions",
    NamespaceResourceScope,
    &["promo", "promos"],
    &[
        ("Shard", r".metadata.labels.kargo\.akuity\.io/shard", "string"),
        ("Stage", ".spec.stage", "string"),
        ("Freight", ".spec.freight", "string"),
        ("Phase", ".status.phase", "string"),
        AGE
    ],
    &["spec"],
    true,
    "Freight on its way to a Stage."
);
spec_and_status!(Promotion, PromotionSpec, PromotionStatus);

/// What goes where, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "exactly one of freight or origin must be set",
    "rule": "has(self.freight) != has(self.origin)"
}]))]
pub struct PromotionSpec {
    /// The Stage, in the same namespace.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub stage: String,
    /// The Freight, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub freight: Option<String>,
    /// Instead of Freight: the newest that is available from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<FreightOrigin>,
    /// The Target, for Promotions of a PromotionRequest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub target: String,
    /// Variables of all steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<ExpressionVariable>,
    /// The steps.
    #[serde(default)]
    #[schemars(extend("x-required" = true, "minItems" = 1, "x-step-rules" = "promotion"))]
    pub steps: Vec<PromotionStep>,
}

/// How far a Promotion got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PromotionStatus {
    /// The refresh token that was last dealt with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_refresh: String,
    /// In a word.
    #[serde(skip_serializing_if = "PromotionPhase::is_empty")]
    pub phase: PromotionPhase,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freight: Option<FreightReference>,
    /// What the Stage has once it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freight_collection: Option<FreightCollection>,
    /// Checks that its steps leave to the Stage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheckStep>,
    /// When its steps began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The step that it is in, from 0.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub current_step: i64,
    /// The steps so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_execution_metadata: Vec<StepExecutionMetadata>,
    /// Outputs by alias.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object_or_nothing")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub state: Option<Map<String, Value>>,
}

/// What is not an object reads as nothing, never as an error (`api` 1.5).
fn object_or_nothing<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Map<String, Value>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(map) => Some(map),
        _ => None,
    })
}

/// How a step went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StepExecutionMetadata {
    /// Its alias.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// When it first began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How often it failed so far.
    #[serde(skip_serializing_if = "crate::schema::is_zero_u32")]
    #[schemars(extend("format" = "int32"))]
    pub error_count: u32,
    /// In a word.
    #[serde(skip_serializing_if = "PromotionStepStatus::is_empty")]
    pub status: PromotionStepStatus,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether the Promotion may succeed though it does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
}
