//! Where a pass over a Promotion begins, and what it must rebuild first
//! (house rule 5).
//!
//! Pure: from the recorded status, the kinds of the steps and the state of
//! the working directory follows the list of things to do.
//!
//! | the status says of a step | the directory is kept | the directory is lost |
//! |---|---|---|
//! | finished, touched the directory | nothing | replayed from its recorded inputs |
//! | finished, acted outside or only read | nothing | nothing |
//! | started | run again ([`Attempt::Again`]) | the same, after the replays |
//! | nothing | run | the same, after the replays |
//!
//! Replays happen only where a step still to run uses the directory.

use api::{PromotionStatus, PromotionStepStatus, StepExecutionMetadata};
use serde_json::{Map, Value};

use crate::engine::times;
use crate::step::{Attempt, Effect};

/// What the plan needs to know of a step's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// What the kind does to the world.
    pub effect: Effect,
    /// Whether it uses the working directory.
    pub needs_workdir: bool,
}

/// What a pass does.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps to replay, in order, before anything runs.
    pub replay: Vec<usize>,
    /// The first step to run; the number of steps where all are done.
    pub from: usize,
}

/// Plans a pass. `aliases` and `kinds` go by step; a kind that is not known
/// has no traits. `lost` says that the working directory is empty.
pub fn plan(
    status: &PromotionStatus,
    aliases: &[&str],
    kinds: &[Option<Traits>],
    lost: bool,
) -> Plan {
    let from = usize::try_from(status.current_step).unwrap_or(0).min(aliases.len());
    let needed = kinds.iter().skip(from).flatten().any(|k| k.needs_workdir);
    let replay = if lost && needed {
        (0..from)
            .filter(|i| {
                let touches = kinds
                    .get(*i)
                    .copied()
                    .flatten()
                    .is_some_and(|k| k.effect == Effect::WorkingDirectory);
                touches && aliases.get(*i).and_then(|a| entry(status, a)).is_some_and(has_succeeded)
            })
            .collect()
    } else {
        Vec::new()
    };
    Plan { replay, from }
}

/// The step's entry, found by its alias; steps of one alias share one.
pub fn entry<'a>(status: &'a PromotionStatus, alias: &str) -> Option<&'a StepExecutionMetadata> {
    status.step_execution_metadata.iter().find(|e| e.alias == alias)
}

/// Whether the step ran to its end and left the directory as it meant to.
fn has_succeeded(entry: &StepExecutionMetadata) -> bool {
    entry.status == PromotionStepStatus::Succeeded && entry.started_at.is_some()
}

/// Why the step at hand runs: for the first time, or again.
pub fn attempt(entry: Option<&StepExecutionMetadata>, output: Option<&Value>) -> Attempt {
    match entry {
        Some(entry) if times::read(entry.started_at.as_ref()).is_some() => {
            Attempt::Again { output: output.and_then(Value::as_object).cloned() }
        }
        _ => Attempt::First,
    }
}

/// The replay of a step that had left `output`.
pub fn replay(output: Option<&Value>) -> Attempt {
    Attempt::Replay { output: output.and_then(Value::as_object).cloned().unwrap_or_else(Map::new) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const CLONE: Option<Traits> =
        Some(Traits { effect: Effect::WorkingDirectory, needs_workdir: true });
    const PUSH: Option<Traits> = Some(Traits { effect: Effect::Outside, needs_workdir: true });
    const SYNC: Option<Traits> = Some(Traits { effect: Effect::Outside, needs_workdir: false });
    const READ: Option<Traits> = Some(Traits { effect: Effect::Reads, needs_workdir: true });

    fn status(current: i64, statuses: &[PromotionStepStatus]) -> PromotionStatus {
        PromotionStatus {
            current_step: current,
            step_execution_metadata: statuses
                .iter()
                .zip(["a", "b", "c", "d"])
                .map(|(status, alias)| StepExecutionMetadata {
                    alias: alias.to_owned(),
                    status: *status,
                    started_at: times::api(Timestamp::UNIX_EPOCH),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn resumes_where_the_status_says() {
        use PromotionStepStatus::{Errored, Running, Succeeded};
        let aliases = ["a", "b", "c", "d"];
        let pipeline = [CLONE, CLONE, PUSH, SYNC];
        for (name, status, kinds, lost, want) in [
            ("nothing yet", status(0, &[]), pipeline, true, (vec![], 0)),
            ("kept", status(2, &[Succeeded, Succeeded, Running]), pipeline, false, (vec![], 2)),
            ("lost", status(2, &[Succeeded, Succeeded, Running]), pipeline, true, (vec![0, 1], 2)),
            (
                "a step that failed is not replayed",
                status(2, &[Succeeded, Errored, Running]),
                pipeline,
                true,
                (vec![0], 2),
            ),
            (
                "what is left needs no directory",
                status(3, &[Succeeded, Succeeded, Succeeded, Running]),
                pipeline,
                true,
                (vec![], 3),
            ),
            (
                "an outside step is never replayed",
                status(3, &[Succeeded, Succeeded, Succeeded, Running]),
                [CLONE, PUSH, READ, PUSH],
                true,
                (vec![0], 3),
            ),
            (
                "an unknown kind is not replayed",
                status(1, &[Succeeded]),
                [None, CLONE, PUSH, SYNC],
                true,
                (vec![], 1),
            ),
            ("past the end", status(9, &[Succeeded]), pipeline, true, (vec![], 4)),
            ("before the start", status(-1, &[]), pipeline, true, (vec![], 0)),
        ] {
            let got = plan(&status, &aliases, &kinds, lost);
            assert_eq!((got.replay, got.from), want, "{name}");
        }
    }

    #[test]
    fn a_started_step_runs_again() {
        let status = status(0, &[PromotionStepStatus::Running]);
        let output = serde_json::json!({"x": 1});
        assert_eq!(attempt(None, None), Attempt::First);
        assert_eq!(
            attempt(entry(&status, "a"), Some(&output)),
            Attempt::Again { output: output.as_object().cloned() }
        );
        assert_eq!(attempt(Some(&StepExecutionMetadata::default()), None), Attempt::First);
    }
}
