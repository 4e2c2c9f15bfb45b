//! Kubernetes Events: one each time, never counted together (`projects` 12.1).
//!
//! Sending never waits and never fails: a task in the background creates the
//! Events, tries each at most five times, and drops what does not fit in its
//! queue of 1000.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The prefix of an Event's annotations (`projects` 12.3).
pub const PREFIX: &str = "event.kargo.akuity.io/";
const QUEUE: usize = 1000;
const ATTEMPTS: usize = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(10);

/// Whether an Event is news or a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// `Normal`, as all of the reference's.
    #[default]
    Normal,
    /// `Warning`: something that a user should mend.
    Warning,
}

/// An Event to create.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// The Project; `default` if empty (cluster-scoped objects).
    pub project: String,
    /// The kind of the object that it is about.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// The object's UID. The reference sets none; `kubectl describe` needs it
    /// to show Events of kinds other than Promotion and Freight.
    pub uid: Option<String>,
    /// The Event's type, for example `PromotionCreated`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// News or a warning.
    pub severity: Severity,
    /// Facts by name, without the prefix.
    pub facts: BTreeMap<&'static str, String>,
    /// The emitter, for example `stage-controller`.
    pub component: String,
}

/// Sends Events. Clones share the queue.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(Event, Timestamp)>,
    metrics: Metrics,
}

/// Creates what an [`Events`] sends.
pub struct EventTask {
    queue: mpsc::Receiver<(Event, Timestamp)>,
    client: Client,
    metrics: Metrics,
    last: AtomicI64,
}

/// A sender and the task behind it.
pub fn channel(client: Client, metrics: Metrics) -> (Events, EventTask) {
    let (to, from) = mpsc::channel(QUEUE);
    let task = EventTask { queue: from, client, metrics: metrics.clone(), last: AtomicI64::new(0) };
    (Events { queue: to, metrics }, task)
}

impl Events {
    /// Sends an Event, or drops it where too many wait.
    pub fn send(&self, event: Event, now: Timestamp) {
        if self.queue.try_send((event, now)).is_err() {
            self.metrics.event("dropped");
            tracing::warn!("too many Events wait, or the process ends; one was dropped");
        }
    }
}

impl EventTask {
    /// Creates Events until `shutdown`, then those that wait, for a second at most.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                next = self.queue.recv() => match next {
                    Some((event, now)) => self.create(event, now).await,
                    None => return,
                },
            }
        }
        let rest = async {
            while let Ok((event, now)) = self.queue.try_recv() {
                self.create(event, now).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
    }

    async fn create(&self, event: Event, now: Timestamp) {
        let event = self.build(event, now);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<CoreEvent> = Api::namespaced(self.client.clone(), &namespace);
        for attempt in 1..=ATTEMPTS {
            match api.create(&PostParams::default(), &event).await {
                Ok(_) => {
                    self.metrics.event("created");
                    return;
                }
                Err(error) => {
                    if attempt == ATTEMPTS || is_final(&error) {
                        tracing::warn!(
                            reason = event.reason,
                            namespace,
                            error = crate::error::said(&error),
                            "an Event could not be created"
                        );
                        break;
                    }
                    tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                }
            }
        }
        self.metrics.event("dropped");
    }

    fn build(&self, event: Event, now: Timestamp) -> CoreEvent {
        let namespace =
            if event.project.is_empty() { "default".to_owned() } else { event.project.clone() };
        let nanos = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
        // Two Events of one object in one tick of the clock need two names.
        let unique = self
            .last
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| {
                Some(nanos.max(last.saturating_add(1)))
            })
            .map_or(nanos, |last| nanos.max(last.saturating_add(1)));
        let name = format!("{}.{unique:x}", event.name);
        let name = if name.len() > 253 { uuid() } else { name };
        let facts = event.facts.into_iter().map(|(k, v)| (format!("{PREFIX}{k}"), v));
        let facts: BTreeMap<String, String> = facts.collect();
        CoreEvent {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace),
                annotations: (!facts.is_empty()).then_some(facts),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("kargo.akuity.io/v1alpha1".to_owned()),
                kind: Some(event.kind.to_owned()),
                name: Some(event.name),
                namespace: (!event.project.is_empty()).then_some(event.project),
                uid: event.uid,
                ..ObjectReference::default()
            },
            type_: Some(
                match event.severity {
                    Severity::Normal => "Normal",
                    Severity::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some(event.reason),
            message: Some(event.message),
            count: Some(1),
            first_timestamp: Some(Time(crate::clock::whole_seconds(now))),
            last_timestamp: Some(Time(crate::clock::whole_seconds(now))),
            source: Some(EventSource {
                component: Some(event.component.clone()),
                ..EventSource::default()
            }),
            reporting_component: Some(event.component),
            ..CoreEvent::default()
        }
    }
}

fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            (status.code == 409 && status.reason == "AlreadyExists")
                || status
                    .details
                    .as_ref()
                    .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"))
        }
        _ => false,
    }
}

fn uuid() -> String {
    let bits: u128 = rand::random();
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use http::{Request, Response};
    use http_body_util::Full;
    use kube::client::Body;

    /// Creates one Event on a server that answers so; how often it was asked.
    async fn attempts(code: u16, reason: &'static str, causes: &'static str) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let service = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let body = format!(
                r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"{reason}","code":{code},"details":{{"causes":[{causes}]}}}}"#
            );
            let response =
                Response::builder().status(code).body(Full::new(bytes::Bytes::from(body)));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        let client = Client::new(service, "default");
        let (events, task) = channel(client, Metrics::default());
        let event =
            Event { project: "p".into(), kind: "Stage", name: "s".into(), ..Event::default() };
        events.send(event, Timestamp::UNIX_EPOCH);
        drop(events);
        task.run(CancellationToken::new()).await;
        count.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_five_times() {
        assert_eq!(attempts(500, "InternalError", "").await, 5, "projects/E15");
        assert_eq!(attempts(409, "AlreadyExists", "").await, 1, "projects/E14");
        let terminating = r#"{"reason":"NamespaceTerminating","message":"p"}"#;
        assert_eq!(attempts(403, "Forbidden", terminating).await, 1, "projects/E14");
    }
}
