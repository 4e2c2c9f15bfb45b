//! Warehouse: what is watched, and what was found (`api` 4.3).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifacts::ArtifactReference;
use crate::duration::GoDuration;
use crate::kind::{AGE, resource, spec_and_status};

/// Watches repositories and makes Freight of what appears in them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warehouse {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: WarehouseSpec,
    /// What the controller found.
    #[serde(default)]
    pub status: Option<WarehouseStatus>,
}

resource!(
    Warehouse,
    "warehouses",
    NamespaceResourceScope,
    &[],
    &[("Shard", ".spec.shard", "string"), AGE],
    &["spec"],
    true,
    "Watches repositories and makes Freight of what appears in them."
);
spec_and_status!(Warehouse, WarehouseSpec, WarehouseStatus);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarehouseSpec {
    /// The shard that serves it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shard: String,
    /// How often to look.
    #[serde(default = "default_interval")]
    #[schemars(extend("x-required" = true, "pattern" = crate::schema::DURATION, "x-default" = "5m0s"))]
    pub interval: GoDuration,
    /// Whether Freight is made of what is found.
    #[serde(default)]
    pub freight_creation_policy: FreightCreationPolicy,
    /// What to watch; each item has one key that names its type: git, image or
    /// chart.
    // `crate::Subscription` reads them.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::opaque_list")]
    pub subscriptions: Vec<Value>,
    /// Whether Freight is made of these artifacts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freight_creation_criteria: Option<FreightCreationCriteria>,
}

impl Default for WarehouseSpec {
    fn default() -> Self {
        Self {
            shard: String::new(),
            interval: default_interval(),
            freight_creation_policy: FreightCreationPolicy::default(),
            subscriptions: Vec::new(),
            freight_creation_criteria: None,
        }
    }
}

fn default_interval() -> GoDuration {
    GoDuration::from_secs(300)
}

/// Whether Freight is made of what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FreightCreationPolicy {
    /// Of every new set of artifacts.
    #[default]
    #[serde(alias = "")]
    Automatic,
    /// Only when somebody asks for it.
    Manual,
}

impl JsonSchema for FreightCreationPolicy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FreightCreationPolicy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "enum": ["Automatic", "Manual"], "x-default": "Automatic"
        })
    }
}

/// Whether Freight is made of these artifacts together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FreightCreationCriteria {
    /// An expression that must be true.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expression: String,
}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WarehouseStatus {
    /// Conditions by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The refresh token that was last dealt with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_refresh: String,
    /// The generation of the last discovery that succeeded.
    #[serde(skip_serializing_if = "crate::schema::is_zero_i64")]
    pub observed_generation: i64,
    /// The newest Freight.
    #[serde(rename = "lastFreightID", skip_serializing_if = "String::is_empty")]
    pub last_freight_id: String,
    /// What there is, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovered_artifacts: Option<DiscoveredArtifacts>,
}

/// What there is in the repositories.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct DiscoveredArtifacts {
    /// When it was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovered_at: Option<Time>,
    /// In Git repositories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub git: Vec<GitDiscoveryResult>,
    /// In image repositories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageDiscoveryResult>,
    /// In chart repositories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<ChartDiscoveryResult>,
    /// Elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<DiscoveryResult>,
}

/// What there is in a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitDiscoveryResult {
    /// The repository.
    #[serde(rename = "repoURL")]
    #[schemars(extend("minLength" = 1, "pattern" = crate::subscription::GIT_URL))]
    pub repo_url: String,
    /// Commits, newest first.
    #[serde(default)]
    #[schemars(extend("x-optional" = true))]
    pub commits: Vec<DiscoveredCommit>,
    /// The subscription, if it has a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
    /// Where the refs were, so that an unchanged repository is not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_refs: Option<ObservedRefs>,
}

/// A commit that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct DiscoveredCommit {
    /// Its hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("minLength" = 1))]
    pub id: String,
    /// The branch it was found on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// The tag it was found by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The first line of its message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Who wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Who committed it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub committer: String,
    /// When it, or its tag, was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator_date: Option<Time>,
}

/// Where a repository's refs were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ObservedRefs {
    /// The branch's head.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch_head: String,
    /// The tags, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ObservedTag>,
}

/// A tag and what it points at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedTag {
    /// The tag.
    #[schemars(extend("minLength" = 1))]
    pub name: String,
    /// The object it points at.
    #[schemars(extend("minLength" = 1))]
    pub id: String,
}

/// What there is in an image repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDiscoveryResult {
    /// The repository.
    #[serde(rename = "repoURL")]
    #[schemars(extend("minLength" = 1))]
    pub repo_url: String,
    /// The platform that was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Images, newest first.
    #[serde(default)]
    #[schemars(extend("x-optional" = true))]
    pub references: Vec<DiscoveredImageReference>,
    /// The subscription, if it has a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
}

/// An image that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveredImageReference {
    /// Its tag.
    #[schemars(extend("minLength" = 1, "maxLength" = 128, "pattern" = r"^[\w.\-\_]+$"))]
    pub tag: String,
    /// Its digest.
    #[schemars(extend("minLength" = 1, "pattern" = "^[a-z0-9]+:[a-f0-9]+$"))]
    pub digest: String,
    /// Annotations of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}

/// What there is in a chart repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartDiscoveryResult {
    /// The repository.
    #[serde(rename = "repoURL")]
    #[schemars(extend("minLength" = 1))]
    pub repo_url: String,
    /// The chart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The constraint that versions had to meet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub semver_constraint: String,
    /// Versions, newest first.
    #[serde(default)]
    #[schemars(extend("x-optional" = true))]
    pub versions: Vec<String>,
    /// The subscription, if it has a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subscription_name: String,
}

/// What any other subscription found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryResult {
    /// The subscription.
    #[schemars(extend("minLength" = 1))]
    pub name: String,
    /// Artifacts, newest first.
    #[serde(default)]
    #[schemars(extend("x-optional" = true))]
    pub artifact_references: Vec<ArtifactReference>,
}
