//! What callers ask: credentials by URL, Secrets by name; and a fixed list of
//! Secrets that answers. The cluster that answers is in [`crate::cluster`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::credential::{CRED_TYPE_LABEL, Credential, CredentialKind, StoredSecret};
use crate::error::CredentialError;
use crate::explain::Explanation;
use crate::lookup::{Listing, Lists, Lookup};
use crate::providers::{Ambient, Minting};
use crate::secret::Secret;
use crate::select::Asked;

/// How long a namespace's Secrets are taken as read, unless told otherwise.
pub const DEFAULT_CACHE: Duration = Duration::from_secs(3);

/// What a look-up follows (`credentials` 2).
#[derive(Clone, Debug)]
pub struct LookupOptions {
    /// The second namespace searched (`SHARED_RESOURCES_NAMESPACE`); none is
    /// searched where it is absent or empty.
    pub shared_namespace: Option<String>,
    /// Whether `http://` URLs get credentials (`ALLOW_CREDENTIALS_OVER_HTTP`).
    pub allow_http: bool,
    /// How long a listing is used again: seconds at most.
    pub cache: Duration,
}

impl Default for LookupOptions {
    fn default() -> Self {
        Self { shared_namespace: None, allow_http: false, cache: DEFAULT_CACHE }
    }
}

impl LookupOptions {
    pub(crate) fn shared(&self) -> Option<&str> {
        self.shared_namespace.as_deref().filter(|ns| !ns.is_empty())
    }
}

/// Finds credentials and reads Secrets by name.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// The credential that serves the URL for this Project; `None` means
    /// anonymous access (`credentials` 3 and 4).
    ///
    /// # Errors
    /// Secrets that cannot be listed, a Secret that has to be mended, a token
    /// that is not minted.
    async fn get(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Option<Credential>, CredentialError>;

    /// Has the Secrets of a namespace be listed again when they are asked for,
    /// where they are kept: what begins now is to see those that are there now.
    fn forget(&self, _namespace: &str) {}

    /// Which Secret serves the URL, why, and why others do not. No token is
    /// minted. The controller is taken to have all identities that a cloud may
    /// give it.
    ///
    /// # Errors
    /// Secrets that cannot be listed.
    async fn explain(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Explanation, CredentialError>;

    /// The values of a Secret of the Project, whatever its labels: what the
    /// expression function `secret()` reads. `None` where there is none.
    ///
    /// # Errors
    /// A Secret that cannot be read.
    async fn project_secret(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError>;

    /// The values of a shared Secret labelled `generic`: what the expression
    /// function `sharedSecret()` reads. `None` where there is none, where it
    /// has another label, and where there is no shared namespace.
    ///
    /// # Errors
    /// A Secret that cannot be read.
    async fn shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError>;
}

pub(crate) fn is_generic(secret: &StoredSecret) -> bool {
    secret.labels.get(CRED_TYPE_LABEL).is_some_and(|v| v == "generic")
}

/// Looks credentials up in a fixed list: for tests and rehearsals.
#[derive(Clone, Default)]
pub struct FixedCredentials {
    secrets: Vec<StoredSecret>,
    options: LookupOptions,
    minting: Option<Arc<Minting>>,
}

impl FixedCredentials {
    /// Knows these Secrets, and uses their passwords and SSH keys.
    pub fn new(secrets: Vec<StoredSecret>, options: LookupOptions) -> Self {
        Self { secrets, options, minting: None }
    }

    /// Has tokens minted, too.
    #[must_use]
    pub fn with_minting(mut self, minting: Arc<Minting>) -> Self {
        self.minting = Some(minting);
        self
    }

    fn lookup<'a>(
        &'a self,
        clusters: &'a [&'a dyn Lists],
        project: &'a str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Lookup<'a> {
        Lookup {
            clusters,
            options: &self.options,
            minting: self.minting.as_deref(),
            project,
            asked: Asked::new(kind, repo_url),
        }
    }

    fn named(&self, namespace: &str, name: &str) -> Option<&StoredSecret> {
        self.secrets.iter().find(|s| s.reference.namespace == namespace && s.reference.name == name)
    }
}

#[async_trait]
impl Lists for FixedCredentials {
    async fn list(
        &self,
        namespace: &str,
        _kind: CredentialKind,
    ) -> Result<Listing, Arc<kube::Error>> {
        let here = self.secrets.iter().filter(|s| s.reference.namespace == namespace);
        Ok(Arc::new(here.cloned().collect()))
    }
}

#[async_trait]
impl CredentialStore for FixedCredentials {
    async fn get(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        self.lookup(&[self], project, kind, repo_url).get().await
    }

    async fn explain(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Explanation, CredentialError> {
        self.lookup(&[self], project, kind, repo_url).explain(Ambient::ALL).await
    }

    async fn project_secret(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        Ok(self.named(project, name).map(|secret| secret.data.clone()))
    }

    async fn shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        let Some(namespace) = self.options.shared() else { return Ok(None) };
        let secret = self.named(namespace, name).filter(|secret| is_generic(secret));
        Ok(secret.map(|secret| secret.data.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(namespace: &str) -> LookupOptions {
        LookupOptions { shared_namespace: Some(namespace.to_owned()), ..Default::default() }
    }

    #[tokio::test]
    async fn shared_secrets_are_read_only_where_they_are_generic() {
        let secret = |name: &str, kind: &str| StoredSecret {
            reference: crate::SecretRef {
                namespace: "shared".into(),
                name: name.into(),
                uid: String::new(),
            },
            labels: [(CRED_TYPE_LABEL.to_owned(), kind.to_owned())].into(),
            annotations: Default::default(),
            data: [("k".to_owned(), Secret::new("v"))].into(),
        };
        let store = FixedCredentials::new(
            vec![secret("a", "generic"), secret("b", "git")],
            shared("shared"),
        );
        assert!(store.shared_secret("a").await.unwrap().is_some());
        assert!(store.shared_secret("b").await.unwrap().is_none());
        assert!(store.project_secret("shared", "b").await.unwrap().is_some());
        let closed = FixedCredentials::new(vec![secret("a", "generic")], Default::default());
        assert!(closed.shared_secret("a").await.unwrap().is_none());
    }
}
