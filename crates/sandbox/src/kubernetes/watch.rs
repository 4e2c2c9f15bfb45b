//! A watch as a stream of JSON lines.

use super::Shared;
use super::convert;
use super::negotiate::Form;
use super::resource::Resource;
use super::store::{Change, Seen};
use super::table::{self, Include};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often a quiet watch gets a bookmark.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts where the client does not say, and at most.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a watch is to look like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The resource as it was asked for.
    pub resource: Arc<Resource>,
    /// The form of the objects.
    pub form: Form,
    /// What stands with table rows.
    pub include: Include,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
    /// When it ends.
    pub timeout: Option<u64>,
}

/// A running watch.
pub struct Flow {
    shared: Arc<Shared>,
    shape: Shape,
    lines: VecDeque<Bytes>,
    receiver: mpsc::Receiver<Seen>,
    deadline: Instant,
    bookmark: Interval,
    headed: bool,
    over: bool,
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut out = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
    // Writing a value into memory cannot fail.
    let _ = serde_json::to_writer(&mut out, object);
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}

/// The one line of a watch that could not begin.
pub fn refusal(status: &Value) -> Bytes {
    line("ERROR", status)
}

impl Flow {
    /// A watch that first tells `backlog` and then what the receiver yields.
    pub fn new(
        shared: Arc<Shared>,
        shape: Shape,
        backlog: Vec<Seen>,
        receiver: mpsc::Receiver<Seen>,
    ) -> Self {
        let wanted = shape.timeout.map_or(LONGEST, Duration::from_secs).min(LONGEST);
        let mut bookmark =
            tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        bookmark.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flow = Self {
            shared,
            shape,
            lines: VecDeque::new(),
            receiver,
            deadline: Instant::now() + wanted,
            bookmark,
            headed: false,
            over: false,
        };
        for seen in &backlog {
            flow.tell(seen);
        }
        flow
    }

    /// Ends the initial events, as `sendInitialEvents` wants it.
    pub fn initial_end(&mut self, version: u64) {
        let object = self.bookmark_object(version, true);
        self.lines.push_back(line("BOOKMARK", &object));
    }

    fn bookmark_object(&self, version: u64, end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.shape.form {
            Form::Plain => json!({
                "kind": self.shape.resource.kind, "apiVersion": self.shape.resource.api_version(), "metadata": metadata,
            }),
            Form::Partial => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Table => {
                let row =
                    json!({"cells": [], "object": table::partial(&json!({"metadata": metadata}))});
                table::table(json!({"resourceVersion": version.to_string()}), json!([]), vec![row])
            }
        }
    }

    fn tell(&mut self, seen: &Seen) {
        let kind = match seen.change {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        };
        let resource = &self.shape.resource;
        let turned = convert::differs(resource, &seen.object)
            .then(|| convert::from_storage(resource, &seen.object));
        let object = turned.as_ref().unwrap_or(&seen.object);
        let text = match self.shape.form {
            Form::Plain => line(kind, object),
            Form::Partial => line(kind, &table::partial(object)),
            Form::Table => {
                let headings = if self.headed { json!([]) } else { table::headings(resource) };
                self.headed = true;
                let row =
                    table::row(resource, &seen.object, self.shape.include, jiff::Timestamp::now());
                let version =
                    object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                line(kind, &table::table(json!({"resourceVersion": version}), headings, vec![row]))
            }
        };
        self.lines.push_back(text);
    }

    /// A bookmark, if everything up to the present version has been told.
    fn mark(&mut self) {
        if !self.shape.bookmarks || self.shape.form == Form::Table {
            return;
        }
        let version = {
            let store = self.shared.store();
            if !self.receiver.is_empty() {
                return;
            }
            store.version()
        };
        let object = self.bookmark_object(version, false);
        self.lines.push_back(line("BOOKMARK", &object));
    }

    /// The next line, or `None` at the end.
    pub async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some((Ok(line), self));
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                seen = self.receiver.recv() => match seen {
                    Some(seen) => self.tell(&seen),
                    None => self.over = true,
                },
                () = tokio::time::sleep_until(self.deadline) => {
                    self.mark();
                    self.over = true;
                }
                _ = self.bookmark.tick() => self.mark(),
            }
        }
    }
}
