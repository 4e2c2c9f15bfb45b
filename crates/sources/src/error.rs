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

/// A remote's answer that is no success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{method} {url}: {status}{said}; {check}")]
pub struct Refusal {
    /// The request's method.
    pub method: &'static str,
    /// The address by its public name.
    pub url: String,
    /// For example `404 Not Found`.
    pub status: String,
    /// What the body said, `: CODE: message`; empty where it said nothing.
    pub said: String,
    /// What the user can check.
    pub check: String,
    /// What is to be done.
    pub class: ErrorClass,
}

/// No answer of a remote: a name that does not resolve, a refused connection,
/// a certificate, a timeout.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{method} {url}: no answer from {host}: {reason}; {check}")]
pub struct Silence {
    /// The request's method.
    pub method: &'static str,
    /// The address by its public name.
    pub url: String,
    /// The host that was asked, by its public name.
    pub host: String,
    /// What the network said.
    pub reason: String,
    /// What the user can check.
    pub check: String,
    /// What is to be done.
    pub class: ErrorClass,
}

/// An error of a source. The text names the repository by its public name,
/// says what happened and ends with what to check.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A remote answered with a status that is no success.
    #[error(transparent)]
    Answer(Box<Refusal>),
    /// No answer.
    #[error(transparent)]
    NoAnswer(Box<Silence>),
    /// An answer that is not what the protocol says.
    #[error("{0}")]
    Unexpected(String),
    /// Something that the user wrote.
    #[error("{0}")]
    Config(String),
    /// Something that is not there.
    #[error("{0}")]
    Absent(String),
    /// A Git operation.
    #[error(transparent)]
    Git(#[from] ::git::GitError),
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
            Self::Answer(refusal) => refusal.class,
            Self::NoAnswer(silence) => silence.class,
            Self::Unexpected(_) => ErrorClass::Transient,
            Self::Config(_) => ErrorClass::Config,
            Self::Absent(_) => ErrorClass::NotFound,
            Self::Git(::git::GitError::RateLimited { retry_after, .. }) => {
                ErrorClass::RateLimited { retry_after: *retry_after }
            }
            Self::Git(error) => match error.class() {
                ::git::ErrorClass::Transient | ::git::ErrorClass::Conflict => ErrorClass::Transient,
                ::git::ErrorClass::Auth => ErrorClass::Auth,
                ::git::ErrorClass::Config => ErrorClass::Config,
                ::git::ErrorClass::NotFound => ErrorClass::NotFound,
                ::git::ErrorClass::Internal => ErrorClass::Internal,
            },
            Self::Within { source, .. } => source.class(),
        }
    }

    /// The same error with `doing`, which ends with `: `, in front.
    #[must_use]
    pub fn within(self, doing: impl Into<String>) -> Self {
        Self::Within { doing: doing.into(), source: Box::new(self) }
    }

    /// What went wrong, without what was being done.
    pub fn root(&self) -> &Self {
        match self {
            Self::Within { source, .. } => source.root(),
            error => error,
        }
    }

    /// Whether the remote said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }
}
