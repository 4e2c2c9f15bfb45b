//! A simulated Argo CD: it reacts to `operation` and to the refresh annotation
//! of Applications as the real one does, and writes in the same order (it is
//! held to recorded traces of real ones by its tests). It deploys nothing: an
//! Application is Synced when the revision last synced is the one that its
//! sources resolve to.
//!
//! Everything goes through a [`kube::Client`], so that it runs against the
//! in-memory API and against a real one alike.
//!
//! * [`resolver`]: which commit a target revision is.
//! * [`knobs`]: failures, delays and health to order.
//! * `work`: pure: what an Application's state asks for.
//! * `writes`: pure: what each step of the work writes.
//! * `worker`: one task an Application, which does the work in order.
//!
//! The cluster must know the kinds of
//! [`ARGOCD_DEFINITIONS`](crate::kubernetes::ARGOCD_DEFINITIONS).

pub mod knobs;
pub mod resolver;
mod work;
mod worker;
mod writes;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use knobs::{Delays, Knobs};
pub use resolver::{GitHostResolver, RevisionResolver};

/// Whose order of writes is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// Development versions of 2026: the operation is Running first, then
    /// comes the comparison.
    #[default]
    Current,
    /// Release 3.2.6: the comparison comes first, and what has no health of its
    /// own (a ConfigMap) is Healthy before it is there, not Missing.
    V3_2_6,
}

/// How the simulated Argo CD is set up.
#[derive(Clone, Debug, Default)]
pub struct ArgoCdOptions {
    /// The one namespace whose Applications it sees; all if none is given.
    pub namespace: Option<String>,
    /// Whose order of writes it follows.
    pub release: Release,
    /// How long things take at first.
    pub delays: Delays,
    /// How often it looks whether a branch has moved; never if none is given.
    /// (The real one: every 3 minutes.)
    pub poll: Option<Duration>,
}

/// A running simulated Argo CD; it stops when dropped.
pub struct ArgoCd {
    knobs: Arc<Knobs>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: kube::Client,
    resolver: Arc<dyn RevisionResolver>,
    options: ArgoCdOptions,
    knobs: Arc<Knobs>,
}

/// The resource, for untyped access.
pub(crate) fn resource() -> ApiResource {
    ApiResource {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        api_version: "argoproj.io/v1alpha1".into(),
        kind: "Application".into(),
        plural: "applications".into(),
    }
}

impl ArgoCd {
    /// Starts to watch Applications.
    pub fn start(
        client: kube::Client,
        resolver: Arc<dyn RevisionResolver>,
        options: ArgoCdOptions,
    ) -> Self {
        let knobs = Arc::new(Knobs::new(options.delays));
        let shared = Arc::new(Shared { client, resolver, options, knobs: knobs.clone() });
        Self { knobs, task: tokio::spawn(watch(shared)) }
    }

    /// Failures, delays and health to order.
    pub fn knobs(&self) -> &Arc<Knobs> {
        &self.knobs
    }

    /// Ends it before it is dropped: it acts on no Application any more.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for ArgoCd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands each event to the Application's own task.
async fn watch(shared: Arc<Shared>) {
    let api: Api<DynamicObject> = match &shared.options.namespace {
        Some(namespace) => Api::namespaced_with(shared.client.clone(), namespace, &resource()),
        None => Api::all_with(shared.client.clone(), &resource()),
    };
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut bells: HashMap<(String, String), Arc<Notify>> = HashMap::new();
    // Dropped, and with it the workers, when this task is aborted.
    let mut workers = JoinSet::new();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("the simulated Argo CD cannot watch Applications: {error}");
                continue;
            }
        };
        while workers.try_join_next().is_some() {}
        let (watcher::Event::Apply(object)
        | watcher::Event::InitApply(object)
        | watcher::Event::Delete(object)) = &event
        else {
            continue;
        };
        let Some(name) = object.metadata.name.clone() else { continue };
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let key = (namespace, name);
        if matches!(event, watcher::Event::Delete(_)) {
            // The worker finds it gone and ends.
            if let Some(bell) = bells.remove(&key) {
                bell.notify_one();
            }
            continue;
        }
        let bell = bells.entry(key.clone()).or_insert_with(|| {
            let bell = Arc::new(Notify::new());
            workers.spawn(worker::run(shared.clone(), key.0, key.1, bell.clone()));
            bell
        });
        bell.notify_one();
    }
}
