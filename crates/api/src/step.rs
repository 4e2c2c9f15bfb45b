//! Steps as templates, tasks and Promotions hold them (`api` 3.3, 3.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::retry::PromotionStepRetry;

/// A variable and its value, which may hold expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpressionVariable {
    /// The name.
    #[schemars(extend("minLength" = 1, "pattern" = r"^[a-zA-Z_]\w*$"))]
    pub name: String,
    /// The value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// A step, or a reference to a task whose steps stand in its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PromotionStep {
    /// The kind of step.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("minLength" = 1))]
    pub uses: String,
    /// The task whose steps are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<PromotionTaskReference>,
    /// The alias by which later steps see its output.
    #[serde(rename = "as", skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// An expression that says whether it runs.
    #[serde(rename = "if", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Whether later steps run and the Promotion may succeed though it does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<PromotionStepRetry>,
    /// Variables that its config may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<ExpressionVariable>,
    /// What the kind of step wants to know; may hold expressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub config: Option<Value>,
}

/// A task by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionTaskReference {
    /// The name.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// `PromotionTask`, or `ClusterPromotionTask`; empty is the former.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["PromotionTask", "ClusterPromotionTask"]))]
    pub kind: String,
}
