//! Steps that record for themselves what they are about to do.
//!
//! For most steps that act outside, "Running, since then" says enough: the act
//! is recognised by what it is. A push is not: which commit it sends is known
//! only after others' commits were taken in. Such a step asks the pass, in the
//! middle of its work, to write down what it will do, and acts when that is on
//! the Promotion's status.
//!
//! The intent stands in the step's place in the shared state, under the one key
//! [`KEY`], until the step has an output.

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::engine::record::RecordError;
use crate::step::Intents;

/// What the intent stands under.
pub const KEY: &str = "intent";

/// A step's wish that its intent be written.
pub(super) struct Asked {
    pub(super) intent: Map<String, Value>,
    pub(super) answer: oneshot::Sender<Result<(), RecordError>>,
}

/// The step's end of the line to its pass.
#[derive(Debug)]
struct Line(mpsc::Sender<Asked>);

fn gone() -> RecordError {
    RecordError::Failed("the pass that the step belongs to has ended".to_owned())
}

#[async_trait]
impl Intents for Line {
    async fn record(&self, intent: Map<String, Value>) -> Result<(), RecordError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { intent, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// A line between a step and its pass.
pub(super) fn line() -> (impl Intents + 'static, mpsc::Receiver<Asked>) {
    let (send, receive) = mpsc::channel(1);
    (Line(send), receive)
}

/// For who must not act: a step that is replayed.
#[derive(Clone, Copy, Debug)]
pub struct NoIntents;

#[async_trait]
impl Intents for NoIntents {
    async fn record(&self, _: Map<String, Value>) -> Result<(), RecordError> {
        Err(RecordError::Failed("a step that is replayed acts on nothing outside".to_owned()))
    }
}

/// An intent as it stands in the shared state.
pub(super) fn stored(intent: Map<String, Value>) -> Map<String, Value> {
    Map::from_iter([(KEY.to_owned(), Value::Object(intent))])
}

/// What a step left, without all but its intent; none where it left none.
pub(super) fn kept(output: Option<&Value>) -> Option<Map<String, Value>> {
    let intent = output?.get(KEY)?.as_object()?;
    Some(stored(intent.clone()))
}
