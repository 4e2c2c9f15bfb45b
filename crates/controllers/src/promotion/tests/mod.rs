//! The pass over a Promotion against an API in memory (`promotions` 12,
//! "Reconciler").

mod fake_api;
mod faults;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::promotion::engine::{Engine, NoFunctions, SHOW_AFTER};
use ::promotion::error::{ErrorClass as Class, StepError};
use ::promotion::step::{Attempt, Effect, Registry, Step, StepContext, StepResult};
use ::promotion::world::World;
use api::{Freight, Promotion, PromotionPhase as Phase, Stage};
use async_trait::async_trait;
use fake_api::FakeApi;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::*;
use crate::clock::ManualClock;
use crate::metrics::Metrics;
use crate::queue::Outcome;
use ::promotion::argocd::Application;

const NAME: &str = "dev.01k0000000000000000000abcd.abc1234";

type Body = dyn Fn(&StepContext) -> Result<StepResult, StepError> + Send + Sync;

/// A kind made of a function.
struct Mock(&'static str, Effect, Box<Body>);

#[async_trait]
impl Step for Mock {
    fn kind(&self) -> &'static str {
        self.0
    }
    fn effect(&self) -> Effect {
        self.1
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        (self.2)(context)
    }
}

fn now() -> Timestamp {
    "2026-11-25T10:00:00Z".parse().unwrap()
}

/// A cluster with a Stage `dev`, a Freight, and the controller's context.
struct Rig {
    api: FakeApi,
    context: Arc<Context>,
    memory: Memory,
    runs: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<StepContext>>>,
    /// How often the step `act` acted, and why it ran.
    acts: Arc<AtomicUsize>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    _temp: tempfile::TempDir,
}

fn stage(current: &str) -> Value {
    let current =
        if current.is_empty() { json!({}) } else { json!({"currentPromotion": {"name": current}}) };
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage",
        "metadata": {"namespace": "p", "name": "dev", "uid": "stage-uid"},
        "spec": {
            "requestedFreight": [{"origin": {"kind": "Warehouse", "name": "w"}, "sources": {"direct": true}}],
            "promotionTemplate": {"spec": {"steps": [{"uses": "ok"}]}},
        },
        "status": current,
    })
}

fn freight() -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Freight",
        "metadata": {"namespace": "p", "name": "abc1234567", "uid": "freight-uid"},
        "alias": "quick-fox", "origin": {"kind": "Warehouse", "name": "w"},
        "images": [{"repoURL": "nginx", "tag": "1.2.3"}],
    })
}

fn promotion(steps: Value, status: Value) -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Promotion",
        "metadata": {
            "namespace": "p", "name": NAME, "uid": "uid-1", "generation": 1,
            "labels": {"kargo.akuity.io/stage": "dev"},
            "annotations": {"kargo.akuity.io/create-actor": "email:me@example.org"},
        },
        "spec": {"stage": "dev", "freight": "abc1234567", "steps": steps},
        "status": status,
    })
}

fn step(uses: &str, alias: &str) -> Value {
    json!({"uses": uses, "as": alias})
}

impl Rig {
    fn new() -> Self {
        Self::at(now)
    }

