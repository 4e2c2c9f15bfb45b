//! The engine with mock kinds (`promotions` 12, "Engine").

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{PromotionPhase as Phase, PromotionStatus, PromotionStep, PromotionStepStatus as Status};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::{ErrorClass, StepError};
use crate::step::{Effect, Registry, Step, StepContext, StepResult};
use crate::world::World;

pub(super) type Body = dyn Fn(&StepContext) -> Result<StepResult, StepError> + Send + Sync;

/// A kind made of a function.
pub(super) struct Mock {
    pub(super) kind: &'static str,
    pub(super) effect: Effect,
    pub(super) propagates: bool,
    pub(super) schema: Value,
    pub(super) body: Box<Body>,
}

#[async_trait]
impl Step for Mock {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn effect(&self) -> Effect {
        self.effect
    }
    fn propagates_task_output(&self) -> bool {
        self.propagates
    }
    fn config_schema(&self) -> Value {
        self.schema.clone()
    }
    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        (self.body)(context)
    }
}

pub(super) fn mock(
    kind: &'static str,
    body: impl Fn(&StepContext) -> Result<StepResult, StepError> + Send + Sync + 'static,
) -> Mock {
    Mock { kind, effect: Effect::Reads, propagates: false, schema: json!({}), body: Box::new(body) }
}

/// Says that it began, then blocks until cancelled.
#[derive(Clone, Default)]
struct Wait {
    began: std::sync::Arc<tokio::sync::Notify>,
}

#[async_trait]
impl Step for Wait {
    fn kind(&self) -> &'static str {
        "wait"
    }
    fn effect(&self) -> Effect {
        Effect::Reads
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        self.began.notify_one();
        context.cancel.cancelled().await;
        Err(StepError::new(ErrorClass::Transient, "context canceled"))
    }
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn wrong(terminal: bool, failed: bool) -> Result<StepResult, StepError> {
    let error = StepError::new(ErrorClass::Internal, "something went wrong");
    Err(StepError { terminal, failed, ..error })
}

pub(super) fn registry() -> Registry {
    let output = || object(json!({"key": "value"}));
    Registry::default()
        .with(mock("ok", move |_| Ok(StepResult::succeeded().with_output(output()))))
        .with(mock("skip", move |_| Ok(StepResult::skipped("").with_output(output()))))
        .with(mock("run", |_| Ok(StepResult::running(""))))
        .with(mock("err", |_| wrong(false, false)))
        .with(mock("terr", |_| wrong(true, false)))
        .with(mock("tfail", |_| wrong(true, true)))
        .with(mock("fail", |_| wrong(false, true)))
        .with(mock("failed", |_| {
            Ok(StepResult { status: Status::Failed, ..StepResult::succeeded() })
        }))
        .with(mock("errored", |_| {
            Ok(StepResult { status: Status::Errored, ..StepResult::succeeded() })
        }))
        .with(mock("invalid", |_| {
            Ok(StepResult { status: Status::default(), ..StepResult::succeeded() })
        }))
        .with(mock("panic", |_| panic!("something went wrong")))
        .with(mock("echo", |c| {
            Ok(StepResult::succeeded().with_output(object(json!({"config": c.config}))))
        }))
        .with(Mock {
            propagates: true,
            ..mock("propagate", |_| {
                Ok(StepResult::succeeded().with_output(object(json!({"key": "value"}))))
            })
        })
        .with(Mock {
            schema: json!({"type": "object", "required": ["path"]}),
            ..mock("strict", |_| Ok(StepResult::succeeded()))
        })
        .with(Wait::default())
}

pub(super) fn start() -> Timestamp {
    "2026-11-25T10:00:00Z".parse().unwrap()
}

pub(super) fn engine(registry: Registry) -> Engine {
    Engine {
        registry,
        world: World::default(),
        functions: Arc::new(NoFunctions),
        now: Arc::new(start),
        show_after: Duration::from_secs(3600),
    }
}

/// A step from the few fields that a case gives.
pub(super) fn step(value: Value) -> PromotionStep {
    serde_json::from_value(value).unwrap()
}

