//! ClusterPromotionTask: steps that Stages of all Projects share (`api` 4.7).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{Schema, SchemaGenerator};
use serde::Deserialize;

use crate::kind::{AGE, resource};
use crate::promotion_task::PromotionTaskSpec;

/// Steps that Stages of all Projects share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ClusterPromotionTask {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Variables and steps.
    #[serde(default)]
    pub spec: PromotionTaskSpec,
}

resource!(
    ClusterPromotionTask,
    "clusterpromotiontasks",
    ClusterResourceScope,
    &["clusterpromotask", "clusterpromotasks"],
    &[AGE],
    &["spec"],
    false,
    "Steps that Stages of all Projects share."
);
crate::kind::spec_only!(ClusterPromotionTask, PromotionTaskSpec);