    /// A rig whose engine has another clock.
    fn at(now_of_engine: fn() -> Timestamp) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let api = FakeApi::default();
        let runs = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count, kept) = (runs.clone(), seen.clone());
        let acts = Arc::new(AtomicUsize::new(0));
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let registry = Registry::default()
            .with(Mock(
                "ok",
                Effect::Reads,
                Box::new(move |c| {
                    count.fetch_add(1, Ordering::SeqCst);
                    kept.lock().unwrap().push(c.clone());
                    Ok(StepResult::succeeded())
                }),
            ))
            .with(Mock(
                "act",
                Effect::Outside,
                Box::new({
                    let (acts, attempts) = (acts.clone(), attempts.clone());
                    move |c| {
                        attempts.lock().unwrap().push(c.attempt.clone());
                        // It recognises what it did before.
                        let again = matches!(c.attempt, Attempt::Again { .. });
                        if !again || acts.load(Ordering::SeqCst) == 0 {
                            acts.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(StepResult::succeeded())
                    }
                }),
            ))
            .with(Mock(
                "run",
                Effect::Outside,
                Box::new(|_| {
                    Ok(StepResult {
                        retry_after: Some(Duration::from_secs(60)),
                        ..StepResult::running("not yet")
                    })
                }),
            ))
            .with(Mock(
                "err",
                Effect::Reads,
                Box::new(|_| Err(StepError::new(Class::Internal, "something went wrong"))),
            ));
        let engine = Engine {
            registry,
            world: World::default(),
            functions: Arc::new(NoFunctions),
            now: Arc::new(now_of_engine),
            show_after: SHOW_AFTER,
        };
        let context = Context::new(
            api.client(),
            crate::context::Settings::default(),
            Metrics::default(),
            crate::warehouse::Parts::default(),
            Parts::new(engine).with_workdirs(temp.path()),
        );
        let context = Arc::new(context.with_clock(Arc::new(ManualClock::new(now()))));
        let memory = Memory::default();
        let rig = Self { api, context, memory, runs, seen, acts, attempts, _temp: temp };
        rig.set_stage(stage(NAME));
        let freight = rig.api.put(freight());
        rig.context.stores.freight.apply(serde_json::from_value::<Freight>(freight).unwrap());
        rig
    }

    /// With one more step kind.
    fn with(mut self, step: impl Step + 'static) -> Self {
        let parts = self.context.promotion.clone();
        let registry = parts.engine.registry.clone().with(step);
        let engine = Engine { registry, ..parts.engine };
        let context = Context::new(
            self.api.client(),
            crate::context::Settings::default(),
            Metrics::default(),
            crate::warehouse::Parts::default(),
            Parts { engine, workdirs: parts.workdirs },
        );
        self.context = Arc::new(context.with_clock(Arc::new(ManualClock::new(now()))));
        self.set_stage(stage(NAME));
        self.context.stores.freight.apply(serde_json::from_value::<Freight>(freight()).unwrap());
        self
    }

    fn set_stage(&self, stage: Value) {
        let stage = self.api.put(stage);
        self.context.stores.stages.apply(serde_json::from_value::<Stage>(stage).unwrap());
    }

    fn without_stage(&self) {
        self.api.remove(&stage(""));
        self.context.stores.stages.remove(&Key::new("p", "dev"));
    }

    /// Puts the Promotion into the API and, as it is then, into the cache.
    fn set(&self, promotion: Value) -> Value {
        let promotion = self.api.put(promotion);
        self.cache(promotion.clone());
        promotion
    }

    fn cache(&self, promotion: Value) {
        self.context
            .stores
            .promotions
            .apply(serde_json::from_value::<Promotion>(promotion).unwrap());
    }

    async fn pass(&self) -> Result<Outcome, crate::Error> {
        let key = Key::new("p", NAME);
        let cancel = CancellationToken::new();
        reconcile::reconcile(&self.context, &self.memory, &key, cancel).await
    }

    fn status(&self) -> api::PromotionStatus {
        let object = self.api.now(&promotion(json!([]), json!({})));
        serde_json::from_value(object["status"].clone()).unwrap_or_default()
    }

    /// The Events sent, once the Event task has created them.
    async fn events(&self) -> Vec<Value> {
        let stop = CancellationToken::new();
        stop.cancel();
        // A context that is told to end at once creates the Events that wait.
        let mut tasks = tokio::task::JoinSet::new();
        self.context.start(&crate::Role::ALL, &mut tasks, &stop).await;
        while tasks.join_next().await.is_some() {}
        self.api.events()
    }
}

fn reasons(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|e| e["reason"].as_str()).collect()
}

