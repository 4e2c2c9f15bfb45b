//! PromotionTask: steps that Stages of a Project share (`api` 4.7).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::kind::{AGE, resource};
use crate::step::{ExpressionVariable, PromotionStep};

/// Steps that Stages of a Project share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PromotionTask {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Variables and steps.
    #[serde(default)]
    pub spec: PromotionTaskSpec,
}

resource!(
    PromotionTask,
    "promotiontasks",
    NamespaceResourceScope,
    &["promotask", "promotasks"],
    &[AGE],
    &["spec"],
    false,
    "Steps that Stages of a Project share."
);
crate::kind::spec_only!(PromotionTask, PromotionTaskSpec);

/// Variables and steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionTaskSpec {
    /// Variables; one without a value must be set where the task is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<ExpressionVariable>,
    /// The steps.
    #[serde(default)]
    #[schemars(extend("x-required" = true, "minItems" = 1, "x-step-rules" = "task"))]
    pub steps: Vec<PromotionStep>,
}
