//! Where the engine writes down what it is about to do and what it did.
//!
//! The Promotion's status is the journal: the entry of a step (Running, with
//! its `startedAt`) is the intent, its final status the result. Writes are
//! few: results are kept in memory until the next step that acts outside, and
//! go in one patch with that step's intent. A push's intent names its commit too. See [`crate::engine::run`].

use api::PromotionStatus;
use async_trait::async_trait;

/// Why a status could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The Promotion was changed by somebody else in the meantime, is gone,
    /// or is to be aborted: nothing may be done for it any more in this pass.
    #[error("the Promotion changed while it was running: {0}")]
    Superseded(String),
    /// The API server could not be reached or refused the write.
    #[error("the Promotion's progress could not be recorded: {0}")]
    Failed(String),
}

/// Writes the status of the Promotion at hand.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Writes `status` on the condition that nobody else wrote the Promotion's
    /// status since it was last read or written here.
    ///
    /// # Errors
    /// The status is not on the Promotion; the engine then runs nothing more.
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError>;

    /// The same for what a step is about to do, where that stands in its output
    /// ([`crate::engine::intents`]): a change of outputs alone is written too.
    ///
    /// # Errors
    /// See [`Recorder::record`].
    async fn intend(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.record(status).await
    }
}
