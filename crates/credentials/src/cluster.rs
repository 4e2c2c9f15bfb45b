//! Credentials from a cluster's Secrets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};

use crate::credential::{CRED_TYPE_LABEL, Credential, CredentialKind, StoredSecret};
use crate::error::CredentialError;
use crate::explain::Explanation;
use crate::lookup::{Listing, Lists, Lookup};
use crate::providers::{Ambient, Minting};
use crate::secret::Secret;
use crate::select::Asked;
use crate::store::{CredentialStore, LookupOptions, is_generic};

/// How many (namespace, kind) answers are kept at most.
const MAX_CACHED: usize = 512;

/// How many Secrets are asked for at once, and in all.
const PAGE: u32 = 200;
const MAX_SECRETS: usize = 5_000;

type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Listing)>>>;

/// The Secrets of one cluster, listed when they are needed and kept for
/// seconds at most; they are never watched.
struct Cluster {
    client: kube::Client,
    keep: Duration,
    listings: Mutex<HashMap<(String, CredentialKind), Slot>>,
}

impl Cluster {
    fn new(client: kube::Client, keep: Duration) -> Self {
        Self { client, keep, listings: Mutex::default() }
    }

    fn slot(&self, namespace: &str, kind: CredentialKind) -> Slot {
        let mut slots = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_CACHED {
            slots.retain(|_, slot| {
                slot.try_lock().map_or(true, |held| {
                    held.as_ref().is_some_and(|(at, _)| at.elapsed() < self.keep)
                })
            });
        }
        if slots.len() >= MAX_CACHED {
            Slot::default()
        } else {
            slots.entry((namespace.to_owned(), kind)).or_default().clone()
        }
    }

    fn forget(&self, namespace: &str) {
        let mut slots = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(of, _), _| of != namespace);
    }
}

#[async_trait]
impl Lists for Cluster {
    /// Concurrent callers for one namespace and kind share one request.
    async fn list(
        &self,
        namespace: &str,
        kind: CredentialKind,
    ) -> Result<Listing, Arc<kube::Error>> {
        let slot = self.slot(namespace, kind);
        let mut held = slot.lock().await;
        if let Some((at, listing)) = held.as_ref()
            && at.elapsed() < self.keep
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
                Some(next) if !next.is_empty() => {
                    tracing::warn!(
                        namespace,
                        "more than {MAX_SECRETS} Secrets of kind {kind}: the others are not looked at"
                    );
                    break;
                }
                _ => break,
            }
        }
        let listing = Arc::new(found);
        *held = Some((asked, listing.clone()));
        Ok(listing)
    }
}

/// Looks credentials up in the control plane's cluster, and where told so in
/// the one that the controller runs in.
pub struct KubeCredentials {
    cluster: Cluster,
    local: Option<Cluster>,
    options: LookupOptions,
    minting: Option<Arc<Minting>>,
}

impl KubeCredentials {
    /// Looks up through this client. Passwords and SSH keys serve.
    pub fn new(client: kube::Client, options: LookupOptions) -> Self {
        let cluster = Cluster::new(client, options.cache);
        Self { cluster, local: None, options, minting: None }
    }

    /// Has tokens minted, too.
    #[must_use]
    pub fn with_minting(mut self, minting: Arc<Minting>) -> Self {
        self.minting = Some(minting);
        self
    }

    /// Searches a second cluster after the first
    /// (`LOCAL_CLUSTER_CREDS_FALLBACK`).
    #[must_use]
    pub fn with_local_cluster(mut self, client: kube::Client) -> Self {
        self.local = Some(Cluster::new(client, self.options.cache));
        self
    }

    fn clusters(&self) -> Vec<&dyn Lists> {
        let local = self.local.as_ref().map(|cluster| cluster as &dyn Lists);
        [Some(&self.cluster as &dyn Lists), local].into_iter().flatten().collect()
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

    async fn read(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<StoredSecret>, CredentialError> {
        let secrets: Api<core::Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
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
        self.lookup(&self.clusters(), project, kind, repo_url).get().await
    }

    fn forget(&self, namespace: &str) {
        let clusters = [Some(&self.cluster), self.local.as_ref()];
        clusters.into_iter().flatten().for_each(|cluster| cluster.forget(namespace));
    }

    async fn explain(
        &self,
        project: &str,
        kind: CredentialKind,
        repo_url: &str,
    ) -> Result<Explanation, CredentialError> {
        self.lookup(&self.clusters(), project, kind, repo_url).explain(Ambient::ALL).await
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::ErrorClass;

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
            assert_eq!(
                found.as_ref().and_then(|c| Some(c.source.secret()?.namespace.as_str())),
                expected,
                "{case}"
            );
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
        store.forget("another");
        store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        store.forget("p");
        store.get("p", CredentialKind::Git, "https://g.com/a/b").await.unwrap().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 2);

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
}
