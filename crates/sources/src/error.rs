//! What goes wrong with sources, and what is to be done about it.

use std::time::Duration;

/// What is to be done about an error (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again.
    Transient,
    /// The remote asked us to come back later.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The remote refused the credential, or there was none.
    Auth,
    /// What the user wrote cannot work.
    Config,
    /// What was named does not exist.
    NotFound,
    /// A defect of ours.
    Internal,
}

/// An error of a source. The text names the repository by its public name,
/// says what happened and ends with what to check.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A remote answered with a status that is no success.
    #[error("{method} {url}: {status}{said}; {check}")]
    Answer {
        /// The request's method.
        method: &'static str,
        /// The address by its public name.
        url: String,
        /// For example `404 Not Found`.
        status: String,
        /// What the body said, `: CODE: message`; empty where it said nothing.
        said: String,
        /// What the user can check.
        check: String,
        /// What is to be done.
        class: ErrorClass,
    },
    /// No answer: a name that does not resolve, a refused connection, a
    /// certificate, a timeout.
    #[error("{method} {url}: no answer from {host}: {reason}; {check}")]
    NoAnswer {
        /// The request's method.
        method: &'static str,
        /// The address by its public name.
        url: String,
        /// The host that was asked, by its public name.
        host: String,
        /// What the network said.
        reason: String,
        /// What the user can check.
        check: String,
    },
    /// An answer that is not what the protocol says.
    #[error("{0}")]
    Unexpected(String),
    /// Something that the user wrote.
    #[error("{0}")]
    Config(String),
    /// Another error, and what was being done.
    #[error("{doing}{source}")]
    Within {
        /// Ends with `: `.
        doing: String,
        /// What went wrong.
        source: Box<Error>,
    },
}

impl Error {
    /// What is to be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Answer { class, .. } => *class,
            Self::NoAnswer { .. } => ErrorClass::Transient,
            Self::Unexpected(_) => ErrorClass::Transient,
            Self::Config(_) => ErrorClass::Config,
            Self::Within { source, .. } => source.class(),
        }
    }

    /// The same error with `doing`, which ends with `: `, in front.
    #[must_use]
    pub fn within(self, doing: impl Into<String>) -> Self {
        Self::Within { doing: doing.into(), source: Box::new(self) }
    }

    /// Whether the remote said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }
}
