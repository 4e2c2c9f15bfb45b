//! Warehouses: what exists outside becomes Freight (`warehouses` 2 to 9).
//!
//! * [`due`]: whether to look now, and when to look next; pure.
//! * [`discovery`]: looking: all subscriptions of a Warehouse.
//! * [`cost`]: what a subscription reads; pure.
//! * [`criteria`]: whether Freight is made of these artifacts; pure.
//! * [`freight`]: the Freight that artifacts make; pure.
//! * [`status`]: conditions; pure.
//! * [`report`]: what became of the candidates, for people.
//! * [`memory`]: what is known from one pass to the next and not written down.
//! * [`metrics`]: what is counted.
//! * [`reconcile`]: one pass: read, decide, write.
//!
//! A Warehouse is looked at when it appears, when its spec changes, when
//! somebody sets the refresh annotation, and when its interval is over. A look
//! that finds nothing new writes nothing, but once an hour.
//!
//! A pass that waits for a repository holds no worker: `workers.warehouse`
//! bounds the passes that decide and write, and the sources bound and share out
//! what goes to one host. So a Warehouse that reads much, or whose host is
//! silent, delays no other.

pub mod cost;
pub mod criteria;
pub mod discovery;
pub mod due;
pub mod freight;
pub mod memory;
pub mod metrics;
pub mod reconcile;
pub mod report;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use api::Warehouse;
use credentials::{CredentialStore, FixedCredentials, LookupOptions};
use sources::git::Commits;
use sources::{ChartSettings, Charts, Images};
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::queue::Queue;
use crate::store::{Change, Key};
use reconcile::Controller;

/// Warehouses that are looked at at a time.
const LOOKS_AT_A_TIME: usize = 1024;

/// What the Warehouse controller needs beside the context.
#[derive(Clone)]
pub struct Parts {
    /// Looks for images.
    pub images: Images,
    /// Looks for charts, with the client that images are looked for with.
    pub charts: Charts,
    /// Looks for commits; absent where there is no directory for mirrors.
    pub commits: Option<Commits>,
    /// Finds credentials for repositories.
    pub credentials: Arc<dyn CredentialStore>,
    /// The shortest interval between two looks
    /// (`MIN_WAREHOUSE_RECONCILIATION_INTERVAL`).
    pub min_interval: Duration,
}

impl Parts {
    /// Parts that look for images and charts, without a floor for the interval.
    pub fn new(images: Images, credentials: Arc<dyn CredentialStore>) -> Self {
        let charts = Charts::new(images.client(), ChartSettings::default());
        Self { images, charts, commits: None, credentials, min_interval: Duration::ZERO }
    }

    /// The same parts, which also look for commits.
    #[must_use]
    pub fn with_commits(self, commits: Commits) -> Self {
        Self { commits: Some(commits), ..self }
    }
}

impl Default for Parts {
    /// Registries by their public names, no mirrors, and no credentials.
    ///
    /// # Panics
    /// Where the TLS library that is built in cannot be set up.
    fn default() -> Self {
        let images = Images::new(sources::Settings::default());
        let credentials = FixedCredentials::new(Vec::new(), LookupOptions::default());
        Self::new(images.expect("the built-in TLS can be set up"), Arc::new(credentials))
    }
}

/// Runs the Warehouse controller until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let queue = Queue::new();
    let controller = Arc::new(Controller::new(Arc::clone(&context), shutdown.clone()));
    let (to, memories) = (queue.clone(), Arc::clone(&controller));
    context.stores.warehouses.subscribe(move |change| {
        let key = Key::of(change.object().as_ref());
        if let Change::Deleted(_) = change {
            memories.memories.remove(&key);
        } else if wakes(change) {
            if is_other_spec(change) {
                memories.memories.give_up(&key);
            }
            to.add(key);
        }
    });
    let metrics = context.metrics.clone();
    queue
        .run("warehouse", LOOKS_AT_A_TIME, metrics, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
}

/// Whether the spec is another than before: a look at the old one is in vain.
fn is_other_spec(change: &Change<Warehouse>) -> bool {
    match change {
        Change::Updated { old, new } => old.metadata.generation != new.metadata.generation,
        Change::Added(_) | Change::Deleted(_) => false,
    }
}

/// Whether a change calls for a pass (`warehouses` 2.3).
fn wakes(change: &Change<Warehouse>) -> bool {
    match change {
        Change::Added(_) => true,
        Change::Updated { old, new } => {
            let (before, after) = (due::refresh_token(old), due::refresh_token(new));
            old.metadata.generation != new.metadata.generation
                || (after.is_some() && before != after)
        }
        Change::Deleted(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn warehouse(generation: i64, refresh: Option<&str>, freight: &str) -> Arc<Warehouse> {
        let annotations = refresh.map(|token| json!({ api::annotations::REFRESH: token }));
        let warehouse = json!({
            "metadata": {"name": "w", "generation": generation, "annotations": annotations},
            "status": {"lastFreightID": freight},
        });
        Arc::new(serde_json::from_value(warehouse).expect("a Warehouse"))
    }

    #[test]
    fn what_wakes_it() {
        let old = warehouse(1, None, "");
        assert!(wakes(&Change::Added(Arc::clone(&old))));
        assert!(!wakes(&Change::Deleted(Arc::clone(&old))));
        for (name, old, new, expected) in [
            ("status", warehouse(1, None, ""), warehouse(1, None, "f"), false),
            ("generation", warehouse(1, None, ""), warehouse(2, None, ""), true),
            ("refresh", warehouse(1, None, ""), warehouse(1, Some("a"), ""), true),
            ("another refresh", warehouse(1, Some("a"), ""), warehouse(1, Some("b"), ""), true),
            ("the same refresh", warehouse(1, Some("a"), ""), warehouse(1, Some("a"), "f"), false),
            ("refresh removed", warehouse(1, Some("a"), ""), warehouse(1, None, ""), false),
        ] {
            assert_eq!(wakes(&Change::Updated { old, new }), expected, "{name}");
        }
    }
}
