use serde_json::{Value, json};

use super::super::samples::*;
use super::*;

fn found(name: &str, discovered: &str) -> Arc<Freight> {
    let mut freight = freight(name, json!({}));
    freight.discovered_at = Some(from(json!(discovered)));
    Arc::new(freight)
}

fn verdicts(
    status: Value,
    available: &[Arc<Freight>],
    promotions: &[Arc<Promotion>],
) -> Vec<Verdict> {
    decide(&stage(&["w"]), &status_of(status), available, promotions)
        .into_iter()
        .map(|d| d.verdict)
        .collect()
}

fn f1() -> Vec<Arc<Freight>> {
    vec![found("f1", "2026-01-02T00:00:00Z"), found("f0", "2026-01-01T00:00:00Z")]
}

#[test]
fn the_newest_is_promoted_unless_it_is_there() {
    assert_eq!(verdicts(json!({}), &f1(), &[]), [Verdict::Promote], "stages/22.8-11");
    let decided = decide(&stage(&["w"]), &status_of(json!({})), &f1(), &[]);
    let chosen = decided.first().and_then(|d| d.freight.as_ref()).map(|f| f.name_any());
    assert_eq!(chosen.as_deref(), Some("f1"), "stages/22.8-11");

    let has = json!({"freightHistory": [collection(&[("w", "f1")])]});
    assert_eq!(verdicts(has, &f1(), &[]), [Verdict::Current], "stages/22.8-12");
    assert_eq!(verdicts(json!({}), &[], &[]), [Verdict::NothingAvailable]);

    let promoting = json!({"currentPromotion": {"name": "p1", "freight": {
        "name": "f1", "origin": {"kind": "Warehouse", "name": "w"}}}});
    assert_eq!(verdicts(promoting, &f1(), &[]), [Verdict::Promoting]);
    assert!(decide(&stage(&[]), &status_of(json!({})), &f1(), &[]).is_empty(), "stages/22.8-9");
}

#[test]
fn earlier_promotions_of_the_candidate_count() {
    let p = |name: &str, phase: &str| promotion(name, json!({"phase": phase}));
    let last = json!({"lastPromotion": {"name": "p5"}});
    let failed = |name: &str| Verdict::Failed { promotion: name.into(), phase: "Errored".into() };
    for (case, status, promotions, expected) in [
        (
            "stages/22.8-13",
            json!({}),
            vec![promotion("p1", json!({}))],
            Verdict::Pending("p1".into()),
        ),
        ("stages/22.8-14", json!({}), vec![p("p1", "Succeeded")], Verdict::Pending("p1".into())),
        ("stages/22.8-15", last.clone(), vec![p("p1", "Succeeded")], Verdict::Promote),
        (
            "stages/22.8-16",
            last.clone(),
            vec![p("p1", "Succeeded"), p("p2", "Errored")],
            failed("p2"),
        ),
        ("stages/22.8-16", last, vec![p("p1", "Errored"), p("p2", "Succeeded")], Verdict::Promote),
    ] {
        assert_eq!(verdicts(status, &f1(), &promotions), [expected], "{case}");
    }
}

#[test]
fn each_origin_decides_for_itself() {
    let mut other = freight("g1", json!({}));
    other.origin.name = "v".to_owned();
    let mut available = f1();
    available.push(Arc::new(other));
    let hold = json!({"freightName": "f0", "promotionName": "p0", "origin": {"kind": "Warehouse", "name": "w"}});
    let status = status_of(json!({"effectiveAutoPromotionHolds": {"Warehouse/w": hold.clone()}}));
    let decided = decide(&stage(&["w", "v"]), &status, &available, &[]);
    let held = Verdict::Held { freight: "f0".into(), promotion: "p0".into() };
    let found: Vec<_> = decided.into_iter().map(|d| d.verdict).collect();
    assert_eq!(found, [held, Verdict::Promote], "stages/22.8-24");

    // The durable map alone holds nothing.
    let status = status_of(json!({"autoPromotionHolds": {"Warehouse/w": hold}}));
    let decided = decide(&stage(&["w", "v"]), &status, &available, &[]);
    let found: Vec<_> = decided.into_iter().map(|d| d.verdict).collect();
    assert_eq!(found, [Verdict::Promote, Verdict::Promote], "stages/22.8-20");
}

#[test]
fn between_two_pieces_of_freight_upstream_nothing_is_chosen() {
    let mut stage = stage(&["w"]);
    stage.spec.requested_freight = vec![from(json!({
        "origin": {"kind": "Warehouse", "name": "w"},
        "sources": {"stages": ["up"], "autoPromotionOptions": {"selectionPolicy": "MatchUpstream"}},
    }))];
    let found: Vec<_> =
        decide(&stage, &status_of(json!({})), &f1(), &[]).into_iter().map(|d| d.verdict).collect();
    assert_eq!(found, [Verdict::Ambiguous], "stages/22.8-25");
}

#[test]
fn a_stage_says_why_freight_waits() {
    let stage = stage(&["w"]);
    let decided = || decide(&stage, &status_of(json!({})), &f1(), &[]);
    let said = |switch| why_waiting(&stage, &switch, &decided());
    assert_eq!(said(Switch::On), None);
    for (switch, reason, words) in [
        (Switch::NoProject, "NoProject", "there is no Project \"p\""),
        (Switch::NoPolicy { config: false }, "NoPolicy", "Project \"p\" has no ProjectConfig"),
        (
            Switch::NoPolicy { config: true },
            "NoPolicy",
            "no promotion policy of ProjectConfig \"p\" matches",
        ),
        (Switch::Off, "AutoPromotionDisabled", "switches auto-promotion off for Stage \"s\""),
    ] {
        let (found, message) = said(switch).unwrap_or_default();
        assert_eq!(found, reason);
        assert!(message.starts_with("Freight \"f1\" from Warehouse/w waits: "), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let failed = [promotion("p1", json!({"phase": "Failed"}))];
    let decided = decide(&stage, &status_of(json!({})), &f1(), &failed);
    let (reason, message) = why_waiting(&stage, &Switch::On, &decided).unwrap_or_default();
    assert_eq!(reason, "LastPromotionUnsuccessful");
    assert!(message.contains("Promotion \"p1\" to it ended Failed"), "{message}");
    let has = status_of(json!({"freightHistory": [collection(&[("w", "f1")])]}));
    let decided = decide(&stage, &has, &f1(), &[]);
    assert_eq!(why_waiting(&stage, &Switch::NoPolicy { config: true }, &decided), None);
}
