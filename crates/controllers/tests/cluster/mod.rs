//! A cluster in memory with the Project, Freight and Stage controllers; the
//! tests play the Warehouse and Promotion controllers.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ::promotion::engine::{Engine, NoFunctions, SHOW_AFTER};
use ::promotion::step::Registry;
use ::promotion::world::World;
use controllers::context::{Context, Settings};
use controllers::metrics::Metrics;
use controllers::{freight, project, stage};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what it expects, of the runtime's own time. A watch
/// that broke several times is opened again after half a minute, and Stages are
/// looked at every five.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running cluster.
pub struct Cluster {
    pub api: sandbox::kubernetes::Api,
    pub client: Client,
    pub context: Arc<Context>,
    changed: Arc<Notify>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// A cluster with the CRDs and running controllers.
    pub async fn start() -> Self {
        let mut cluster = Self::quiet().await;
        let (context, stop) = (&cluster.context, &cluster.stop);
        cluster.tasks.spawn(project::run(Arc::clone(context), stop.clone()));
        cluster.tasks.spawn(freight::run(Arc::clone(context), stop.clone()));
        cluster.tasks.spawn(stage::run(Arc::clone(context), stop.clone()));
        cluster
    }

    /// A cluster with the CRDs and the watches; the test makes the passes.
    pub async fn quiet() -> Self {
        Self::quiet_at(Arc::new(controllers::clock::SystemClock)).await
    }

    /// As [`Cluster::quiet`], with that clock.
    pub async fn quiet_at(clock: Arc<dyn controllers::clock::Clock>) -> Self {
        let server = sandbox::kubernetes::Api::new();
        let client = server.client();
        for definition in api::crds() {
            server.load_value(serde_json::to_value(definition).unwrap()).unwrap();
        }
        server.load(sandbox::kubernetes::ARGOCD_DEFINITIONS).unwrap();
        let engine = Engine {
            registry: Registry::default(),
            world: World::default(),
            functions: Arc::new(NoFunctions),
            now: Arc::new(jiff::Timestamp::now),
            show_after: SHOW_AFTER,
        };
        let context = Context::new(
            client.clone(),
            Settings::default(),
            Metrics::default(),
            controllers::warehouse::Parts::default(),
            controllers::promotion::Parts::new(engine),
        );
        let context = Arc::new(context.with_clock(clock));
        let changed = Arc::new(Notify::new());
        macro_rules! notify {
            ($($store:ident),*) => {$({
                let changed = Arc::clone(&changed);
                context.stores.$store.subscribe(move |_| changed.notify_waiters());
            })*};
        }
        notify!(projects, project_configs, warehouses, freight, stages, promotions, applications);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        context.start(&controllers::Role::ALL, &mut tasks, &stop).await;
        assert!(context.stores.are_ready());
        Self { api: server, client, context, changed, stop, tasks }
    }

    /// How often anything was written so far.
    pub fn writes(&self) -> u64 {
        self.api.requests().writes()
    }

