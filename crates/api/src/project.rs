//! Project: the unit of tenancy, which owns the namespace of its name
//! (`api` 4.1).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{AGE, READY, STATUS, resource, spec_and_status};
use crate::project_config::PromotionPolicy;

/// The unit of tenancy: without one nothing promotes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What older manifests have here.
    #[serde(default)]
    pub spec: ProjectSpec,
    /// What the controller found.
    #[serde(default)]
    pub status: Option<ProjectStatus>,
}

resource!(
    Project,
    "projects",
    ClusterResourceScope,
    &[],
    &[READY, STATUS, AGE],
    &[],
    true,
    "The unit of tenancy. It owns the namespace of its name; without one nothing promotes."
);
spec_and_status!(Project, ProjectSpec, ProjectStatus);

/// What older manifests have in a Project. It is honoured as if it stood in
/// the ProjectConfig, where it belongs today.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectSpec {
    /// Which Stages promote by themselves. Belongs in the ProjectConfig.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promotion_policies: Vec<PromotionPolicy>,
}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectStatus {
    /// Conditions by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How many Warehouses and Stages there are, and how many are healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<ProjectStats>,
}

/// Counts of what a Project holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProjectStats {
    /// Of Warehouses.
    pub warehouses: KindStats,
    /// Of Stages.
    pub stages: KindStats,
}

/// Counts of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KindStats {
    /// How many there are.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub count: i64,
    /// How they are.
    pub health: HealthStats,
}

/// Counts by health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealthStats {
    /// How many are healthy.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub healthy: i64,
}
