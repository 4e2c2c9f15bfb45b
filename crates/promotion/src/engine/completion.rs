//! Whether a step is done after an attempt (`promotions` 7.4).

use std::time::Duration;

use api::{PromotionStepStatus as Status, StepExecutionMetadata};
use jiff::Timestamp;

use crate::engine::times;
use crate::error::{ErrorClass, StepError};
use crate::step::StepResult;

/// How an attempt ended.
pub type Attempted = Result<StepResult, StepError>;

/// What bounds a step's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many errors end the step; at least 1.
    pub error_threshold: u32,
    /// The soft limit on the step's time since it started.
    pub timeout: Option<Duration>,
}

/// What follows from an attempt.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The step is done; the next one may run.
    Complete,
    /// The step is to be run again: after the usual interval, or after a
    /// back-off where there was an error.
    Incomplete(Option<StepError>),
}

/// Decides, and writes the outcome to the step's entry.
pub fn complete(
    entry: &mut StepExecutionMetadata,
    attempted: &Attempted,
    limits: Limits,
    now: Timestamp,
) -> Verdict {
    let alias = entry.alias.clone();
    let mut error = match attempted {
        Ok(result) => {
            if !result.status.is_known() {
                entry.status = Status::Errored;
                entry.message =
                    format!("step {alias:?} returned an invalid status: {}", result.status);
                entry.finished_at = times::api(now);
                return Verdict::Complete;
            }
            entry.status = result.status;
            entry.message.clone_from(&result.message);
            (result.status == Status::Errored).then(|| {
                let details = match result.message.as_str() {
                    "" => "no details provided",
                    message => message,
                };
                StepError::new(ErrorClass::Internal, format!("step {alias:?} errored: {details}"))
            })
        }
        Err(error) => {
            let mut wrapped = error.clone();
            wrapped.message = if error.failed {
                format!("step {alias:?}: {}", error.message)
            } else {
                format!("error running step {alias:?}: {}", error.message)
            };
            entry.status = if error.failed { Status::Failed } else { Status::Errored };
            entry.message.clone_from(&wrapped.message);
            Some(wrapped)
        }
    };

    if matches!(entry.status, Status::Succeeded | Status::Skipped) {
        entry.finished_at = times::api(now);
        return Verdict::Complete;
    }
    if let Some(error) = error.as_mut() {
        if error.terminal {
            if entry.status != Status::Failed {
                entry.status = Status::Errored;
                entry.message = format!("an unrecoverable error occurred: {}", error.message);
            }
            entry.finished_at = times::api(now);
            return Verdict::Complete;
        }
        if entry.error_count.saturating_add(1) >= limits.error_threshold {
            entry.error_count = entry.error_count.saturating_add(1);
            entry.message = format!(
                "step {alias:?} met error threshold of {}: {}",
                limits.error_threshold, entry.message
            );
            entry.finished_at = times::api(now);
            return Verdict::Complete;
        }
    }
    if let (Some(timeout), Some(started)) = (limits.timeout, times::read(entry.started_at.as_ref()))
        && times::since(started, now) > timeout
    {
        // The error counts even when the time is up (`promotions/engine-12`).
        if error.is_some() {
            entry.error_count = entry.error_count.saturating_add(1);
        }
        entry.status = Status::Errored;
        entry.message =
            format!("step {alias:?} timed out after {}", api::GoDuration::from(timeout));
        entry.finished_at = times::api(now);
        return Verdict::Complete;
    }
    if error.is_some() {
        entry.error_count = entry.error_count.saturating_add(1);
        entry.message = format!("{}; step will be retried", entry.message);
    }
    Verdict::Incomplete(error)
}
