//! Stages: which Freight they have, whether it is well there, and what they
//! are promoted to next.
//!
//! * [`reconcile`]: the pass over a regular Stage, as a list of sub-steps.
//! * [`promotions`], [`auto_promotion`], [`verification`], [`health`],
//!   [`status`], [`freight_marks`], [`soak`], [`tasks`]: what it decides; pure.
//! * [`argocd`]: health from the Applications that the process knows.
//! * [`control_flow`]: the pass over a Stage without steps.
//! * [`deletion`], [`news`]: what a Stage leaves behind, and its Events.
//! * [`unanswered`]: Promotions that were asked for and may be there.
//! * [`wakeups`]: which changes concern which Stages; pure.
//!
//! This file is the only place that subscribes to stores.

pub mod argocd;
pub mod auto_promotion;
pub mod control_flow;
pub mod deletion;
pub mod freight_marks;
pub mod health;
pub mod news;
pub mod promotions;
pub mod reconcile;
#[cfg(test)]
mod samples;
pub mod soak;
pub mod status;
pub mod tasks;
pub mod unanswered;
pub mod verification;
pub mod wakeups;

use std::sync::Arc;

use ::promotion::build::{BuildError, build};
use ::promotion::inflation::{TaskKind, TaskLookup};
use api::{Freight, Promotion, PromotionTaskSpec, Stage};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::context::Stores;
use crate::error::Error;
use crate::patch;
use crate::project::namespace::{FINALIZER, has_finalizer};
use crate::queue::Queue;
use crate::store::Key;

/// Runs the controllers of both flavours of Stage until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let queues = Queues { regular: Queue::new(), control_flow: Queue::new() };
    subscribe(&context, &queues);
    let workers = context.settings.workers;
    let metrics = context.metrics.clone();
    let regular = {
        let context = Arc::clone(&context);
        queues.regular.run("stage", workers.stage, metrics.clone(), shutdown.clone(), move |key| {
            let context = Arc::clone(&context);
            async move { reconcile::reconcile(&context, &key).await }
        })
    };
    let control_flow = queues.control_flow.run(
        "control_flow_stage",
        workers.control_flow,
        metrics,
        shutdown.clone(),
        move |key| {
            let context = Arc::clone(&context);
            async move { control_flow::reconcile(&context, &key).await }
        },
    );
    tokio::join!(regular, control_flow);
}

/// One queue a flavour; both look at the Stage again, so a key in the wrong
/// one does no harm.
#[derive(Clone)]
struct Queues {
    regular: Queue,
    control_flow: Queue,
}

impl Queues {
    fn add(&self, stores: &Stores, key: Key) {
        match stores.stages.get(&key) {
            Some(stage) if is_control_flow(&stage) => self.control_flow.add(key),
            Some(_) => self.regular.add(key),
            None => {}
        }
    }
}

fn subscribe(context: &Arc<Context>, queues: &Queues) {
    macro_rules! wake {
        ($store:ident, $concerned:expr) => {{
            let weak = Arc::downgrade(context);
            let queues = queues.clone();
            context.stores.$store.subscribe(move |change| {
                let Some(context) = weak.upgrade() else { return };
                $concerned(&context, change)
                    .into_iter()
                    .for_each(|key| queues.add(&context.stores, key));
            });
        }};
    }
    wake!(stages, |context: &Context, change| wakeups::of_stage(change)
        .filter(|_| is_responsible(context, change.object())));
    wake!(promotions, |_: &Context, change| wakeups::of_promotion(change));
    wake!(freight, |c: &Context, change| wakeups::of_freight(change, &c.stores));
    wake!(applications, |_: &Context, change| wakeups::of_application(change));
    wake!(project_configs, |c: &Context, change| wakeups::of_project_config(change, &c.stores));
    wake!(projects, |c: &Context, change| wakeups::of_project(change, &c.stores));
    wake!(warehouses, |c: &Context, change| wakeups::of_warehouse(change, &c.stores));
    wake!(promotion_tasks, |c: &Context, change| wakeups::of_task(change, &c.stores));
    wake!(cluster_promotion_tasks, |c: &Context, change| wakeups::of_cluster_task(
        change, &c.stores
    ));
}

/// Whether the Stage only passes Freight on: it has no steps (`stages` 1.1).
pub fn is_control_flow(stage: &Stage) -> bool {
    stage.spec.promotion_template.as_ref().is_none_or(|t| t.spec.steps.is_empty())
}

/// Whether this process serves the Stage.
fn is_responsible(context: &Context, stage: &Stage) -> bool {
    let label = stage.labels().get(api::labels::SHARD).map(String::as_str);
    context.settings.is_responsible(label, Some(&stage.spec.shard))
}

/// Puts the finalizer on the Stage if it lacks; whether it did.
async fn ensure_finalizer(context: &Context, stage: &Stage) -> Result<bool, Error> {
    if has_finalizer(stage) {
        return Ok(false);
    }
    let mut finalizers = stage.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    let namespace = stage.namespace().unwrap_or_default();
    let api: Api<Stage> = Api::namespaced(context.client.clone(), &namespace);
    let change = json!({ "finalizers": finalizers });
    let stage = patch::metadata(&api, &stage.name_any(), change, &context.metrics)
        .await
        .map_err(|e| Error::api("patch finalizers", e))?;
    context.stores.stages.apply(stage);
    Ok(true)
}

/// The Freight that the Stage may be promoted to (`stages` 15), from the
/// stores.
fn available(stores: &Stores, stage: &Stage, now: Timestamp) -> Result<Vec<Arc<Freight>>, String> {
    let namespace = stage.namespace().unwrap_or_default();
    let mut freight = Vec::new();
    for request in &stage.spec.requested_freight {
        let warehouse = Key::new(&namespace, &request.origin.name);
        if stores.warehouses.get(&warehouse).is_none() {
            return Err(format!(
                "Warehouse {:?} not found in namespace {namespace:?}",
                request.origin.name
            ));
        }
        freight.extend(stores.freight.by(crate::context::BY_WAREHOUSE, &warehouse));
    }
    Ok(api::availability::list(stage, &freight, now))
}

/// The Promotion of `freight` to the Stage, complete: without admission
/// nothing else fills it in.
fn build_promotion(
    stores: &Stores,
    stage: &Stage,
    freight: &Freight,
    now: Timestamp,
) -> Result<Promotion, BuildError> {
    let namespace = stage.namespace().unwrap_or_default();
    build(stage, &freight.name_any(), &KnownTasks { stores, namespace }, now)
}

/// The tasks that a Stage's steps may name, from the stores.
struct KnownTasks<'a> {
    stores: &'a Stores,
    namespace: String,
}

impl TaskLookup for KnownTasks<'_> {
    fn task(&self, kind: TaskKind, name: &str) -> Option<PromotionTaskSpec> {
        match kind {
            TaskKind::PromotionTask => {
                let key = Key::new(&self.namespace, name);
                self.stores.promotion_tasks.get(&key).map(|t| t.spec.clone())
            }
            TaskKind::ClusterPromotionTask => {
                let key = Key::cluster(name);
                self.stores.cluster_promotion_tasks.get(&key).map(|t| t.spec.clone())
            }
        }
    }

    fn names(&self, kind: TaskKind) -> Vec<String> {
        match kind {
            TaskKind::PromotionTask => {
                let tasks = self.stores.promotion_tasks.in_namespace(&self.namespace);
                tasks.iter().map(|t| t.name_any()).collect()
            }
            TaskKind::ClusterPromotionTask => {
                self.stores.cluster_promotion_tasks.all().iter().map(|t| t.name_any()).collect()
            }
        }
    }
}
