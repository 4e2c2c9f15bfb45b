//! What goes wrong with a look-up, and what is to be done about it.

use std::sync::Arc;
use std::time::Duration;

use crate::credential::CredentialKind;

/// What goes wrong with a look-up. Finding nothing is no error. No text holds
/// a secret value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// The Secrets of the Project could not be listed.
    #[error("failed to get {kind} creds for {repo_url} in namespace \"{namespace}\": {reason}")]
    Project {
        /// What was looked for.
        kind: CredentialKind,
        /// For which URL, without userinfo.
        repo_url: String,
        /// Where.
        namespace: String,
        /// What the API server said.
        reason: Arc<kube::Error>,
    },
    /// The shared Secrets could not be listed.
    #[error(
        "failed to get {kind} creds for {repo_url} in shared namespace \"{namespace}\": {reason}"
    )]
    Shared {
        /// What was looked for.
        kind: CredentialKind,
        /// For which URL, without userinfo.
        repo_url: String,
        /// Where.
        namespace: String,
        /// What the API server said.
        reason: Arc<kube::Error>,
    },
    /// A Secret could not be read by name.
    #[error("failed to read Secret \"{name}\" in namespace \"{namespace}\": {reason}")]
    Read {
        /// Where.
        namespace: String,
        /// Which.
        name: String,
        /// What the API server said.
        reason: Arc<kube::Error>,
    },
    /// A Secret, or the controller's identity, was found but gave no
    /// credential.
    #[error("failed to get {kind} creds for {repo_url} from {from}: {reason}")]
    Unusable {
        /// What was looked for.
        kind: CredentialKind,
        /// For which URL, without userinfo.
        repo_url: String,
        /// From which Secret or identity.
        from: String,
        /// What is wrong, and what to do.
        reason: Unusable,
    },
}

/// Why something that was found gives no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// What is wrong and what to do, without secret values.
    pub message: String,
    /// What it asks for.
    pub class: ErrorClass,
}

impl Unusable {
    /// Of this class.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { message: message.into(), class }
    }

    /// What the user has to mend in the Secret.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Config, message)
    }

    /// The same, after these words.
    pub(crate) fn after(self, words: &str) -> Self {
        Self { message: format!("{words}: {}", self.message), class: self.class }
    }
}

/// What an error asks for (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again.
    Transient,
    /// A remote asked us to come back later.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The controller may not read Secrets there, or a remote refused what the
    /// Secret holds.
    Auth,
    /// The user has to mend the Secret.
    Config,
}

impl CredentialError {
    /// What the error asks for.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Project { reason, .. }
            | Self::Shared { reason, .. }
            | Self::Read { reason, .. } => match reason.as_ref() {
                kube::Error::Api(status) if matches!(status.code, 401 | 403) => ErrorClass::Auth,
                _ => ErrorClass::Transient,
            },
            Self::Unusable { reason, .. } => reason.class,
        }
    }
}
