//! PromotionRequest: Freight on its way to a Stage's Targets (`api` 4.8).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::enums::PromotionPhase;
use crate::kind::{AGE, resource, spec_and_status};

/// Freight on its way to a Stage's Targets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PromotionRequest {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What goes where.
    #[serde(default)]
    pub spec: PromotionRequestSpec,
    /// How far it got.
    #[serde(default)]
    pub status: Option<PromotionRequestStatus>,
}

resource!(
    PromotionRequest,
    "promotionrequests",
    NamespaceResourceScope,
    &["promotionrequest", "promotionrequests"],
    &[
        ("Stage", ".spec.stage", "string"),
        ("Freight", ".spec.freight", "string"),
        ("Phase", ".status.phase", "string"),
        AGE
    ],
    &["spec"],
    true,
    "Freight on its way to a Stage's Targets."
);
spec_and_status!(PromotionRequest, PromotionRequestSpec, PromotionRequestStatus);

/// What goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionRequestSpec {
    /// The Stage.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN,
        "x-kubernetes-validations" = [{"rule": "self == oldSelf"}]))]
    pub stage: String,
    /// The Freight.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN,
        "x-kubernetes-validations" = [{"rule": "self == oldSelf"}]))]
    pub freight: String,
    /// The Targets.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<NamedTarget>,
}

/// A Target by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedTarget {
    /// The name.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub name: String,
}

/// How far a PromotionRequest got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PromotionRequestStatus {
    /// Conditions by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// In a word.
    #[serde(skip_serializing_if = "PromotionPhase::is_empty")]
    pub phase: PromotionPhase,
    /// How far it got at each Target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<TargetStatusReference>,
    /// Counts by phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<PromotionRequestSummary>,
    /// The generation that was last dealt with.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub observed_generation: i64,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// How far a PromotionRequest got at a Target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatusReference {
    /// The Target.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// Its Promotion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub promotion: String,
    /// Where that is.
    #[serde(default, skip_serializing_if = "PromotionPhase::is_empty")]
    pub phase: PromotionPhase,
}

/// Counts of Promotions by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PromotionRequestSummary {
    /// Waiting.
    pub pending: i32,
    /// Running.
    pub running: i32,
    /// Succeeded.
    pub succeeded: i32,
    /// Failed.
    pub failed: i32,
    /// Errored.
    pub errored: i32,
    /// Aborted.
    pub aborted: i32,
}
