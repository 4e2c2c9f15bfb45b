//! Warehouses: what exists outside becomes Freight (`warehouses` 2 to 9).
//!
//! * [`due`]: whether to look now, and when to look next; pure.
//! * [`discovery`]: looking: all subscriptions of a Warehouse.
//! * [`criteria`]: whether Freight is made of these artifacts; pure.
//! * [`freight`]: the Freight that artifacts make; pure.
//! * [`status`]: conditions; pure.
//! * [`memory`]: what is known from one pass to the next and not written down.
//! * [`reconcile`]: one pass: read, decide, write.
//!
//! A Warehouse is looked at when it appears, when its spec changes, when
//! somebody sets the refresh annotation, and when its interval is over. A look
//! that finds nothing new writes nothing.

pub mod criteria;
pub mod discovery;
pub mod due;
pub mod freight;
pub mod memory;
pub mod reconcile;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use api::Warehouse;
use credentials::{CredentialStore, FixedCredentials, LookupOptions};
use sources::Images;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::queue::Queue;
use crate::store::{Change, Key};
use memory::Memories;

/// What the Warehouse controller needs beside the context.
#[derive(Clone)]
pub struct Parts {
    /// Looks for images.
    pub images: Images,
    /// Finds credentials for repositories.
    pub credentials: Arc<dyn CredentialStore>,
    /// The shortest interval between two looks
    /// (`MIN_WAREHOUSE_RECONCILIATION_INTERVAL`).
    pub min_interval: Duration,
}

impl Parts {
    /// Parts without a floor for the interval.
    pub fn new(images: Images, credentials: Arc<dyn CredentialStore>) -> Self {
        Self { images, credentials, min_interval: Duration::ZERO }
    }
}

impl Default for Parts {
    /// Registries by their public names, and no credentials.
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
    let memories = Arc::new(Memories::default());
    let (to, forget) = (queue.clone(), Arc::clone(&memories));
    context.stores.warehouses.subscribe(move |change| {
        if let Change::Deleted(warehouse) = change {
            forget.remove(&Key::of(warehouse.as_ref()));
        } else if wakes(change) {
            to.add(Key::of(change.object().as_ref()));
        }
    });
    let metrics = context.metrics.clone();
    let workers = context.settings.workers.warehouse;
    queue
        .run("warehouse", workers, metrics, shutdown, move |key| {
            let (context, memories) = (Arc::clone(&context), Arc::clone(&memories));
            async move { reconcile::reconcile(&context, &memories, &key).await }
        })
        .await;
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
