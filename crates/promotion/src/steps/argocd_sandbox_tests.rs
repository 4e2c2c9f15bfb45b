//! The Argo CD steps against the sandbox's Argo CD, over a real client.

use std::sync::Arc;
use std::time::Duration;

use api::PromotionStepStatus;
use async_trait::async_trait;
use futures::StreamExt;
use kube::api::{Api, DynamicObject, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use sandbox::argocd::{ArgoCd as Simulated, ArgoCdOptions, RevisionResolver};
use serde_json::{Value, json};

use super::argocd_testing::context;
use super::argocd_update::ArgoCdUpdate;
use super::argocd_wait::ArgoCdWait;
use crate::argocd::application::Application;
use crate::argocd::cluster::{ClusterArgoCd, Known, resource};
use crate::argocd::freshness::Settled;
use crate::error::StepError;
use crate::step::{Attempt, Step, StepResult};
use crate::world::World;

/// What a watch of the client library knows.
struct Watched {
    store: reflector::Store<Application>,
    settled: Arc<Settled>,
}

impl Known for Watched {
    fn covers(&self, _: &str) -> bool {
        true
    }
    fn get(&self, namespace: &str, name: &str) -> Option<Application> {
        let key = reflector::ObjectRef::new(name).within(namespace);
        self.store.get(&key).map(|app| app.as_ref().clone())
    }
    fn list(&self, namespace: &str) -> Vec<Application> {
        let all = self.store.state();
        all.iter().filter(|a| a.namespace() == namespace).map(|a| a.as_ref().clone()).collect()
    }
    fn is_settled(&self, app: &Application) -> bool {
        self.settled.is_settled(app)
    }
}

/// Every branch is at the commit of that name.
struct Echo;

#[async_trait]
impl RevisionResolver for Echo {
    async fn resolve(&self, _repo_url: &str, target_revision: &str) -> Result<String, String> {
        Ok(format!("head-of-{target_revision}"))
    }
}

struct Scene {
    simulated: Simulated,
    applications: Api<DynamicObject>,
    world: World,
}

impl Scene {
    async fn new(cached: bool, policy: Value) -> Self {
        let cluster = sandbox::kubernetes::Api::new();
        cluster.load(sandbox::kubernetes::ARGOCD_DEFINITIONS).unwrap();
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}});
        cluster.load_value(namespace).unwrap();
        let client = cluster.client();
        let applications = Api::namespaced_with(client.clone(), "argocd", &resource());
        let app = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {
                "name": "one", "labels": {"env": "prod"},
                "annotations": {"kargo.akuity.io/authorized-stage": "fake-project:fake-stage"},
            },
            "spec": {
                "project": "default", "syncPolicy": policy,
                "source": {"repoURL": "r", "path": "d", "targetRevision": "main"},
            },
        }))
        .unwrap();
        applications.create(&PostParams::default(), &app).await.unwrap();
        let simulated = Simulated::start(client.clone(), Arc::new(Echo), ArgoCdOptions::default());
        let mut argocd = ClusterArgoCd::new(client.clone(), "");
        assert!(argocd.probe().await.unwrap());
        if cached {
            let (store, writer) = reflector::store::<Application>();
            let settled = Arc::new(Settled::default());
            let api: Api<Application> = Api::all(client);
            let seen = settled.clone();
            let events = reflector(writer, watcher(api, watcher::Config::default()))
                .applied_objects()
                .for_each(move |app| {
                    if let Ok(app) = app {
                        seen.observe(&app);
                    }
                    futures::future::ready(())
                });
            tokio::spawn(events);
            store.wait_until_ready().await.unwrap();
            argocd = argocd.with_known(Arc::new(Watched { store, settled }));
        }
        let world = World { argocd: Some(Arc::new(argocd)), ..World::default() };
        let scene = Self { simulated, applications, world };
        scene
            .until(|app| app["status"]["sync"]["status"].as_str().is_some_and(|s| !s.is_empty()))
            .await;
        scene
    }

    async fn get(&self) -> Value {
        serde_json::to_value(self.applications.get("one").await.unwrap()).unwrap()
    }

    /// Waits until the Application is so.
    async fn until(&self, holds: impl Fn(&Value) -> bool) {
        let events = self.applications.watch(&WatchParams::default(), "0").await.unwrap();
        let mut events = std::pin::pin!(events);
        let wait = async {
            while let Some(event) = events.next().await {
                let (Ok(WatchEvent::Added(app)) | Ok(WatchEvent::Modified(app))) = event else {
                    continue;
                };
                if holds(&serde_json::to_value(app).unwrap()) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it is never so");
    }

    /// Runs a step as the engine does: again at each change, with its last output.
    async fn run(
        &self,
        step: &dyn Step,
        promotion: &str,
        config: Value,
    ) -> Result<StepResult, StepError> {
        let mut attempt = Attempt::First;
        let (mut context, _dir) = context(config, attempt.clone());
        context.promotion = promotion.into();
        context.started_at = jiff::Timestamp::now();
        let mut version = "0".to_owned();
        for _ in 0..50 {
            context.attempt = attempt;
            let seen = self.get().await["metadata"]["resourceVersion"].clone();
            let result = step.run(&context, &self.world).await?;
            if result.status != PromotionStepStatus::Running {
                return Ok(result);
            }
            let events = self.applications.watch(&WatchParams::default(), &version).await.unwrap();
            let mut events = std::pin::pin!(events);
            let patience = result.retry_after.unwrap_or(Duration::from_secs(20));
            let next = async {
                while let Some(event) = events.next().await {
                    if let Ok(WatchEvent::Modified(app) | WatchEvent::Added(app)) = event {
                        let found = app.metadata.resource_version.unwrap_or_default();
                        if seen.as_str() != Some(found.as_str()) {
                            return Some(found);
                        }
                    }
                }
                None
            };
            if let Ok(Some(found)) = tokio::time::timeout(patience, next).await {
                version = found;
            }
            attempt = Attempt::Again { output: result.output };
        }
        panic!("the step does not end");
    }

    async fn syncs_by_us(&self) -> usize {
        let app = self.get().await;
        let history = app["status"]["history"].as_array().cloned().unwrap_or_default();
        history.iter().filter(|e| e["initiatedBy"]["username"] == json!("kargo-controller")).count()
    }
}

#[tokio::test]
async fn an_application_is_synced_once() {
    let heals = json!({"automated": {"selfHeal": true, "prune": true}});
    for (cached, policy) in
        [(false, json!({})), (true, json!({})), (false, heals.clone()), (true, heals)]
    {
        let scene = Scene::new(cached, policy.clone()).await;
        let config = json!({"apps": [{"name": "one", "sources": [{
            "repoURL": "r", "desiredRevision": "head-of-v2", "updateTargetRevision": false,
        }]}]});
        // The desired revision is what the branch of the patch is at.
        let patch = json!({"spec": {"source": {"targetRevision": "v2"}}});
        let params = kube::api::PatchParams::default();
        let patch = kube::api::Patch::Merge(&patch);
        scene.applications.patch("one", &params, &patch).await.unwrap();
        let result = scene.run(&ArgoCdUpdate, "p", config).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Succeeded, "{policy}");
        assert_eq!(scene.syncs_by_us().await, 1, "{policy}");
        let waits = json!({"apps": [{"selector": {"matchLabels": {"env": "prod"}}}]});
        let result = scene.run(&ArgoCdWait, "p", waits).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Succeeded, "{policy}");
        let app = scene.get().await;
        assert_eq!(app["status"]["sync"]["revision"], "head-of-v2");
        assert_eq!(app["status"]["sync"]["status"], "Synced");
    }
}