#[tokio::test]
async fn a_pending_promotion_whose_turn_it_is_runs() {
    // "promotions/reconciler-1"
    let rig = Rig::new();
    rig.set(promotion(json!([step("ok", "a")]), json!({"phase": "Pending"})));
    assert_eq!(rig.pass().await.unwrap(), Outcome::Done);
    let status = rig.status();
    assert_eq!(status.phase, Phase::Succeeded);
    assert!(status.started_at.is_some() && status.finished_at.is_some());
    assert_eq!(status.freight.unwrap().name, "abc1234567");
    assert_eq!(status.freight_collection.unwrap().items.len(), 1);
    assert_eq!(rig.api.writes(), 1, "{:?}", rig.api.requests());
    let events = rig.events().await;
    assert_eq!(reasons(&events), ["PromotionSucceeded"]);
    let facts = &events[0]["metadata"]["annotations"];
    assert_eq!(facts["event.kargo.akuity.io/actor"], "email:me@example.org");
    assert_eq!(facts["event.kargo.akuity.io/freight-alias"], "quick-fox");
    assert_eq!(facts["event.kargo.akuity.io/verification-pending"], "false");
    assert_eq!(
        facts["event.kargo.akuity.io/freight-images"],
        r#"[{"repoURL":"nginx","tag":"1.2.3"}]"#
    );
    let seen = rig.seen.lock().unwrap();
    assert_eq!(seen[0].actor, "me@example.org");
    assert_eq!(seen[0].target_freight.name, "abc1234567");
}

#[tokio::test]
async fn what_needs_no_uncached_read() {
    for (id, label, phase) in [
        ("promotions/reconciler-2", "", "Succeeded"),
        ("promotions/reconciler-3", "other-shard", "Pending"),
    ] {
        let rig = Rig::new();
        let mut object = promotion(json!([step("ok", "a")]), json!({"phase": phase}));
        if !label.is_empty() {
            object["metadata"]["labels"]["kargo.akuity.io/shard"] = json!(label);
        }
        rig.set(object);
        assert_eq!(rig.pass().await.unwrap(), Outcome::Done, "{id}");
        assert!(rig.api.requests().is_empty(), "{id}: {:?}", rig.api.requests());
        assert_eq!(rig.runs.load(Ordering::SeqCst), 0, "{id}");
    }
}

#[tokio::test]
async fn the_api_knows_better_than_the_cache() {
    // "promotions/reconciler-4"
    let rig = Rig::new();
    let steps = json!([step("err", "a"), step("ok", "b")]);
    rig.cache(promotion(steps.clone(), json!({"phase": "Running"})));
    rig.api.put(promotion(
        steps.clone(),
        json!({"phase": "Running", "currentStep": 1, "stepExecutionMetadata": [
            {"alias": "a", "status": "Succeeded", "startedAt": "2026-11-25T09:59:00Z"}]}),
    ));
    rig.pass().await.unwrap();
    assert_eq!(rig.status().phase, Phase::Succeeded);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1);

    // "promotions/reconciler-5"
    let rig = Rig::new();
    rig.cache(promotion(steps.clone(), json!({"phase": "Running"})));
    rig.api.put(promotion(steps, json!({"phase": "Succeeded"})));
    assert_eq!(rig.pass().await.unwrap(), Outcome::Done);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
    assert_eq!(rig.api.writes(), 0);
}

#[tokio::test]
async fn a_promotion_waits_for_its_turn() {
    // "promotions/reconciler-6"
    let rig = Rig::new();
    rig.set_stage(stage("dev.01another"));
    rig.set(promotion(json!([step("ok", "a")]), json!({})));
    assert_eq!(rig.pass().await.unwrap(), Outcome::Done);
    let status = rig.status();
    assert_eq!(status, api::PromotionStatus { phase: Phase::Pending, ..Default::default() });
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_free_stage_is_given_a_moment_to_take_the_promotion() {
    let rig = Rig::new();
    rig.set_stage(stage(""));
    let mut object = promotion(json!([step("ok", "a")]), json!({}));
    object["metadata"]["creationTimestamp"] = json!("2026-11-25T09:59:59Z");
    rig.set(object.clone());
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_secs(1)));
    assert_eq!(rig.api.writes(), 0);
    object["metadata"]["creationTimestamp"] = json!("2026-11-25T09:59:58Z");
    rig.set(object);
    assert_eq!(rig.pass().await.unwrap(), Outcome::Done);
    assert_eq!(rig.status().phase, Phase::Pending);
}

