//! ProjectConfig and ClusterConfig: whether what they ask for is in force
//! (`projects` 7). Webhook receivers are not served yet; a config that asks
//! for some says so.

use api::{ClusterConfig, ProjectConfig};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::Api;

use crate::Context;
use crate::condition;
use crate::error::Error;
use crate::patch;
use crate::queue::Outcome;
use crate::store::Key;

/// Writes Ready as the receivers demand; whether all is in force.
fn judge(
    conditions: &mut Vec<Condition>,
    kind: &str,
    receivers: usize,
    generation: i64,
    now: Timestamp,
) -> bool {
    if receivers == 0 {
        condition::remove(conditions, "Reconciling");
        let message = format!("{kind} is synced and ready for use");
        condition::set(conditions, "Ready", "True", "Synced", &message, generation, now);
        return true;
    }
    let message = format!(
        "Failed to sync WebhookReceivers: {receivers} webhook receivers are configured, but this version of Supercargo serves none; everything else in this {kind} is in force. Use the refresh annotation kargo.akuity.io/refresh on Warehouses instead"
    );
    condition::set(
        conditions,
        "Ready",
        "False",
        "SyncWebhookReceiversFailed",
        &message,
        generation,
        now,
    );
    false
}

/// One pass over a ProjectConfig.
///
/// # Errors
/// The status could not be written.
pub async fn reconcile_project(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(config) = context.stores.project_configs.get(key) else { return Ok(Outcome::Done) };
    if config.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Done);
    }
    let mut status = config.status.clone().unwrap_or_default();
    let generation = config.metadata.generation.unwrap_or_default();
    status.webhook_receivers.clear();
    let receivers = config.spec.webhook_receivers.len();
    let now = context.clock.now();
    if judge(&mut status.conditions, "ProjectConfig", receivers, generation, now) {
        status.observed_generation = generation;
    }
    if let Some(token) = config.annotations().get(api::annotations::REFRESH) {
        status.last_handled_refresh.clone_from(token);
    }
    let api: Api<ProjectConfig> = Api::namespaced(context.client.clone(), &key.namespace);
    let before = config.status.as_ref();
    let written = patch::status(&api, &key.name, before, &status, None, &context.metrics).await?;
    if let Some(config) = written {
        context.stores.project_configs.apply(config);
    }
    Ok(Outcome::After(context.settings.resync))
}

/// One pass over the ClusterConfig.
///
/// # Errors
/// The status could not be written.
pub async fn reconcile_cluster(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(config) = context.stores.cluster_configs.get(key) else { return Ok(Outcome::Done) };
    if config.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Done);
    }
    let mut status = config.status.clone().unwrap_or_default();
    let generation = config.metadata.generation.unwrap_or_default();
    status.webhook_receivers.clear();
    let receivers = config.spec.webhook_receivers.len();
    let now = context.clock.now();
    if judge(&mut status.conditions, "ClusterConfig", receivers, generation, now) {
        status.observed_generation = generation;
    }
    if let Some(token) = config.annotations().get(api::annotations::REFRESH) {
        status.last_handled_refresh.clone_from(token);
    }
    let api: Api<ClusterConfig> = Api::all(context.client.clone());
    let before = config.status.as_ref();
    let written = patch::status(&api, &key.name, before, &status, None, &context.metrics).await?;
    if let Some(config) = written {
        context.stores.cluster_configs.apply(config);
    }
    Ok(Outcome::After(context.settings.resync))
}
