//! Faults that the engine must bear: a lease that is lost, a second process,
//! a clock that jumps, a status that cannot be written.
//!
//! Where each fault of a Promotion has its tests (those of `tests/tests/` run on
//! the sandbox and on a real API server):
//!
//! | fault | tests |
//! |---|---|
//! | SIGKILL at every boundary | `tests/tests/killed.rs`; `engine::crash_tests`, `steps::git_pr_crash_tests` |
//! | between record and push, in a batch too | `crates/git/tests/all/intents.rs`, `steps::git_durability_tests` |
//! | the working directory is gone | `tests/tests/killed.rs`, `steps::git_durability_tests`, `steps::git_fault_tests` |
//! | the disk is full | `steps::git_fault_tests` |
//! | the status is refused after an act | `tests/tests/torn_promotions.rs`; `controllers::promotion::tests::faults` |
//! | a cache that is behind at a restart, an abort in each state | `controllers::promotion::tests::faults` |
//! | two controllers at once | the same, here, `tests/tests/replicas.rs` |
//! | the remote moves between commit and push | `tests/tests/torn_promotions.rs`, `crates/git/tests/all/push.rs` |
//! | a branch is protected | `steps::git_fault_tests` |
//! | a pull request is closed, or merged by others | `steps::git_pr_crash_tests`, `tests/tests/pull_request.rs` |
//! | Argo CD is busy, fails, syncs something else; an Application goes | `steps::argocd_update_tests`, `steps::argocd_sandbox_tests` |
//! | a step panics, an output of 5 MiB | `engine::tests` |
//! | the clock jumps | here |

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api::{PromotionPhase as Phase, PromotionStatus, PromotionStepStatus as Status};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::tests::*;
use super::*;
use crate::step::{Attempt, Effect, Registry, StepResult};

/// A kind that acts outside; counts its acts.
fn act(
    kind: &'static str,
    count: &Arc<AtomicUsize>,
    then: impl Fn() + Send + Sync + 'static,
) -> Mock {
    let count = Arc::clone(count);
    Mock {
        effect: Effect::Outside,
        ..mock(kind, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            then();
            Ok(StepResult::succeeded())
        })
    }
}

#[tokio::test]
async fn nothing_acts_outside_once_the_lease_is_lost() {
    let temp = tempfile::tempdir().unwrap();
    let steps = ["first", "file", "second"].map(|uses| step(json!({"uses": uses, "as": uses})));
    let run = run_of(steps.to_vec(), &temp);
    let (first, second) = (Arc::default(), Arc::default());
    let lease = run.cancel.clone();
    let registry = registry()
        .with(act("first", &first, move || lease.cancel()))
        .with(Mock {
            effect: Effect::WorkingDirectory,
            ..mock("file", |_| Ok(StepResult::succeeded()))
        })
        .with(act("second", &second, || {}));
    let mut kept = Kept::default();
    let outcome = engine(registry.clone()).run(&run, running(), &mut kept).await;
    let Outcome::Interrupted(why) = outcome else { panic!("must be interrupted: {outcome:?}") };
    assert_eq!(why, Interruption::Cancelled);
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 0));
    // What was done is on record, and the next holder of the lease goes on.
    let last = kept.0.pop().unwrap();
    assert_eq!(statuses(&last), [Status::Succeeded, Status::default()]);
    let again = Run { cancel: Default::default(), ..run };
    let status = status_of(engine(registry).run(&again, last, &mut kept).await);
    assert_eq!(status.phase, Phase::Succeeded, "{}", status.message);
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 1));
}

/// What two processes write to: a status with a version.
#[derive(Default)]
struct Shared(Mutex<(u64, PromotionStatus)>);

/// Writes on the condition that nobody else has.
struct Conditional {
    shared: Arc<Shared>,
    version: u64,
}