#[tokio::test]
async fn freight_that_may_not_be_promoted_errors() {
    // "promotions/reconciler-7": an error before any step.
    for (name, change, want) in [
        ("missing", "missing", "Freight \"abc1234567\" not found in namespace \"p\""),
        (
            "unavailable",
            "origin",
            "Freight \"abc1234567\" is not available to Stage \"dev\" in namespace \"p\"",
        ),
    ] {
        let rig = Rig::new();
        rig.context.stores.freight.remove(&Key::new("p", "abc1234567"));
        rig.api.remove(&freight());
        if change == "origin" {
            let mut other = freight();
            other["origin"]["name"] = json!("another");
            rig.api.put(other);
        }
        rig.set(promotion(json!([step("ok", "a")]), json!({"phase": "Pending"})));
        rig.pass().await.unwrap();
        let status = rig.status();
        assert_eq!((status.phase, status.message.as_str()), (Phase::Errored, want), "{name}");
        assert!(status.finished_at.is_some(), "{name}");
        assert_eq!(reasons(&rig.events().await), ["PromotionErrored"], "{name}");
    }
}

#[tokio::test]
async fn an_engine_that_panics_errors_the_promotion() {
    // "promotions/reconciler-8"
    let rig = Rig::at(|| panic!("something went wrong"));
    rig.set(promotion(json!([step("ok", "a")]), json!({"phase": "Pending"})));
    rig.pass().await.unwrap();
    let status = rig.status();
    assert_eq!((status.phase, status.message.as_str()), (Phase::Errored, "something went wrong"));
    assert_eq!(reasons(&rig.events().await), ["PromotionErrored"]);
}

