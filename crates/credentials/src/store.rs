//! Where credentials are looked up: the API server, or a fixed list.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};

use crate::credential::{CRED_TYPE_LABEL, Credential, CredentialKind, StoredSecret};
use crate::secret::Secret;
use crate::select;

/// How long a namespace's Secrets are taken as read, unless told otherwise.
pub const DEFAULT_CACHE: Duration = Duration::from_secs(3);

/// How many (namespace, kind) answers are kept at most.
const MAX_CACHED: usize = 512;

/// How many Secrets are asked for at once, and in all.
const PAGE: u32 = 200;
const MAX_SECRETS: usize = 5_000;

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
    fn shared(&self) -> Option<&str> {
        self.shared_namespace.as_deref().filter(|ns| !ns.is_empty())
    }
}

/// What goes wrong with a look-up. Finding nothing is no error.
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
}

/// What an error asks for (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again.
    Transient,
    /// The controller may not read Secrets there.
    Auth,
}

impl CredentialError {
    /// What the error asks for.
    pub fn class(&self) -> ErrorClass {
        let (Self::Project { reason, .. }
        | Self::Shared { reason, .. }
        | Self::Read { reason, .. }) = self;
        match reason.as_ref() {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => ErrorClass::Auth,
            _ => ErrorClass::Transient,
        }
    }
}

/// Finds credentials and reads Secrets by name.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// The credential that serves the URL for this Project; `None` means
    /// anonymous access (`credentials` 3 and 4).
    ///
    /// # Errors
    /// Secrets that cannot be listed.
    async fn get(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Option<Credential>, CredentialError>;

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

fn is_generic(secret: &StoredSecret) -> bool {
    secret.labels.get(CRED_TYPE_LABEL).is_some_and(|v| v == "generic")
}

/// The URL as it may be shown: without userinfo.
fn shown(repo_url: &str) -> String {
    let Some((scheme, rest)) = repo_url.split_once("://") else { return repo_url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority).and_then(|a| a.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => repo_url.to_owned(),
    }
}

type Listing = Arc<Vec<StoredSecret>>;
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Listing)>>>;

/// Looks credentials up in a cluster. Secrets are listed in the namespace when
/// they are needed and kept for seconds at most; they are never watched.
pub struct KubeCredentials {
    client: kube::Client,
    options: LookupOptions,
    listings: Mutex<HashMap<(String, CredentialKind), Slot>>,
}

impl KubeCredentials {
    /// Looks up through this client.
    pub fn new(client: kube::Client, options: LookupOptions) -> Self {
        Self { client, options, listings: Mutex::default() }
    }

    /// Concurrent callers for one namespace and kind share one request.
    async fn list(
        &self,
        namespace: &str,
        kind: CredentialKind,
    ) -> Result<Listing, Arc<kube::Error>> {
        let slot = {
            let mut slots = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= MAX_CACHED {
                let cache = self.options.cache;
                slots.retain(|_, slot| {
                    slot.try_lock().map_or(true, |held| {
                        held.as_ref().is_some_and(|(at, _)| at.elapsed() < cache)
                    })
                });
            }
            if slots.len() >= MAX_CACHED {
                Slot::default()
            } else {
                slots.entry((namespace.to_owned(), kind)).or_default().clone()
            }
        };
        let mut held = slot.lock().await;
        if let Some((at, listing)) = held.as_ref()
            && at.elapsed() < self.options.cache
        {
            return Ok(listing.clone());
        }
        let asked = Instant::now();
        let secrets: Api<core::Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut found = Vec::new();
        let mut params =
            ListParams::default().labels(&format!("{CRED_TYPE_LABEL}={kind}")).limit(PAGE);
        loop {
            let page = secrets.list(&params).await.map_err(Arc::new)?;
            found.extend(page.items.into_iter().map(StoredSecret::from));
            match page.metadata.continue_ {
                Some(next) if !next.is_empty() && found.len() < MAX_SECRETS => {
                    params = params.continue_token(&next);
                }
                _ => break,
            }
        }
        let listing = Arc::new(found);
        *held = Some((asked, listing.clone()));
        Ok(listing)
    }

