use serde_json::{Value, json};

use super::super::samples::*;
use super::super::status::types;
use super::*;

fn given(auto_promotion: bool, may_start: bool) -> Given<'static> {
    let freight =
        &|name: &str| Some(api::FreightReference { name: name.to_owned(), ..Default::default() });
    Given { auto_promotion, may_start, freight }
}

fn run(
    warehouses: &[&str],
    promotions: &[Arc<Promotion>],
    before: Value,
    auto: bool,
) -> (StageStatus, Synced) {
    let mut status = status_of(before);
    let synced = sync(&stage(warehouses), promotions, given(auto, true), &mut status, noon());
    (status, synced)
}

fn done(name: &str, phase: &str, freight: &str) -> Arc<Promotion> {
    promotion(
        name,
        json!({
            "phase": phase, "startedAt": "2026-01-01T10:00:00Z", "finishedAt": "2026-01-01T11:00:00Z",
            "freight": {"name": freight, "origin": {"kind": "Warehouse", "name": "w"}},
            "freightCollection": collection(&[("w", freight)]),
        }),
    )
}

fn promoting() -> Value {
    json!([{
        "type": "Promoting", "status": "True", "reason": "ActivePromotion", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

fn current(status: &StageStatus) -> Option<&str> {
    status.current_promotion.as_ref().map(|p| p.name.as_str())
}

fn last(status: &StageStatus) -> Option<&str> {
    status.last_promotion.as_ref().map(|p| p.name.as_str())
}

#[test]
fn no_promotions_clear_what_was_current() {
    let before = json!({"currentPromotion": {"name": "old"}, "conditions": promoting()});
    let (status, synced) = run(&["w"], &[], before, false);
    assert_eq!(current(&status), None, "stages/22.2-2");
    assert_eq!(said(&status, types::PROMOTING), None, "stages/22.2-2");
    assert!(!synced.has_non_terminal, "stages/22.2-2");
}

#[test]
fn the_first_that_waits_becomes_current() {
    let pending = promotion(
        "p1",
        json!({"phase": "Pending", "freight": {"name": "f1", "origin": {"kind": "Warehouse", "name": "w"}}}),
    );
    let (status, synced) = run(&["w"], &[pending], json!({}), false);
    let case = "stages/22.2-3";
    assert_eq!(current(&status), Some("p1"), "{case}");
    let freight = status.current_promotion.as_ref().and_then(|p| p.freight.as_ref());
    assert_eq!(freight.map(|f| f.name.as_str()), Some("f1"), "{case}");
    assert_eq!(said(&status, types::PROMOTING).as_deref(), Some("True/ActivePromotion"), "{case}");
    assert!(synced.has_non_terminal, "{case}");

    // Its status names no Freight yet: then the Freight is told where it is
    // known, and only a name where it is not.
    let known = given(false, true);
    let unknown = Given { freight: &|_| None, ..given(false, true) };
    for (given, freight) in [(known, Some("f1")), (unknown, None)] {
        let mut status = status_of(json!({}));
        let mut new = Promotion::clone(&promotion("p1", json!({})));
        new.spec.freight = Some("f1".to_owned());
        sync(&stage(&["w"]), &[Arc::new(new)], given, &mut status, noon());
        assert_eq!(current(&status), Some("p1"), "stages/22.2-22");
        let told = status.current_promotion.as_ref().and_then(|p| p.freight.as_ref());
        assert_eq!(told.map(|f| f.name.as_str()), freight, "stages/22.2-22");
    }
}

#[test]
fn a_running_one_stays_current() {
    let running = promotion("p1", json!({"phase": "Running"}));
    let before = json!({"currentPromotion": {"name": "p1"}, "conditions": promoting()});
    let (status, _) = run(&["w"], &[running], before, false);
    assert_eq!(current(&status), Some("p1"), "stages/22.2-4");
    let message = status::condition(&status, types::PROMOTING).map(|c| c.message.clone());
    assert_eq!(message.as_deref(), Some("Promotion \"p1\" is currently Running"), "stages/22.2-4");
}

#[test]
fn the_current_one_that_succeeded_is_folded_in() {
    let before = json!({"currentPromotion": {"name": "p1"}, "conditions": promoting()});
    let (status, synced) = run(&["w"], &[done("p1", "Succeeded", "f1")], before, false);
    let case = "stages/22.2-5";
    assert_eq!((current(&status), last(&status)), (None, Some("p1")), "{case}");
    assert_eq!(status.freight_history.len(), 1, "{case}");
    assert_eq!(status.freight_history.first().map(|c| c.items.len()), Some(1), "{case}");
    assert_eq!(
        said(&status, types::HEALTHY).as_deref(),
        Some("Unknown/WaitingForHealthCheck"),
        "{case}"
    );
    assert_eq!(
        said(&status, types::VERIFIED).as_deref(),
        Some("Unknown/WaitingForVerification"),
        "{case}"
    );
    assert_eq!(said(&status, types::PROMOTING), None, "{case}");
    assert_eq!(synced.succeeded.len(), 1, "{case}");
}

#[test]
fn the_current_one_that_failed_changes_no_freight() {
    let before = json!({"currentPromotion": {"name": "p1"}, "conditions": promoting()});
    let (status, _) = run(&["w"], &[done("p1", "Failed", "f1")], before, false);
    let case = "stages/22.2-6";
    assert_eq!(last(&status), Some("p1"), "{case}");
    assert!(status.freight_history.is_empty(), "{case}");
    assert_eq!(said(&status, types::PROMOTING), None, "{case}");
}

#[test]
fn what_is_recorded_already_changes_nothing() {
    let before = json!({"lastPromotion": {"name": "promotion-2"}});
    let old = [done("promotion-1", "Succeeded", "f1"), done("promotion-2", "Succeeded", "f2")];
    let (status, _) = run(&["w"], &old, before.clone(), false);
    assert_eq!(status, status_of(before.clone()), "stages/22.2-7");
    let mut stale = before;
    stale["conditions"] = promoting();
    let (status, _) = run(&["w"], &old, stale, false);
    assert_eq!(said(&status, types::PROMOTING), None, "stages/22.2-8");
}

#[test]
fn one_aborted_before_it_began_keeps_what_the_stage_has() {
    let before = json!({
        "currentPromotion": {"name": "p2"},
        "lastPromotion": {
            "name": "p1",
            "status": {"phase": "Succeeded", "freightCollection": collection(&[("w", "f1"), ("v", "f2")])},
        },
    });
    let aborted = promotion("p2", json!({"phase": "Aborted"}));
    let (status, _) = run(&["w", "v"], &[aborted], before, false);
    let kept = status
        .last_promotion
        .as_ref()
        .and_then(|l| l.status.as_ref())
        .and_then(|s| s.freight_collection.as_ref())
        .map(|c| c.items.len());
    assert_eq!((last(&status), kept), (Some("p2"), Some(2)), "stages/22.2-9");
}

#[test]
fn verification_decides_whether_the_next_may_start() {
    for (case, health, verification, accepted) in [
        ("stages/22.2-10", None, Some("Running"), false),
        ("stages/22.2-10", Some("Healthy"), Some("Running"), false),
        ("stages/22.2-10", Some("Unhealthy"), Some("Running"), false),
        ("stages/22.2-11", Some("Unhealthy"), Some("Successful"), true),
        ("stages/22.2-12", Some("Unhealthy"), None, true),
        ("stages/22.2-13", Some("Unknown"), None, true),
        ("stages/22.2-14", Some("Healthy"), Some("Failed"), true),
        ("stages/22.2-15", Some("Healthy"), None, false),
        ("stages/22.2-15", None, None, false),
        ("stages/22.2-21", Some("Progressing"), None, true),
    ] {
        let mut before = json!({"freightHistory": verified(verification)});
        if let Some(health) = health {
            before["health"] = json!({"status": health});
        }
        let pending = promotion("p1", json!({"phase": "Pending"}));
        let (status, synced) = run(&["w"], &[pending], before, false);
        assert_eq!(current(&status).is_some(), accepted, "{case} {health:?} {verification:?}");
        assert!(synced.has_non_terminal, "{case}");
    }
}

#[test]
fn the_order_of_promotions() {
    let p = |name: &str, phase: &str| promotion(name, json!({"phase": phase}));
    let names = |list: &[Arc<Promotion>]| -> Vec<String> {
        in_order(list).iter().map(|p| p.name_any()).collect()
    };
    assert_eq!(names(&[p("b", "Running"), p("a", "Running")]), ["a", "b"], "stages/22.2-16");
    let mixed = [p("a", "Succeeded"), p("b", "Pending"), p("c", "Running"), p("d", "Failed")];
    assert_eq!(names(&mixed), ["c", "b", "d", "a"], "stages/22.2-17");
}

#[test]
fn several_that_ended_are_folded_in_the_oldest_first() {
    let ended: Vec<_> =
        (1..=3).map(|n| done(&format!("p{n}"), "Succeeded", &format!("f{n}"))).collect();
    let before = json!({"currentPromotion": {"name": "p1"}});
    let (status, _) = run(&["w"], &ended, before, false);
    let case = "stages/22.2-18";
    assert_eq!(last(&status), Some("p3"), "{case}");
    let history: Vec<_> = status
        .freight_history
        .iter()
        .flat_map(|c| c.items.values().map(|f| f.name.clone()))
        .collect();
    assert_eq!(history, ["f3", "f2", "f1"], "{case}");

    let ended: Vec<_> =
        (1..=11).map(|n| done(&format!("p{n:02}"), "Succeeded", &format!("f{n:02}"))).collect();
    let before = json!({"currentPromotion": {"name": "p01"}});
    let (status, _) = run(&["w"], &ended, before, false);
    let case = "stages/22.2-19";
    assert_eq!(status.freight_history.len(), 10, "{case}");
    let oldest = status.freight_history.last().and_then(|c| c.items.values().next());
    assert_eq!(oldest.map(|f| f.name.as_str()), Some("f02"), "{case}");
}

#[test]
fn a_current_one_that_was_deleted_makes_room_in_this_pass_only() {
    let before = json!({"currentPromotion": {"name": "p1"}, "conditions": promoting()});
    let waiting = promotion("p2", json!({"phase": "Pending"}));
    let (status, synced) = run(&["w"], &[Arc::clone(&waiting)], before, false);
    let case = "stages/22.2-20";
    assert_eq!((current(&status), synced.has_non_terminal), (None, true), "{case}");
    let mut status = status;
    sync(&stage(&["w"]), &[waiting], given(false, true), &mut status, noon());
    assert_eq!(current(&status), Some("p2"), "{case}");
}

#[test]
fn what_a_new_one_brings_is_known_at_once() {
    let freight =
        &|name: &str| Some(api::FreightReference { name: name.to_owned(), ..Default::default() });
    let given = Given { freight, ..given(false, true) };
    let mut status = status_of(json!({}));
    sync(&stage(&["w"]), &[promotion("p1", json!({}))], given, &mut status, noon());
    let brings = status.current_promotion.as_ref().and_then(|p| p.freight.as_ref());
    assert_eq!(brings.map(|f| f.name.as_str()), Some("f1"));
    let written = status.clone();
    // When it runs and says so itself, nothing changes.
    let runs = promotion("p1", json!({"phase": "Running", "freight": {"name": "f1"}}));
    sync(&stage(&["w"]), &[runs], given, &mut status, noon());
    assert_eq!(status, written);
}

#[test]
fn names_that_users_chose_do_not_matter() {
    let made = |name: &str, phase: &str, at: &str| {
        let mut promotion = (*promotion(name, json!({"phase": phase}))).clone();
        promotion.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
        Arc::new(promotion)
    };
    let ulid = "dev.01j00000000000000000000000.f1";
    let first = made("zzz", "Succeeded", "2026-01-01T10:00:00Z");
    let second = made(ulid, "Succeeded", "2026-01-01T10:00:05Z");
    let third = made("aaa", "Pending", "2026-01-01T10:00:09Z");
    let fourth = made("000", "Pending", "2026-01-01T10:00:20Z");
    let all = [fourth, third, second, first];

    // All that ended is folded in, the oldest first.
    let before = json!({"currentPromotion": {"name": ulid}});
    let (status, _) = run(&["w"], &all, before, false);
    assert_eq!(last(&status), Some(ulid));
    // What was folded in is not folded in again, and the oldest that waits is next.
    let before = json!({"lastPromotion": {"name": ulid}});
    let (status, _) = run(&["w"], &all, before, false);
    assert_eq!((last(&status), current(&status)), (Some(ulid), Some("aaa")));
}

#[test]
fn without_a_project_nothing_starts() {
    let mut status = status_of(json!({}));
    let waiting = promotion("p1", json!({}));
    let synced = sync(&stage(&["w"]), &[waiting], given(false, false), &mut status, noon());
    assert!(synced.has_non_terminal);
    assert_eq!(current(&status), None);
}

const HOLD: &str = api::annotations::AUTO_PROMOTION_HOLD;
const RESUME: &str = api::annotations::AUTO_PROMOTION_RESUME;

fn with_intent(name: &str, phase: &str, annotation: &str, origin: &str) -> Arc<Promotion> {
    annotated(
        name,
        json!({"phase": phase, "startedAt": "2026-01-01T10:00:00Z"}),
        json!({annotation: origin, api::annotations::CREATE_ACTOR: "kubernetes:me"}),
    )
}

fn holds_after(promotions: &[Arc<Promotion>], before: Value, auto: bool) -> Vec<String> {
    let mut before = before;
    before["currentPromotion"] = json!({"name": "p1"});
    let (status, _) = run(&["w", "v"], promotions, before, auto);
    status.auto_promotion_holds.keys().cloned().collect()
}

fn held(origin: &str, promotion: &str) -> Value {
    let name = origin.trim_start_matches("Warehouse/");
    json!({
        "autoPromotionHolds": {origin: {
            "freightName": "f9", "promotionName": promotion,
            "origin": {"kind": "Warehouse", "name": name},
        }},
    })
}

#[test]
fn holds_follow_what_finished_promotions_intend() {
    let w = "Warehouse/w";
    let hold = |phase| vec![with_intent("p1", phase, HOLD, w)];
    let resume = |phase| vec![with_intent("p1", phase, RESUME, w)];
    for (case, promotions, before, auto, expected) in [
        ("stages/22.3-1", hold("Succeeded"), held(w, "p0"), false, vec![]),
        ("stages/22.3-2", hold("Succeeded"), json!({}), true, vec![w]),
        ("stages/22.3-3", hold("Failed"), json!({}), true, vec![w]),
        ("stages/22.3-4", hold("Aborted"), json!({}), true, vec![]),
        ("stages/22.3-5", resume("Failed"), held(w, "p0"), true, vec![]),
        (
            "stages/22.3-6",
            vec![
                with_intent("p1", "Succeeded", HOLD, w),
                with_intent("p2", "Succeeded", RESUME, w),
            ],
            json!({}),
            true,
            vec![],
        ),
        (
            "stages/22.3-6",
            vec![
                with_intent("p1", "Succeeded", RESUME, w),
                with_intent("p2", "Succeeded", HOLD, w),
            ],
            json!({}),
            true,
            vec![w],
        ),
        (
            "stages/22.3-8",
            vec![with_intent("p1", "Succeeded", HOLD, "Warehouse/x")],
            json!({}),
            true,
            vec![],
        ),
        ("stages/22.3-9", vec![done("p1", "Succeeded", "f1")], held(w, "gone"), true, vec![w]),
        ("stages/22.3-10", resume("Succeeded"), held(w, "p0"), true, vec![]),
        (
            "stages/22.3-11",
            vec![
                with_intent("p1", "Succeeded", RESUME, w),
                with_intent("p2", "Succeeded", HOLD, "Warehouse/v"),
            ],
            held(w, "p0"),
            true,
            vec!["Warehouse/v"],
        ),
        (
            "stages/22.3-12",
            vec![done("p1", "Succeeded", "f1")],
            held("Warehouse/x", "p0"),
            true,
            vec![],
        ),
    ] {
        assert_eq!(holds_after(&promotions, before, auto), expected, "{case}");
    }
    let before = json!({"currentPromotion": {"name": "p1"}});
    let (status, _) = run(&["w", "v"], &hold("Succeeded"), before, true);
    let hold = status.auto_promotion_holds.get(w).cloned().unwrap_or_default();
    let case = "stages/22.3-2";
    assert_eq!((hold.freight_name.as_str(), hold.promotion_name.as_str()), ("f1", "p1"), "{case}");
    assert_eq!((hold.actor.as_str(), hold.origin.name.as_str()), ("kubernetes:me", "w"), "{case}");
}

#[test]
fn a_hold_stops_no_promotion_that_is_under_way() {
    let case = "stages/22.3-13";
    let pending = promotion("p1", json!({"phase": "Pending"}));
    let (status, _) = run(&["w"], &[pending], held("Warehouse/w", "p0"), true);
    assert_eq!(current(&status), Some("p1"), "{case}");
}

#[test]
fn what_counts_now_is_overlaid_with_what_is_under_way() {
    let w = "Warehouse/w";
    for (promotions, mut before, expected) in [
        (vec![], held(w, "p0"), Some("p0")),
        (vec![with_intent("p1", "Running", HOLD, w)], json!({}), Some("p1")),
        (vec![with_intent("p1", "Running", RESUME, w)], held(w, "p0"), None),
        (
            vec![with_intent("p1", "Running", RESUME, w), with_intent("p2", "Pending", HOLD, w)],
            json!({}),
            Some("p2"),
        ),
        (
            vec![with_intent("p1", "Running", HOLD, w), with_intent("p2", "Pending", RESUME, w)],
            json!({}),
            None,
        ),
        (
            vec![with_intent("p1", "Running", HOLD, w), with_intent("p2", "Aborted", RESUME, w)],
            json!({}),
            Some("p1"),
        ),
        (vec![with_intent("p0", "Running", RESUME, w)], held(w, "p0"), Some("p0")),
    ] {
        before["lastPromotion"] = json!({"name": "p0"});
        let holds = effective_holds(&stage(&["w"]), &promotions, true, &status_of(before.clone()));
        let found = holds.get(w).map(|h| h.promotion_name.as_str());
        assert_eq!(found, expected, "stages/22.3-14 {promotions:?}");
        let off = effective_holds(&stage(&["w"]), &promotions, false, &status_of(before));
        assert!(off.is_empty(), "stages/22.3-1");
    }
}
