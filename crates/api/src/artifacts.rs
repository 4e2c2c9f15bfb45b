//! Artifacts, and Freight as statuses refer to it (`api` 3.2).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verification::VerificationInfo;

/// What a Freight comes from.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct FreightOrigin {
    /// The kind: `Warehouse`.
    #[schemars(extend("enum" = ["Warehouse"]))]
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
}

impl FreightOrigin {
    /// The origin that is a Warehouse of that name.
    pub fn warehouse(name: impl Into<String>) -> Self {
        Self { kind: "Warehouse".to_owned(), name: name.into() }
    }
}

impl std::fmt::Display for FreightOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A commit in a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct GitCommit {
    /// The repository.
    #[serde(rename = "repoURL", skip_serializing_if = "String::is_empty")]
    pub repo_url: String,
    /// The commit's hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The branch it was found on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// The tag it was found by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The first line of its message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Who wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Who committed it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub committer: String,
    /// The subscription that found it, if it has a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
}

impl GitCommit {
    /// Whether both are the same commit of the same repository, however they
    /// were found (`api` 7.5). `==` compares all fields.
    pub fn is_same(&self, other: &Self) -> bool {
        self.repo_url == other.repo_url && self.id == other.id
    }
}

/// A container image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Image {
    /// The repository.
    #[serde(rename = "repoURL", skip_serializing_if = "String::is_empty")]
    pub repo_url: String,
    /// The tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The digest of its manifest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Annotations of its manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The subscription that found it, if it has a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
}

/// A Helm chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Chart {
    /// The repository.
    #[serde(rename = "repoURL", skip_serializing_if = "String::is_empty")]
    pub repo_url: String,
    /// The chart's name; empty in an OCI repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The subscription that found it, if it has a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
}

/// An artifact of any other type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactReference {
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("minLength" = 1))]
    pub artifact_type: String,
    /// The subscription that found it.
    #[schemars(extend("minLength" = 1))]
    pub subscription_name: String,
    /// Its version.
    #[schemars(extend("minLength" = 1))]
    pub version: String,
    /// Anything the subscription says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub metadata: Option<Value>,
}

/// Freight as statuses hold it: its name and what it brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreightReference {
    /// The Freight's name, which is its ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it comes from. Always written.
    #[serde(default)]
    pub origin: FreightOrigin,
    /// Commits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<GitCommit>,
    /// Images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Charts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Other artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactReference>,
}

/// One Freight of each origin that a Stage asks for, and how it was verified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreightCollection {
    /// SHA-1 over the names of its Freight.
    pub id: String,
    /// Freight by origin, `Warehouse/<name>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, FreightReference>,
    /// Its verifications, newest first, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verification_history: Vec<VerificationInfo>,
}
