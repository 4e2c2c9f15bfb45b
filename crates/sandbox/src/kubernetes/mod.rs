//! An in-memory Kubernetes API: a `tower::Service` under `kube::Client` in this process, and an HTTP
//! server for kubectl. It keeps objects, versions, watches, schemas, field managers and deletions as a
//! real API server does, as far as controllers and kubectl use them (design, settled 20).
//!
//! A request is read by [`service`] and answered from the [`store`], under one lock. What can be told
//! from values alone (patches, schemas, selectors, tables, field sets) stands in files of its own.

mod admit;
mod builtin;
mod collect;
mod convert;
mod define;
mod discovery;
mod failure;
mod fields;
mod jsonpath;
mod listing;
mod managed;
mod negotiate;
mod patch;
mod protobuf;
mod query;
mod resource;
mod rules;
mod schema;
mod selector;
mod server;
mod service;
mod shape;
mod store;
mod strategic;
mod table;
mod validate;
mod watch;
mod write;

pub use failure::{Cause, Failure};
pub use server::Server;
pub use store::Limits;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use store::Store;
use tower::BoxError;

/// The CustomResourceDefinitions of Argo CD (Application, ApplicationSet, AppProject), permissive ones of
/// our own: they say what is served, not what is valid.
pub const ARGOCD_DEFINITIONS: &str = include_str!("argocd.yaml");

/// One request, as hooks and counters see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource, e.g. `stages`.
    pub resource: String,
    /// `status`, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
    /// The field manager, or what the user agent says.
    pub manager: String,
}

