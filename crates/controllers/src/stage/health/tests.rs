use serde_json::json;

use super::super::samples::*;
use super::*;

/// Answers `argocd-update` with what it is given, in order.
struct Fake(Vec<Checked>);

impl Checker for Fake {
    fn check(&mut self, uses: &str, _: &Value) -> Option<Checked> {
        (uses == "argocd-update" && !self.0.is_empty()).then(|| self.0.remove(0))
    }
}

fn checked(state: HealthState, issues: &[&str]) -> Checked {
    Checked {
        state,
        issues: issues.iter().map(|s| (*s).to_owned()).collect(),
        output: Some(json!({"state": state.to_string()})),
    }
}

fn after(last: Value, answers: Vec<Checked>) -> StageStatus {
    let mut status = status_of(last);
    assess(&mut status, &mut Fake(answers), 3, noon());
    status
}

fn succeeded(kinds: &[&str]) -> Value {
    let checks: Vec<Value> = kinds.iter().map(|k| json!({"uses": k, "config": {}})).collect();
    json!({"lastPromotion": {"name": "p1", "status": {"phase": "Succeeded", "healthChecks": checks}}})
}

fn state(status: &StageStatus) -> Option<HealthState> {
    status.health.as_ref().map(|h| h.status)
}

#[test]
fn without_a_promotion_that_succeeded_nothing_is_assessed() {
    let status = after(json!({}), vec![]);
    assert_eq!(state(&status), None, "stages/22.5-1");
    assert_eq!(
        said(&status, types::HEALTHY).as_deref(),
        Some("Unknown/NoFreight"),
        "stages/22.5-1"
    );

    let last = json!({"lastPromotion": {"name": "p1", "status": {"phase": "Aborted"}}});
    let status = after(last, vec![]);
    assert_eq!(state(&status), Some(HealthState::Unknown), "stages/22.5-2");
    let condition = said(&status, types::HEALTHY);
    assert_eq!(condition.as_deref(), Some("Unknown/LastPromotionAborted"), "stages/22.5-2");

    let mut promoting = succeeded(&["argocd-update"]);
    promoting["currentPromotion"] = json!({"name": "p2"});
    let status = after(promoting, vec![checked(HealthState::Healthy, &[])]);
    assert_eq!(said(&status, types::HEALTHY).as_deref(), Some("Unknown/ActivePromotion"));
}

#[test]
fn what_the_checks_say_becomes_the_stages_health() {
    use HealthState::*;
    let status = after(succeeded(&[]), vec![]);
    assert_eq!(said(&status, types::HEALTHY).as_deref(), Some("True/Healthy"), "stages/22.5-3");
    assert!(status.health.as_ref().is_some_and(|h| h.output.is_none()), "stages/22.5-3");

    for (answer, condition) in [
        (checked(Healthy, &[]), "True/Healthy"),
        (checked(Unhealthy, &["a", "b"]), "False/Unhealthy"),
        (checked(NotApplicable, &[]), "Unknown/NotApplicable"),
        (checked(Unknown, &[]), "Unknown/Unknown"),
    ] {
        let status = after(succeeded(&["argocd-update"]), vec![answer.clone()]);
        assert_eq!(said(&status, types::HEALTHY).as_deref(), Some(condition), "stages/22.5-4");
        if answer.state == Unhealthy {
            let message = status::condition(&status, types::HEALTHY).map(|c| c.message.clone());
            let expected = "Stage is unhealthy (2 issues in 1 health checks)";
            assert_eq!(message.as_deref(), Some(expected), "stages/22.5-4");
        }
    }

    let two = after(
        succeeded(&["argocd-update", "argocd-update"]),
        vec![checked(Healthy, &[]), checked(Unhealthy, &["x"])],
    );
    assert_eq!(state(&two), Some(Unhealthy), "stages/22.5-6");
    let output = two.health.as_ref().and_then(|h| h.output.clone());
    assert_eq!(
        output,
        Some(json!([{"state": "Healthy"}, {"state": "Unhealthy"}])),
        "stages/22.5-5"
    );

    let status = after(succeeded(&["other"]), vec![]);
    assert_eq!(state(&status), Some(Unknown), "stages/22.5-8");
    let issues = status.health.map(|h| h.issues).unwrap_or_default();
    let expected = "no health checker registered for health check kind \"other\"";
    assert_eq!(issues, [expected], "stages/22.5-8");
}