    async fn read(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<StoredSecret>, CredentialError> {
        let secrets: Api<core::Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get_opt(name).await.map_err(|reason| CredentialError::Read {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            reason: Arc::new(reason),
        })?;
        Ok(secret.map(StoredSecret::from))
    }
}

#[async_trait]
impl CredentialStore for KubeCredentials {
    async fn get(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        if select::forbidden_over_http(repo_url, self.options.allow_http) {
            return Ok(None);
        }
        let listing =
            self.list(project, kind).await.map_err(|reason| CredentialError::Project {
                kind,
                repo_url: shown(repo_url),
                namespace: project.to_owned(),
                reason,
            })?;
        if let Some(secret) = select::find(kind, repo_url, &listing) {
            return Ok(select::credential(kind, secret));
        }
        let Some(namespace) = self.options.shared() else { return Ok(None) };
        let listing =
            self.list(namespace, kind).await.map_err(|reason| CredentialError::Shared {
                kind,
                repo_url: shown(repo_url),
                namespace: namespace.to_owned(),
                reason,
            })?;
        Ok(select::find(kind, repo_url, &listing).and_then(|s| select::credential(kind, s)))
    }

    async fn project_secret(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        Ok(self.read(project, name).await?.map(|secret| secret.data))
    }

    async fn shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        let Some(namespace) = self.options.shared() else { return Ok(None) };
        let secret = self.read(namespace, name).await?;
        Ok(secret.filter(is_generic).map(|secret| secret.data))
    }
}

/// Looks credentials up in a fixed list: for tests and rehearsals.
#[derive(Clone, Debug, Default)]
pub struct FixedCredentials {
    secrets: Vec<StoredSecret>,
    options: LookupOptions,
}

impl FixedCredentials {
    /// Knows these Secrets.
    pub fn new(secrets: Vec<StoredSecret>, options: LookupOptions) -> Self {
        Self { secrets, options }
    }

    fn in_namespace(&self, namespace: &str) -> Vec<StoredSecret> {
        self.secrets.iter().filter(|s| s.reference.namespace == namespace).cloned().collect()
    }

    fn named(&self, namespace: &str, name: &str) -> Option<StoredSecret> {
        self.in_namespace(namespace).into_iter().find(|s| s.reference.name == name)
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
        if select::forbidden_over_http(repo_url, self.options.allow_http) {
            return Ok(None);
        }
        for namespace in [Some(project), self.options.shared()].into_iter().flatten() {
            if let Some(secret) = select::find(kind, repo_url, &self.in_namespace(namespace)) {
                return Ok(select::credential(kind, secret));
            }
        }
        Ok(None)
    }

    async fn project_secret(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        Ok(self.named(project, name).map(|secret| secret.data))
    }