#[tokio::test]
async fn the_stage_goes_missing_while_the_promotion_ends() {
    // "promotions/reconciler-9"
    let rig = Rig::new();
    let (context, api) = (rig.context.clone(), rig.api.clone());
    rig.set(promotion(json!([step("act", "a")]), json!({"phase": "Pending"})));
    // The step's intent is written while the Stage is there, its end is not.
    rig.api.fail(move |method, path| {
        if method == "PATCH" && path.ends_with("/status") {
            context.stores.stages.remove(&Key::new("p", "dev"));
        }
        let _ = &api;
        (method == "GET" && path.ends_with("/stages/dev")).then_some((500, "InternalError"))
    });
    let error = rig.pass().await.unwrap_err();
    assert!(error.to_string().starts_with("get stage: "), "{error}");
    assert_eq!(rig.status().phase, Phase::Succeeded);
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn an_abort_needs_no_stage() {
    // "promotions/reconciler-10"
    let rig = Rig::new();
    rig.without_stage();
    let mut object = promotion(json!([step("ok", "a")]), json!({"phase": "Pending"}));
    object["metadata"]["annotations"]["kargo.akuity.io/abort"] = json!("terminate");
    rig.set(object.clone());
    rig.pass().await.unwrap();
    let status = rig.status();
    assert_eq!(status.phase, Phase::Aborted);
    assert_eq!(status.message, "Promotion terminated by controller:promotion-controller");
    assert!(status.finished_at.is_some());
    let events = rig.events().await;
    assert_eq!(reasons(&events), ["PromotionAborted"]);
    assert_eq!(events[0]["message"], status.message);

    // "promotions/reconciler-11"
    let rig = Rig::new();
    rig.set(object);
    rig.api.fail(|method, _| (method == "PATCH").then_some((500, "InternalError")));
    rig.pass().await.unwrap_err();
    assert_eq!(rig.status().phase, Phase::Pending);
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn a_deleted_promotion_leaves_no_directory() {
    for (id, label, gone) in
        [("promotions/reconciler-12", "", true), ("promotions/reconciler-13", "other", false)]
    {
        let rig = Rig::new();
        let mut object = promotion(json!([step("ok", "a")]), json!({"phase": "Pending"}));
        object["metadata"]["deletionTimestamp"] = json!("2026-11-25T10:00:00Z");
        object["metadata"]["finalizers"] = json!(["example.org/foreign"]);
        if !label.is_empty() {
            object["metadata"]["labels"]["kargo.akuity.io/shard"] = json!(label);
        }
        let typed: Promotion = serde_json::from_value(rig.set(object)).unwrap();
        let workdir = rig.context.promotion.workdir_of(&typed);
        std::fs::create_dir_all(workdir.join("work")).unwrap();
        rig.pass().await.unwrap();
        assert_eq!(!workdir.exists(), gone, "{id}");
        assert_eq!(rig.status().phase, Phase::Pending, "{id}");
        assert_eq!(rig.api.writes(), 0, "{id}");
    }
}

#[tokio::test]
async fn a_step_that_waits_is_asked_again_and_writes_nothing_new() {
    let rig = Rig::new();
    let mut object = promotion(json!([step("run", "a")]), json!({}));
    object["metadata"]["annotations"]["kargo.akuity.io/refresh"] = json!("token-1");
    let object = rig.set(object);
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_secs(60)));
    let status = rig.status();
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(status.last_handled_refresh, "token-1");
    assert_eq!(status.step_execution_metadata[0].message, "not yet");
    // The intent, then the answer; the phase went with the intent.
    assert_eq!(rig.api.writes(), 2);
    rig.cache(rig.api.now(&object));
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_secs(60)));
    assert_eq!(rig.api.writes(), 2, "nothing changed, nothing is written");
}

#[tokio::test]
async fn an_error_below_the_threshold_backs_off() {
    let rig = Rig::new();
    let steps = json!([{"uses": "err", "as": "a", "retry": {"errorThreshold": 3}}]);
    rig.set(promotion(steps, json!({"phase": "Pending"})));
    let error = rig.pass().await.unwrap_err();
    assert_eq!(error.to_string(), "error running step \"a\": something went wrong");
    let status = rig.status();
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(status.message, error.to_string());
    assert_eq!(status.step_execution_metadata[0].error_count, 1);
}

#[tokio::test]
async fn another_writer_ends_the_pass_and_a_refresh_does_not() {
    for (name, field, ends) in [
        ("a refresh", "annotations", false),
        ("an abort", "abort", true),
        ("another process", "status", true),
    ] {
        let rig = Rig::new();
        let object = rig.set(promotion(json!([step("act", "a")]), json!({"phase": "Pending"})));
        // Somebody writes between our read and our first write.
        let mut other = object;
        let annotations = &mut other["metadata"]["annotations"];
        match field {
            "annotations" => annotations["kargo.akuity.io/refresh"] = json!("t"),
            "abort" => annotations["kargo.akuity.io/abort"] = json!("terminate"),
            _ => other["status"] = json!({"phase": "Running", "message": "mine"}),
        }
        rig.api.put_before_next_patch(other);
        let outcome = rig.pass().await.unwrap();
        if ends {
            assert_eq!(outcome, Outcome::After(Duration::from_millis(100)), "{name}");
            assert!(rig.status().step_execution_metadata.is_empty(), "{name}");
        } else {
            assert_eq!(rig.status().phase, Phase::Succeeded, "{name}");
        }
    }
}

