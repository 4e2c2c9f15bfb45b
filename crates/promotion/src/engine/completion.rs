//! Whether a step is done after an attempt (`promotions` 7.4).
//!
//! The class of an error decides before the threshold does:
//!
//! | class | what follows |
//! |---|---|
//! | passes by itself (a network fault, a rate limit) | another attempt after a [`back_off`], within the step's time; the threshold is not touched |
//! | needs a person (what was written, what is allowed) | the step ends at once, whatever its threshold |
//! | any other | counts against the threshold |

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

/// How long a step without a time limit of its own is tried again when its
/// faults are such that pass.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The shortest and the longest pause before another attempt.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long to wait before the next attempt after a fault that passes: half
/// of the time that the step has taken so far, so that pauses grow by half
/// each time, and no less than the remote asked for.
pub fn back_off(class: ErrorClass, started: Option<Timestamp>, now: Timestamp) -> Duration {
    let (shortest, longest) = PAUSES;
    let taken = started.map_or(Duration::ZERO, |started| times::since(started, now));
    let own = (taken / 2).clamp(shortest, longest);
    match class {
        ErrorClass::RateLimited { retry_after } => own.max(retry_after),
        _ => own,
    }
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
    let passes = error.as_ref().is_some_and(|e| !e.terminal && e.class.passes());
    if let Some(error) = error.as_mut().filter(|_| !passes) {
        let hopeless = error.class.needs_a_person() && limits.error_threshold > 1;
        if error.terminal || hopeless {
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
    let time = limits.timeout.or(passes.then_some(PATIENCE));
    if let (Some(timeout), Some(started)) = (time, times::read(entry.started_at.as_ref()))
        && times::since(started, now) > timeout
    {
        // The error counts even when the time is up (`promotions/engine-12`).
        if error.is_some() && !passes {
            entry.error_count = entry.error_count.saturating_add(1);
        }
        entry.status = Status::Errored;
        let why = match &error {
            Some(error) if passes => format!("; the last attempt: {}", error.message),
            _ => String::new(),
        };
        entry.message =
            format!("step {alias:?} timed out after {}{why}", api::GoDuration::from(timeout));
        entry.finished_at = times::api(now);
        return Verdict::Complete;
    }
    if error.is_some() {
        if !passes {
            entry.error_count = entry.error_count.saturating_add(1);
        }
        entry.message = format!("{}; step will be retried", entry.message);
    }
    Verdict::Incomplete(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    fn after(seconds: i64) -> Timestamp {
        start() + jiff::SignedDuration::from_secs(seconds)
    }

    fn complete_at(
        error: StepError,
        threshold: u32,
        timeout: Option<u64>,
        seconds: i64,
    ) -> (bool, StepExecutionMetadata) {
        let mut entry = StepExecutionMetadata {
            alias: "x".into(),
            started_at: times::api(start()),
            ..Default::default()
        };
        let limits =
            Limits { error_threshold: threshold, timeout: timeout.map(Duration::from_secs) };
        let verdict = complete(&mut entry, &Err(error), limits, after(seconds));
        (matches!(verdict, Verdict::Complete), entry)
    }

    #[test]
    fn the_class_of_an_error_decides() {
        let limited = ErrorClass::RateLimited { retry_after: Duration::from_secs(90) };
        let wrapped = "error running step \"x\": no";
        for (name, class, threshold, timeout, at, done, errors, message) in [
            (
                "passes",
                ErrorClass::Transient,
                1,
                None,
                5,
                false,
                0,
                format!("{wrapped}; step will be retried"),
            ),
            (
                "passes",
                limited,
                1,
                Some(60),
                59,
                false,
                0,
                format!("{wrapped}; step will be retried"),
            ),
            (
                "its own time is up",
                ErrorClass::Transient,
                9,
                Some(60),
                61,
                true,
                0,
                format!("step \"x\" timed out after 1m0s; the last attempt: {wrapped}"),
            ),
            (
                "ours is up",
                limited,
                1,
                None,
                601,
                true,
                0,
                format!("step \"x\" timed out after 10m0s; the last attempt: {wrapped}"),
            ),
            (
                "a person must act",
                ErrorClass::Auth,
                5,
                None,
                5,
                true,
                0,
                format!("an unrecoverable error occurred: {wrapped}"),
            ),
            (
                "the first of one",
                ErrorClass::Config,
                1,
                None,
                5,
                true,
                1,
                format!("step \"x\" met error threshold of 1: {wrapped}"),
            ),
            (
                "counts",
                ErrorClass::NotFound,
                2,
                None,
                5,
                false,
                1,
                format!("{wrapped}; step will be retried"),
            ),
            (
                "counts",
                ErrorClass::Conflict,
                2,
                None,
                5,
                false,
                1,
                format!("{wrapped}; step will be retried"),
            ),
        ] {
            let (complete, entry) =
                complete_at(StepError::new(class, "no"), threshold, timeout, at);
            assert_eq!((complete, entry.error_count), (done, errors), "{name} {class:?}");
            assert_eq!(entry.message, message, "{name} {class:?}");
            assert_eq!(entry.finished_at.is_some(), done, "{name}");
        }
    }

    #[test]
    fn pauses_grow_with_the_time_taken() {
        let pause = |class, seconds| back_off(class, Some(start()), after(seconds)).as_secs();
        let pauses = [0, 1, 4, 10, 100, 1000].map(|s| pause(ErrorClass::Transient, s));
        assert_eq!(pauses, [1, 1, 2, 5, 50, 60]);
        let limited = ErrorClass::RateLimited { retry_after: Duration::from_secs(90) };
        assert_eq!(pause(limited, 10), 90);
        // A clock that went back.
        assert_eq!(pause(ErrorClass::Transient, -100), 1);
    }
}
