//! Argo CD's Applications as promotions see them.
//!
//! What an Application's state means is decided by pure functions over a typed
//! subset of it; the trait [`ArgoCd`] is what steps need of the cluster that
//! holds the Applications, and [`cluster`] brings it from a real one.
//!
//! * [`application`]: the typed subset.
//! * [`authorization`], [`selector`], [`lookup`]: which Applications a step
//!   means, and which of them it may change.
//! * [`revisions`], [`sources`], [`patch`]: what a sync request asks for.
//! * [`decision`]: whether to ask, to wait, or to be done.
//! * [`ancestry`]: whether a revision contains the commit that was wanted.
//! * [`readiness`]: what `argocd-wait` waits for.
//! * [`freshness`], [`health`]: the Stage's health from Applications.
//! * [`wakeups`]: which events of an Application concern whom.

pub mod ancestry;
pub mod application;
pub mod authorization;
pub mod cluster;
pub mod decision;
pub mod freshness;
pub mod health;
pub mod lookup;
pub mod patch;
pub mod readiness;
pub mod revisions;
pub mod selector;
pub mod sources;
pub mod wakeups;

#[cfg(test)]
mod replay;
#[cfg(test)]
pub(crate) mod samples;

use async_trait::async_trait;
use serde_json::Value;

pub use application::Application;
pub use selector::Selector;

use crate::error::{ErrorClass, StepError};

/// Where Applications are looked for when a step names no namespace.
pub const DEFAULT_NAMESPACE: &str = "argocd";

/// What to say where a cluster has no Applications, and what to do.
pub const NOT_SERVED: &str = "the cluster does not serve applications.argoproj.io/v1alpha1; install \
                              Argo CD there, or name the cluster that has it with ARGOCD_KUBECONFIG";

/// Argo CD's Applications, as far as promotions use them
/// (`steps-argocd` 2 and 3).
#[async_trait]
pub trait ArgoCd: Send + Sync {
    /// Where Applications are looked for when a step names no namespace.
    fn default_namespace(&self) -> &str;

    /// The Application, from a cache where there is one; none if it does not
    /// exist.
    ///
    /// # Errors
    /// See [`ArgoCdError`].
    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Application>, ArgoCdError>;

    /// The whole Application as it is now, past any cache.
    ///
    /// # Errors
    /// See [`ArgoCdError`].
    async fn get_live(&self, namespace: &str, name: &str) -> Result<Option<Value>, ArgoCdError>;

    /// Applications of one namespace, from a cache where there is one, sorted
    /// by name: those that a selector picks, or all.
    ///
    /// # Errors
    /// See [`ArgoCdError`].
    async fn list(
        &self,
        namespace: &str,
        selector: Option<&Selector>,
    ) -> Result<Vec<Application>, ArgoCdError>;

    /// Sends a JSON merge patch; with a `metadata.resourceVersion` it takes
    /// effect only if the object has not changed since. The answer is the
    /// object afterwards.
    ///
    /// # Errors
    /// See [`ArgoCdError`]; [`ArgoCdError::Conflict`] when it has changed.
    async fn patch(&self, namespace: &str, name: &str, patch: &Value)
    -> Result<Value, ArgoCdError>;

    /// Creates a core Event in that namespace of Argo CD's cluster.
    ///
    /// # Errors
    /// See [`ArgoCdError`].
    async fn create_event(&self, namespace: &str, event: Value) -> Result<(), ArgoCdError>;

    /// Whether the Application is known to have changed once more since its
    /// last operation was first seen finished (see [`freshness`]).
    fn is_settled(&self, _app: &Application) -> bool {
        false
    }
}

/// What goes wrong between us and Argo CD's cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgoCdError {
    /// The object has changed since it was read.
    #[error("{0}")]
    Conflict(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// We may not do this.
    #[error("{0}")]
    Denied(String),
    /// What we sent makes no sense to the cluster: sending it again will not
    /// help.
    #[error("{0}")]
    Refused(String),
    /// The cluster does not know Applications (yet).
    #[error("{0}")]
    NotServed(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl ArgoCdError {
    /// What is to be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Denied(_) => ErrorClass::Auth,
            Self::Refused(_) => ErrorClass::Config,
            Self::NotServed(_) | Self::Other(_) => ErrorClass::Transient,
        }
    }

    /// The same as a step's error, with words before it.
    pub fn explain(&self, what: impl std::fmt::Display) -> StepError {
        StepError::new(self.class(), format!("{what}: {self}"))
    }
}
