//! The part of Argo CD's Application that promotions and health look at
//! (`steps-argocd` 9). What is not modelled is opaque: the write path works
//! on the untyped object and keeps it (`patch`).
//!
//! Reading is lenient: nulls, empty objects and unreadable times count as
//! "not known yet" (`steps-argocd` 13.4), so one odd Application never makes
//! a watch of all of them fail.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};

/// The API group of Applications.
pub const GROUP: &str = "argoproj.io";
/// The API version of Applications.
pub const VERSION: &str = "v1alpha1";
/// The kind's name.
pub const KIND: &str = "Application";
/// The resource's plural name.
pub const PLURAL: &str = "applications";

/// Annotation that names the Stages that may change an Application.
pub const AUTHORIZED_STAGE: &str = "kargo.akuity.io/authorized-stage";
/// Annotation that asks Argo CD to compare again.
pub const REFRESH: &str = "argocd.argoproj.io/refresh";
/// The operation's info entry that names the Promotion that asked for it.
pub const PROMOTION_INFO: &str = "kargo.akuity.io/promotion";

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let written = Option::<String>::deserialize(deserializer)?;
    Ok(written.and_then(|text| text.parse().ok()))
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// An Argo CD Application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Always `argoproj.io/v1alpha1`; written for readers of caches alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Always `Application`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Names, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is to be deployed.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: Spec,
    /// A request that Argo CD has not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What Argo CD has seen and done.
    #[serde(default, deserialize_with = "or_default")]
    pub status: Status,
}

/// What is to be deployed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The one source, where there are not several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Several sources; where there are any, `source` is ignored.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// How syncs are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_policy: Option<SyncPolicy>,
}

/// Where manifests come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A git or chart repository.
    #[serde(default, rename = "repoURL", deserialize_with = "or_default")]
    pub repo_url: String,
    /// Branch, tag, commit or chart version.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub target_revision: String,
    /// Helm's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<Helm>,
    /// Kustomize's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<Kustomize>,
    /// The chart's name in a chart repository.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub chart: String,
}

/// Helm's settings of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helm {
    /// Values set one by one.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<HelmParameter>,
}

/// One value of a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelmParameter {
    /// The value's path.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The value; an empty one is written as such, so that it replaces the old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Kustomize's settings of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kustomize {
    /// Image overrides, `name[=newName](:tag|@digest)`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// How syncs are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncPolicy {
    /// Options such as `CreateNamespace=true`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// How often a failed sync is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// How often a failed sync is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// At most this many times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// With which pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// The pauses between attempts of a sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// The first pause, as Go writes durations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub duration: String,
    /// By how much each pause grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<i64>,
    /// The longest pause.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub max_duration: String,
}

/// A sync that somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Present when the operation is a sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncOperation>,
    /// Who asked.
    #[serde(default, deserialize_with = "or_default")]
    pub initiated_by: Initiator,
    /// Remarks; ours name the Promotion.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Info>,
    /// How often to try again.
    #[serde(default, deserialize_with = "or_default")]
    pub retry: Retry,
}

impl Operation {
    /// The Promotion that asked for it: the first info entry of that name.
    pub fn promotion(&self) -> Option<&str> {
        self.info.iter().find(|i| i.name == PROMOTION_INFO).map(|i| i.value.as_str())
    }
}

/// What a sync does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncOperation {
    /// Options such as `CreateNamespace=true`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// Revisions asked for, one a source; empty for the target revisions.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// Who asked for an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// A name; empty for Argo CD itself.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Whether no person asked.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub automated: bool,
}

/// A remark on an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// What it is about.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What it says.
    #[serde(default, deserialize_with = "or_default")]
    pub value: String,
}

/// What Argo CD has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// How the workloads are.
    #[serde(default, deserialize_with = "or_default")]
    pub health: Health,
    /// Whether the live state is the wanted one.
    #[serde(default, deserialize_with = "or_default")]
    pub sync: SyncStatus,
    /// When the last comparison ended, in whole seconds.
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<Timestamp>,
    /// What is wrong.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The last operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// Syncs that succeeded, oldest first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Deployment>,
}

/// How the workloads are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Suspended`, `Degraded`, `Missing`,
    /// `Unknown`, or empty while not known.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// What it is about.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether the live state is the wanted one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// `Synced`, `OutOfSync`, `Unknown`, or empty while not known.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// The revision compared with, of one source.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The revisions compared with, of several sources.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

impl SyncStatus {
    /// The revisions compared with, one a source.
    pub fn observed(&self) -> Vec<&str> {
        observed(&self.revisions, &self.revision)
    }
}

/// Something that is wrong with an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// For example `ComparisonError`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// What is wrong.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
}

impl Condition {
    /// Whether it says that the Application cannot be compared at all.
    pub fn is_error(&self) -> bool {
        self.kind == "ComparisonError" || self.kind == "InvalidSpecError"
    }
}

