//! The one watch a kind and process: lists, watches from there, and keeps a
//! [`Store`] up to date.
//!
//! The client library's own `watcher` is not used because it reconnects at
//! once when a server closes a watch without an error, however often that
//! happens. Here a watch that ends soon counts as a failure and is backed off
//! with the library's `DefaultBackoff`. An object that does not decode is left
//! out and logged; it does not stop the others (`api` 4.3).

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::said;
use crate::metrics::Metrics;
use crate::store::{Key, Store};

/// Objects in one page of a listing.
const PAGE: u32 = 500;
/// How long a server keeps a watch open, seconds.
const WATCH_SECONDS: u32 = 290;
/// A watch that is silent for so long is dead: the server should have closed it.
const DEAD_AFTER: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// A watch that ends before that is backed off like an error.
const SOON: Duration = Duration::from_secs(10);
/// How often a kind that the server does not have is looked for again.
const ABSENT_RETRY: Duration = Duration::from_secs(60);

/// Keeps `store` up to date from `api` until `shutdown`. Where the kind is
/// `optional`, a server without it (or one that forbids it) counts as an empty
/// one that is asked again each minute.
pub async fn run<K>(
    api: Api<DeserializeGuard<K>>,
    kind: &str,
    optional: bool,
    store: &Store<K>,
    metrics: &Metrics,
    shutdown: CancellationToken,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep(&api, kind, optional, store, metrics) => {}
    }
}

async fn keep<K>(
    api: &Api<DeserializeGuard<K>>,
    kind: &str,
    optional: bool,
    store: &Store<K>,
    metrics: &Metrics,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut backoff = DefaultBackoff::default();
    loop {
        match list(api, kind).await {
            Ok((objects, version)) => {
                store.replace_at(objects, &version);
                follow(api, kind, store, version, &mut backoff, metrics).await;
            }
            Err(kube::Error::Api(status)) if optional && matches!(status.code, 403 | 404) => {
                if store.is_available() {
                    tracing::info!(
                        kind,
                        "the API server does not offer this kind; going on without"
                    );
                }
                store.set_unavailable();
                tokio::time::sleep(ABSENT_RETRY).await;
                continue;
            }
            Err(error) => {
                let trouble = in_the_way(kind, &error);
                tracing::warn!(kind, error = trouble, "cannot list; trying again");
                store.set_trouble(trouble);
            }
        }
        metrics.watch_restarted(kind);
        pause(&mut backoff).await;
    }
}

/// Why a kind cannot be listed, in words for the one who installed this.
fn in_the_way(kind: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => format!(
            "the cluster has no CustomResourceDefinition of {kind}; apply the crds/ of this version"
        ),
        kube::Error::Api(status) if status.code == 403 => {
            format!("{}; bind the roles of the Helm chart to this ServiceAccount", said(error))
        }
        _ => said(error),
    }
}

async fn list<K>(
    api: &Api<DeserializeGuard<K>>,
    kind: &str,
) -> Result<(Vec<K>, String), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut objects = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items.into_iter().filter_map(|item| decoded(item, kind).ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
        }
    }
}

/// Watches from `version` until a new listing is needed.
async fn follow<K>(
    api: &Api<DeserializeGuard<K>>,
    kind: &str,
    store: &Store<K>,
    mut version: String,
    backoff: &mut DefaultBackoff,
    metrics: &Metrics,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    loop {
        let since = Instant::now();
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let mut stream = match api.watch(&params, &version).await {
            Ok(stream) => stream.boxed(),
            Err(kube::Error::Api(status)) if status.code == 410 => return,
            Err(error) => {
                tracing::warn!(kind, error = said(&error), "cannot watch; trying again");
                if matches!(error, kube::Error::Api(_)) {
                    return;
                }
                metrics.watch_restarted(kind);
                pause(backoff).await;
                continue;
            }
        };
        loop {
            match tokio::time::timeout(DEAD_AFTER, stream.next()).await {
                Err(_) | Ok(None) => break,
                Ok(Some(Ok(WatchEvent::Added(item) | WatchEvent::Modified(item)))) => {
                    version_of(&item, &mut version);
                    match decoded(item, kind) {
                        Ok(object) => store.apply(object),
                        Err(key) => store.remove(&key),
                    }
                }
                Ok(Some(Ok(WatchEvent::Deleted(item)))) => {
                    version_of(&item, &mut version);
                    store.remove(&Key::of(&item));
                }
                Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => {
                    version = mark.metadata.resource_version;
                }
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    if status.code != 410 {
                        tracing::warn!(kind, error = status.message, "the watch failed");
                    }
                    if since.elapsed() >= SOON {
                        backoff.reset();
                    }
                    return;
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(kind, error = said(&error), "the watch broke");
                    break;
                }
            }
        }
        metrics.watch_restarted(kind);
        if since.elapsed() < SOON {
            pause(backoff).await;
        } else {
            // It worked for a while: what comes next is not a series of faults.
            backoff.reset();
        }
    }
}

fn version_of<K: Resource>(item: &K, version: &mut String) {
    if let Some(new) = &item.meta().resource_version {
        version.clone_from(new);
    }
}

/// The object, or the key of one that does not decode. It comes without its
/// managed fields, which are often half of it: they need not wait in memory for
/// the last page of a listing.
fn decoded<K: Resource + Clone>(item: DeserializeGuard<K>, kind: &str) -> Result<K, Key> {
    let stripped = item.0.map(|mut object| {
        object.meta_mut().managed_fields = None;
        object
    });
    stripped.map_err(|invalid| {
        let key = Key::new(
            invalid.metadata.namespace.unwrap_or_default(),
            invalid.metadata.name.unwrap_or_default(),
        );
        tracing::warn!(kind, object = %key, error = invalid.error, "the object does not decode; it is left out until it is mended");
        key
    })
}

async fn pause(backoff: &mut DefaultBackoff) {
    let wait = backoff.next().unwrap_or(Duration::from_secs(30));
    tokio::time::sleep(wait).await;
}
