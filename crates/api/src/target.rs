//! Target: one of the places that a Stage fans out to (`api` 4.8).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{AGE, resource, spec_and_status};

/// One of the places that a Stage fans out to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Target {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What expressions see of it.
    #[serde(default)]
    pub spec: TargetSpec,
    /// Nothing yet.
    #[serde(default)]
    pub status: Option<TargetStatus>,
}

resource!(
    Target,
    "targets",
    NamespaceResourceScope,
    &[],
    &[AGE],
    &[],
    true,
    "One of the places that a Stage fans out to."
);
spec_and_status!(Target, TargetSpec, TargetStatus);

/// What expressions see of a Target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TargetSpec {
    /// As `target.params`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::opaque_map")]
    pub params: BTreeMap<String, Value>,
}

/// Nothing yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatus {}
