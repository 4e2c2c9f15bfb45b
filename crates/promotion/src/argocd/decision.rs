//! What an Application's state means for a Promotion that wants it synced:
//! ask for a sync, wait, or done (`steps-argocd` 3.5, with what a real Argo CD
//! makes necessary: 13.5 to 13.7 and 13.12).

use std::time::Duration;

use jiff::Timestamp;

use super::ancestry::{Ancestry, Question, questions};
use super::application::{Application, Deployment, Operation, OperationState};
use super::revisions::mismatch;

/// What a Promotion asks of an Application.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The Promotion's name, by which its operations are known.
    pub promotion: &'a str,
    /// The user name that its requests carry.
    pub username: &'a str,
    /// The revision each source must be seen at; empty where none is.
    pub desired: &'a [String],
    /// What is known about an earlier request of the same step.
    pub asked: Asked,
    /// What is known about which commits contain the desired ones.
    pub ancestry: &'a Ancestry,
}

/// What is known about an earlier request of the same step. It tells which
/// entries of the history may be the request's fruit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// None was made.
    Never,
    /// One was made when the history's last entry had this id.
    After(Option<i64>),
    /// One may have been made, at this time at the earliest.
    Perhaps(Timestamp),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask for a sync.
    Ask(Reason),
    /// Wait for Argo CD; the phase to report, which may be unknown or empty.
    Wait {
        /// The operation's phase.
        phase: String,
    },
    /// Our operation is over.
    Done {
        /// The operation's phase.
        phase: String,
        /// What Argo CD said.
        message: String,
    },
    /// The Application's state makes no sense (`steps-argocd` 3.5.8).
    Nonsense(String),
}

/// Why a sync is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No operation of ours is to be seen.
    NotAsked,
    /// Ours ended, but not with what was wanted: what happened, in words.
    /// Asking again at once would hammer a repository that cannot be read, so
    /// it is done with growing [`pause`]s.
    Unsatisfied(String),
}

/// Decides from one state of the Application. The result does not depend on
/// which states were seen before.
pub fn decide(app: &Application, wish: &Wish<'_>) -> Decision {
    let ours = |operation: &Operation| operation.promotion() == Some(wish.promotion);
    let state = app.status.operation_state.as_ref();

    if app.operation.as_ref().is_some_and(ours) {
        let phase = state.filter(|s| !s.is_completed()).map(|s| s.phase.as_str());
        return wait(phase.unwrap_or_default());
    }
    if let Some(state) = state.filter(|s| ours(&s.operation)) {
        return match judge(app, state, wish) {
            // A stranger's request is pending; ours would replace it.
            Decision::Ask(_) if app.operation.is_some() => wait(""),
            decision => decision,
        };
    }
    if fruit(app, wish).is_some() {
        return Decision::Done { phase: "Succeeded".into(), message: String::new() };
    }
    let Some(state) = state else {
        return if app.operation.is_some() { wait("") } else { Decision::Ask(Reason::NotAsked) };
    };
    if app.operation.is_some() {
        return wait(if state.is_completed() { "" } else { &state.phase });
    }
    if state.is_completed() {
        Decision::Ask(Reason::NotAsked)
    } else if !state.phase.is_empty() {
        Decision::Wait { phase: state.phase.clone() }
    } else if state.operation.promotion().is_none() {
        Decision::Nonsense(format!(
            "current operation was initiated by {:?}: waiting for operation to complete",
            state.operation.initiated_by.username
        ))
    } else {
        Decision::Nonsense(format!(
            "current operation was not initiated for Promotion {}: waiting for operation to \
             complete",
            wish.promotion
        ))
    }
}

