//! The engine killed at every boundary: no effect happens twice, none is
//! lost, and nothing that acted outside starts over (house rule 5).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{PromotionPhase as Phase, PromotionStatus, PromotionStep, PromotionStepStatus as Status};
use async_trait::async_trait;
use cap_std::fs::Dir;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::tests::{engine, run_of, start, step};
use super::*;
use crate::error::{ErrorClass, StepError};
use crate::step::{Attempt, Effect, Registry, Step, StepContext, StepResult};
use crate::world::World;

/// Kills the process at the n-th boundary: whoever reaches it never goes on.
#[derive(Default)]
struct Killer {
    at: AtomicUsize,
    reached: AtomicUsize,
    dead: Notify,
}

impl Killer {
    fn arm(&self, at: usize) {
        self.at.store(at, Ordering::SeqCst);
        self.reached.store(0, Ordering::SeqCst);
    }

    async fn boundary(&self) {
        if self.reached.fetch_add(1, Ordering::SeqCst) == self.at.load(Ordering::SeqCst) {
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// What outlives the process.
#[derive(Default)]
struct Outside {
    status: Mutex<PromotionStatus>,
    writes: AtomicUsize,
    pushed: Mutex<Vec<String>>,
    synced: Mutex<Vec<String>>,
    clock: AtomicI64,
    killer: Killer,
}

impl Outside {
    fn now(&self) -> Timestamp {
        // Each look at the clock is a second later than the one before.
        let seconds = self.clock.fetch_add(1, Ordering::SeqCst);
        start() + jiff::SignedDuration::from_secs(seconds)
    }

    fn recorded(&self) -> PromotionStatus {
        self.status.lock().unwrap().clone()
    }
}

/// Writes to [`Outside::status`], with a boundary on both sides.
struct Journal(Arc<Outside>);

#[async_trait]
impl Recorder for Journal {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.0.killer.boundary().await;
        if *self.0.status.lock().unwrap() != *status {
            // As the API server keeps it: through JSON.
            let json = serde_json::to_value(status).unwrap();
            *self.0.status.lock().unwrap() = serde_json::from_value(json).unwrap();
            self.0.writes.fetch_add(1, Ordering::SeqCst);
        }
        self.0.killer.boundary().await;
        Ok(())
    }
}

/// A pipeline like the quick start's, in miniature. Every step that touches
/// the directory fails or goes astray when it runs twice over the same files.
struct Piece {
    kind: &'static str,
    effect: Effect,
    outside: Arc<Outside>,
}

fn wrong(text: impl Into<String>) -> StepError {
    StepError::terminal(ErrorClass::Internal, text)
}

fn read(dir: &Dir, name: &str) -> Result<String, StepError> {
    dir.read_to_string(name).map_err(|e| wrong(format!("{name}: {e}")))
}

fn write(dir: &Dir, name: &str, text: &str) -> Result<(), StepError> {
    dir.write(name, text).map_err(|e| wrong(format!("{name}: {e}")))
}

fn output(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

impl Piece {
    /// Before a step acts outside, its intent and all results before it are
    /// on the status.
    fn assert_intent(&self, context: &StepContext) {
        let recorded = self.outside.recorded();
        let entry = plan::entry(&recorded, &context.alias).expect("the intent is recorded");
        assert_eq!(times::read(entry.started_at.as_ref()), Some(context.started_at));
        for (alias, value) in &context.state {
            assert_eq!(recorded.state.as_ref().and_then(|s| s.get(alias)), Some(value));
        }
    }
}

#[async_trait]
impl Step for Piece {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn effect(&self) -> Effect {
        self.effect
    }
    fn needs_workdir(&self) -> bool {
        self.kind != "sync"
    }
    fn records_intent(&self) -> bool {
        self.kind == "push"
    }
    fn config_schema(&self) -> Value {
        json!({})
    }

    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let killer = &self.outside.killer;
        let dir = context.workdir.root();
        killer.boundary().await;
        let replays = matches!(context.attempt, Attempt::Replay { .. });
        assert!(!(replays && self.effect != Effect::WorkingDirectory));
        let result = match self.kind {
            "clone" => {
                if dir.exists("source") {
                    return Err(wrong("the clone's directory is not empty"));
                }
                write(dir, "source", "one")?;
                StepResult::succeeded()
            }
            "parse" => {
                let found = read(dir, "source")?;
                StepResult::succeeded().with_output(output(json!({"old": found})))
            }
            "update" => {
                let value = context.config["value"].as_str().unwrap_or_default();
                let text = format!("{}+{value}", read(dir, "source")?);
                write(dir, "source", &text)?;
                StepResult::succeeded()
            }
            "commit" => {
                if dir.exists("commit") {
                    return Err(wrong("nothing to commit"));
                }
                let id = format!("{}@{}", read(dir, "source")?, context.started_at);
                if let Attempt::Replay { output } = &context.attempt {
                    assert_eq!(output.get("commit"), Some(&json!(id)), "the same commit again");
                }
                write(dir, "commit", &id)?;
                StepResult::succeeded().with_output(output(json!({"commit": id})))
            }
            "push" => {
                let id = read(dir, "commit")?;
                let done = self.outside.pushed.lock().unwrap().contains(&id);
                let recorded = context.earlier_intent().and_then(|intent| intent.get("commit"));
                assert!(!done || recorded == Some(&json!(id)), "what is done is on record");
                if !done {
                    let intent = output(json!({"commit": id}));
                    context.intents.record(intent.clone()).await.unwrap();
                    self.assert_intent(context);
                    let state = self.outside.recorded().state.unwrap();
                    assert_eq!(state["push"], json!({"intent": intent}));
                    killer.boundary().await;
                    self.outside.pushed.lock().unwrap().push(id.clone());
                }
                StepResult::succeeded().with_output(output(json!({"commit": id})))
            }
            "sync" => {
                self.assert_intent(context);
                let id = context.config["revision"].as_str().unwrap_or_default().to_owned();
                let done = self.outside.synced.lock().unwrap().contains(&id);
                if done {
                    StepResult::succeeded()
                } else {
                    self.outside.synced.lock().unwrap().push(id);
                    StepResult::running("waiting for the Application")
                }
            }
            other => return Err(wrong(other)),
        };
        killer.boundary().await;
        Ok(result)
    }
}

fn pipeline() -> Vec<PromotionStep> {
    [
        json!({"uses": "clone", "as": "clone"}),
        json!({"uses": "parse", "as": "parse"}),
        json!({"uses": "update", "as": "update", "config": {"value": "${{ outputs.parse.old }}"}}),
        json!({"uses": "commit", "as": "commit"}),
        json!({"uses": "push", "as": "push"}),
        json!({"uses": "sync", "as": "sync", "config": {"revision": "${{ outputs.push.commit }}"}}),
    ]
    .into_iter()
    .map(step)
    .collect()
}

/// A Promotion's life over several processes: each dies at the boundary that
/// `deaths` gives, and the last one lives. Returns whether every death
/// happened.
async fn live(deaths: &[usize], loses_directory: bool) -> (bool, Arc<Outside>) {
    let temp = tempfile::tempdir().unwrap();
    let outside = Arc::new(Outside::default());
    outside.status.lock().unwrap().phase = Phase::Running;
    let run = run_of(pipeline(), &temp);
    let mut all_died = true;
    for death in deaths.iter().copied().chain([usize::MAX]) {
        let mut registry = Registry::default();
        for (kind, effect) in [
            ("clone", Effect::WorkingDirectory),
            ("parse", Effect::Reads),
            ("update", Effect::WorkingDirectory),
            ("commit", Effect::WorkingDirectory),
            ("push", Effect::Outside),
            ("sync", Effect::Outside),
        ] {
            registry = registry.with(Piece { kind, effect, outside: outside.clone() });
        }
        let clock = outside.clone();
        let engine = Engine { now: Arc::new(move || clock.now()), ..engine(registry) };
        outside.killer.arm(death);
        // What the controller does: passes until the phase is final.
        let life = async {
            let mut journal = Journal(outside.clone());
            for _ in 0..10 {
                if outside.recorded().phase != Phase::Running {
                    return;
                }
                let outcome = engine.run(&run, outside.recorded(), &mut journal).await;
                match &outcome {
                    Outcome::Finished(status) | Outcome::Waiting { status, .. } => {
                        journal.record(status).await.unwrap();
                        outcome.written(&run.workdir).unwrap();
                    }
                    Outcome::Interrupted(why) => panic!("interrupted: {why}"),
                }
            }
            panic!("too many passes");
        };
        tokio::select! {
            biased;
            () = outside.killer.dead.notified() => {}
            () = life => { all_died &= death == usize::MAX; }
        }
        if loses_directory {
            crate::workdir::WorkDir::remove(&run.workdir).unwrap();
        }
    }
    (all_died, outside)
}

fn assert_whole(outside: &Outside, case: &str) {
    let status = outside.recorded();
    assert_eq!(status.phase, Phase::Succeeded, "{case}: {}", status.message);
    let pushed = outside.pushed.lock().unwrap().clone();
    let synced = outside.synced.lock().unwrap().clone();
    let commit = status.state.as_ref().unwrap()["commit"]["commit"].as_str().unwrap().to_owned();
    assert!(commit.starts_with("one+one@"), "{case}: {commit}");
    assert_eq!(pushed, std::slice::from_ref(&commit), "{case}");
    assert_eq!(synced, [commit], "{case}");
    let done: BTreeSet<_> =
        status.step_execution_metadata.iter().map(|e| e.alias.as_str()).collect();
    assert_eq!(done.len(), 6, "{case}");
    assert!(status.step_execution_metadata.iter().all(|e| e.status == Status::Succeeded), "{case}");
}

#[tokio::test]
async fn a_life_without_death_writes_little() {
    let (_, outside) = live(&[], false).await;
    assert_whole(&outside, "no death");
    // In the push, before the sync, while the sync is awaited, at the end.
    assert_eq!(outside.writes.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn killed_at_every_boundary() {
    for loses_directory in [false, true] {
        let mut death = 0;
        loop {
            let case = format!("killed at boundary {death}, directory lost: {loses_directory}");
            let (died, outside) = live(&[death], loses_directory).await;
            assert_whole(&outside, &case);
            if !died {
                break;
            }
            death += 1;
        }
        assert!(death > 21, "the boundaries were reached: {death}");
    }
}

#[tokio::test]
async fn killed_twice() {
    for first in 0..25 {
        for second in 0..25 {
            let lost = (first + second) % 2 == 0;
            let case = format!("killed at {first}, then at {second}, directory lost: {lost}");
            let (_, outside) = live(&[first, second], lost).await;
            assert_whole(&outside, &case);
        }
    }
}

/// A push that cannot be recorded sends nothing, and ends the pass; what an
/// earlier attempt had recorded stays until the step is done, and no longer.
#[tokio::test]
async fn a_push_that_cannot_be_recorded_sends_nothing() {
    struct Refuses {
        error: Option<RecordError>,
        last: PromotionStatus,
    }
    #[async_trait]
    impl Recorder for Refuses {
        async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
            match &self.error {
                Some(error) => Err(error.clone()),
                None => {
                    self.last = status.clone();
                    Ok(())
                }
            }
        }
    }
    /// Records, and then fails.
    struct Push(Arc<AtomicUsize>);
    #[async_trait]
    impl Step for Push {
        fn kind(&self) -> &'static str {
            "push"
        }
        fn effect(&self) -> Effect {
            Effect::Outside
        }
        fn records_intent(&self) -> bool {
            true
        }
        fn config_schema(&self) -> Value {
            json!({})
        }
        async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
            let attempt = self.0.load(Ordering::SeqCst);
            if attempt != 1 {
                let intent = output(json!({"commit": attempt}));
                let recorded = context.intents.record(intent).await;
                recorded.map_err(|e| StepError::new(ErrorClass::Transient, e.to_string()))?;
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(match attempt {
                2 => StepError::terminal(ErrorClass::Config, "no"),
                _ => StepError::new(ErrorClass::Transient, "the server is away"),
            })
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let engine = engine(Registry::default().with(Push(sent.clone())));
    let run = run_of(vec![step(json!({"uses": "push", "as": "push"}))], &temp);
    let begun = || PromotionStatus { phase: Phase::Running, ..Default::default() };
    for error in [
        RecordError::Superseded("another controller runs it".into()),
        RecordError::Failed("no route to host".into()),
    ] {
        let mut recorder = Refuses { error: Some(error.clone()), last: begun() };
        let outcome = engine.run(&run, begun(), &mut recorder).await;
        let Outcome::Interrupted(why) = outcome else { panic!("must be interrupted: {outcome:?}") };
        assert_eq!(why, Interruption::Record(error));
        assert_eq!(sent.load(Ordering::SeqCst), 0, "nothing was sent");
    }
    let mut recorder = Refuses { error: None, last: begun() };
    let mut status = begun();
    // The second attempt fails before it records anything.
    for _ in 0..2 {
        let expected = json!({"push": {"intent": {"commit": 0}}});
        let outcome = engine.run(&run, status, &mut recorder).await;
        let Outcome::Waiting { status: next, .. } = outcome else { panic!("waits: {outcome:?}") };
        assert_eq!(Some(&expected), next.state.clone().map(Value::Object).as_ref());
        status = next;
    }
    let outcome = engine.run(&run, status, &mut recorder).await;
    let written = recorder.last.state.map(Value::Object);
    assert_eq!(written, Some(json!({"push": {"intent": {"commit": 2}}})), "written before the act");
    let Outcome::Finished(status) = outcome else { panic!("must be done: {outcome:?}") };
    assert_eq!((status.phase, status.state), (Phase::Errored, None));
}

/// A record that fails stops the pass before anything acts outside.
#[tokio::test]
async fn nothing_acts_outside_when_its_intent_cannot_be_recorded() {
    struct Refuses(RecordError);
    #[async_trait]
    impl Recorder for Refuses {
        async fn record(&mut self, _: &PromotionStatus) -> Result<(), RecordError> {
            Err(self.0.clone())
        }
    }
    for error in [
        RecordError::Superseded("another controller runs it".into()),
        RecordError::Failed("no route to host".into()),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let outside = Arc::new(Outside::default());
        outside.killer.arm(usize::MAX);
        let piece = Piece { kind: "sync", effect: Effect::Outside, outside: outside.clone() };
        let run = run_of(vec![step(json!({"uses": "sync", "as": "sync"}))], &temp);
        let engine = Engine {
            show_after: Duration::from_secs(60),
            ..engine(Registry::default().with(piece))
        };
        let status = PromotionStatus { phase: Phase::Running, ..Default::default() };
        let outcome = engine.run(&run, status, &mut Refuses(error.clone())).await;
        let Outcome::Interrupted(why) = outcome else { panic!("must be interrupted") };
        assert_eq!(why, Interruption::Record(error));
        assert!(outside.synced.lock().unwrap().is_empty());
    }
}