pub(super) fn run_of(steps: Vec<PromotionStep>, temp: &tempfile::TempDir) -> Run {
    Run {
        project: "p".into(),
        stage: "s".into(),
        promotion: "s.1.abc".into(),
        promotion_uid: "uid".into(),
        actor: "me".into(),
        rollback: false,
        ui_base_url: String::new(),
        vars: Vec::new(),
        steps,
        freight_requests: Vec::new(),
        freight: api::FreightCollection::default(),
        target_freight: api::FreightReference::default(),
        target_alias: String::new(),
        workdir: temp.path().join("promotion-uid"),
        cancel: CancellationToken::new(),
    }
}

/// Keeps the statuses written.
#[derive(Default)]
pub(super) struct Kept(pub(super) Vec<PromotionStatus>);

#[async_trait]
impl Recorder for Kept {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.0.push(status.clone());
        Ok(())
    }
}

pub(super) fn running() -> PromotionStatus {
    PromotionStatus { phase: Phase::Running, ..Default::default() }
}

async fn go_from(steps: Value, status: PromotionStatus) -> Outcome {
    let temp = tempfile::tempdir().unwrap();
    let steps: Vec<PromotionStep> =
        steps.as_array().unwrap().iter().map(|s| step(s.clone())).collect();
    let run = run_of(steps, &temp);
    engine(registry()).run(&run, status, &mut Kept::default()).await
}

async fn go(steps: Value) -> PromotionStatus {
    status_of(go_from(steps, running()).await)
}

pub(super) fn status_of(outcome: Outcome) -> PromotionStatus {
    match outcome {
        Outcome::Finished(status) | Outcome::Waiting { status, .. } => status,
        Outcome::Interrupted(why) => panic!("interrupted: {why}"),
    }
}

pub(super) fn statuses(status: &PromotionStatus) -> Vec<Status> {
    status.step_execution_metadata.iter().map(|e| e.status).collect()
}

fn state(status: &PromotionStatus) -> Value {
    status.state.clone().map_or(Value::Null, Value::Object)
}

fn message(status: &PromotionStatus, index: usize) -> &str {
    &status.step_execution_metadata[index].message
}

#[tokio::test]
async fn an_unknown_kind_errors_without_times() {
    // "promotions/engine-1"
    let status = go(json!([{"uses": "nope", "as": "step1"}])).await;
    assert_eq!(status.phase, Phase::Errored);
    assert!(status.message.contains("step kind \"nope\" is not registered"), "{}", status.message);
    assert_eq!(status.current_step, 0);
    let entry = &status.step_execution_metadata[0];
    assert!(entry.started_at.is_none() && entry.finished_at.is_none());
}

#[tokio::test]
async fn a_condition_that_fails_errors_without_times() {
    // "promotions/engine-2"
    let status = go(json!([{"uses": "ok", "as": "step1", "if": "${{ bogus() }}"}])).await;
    assert_eq!(status.phase, Phase::Errored);
    assert!(
        status.message.starts_with("error checking if step \"step1\" should be skipped: "),
        "{}",
        status.message
    );
    let entry = &status.step_execution_metadata[0];
    assert!(entry.started_at.is_none() && entry.finished_at.is_none());
}

#[tokio::test]
async fn steps_that_succeed() {
    // "promotions/engine-3"
    let status = go(json!([{"uses": "ok", "as": "step1"}, {"uses": "ok", "as": "step2"}])).await;
    assert_eq!((status.phase, status.message.as_str()), (Phase::Succeeded, ""));
    assert_eq!(status.current_step, 1);
    assert_eq!(state(&status), json!({"step1": {"key": "value"}, "step2": {"key": "value"}}));
}

#[tokio::test]
async fn steps_that_skip_themselves_have_times_and_outputs() {
    // "promotions/engine-4"
    let status = go(json!([{"uses": "skip", "as": "a"}, {"uses": "skip", "as": "b"}])).await;
    assert_eq!(status.phase, Phase::Succeeded);
    assert_eq!(statuses(&status), [Status::Skipped, Status::Skipped]);
    for entry in &status.step_execution_metadata {
        assert!(entry.started_at.is_some() && entry.finished_at.is_some());
    }
    assert_eq!(state(&status), json!({"a": {"key": "value"}, "b": {"key": "value"}}));
}