#[async_trait]
impl Recorder for Conditional {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        let mut shared = self.shared.0.lock().unwrap();
        if shared.0 != self.version {
            return Err(RecordError::Superseded("another process wrote its status".to_owned()));
        }
        if shared.1 != *status {
            *shared = (self.version + 1, status.clone());
            self.version += 1;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_believe_they_lead_one_acts() {
    for _ in 0..20 {
        let count = Arc::default();
        let registry = registry().with(act("push", &count, || {}));
        let shared = Arc::new(Shared::default());
        let mut passes = Vec::new();
        for _ in 0..2 {
            let registry = registry.clone();
            let mut recorder = Conditional { shared: Arc::clone(&shared), version: 0 };
            passes.push(tokio::spawn(async move {
                let temp = tempfile::tempdir().unwrap();
                let run = run_of(vec![step(json!({"uses": "push", "as": "push"}))], &temp);
                engine(registry).run(&run, running(), &mut recorder).await
            }));
        }
        let mut interrupted = 0;
        for pass in passes {
            match pass.await.unwrap() {
                Outcome::Interrupted(Interruption::Record(RecordError::Superseded(_))) => {
                    interrupted += 1;
                }
                outcome => assert_eq!(status_of(outcome).phase, Phase::Succeeded),
            }
        }
        assert_eq!((count.load(Ordering::SeqCst), interrupted), (1, 1));
    }
}

/// Refuses the write with that number, counted from 1.
struct Refuses {
    at: usize,
    writes: usize,
    last: PromotionStatus,
}

#[async_trait]
impl Recorder for Refuses {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.writes += 1;
        if self.writes == self.at {
            return Err(RecordError::Failed("etcdserver: request timed out".to_owned()));
        }
        self.last = status.clone();
        Ok(())
    }
}

#[tokio::test]
async fn a_result_that_could_not_be_written_is_found_again() {
    // What the remote has: a push is recognised by it.
    let pushed = Arc::new(AtomicUsize::new(0));
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let (remote, seen) = (Arc::clone(&pushed), Arc::clone(&attempts));
    let push = Mock {
        effect: Effect::Outside,
        ..mock("push", move |context| {
            let again = matches!(context.attempt, Attempt::Again { .. });
            seen.lock().unwrap().push(again);
            if !(again && remote.load(Ordering::SeqCst) == 1) {
                remote.fetch_add(1, Ordering::SeqCst);
            }
            Ok(StepResult::succeeded())
        })
    };
    let registry = registry().with(push).with(act("sync", &Arc::default(), || {}));
    let temp = tempfile::tempdir().unwrap();
    let steps = ["push", "sync"].map(|uses| step(json!({"uses": uses, "as": uses})));
    let run = run_of(steps.to_vec(), &temp);
    // The second write has the push's result and the sync's intent.
    let mut recorder = Refuses { at: 2, writes: 0, last: running() };
    let outcome = engine(registry.clone()).run(&run, running(), &mut recorder).await;
    let Outcome::Interrupted(Interruption::Record(RecordError::Failed(why))) = outcome else {
        panic!("must be interrupted: {outcome:?}");
    };
    assert!(why.contains("timed out"));
    let resumed = recorder.last.clone();
    assert_eq!(statuses(&resumed), [Status::Running]);
    let status = status_of(engine(registry).run(&run, resumed, &mut recorder).await);
    assert_eq!(status.phase, Phase::Succeeded);
    assert_eq!(pushed.load(Ordering::SeqCst), 1, "no second push");
    assert_eq!(*attempts.lock().unwrap(), [false, true]);
}

#[tokio::test]
async fn a_clock_that_jumps_ends_nothing_early_and_breaks_nothing() {
    let at = |seconds: i64| start() + SignedDuration::from_secs(seconds);
    let far: Timestamp = "9999-12-30T00:00:00Z".parse().unwrap();
    let with_limit = json!({"uses": "run", "as": "x", "retry": {"timeout": "10m"}});
    let begun = || {
        let mut status = running();
        status.step_execution_metadata.push(api::StepExecutionMetadata {
            alias: "x".into(),
            status: Status::Running,
            started_at: times::api(start()),
            ..Default::default()
        });
        status
    };
    for (name, now, phase, message) in [
        ("back by an hour", at(-3600), Phase::Running, ""),
        ("back to the beginning", Timestamp::UNIX_EPOCH, Phase::Running, ""),
        ("on by less than the limit", at(599), Phase::Running, ""),
        ("on by an hour", at(3600), Phase::Errored, "step \"x\" timed out after 10m0s"),
        ("to the end of time", far, Phase::Errored, "step \"x\" timed out after 10m0s"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let run = run_of(vec![step(with_limit.clone())], &temp);
        let engine = Engine { now: Arc::new(move || now), ..engine(registry()) };
        let status = status_of(engine.run(&run, begun(), &mut Kept::default()).await);
        assert_eq!((status.phase, status.message.as_str()), (phase, message), "{name}");
    }
    // Between two steps: the second began before the first, and both are done.
    let looks = Arc::new(AtomicUsize::new(0));
    let now = move || match looks.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => at(0),
        _ => at(-86_400),
    };
    let temp = tempfile::tempdir().unwrap();
    let steps = ["a", "b"].map(|alias| step(json!({"uses": "ok", "as": alias})));
    let run = run_of(steps.to_vec(), &temp);
    let engine = Engine { now: Arc::new(now), ..engine(registry()) };
    let status = status_of(engine.run(&run, running(), &mut Kept::default()).await);
    assert_eq!(status.phase, Phase::Succeeded);
}

#[tokio::test]
async fn a_working_directory_that_cannot_be_made_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = run_of(vec![step(json!({"uses": "ok", "as": "a"}))], &temp);
    run.workdir = temp.path().join("no/such/parent/promotion-uid");
    std::fs::write(temp.path().join("no"), "a file").unwrap();
    let registry: Registry = registry();
    let status = status_of(engine(registry).run(&run, running(), &mut Kept::default()).await);
    assert_eq!(status.phase, Phase::Errored);
    assert!(status.message.starts_with("error creating working directory: "), "{}", status.message);
}