/// What must be known about commits before [`decide`] is sure that a sync is
/// to be asked for (again): whether what our request brought contains the
/// desired commits. Nothing, where no request of ours was made.
pub fn open_questions(app: &Application, wish: &Wish<'_>) -> Vec<Question> {
    let state = app.status.operation_state.as_ref();
    let ours = state.filter(|s| s.operation.promotion() == Some(wish.promotion));
    let result = ours.filter(|s| s.is_completed()).and_then(|s| s.sync_result.as_ref());
    let newest_first = app.status.history.iter().rev().take(MOST_LOOKED_AT);
    let brought = newest_first.filter(|entry| {
        is_since(entry, wish.asked) && entry.initiated_by.username == wish.username
    });
    let mut open: Vec<Question> = Vec::new();
    let seen = result.map(|r| r.observed()).into_iter().chain(brought.map(|e| e.observed()));
    for question in seen.flat_map(|seen| questions(app, &seen, wish.desired)) {
        if wish.ancestry.is_open(&question) && !open.contains(&question) {
            open.push(question);
        }
    }
    open
}

/// How many entries of the history are asked about.
const MOST_LOOKED_AT: usize = 3;

/// Whether the entry of the history may be of a request that was made then.
fn is_since(entry: &Deployment, asked: Asked) -> bool {
    match asked {
        Asked::Never => false,
        Asked::After(id) => id.is_none_or(|id| entry.id > id),
        Asked::Perhaps(time) => {
            entry.deploy_started_at.is_some_and(|t| t.as_second() >= time.as_second())
        }
    }
}

fn wait(phase: &str) -> Decision {
    Decision::Wait { phase: if phase.is_empty() { "Running".into() } else { phase.into() } }
}

/// Our own operation: rows 6 to 10.
fn judge(app: &Application, state: &OperationState, wish: &Wish<'_>) -> Decision {
    if !state.is_completed() {
        return Decision::Wait { phase: state.phase.clone() };
    }
    let again = |what: String| {
        let what = if state.phase == "Succeeded" {
            format!("{} {what}", app.title())
        } else {
            format!("{} failed with: {}", app.title(), state.message)
        };
        Decision::Ask(Reason::Unsatisfied(format!("{what}; the sync will be asked for again")))
    };
    let Some(result) = &state.sync_result else {
        return again("was synced, but Argo CD does not say to what".into());
    };
    if !app.sources().is_empty()
        && let Some((seen, desired)) = mismatch(&result.observed(), wish.desired, wish.ancestry)
    {
        return again(format!("was synced to {seen:?}, not to the desired revision {desired:?}"));
    }
    Decision::Done { phase: state.phase.clone(), message: state.message.clone() }
}

/// The entry of the history that our request brought, where the operation
/// itself is no longer to be seen because Argo CD's own followed at once
/// (`steps-argocd` 13.5).
fn fruit<'a>(app: &'a Application, wish: &Wish<'_>) -> Option<&'a Deployment> {
    let newest = app.last_deployment_id();
    let shown = app.status.operation_state.as_ref();
    app.status.history.iter().rev().find(|entry| {
        let since = is_since(entry, wish.asked);
        // The newest entry may belong to the operation on show, which is not ours.
        let of_shown = Some(entry.id) == newest
            && shown.is_some_and(|s| {
                s.started_at == entry.deploy_started_at
                    && s.operation.initiated_by == entry.initiated_by
            });
        since
            && !of_shown
            && entry.initiated_by.username == wish.username
            && mismatch(&entry.observed(), wish.desired, wish.ancestry).is_none()
    })
}