#[tokio::test]
async fn a_promotion_that_no_webhook_saw_is_completed() {
    let rig = Rig::new();
    let mut object = promotion(json!([step("err", "mine")]), json!({}));
    object["metadata"]["labels"] = json!({});
    rig.set(object.clone());
    rig.pass().await.unwrap();
    let after = rig.api.now(&object);
    assert_eq!(after["spec"]["steps"], json!([{"uses": "ok", "as": "step-1"}]));
    assert_eq!(after["metadata"]["labels"]["kargo.akuity.io/stage"], "dev");
    assert_eq!(after["metadata"]["annotations"]["kargo.akuity.io/stage"], "dev");
    assert_eq!(after["metadata"]["ownerReferences"][0]["uid"], "stage-uid");
    assert_eq!(rig.status().phase, Phase::Succeeded);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn freight_promoted_again_is_verified_again() {
    let rig = Rig::new();
    let mut with_history = stage(NAME);
    with_history["status"]["freightHistory"] = json!([{
        "id": "c", "items": {"Warehouse/w": {"name": "abc1234567", "origin": {"kind": "Warehouse", "name": "w"}}},
        "verificationHistory": [{"id": "v-1", "phase": "Successful"}],
    }]);
    rig.set_stage(with_history.clone());
    rig.set(promotion(json!([step("ok", "a")]), json!({"phase": "Pending"})));
    rig.pass().await.unwrap();
    let stage = rig.api.now(&with_history);
    assert_eq!(stage["metadata"]["annotations"]["kargo.akuity.io/reverify"], r#"{"id":"v-1"}"#);
}

/// A step that looks at an Application: it waits at first, and is done when
/// it is asked again. Tells of each attempt.
struct Looks {
    attempts: AtomicUsize,
    told: tokio::sync::mpsc::UnboundedSender<usize>,
}

#[async_trait]
impl Step for Looks {
    fn kind(&self) -> &'static str {
        "argocd-update"
    }
    fn effect(&self) -> Effect {
        Effect::Outside
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, _: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        let _ = self.told.send(attempt);
        Ok(if attempt == 0 { StepResult::running("") } else { StepResult::succeeded() })
    }
}

fn application(health: &str) -> Application {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"namespace": "argocd", "name": "web-dev", "uid": "app-uid", "resourceVersion": health},
        "spec": {}, "status": {"health": {"status": health}},
    }))
    .unwrap()
}

#[tokio::test]
async fn the_stage_starts_a_promotion_and_its_application_wakes_it() {
    let (told, mut attempts) = tokio::sync::mpsc::unbounded_channel();
    let mut rig = Rig::new();
    let parts = rig.context.promotion.clone();
    let looks = Looks { attempts: AtomicUsize::new(0), told };
    let engine = Engine { registry: parts.engine.registry.clone().with(looks), ..parts.engine };
    rig.context = Arc::new(
        Context::new(
            rig.api.client(),
            crate::context::Settings::default(),
            Metrics::default(),
            crate::warehouse::Parts::default(),
            Parts { engine, workdirs: parts.workdirs },
        )
        .with_clock(Arc::new(ManualClock::new(now()))),
    );
    rig.set_stage(stage("dev.01another"));
    rig.api.put(freight());
    let looking = json!([{"uses": "argocd-update", "as": "sync", "config": {
        "apps": [{"name": "web-${{ ctx.stage }}"}]}}]);
    rig.set(promotion(looking, json!({"phase": "Pending"})));
    rig.context.stores.applications.apply(application("Progressing"));

    let stop = CancellationToken::new();
    let controller = tokio::spawn(run(rig.context.clone(), stop.clone()));
    let patience = Duration::from_secs(30);
    let mut next = async || tokio::time::timeout(patience, attempts.recv()).await.unwrap();
    rig.set_stage(stage(NAME));
    assert_eq!(next().await, Some(0), "its turn has come");
    rig.context.stores.applications.apply(application("Healthy"));
    assert_eq!(next().await, Some(1), "long before the timer");
    stop.cancel();
    controller.await.unwrap();
    assert_eq!(rig.status().phase, Phase::Succeeded);
}
