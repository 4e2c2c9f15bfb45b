//! How soon a Promotion ends after the event of its Application that decides
//! it. It is measured and printed; nothing is asserted, for the machine may be
//! busy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;

/// Watches one Application until it is dropped.
pub struct Promptness {
    seen: Arc<Mutex<Vec<(Instant, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Promptness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Promptness {
    /// Begins to watch the Application of that name.
    pub fn of(api: Api<DynamicObject>, name: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut events = Box::pin(watcher(api, config).default_backoff().applied_objects());
            while let Some(event) = events.next().await {
                let Ok(object) = event else { continue };
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push((Instant::now(), object.data));
            }
        });
        Self { seen, task }
    }

    /// How many milliseconds before now the Application was first seen with the
    /// ended operation of that Promotion; nothing where it never was, as when
    /// Argo CD's own operation follows at once.
    pub fn milliseconds_since_the_end_for(&self, promotion: &str) -> Option<u128> {
        let now = Instant::now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let decided = seen.iter().find(|(_, application)| {
            let state = &application["status"]["operationState"];
            let info = state["operation"]["info"].as_array();
            application.get("operation").is_none()
                && matches!(state["phase"].as_str(), Some("Succeeded" | "Failed" | "Error"))
                && info.into_iter().flatten().any(|i| i["value"] == promotion)
        });
        decided.map(|(at, _)| now.duration_since(*at).as_millis())
    }
}