#[tokio::test]
async fn a_refused_sync_fails_with_argo_cds_message() {
    let scene = Scene::new(false, json!({})).await;
    scene.simulated.knobs().fail_next_sync("argocd", "one", "ConfigMap is invalid");
    let config = json!({"apps": [{"name": "one"}]});
    let error = scene.run(&ArgoCdUpdate, "p", config.clone()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Argo CD Application \"one\" in namespace \"argocd\" failed with: one or more objects \
         failed to apply, reason: ConfigMap is invalid"
    );
    let missing = json!({"apps": [{"name": "ones"}]});
    let error = scene.run(&ArgoCdUpdate, "p", missing).await.unwrap_err();
    assert_eq!(
        error.message,
        "unable to find Argo CD Application \"ones\" in namespace \"argocd\"; did you mean \"one\"?"
    );
    let result = scene.run(&ArgoCdUpdate, "q", config).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Succeeded);
}

#[tokio::test]
async fn two_promotions_take_turns() {
    for policy in [json!({}), json!({"automated": {"selfHeal": true}})] {
        let scene = Scene::new(true, policy.clone()).await;
        let config = json!({"apps": [{"name": "one"}]});
        let (first, second) = tokio::join!(
            scene.run(&ArgoCdUpdate, "first", config.clone()),
            scene.run(&ArgoCdUpdate, "second", config),
        );
        for result in [first, second] {
            assert_eq!(result.unwrap().status, PromotionStepStatus::Succeeded, "{policy}");
        }
        assert_eq!(scene.syncs_by_us().await, 2, "{policy}");
    }
}