/// The last operation and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationState {
    /// What was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub operation: Operation,
    /// `Running`, `Terminating`, `Failed`, `Error` or `Succeeded`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// What Argo CD says about it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
    /// When it began.
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it, or its last attempt, ended (`steps-argocd` 13.7).
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

impl OperationState {
    /// Whether it is over. `finishedAt` does not tell: it is set between the
    /// attempts of an operation that is tried again (`steps-argocd` 13.7).
    pub fn is_completed(&self) -> bool {
        is_completed(&self.phase)
    }
}

impl Application {
    /// Why Argo CD holds an operation back before it has begun to sync, in its
    /// words: a sync window that denies. Nothing while it works, for then its
    /// words change all the time.
    pub fn blocked(&self) -> Option<&str> {
        let state = self.status.operation_state.as_ref()?;
        let result = state.sync_result.as_ref()?;
        let nothing_yet = result.observed().iter().all(|revision| revision.is_empty());
        (!state.is_completed() && nothing_yet && !state.message.is_empty())
            .then_some(state.message.as_str())
    }
}

/// Whether an operation of this phase is over.
pub fn is_completed(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed" | "Error")
}

/// What a sync deployed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncResult {
    /// The revision, of one source.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The revisions, of several sources.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// The source as it was.
    #[serde(default, deserialize_with = "or_default")]
    pub source: Source,
    /// The sources as they were.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

impl SyncResult {
    /// The revisions deployed, one a source (`steps-argocd` 3.5.1).
    pub fn observed(&self) -> Vec<&str> {
        observed(&self.revisions, &self.revision)
    }
}

/// An entry of the history: a sync that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Rises by one with each entry.
    #[serde(default, deserialize_with = "or_default")]
    pub id: i64,
    /// The revision, of one source.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The revisions, of several sources.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// When the sync began.
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub deploy_started_at: Option<Timestamp>,
    /// Who asked for it.
    #[serde(default, deserialize_with = "or_default")]
    pub initiated_by: Initiator,
}

impl Deployment {
    /// The revisions deployed, one a source.
    pub fn observed(&self) -> Vec<&str> {
        observed(&self.revisions, &self.revision)
    }
}

fn observed<'a>(several: &'a [String], one: &'a str) -> Vec<&'a str> {
    if several.is_empty() { vec![one] } else { several.iter().map(String::as_str).collect() }
}

impl Application {
    /// The name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The resourceVersion.
    pub fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// The labels.
    pub fn labels(&self) -> Cow<'_, BTreeMap<String, String>> {
        self.metadata.labels.as_ref().map_or_else(|| Cow::Owned(BTreeMap::new()), Cow::Borrowed)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The sources that count: `spec.sources` if there are any, else the one
    /// `spec.source`, else none (`steps-argocd` 3.4.1).
    pub fn sources(&self) -> &[Source] {
        if self.spec.sources.is_empty() { self.spec.source.as_slice() } else { &self.spec.sources }
    }

    /// When the last operation ended. Between the attempts of one that is
    /// tried again it has not (`steps-argocd` 13.7).
    pub fn finished_at(&self) -> Option<Timestamp> {
        let state = self.status.operation_state.as_ref()?;
        state.finished_at.filter(|_| state.is_completed() || self.operation.is_none())
    }

    /// The highest id in the history.
    pub fn last_deployment_id(&self) -> Option<i64> {
        self.status.history.iter().map(|d| d.id).max()
    }

    /// How messages name it.
    pub fn title(&self) -> String {
        title(self.name(), self.namespace())
    }
}

/// How messages name an Application: `App(n,ns)` in `steps-argocd`.
pub fn title(name: &str, namespace: &str) -> String {
    format!("Argo CD Application {name:?} in namespace {namespace:?}")
}

impl kube::Resource for Application {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_that_is_tried_again_has_not_finished() {
        let app = |phase: &str, operation: serde_json::Value| -> Application {
            serde_json::from_value(json!({
                "metadata": {}, "operation": operation,
                "status": {"operationState": {"phase": phase, "finishedAt": "2026-11-24T21:48:40Z"}},
            }))
            .unwrap()
        };
        assert!(app("Running", json!({"sync": {}})).finished_at().is_none());
        assert!(app("Failed", json!({"sync": {}})).finished_at().is_some());
        assert!(app("Running", json!(null)).finished_at().is_some());
    }

    #[test]
    fn an_odd_application_is_read_as_not_known_yet() {
        let app: Application = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "argocd"},
            "spec": {"source": null, "sources": null, "syncPolicy": null},
            "status": {
                "health": {}, "sourceHydrator": {}, "summary": {},
                "sync": {"comparedTo": {}, "status": ""},
                "reconciledAt": "", "conditions": null, "history": null
            }
        }))
        .unwrap();
        assert_eq!(app.status, Status::default());
        assert!(app.sources().is_empty());
        let app: Application =
            serde_json::from_value(json!({"metadata": {}, "spec": null, "status": null})).unwrap();
        assert_eq!(app.status, Status::default());
    }
}