#[tokio::test]
async fn a_condition_skips_without_times_or_output() {
    // "promotions/engine-5"
    let status = go(json!([
        {"uses": "ok", "as": "a"},
        {"uses": "err", "as": "b", "if": "${{ false }}"},
        {"uses": "ok", "as": "c", "if": "${{ true }}"},
    ]))
    .await;
    assert_eq!(status.phase, Phase::Succeeded);
    assert_eq!(statuses(&status), [Status::Succeeded, Status::Skipped, Status::Succeeded]);
    let skipped = &status.step_execution_metadata[1];
    assert!(skipped.started_at.is_none() && skipped.finished_at.is_none());
    assert!(status.state.unwrap().get("b").is_none());
}

#[tokio::test]
async fn resumes_at_the_recorded_step() {
    // "promotions/engine-6"
    let mut status = running();
    status.current_step = 1;
    status.step_execution_metadata.push(api::StepExecutionMetadata {
        alias: "a".into(),
        status: Status::Succeeded,
        started_at: times::api(start()),
        ..Default::default()
    });
    let steps = json!([{"uses": "panic", "as": "a"}, {"uses": "ok", "as": "b"}]);
    let status = status_of(go_from(steps, status).await);
    assert_eq!(status.phase, Phase::Succeeded);
    assert_eq!(state(&status), json!({"b": {"key": "value"}}));
}

#[tokio::test]
async fn how_a_second_step_ends_the_promotion() {
    for (id, kind, phase, want) in [
        (
            "promotions/engine-7",
            "terr",
            Phase::Errored,
            "an unrecoverable error occurred: error running step \"step2\": something went wrong",
        ),
        ("promotions/engine-8", "tfail", Phase::Failed, "step \"step2\": something went wrong"),
        (
            "promotions/engine-9",
            "err",
            Phase::Errored,
            "step \"step2\" met error threshold of 1: error running step \"step2\": something went wrong",
        ),
        (
            "promotions/engine-10",
            "fail",
            Phase::Failed,
            "step \"step2\" met error threshold of 1: step \"step2\": something went wrong",
        ),
    ] {
        let status =
            go(json!([{"uses": "ok", "as": "step1"}, {"uses": kind, "as": "step2"}])).await;
        assert_eq!((status.phase, status.message.as_str()), (phase, want), "{id}");
        assert!(status.step_execution_metadata[1].finished_at.is_some(), "{id}");
        assert!(status.state.unwrap().get("step2").is_none(), "{id}: null is not kept");
    }
}

#[tokio::test]
async fn an_error_below_the_threshold_is_retried() {
    // "promotions/engine-11"
    let steps = json!([{"uses": "err", "as": "step1", "retry": {"errorThreshold": 3}}]);
    let Outcome::Waiting { status, error: Some(error), .. } = go_from(steps, running()).await
    else {
        panic!("must wait with an error");
    };
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(error.message, "error running step \"step1\": something went wrong");
    assert_eq!(status.message, error.message);
    let entry = &status.step_execution_metadata[0];
    assert_eq!((entry.status, entry.error_count), (Status::Errored, 1));
    assert!(entry.finished_at.is_none());
    assert!(entry.message.ends_with("; step will be retried"), "{}", entry.message);
}

fn started_an_hour_ago(alias: &str) -> PromotionStatus {
    let mut status = running();
    status.step_execution_metadata.push(api::StepExecutionMetadata {
        alias: alias.into(),
        status: Status::Running,
        started_at: times::api(start() - jiff::SignedDuration::from_secs(3601)),
        ..Default::default()
    });
    status
}

#[tokio::test]
async fn time_runs_out_after_an_attempt() {
    for (id, kind, errors) in
        [("promotions/engine-12", "err", 1), ("promotions/engine-13", "run", 0)]
    {
        let steps = json!([
            {"uses": kind, "as": "step1", "retry": {"errorThreshold": 3, "timeout": "1h"}}
        ]);
        let status = status_of(go_from(steps, started_an_hour_ago("step1")).await);
        assert_eq!(status.phase, Phase::Errored, "{id}");
        assert_eq!(status.message, "step \"step1\" timed out after 1h0m0s", "{id}");
        assert_eq!(status.step_execution_metadata[0].error_count, errors, "{id}");
    }
}

#[tokio::test]
async fn a_running_step_waits() {
    // "promotions/engine-14"
    let steps = json!([{"uses": "run", "as": "step1"}]);
    let Outcome::Waiting { status, error: None, .. } = go_from(steps, running()).await else {
        panic!("must wait without an error");
    };
    assert_eq!((status.phase, status.message.as_str()), (Phase::Running, ""));
    assert!(status.step_execution_metadata[0].finished_at.is_none());
}

