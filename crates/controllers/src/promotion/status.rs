//! How a pass's outcome becomes a status, and when a Promotion is woken.
//! Pure.

use ::promotion::engine::{Outcome, times};
use api::{Promotion, PromotionPhase, PromotionStatus};
use jiff::Timestamp;

use super::abort;

/// The Promotion's phase.
pub fn phase(promotion: &Promotion) -> PromotionPhase {
    promotion.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// The value of the Promotion's refresh annotation, if it has one.
pub fn refresh(promotion: &Promotion) -> Option<&str> {
    let annotations = promotion.metadata.annotations.as_ref()?;
    annotations.get(api::annotations::REFRESH).map(String::as_str).filter(|v| !v.is_empty())
}

/// Whether an update wakes the Promotion (`promotions` 5.1): its spec changed,
/// or somebody asks for a refresh or an abort.
pub fn is_woken(old: &Promotion, new: &Promotion) -> bool {
    old.metadata.generation != new.metadata.generation
        || (refresh(new).is_some() && refresh(old) != refresh(new))
        || (abort::requested(new).is_some() && abort::requested(old).is_none())
        || (new.metadata.deletion_timestamp.is_some() && old.metadata.deletion_timestamp.is_none())
}

/// The status to write after a pass (`promotions` 5.2 steps 11 to 13); none
/// where the pass was cut short.
pub fn after(outcome: &Outcome, refresh: Option<&str>, now: Timestamp) -> Option<PromotionStatus> {
    let mut status = match outcome {
        Outcome::Finished(status) | Outcome::Waiting { status, .. } => status.clone(),
        Outcome::Interrupted(_) => return None,
    };
    if status.phase.is_terminal() {
        status.finished_at = times::api(now);
    }
    if let Some(token) = refresh {
        status.last_handled_refresh = token.to_owned();
    }
    Some(status)
}

/// A status that ends the Promotion as Errored.
pub fn errored(status: &PromotionStatus, message: impl Into<String>) -> PromotionStatus {
    PromotionStatus { phase: PromotionPhase::Errored, message: message.into(), ..status.clone() }
}

/// Who asked for the Promotion, without the prefix (`promotions` 6.1).
pub fn actor(promotion: &Promotion) -> &str {
    let annotations = promotion.metadata.annotations.as_ref();
    let value = annotations.and_then(|a| a.get(api::annotations::CREATE_ACTOR));
    match value.map(String::as_str).unwrap_or_default() {
        "unknown actor" => "",
        value => value.split_once(':').map_or(value, |(_, name)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn promotion(annotations: Value) -> Promotion {
        serde_json::from_value(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Promotion",
            "metadata": {"generation": 1, "annotations": annotations},
            "spec": {"stage": "s", "freight": "f", "steps": [{"uses": "x"}]},
        }))
        .unwrap()
    }

    #[test]
    fn who_asked() {
        for (value, want) in [
            ("email:a@b", "a@b"),
            ("admin", "admin"),
            ("kubernetes:system:serviceaccount:ns:x", "system:serviceaccount:ns:x"),
            ("unknown actor", ""),
        ] {
            let promotion = promotion(json!({"kargo.akuity.io/create-actor": value}));
            assert_eq!(actor(&promotion), want);
        }
        assert_eq!(actor(&promotion(json!({}))), "");
    }

    #[test]
    fn what_wakes() {
        let none = promotion(json!({}));
        let refreshed = |t: &str| promotion(json!({"kargo.akuity.io/refresh": t}));
        let aborted = promotion(json!({"kargo.akuity.io/abort": "terminate"}));
        let mut changed = none.clone();
        changed.metadata.generation = Some(2);
        for (name, old, new, want) in [
            ("nothing", &none, &none, false),
            ("generation", &none, &changed, true),
            ("refresh", &none, &refreshed("a"), true),
            ("another refresh", &refreshed("a"), &refreshed("b"), true),
            ("the same refresh", &refreshed("a"), &refreshed("a"), false),
            ("refresh removed", &refreshed("a"), &none, false),
            ("abort", &none, &aborted, true),
            ("the same abort", &aborted, &aborted, false),
            ("no abort", &none, &promotion(json!({"kargo.akuity.io/abort": "null"})), false),
        ] {
            assert_eq!(is_woken(old, new), want, "{name}");
        }
    }
}
