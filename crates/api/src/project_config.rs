//! ProjectConfig: how a Project's Stages promote, and who may wake it
//! (`api` 4.2).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{AGE, READY, STATUS, resource, spec_and_status};

/// How a Project's Stages promote. Its name is the Project's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectConfig {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ProjectConfigSpec,
    /// What the controller found.
    #[serde(default)]
    pub status: Option<ProjectConfigStatus>,
}

resource!(
    ProjectConfig,
    "projectconfigs",
    NamespaceResourceScope,
    &[],
    &[READY, STATUS, AGE],
    &[],
    true,
    "How a Project's Stages promote, and which webhooks wake its Warehouses."
);
spec_and_status!(ProjectConfig, ProjectConfigSpec, ProjectConfigStatus);

/// What a ProjectConfig sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectConfigSpec {
    /// Which Stages promote by themselves; the first that fits a Stage counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promotion_policies: Vec<PromotionPolicy>,
    /// Webhooks that wake the Project's Warehouses.
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

/// Whether Stages promote by themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "PromotionPolicy must have exactly one of stage or stageSelector set",
    "rule": "has(self.stage) ? !has(self.stageSelector) : has(self.stageSelector)"
}]))]
pub struct PromotionPolicy {
    /// The Stage's name. Deprecated: use `stageSelector`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub stage: String,
    /// Which Stages are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_selector: Option<PromotionPolicySelector>,
    /// Whether they promote new Freight by themselves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_promotion_enabled: bool,
    /// When to go back. Kept, not acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<AutoRollback>,
}

/// Which objects are meant: by name (or `glob:`, `regex:` pattern) and by
/// label; both must fit, and an empty selector fits all (`api` 3.5).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PromotionPolicySelector {
    /// The name, or a pattern that begins with `glob:`, `regex:` or `regexp:`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels with exactly these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Labels that fit these requirements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::selector_schema::requirements")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// After which outcomes to go back to the Freight before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AutoRollback {
    /// Of Promotions: `Failed`, `Errored`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 2, "x-kubernetes-list-type" = "set", "x-kubernetes-validations" = [
        {"message": "onPromotion[0] must be Failed or Errored", "rule": "self.size() == 0 || self[0] == 'Failed' || self[0] == 'Errored'"},
        {"message": "onPromotion[1] must be Failed or Errored", "rule": "self.size() <= 1 || self[1] == 'Failed' || self[1] == 'Errored'"}
    ]))]
    pub on_promotion: Vec<String>,
    /// Of verifications: `Failed`, `Error`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 2, "x-kubernetes-list-type" = "set", "x-kubernetes-validations" = [
        {"message": "onVerification[0] must be Failed or Error", "rule": "self.size() == 0 || self[0] == 'Failed' || self[0] == 'Error'"},
        {"message": "onVerification[1] must be Failed or Error", "rule": "self.size() <= 1 || self[1] == 'Failed' || self[1] == 'Error'"}
    ]))]
    pub on_verification: Vec<String>,
}

/// A link that user interfaces show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// What it is called.
    #[schemars(extend("minLength" = 1))]
    pub title: String,
    /// Where it leads: a Go template.
    #[schemars(extend("minLength" = 1))]
    pub url: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// An expression that says whether it is shown.
    #[serde(rename = "if", default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
}

/// When Stages may promote, or may not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionWindow {
    /// Its name.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// `Allow` or `Deny`.
    #[schemars(extend("enum" = ["Allow", "Deny"]))]
    pub kind: String,
    /// When it recurs (RFC 5545).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rrule: String,
    /// When it first begins.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtstart: String,
    /// When it first ends.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtend: String,
    /// The Stages that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_selector: Option<PromotionPolicySelector>,
    /// The Projects that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_selector: Option<PromotionPolicySelector>,
}

/// A webhook: its name, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReceiverConfig {
    /// Its name.
    #[schemars(extend("minLength" = 1, "maxLength" = 253, "pattern" = crate::schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// Bitbucket's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitbucket: Option<SecretReceiver>,
    /// Docker Hub's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerhub: Option<SecretReceiver>,
    /// GitHub's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github: Option<SecretReceiver>,
    /// GitLab's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<SecretReceiver>,
    /// Harbor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harbor: Option<SecretReceiver>,
    /// Quay's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quay: Option<SecretReceiver>,
    /// Artifactory's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifactory: Option<ArtifactoryReceiver>,
    /// Azure's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<SecretReceiver>,
    /// Gitea's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitea: Option<SecretReceiver>,
    /// Anybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generic: Option<GenericReceiver>,
}

/// A Secret in the same namespace by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalSecretReference {
    /// Its name.
    #[serde(default)]
    #[schemars(extend("x-default" = ""))]
    pub name: String,
}

/// A receiver that knows a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReceiver {
    /// What senders must know.
    pub secret_ref: LocalSecretReference,
}

/// Artifactory's receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactoryReceiver {
    /// What senders must know.
    pub secret_ref: LocalSecretReference,
    /// The virtual repository that images are known by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub virtual_repo_name: String,
}

/// A receiver that does what it is told to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenericReceiver {
    /// What senders must know.
    pub secret_ref: LocalSecretReference,
    /// What is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("minItems" = 1))]
    pub actions: Vec<GenericWebhookAction>,
}

/// What a generic receiver does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenericWebhookAction {
    /// `Refresh`.
    #[schemars(extend("enum" = ["Refresh"]))]
    pub action: String,
    /// An expression that says whether it is done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub when_expression: String,
    /// What it is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// To which objects it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("minItems" = 1))]
    pub target_selection_criteria: Vec<GenericWebhookTarget>,
}

/// Objects that a generic receiver acts on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenericWebhookTarget {
    /// `Warehouse`.
    #[schemars(extend("enum" = ["Warehouse"]))]
    pub kind: String,
    /// By name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// By label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::selector_schema::selector")]
    pub label_selector: Option<LabelSelector>,
    /// By what they watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_selector: Option<IndexSelector>,
}

/// Objects by what they watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct IndexSelector {
    /// All must fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("minItems" = 1))]
    pub match_indices: Vec<IndexSelectorRequirement>,
}

/// One thing that must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexSelectorRequirement {
    /// `subscribedURLs` or `receiverPaths`.
    #[schemars(extend("enum" = ["subscribedURLs", "receiverPaths"]))]
    pub key: String,
    /// `Equals` or `NotEquals`.
    pub operator: String,
    /// The value; may hold expressions.
    pub value: String,
}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectConfigStatus {
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

/// Where a webhook is received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookReceiverDetails {
    /// The receiver's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}
