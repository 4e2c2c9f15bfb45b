//! Freight: artifacts that go through the Stages together (`api` 4.4). Its
//! fields stand at the root, not under `spec`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::artifacts::{
    ArtifactReference, Chart, FreightOrigin, FreightReference, GitCommit, Image,
};
use crate::duration::GoDuration;
use crate::kind::{AGE, resource};

/// Artifacts that go through the Stages together. Its name is its ID.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Freight {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// A name for people.
    pub alias: String,
    /// When it was discovered.
    #[serde(deserialize_with = "crate::schema::lenient")]
    pub discovered_at: Option<Time>,
    /// What it comes from.
    pub origin: FreightOrigin,
    /// Commits.
    pub commits: Vec<GitCommit>,
    /// Images.
    pub images: Vec<Image>,
    /// Charts.
    pub charts: Vec<Chart>,
    /// Other artifacts.
    pub artifacts: Vec<ArtifactReference>,
    /// Where it is and was.
    pub status: Option<FreightStatus>,
}

resource!(
    Freight,
    "freights",
    NamespaceResourceScope,
    &[],
    &[
        ("Alias", r".metadata.labels.kargo\.akuity\.io/alias", "string"),
        ("Origin (Kind)", ".origin.kind", "string"),
        ("Origin (Name)", ".origin.name", "string"),
        AGE
    ],
    &["origin"],
    true,
    "Artifacts that go through the Stages together. Its name is its ID."
);

impl Freight {
    fn root_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![
            ("alias", generator.subschema_for::<String>()),
            ("discoveredAt", generator.subschema_for::<Time>()),
            ("origin", generator.subschema_for::<FreightOrigin>()),
            ("commits", generator.subschema_for::<Vec<GitCommit>>()),
            ("images", generator.subschema_for::<Vec<Image>>()),
            ("charts", generator.subschema_for::<Vec<Chart>>()),
            ("artifacts", generator.subschema_for::<Vec<ArtifactReference>>()),
            ("status", generator.subschema_for::<FreightStatus>()),
        ]
    }

    /// What statuses hold of it.
    pub fn reference(&self) -> FreightReference {
        FreightReference {
            name: self.metadata.name.clone().unwrap_or_default(),
            origin: self.origin.clone(),
            commits: self.commits.clone(),
            images: self.images.clone(),
            charts: self.charts.clone(),
            artifacts: self.artifacts.clone(),
        }
    }
}

impl Serialize for Freight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("apiVersion", crate::kind::API_VERSION)?;
        map.serialize_entry("kind", "Freight")?;
        map.serialize_entry("metadata", &self.metadata)?;
        if !self.alias.is_empty() {
            map.serialize_entry("alias", &self.alias)?;
        }
        if let Some(at) = &self.discovered_at {
            map.serialize_entry("discoveredAt", at)?;
        }
        map.serialize_entry("origin", &self.origin)?;
        if !self.commits.is_empty() {
            map.serialize_entry("commits", &self.commits)?;
        }
        if !self.images.is_empty() {
            map.serialize_entry("images", &self.images)?;
        }
        if !self.charts.is_empty() {
            map.serialize_entry("charts", &self.charts)?;
        }
        if !self.artifacts.is_empty() {
            map.serialize_entry("artifacts", &self.artifacts)?;
        }
        if let Some(status) = &self.status {
            map.serialize_entry("status", status)?;
        }
        map.end()
    }
}

/// Where Freight is and was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FreightStatus {
    /// Stages that have it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub currently_in: BTreeMap<String, CurrentStage>,
    /// Stages that found it good.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verified_in: BTreeMap<String, VerifiedStage>,
    /// Stages that somebody approved it for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub approved_for: BTreeMap<String, ApprovedStage>,
    /// Anything that steps keep about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::opaque_map")]
    pub metadata: BTreeMap<String, Value>,
}

/// Since when a Stage has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CurrentStage {
    /// Since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// When a Stage found it good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct VerifiedStage {
    /// First then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// The longest that it stayed there once it was.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::schema::lenient")]
    pub longest_soak: Option<GoDuration>,
}

/// When somebody approved it for a Stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ApprovedStage {
    /// Then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Time>,
}