    /// Stops the controllers.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Creates a cluster-scoped object.
    pub async fn create_global<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::all(self.client.clone()).create(&PostParams::default(), &object).await.unwrap()
    }

    /// Creates an object in namespace `p`.
    pub async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::namespaced(self.client.clone(), "p")
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// Patches an object in namespace `p`.
    pub async fn patch<K>(&self, name: &str, change: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "p");
        api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap()
    }

    /// Patches the status of an object in namespace `p`.
    pub async fn patch_status<K>(&self, name: &str, status: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "p");
        let change = json!({ "status": status });
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap()
    }

    /// Waits until `look` finds what it looks for.
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
            Err(_) => {
                let stages = self.context.stores.stages.all();
                panic!("waited in vain for {what}; Stages: {stages:#?}");
            }
        }
    }

    /// The Stage of that name, once `is` holds.
    pub async fn stage(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&api::Stage) -> bool,
    ) -> Arc<api::Stage> {
        let key = controllers::store::Key::new("p", name);
        self.until(what, |c| c.stores.stages.get(&key).filter(|s| is(s))).await
    }

    /// The only Promotion of the Stage, once there is one.
    pub async fn promotion_of(&self, stage: &str, freight: &str) -> Arc<api::Promotion> {
        let key = controllers::store::Key::new("p", stage);
        self.until(&format!("a Promotion of {stage} to {freight}"), |c| {
            c.stores
                .promotions_of(&key)
                .into_iter()
                .find(|p| p.spec.freight.as_deref() == Some(freight))
        })
        .await
    }

    /// Plays the Promotion controller: the Promotion succeeded.
    pub async fn succeed(&self, promotion: &api::Promotion) {
        self.succeed_with(promotion, json!([])).await;
    }

    /// As [`Cluster::succeed`], with health checks left behind.
    pub async fn succeed_with(&self, promotion: &api::Promotion, checks: Value) {
        let name = promotion.metadata.name.clone().unwrap();
        let freight = promotion.spec.freight.clone().unwrap();
        let origin = json!({"kind": "Warehouse", "name": "w"});
        let reference = json!({"name": freight, "origin": origin});
        self.patch_status::<api::Promotion>(
            &name,
            json!({
                "phase": "Succeeded",
                "startedAt": "2026-01-01T00:00:00Z",
                "finishedAt": "2026-01-01T00:00:01Z",
                "freight": reference,
                "healthChecks": checks,
                "freightCollection": {"id": "c", "items": {"Warehouse/w": reference}},
            }),
        )
        .await;
    }

    /// A Project `p`, a Warehouse `w`, and policies that promote these Stages.
    pub async fn quick_start(&self, promoted: &[&str]) {
        self.create_global::<api::Project>(project_with(promoted)).await;
        self.until("the Project's namespace", |c| {
            let project = c.stores.projects.get(&controllers::store::Key::cluster("p"))?;
            is_true(&project.status.as_ref()?.conditions, "Ready").then_some(())
        })
        .await;
        self.create::<api::Warehouse>(warehouse()).await;
    }
}

/// Whether a condition is there and True.
pub fn is_true(conditions: &[api::Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}

/// A condition as `<status>/<reason>: <message>`.
pub fn said(conditions: &[api::Condition], type_: &str) -> String {
    conditions
        .iter()
        .find(|c| c.type_ == type_)
        .map(|c| format!("{}/{}: {}", c.status, c.reason, c.message))
        .unwrap_or_default()
}

/// A condition of a Stage, as [`said`].
pub fn stage_said(stage: &api::Stage, type_: &str) -> String {
    stage.status.as_ref().map(|s| said(&s.conditions, type_)).unwrap_or_default()
}

/// Whether the Stage is Ready.
pub fn is_ready(stage: &api::Stage) -> bool {
    stage.status.as_ref().is_some_and(|s| is_true(&s.conditions, "Ready"))
}

/// A Project `p` with the legacy policies for these Stages.
pub fn project_with(promoted: &[&str]) -> Value {
    let policies: Vec<Value> =
        promoted.iter().map(|s| json!({"stage": s, "autoPromotionEnabled": true})).collect();
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project",
        "metadata": {"name": "p"}, "spec": {"promotionPolicies": policies},
    })
}

/// A Warehouse `w`.
pub fn warehouse() -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Warehouse",
        "metadata": {"namespace": "p", "name": "w"},
        "spec": {"interval": "5m0s", "subscriptions": [{"image": {"repoURL": "example.com/app"}}]},
    })
}

/// Freight of Warehouse `w`, discovered at that minute.
pub fn freight_at(name: &str, minute: u32) -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Freight",
        "metadata": {
            "namespace": "p", "name": name, "labels": {"kargo.akuity.io/alias": name},
        },
        "alias": name,
        "discoveredAt": format!("2026-01-01T00:{minute:02}:00Z"),
        "origin": {"kind": "Warehouse", "name": "w"},
        "images": [{"repoURL": "example.com/app", "tag": name}],
    })
}

/// A Stage that takes Freight of Warehouse `w` from there, with one step.
pub fn stage_from(name: &str, sources: Value) -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage",
        "metadata": {"namespace": "p", "name": name},
        "spec": {
            "requestedFreight": [{
                "origin": {"kind": "Warehouse", "name": "w"}, "sources": sources,
            }],
            "promotionTemplate": {"spec": {"steps": [{"uses": "fake", "as": "step"}]}},
        },
    })
}