impl Request {
    /// Whether the request changes things.
    pub fn writes(&self) -> bool {
        matches!(self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// How often each verb was used on each resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<(String, String), u64>);

/// Verbs with resources, counted.
impl FromIterator<(String, String)> for Requests {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(requests: I) -> Self {
        let mut counts = BTreeMap::new();
        for request in requests {
            *counts.entry(request).or_default() += 1;
        }
        Self(counts)
    }
}

impl Requests {
    /// How often a verb (`patch`) was used on a resource (`stages`, `stages/status`).
    pub fn of(&self, verb: &str, resource: &str) -> u64 {
        self.0.get(&(verb.to_owned(), resource.to_owned())).copied().unwrap_or_default()
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// All writing requests but those on Leases, which are reported apart (design, settled 19).
    pub fn writes(&self) -> u64 {
        let counted = |verb: &str, resource: &str| {
            matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection")
                && resource != "leases"
        };
        self.0
            .iter()
            .filter(|((verb, resource), _)| counted(verb, resource))
            .map(|(_, count)| count)
            .sum()
    }

    /// What came on top of an earlier snapshot.
    pub fn since(&self, earlier: &Self) -> Self {
        let rest = self.0.iter().map(|(key, count)| {
            (key.clone(), count.saturating_sub(earlier.0.get(key).copied().unwrap_or_default()))
        });
        Self(rest.filter(|(_, count)| *count > 0).collect())
    }

    /// Every verb and resource with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|((verb, resource), count)| (verb.as_str(), resource.as_str(), *count))
    }
}

/// Sees each request for objects before it is done; what it returns is the answer instead.
pub type Hook = Arc<dyn Fn(&Request) -> Option<Failure> + Send + Sync>;

/// What all clones of an [`Api`] share.
pub(crate) struct Shared {
    store: Mutex<Store>,
    body: usize,
    requests: Mutex<BTreeMap<(String, String), u64>>,
    hook: RwLock<Option<Hook>>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, request: &Request) {
        const MAX_COUNTERS: usize = 10_000;
        let resource = if request.subresource.is_empty() {
            request.resource.clone()
        } else {
            format!("{}/{}", request.resource, request.subresource)
        };
        let mut counts = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (request.verb.to_owned(), resource);
        if counts.len() < MAX_COUNTERS || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    fn ask(&self, request: &Request) -> Option<Failure> {
        let hook = self.hook.read().unwrap_or_else(PoisonError::into_inner).clone();
        hook.and_then(|hook| hook(request))
    }
}

/// The API. Clones are cheap and stand for the same thing.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use k8s_openapi::api::core::v1::Namespace;
/// let api = sandbox::kubernetes::Api::new();
/// let namespaces: kube::Api<Namespace> = kube::Api::all(api.client());
/// assert!(namespaces.get("default").await.is_ok());
/// # });
/// ```
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Default for Api {
    fn default() -> Self {
        Self::new()
    }
}

impl Api {
    /// An API with the built-in kinds and the namespaces `default` and `kube-system`.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// As [`Api::new`], with other limits.
    pub fn with_limits(limits: Limits) -> Self {
        let shared = Shared {
            store: Mutex::new(Store::new(builtin::resources(), limits)),
            body: limits.body,
            requests: Mutex::default(),
            hook: RwLock::default(),
        };
        let api = Self { shared: Arc::new(shared) };
        for namespace in ["default", "kube-system"] {
            // The names are good and the store is empty: this cannot be refused.
            let _ = api.load_value(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            );
        }
        api
    }

    /// A client in this process, whose default namespace is `default`.
    ///
    /// Must be called within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Serves the API over HTTP, e.g. on `127.0.0.1:0`.
    ///
    /// # Errors
    /// What the operating system says about the address.
    pub async fn serve(&self, address: SocketAddr) -> io::Result<Server> {
        Server::start(self.clone(), address).await
    }

    /// Creates every object of a YAML text of one or several documents; one that exists is replaced.
    ///
    /// # Errors
    /// The first refusal.
    pub fn load(&self, yaml: &str) -> Result<(), Failure> {
        use serde::Deserialize;
        for document in serde_yaml::Deserializer::from_str(yaml) {
            let value = Value::deserialize(document).map_err(|error| {
                Failure::bad_request(format!("a document is not valid YAML: {error}"))
            })?;
            if !value.is_null() {
                self.load_value(value)?;
            }
        }
        Ok(())
    }

    /// Creates an object; one that exists is replaced.
    ///
    /// # Errors
    /// As a request to create or update it.
    pub fn load_value(&self, mut object: Value) -> Result<(), Failure> {
        let text =
            |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let mut store = self.shared.store();
        let resource = store
            .resources()
            .find(|resource| resource.kind == kind && resource.api_version() == api_version)
            .cloned()
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "no resource is served for kind {kind:?} in {api_version:?}: define it first"
                ))
            })?;
        let name = admit::meta(&object, "name").to_owned();
        let namespace = match admit::meta(&object, "namespace") {
            _ if !resource.namespaced => String::new(),
            "" => "default".to_owned(),
            namespace => namespace.to_owned(),
        };
        let current = store.get(&resource.storage, &(namespace.clone(), name.clone()));
        let query = query::Query::default();
        let mut write = write::Write {
            store: &mut store,
            resource,
            namespace,
            query: &query,
            manager: "sandbox".to_owned(),
            subresource: String::new(),
            now: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            warnings: Vec::new(),
        };
        match current {
            None => write.create(object).map(drop),
            Some(current) => {
                let version = admit::meta(&current, "resourceVersion").to_owned();
                admit::metadata(&mut object).insert("resourceVersion".to_owned(), json!(version));
                write.update(&name, object).map(drop)
            }
        }
    }

    /// [`Api::load`] for each `.yaml` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// 400 for a file that cannot be read, else the first refusal, with the file's name.
    pub fn load_folder(&self, folder: &Path) -> Result<(), Failure> {
        let unreadable = |path: &Path, error: io::Error| {
            Failure::bad_request(format!("{} cannot be read: {error}", path.display()))
        };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        for path in files {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            self.load(&text).map_err(|failure| Failure {
                message: format!("{}: {}", path.display(), failure.message),
                ..failure
            })?;
        }
        Ok(())
    }

    /// How often each verb was used on each resource until now. Discovery does not count.
    pub fn requests(&self) -> Requests {
        Requests(self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Sets what sees each request before it is done, in place of an earlier one.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.shared.hook.write().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.shared.store().version()
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.shared.store().watches()
    }

    /// Closes every watch, as a restarting API server does.
    pub fn close_watches(&self) {
        self.shared.store().close_watches();
    }

    /// Forgets the history: a watch from before now gets 410 Gone.
    pub fn compact(&self) {
        self.shared.store().compact();
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: http::Request<B>) -> http::Response<Body>
    where
        B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        match Limited::new(body, self.shared.body).collect().await {
            Ok(body) => service::answer(self, &parts, &body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => service::refuse(&Failure::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {}", self.shared.body),
            )),
            Err(error) => service::refuse(&Failure::bad_request(format!(
                "the body of the request could not be read: {error}"
            ))),
        }
    }
}

impl<B> tower::Service<http::Request<B>> for Api
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.handle(request).await) })
    }
}
