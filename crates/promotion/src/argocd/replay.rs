//! What a real Argo CD wrote, event by event, put before the code that judges
//! (`steps-argocd` 13): each case whole, with every second event missing, and
//! with its last event alone; with what the step knows of its own request, and
//! after a restart that lost it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use super::ancestry::Ancestry;
use super::application::Application;
use super::decision::{Asked, Decision, Reason, Wish, decide, pause};
use super::freshness::Settled;
use super::health::{self, Lookup};
use super::samples;

/// A case of a trace, for one Application.
struct Case {
    before: Option<Application>,
    /// The Application after each event.
    after: Vec<Application>,
}

/// The cases of a trace by number; none where the data is not there.
fn trace(file: &str) -> Option<BTreeMap<u32, BTreeMap<String, Case>>> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/argocd").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    let mut cases = BTreeMap::new();
    let mut number = 0;
    for (version, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(title) = line["case"].as_str() {
            number = title.split_once(' ').unwrap().0.parse().unwrap();
            continue;
        }
        let name = line["name"].as_str().unwrap();
        let case = cases.entry(number).or_insert_with(BTreeMap::new);
        let case = case.entry(name.to_owned()).or_insert_with(|| Case {
            before: objects.get(name).map(|o| samples::from(o.clone())),
            after: Vec::new(),
        });
        let object = objects.entry(name.to_owned()).or_default();
        samples::apply(object, &line["patch"]);
        object["metadata"]["namespace"] = "argocd".into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        case.after.push(samples::from(object.clone()));
    }
    Some(cases)
}

const TRACES: [&str; 2] = ["trace.jsonl", "trace-3.2.6.jsonl"];

/// How a Promotion that watches an Application ended.
#[derive(Debug, PartialEq)]
enum End {
    Done { phase: String, message: String },
    AsksAgain,
    Unsatisfied(String),
    StillWaits,
}

/// Follows a Promotion from the state before its request. Gives the end and
/// how many requests were made.
fn follow(
    before: &Application,
    states: &[&Application],
    wish: &Wish<'_>,
    asks: bool,
) -> (End, u32) {
    if asks {
        let first = Wish { asked: Asked::Never, ..wish.clone() };
        assert_eq!(decide(before, &first), Decision::Ask(Reason::NotAsked));
    }
    for state in states {
        match decide(state, wish) {
            Decision::Wait { phase } => assert_eq!(phase, "Running"),
            Decision::Done { phase, message } => return (End::Done { phase, message }, 1),
            Decision::Ask(Reason::NotAsked) => return (End::AsksAgain, 2),
            Decision::Ask(Reason::Unsatisfied(text)) => return (End::Unsatisfied(text), 1),
            Decision::Nonsense(text) => panic!("{text}"),
        }
    }
    (End::StillWaits, 1)
}

impl Case {
    /// Where in the events a Promotion's request is.
    fn request_of(&self, promotion: &str) -> usize {
        let asked = |app: &Application| {
            app.operation.as_ref().and_then(|o| o.promotion()) == Some(promotion)
        };
        self.after.iter().position(asked).unwrap()
    }

    fn last(&self) -> &Application {
        self.after.last().unwrap()
    }

    /// Follows a Promotion through all variants, which must end alike.
    fn replay(&self, promotion: &str, desired: &[String], asks: bool) -> (End, u32) {
        let request = self.request_of(promotion);
        let before = match request.checked_sub(1) {
            Some(i) => &self.after[i],
            None => self.before.as_ref().unwrap(),
        };
        let after: Vec<&Application> = self.after[request..].iter().collect();
        let skip = |n: usize| {
            let kept = after.iter().enumerate().filter(|(i, _)| i % 2 == n);
            let mut kept: Vec<&Application> = kept.map(|(_, app)| *app).collect();
            // What was missed last is seen at the next look.
            if kept.last() != after.last() {
                kept.extend(after.last());
            }
            kept
        };
        let variants = [after.clone(), skip(0), skip(1), vec![*after.last().unwrap()]];
        // The step started in the second in which the case's first operation did.
        let begun = |app: &Application| {
            let state = app.status.operation_state.as_ref()?;
            state.operation.promotion().and(state.started_at)
        };
        let started = after.iter().find_map(|app| begun(app)).unwrap();
        let knowledge = [Asked::After(before.last_deployment_id()), Asked::Perhaps(started)];
        let mut ends = Vec::new();
        for states in &variants {
            for asked in knowledge {
                let ancestry = &Ancestry::default();
                let wish =
                    Wish { promotion, username: "kargo-controller", desired, asked, ancestry };
                ends.push(follow(before, states, &wish, asks));
            }
        }
        let end = ends.pop().unwrap();
        for other in ends {
            // The message is not in the history.
            match (&end.0, &other.0) {
                (End::Done { phase: a, .. }, End::Done { phase: b, .. }) => {
                    assert_eq!((a, end.1), (b, other.1), "{promotion}");
                }
                _ => assert_eq!(end, other, "{promotion}"),
            }
        }
        end
    }
}

