//! What every controller has at hand: the client, the settings, the clock, and
//! the process's one store a kind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::promotion::argocd::application::Application;
use ::promotion::argocd::authorization;
use ::promotion::argocd::cluster::Known;
use ::promotion::argocd::freshness::Settled;
use kube::Client;
use kube::api::Api;
use kube::core::DeserializeGuard;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::events::{self, EventTask, Events};
use crate::metrics::Metrics;
use crate::role::Role;
use crate::store::{Change, Index, Key, Store};
use crate::watch;

/// Index of Freight: under its Warehouse.
pub const BY_WAREHOUSE: &str = "warehouse";
/// Index of Freight: under each Stage that it is in.
pub const CURRENTLY_IN: &str = "currentlyIn";
/// Index of Freight: under each Stage that verified it.
pub const VERIFIED_IN: &str = "verifiedIn";
/// Index of Freight: under each Stage that it is approved for.
pub const APPROVED_FOR: &str = "approvedFor";
/// Index of Promotions: under their Stage.
pub const BY_STAGE: &str = "stage";
/// Index of Stages: under each Stage that they take Freight from.
pub const BY_UPSTREAM: &str = "upstream";
/// Index of Stages: under each Warehouse that they take Freight from directly.
pub const BY_DIRECT_WAREHOUSE: &str = "directWarehouse";
/// Index of Argo CD Applications: under each Stage that may change them.
pub const BY_AUTHORIZED_STAGE: &str = "authorizedStage";

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shard that this process serves; empty for none (`SHARD_NAME`).
    pub shard: String,
    /// Whether it also serves objects without a shard (`IS_DEFAULT_CONTROLLER`).
    /// Does nothing where `shard` is empty.
    pub is_default_controller: bool,
    /// Where the controllers themselves run (`KARGO_NAMESPACE`).
    pub kargo_namespace: String,
    /// Whether Projects give the controllers' ServiceAccounts access to their
    /// Secrets (`MANAGE_CONTROLLER_ROLE_BINDINGS`).
    pub manage_controller_role_bindings: bool,
    /// Where Secrets of cluster-level resources are
    /// (`SYSTEM_RESOURCES_NAMESPACE`).
    pub system_resources_namespace: String,
    /// Whether Argo CD is used (`ARGOCD_INTEGRATION_ENABLED`).
    pub argocd_enabled: bool,
    /// Where Applications are unless said otherwise (`ARGOCD_NAMESPACE`).
    pub argocd_namespace: String,
    /// Whether Applications elsewhere are not looked at
    /// (`ARGOCD_WATCH_ARGOCD_NAMESPACE_ONLY`).
    pub argocd_namespace_only: bool,
    /// The address that links to the UI start with (`API_SERVER_BASE_URL`).
    pub api_server_base_url: String,
    /// The address that webhook receivers are reached at
    /// (`EXTERNAL_WEBHOOK_SERVER_BASE_URL`); empty where there are none.
    pub external_webhook_base_url: String,
    /// When an object is looked at again though nothing happened.
    pub resync: Duration,
    /// How many passes run at a time.
    pub workers: Workers,
}

/// How many passes run at a time, by controller.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// `MAX_CONCURRENT_PROJECT_RECONCILES`.
    pub project: usize,
    /// `MAX_CONCURRENT_PROJECT_CONFIG_RECONCILES`.
    pub project_config: usize,
    /// `MAX_CONCURRENT_WAREHOUSE_RECONCILES`.
    pub warehouse: usize,
    /// Freight has no such setting in the reference.
    pub freight: usize,
    /// `MAX_CONCURRENT_STAGE_RECONCILES`.
    pub stage: usize,
    /// `MAX_CONCURRENT_CONTROL_FLOW_RECONCILES`.
    pub control_flow: usize,
    /// `MAX_CONCURRENT_PROMOTION_RECONCILES`.
    pub promotion: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shard: String::new(),
            is_default_controller: false,
            kargo_namespace: "kargo".to_owned(),
            manage_controller_role_bindings: true,
            system_resources_namespace: "kargo-system-resources".to_owned(),
            argocd_enabled: true,
            argocd_namespace: "argocd".to_owned(),
            argocd_namespace_only: false,
            api_server_base_url: String::new(),
            external_webhook_base_url: String::new(),
            resync: Duration::from_secs(300),
            workers: Workers {
                project: 4,
                project_config: 4,
                warehouse: 4,
                freight: 4,
                stage: 4,
                control_flow: 4,
                promotion: 4,
            },
        }
    }
}

