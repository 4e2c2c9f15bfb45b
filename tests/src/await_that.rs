//! Waiting for conditions: every change of a kind is looked at, and the test
//! fails with what was seen last if the condition does not come.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

/// The longest that a condition may take to come about.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until an object of the kind fits, and returns it.
///
/// # Panics
/// When none does within [`PATIENCE`], with what was seen last.
pub async fn object<K>(api: Api<K>, what: &str, fits: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let mut events =
        Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            if fits(&object) {
                return Some(object);
            }
            last = Some(object);
        }
        None
    })
    .await;
    match found {
        Ok(Some(object)) => object,
        _ => panic!("{what} did not come about; seen last: {last:#?}"),
    }
}

/// Waits until a question that is asked again and again has an answer. For
/// what cannot be watched: repositories, request counts.
///
/// # Panics
/// When it has none within [`PATIENCE`].
pub async fn answer<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asked = tokio::time::timeout(PATIENCE, async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
    .await;
    match asked {
        Ok(answer) => answer,
        Err(_) => panic!("{what} did not come about within {} s", PATIENCE.as_secs()),
    }
}