#[tokio::test]
async fn a_cancelled_process_leaves_the_promotion_running() {
    // "promotions/engine-15", but for the phase: the next process resumes
    // where this one stopped (docs/differences.md).
    let temp = tempfile::tempdir().unwrap();
    let run = run_of(
        vec![step(json!({"uses": "wait", "as": "a"})), step(json!({"uses": "ok", "as": "b"}))],
        &temp,
    );
    let mut kept = Kept::default();
    let cancel = run.cancel.clone();
    let wait = Wait::default();
    let engine = engine(registry().with(wait.clone()));
    let (outcome, ()) = tokio::join!(engine.run(&run, running(), &mut kept), async move {
        wait.began.notified().await;
        cancel.cancel();
    });
    let Outcome::Interrupted(why) = outcome else { panic!("must be interrupted") };
    assert_eq!(why, Interruption::Cancelled);
    assert_eq!(why.to_string(), "execution canceled: context canceled");
    let last = kept.0.last().unwrap();
    assert_eq!((last.phase, last.current_step), (Phase::Running, 0));
    assert_eq!(statuses(last), [Status::Running], "the second step did not begin");
    assert_eq!(last.step_execution_metadata[0].error_count, 0);
}

#[tokio::test]
async fn outputs_propagate_to_the_task() {
    for (id, alias, want) in [
        (
            "promotions/engine-16",
            "task-1::custom-output",
            json!({"task-1::custom-output": {"key": "value"}, "task-1": {"key": "value"}}),
        ),
        ("promotions/engine-17", "custom-output", json!({"custom-output": {"key": "value"}})),
    ] {
        let status = go(json!([{"uses": "propagate", "as": alias}])).await;
        assert_eq!(state(&status), want, "{id}");
    }
}

#[tokio::test]
async fn a_started_step_runs_whatever_its_status() {
    // "promotions/engine-18"
    let mut status = started_an_hour_ago("step1");
    status.step_execution_metadata[0].status = Status::Failed;
    let status = status_of(go_from(json!([{"uses": "ok", "as": "step1"}]), status).await);
    assert_eq!((status.phase, statuses(&status)), (Phase::Succeeded, vec![Status::Succeeded]));
}

#[tokio::test]
async fn a_panic_ends_the_step_alone() {
    // "promotions/engine-19"
    let steps = json!([
        {"uses": "ok", "as": "a"}, {"uses": "panic", "as": "b"}, {"uses": "ok", "as": "c"}
    ]);
    let status = go(steps).await;
    assert_eq!((status.phase, status.current_step), (Phase::Errored, 2));
    assert_eq!(statuses(&status), [Status::Succeeded, Status::Errored, Status::Skipped]);
    assert!(status.step_execution_metadata[1].finished_at.is_some());
    assert!(status.step_execution_metadata[2].started_at.is_none());
    assert_eq!(
        status.message,
        "an unrecoverable error occurred: error running step \"b\": step panicked: something went wrong"
    );
}

#[tokio::test]
async fn what_follows_a_failure() {
    // "promotions/engine-20"
    let steps =
        json!([{"uses": "err", "as": "a", "continueOnError": true}, {"uses": "ok", "as": "b"}]);
    let status = go(steps).await;
    assert_eq!(status.phase, Phase::Succeeded);
    assert_eq!(statuses(&status), [Status::Errored, Status::Succeeded]);

    // "promotions/engine-21"
    let status = go(json!([
        {"uses": "err", "as": "a"},
        {"uses": "ok", "as": "b", "if": "${{ always() }}"},
        {"uses": "ok", "as": "c", "if": "${{ failure() }}"},
        {"uses": "ok", "as": "d", "if": "${{ success() }}"},
    ]))
    .await;
    assert_eq!(status.phase, Phase::Errored);
    assert_eq!(
        statuses(&status),
        [Status::Errored, Status::Succeeded, Status::Succeeded, Status::Skipped]
    );

    for (id, first, want) in
        [("promotions/engine-22", "tfail", 1), ("promotions/engine-23", "err", 0)]
    {
        let status = go(json!([
            {"uses": first, "as": "a"},
            {"uses": "err", "as": "b", "if": "${{ always() }}"},
        ]))
        .await;
        assert_eq!(status.phase, Phase::Errored, "{id}");
        assert_eq!(status.message, message(&status, want), "{id}");
    }
}

