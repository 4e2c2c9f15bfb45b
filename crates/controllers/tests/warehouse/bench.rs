//! A cluster in memory with the Warehouse controller, whose registries, Git
//! host and chart repository are in this process too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{Freight, Warehouse};
use controllers::clock::{Clock, SystemClock};
use controllers::context::{Context, Settings};
use controllers::metrics::Metrics;
use controllers::store::Key;
use controllers::warehouse::{self, Parts};
use credentials::{FixedCredentials, LookupOptions, StoredSecret};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use promotion::engine::{Engine, NoFunctions, SHOW_AFTER};
use promotion::world::World;
use sandbox::git_host::{GitHost, GitHostOptions};
use sandbox::registry::{Access, Fault, NewImage, Registry, RegistryOptions};
use serde_json::{Value, json};
use sources::git::Commits;
use sources::image::CacheByTag;
use sources::registry::ClientSettings;
use sources::{ChartSettings, Charts, Images, Settings as SourceSettings};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::front::Front;

/// How long a test waits for what it expects.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PUBLIC: &str = "docker.io/owner/app";
pub const PROJECT: &str = "p";

/// The beginning of the Git URLs that lead to the Git host.
pub const GIT: &str = "https://git.example.com/";

/// A classic chart repository: the index beside a registry of its own.
pub struct ChartHost {
    registry: Option<Registry>,
    address: SocketAddr,
    /// Versions by chart, the newest first.
    published: Mutex<BTreeMap<String, Vec<String>>>,
}

impl ChartHost {
    async fn start() -> Self {
        let registry = Registry::start(RegistryOptions::default()).await.unwrap();
        let address = registry.addr;
        let charts = Self { registry: Some(registry), address, published: Mutex::default() };
        charts.serve();
        charts
    }

    /// The host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its address as a subscription names it.
    pub fn url(&self) -> String {
        format!("http://{}/charts", self.address)
    }

    /// Adds a version of a chart to the index.
    pub fn publish(&self, chart: &str, version: &str) {
        let mut published = self.published.lock().unwrap();
        published.entry(chart.to_owned()).or_default().insert(0, version.to_owned());
        drop(published);
        self.serve();
    }

    fn serve(&self) {
        let published = self.published.lock().unwrap();
        let versions: Vec<Vec<&str>> =
            published.values().map(|all| all.iter().map(String::as_str).collect()).collect();
        let charts: Vec<(&str, &[&str])> = published
            .keys()
            .zip(&versions)
            .map(|(chart, versions)| (chart.as_str(), versions.as_slice()))
            .collect();
        self.registry().push_index("charts", &charts);
    }

    fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("the chart repository is there")
    }

    /// Fails so until [`ChartHost::heal`].
    pub fn fail(&self, fault: Fault) {
        self.registry().traffic().fail(fault);
    }

    /// Answers as it should again.
    pub fn heal(&self) {
        self.registry().traffic().heal();
    }

    /// The statuses of all answers so far.
    pub fn statuses(&self) -> Vec<u16> {
        self.registry().traffic().requests().iter().map(|r| r.status).collect()
    }

    /// Stops it.
    pub fn gone(&mut self) {
        self.registry = None;
    }

    /// Starts it again at its address, with its charts.
    pub async fn back(&mut self) {
        let options = RegistryOptions { listen: self.address, ..RegistryOptions::default() };
        let start = || Registry::start(options.clone());
        self.registry = Some(bound("chart repository", start).await);
        self.serve();
    }
}

/// What a bench may be told.
pub struct Wanted {
    /// Who may pull from the registry.
    pub access: Access,
    /// The Secrets of the cluster.
    pub secrets: Vec<StoredSecret>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How many passes decide and write at a time.
    pub workers: usize,
    /// The longest that a registry, a chart repository or a Git host may take.
    pub patience: Option<Duration>,
    /// Whether registry and Git host speak TLS, with certificates that nobody
    /// knows.
    pub tls: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            access: Access::Open,
            secrets: Vec::new(),
            clock: Arc::new(SystemClock),
            workers: 4,
            patience: None,
            tls: false,
        }
    }
}

pub struct Bench {
    pub api: sandbox::kubernetes::Api,
    pub client: Client,
    /// `docker.io` and `ghcr.io`; none once it is gone.
    pub registry: Option<Registry>,
    /// [`GIT`]; none once it is gone.
    pub git: Option<GitHost>,
    /// The way there.
    pub front: Front,
    pub charts: ChartHost,
    pub metrics: prometheus_client::registry::Registry,
    pub context: Arc<Context>,
    changed: Arc<Notify>,
    pub stop: CancellationToken,
    tasks: JoinSet<()>,
    pub controller: (CancellationToken, JoinHandle<()>),
    registry_options: RegistryOptions,
    git_options: GitHostOptions,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub async fn start() -> Self {
        Self::with(Access::Open, Vec::new()).await
    }