/// The revisions that the case's own sync deployed.
fn deployed(case: &Case, promotion: &str) -> Vec<String> {
    let states = case.after.iter().filter_map(|app| app.status.operation_state.as_ref());
    let ours = states.filter(|s| s.operation.promotion() == Some(promotion));
    let results: Vec<_> = ours.filter_map(|s| s.sync_result.as_ref()).collect();
    results.last().unwrap().observed().iter().map(|r| (*r).to_owned()).collect()
}

fn succeeded(end: &(End, u32)) {
    assert!(matches!(&end.0, End::Done { phase, .. } if phase == "Succeeded"), "{end:?}");
    assert_eq!(end.1, 1);
}

#[test]
fn syncs_that_succeed_end_the_step_with_one_request() {
    for file in TRACES {
        let Some(cases) = trace(file) else { return };
        // (case, number, Application, Promotion)
        let rows = [
            ("steps-argocd/13-1", 2, "one", "dev.01.aaa"),
            ("steps-argocd/13-2", 3, "one", "dev.02.bbb"),
            ("steps-argocd/13-3", 4, "one", "dev.03.ccc"),
            ("steps-argocd/13-5", 8, "one", "dev.05.eee"),
            ("steps-argocd/13-6", 9, "one", "dev.06.fff"),
            ("steps-argocd/13-8", 11, "one", "dev.09.iii"),
            ("steps-argocd/13-9", 12, "two", "dev.10.jjj"),
            ("steps-argocd/13-10", 13, "two", "dev.11.kkk"),
            ("steps-argocd/13-13", 16, "four", "dev.14.nnn"),
        ];
        for (id, number, app, promotion) in rows {
            eprintln!("{file} {id}");
            let case = &cases[&number][app];
            let at = deployed(case, promotion);
            assert_eq!(at.len(), case.last().sources().len());
            succeeded(&case.replay(promotion, &at, true));
            succeeded(&case.replay(promotion, &vec![String::new(); at.len()], true));
            match number {
                3 => {
                    assert_ne!(at, deployed(&cases[&2]["one"], "dev.01.aaa"), "{id}: the new head")
                }
                4 => assert_eq!(at, deployed(&cases[&3]["one"], "dev.02.bbb"), "{id}: nothing new"),
                11 => assert_eq!(
                    at[0],
                    case.last().sources()[0].target_revision,
                    "{id}: the pinned one"
                ),
                16 => assert!(at.len() == 2 && at[0] != at[1], "{id}: both"),
                _ => {}
            }
        }
    }
}

#[test]
fn syncs_that_fail_end_the_step_with_argo_cds_message() {
    for file in TRACES {
        let Some(cases) = trace(file) else { return };
        // (case, number, Application, Promotion, phase, message)
        let rows = [
            (
                "steps-argocd/13-4",
                7,
                "one",
                "dev.04.ddd",
                "Failed",
                "one or more objects failed to apply",
            ),
            ("steps-argocd/13-11", 14, "two", "dev.12.lll", "Failed", "(retried 2 times)."),
            (
                "steps-argocd/13-12",
                15,
                "three",
                "dev.13.mmm",
                "Error",
                "ComparisonError: Failed to load",
            ),
        ];
        for (id, number, app, promotion, phase, text) in rows {
            let case = &cases[&number][app];
            let (end, requests) = case.replay(promotion, &[String::new()], true);
            let End::Done { phase: found, message } = end else { panic!("{id}: {end:?}") };
            assert_eq!((found.as_str(), requests), (phase, 1), "{id}");
            assert!(message.contains(text), "{id}: {message}");
        }
        // Retries are waited out: two attempts ended in the trace, with
        // finishedAt set, before the third.
        let attempts = cases[&14]["two"].after.iter().filter(|app| {
            app.status
                .operation_state
                .as_ref()
                .is_some_and(|s| s.finished_at.is_some() && !s.is_completed())
        });
        assert!(attempts.count() >= 2, "steps-argocd/13-11");
    }
}

