//! What can go wrong in a step, sorted by what is to be done about it.

use std::time::Duration;

use serde_json::{Map, Value};

/// The class of an error decides about retries, conditions and log level
/// (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again: a network fault, an overloaded server.
    Transient,
    /// A remote asked us to come back later.
    RateLimited {
        /// How long to wait before the next attempt.
        retry_after: Duration,
    },
    /// The remote refused our credentials, or we had none.
    Auth,
    /// What the user wrote cannot work; trying again will not help.
    Config,
    /// Somebody else changed what we wanted to change.
    Conflict,
    /// What was named does not exist.
    NotFound,
    /// A defect of ours.
    Internal,
}

impl ErrorClass {
    /// Whether the fault passes by itself, so that trying again is all there
    /// is to do.
    pub fn passes(self) -> bool {
        matches!(self, Self::Transient | Self::RateLimited { .. })
    }

    /// Whether only a person can mend it: what was written, or what was
    /// allowed, must change.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Config | Self::Auth)
    }
}

impl From<credentials::ErrorClass> for ErrorClass {
    fn from(class: credentials::ErrorClass) -> Self {
        match class {
            credentials::ErrorClass::Transient => Self::Transient,
            credentials::ErrorClass::RateLimited { retry_after } => {
                Self::RateLimited { retry_after }
            }
            credentials::ErrorClass::Auth => Self::Auth,
            credentials::ErrorClass::Config => Self::Config,
        }
    }
}

/// An error of a step's run.
///
/// The engine turns it into a step status as `promotions` 7.4 says, but for
/// what its class decides (`engine::completion`): a fault that passes is
/// tried again within the step's time, one that needs a person ends the step
/// at once, as a terminal one does; any other counts against the error
/// threshold.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// What happened, to which object, and what the user can do.
    pub message: String,
    /// What kind of error it is.
    pub class: ErrorClass,
    /// Whether trying again cannot help (`promotions` 7.4 rows 2 and 3).
    pub terminal: bool,
    /// Whether the step counts as Failed rather than Errored.
    pub failed: bool,
    /// What later steps see as `outputs.<alias>` all the same.
    pub output: Option<Box<Map<String, Value>>>,
}

impl StepError {
    /// An error that counts against the step's error threshold: Errored.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { message: message.into(), class, terminal: false, failed: false, output: None }
    }

    /// An error that no further attempt can mend: Errored at once.
    pub fn terminal(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { terminal: true, ..Self::new(class, message) }
    }

    /// A terminal error whose step status is Failed (bad config, a rule that
    /// was not met).
    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { terminal: true, failed: true, ..Self::new(class, message) }
    }

    /// The same error with an output: later steps see what was found out
    /// before it.
    #[must_use]
    pub fn with_output(mut self, output: Map<String, Value>) -> Self {
        self.output = Some(Box::new(output));
        self
    }

    /// Text that says the config of step `kind` is wrong
    /// (`promotions` 7.4: `invalid <kind> config: <path>: <description>`).
    pub fn invalid_config(kind: &str, problems: &[String]) -> Self {
        Self::failed(ErrorClass::Config, format!("invalid {kind} config: {}", problems.join("\n")))
    }
}
