//! All controllers together: Freight that appears is promoted through three
//! Stages, and what that costs.
#![allow(clippy::unwrap_used)]

mod cluster;

use std::sync::Arc;
use std::time::Instant;

use ::promotion::engine::{Engine, NoFunctions, SHOW_AFTER};
use ::promotion::error::StepError;
use ::promotion::step::{Effect, Registry, Step, StepContext, StepResult};
use ::promotion::world::World;
use async_trait::async_trait;
use cluster::*;
use controllers::context::{Context, Settings};
use controllers::metrics::Metrics;
use controllers::store::Key;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A step that succeeds.
struct Fake;

#[async_trait]
impl Step for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }
    fn effect(&self) -> Effect {
        Effect::Outside
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, _: &StepContext, _: &World) -> Result<StepResult, StepError> {
        Ok(StepResult::succeeded())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_stages_in_a_row() {
    let server = sandbox::kubernetes::Api::new();
    let client = server.client();
    for definition in api::crds() {
        server.load_value(serde_json::to_value(definition).unwrap()).unwrap();
    }
    let engine = Engine {
        registry: Registry::default().with(Fake),
        world: World::default(),
        functions: Arc::new(NoFunctions),
        now: Arc::new(jiff::Timestamp::now),
        show_after: SHOW_AFTER,
    };
    let workdirs = tempfile::tempdir().unwrap();
    let context = Arc::new(Context::new(
        client.clone(),
        Settings::default(),
        Metrics::default(),
        controllers::warehouse::Parts::default(),
        controllers::promotion::Parts::new(engine).with_workdirs(workdirs.path()),
    ));
    let changed = Arc::new(Notify::new());
    let stop = CancellationToken::new();
    let to = Arc::clone(&changed);
    context.stores.stages.subscribe(move |_| to.notify_one());
    let to = Arc::clone(&changed);
    context.stores.projects.subscribe(move |_| to.notify_one());
    let running = tokio::spawn(controllers::run_all(Arc::clone(&context), stop.clone()));

    let until = |what: &'static str, look: Box<dyn Fn(&Context) -> bool + Send>| {
        let (context, changed) = (Arc::clone(&context), Arc::clone(&changed));
        async move {
            let wait = async {
                while !look(&context) {
                    changed.notified().await;
                }
            };
            let waited = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
            assert!(
                waited.is_ok(),
                "waited in vain for {what}: {:#?} {:#?}",
                context.stores.stages.all(),
                context.stores.promotions.all()
            );
        }
    };
    let projects: kube::Api<api::Project> = kube::Api::all(client.clone());
    let stages = ["dev", "staging", "prod"];
    let project = serde_json::from_value(project_with(&stages)).unwrap();
    projects.create(&Default::default(), &project).await.unwrap();
    until(
        "the Project",
        Box::new(|c| {
            let project = c.stores.projects.get(&Key::cluster("p"));
            let status = project.and_then(|p| p.status.clone()).unwrap_or_default();
            is_true(&status.conditions, "Ready")
        }),
    )
    .await;
    let mut source = warehouse();
    source["spec"]["freightCreationPolicy"] = json!("Manual");
    source["spec"]["subscriptions"] = json!([{"image": {"repoURL": "127.0.0.1:1/app"}}]);
    let warehouses: kube::Api<api::Warehouse> = kube::Api::namespaced(client.clone(), "p");
    warehouses.create(&Default::default(), &serde_json::from_value(source).unwrap()).await.unwrap();
    let api: kube::Api<api::Stage> = kube::Api::namespaced(client.clone(), "p");
    for (name, sources) in [
        ("dev", json!({"direct": true})),
        ("staging", json!({"stages": ["dev"]})),
        ("prod", json!({"stages": ["staging"]})),
    ] {
        let stage = serde_json::from_value(stage_from(name, sources)).unwrap();
        api.create(&Default::default(), &stage).await.unwrap();
    }
    let freights: kube::Api<api::Freight> = kube::Api::namespaced(client.clone(), "p");
    let mut took = Vec::new();
    for n in 1..=5 {
        let name = format!("f{n}");
        let before = server.requests();
        let started = Instant::now();
        let freight = serde_json::from_value(freight_at(&name, n)).unwrap();
        freights.create(&Default::default(), &freight).await.unwrap();
        until(
            "prod to have it",
            Box::new(move |c| {
                stages.iter().all(|stage| {
                    let stage = c.stores.stages.get(&Key::new("p", *stage));
                    stage.is_some_and(|s| {
                        is_ready(&s) && s.status.as_ref().is_some_and(|s| s.freight_summary == name)
                    })
                })
            }),
        )
        .await;
        took.push(started.elapsed());
        let since = server.requests().since(&before);
        println!(
            "Freight {n}: {:?}, {} requests, {} writes",
            started.elapsed(),
            since.total(),
            since.writes()
        );
        for (verb, resource, count) in since.iter() {
            println!("  {verb} {resource}: {count}");
        }
    }
    assert_eq!(context.stores.promotions.len(), 15, "one Promotion for each Stage and Freight");
    let succeeded = context
        .stores
        .promotions
        .all()
        .iter()
        .all(|p| p.status.as_ref().is_some_and(|s| s.phase == api::PromotionPhase::Succeeded));
    assert!(succeeded);
    println!("took {took:?}");
    stop.cancel();
    running.await.unwrap();
}
