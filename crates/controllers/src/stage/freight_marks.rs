//! Pure: what a Stage writes onto Freight: that it has it, that it had it for
//! so long, that it verified it (`stages` 1.3, 9, 14).
//!
//! A change names this Stage's keys alone, so Stages that write the same
//! Freight at the same time do not wipe out each other's entries
//! (`stages` 5.3).

use api::Freight;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::whole_seconds;

/// The change by which `freight` enters `stage` now; none if it is there.
pub fn enter(freight: &Freight, stage: &str, now: Timestamp) -> Option<Value> {
    if freight.is_currently_in(stage) {
        return None;
    }
    Some(json!({ "currentlyIn": { stage: { "since": whole_seconds(now).to_string() } } }))
}

/// The change by which `freight` leaves `stage` now: how long it soaked is
/// kept if it is verified there and this was the longest.
pub fn leave(freight: &Freight, stage: &str, now: Timestamp) -> Option<Value> {
    if !freight.is_currently_in(stage) {
        return None;
    }
    let mut after = freight.status.clone().unwrap_or_default();
    after.remove_current_stage(stage, now);
    let soak = |s: &api::FreightStatus| s.verified_in.get(stage).and_then(|v| v.longest_soak);
    let mut change = json!({ "currentlyIn": { stage: null } });
    let before = freight.status.as_ref().and_then(&soak);
    if let Some(longest) = soak(&after).filter(|after| Some(after) != before.as_ref()) {
        change["verifiedIn"] = json!({ stage: { "longestSoak": longest } });
    }
    Some(change)
}

/// The change by which `freight` is verified in `stage`; none if it is.
pub fn verified(freight: &Freight, stage: &str, at: Timestamp) -> Option<Value> {
    if freight.is_verified_in(stage) {
        return None;
    }
    Some(json!({ "verifiedIn": { stage: { "verifiedAt": whole_seconds(at).to_string() } } }))
}

/// The change by which `stage` vanishes from a map of `freight`'s status.
pub fn forget(map: &str, stage: &str) -> Value {
    json!({ map: { stage: null } })
}

/// Two changes of one Freight as one.
pub fn both(first: Option<Value>, second: Value) -> Value {
    let Some(Value::Object(mut first)) = first else { return second };
    if let Value::Object(second) = second {
        for (map, keys) in second {
            match (first.get_mut(&map), keys) {
                (Some(Value::Object(into)), Value::Object(keys)) => into.extend(keys),
                (_, keys) => {
                    first.insert(map, keys);
                }
            }
        }
    }
    Value::Object(first)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, freight, noon};
    use super::*;

    fn left(status: Value) -> Option<Value> {
        leave(&freight("f", status), "s", noon())
    }

    fn soaked(longest: &str) -> Option<Value> {
        Some(json!({
            "currentlyIn": {"s": null}, "verifiedIn": {"s": {"longestSoak": longest}},
        }))
    }

    #[test]
    fn how_long_freight_soaked_is_kept_when_it_leaves() {
        let since = |t: &str| json!({"since": t});
        let gone = Some(json!({"currentlyIn": {"s": null}}));
        for (case, status, expected) in [
            (
                "stages/22.4-3",
                json!({"currentlyIn": {"s": since("2026-01-01T10:00:00Z")}, "verifiedIn": {"s": {"longestSoak": "30m0s"}}}),
                soaked("2h0m0s"),
            ),
            (
                "stages/22.4-4",
                json!({"currentlyIn": {"s": since("2026-01-01T11:00:00Z")}, "verifiedIn": {"s": {"longestSoak": "3h0m0s"}}}),
                gone.clone(),
            ),
            (
                "stages/22.4-5",
                json!({"currentlyIn": {"s": since("2026-01-01T10:00:00Z")}}),
                gone.clone(),
            ),
            (
                "stages/22.4-6",
                json!({"currentlyIn": {"s": {}}, "verifiedIn": {"s": {"longestSoak": "1h0m0s"}}}),
                gone,
            ),
            (
                "stages/22.4-7",
                json!({"currentlyIn": {"s": since("2026-01-01T10:00:00Z")}, "verifiedIn": {"s": {}}}),
                soaked("2h0m0s"),
            ),
            ("not there", json!({}), None),
        ] {
            assert_eq!(left(status), expected, "{case}");
        }
    }

    #[test]
    fn what_is_marked_is_not_marked_again() {
        let here = freight("f", json!({"currentlyIn": {"s": {"since": "2026-01-01T10:00:00Z"}}}));
        assert_eq!(enter(&here, "s", noon()), None, "stages/22.4-8");
        let fresh = freight("f", json!({}));
        let entered = enter(&fresh, "s", at("2026-01-01T12:00:00.9Z"));
        let expected = json!({"currentlyIn": {"s": {"since": "2026-01-01T12:00:00Z"}}});
        assert_eq!(entered, Some(expected.clone()), "stages/22.4-2");
        let verified = verified(&fresh, "s", noon()).unwrap_or_default();
        let mut whole = expected;
        whole["verifiedIn"] = json!({"s": {"verifiedAt": "2026-01-01T12:00:00Z"}});
        assert_eq!(both(entered, verified), whole);
    }
}