/// The longest [`pause`].
pub const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How long after its `count`th request a step waits before the next one,
/// when the operation ended without what was wanted.
pub fn pause(count: u32) -> Duration {
    let seconds = 1_u64.checked_shl(count.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(MAX_PAUSE)
}

/// The order in which phases count (`steps-argocd` 3.2.5).
fn rank(phase: &str) -> usize {
    ["Failed", "Error", "Running", "Terminating", "Succeeded"]
        .iter()
        .position(|known| *known == phase)
        .unwrap_or(usize::MAX)
}

/// Sorts phases by how much they count; unknown ones last, by name.
pub fn sort_phases(phases: &mut [String]) {
    phases.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::argocd::samples;

    const P: &str = "fake-promotion";

    fn app(status: Value) -> Application {
        samples::from(json!({
            "metadata": {"name": "one", "namespace": "argocd"},
            "spec": {"source": {"repoURL": "https://example.com/r", "targetRevision": "main"}},
            "status": status,
        }))
    }

    fn state(promotion: Option<&str>, phase: &str, result: Value) -> Value {
        let info = promotion.map(|p| json!([{"name": "kargo.akuity.io/promotion", "value": p}]));
        json!({"operationState": {
            "operation": {"info": info, "initiatedBy": {"username": "someone-else"}},
            "phase": phase,
            "syncResult": result,
            "message": "sync failed: resource not found",
        }})
    }

    fn run(app: &Application, desired: &[&str]) -> Decision {
        let desired: Vec<String> = desired.iter().map(|s| (*s).to_owned()).collect();
        decide(
            app,
            &Wish {
                promotion: P,
                username: "kargo-controller",
                desired: &desired,
                asked: Asked::Never,
                ancestry: &Ancestry::default(),
            },
        )
    }

    fn word(decision: &Decision) -> String {
        match decision {
            Decision::Ask(Reason::NotAsked) => "ask".into(),
            Decision::Ask(Reason::Unsatisfied(_)) => "ask again".into(),
            Decision::Wait { phase } => format!("wait {phase}"),
            Decision::Done { phase, .. } => format!("done {phase}"),
            Decision::Nonsense(text) => text.clone(),
        }
    }

    #[test]
    fn one_state_is_judged_as_the_table_says() {
        let at = |revision: &str| json!({"revision": revision});
        // steps-argocd/12-3: "fake-revision" is desired by the Promotion P in all rows.
        // (case, status, decision)
        let cases = [
            ("steps-argocd/12-4", json!({}), "ask"),
            ("steps-argocd/12-4", state(None, "Running", json!(null)), "wait Running"),
            ("steps-argocd/12-4", state(None, "Succeeded", at("fake-revision")), "ask"),
            ("steps-argocd/12-4", state(Some("other"), "Running", json!(null)), "wait Running"),
            ("steps-argocd/12-4", state(Some("other"), "Failed", at("fake-revision")), "ask"),
            ("steps-argocd/12-4", state(Some(P), "Running", json!(null)), "wait Running"),
            ("steps-argocd/12-4", state(Some(P), "Succeeded", json!(null)), "ask again"),
            ("steps-argocd/12-4", state(Some(P), "Succeeded", at("other")), "ask again"),
            (
                "steps-argocd/12-4",
                state(Some(P), "Succeeded", at("fake-revision")),
                "done Succeeded",
            ),
            ("steps-argocd/12-5", state(Some(P), "Failed", at("fake-revision")), "done Failed"),
            ("steps-argocd/12-5", state(Some(P), "Failed", at("other")), "ask again"),
            ("3.5 row 6", state(Some(P), "Foo", json!(null)), "wait Foo"),
            ("3.5 row 2", state(None, "Foo", json!(null)), "wait Foo"),
            (
                "steps-argocd/12-15",
                state(None, "", json!(null)),
                "current operation was initiated by \"someone-else\": waiting for operation to \
                 complete",
            ),
            (
                "3.5.8 row 4",
                state(Some("other"), "", json!(null)),
                "current operation was not initiated for Promotion fake-promotion: waiting for \
                 operation to complete",
            ),
        ];
        for (case, status, expected) in cases {
            let decision = run(&app(status.clone()), &["fake-revision"]);
            assert_eq!(word(&decision), expected, "{case}: {status}");
        }
        // steps-argocd/12-4
        let mut bare = app(state(Some(P), "Succeeded", at("x")));
        bare.spec.source = None;
        assert_eq!(word(&run(&bare, &[])), "done Succeeded");
        // steps-argocd/12-5
        let Decision::Done { message, .. } =
            run(&app(state(Some(P), "Failed", at("fake-revision"))), &["fake-revision"])
        else {
            panic!("not done")
        };
        assert_eq!(message, "sync failed: resource not found");
    }

    #[test]
    fn several_sources_are_compared_by_position() {
        let result = |r: Value| app(state(Some(P), "Succeeded", r));
        // (case, result, desired, decision)
        let cases = [
            ("steps-argocd/12-6", json!({"revisions": ["a", "b"]}), ["", "b"], "done Succeeded"),
            ("steps-argocd/12-15", json!({"revision": "a"}), ["a", "b"], "done Succeeded"),
            ("steps-argocd/12-15", json!({"revision": ""}), ["a", "b"], "ask again"),
            ("3.5.6", json!({"revisions": ["a", "b", "c"]}), ["a", "b"], "done Succeeded"),
        ];
        for (case, r, desired, expected) in cases {
            assert_eq!(word(&run(&result(r.clone()), &desired)), expected, "{case}: {r}");
        }
    }

    #[test]
    fn a_revision_that_contains_the_desired_commit_satisfies() {
        let (ours, head) = ("a".repeat(40), "b".repeat(40));
        let desired = [ours.clone()];
        let ancestry = Ancestry::default();
        let wish = |asked| Wish {
            promotion: P,
            username: "kargo-controller",
            desired: &desired,
            asked,
            ancestry: &ancestry,
        };
        // Our request brought the branch's head, which is past our commit.
        let synced = app(state(Some(P), "Succeeded", json!({"revision": head})));
        // Or it did, and Argo CD's own sync followed at once.
        let mut overtaken = app(json!({"history": [{
            "id": 7, "revision": head, "initiatedBy": {"username": "kargo-controller"},
            "deployStartedAt": "2026-11-24T21:47:36Z", "deployedAt": "2026-11-24T21:47:37Z",
        }]}));
        overtaken.status.operation_state = None;
        for (app, asked) in [(&synced, Asked::Never), (&overtaken, Asked::After(Some(6)))] {
            assert!(word(&decide(app, &wish(asked))).starts_with("ask"));
            let open = open_questions(app, &wish(asked));
            assert_eq!(open.len(), 1, "{asked:?}");
            assert_eq!((open[0].seen.as_str(), open[0].desired.as_str()), (&*head, &*ours));
        }
        assert_eq!(open_questions(&overtaken, &wish(Asked::Never)), [], "nothing of ours");
        ancestry.note(&head, &ours, true);
        for (app, asked) in [(&synced, Asked::Never), (&overtaken, Asked::After(Some(6)))] {
            assert_eq!(word(&decide(app, &wish(asked))), "done Succeeded", "{asked:?}");
            assert_eq!(open_questions(app, &wish(asked)), []);
        }
        ancestry.note(&head, &ours, false);
        assert_eq!(word(&decide(&synced, &wish(Asked::Never))), "ask again");
    }

    #[test]
    fn nothing_is_asked_while_a_request_is_pending() {
        let pending = json!({"initiatedBy": {"automated": true}, "sync": {}});
        for status in [
            json!({}),
            state(None, "Succeeded", json!({"revision": "x"})),
            state(Some(P), "Succeeded", json!({"revision": "other"})),
        ] {
            let mut app = app(status.clone());
            app.operation = Some(serde_json::from_value(pending.clone()).unwrap());
            assert_eq!(word(&run(&app, &["fake-revision"])), "wait Running", "{status}");
        }
    }

    #[test]
    fn phases_are_sorted_by_how_much_they_count() {
        let mut phases = ["Succeeded", "Foo", "Bar", "Running"].map(str::to_owned);
        sort_phases(&mut phases);
        // steps-argocd/12-13
        assert_eq!(phases, ["Running", "Succeeded", "Bar", "Foo"]);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<u64> = (0..9).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }
}