impl Settings {
    /// Whether this process serves an object (`stages` 2.1). `label` is the
    /// shard label, `spec` the kind's `spec.shard`: admission copies the one
    /// to the other, and where no webhook runs the field counts by itself.
    pub fn is_responsible(&self, label: Option<&str>, spec: Option<&str>) -> bool {
        let shard =
            label.filter(|s| !s.is_empty()).or(spec.filter(|s| !s.is_empty())).unwrap_or_default();
        shard == self.shard || (shard.is_empty() && self.is_default_controller)
    }

    /// A controller's name: `stage` becomes `stage-controller` or
    /// `stage-controller-<shard>` (`api` 7.15).
    pub fn controller_name(&self, kind: &str) -> String {
        if self.shard.is_empty() {
            format!("{kind}-controller")
        } else {
            format!("{kind}-controller-{}", self.shard)
        }
    }
}

/// The process's one store a kind.
pub struct Stores {
    /// Projects.
    pub projects: Store<api::Project>,
    /// ProjectConfigs.
    pub project_configs: Store<api::ProjectConfig>,
    /// ClusterConfigs.
    pub cluster_configs: Store<api::ClusterConfig>,
    /// Warehouses.
    pub warehouses: Store<api::Warehouse>,
    /// Freight, with the indexes [`BY_WAREHOUSE`], [`CURRENTLY_IN`],
    /// [`VERIFIED_IN`] and [`APPROVED_FOR`].
    pub freight: Store<api::Freight>,
    /// Stages, with the indexes [`BY_UPSTREAM`] and [`BY_DIRECT_WAREHOUSE`].
    pub stages: Store<api::Stage>,
    /// Promotions, with the index [`BY_STAGE`].
    pub promotions: Store<api::Promotion>,
    /// PromotionTasks.
    pub promotion_tasks: Store<api::PromotionTask>,
    /// ClusterPromotionTasks.
    pub cluster_promotion_tasks: Store<api::ClusterPromotionTask>,
    /// Argo CD Applications, with the index [`BY_AUTHORIZED_STAGE`]; empty and
    /// unavailable where Argo CD is not there or not used.
    pub applications: Arc<Store<Application>>,
}

/// What every controller has at hand.
pub struct Context {
    /// The Kubernetes API.
    pub client: Client,
    /// The Kubernetes API of the cluster that has Argo CD's Applications,
    /// often the same.
    pub argocd: Client,
    /// What an operator set.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What the process knows of the cluster.
    pub stores: Stores,
    /// Which Applications have changed since their operation ended.
    pub settled: Arc<Settled>,
    /// Aliases that Freight is being given.
    pub aliases: crate::freight::alias::Reservations,
    /// Promotions that were asked for without an answer.
    pub unanswered: crate::stage::unanswered::Unanswered,
    /// Sends Kubernetes Events.
    pub events: Events,
    /// Counts.
    pub metrics: Metrics,
    /// What the Warehouse controller needs beside that.
    pub warehouse: crate::warehouse::Parts,
    /// What the Promotion controller needs beside that.
    pub promotion: crate::promotion::Parts,
    event_task: Mutex<Option<EventTask>>,
}