    pub async fn with(access: Access, secrets: Vec<StoredSecret>) -> Self {
        Self::wanted(Wanted { access, secrets, ..Wanted::default() }).await
    }

    /// A cluster with CRDs, Project namespace and the Warehouse controller.
    pub async fn wanted(wanted: Wanted) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = RegistryOptions {
            access: wanted.access,
            tls: wanted.tls,
            ..RegistryOptions::default()
        };
        let registry = Registry::start(options.clone()).await.unwrap();
        let registry_options = RegistryOptions { listen: registry.addr, ..options };
        let root: PathBuf = dir.path().join("repositories");
        let options = GitHostOptions { root: Some(root), ..GitHostOptions::default() };
        let git = GitHost::start(options.clone()).await.unwrap();
        let listen: SocketAddr = git.url().trim_start_matches("http://").parse().unwrap();
        let git_options = GitHostOptions { listen, ..options };
        let front = Front::start(listen, wanted.tls).await;
        let charts = ChartHost::start().await;

        let mirrors = format!("docker.io={0},ghcr.io={0}", registry.url());
        let mut client_settings = ClientSettings {
            mirrors: mirrors.parse().unwrap(),
            retry_delay: Duration::from_millis(1),
            ..ClientSettings::default()
        };
        let mut mirrors = ::git::GitOptions::new(dir.path().join("mirrors"));
        mirrors.rewrites = mirrors.rewrites.with(GIT, format!("{}/", front.url()));
        if let Some(patience) = wanted.patience {
            client_settings.request_timeout = patience;
            client_settings.read_timeout = patience;
            client_settings.index_timeout = patience;
            mirrors.process.server_timeout = patience;
            mirrors.operation_timeout = patience * 5;
            mirrors.max_fetch_bytes = 1 << 20;
        }
        let settings = SourceSettings {
            client: client_settings,
            cache_by_tag: CacheByTag::Allow,
            ..SourceSettings::default()
        };
        let mirrors = Arc::new(::git::Git::open(mirrors).unwrap());
        let commits = Commits::new(mirrors, sources::git::Settings::default());
        let options = LookupOptions { allow_http: true, ..LookupOptions::default() };
        let credentials = FixedCredentials::new(wanted.secrets, options);
        let mut parts =
            Parts::new(Images::new(settings).unwrap(), Arc::new(credentials)).with_commits(commits);
        if wanted.patience.is_some() {
            let bounds = ChartSettings { largest_index: 1 << 20, ..ChartSettings::default() };
            parts.charts = Charts::new(parts.images.client(), bounds);
        }