#[tokio::test]
async fn an_expression_that_fails_is_not_retried() {
    // "promotions/engine-24"
    let status = go(json!([{
        "uses": "ok", "as": "update-image", "retry": {"errorThreshold": 5},
        "config": {"updates": [{"value": "${{ image.tag }}"}]},
    }]))
    .await;
    assert_eq!(status.phase, Phase::Errored);
    let entry = &status.step_execution_metadata[0];
    assert!(entry.finished_at.is_none() && entry.error_count == 0);
    let want = "failed to build step context: failed to get step config: \
                step \"update-image\" (ok): config field updates[0].value: \
                cannot fetch tag from <nil> (1:8)\n |  image.tag \n | .......^";
    assert!(status.message.starts_with(want), "{}", status.message);
    let rest = status.message.get(want.len()..).unwrap();
    assert!(rest.contains("image") && rest.contains("vars"), "names what is in scope: {rest}");
}

#[tokio::test]
async fn odd_results() {
    // "promotions/engine-25"
    let status = go(json!([{"uses": "invalid", "as": "x"}])).await;
    assert_eq!(status.phase, Phase::Errored);
    assert!(status.message.contains("returned an invalid status: "), "{}", status.message);

    // "promotions/engine-26"
    let status = go(json!([{"uses": "errored", "as": "x"}])).await;
    assert_eq!(status.message, "step \"x\" met error threshold of 1: ");
    assert_eq!(status.phase, Phase::Errored);

    // "promotions/engine-28"
    let steps = json!([{"uses": "failed", "as": "x"}]);
    let Outcome::Waiting { status, error: None, .. } = go_from(steps, running()).await else {
        panic!("must wait without an error");
    };
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(statuses(&status), [Status::Failed]);
    assert_eq!(status.step_execution_metadata[0].error_count, 0);
}

#[tokio::test]
async fn an_error_with_an_output_is_an_error() {
    // "promotions/engine-27": a runner cannot return Succeeded together with
    // an error here; an error that carries what a success would have is that.
    let registry = registry().with(mock("both", |_| {
        Err(StepError::new(ErrorClass::Internal, "something went wrong")
            .with_output(object(json!({"key": "value"}))))
    }));
    let temp = tempfile::tempdir().unwrap();
    let run = run_of(vec![step(json!({"uses": "both", "as": "x"}))], &temp);
    let status = status_of(engine(registry).run(&run, running(), &mut Kept::default()).await);
    assert_eq!((status.phase, statuses(&status)), (Phase::Errored, vec![Status::Errored]));
    assert_eq!(
        status.message,
        "step \"x\" met error threshold of 1: error running step \"x\": something went wrong"
    );
    assert_eq!(state(&status), json!({"x": {"key": "value"}}), "what it left is kept");
}

#[tokio::test]
async fn a_fault_that_passes_is_tried_again() {
    let limited = ErrorClass::RateLimited { retry_after: Duration::from_secs(90) };
    let faults = [(ErrorClass::Transient, 1), (limited, 90)];
    for (class, pause) in faults {
        let registry = registry().with(mock("fault", move |_| Err(StepError::new(class, "busy"))));
        let temp = tempfile::tempdir().unwrap();
        let run = run_of(vec![step(json!({"uses": "fault", "as": "x"}))], &temp);
        let mut status = running();
        // However often it fails, within its time.
        for _ in 0..3 {
            let outcome = engine(registry.clone()).run(&run, status, &mut Kept::default()).await;
            let Outcome::Waiting { status: after, retry_after, error: Some(error), .. } = outcome
            else {
                panic!("must wait with an error");
            };
            assert_eq!(retry_after, Some(Duration::from_secs(pause)));
            assert_eq!(error.message, "error running step \"x\": busy");
            assert_eq!(after.message, error.message, "says what it waits for");
            assert_eq!(after.step_execution_metadata[0].error_count, 0);
            status = after;
        }
        let late = start() + jiff::SignedDuration::from_secs(601);
        let engine = Engine { now: Arc::new(move || late), ..engine(registry) };
        let status = status_of(engine.run(&run, status, &mut Kept::default()).await);
        assert_eq!(status.phase, Phase::Errored);
        assert_eq!(
            status.message,
            "step \"x\" timed out after 10m0s; the last attempt: error running step \"x\": busy"
        );
    }
}