impl Context {
    /// A context over `client`, with empty stores.
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Metrics,
        warehouse: crate::warehouse::Parts,
        promotion: crate::promotion::Parts,
    ) -> Self {
        let (events, event_task) = events::channel(client.clone(), metrics.clone());
        Self {
            argocd: client.clone(),
            client,
            settings,
            clock: Arc::new(SystemClock),
            stores: Stores::new(),
            settled: Arc::default(),
            aliases: crate::freight::alias::Reservations::default(),
            unanswered: crate::stage::unanswered::Unanswered::default(),
            events,
            metrics,
            warehouse,
            promotion,
            event_task: Mutex::new(Some(event_task)),
        }
    }

    /// The same context with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same context with the Applications of another cluster, watched into
    /// `watched`.
    #[must_use]
    pub fn with_applications(mut self, argocd: Client, watched: &Applications) -> Self {
        self.argocd = argocd;
        self.stores.applications = Arc::clone(&watched.store);
        self.settled = Arc::clone(&watched.settled);
        self
    }

    /// Starts the watches that `roles` need and the Event task on `tasks`, and
    /// waits until each of their kinds has been listed once, or `shutdown`.
    pub async fn start(
        self: &Arc<Self>,
        roles: &[Role],
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let task = self.event_task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            tasks.spawn(task.run(shutdown.clone()));
        }
        macro_rules! watch {
            ($($store:ident),*) => {{
                $({
                    let (api, kind) = typed(&self.client, &self.stores.$store);
                    if roles.iter().any(|role| role.watches(&kind)) {
                        let context = Arc::clone(self);
                        let shutdown = shutdown.clone();
                        tasks.spawn(async move {
                            let store = &context.stores.$store;
                            watch::run(api, &kind, false, store, &context.metrics, shutdown).await;
                        });
                    } else {
                        self.stores.$store.set_unavailable();
                    }
                })*
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = async { $(self.stores.$store.wait_ready().await;)* } => {}
                }
            }};
        }
        if roles.contains(&Role::Controller) {
            self.watch_applications(tasks, shutdown);
        } else {
            self.stores.applications.set_unavailable();
        }
        watch!(
            projects,
            project_configs,
            cluster_configs,
            warehouses,
            freight,
            stages,
            promotions,
            promotion_tasks,
            cluster_promotion_tasks
        );
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.stores.applications.wait_ready() => {}
        }
    }

    fn watch_applications(self: &Arc<Self>, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        if !self.settings.argocd_enabled {
            self.stores.applications.set_unavailable();
            return;
        }
        let settled = Arc::clone(&self.settled);
        self.stores.applications.subscribe(move |change| match change {
            Change::Added(app) | Change::Updated { new: app, .. } => settled.observe(app),
            Change::Deleted(app) => settled.forget(app.namespace(), app.name()),
        });
        let context = Arc::clone(self);
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            let client = context.argocd.clone();
            let api: Api<DeserializeGuard<Application>> = if context.settings.argocd_namespace_only
            {
                Api::namespaced(client, &context.settings.argocd_namespace)
            } else {
                Api::all(client)
            };
            let store = &context.stores.applications;
            watch::run(api, "Application", true, store, &context.metrics, shutdown).await;
        });
    }
}

/// The watched Applications, for the steps too: they are made before the
/// context is.
#[derive(Clone)]
pub struct Applications {
    store: Arc<Store<Application>>,
    settled: Arc<Settled>,
    /// Where the watch sees one namespace alone.
    only: Option<String>,
}

impl Applications {
    /// Those that a process with these settings watches; none yet.
    pub fn new(settings: &Settings) -> Self {
        let only = settings.argocd_namespace_only.then(|| settings.argocd_namespace.clone());
        Self { store: Stores::new().applications, settled: Arc::default(), only }
    }
}

