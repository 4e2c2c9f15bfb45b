//! Stages without steps: they only pass Freight on, which counts as verified
//! there as soon as it is available (`stages` 18).

use std::sync::Arc;

use api::{Freight, Stage, StageStatus, VerificationInfo, VerificationPhase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;

use super::reconcile::ours;
use super::status::{self, types};
use super::{deletion, freight_marks, news, soak};
use crate::Context;
use crate::clock::whole_seconds;
use crate::context::BY_WAREHOUSE;
use crate::error::{Error, ErrorClass};
use crate::patch;
use crate::queue::Outcome;
use crate::store::Key;

/// One pass over the Stage of that key.
///
/// # Errors
/// What failed, after it was written to the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(stage) = context.stores.stages.get(key) else { return Ok(Outcome::Done) };
    if !super::is_responsible(context, &stage) || !super::is_control_flow(&stage) {
        return Ok(Outcome::Done);
    }
    if stage.metadata.deletion_timestamp.is_some() {
        return deletion::handle(context, &stage).await;
    }
    if super::ensure_finalizer(context, &stage).await? {
        return Ok(Outcome::After(std::time::Duration::from_millis(1)));
    }
    drop_argocd_context(context, &stage).await;
    let started = context.clock.now();
    let mut wanted = reset(&stage);
    let result = verify_available(context, &stage, &mut wanted, started).await;
    let before = ours(&stage.status.clone().unwrap_or_default());
    if let Some(change) = patch::diff(&before, &ours(&wanted)) {
        let api: Api<Stage> = Api::namespaced(context.client.clone(), &key.namespace);
        match patch::status_change(&api, &key.name, change, None, &context.metrics).await {
            Ok(stage) => context.stores.stages.apply(stage),
            Err(e) if result.is_ok() => return Err(e.while_("failed to update Stage status: ")),
            Err(_) => {}
        }
    }
    result?;
    Ok(look_again(context, &stage))
}

/// The status of a Stage without steps, before anything is known of this pass:
/// what a regular Stage had is gone.
pub fn reset(stage: &Stage) -> StageStatus {
    let before = stage.status.clone().unwrap_or_default();
    let generation = stage.metadata.generation.unwrap_or_default();
    let mut conditions = Vec::new();
    for type_ in [types::READY, types::RECONCILING] {
        conditions.extend(before.conditions.iter().find(|c| c.type_ == type_).cloned());
    }
    let refresh = stage.annotations().get(api::annotations::REFRESH).cloned();
    StageStatus {
        conditions,
        observed_generation: before.observed_generation.max(generation),
        last_handled_refresh: refresh.unwrap_or(before.last_handled_refresh),
        freight_summary: "N/A".to_owned(),
        metadata: before.metadata,
        ..StageStatus::default()
    }
}

async fn verify_available(
    context: &Context,
    stage: &Stage,
    wanted: &mut StageStatus,
    started: Timestamp,
) -> Result<(), Error> {
    let available = match super::available(&context.stores, stage, started) {
        Ok(available) => available,
        Err(error) => {
            let text = error.to_string();
            let now = context.clock.now();
            not_ready(
                wanted,
                "FreightRetrievalFailed",
                "RetryAfterFreightRetrievalFailed",
                &text,
                now,
            );
            return Err(Error::new(ErrorClass::NotFound, text));
        }
    };
    let finished = whole_seconds(context.clock.now());
    let failed = mark_all(context, stage, &available, started, finished).await;
    let now = context.clock.now();
    if failed > 0 {
        let text = format!("failed to verify {failed} Freight");
        not_ready(wanted, "FreightVerificationFailed", "RetryAfterVerificationFailed", &text, now);
        return Err(Error::new(ErrorClass::Transient, text));
    }
    status::set(wanted, types::READY, "True", "Ready", "", 0, now);
    status::remove(wanted, types::RECONCILING);
    Ok(())
}

fn not_ready(wanted: &mut StageStatus, ready: &str, reconciling: &str, text: &str, now: Timestamp) {
    status::set(wanted, types::RECONCILING, "True", reconciling, text, 0, now);
    status::set(wanted, types::READY, "False", ready, text, 0, now);
}

/// Marks what is not marked yet; how many could not be.
async fn mark_all(
    context: &Context,
    stage: &Stage,
    available: &[Arc<Freight>],
    started: Timestamp,
    finished: Timestamp,
) -> usize {
    let name = stage.name_any();
    let namespace = stage.namespace().unwrap_or_default();
    let api: Api<Freight> = Api::namespaced(context.client.clone(), &namespace);
    let mut failed = 0;
    for freight in available {
        let Some(change) = freight_marks::verified(freight, &name, finished) else { continue };
        let written =
            patch::status_change(&api, &freight.name_any(), change, None, &context.metrics).await;
        match written {
            Ok(freight) => {
                let info = VerificationInfo {
                    phase: VerificationPhase::Successful,
                    start_time: Some(Time(whole_seconds(started))),
                    finish_time: Some(Time(finished)),
                    ..VerificationInfo::default()
                };
                let event = news::verification(&context.settings, &freight, &name, &info);
                context.events.send(event, finished);
                context.stores.freight.apply(freight);
            }
            Err(e) if e.class() == ErrorClass::NotFound => {}
            Err(error) => {
                tracing::warn!(stage = name, %error, "Freight could not be marked as verified");
                failed += 1;
            }
        }
    }
    failed
}

/// A Stage that became one without steps no longer shows Applications.
async fn drop_argocd_context(context: &Context, stage: &Stage) {
    let name = api::annotations::ARGOCD_CONTEXT;
    if stage.annotations().get(name).is_none_or(String::is_empty) {
        return;
    }
    let key = Key::of(stage);
    let api: Api<Stage> = Api::namespaced(context.client.clone(), &key.namespace);
    let change = json!({ "annotations": { name: null } });
    if let Err(e) = patch::metadata(&api, &key.name, change, &context.metrics).await {
        tracing::warn!(stage = %key, error = crate::error::said(&e), "cannot remove the argocd-context annotation");
    }
}

/// The reference never looks again by itself; here soaking Freight is looked
/// at when its time has come.
fn look_again(context: &Context, stage: &Stage) -> Outcome {
    let namespace = stage.namespace().unwrap_or_default();
    let mut freight = Vec::new();
    for request in &stage.spec.requested_freight {
        let warehouse = Key::new(&namespace, &request.origin.name);
        freight.extend(context.stores.freight.by(BY_WAREHOUSE, &warehouse));
    }
    soak::next_expiry(stage, freight.iter().map(AsRef::as_ref), context.clock.now())
        .map_or(Outcome::Done, Outcome::After)
}