#[tokio::test]
async fn a_retry_that_cannot_be_read_fails_the_step() {
    for (retry, want) in [
        (
            json!({"timeout": "soon"}),
            "step \"x\": invalid ok config: retry.timeout: \"soon\" must be a duration, for example \
             30s, 5m or 1h30m",
        ),
        (
            json!({"errorThreshold": -1}),
            "step \"x\": invalid ok config: retry.errorThreshold: -1 must be a whole number, 0 or more",
        ),
    ] {
        let status = go(json!([{"uses": "ok", "as": "x", "retry": retry}])).await;
        assert_eq!((status.phase, status.message.as_str()), (Phase::Failed, want));
    }
}

#[tokio::test]
async fn a_large_output_leaves_a_marker() {
    let registry = registry().with(mock("large", |_| {
        let text = "x".repeat(5 << 20);
        Ok(StepResult::succeeded().with_output(object(json!({"text": text, "id": 7}))))
    }));
    let temp = tempfile::tempdir().unwrap();
    let steps = vec![
        step(json!({"uses": "large", "as": "a"})),
        step(json!({"uses": "echo", "as": "b", "config": {"x": "${{ outputs.a.text }}"}})),
    ];
    let run = run_of(steps, &temp);
    let status = status_of(engine(registry).run(&run, running(), &mut Kept::default()).await);
    assert_eq!(status.phase, Phase::Succeeded);
    assert!(message(&status, 0).contains("text (5242880 bytes)"), "{}", message(&status, 0));
    let marker = "(5242880 bytes left out: a Promotion keeps 524288 bytes of outputs at most)";
    let state = state(&status);
    assert_eq!(state["a"], json!({"text": marker, "id": 7}));
    assert_eq!(state["b"]["config"]["x"], marker, "later steps see what is kept");
}

#[tokio::test]
async fn a_config_must_fit_its_schema() {
    let status = go(json!([{"uses": "strict", "as": "x", "retry": {"errorThreshold": 5}}])).await;
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message, "step \"x\": invalid strict config: (root): path is required");
}

/// Functions that know one secret.
struct OneSecret;

#[async_trait]
impl Functions for OneSecret {
    fn install(&self, env: &mut expr::Env, cache: &expr::LookupCache, _: &Run) {
        let (cache, secrets) = (cache.clone(), env.secrets().clone());
        env.set_function(expr::Function::new("secret", move |args| {
            let name = args.first().map(expr::Value::to_text).unwrap_or_default();
            let value = cache.get(expr::LookupKey::new("secret", [name]))?;
            secrets.add(value.as_str().unwrap_or_default());
            Ok(value)
        }));
    }

    async fn resolve(&self, _: &Run, key: &expr::LookupKey) -> Result<expr::Value, String> {
        match key.argument(0) {
            "token" => Ok("hunter2-canary".into()),
            other => Err(format!("no Secret {other:?}")),
        }
    }
}

#[tokio::test]
async fn a_secret_reaches_the_step_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Value::Null));
    let to = seen.clone();
    let registry = registry().with(mock("leak", move |c| {
        *to.lock().unwrap() = c.config.clone();
        let token = c.config["token"].as_str().unwrap_or_default().to_owned();
        Ok(StepResult {
            message: format!("used {token}"),
            health_check: Some(crate::step::HealthCheck {
                uses: "leak".into(),
                config: json!({"token": token}),
            }),
            ..StepResult::succeeded().with_output(object(json!({"token": format!("x{token}")})))
        })
    }));
    let run = run_of(
        vec![
            step(json!({"uses": "leak", "as": "a", "config": {"token": "${{ secret('token') }}"}})),
            step(json!({"uses": "ok", "as": "b", "config": {"x": "${{ secret('other') }}"}})),
        ],
        &temp,
    );
    let engine = Engine { functions: Arc::new(OneSecret), ..engine(registry) };
    let status = status_of(engine.run(&run, running(), &mut Kept::default()).await);
    assert_eq!(*seen.lock().unwrap(), json!({"token": "hunter2-canary"}));
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(message(&status, 0), "used ***");
    assert!(message(&status, 1).contains("no Secret \"other\""), "{}", message(&status, 1));
}