    async fn shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Secret>>, CredentialError> {
        let Some(namespace) = self.options.shared() else { return Ok(None) };
        Ok(self.named(namespace, name).filter(is_generic).map(|secret| secret.data))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API server that answers lists of Secrets: each namespace has a
    /// Secret named after it, or answers 403.
    fn api(counter: Arc<AtomicUsize>, serving: &'static [&'static str]) -> kube::Client {
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let counter = counter.clone();
            async move {
                counter.fetch_add(1, Ordering::SeqCst);
                let path = request.uri().path().to_owned();
                let namespace = path.split('/').nth(4).unwrap_or_default().to_owned();
                let query = request.uri().query().unwrap_or_default().to_owned();
                assert!(
                    query.contains("labelSelector=kargo.akuity.io%2Fcred-type%3Dgit"),
                    "{query}"
                );
                let (code, body) = if namespace == "forbidden" {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                        "code": 403, "reason": "Forbidden", "message": "secrets is forbidden"});
                    (403, status)
                } else {
                    let items: Vec<_> = serving
                        .iter()
                        .filter(|ns| **ns == namespace)
                        .map(|ns| {
                            json!({"metadata": {"name": "repo", "namespace": ns, "uid": "1",
                            "labels": {CRED_TYPE_LABEL: "git"}},
                            "data": {"repoURL": "aHR0cHM6Ly9nLmNvbS9hL2I=",
                                     "username": "dQ==", "password": "Y2FuYXJ5"}})
                        })
                        .collect();
                    let list = json!({"kind": "SecretList", "apiVersion": "v1",
                        "metadata": {}, "items": items});
                    (200, list)
                };
                Ok::<_, std::convert::Infallible>(
                    http::Response::builder()
                        .status(code)
                        .body(Body::from(body.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        kube::Client::new(service, "default")
    }

    fn shared(namespace: &str) -> LookupOptions {
        LookupOptions { shared_namespace: Some(namespace.to_owned()), ..Default::default() }
    }

    #[tokio::test]
    async fn the_project_is_searched_before_the_shared_namespace() {
        let calls = Arc::new(AtomicUsize::new(0));
        for (case, serving, project, expected) in [
            ("credentials/K3", &["shared"][..], "p", Some("shared")),
            ("credentials/K6", &["p", "shared"][..], "p", Some("p")),
            ("credentials/K9", &[][..], "p", None),
        ] {
            let store = KubeCredentials::new(api(calls.clone(), serving), shared("shared"));
            let found =
                store.get(project, CredentialKind::Git, "https://g.com/a/b.git").await.unwrap();
            assert_eq!(found.map(|c| c.source.namespace).as_deref(), expected, "{case}");
        }
    }

    #[tokio::test]
    async fn a_namespace_that_cannot_be_listed_is_named() {
        let calls = Arc::new(AtomicUsize::new(0));
        let store = KubeCredentials::new(api(calls.clone(), &[]), shared("shared"));
        let error = store
            .get("forbidden", CredentialKind::Git, "https://u:canary@g.com/a/b")
            .await
            .unwrap_err();
        // credentials/K19
        let said = error.to_string();
        assert!(
            said.starts_with(
                "failed to get git creds for https://g.com/a/b in namespace \"forbidden\": "
            ),
            "{said}"
        );
        assert!(!said.contains("canary"));
        assert_eq!(error.class(), ErrorClass::Auth);
        // credentials/K20
        let store = KubeCredentials::new(api(calls, &[]), shared("forbidden"));
        let error = store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap_err();
        assert!(
            error.to_string().starts_with(
                "failed to get git creds for https://g.com/a/b in shared namespace \"forbidden\": "
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_listing_serves_for_seconds_and_concurrent_callers_share_it() {
        let calls = Arc::new(AtomicUsize::new(0));
        let store = Arc::new(KubeCredentials::new(api(calls.clone(), &["p"]), Default::default()));
        let asks = (0..10).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap().unwrap()
            })
        });
        for ask in asks.collect::<Vec<_>>() {
            assert_eq!(ask.await.unwrap().username(), "u");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);

        let calls = Arc::new(AtomicUsize::new(0));
        let options = LookupOptions { cache: Duration::ZERO, ..Default::default() };
        let store = KubeCredentials::new(api(calls.clone(), &["p"]), options);
        for _ in 0..2 {
            store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap().unwrap();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn the_debug_text_of_a_credential_hides_its_password() {
        let calls = Arc::new(AtomicUsize::new(0));
        let store = KubeCredentials::new(api(calls, &["p"]), Default::default());
        let found =
            store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap().unwrap();
        let text = format!("{found:?}");
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(found.masker().mask("the canary sings"), "the *** sings");
        assert_eq!(found.source.to_string(), "Secret p/repo");
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
