//! Ending a Promotion on request (`promotions` 5.4). Pure.

use ::promotion::engine::times;
use api::{Promotion, PromotionPhase, PromotionStatus, PromotionStepStatus};
use jiff::Timestamp;

/// The only action that means something.
const TERMINATE: &str = "terminate";

/// Who asked for the Promotion to be terminated, if somebody did; an empty
/// text where the request does not say.
pub fn requested(promotion: &Promotion) -> Option<String> {
    let annotations = promotion.metadata.annotations.as_ref()?;
    let request = api::requests::AbortRequest::parse(annotations.get(api::annotations::ABORT)?)?;
    (request.action == TERMINATE).then_some(request.actor)
}

/// The status of a Promotion that was terminated. A step at work counts as
/// Aborted; one that waits for another attempt stays as it is.
pub fn terminated(status: &PromotionStatus, actor: &str, now: Timestamp) -> PromotionStatus {
    let mut status = status.clone();
    let current = usize::try_from(status.current_step).ok();
    let is_running = status.phase == PromotionPhase::Running
        && current.and_then(|c| c.checked_add(1)) == Some(status.step_execution_metadata.len());
    if let (true, Some(entry)) = (is_running, status.step_execution_metadata.last_mut())
        && entry.status == PromotionStepStatus::Running
    {
        entry.status = PromotionStepStatus::Aborted;
        entry.finished_at = times::api(now);
    }
    status.phase = PromotionPhase::Aborted;
    status.finished_at = times::api(now);
    status.message = format!("Promotion terminated by {actor}");
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    fn status(current: i64, statuses: &[PromotionStepStatus]) -> PromotionStatus {
        PromotionStatus {
            phase: PromotionPhase::Running,
            current_step: current,
            step_execution_metadata: statuses
                .iter()
                .map(|s| api::StepExecutionMetadata { status: *s, ..Default::default() })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_request_is_read_in_both_forms() {
        for (value, want) in [
            ("terminate", Some("")),
            (r#"{"action":"terminate","actor":"admin"}"#, Some("admin")),
            (r#""terminate""#, None),
            ("true", None),
            ("other", None),
            ("", None),
        ] {
            let promotion: Promotion = serde_json::from_value(json!({
                "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Promotion",
                "metadata": {"annotations": {"kargo.akuity.io/abort": value}},
                "spec": {"stage": "s", "freight": "f", "steps": [{"uses": "x"}]},
            }))
            .unwrap();
            assert_eq!(requested(&promotion).as_deref(), want, "{value}");
        }
    }

    #[test]
    fn only_a_step_at_work_is_aborted() {
        use PromotionStepStatus::{Aborted, Errored, Running, Succeeded};
        for (name, status, want) in [
            ("at work", status(1, &[Succeeded, Running]), vec![Succeeded, Aborted]),
            (
                "waits for another attempt",
                status(1, &[Succeeded, Errored]),
                vec![Succeeded, Errored],
            ),
            ("not the current one", status(0, &[Succeeded, Running]), vec![Succeeded, Running]),
        ] {
            let after = terminated(&status, "me", now());
            assert_eq!(after.phase, PromotionPhase::Aborted, "{name}");
            assert_eq!(after.message, "Promotion terminated by me", "{name}");
            let got: Vec<_> = after.step_execution_metadata.iter().map(|e| e.status).collect();
            assert_eq!(got, want, "{name}");
        }
        let pending = PromotionStatus { phase: PromotionPhase::Pending, ..status(0, &[Running]) };
        let after = terminated(&pending, "me", now());
        assert_eq!(after.step_execution_metadata[0].status, Running, "not running, not touched");
    }
}