#[test]
fn a_repository_that_cannot_be_read_is_asked_for_with_growing_pauses() {
    for file in TRACES {
        let Some(cases) = trace(file) else { return };
        let case = &cases[&15]["three"];
        let desired = ["0123456789012345678901234567890123456789".to_owned()];
        let (end, requests) = case.replay("dev.13.mmm", &desired, true);
        // steps-argocd/13-12
        let End::Unsatisfied(message) = end else { panic!("{end:?}") };
        assert!(message.contains("ComparisonError: Failed to load target state"), "{message}");
        assert_eq!(requests, 1);
    }
    let pauses: Vec<_> = (1..=7).map(pause).collect();
    assert!(pauses.windows(2).all(|p| p[0] < p[1]), "{pauses:?}");
}

#[test]
fn of_two_requests_at_once_the_lost_one_is_made_again() {
    for (file, winner, loser) in
        [(TRACES[0], "dev.07.ggg", "dev.08.hhh"), (TRACES[1], "dev.08.hhh", "dev.07.ggg")]
    {
        let Some(cases) = trace(file) else { return };
        let case = &cases[&10]["one"];
        let any = [String::new()];
        let at = deployed(case, winner);
        for desired in [&any[..], &at] {
            let first = winner == "dev.07.ggg";
            // steps-argocd/13-7
            succeeded(&case.replay(winner, desired, first));
            assert_eq!(case.replay(loser, desired, !first), (End::AsksAgain, 2));
        }
        // It waits its turn instead of asking while the first one's request is there.
        let pending = &case.after[case.request_of("dev.07.ggg")];
        let ancestry = Ancestry::default();
        let wish = |promotion, asked| Wish {
            promotion,
            username: "kargo-controller",
            desired: &any,
            asked,
            ancestry: &ancestry,
        };
        let waits = decide(pending, &wish("dev.08.hhh", Asked::Never));
        assert_eq!(waits, Decision::Wait { phase: "Running".into() });
        // Its own request then ends like any other.
        let mut state = case.last().clone();
        let own = Asked::After(state.last_deployment_id());
        let op = &mut state.status.operation_state.as_mut().unwrap().operation;
        op.info.iter_mut().find(|i| i.value == winner).unwrap().value = loser.into();
        assert!(matches!(
            decide(&state, &wish(loser, own)),
            Decision::Done { phase, .. } if phase == "Succeeded"
        ));
    }
}

#[test]
fn the_stage_sees_the_deployment_that_is_not_ready() {
    for file in TRACES {
        let Some(cases) = trace(file) else { return };
        let case = &cases[&13]["two"];
        let settled = Settled::default();
        case.after.iter().for_each(|app| settled.observe(app));
        let last = case.last();
        let finished = last.status.operation_state.as_ref().unwrap().finished_at.unwrap();
        let input = health::input(&serde_json::json!({"apps": [{
            "name": "two", "namespace": "argocd",
            "desiredRevisions": deployed(case, "dev.11.kkk"),
        }]}))
        .unwrap();
        let look = |now: Timestamp| {
            health::assess(&input, "argocd", &Ancestry::default(), now, |_, _| Lookup::Found {
                app: Box::new(last.clone()),
                settled: settled.is_settled(last),
            })
        };
        let found = look(finished + std::time::Duration::from_secs(2));
        // steps-argocd/13-10
        assert_eq!(found.state, api::HealthState::Progressing, "{file}");
        assert_eq!(
            found.issues,
            ["Argo CD Application \"two\" in namespace \"argocd\" is progressing"]
        );
        let message = &found.output.unwrap()["applicationStatuses"][0]["health"]["message"];
        // Release 3.2.6 does not say which workload it is.
        if file == TRACES[0] {
            assert_eq!(message, "Caused by apps/Deployment:default/web");
        }
    }
}

#[test]
fn the_state_at_the_end_of_a_sync_is_not_taken_for_the_one_after() {
    let Some(cases) = trace(TRACES[0]) else { return };
    // First sync: the operation ends in the second of the comparison before it,
    // with the health of before.
    let case = &cases[&2]["one"];
    let settled = Settled::default();
    let input = health::input(&serde_json::json!({"apps": [{"name": "one"}]})).unwrap();
    let mut seen = Vec::new();
    for app in &case.after {
        settled.observe(app);
        let now = "2026-11-24T21:47:30.9Z".parse().unwrap();
        let found = health::assess(&input, "argocd", &Ancestry::default(), now, |_, _| {
            Lookup::Found { app: Box::new(app.clone()), settled: settled.is_settled(app) }
        });
        if app.status.operation_state.as_ref().is_some_and(|s| s.is_completed()) {
            seen.push((found.state, found.look_again_after.is_some()));
        }
    }
    assert_eq!(seen, [(api::HealthState::Unknown, true), (api::HealthState::Healthy, false)]);
}