impl Known for Applications {
    fn covers(&self, namespace: &str) -> bool {
        self.store.is_ready()
            && self.store.is_available()
            && self.only.as_ref().is_none_or(|only| only == namespace)
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Application> {
        self.store.get(&Key::new(namespace, name)).map(|app| app.as_ref().clone())
    }

    fn list(&self, namespace: &str) -> Vec<Application> {
        self.store.in_namespace(namespace).iter().map(|app| app.as_ref().clone()).collect()
    }

    fn is_settled(&self, app: &Application) -> bool {
        self.settled.is_settled(app)
    }
}

/// The API to watch a store's kind with, and the kind's name.
fn typed<K>(client: &Client, _store: &Store<K>) -> (Api<DeserializeGuard<K>>, String)
where
    K: kube::Resource<DynamicType = ()>,
{
    (Api::all(client.clone()), K::kind(&()).into_owned())
}

impl Default for Stores {
    fn default() -> Self {
        Self::new()
    }
}

impl Stores {
    /// Empty stores with their indexes.
    pub fn new() -> Self {
        Self {
            projects: Store::new(Vec::new()),
            project_configs: Store::new(Vec::new()),
            cluster_configs: Store::new(Vec::new()),
            warehouses: Store::new(Vec::new()),
            freight: Store::new(vec![
                Index { name: BY_WAREHOUSE, keys: |f| vec![in_namespace(f, &f.origin.name)] },
                Index {
                    name: CURRENTLY_IN,
                    keys: |f| {
                        in_namespace_each(f, f.status.iter().flat_map(|s| s.currently_in.keys()))
                    },
                },
                Index {
                    name: VERIFIED_IN,
                    keys: |f| {
                        in_namespace_each(f, f.status.iter().flat_map(|s| s.verified_in.keys()))
                    },
                },
                Index {
                    name: APPROVED_FOR,
                    keys: |f| {
                        in_namespace_each(f, f.status.iter().flat_map(|s| s.approved_for.keys()))
                    },
                },
            ]),
            stages: Store::new(vec![
                Index {
                    name: BY_UPSTREAM,
                    keys: |s| {
                        let requests = s.spec.requested_freight.iter();
                        in_namespace_each(s, requests.flat_map(|r| &r.sources.stages))
                    },
                },
                Index {
                    name: BY_DIRECT_WAREHOUSE,
                    keys: |s| {
                        let requests = s.spec.requested_freight.iter();
                        let direct = requests.filter(|r| r.sources.direct);
                        in_namespace_each(s, direct.map(|r| &r.origin.name))
                    },
                },
            ]),
            promotions: Store::new(vec![Index {
                name: BY_STAGE,
                keys: |p| vec![in_namespace(p, &p.spec.stage)],
            }]),
            promotion_tasks: Store::new(Vec::new()),
            cluster_promotion_tasks: Store::new(Vec::new()),
            applications: Arc::new(Store::new(vec![Index {
                name: BY_AUTHORIZED_STAGE,
                keys: |a| {
                    let annotations = a.metadata.annotations.as_ref();
                    let value = annotations.and_then(|a| a.get(api::annotations::AUTHORIZED_STAGE));
                    let stages = value.and_then(|v| authorization::parse(v).ok());
                    stages.into_iter().flatten().map(|s| Key::new(s.project, s.stage)).collect()
                },
            }])),
        }
    }

    /// Whether every kind has been listed once: before that nothing can be
    /// decided.
    pub fn are_ready(&self) -> bool {
        self.waiting_for().is_empty()
    }

    /// The kinds that have not been listed yet, each with what was in the way
    /// the last time, if anything was.
    pub fn waiting_for(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        macro_rules! look {
            ($($store:ident: $kind:literal),*) => {
                $(if !self.$store.is_ready() {
                    waiting.push(match self.$store.trouble() {
                        Some(trouble) => format!("{}: {trouble}", $kind),
                        None => format!("{}: the first listing", $kind),
                    });
                })*
            };
        }
        look!(
            projects: "Projects",
            project_configs: "ProjectConfigs",
            cluster_configs: "ClusterConfigs",
            warehouses: "Warehouses",
            freight: "Freight",
            stages: "Stages",
            promotions: "Promotions",
            promotion_tasks: "PromotionTasks",
            cluster_promotion_tasks: "ClusterPromotionTasks",
            applications: "Argo CD Applications"
        );
        waiting
    }

    /// The Promotions of a Stage, by name.
    pub fn promotions_of(&self, stage: &Key) -> Vec<Arc<api::Promotion>> {
        self.promotions.by(BY_STAGE, stage)
    }
}

fn in_namespace<K: kube::Resource>(object: &K, name: &str) -> Key {
    Key::new(object.meta().namespace.clone().unwrap_or_default(), name)
}

fn in_namespace_each<'a, K: kube::Resource>(
    object: &K,
    names: impl Iterator<Item = &'a String>,
) -> Vec<Key> {
    let mut keys: Vec<Key> = names.map(|name| in_namespace(object, name)).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_responsible() {
        // The table of `stages` 2.1.
        for (shard, default, label, responsible) in [
            ("", false, None, true),
            ("", true, None, true),
            ("", false, Some("x"), false),
            ("a", false, Some("a"), true),
            ("a", false, Some("b"), false),
            ("a", true, None, true),
            ("a", false, None, false),
        ] {
            let settings = Settings {
                shard: shard.into(),
                is_default_controller: default,
                ..Settings::default()
            };
            assert_eq!(settings.is_responsible(label, None), responsible, "{shard} {label:?}");
            // Without admission, spec.shard counts like the label.
            assert_eq!(settings.is_responsible(None, label), responsible, "{shard} {label:?}");
        }
    }
}
