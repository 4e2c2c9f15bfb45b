//! Projects: a namespace, who may do what there, and its policies.
//!
//! * [`reconcile`]: the pass over a Project; [`namespace`], [`roles`] and
//!   [`stats`] are what it does.
//! * [`policy`]: whether a Stage is promoted to by itself; pure.
//! * [`config`]: ProjectConfig and ClusterConfig.
//!
//! A Project's namespace is watched by label, so that deleting either takes
//! the other with it (`projects` 5). These controllers are not sharded.

pub mod config;
pub mod namespace;
pub mod policy;
pub mod reconcile;
pub mod roles;
pub mod stats;

use std::sync::Arc;
use std::time::Duration;

use api::{Stage, Warehouse};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::api::Api;
use kube::core::DeserializeGuard;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::condition;
use crate::queue::{Outcome, Queue};
use crate::stage::wakeups::refresh_requested;
use crate::store::{Change, Key, Store};
use crate::watch;

/// How long after a change of health the numbers follow: a Promotion takes its
/// Stage's health away and gives it back, which is no news for the Project.
const STATS_DELAY: Duration = Duration::from_secs(2);

/// Runs the controllers of Projects, their configs and namespaces until
/// `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let settings = &context.settings;
    if !settings.shard.is_empty() && !settings.is_default_controller {
        // Projects have no shard: one controller looks after all of them.
        shutdown.cancelled().await;
        return;
    }
    let (projects, configs, cluster) = (Queue::new(), Queue::new(), Queue::new());
    let namespaces = (Queue::new(), Arc::new(Store::<Namespace>::new(Vec::new())));
    subscribe(&context, &projects, &configs, &cluster);
    let queue = namespaces.0.clone();
    namespaces.1.subscribe(move |change| {
        if !matches!(change, Change::Deleted(_)) {
            queue.add(Key::of(change.object().as_ref()));
        }
    });
    let api: Api<DeserializeGuard<Namespace>> = Api::all(context.client.clone());
    let watch =
        watch::run(api, "Namespace", true, &namespaces.1, &context.metrics, shutdown.clone());
    let workers = context.settings.workers;
    macro_rules! controller {
        ($queue:expr, $name:literal, $workers:expr, $reconcile:path) => {{
            let context = Arc::clone(&context);
            let metrics = context.metrics.clone();
            $queue.run($name, $workers, metrics, shutdown.clone(), move |key| {
                let context = Arc::clone(&context);
                async move { $reconcile(&context, &key).await }
            })
        }};
    }
    let of_namespaces = {
        let (context, store) = (Arc::clone(&context), Arc::clone(&namespaces.1));
        let metrics = context.metrics.clone();
        namespaces.0.run("namespace", workers.project, metrics, shutdown.clone(), move |key| {
            let (context, store) = (Arc::clone(&context), Arc::clone(&store));
            async move {
                if let Some(found) = store.get(&key) {
                    namespace::reconcile(&context.client, &found, &context.metrics).await?;
                }
                Ok(Outcome::Done)
            }
        })
    };
    tokio::join!(
        watch,
        of_namespaces,
        {
            let (context, ensured) =
                (Arc::clone(&context), Arc::new(reconcile::Ensured::default()));
            let metrics = context.metrics.clone();
            projects.run("project", workers.project, metrics, shutdown.clone(), move |key| {
                let (context, ensured) = (Arc::clone(&context), Arc::clone(&ensured));
                async move { reconcile::reconcile(&context, &ensured, &key).await }
            })
        },
        controller!(configs, "project_config", workers.project_config, config::reconcile_project),
        controller!(cluster, "cluster_config", 1, config::reconcile_cluster),
    );
}

fn subscribe(context: &Context, projects: &Queue, configs: &Queue, cluster: &Queue) {
    let queue = projects.clone();
    context.stores.projects.subscribe(move |change| {
        let wakes = match change {
            Change::Added(_) => true,
            // Its own status is none of its business.
            Change::Updated { old, new } => {
                old.metadata.generation != new.metadata.generation
                    || old.metadata.annotations != new.metadata.annotations
                    || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
            }
            Change::Deleted(_) => false,
        };
        if wakes {
            queue.add(Key::of(change.object().as_ref()));
        }
    });
    let queue = projects.clone();
    context.stores.stages.subscribe(move |change| {
        let of = |s: &Stage| s.status.as_ref().map(|s| s.conditions.clone());
        if let Some(project) = health_changed(change, of) {
            queue.add_after(project, STATS_DELAY);
        }
    });
    let queue = projects.clone();
    context.stores.warehouses.subscribe(move |change| {
        let of = |w: &Warehouse| w.status.as_ref().map(|s| s.conditions.clone());
        if let Some(project) = health_changed(change, of) {
            queue.add_after(project, STATS_DELAY);
        }
    });
    let queue = configs.clone();
    context.stores.project_configs.subscribe(move |change| {
        if let Some(key) = written_or_refreshed(change) {
            queue.add(key);
        }
    });
    let queue = cluster.clone();
    context.stores.cluster_configs.subscribe(move |change| {
        if let Some(key) = written_or_refreshed(change) {
            queue.add(key);
        }
    });
}

/// The Project whose numbers a change may alter (`projects` 4.1). Objects that
/// come and go count too, which the reference learns minutes later.
fn health_changed<K: Resource>(
    change: &Change<K>,
    conditions: impl Fn(&K) -> Option<Vec<Condition>>,
) -> Option<Key> {
    let state = |o: &K| {
        let conditions = conditions(o).unwrap_or_default();
        condition::get(&conditions, "Healthy").map(|c| c.status.clone())
    };
    let wakes = match change {
        Change::Updated { old, new } => state(old) != state(new),
        Change::Added(_) | Change::Deleted(_) => true,
    };
    let project = change.object().meta().namespace.clone().unwrap_or_default();
    wakes.then(|| Key::cluster(project))
}

fn written_or_refreshed<K: Resource>(change: &Change<K>) -> Option<Key> {
    let wakes = match change {
        Change::Added(_) => true,
        Change::Updated { old, new } => {
            old.meta().generation != new.meta().generation
                || refresh_requested(old.as_ref(), new.as_ref())
        }
        Change::Deleted(_) => false,
    };
    wakes.then(|| Key::of(change.object().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_follow_a_health_that_changed() {
        let with = |conditions: serde_json::Value| {
            Arc::new(
                serde_json::from_value::<Warehouse>(json!({
                    "metadata": {"namespace": "p", "name": "w"},
                    "spec": {"subscriptions": []}, "status": {"conditions": conditions},
                }))
                .expect("a Warehouse"),
            )
        };
        let healthy = |status: &str, message: &str| {
            with(json!([{
                "type": "Healthy", "status": status, "reason": "R", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]))
        };
        let of = |w: &Warehouse| w.status.as_ref().map(|s| s.conditions.clone());
        for (case, old, new, wakes) in [
            ("projects/P25", healthy("False", "a"), healthy("False", "b"), false),
            ("projects/P26", with(json!([])), healthy("Unknown", ""), true),
            ("flip", healthy("True", ""), healthy("False", ""), true),
        ] {
            let change = Change::Updated { old, new };
            assert_eq!(health_changed(&change, of).is_some(), wakes, "{case}");
        }
    }
}