#[tokio::test]
async fn variables_and_outputs() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = run_of(
        vec![
            step(json!({"uses": "ok", "as": "t::one"})),
            step(json!({"uses": "run-nothing", "as": "t::none"})),
            step(json!({"uses": "echo", "as": "t::two",
                "vars": [{"name": "local", "value": "${{ vars.global + '-s' }}"},
                         {"name": "out", "value": "${{ task.outputs.one.key + '-' + outputs['t::one'].key }}"}],
                "config": {"local": "${{ vars.local }}", "out": "${{ vars.out }}", "num": "${{ vars.num }}",
                    "none": "${{ outputs['t::none'].foo ?? 'd' }}", "nil": "${{ outputs['t::none'] == nil }}",
                    "status": "${{ status('one') }}", "meta": "${{ string(stepMetas['t::one'].Status) }}",
                    "actor": "${{ ctx.meta.promotion.actor }}", "alias": "${{ ctx.meta.step.alias }}",
                    "again": "${{ vars.again }}"}})),
        ],
        &temp,
    );
    let var = |name: &str, value: &str| -> api::ExpressionVariable {
        serde_json::from_value(json!({"name": name, "value": value})).unwrap()
    };
    run.vars = vec![
        var("global", "g"),
        var("num", "42"),
        var("again", "a"),
        var("again", "${{ vars.again + 'b' }}"),
    ];
    let registry = registry().with(mock("run-nothing", |_| Ok(StepResult::succeeded())));
    let status = status_of(engine(registry).run(&run, running(), &mut Kept::default()).await);
    assert_eq!(status.phase, Phase::Succeeded, "{}", status.message);
    // "expressions/11.5-3", "expressions/11.5-4", "expressions/11.5-6"
    assert_eq!(
        status.state.unwrap()["t::two"]["config"],
        json!({"local": "g-s", "out": "value-value", "num": 42, "none": "d", "nil": true,
            "status": "Succeeded", "meta": "Succeeded", "actor": "me", "alias": "t::two",
            "again": "ab"})
    );
}

#[tokio::test]
async fn what_variables_do_not_see() {
    // "expressions/11.5-7", "expressions/11.5-10", "expressions/11.5-13"
    for (id, promotion_var, step_var, want) in [
        ("expressions/11.5-7", "${{ outputs.s.x }}", "", "cannot fetch s from <nil>"),
        (
            "expressions/11.5-10",
            "",
            "${{ task.outputs.alias.foo }}",
            "cannot fetch outputs from <nil>",
        ),
        ("expressions/11.5-13", "", "${{ success() }}", "cannot call nil"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let vars = json!([{"name": "v", "value": step_var}]);
        let mut run = run_of(
            vec![step(json!({"uses": "ok", "as": "plain", "vars": vars, "config": {}}))],
            &temp,
        );
        run.vars = serde_json::from_value(json!([{"name": "v", "value": promotion_var}])).unwrap();
        let outcome = engine(registry()).run(&run, running(), &mut Kept::default()).await;
        let status = status_of(outcome);
        let start = "failed to build step context: failed to get step config: step \"plain\" (ok): \
                     error pre-processing promotion variable \"v\": ";
        assert!(status.message.starts_with(start), "{id}: {}", status.message);
        assert!(status.message.contains(want), "{id}: {}", status.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_step_is_shown_while_it_runs() {
    struct Slow;
    #[async_trait]
    impl Step for Slow {
        fn kind(&self) -> &'static str {
            "slow"
        }
        fn effect(&self) -> Effect {
            Effect::Reads
        }
        fn config_schema(&self) -> Value {
            json!({})
        }
        async fn run(&self, _: &StepContext, _: &World) -> Result<StepResult, StepError> {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(StepResult::succeeded())
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let run = run_of(
        vec![step(json!({"uses": "ok", "as": "a"})), step(json!({"uses": "slow", "as": "b"}))],
        &temp,
    );
    let engine = Engine { show_after: SHOW_AFTER, ..engine(registry().with(Slow)) };
    let mut kept = Kept::default();
    engine.run(&run, running(), &mut kept).await;
    assert_eq!(kept.0.len(), 1);
    assert_eq!(statuses(&kept.0[0]), [Status::Succeeded, Status::Running]);
    assert_eq!(kept.0[0].current_step, 1);
}
