use serde_json::{Value, json};

use super::super::samples::*;
use super::*;

struct Case {
    status: StageStatus,
    ended: Option<VerificationInfo>,
}

fn run(before: Value, annotations: Value, with_templates: bool) -> Case {
    let mut stage = stage(&["w"]);
    stage.metadata.annotations = from(annotations);
    if with_templates {
        stage.spec.verification = Some(from(json!({"analysisTemplates": [{"name": "t"}]})));
    }
    let mut status = status_of(before);
    let ended = verify(&stage, &mut status, "new", noon(), noon());
    Case { status, ended }
}

fn with(health: Option<&str>, history: Value) -> Value {
    let mut current = collection(&[("w", "f0"), ("v", "f1")]);
    current["verificationHistory"] = history;
    let mut status = json!({"freightHistory": [current]});
    if let Some(health) = health {
        status["health"] = json!({"status": health});
    }
    status
}

fn ids(case: &Case) -> Vec<&str> {
    let current = case.status.freight_history.first();
    current
        .map(|c| c.verification_history.iter().map(|v| v.id.as_str()).collect())
        .unwrap_or_default()
}

#[test]
fn nothing_to_verify() {
    let case = run(json!({}), json!({}), false);
    assert_eq!(
        said(&case.status, types::VERIFIED).as_deref(),
        Some("Unknown/NoFreight"),
        "stages/22.6-1"
    );
    assert!(case.ended.is_none(), "stages/22.6-1");

    let mut promoting = with(Some("Healthy"), json!([]));
    promoting["currentPromotion"] = json!({"name": "p1"});
    let case = run(promoting.clone(), json!({}), false);
    assert_eq!(case.status, status_of(promoting), "stages/22.6-2");

    for health in [None, Some("Unhealthy")] {
        let before = with(health, json!([]));
        let case = run(before.clone(), json!({}), false);
        assert_eq!(case.status, status_of(before), "stages/22.6-4");
        assert!(case.ended.is_none(), "stages/22.6-4");
    }
}

#[test]
fn a_stage_without_templates_is_verified_at_once() {
    let id = "stages/22.6-3";
    let case = run(with(Some("Healthy"), json!([])), json!({}), false);
    let ended =
        case.ended.as_ref().map(|v| (v.phase, v.start_time.is_some(), v.finish_time.is_some()));
    assert_eq!(ended, Some((VerificationPhase::Successful, true, true)), "{id}");
    assert_eq!(said(&case.status, types::VERIFIED).as_deref(), Some("True/Verified"), "{id}");
    assert_eq!(ids(&case), ["new"], "{id}");
}

#[test]
fn without_rollouts_a_verification_with_templates_ends_in_error() {
    let id = "stages/22.6-5";
    let case = run(with(Some("Healthy"), json!([])), json!({}), true);
    assert_eq!(case.ended.as_ref().map(|v| v.phase), Some(VerificationPhase::Error), "{id}");
    assert_eq!(
        said(&case.status, types::VERIFIED).as_deref(),
        Some("False/VerificationError"),
        "{id}"
    );
    let message = status::condition(&case.status, types::VERIFIED).map(|c| c.message.clone());
    assert_eq!(
        message.as_deref(),
        Some("Rollouts integration is disabled on this controller: cannot start verification"),
        "{id}"
    );
}

#[test]
fn what_ended_is_done_again_only_on_request() {
    let ended = || json!([{"id": "v1", "phase": "Successful"}]);
    let before = with(Some("Healthy"), ended());
    let case = run(before.clone(), json!({}), false);
    assert!(case.ended.is_none(), "stages/22.6-12");
    assert_eq!(ids(&case), ["v1"], "stages/22.6-12");
    let case = run(before.clone(), json!({api::annotations::REVERIFY: "v0"}), false);
    assert!(case.ended.is_none(), "stages/22.6-13");

    let request = json!({api::annotations::REVERIFY: r#"{"id":"v1","actor":"me"}"#});
    let case = run(with(Some("Unhealthy"), ended()), request.clone(), false);
    assert_eq!(ids(&case), ["v1"], "stages/22.6-14");
    let case = run(before.clone(), request.clone(), false);
    assert_eq!(ids(&case), ["new", "v1"], "stages/22.6-14");

    // A re-verification that fails changes nothing about what was verified.
    let case = run(before, request, true);
    assert_eq!(case.ended.as_ref().map(|v| v.actor.as_str()), Some("me"), "stages/22.6-27");
    assert_eq!(
        said(&case.status, types::VERIFIED).as_deref(),
        Some("True/Verified"),
        "stages/22.6-27"
    );
    assert_eq!(verified_at(&case.status, noon()), None, "stages/22.6-27");
}

#[test]
fn the_history_keeps_ten() {
    let id = "stages/22.6-26";
    let history: Vec<Value> =
        (0..10).map(|n| json!({"id": format!("v{n}"), "phase": "Successful"})).collect();
    let request = json!({api::annotations::REVERIFY: "v0"});
    let case = run(with(Some("Healthy"), json!(history)), request, false);
    assert_eq!(ids(&case).len(), 10, "{id}");
    assert_eq!(ids(&case).first(), Some(&"new"), "{id}");
    assert_eq!(ids(&case).last(), Some(&"v8"), "{id}");
}

#[test]
fn a_phase_that_nobody_knows() {
    let before = with(Some("Healthy"), json!([{"id": "v1", "phase": "Odd"}]));
    let mut status = status_of(before);
    recompute(&mut status, 3, noon());
    let condition = said(&status, types::VERIFIED);
    assert_eq!(condition.as_deref(), Some("Unknown/UnknownVerificationPhase"), "stages/22.6-30");
}

#[test]
fn when_freight_counts_as_verified() {
    let done =
        |phase: &str| json!([{"id": "v", "phase": phase, "finishTime": "2026-01-01T11:00:00Z"}]);
    for (health, history, expected) in [
        (Some("Unhealthy"), done("Successful"), None),
        (None, done("Successful"), None),
        (Some("Healthy"), json!([]), None),
        (Some("Healthy"), done("Running"), None),
        (Some("Healthy"), done("Failed"), None),
        (Some("Healthy"), done("Successful"), Some("2026-01-01T11:00:00Z")),
        (
            Some("Healthy"),
            json!([{"id": "v", "phase": "Successful"}]),
            Some("2026-01-01T12:00:00Z"),
        ),
    ] {
        let found = verified_at(&status_of(with(health, history.clone())), noon());
        assert_eq!(found, expected.map(at), "stages/22.6-31 {health:?} {history}");
    }
    assert_eq!(verified_at(&status_of(json!({})), noon()), None, "stages/22.6-31");
}
