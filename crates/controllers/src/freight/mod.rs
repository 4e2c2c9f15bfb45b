//! Freight: its alias, and when it was discovered.
//!
//! Admission fills these in where a webhook runs (`api` 4.4). Here the same is
//! done for Freight that came without one, for example by `kubectl`. What
//! Stages write onto Freight is theirs (`crate::stage::freight_marks`).
//!
//! * [`alias`]: names for people.
//! * [`defaults`]: what is to be written; pure.
//! * [`facts`]: what Events say about Freight.

pub mod alias;
pub mod defaults;
mod event_facts;

use std::sync::Arc;

use api::Freight;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use tokio_util::sync::CancellationToken;

pub use event_facts::facts;

use crate::Context;
use crate::error::{Error, is_not_found};
use crate::queue::{Outcome, Queue};
use crate::store::{Change, Key};

/// Runs the Freight controller until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let settings = &context.settings;
    if !settings.shard.is_empty() && !settings.is_default_controller {
        // Freight has no shard: one controller looks after all of it.
        shutdown.cancelled().await;
        return;
    }
    let queue = Queue::new();
    let to = queue.clone();
    context.stores.freight.subscribe(move |change| {
        let freight = match change {
            Change::Added(freight) => freight,
            Change::Updated { old, new }
                if old.metadata.generation != new.metadata.generation
                    || old.metadata.labels != new.metadata.labels =>
            {
                new
            }
            _ => return,
        };
        if defaults::is_wanting(freight) {
            to.add(Key::of(freight.as_ref()));
        }
    });
    let metrics = context.metrics.clone();
    let workers = settings.workers.freight;
    let shared = Arc::clone(&context);
    queue
        .run("freight", workers, metrics, shutdown, move |key| {
            let context = Arc::clone(&shared);
            async move { reconcile(&context, &key).await }
        })
        .await;
}

/// One pass over the Freight of that key.
///
/// # Errors
/// What the API server answered.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(freight) = context.stores.freight.get(key) else { return Ok(Outcome::Done) };
    if freight.metadata.deletion_timestamp.is_some() || !defaults::is_wanting(&freight) {
        return Ok(Outcome::Done);
    }
    let mut reserved = None;
    let new_alias = || {
        let drawn = context.aliases.draw(|alias| is_taken(context, alias));
        reserved.insert(drawn).alias().to_owned()
    };
    let Some(change) = defaults::missing(&freight, new_alias) else { return Ok(Outcome::Done) };
    let freights: Api<Freight> = Api::namespaced(context.client.clone(), &key.namespace);
    context.metrics.wrote("Freight");
    match freights.patch(&key.name, &PatchParams::default(), &Patch::Merge(&change)).await {
        Ok(freight) => {
            context.stores.freight.apply(freight);
            Ok(Outcome::Done)
        }
        Err(e) if is_not_found(&e) => Ok(Outcome::Done),
        Err(e) => Err(Error::api(format_args!("cannot complete Freight {key}"), e)),
    }
}

/// Whether Freight anywhere has that alias (`warehouses` 10.2 F4).
pub fn is_taken(context: &Context, alias: &str) -> bool {
    let has = |f: &Freight| f.labels().get(api::labels::ALIAS).is_some_and(|a| a == alias);
    context.stores.freight.all().iter().any(|f| has(f))
}
