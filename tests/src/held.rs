//! What an Argo CD writes on an Application, move by move, so that the
//! simulated one can be held to a real one.

use std::collections::BTreeMap;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::sync::watch;

use crate::await_that::PATIENCE;

/// What is looked at: what those who judge an Application read.
pub type Facts = BTreeMap<&'static str, String>;

/// The facts of an Application, without those that are not there.
pub fn facts(application: &DynamicObject) -> Facts {
    let data = &application.data;
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let annotations = application.annotations();
    let asked = annotations.get("argocd.argoproj.io/refresh").map_or("", String::as_str);
    let operation = match data.get("operation") {
        Some(o) if o.pointer("/initiatedBy/automated") == Some(&Value::Bool(true)) => "its own",
        Some(_) => "asked for",
        None => "",
    };
    let list = |path: &str| data.pointer(path).and_then(Value::as_array).cloned();
    let history = list("/status/history").filter(|h| !h.is_empty());
    let history = history.map_or(String::new(), |entries| {
        let last = entries.last().and_then(|e| e["revision"].as_str()).unwrap_or_default();
        format!("{} of {last}", entries.len())
    });
    let conditions = list("/status/conditions").unwrap_or_default();
    let conditions: Vec<&str> = conditions.iter().filter_map(|c| c["type"].as_str()).collect();
    let all = [
        ("conditions", conditions.join(" ")),
        ("health", text("/status/health/status").to_owned()),
        ("history", history),
        ("operation", operation.to_owned()),
        ("phase", text("/status/operationState/phase").to_owned()),
        ("refresh", asked.to_owned()),
        ("result", text("/status/operationState/syncResult/revision").to_owned()),
        ("revision", text("/status/sync/revision").to_owned()),
        ("sync", text("/status/sync/status").to_owned()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Every write on one Application since it was made, by a watch.
pub struct Recording {
    seen: watch::Receiver<Vec<Facts>>,
    gone: watch::Receiver<bool>,
    told: usize,
    _task: tokio::task::JoinSet<()>,
}

impl Recording {
    /// Begins before the Application is made.
    ///
    /// # Panics
    /// When Applications cannot be watched.
    pub async fn start(api: Api<DynamicObject>, name: &str) -> Self {
        let (seen, receiver) = watch::channel(Vec::new());
        let (gone, is_gone) = watch::channel(false);
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let now = api.list(&Default::default()).await.expect("Applications can be listed");
        let mut from = now.metadata.resource_version.unwrap_or_default();
        let mut events = api.watch(&params, &from).await.expect("they can be watched").boxed();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            loop {
                while let Some(Ok(event)) = events.next().await {
                    let (WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object)) = &event
                    else {
                        continue;
                    };
                    from = object.resource_version().unwrap_or_default();
                    match event {
                        WatchEvent::Deleted(_) => {
                            gone.send_replace(true);
                        }
                        _ => seen.send_modify(|all| all.push(facts(object))),
                    }
                }
                // The server may end it at any time.
                events = api.watch(&params, &from).await.expect("they can be watched").boxed();
            }
        });
        Self { seen: receiver, gone: is_gone, told: 0, _task: task }
    }

    /// Waits until the facts are these and no others, after they were others
    /// since the moves were last asked for.
    ///
    /// # Panics
    /// With all that was seen, when that does not come about.
    pub async fn until(&mut self, what: &str, wanted: &Facts) {
        let told = self.told;
        let fits = |all: &Vec<Facts>| {
            all.last() == Some(wanted) && all[told..].iter().any(|facts| facts != wanted)
        };
        let waited = tokio::time::timeout(PATIENCE, self.seen.wait_for(fits)).await;
        let came = waited.is_ok_and(|seen| seen.is_ok());
        if !came {
            let seen = self.seen.borrow();
            panic!("{what}: {wanted:?} did not come about: {:#?}", moves(&seen, self.told));
        }
    }

    /// Waits until the Application is gone.
    ///
    /// # Panics
    /// When it stays.
    pub async fn until_gone(&mut self, what: &str) {
        let waited = tokio::time::timeout(PATIENCE, self.gone.wait_for(|gone| *gone)).await;
        assert!(matches!(waited, Ok(Ok(_))), "{what}: it stays");
    }

    /// What has changed with each write since this was last asked; writes that
    /// change none of the facts are left out.
    pub fn moves(&mut self) -> Vec<String> {
        let seen = self.seen.borrow();
        let moves = moves(&seen, self.told);
        self.told = seen.len();
        moves
    }
}

fn moves(seen: &[Facts], from: usize) -> Vec<String> {
    let nothing = Facts::new();
    let mut out = Vec::new();
    for n in from..seen.len() {
        let (before, after) = (n.checked_sub(1).map_or(&nothing, |b| &seen[b]), &seen[n]);
        let mut changes = Vec::new();
        for key in before.keys().chain(after.keys().filter(|k| !before.contains_key(*k))) {
            let (old, new) = (before.get(key), after.get(key));
            if old != new {
                changes.push(format!("{key}: {}", new.map_or("none", String::as_str)));
            }
        }
        if !changes.is_empty() {
            changes.sort();
            out.push(changes.join(", "));
        }
    }
    out
}
