//! How a push's intent gets from Git onto the Promotion's status.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::step::{Intents, StepContext};

/// The intents of one step: what an earlier attempt recorded, and what this
/// one does.
#[derive(Clone, Debug)]
pub(super) struct PushIntents {
    status: Arc<dyn Intents>,
    last: Arc<Mutex<Option<String>>>,
}

impl PushIntents {
    pub(super) fn new(context: &StepContext) -> Self {
        let earlier = context.earlier_intent().and_then(|intent| intent.get("commit"));
        let last = earlier.and_then(Value::as_str).map(str::to_owned);
        Self { status: context.intents.clone(), last: Arc::new(Mutex::new(last)) }
    }

    /// The commit that is on record as the one that was about to be pushed.
    pub(super) fn recorded(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes to the status what is about to be pushed.
    pub(super) async fn record(&self, reference: &str, commit: &str) -> Result<(), String> {
        let intent = json!({"branch": reference, "commit": commit});
        self.write(intent).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit.to_owned());
        Ok(())
    }

    /// Writes an intent that names no commit.
    pub(super) async fn write(&self, intent: Value) -> Result<(), String> {
        let intent: Map<String, Value> = intent.as_object().cloned().unwrap_or_default();
        self.status.record(intent).await.map_err(|e| e.to_string())
    }
}

impl git::Intents for PushIntents {
    fn recorded(&self) -> Option<String> {
        PushIntents::recorded(self)
    }

    fn record(&self, intent: git::Intent) -> git::Recording {
        let own = self.clone();
        Box::pin(async move { PushIntents::record(&own, &intent.reference, &intent.id).await })
    }
}

/// As [`PushIntents`], for a tag: what it is, is known beforehand.
#[derive(Debug)]
pub(super) struct TagIntents(pub(super) PushIntents);

impl git::Intents for TagIntents {
    fn recorded(&self) -> Option<String> {
        None
    }

    fn record(&self, intent: git::Intent) -> git::Recording {
        let own = self.0.clone();
        let wanted = json!({"tag": intent.reference, "id": intent.id});
        Box::pin(async move { own.write(wanted).await })
    }
}
