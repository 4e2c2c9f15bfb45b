//! What goes wrong at a provider, and what is to be done about it.

use std::time::Duration;

/// What is to be done about an error (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again.
    Transient,
    /// The provider asked us to come back later.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The provider refused the token, or there was none.
    Auth,
    /// What the user wrote cannot work.
    Config,
    /// Somebody else changed what we wanted to change.
    Conflict,
    /// What was named does not exist, or may not be seen.
    NotFound,
}

/// A provider's answer that is no success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{method} {url}: {status}{said}; {check}")]
pub struct Refusal {
    /// The request's method.
    pub method: &'static str,
    /// The address by its public name, without its query.
    pub url: String,
    /// The HTTP status.
    pub code: u16,
    /// For example `404 Not Found`.
    pub status: String,
    /// What the body said, `: message`; empty where it said nothing.
    pub said: String,
    /// What the user can check.
    pub check: String,
    /// What is to be done.
    pub class: ErrorClass,
}

/// An error at a provider. No variant holds a token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForgeError {
    /// The provider answered with a status that is no success.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// No answer: a name that does not resolve, a refused connection, a
    /// certificate, a timeout.
    #[error(
        "{method} {url}: no answer from {host}: {reason}; check that the controller can reach {host} (name, port, proxy, firewall, certificate)"
    )]
    NoAnswer {
        /// The request's method.
        method: &'static str,
        /// The address by its public name, without its query.
        url: String,
        /// The host by its public name.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// The provider wants a pause that is not over.
    #[error("{host} asked for a pause after too many requests; asking again in {} s", retry_after.as_secs().max(1))]
    Paused {
        /// The host by its public name.
        host: String,
        /// How much is left of it.
        retry_after: Duration,
    },
    /// An answer that is not what the provider's API says.
    #[error("{0}")]
    Unexpected(String),
    /// Something that the user wrote.
    #[error("{0}")]
    Config(String),
    /// The pull request is in a state in which this cannot be done.
    #[error("{0}")]
    State(String),
    /// A pull request between the branches is open already.
    #[error("a pull request from {head} to {base} is open already{said}")]
    AlreadyExists {
        /// The source branch.
        head: String,
        /// The target branch.
        base: String,
        /// What the provider said, `: message`.
        said: String,
    },
    /// Labels that the repository does not have.
    #[error("labels not found in repository {repository}: {labels}")]
    NoSuchLabels {
        /// `owner/name`.
        repository: String,
        /// The names, joined.
        labels: String,
    },
}

impl ForgeError {
    /// What is to be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::NoAnswer { .. } | Self::Unexpected(_) => ErrorClass::Transient,
            Self::Paused { retry_after, .. } => {
                ErrorClass::RateLimited { retry_after: *retry_after }
            }
            Self::Config(_) | Self::NoSuchLabels { .. } => ErrorClass::Config,
            Self::State(_) | Self::AlreadyExists { .. } => ErrorClass::Conflict,
        }
    }

    /// The HTTP status, where the provider answered.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// What the provider said, `: message`, where it answered.
    pub(crate) fn said(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.said,
            _ => "",
        }
    }
}

/// `pull request <n> is closed but not merged`.
pub(crate) fn closed(number: i64) -> ForgeError {
    ForgeError::State(format!("pull request {number} is closed but not merged"))
}

/// `unsupported merge method "<m>"`, with those that there are.
pub(crate) fn unsupported(what: &str, method: &str, known: &[&str]) -> ForgeError {
    ForgeError::Config(format!("unsupported merge {what} {method:?}; use {}", known.join(", ")))
}
