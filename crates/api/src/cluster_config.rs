//! ClusterConfig: what holds for all Projects (`api` 4.2). There is one, and
//! its name is `cluster`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{AGE, READY, STATUS, resource, spec_and_status};
use crate::project_config::{
    Link, LocalSecretReference, PromotionWindow, WebhookReceiverConfig, WebhookReceiverDetails,
};

/// What holds for all Projects.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConfig {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ClusterConfigSpec,
    /// What the controller found.
    #[serde(default)]
    pub status: Option<ClusterConfigStatus>,
}

resource!(
    ClusterConfig,
    "clusterconfigs",
    ClusterResourceScope,
    &["clusterconfig", "clusterconfigs"],
    &[READY, STATUS, AGE],
    &[],
    true,
    "What holds for all Projects. There is one, named cluster."
);
spec_and_status!(ClusterConfig, ClusterConfigSpec, ClusterConfigStatus);

/// What a ClusterConfig sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterConfigSpec {
    /// Who commits are made as, where a step does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_client: Option<GitClientConfig>,
    /// Webhooks that wake Warehouses of any Project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook_receivers: Vec<WebhookReceiverConfig>,
    /// Links that user interfaces show at Freight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freight_links: Vec<Link>,
    /// Links that user interfaces show at Stages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stage_links: Vec<Link>,
    /// When Stages may promote. Kept, not acted on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub promotion_windows: Vec<PromotionWindow>,
}

/// Who commits are made as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitClientConfig {
    /// The name.
    #[schemars(extend("minLength" = 1))]
    pub name: String,
    /// The e-mail address.
    #[schemars(extend("minLength" = 1, "format" = "email"))]
    pub email: String,
    /// The Secret with the key that commits are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_secret: Option<LocalSecretReference>,
}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterConfigStatus {
    /// Conditions by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The generation that was last dealt with whole.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub observed_generation: i64,
    /// The refresh token that was last dealt with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_refresh: String,
    /// Where webhooks are received.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook_receivers: Vec<WebhookReceiverDetails>,
}