        let api = sandbox::kubernetes::Api::new();
        let client = api.client();
        install(&client).await;
        let engine = Engine {
            registry: promotion::step::Registry::default(),
            world: World::default(),
            functions: Arc::new(NoFunctions),
            now: Arc::new(jiff::Timestamp::now),
            show_after: SHOW_AFTER,
        };
        let mut settings = Settings { argocd_enabled: false, ..Settings::default() };
        settings.workers.warehouse = wanted.workers;
        let mut metrics = prometheus_client::registry::Registry::default();
        let context = Context::new(
            client.clone(),
            settings,
            Metrics::new(&mut metrics),
            parts,
            controllers::promotion::Parts::new(engine),
        );
        let context = Arc::new(context.with_clock(wanted.clock));
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        context.stores.warehouses.subscribe(move |_| notify.notify_waiters());
        let notify = Arc::clone(&changed);
        context.stores.freight.subscribe(move |_| notify.notify_waiters());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        context.start(&controllers::Role::ALL, &mut tasks, &stop).await;
        let controller = run(&context, &stop);
        Self {
            api,
            client,
            registry: Some(registry),
            git: Some(git),
            front,
            charts,
            metrics,
            context,
            changed,
            stop,
            tasks,
            controller,
            registry_options,
            git_options,
            _dir: dir,
        }
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("the registry is there")
    }

    /// The Git host.
    pub fn git(&self) -> &GitHost {
        self.git.as_ref().expect("the Git host is there")
    }

    /// Starts the registry again at its address, empty.
    pub async fn registry_back(&mut self) {
        let options = self.registry_options.clone();
        self.registry = Some(bound("registry", || Registry::start(options.clone())).await);
    }

    /// Starts the Git host again at its address, with its repositories.
    pub async fn git_back(&mut self) {
        let options = self.git_options.clone();
        self.git = Some(bound("Git host", || GitHost::start(options.clone())).await);
    }

    /// Ends the watches, and the task that sends Events.
    pub async fn end_watches(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Runs `git` in a repository of the Git host.
    pub fn run_git(&self, repository: &str, arguments: &[&str]) {
        self.feed_git(repository, arguments, b"");
    }

    /// The same with an input; returns what it prints.
    pub fn feed_git(&self, repository: &str, arguments: &[&str], input: &[u8]) -> String {
        use std::io::Write;
        use std::process::Stdio;
        let dir = self.git().root().join(repository);
        let mut child = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(&dir)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// The text of the metrics.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text
    }

    pub fn push(&self, tag: &str) -> String {
        let image = NewImage { content: tag.to_owned(), ..NewImage::default() };
        self.registry().push_tag("owner/app", tag, &image).unwrap()
    }

    pub async fn create(&self, name: &str, spec: Value) {
        let warehouse: Warehouse = serde_json::from_value(json!({
            "metadata": {"namespace": PROJECT, "name": name}, "spec": spec,
        }))
        .unwrap();
        let api: Api<Warehouse> = Api::namespaced(self.client.clone(), PROJECT);
        api.create(&PostParams::default(), &warehouse).await.unwrap();
    }

    pub async fn refresh(&self, name: &str, token: &str) {
        self.patch(name, json!({"metadata": {"annotations": {api::annotations::REFRESH: token}}}))
            .await;
    }

    pub async fn patch(&self, name: &str, change: Value) {
        let api: Api<Warehouse> = Api::namespaced(self.client.clone(), PROJECT);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    }

    pub async fn until<T>(&self, what: &str, look: impl Fn(&Context) -> Option<T>) -> T {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = look(&self.context) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("no {what}; {:#?}", self.context.stores.warehouses.all()),
        }
    }

    /// The Warehouse, once the condition is in that state, and not only
    /// because a look that takes its time is announced.
    pub async fn warehouse(&self, name: &str, type_: &str, state: &str) -> Arc<Warehouse> {
        let key = Key::new(PROJECT, name);
        self.until(&format!("{name} {type_} {state}"), |c| {
            let warehouse = c.stores.warehouses.get(&key)?;
            let said = said(&warehouse, type_);
            let is =
                said.starts_with(&format!("{state}/")) && !said.contains("/DiscoveryInProgress");
            is.then_some(warehouse)
        })
        .await
    }

    /// The Warehouse, once it has dealt with that refresh.
    pub async fn refreshed(&self, name: &str, token: &str) -> Arc<Warehouse> {
        let key = Key::new(PROJECT, name);
        self.until(&format!("{name} refreshed {token}"), |c| {
            let warehouse = c.stores.warehouses.get(&key)?;
            let done = warehouse.status.as_ref()?.last_handled_refresh == token;
            done.then_some(warehouse)
        })
        .await
    }

    pub async fn freight(&self) -> Vec<Freight> {
        let api: Api<Freight> = Api::namespaced(self.client.clone(), PROJECT);
        api.list(&ListParams::default()).await.unwrap().items
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        self.controller.1.await.unwrap();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs the Warehouse controller; its token stops it alone.
pub fn run(
    context: &Arc<Context>,
    stop: &CancellationToken,
) -> (CancellationToken, JoinHandle<()>) {
    let stop = stop.child_token();
    let task = tokio::spawn(warehouse::run(Arc::clone(context), stop.clone()));
    (stop, task)
}

/// Starts what was stopped a moment ago, once its port is free.
async fn bound<T, E, F>(what: &str, start: impl Fn() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    let again = async {
        loop {
            match start().await {
                Ok(started) => return started,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, again).await {
        Ok(started) => started,
        Err(_) => panic!("the {what} cannot be started again"),
    }
}

async fn install(client: &Client) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api::crds() {
        crds.create(&PostParams::default(), &crd).await.unwrap();
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": PROJECT}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
}

/// A condition as `<status>/<reason>: <message>`, empty where it is absent.
pub fn said(warehouse: &Warehouse, type_: &str) -> String {
    let conditions = warehouse.status.iter().flat_map(|s| &s.conditions);
    conditions
        .filter(|c| c.type_ == type_)
        .map(|c| format!("{}/{}: {}", c.status, c.reason, c.message))
        .next()
        .unwrap_or_default()
}

pub fn images(fields: Value) -> Value {
    spec(json!([{ "image": with(PUBLIC, fields) }]))
}

/// A spec with these subscriptions.
pub fn spec(subscriptions: Value) -> Value {
    json!({ "interval": "5m0s", "subscriptions": subscriptions })
}

/// A subscription to that repository, with these fields.
pub fn with(url: &str, fields: Value) -> Value {
    let mut subscription = json!({ "repoURL": url });
    for (key, value) in fields.as_object().unwrap() {
        subscription[key] = value.clone();
    }
    subscription
}
