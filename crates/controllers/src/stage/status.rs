//! Pure: a Stage's conditions and summaries (`stages` 6).

use api::{Stage, StageStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Condition types.
pub mod types {
    /// Whether the Stage is as it should be.
    pub const READY: &str = "Ready";
    /// Present while something is still being done or tried again.
    pub const RECONCILING: &str = "Reconciling";
    /// Present while a Promotion is under way.
    pub const PROMOTING: &str = "Promoting";
    /// Whether the Stage's health checks pass.
    pub const HEALTHY: &str = "Healthy";
    /// Whether what the Stage has is verified.
    pub const VERIFIED: &str = "Verified";
    /// Ours: present while Freight waits, and says why.
    pub const FREIGHT_WAITING: &str = "FreightWaiting";
    /// Ours: present, and False, while the Stage's steps name tasks that do
    /// not exist.
    pub const TASKS_FOUND: &str = "TasksFound";
}

/// Condition reasons.
pub mod reason {
    #![allow(missing_docs)]
    pub const ACTIVE_PROMOTION: &str = "ActivePromotion";
    pub const WAITING_FOR_HEALTH_CHECK: &str = "WaitingForHealthCheck";
    pub const WAITING_FOR_VERIFICATION: &str = "WaitingForVerification";
    pub const NO_FREIGHT: &str = "NoFreight";
    pub const RECONCILE_ERROR: &str = "ReconcileError";
    pub const RETRY_AFTER_ERROR: &str = "RetryAfterError";
    pub const UNHEALTHY: &str = "Unhealthy";
    pub const PENDING_VERIFICATION: &str = "PendingVerification";
    pub const VERIFIED: &str = "Verified";
    pub const UNKNOWN_VERIFICATION_PHASE: &str = "UnknownVerificationPhase";
    pub const NO_PROJECT: &str = "NoProject";
    pub const TASK_NOT_FOUND: &str = "TaskNotFound";
}

/// A text in double quotes, as messages show names.
pub fn quote(text: &str) -> String {
    format!("{text:?}")
}

/// Sets a condition by the rules of `stages` 6.1.
pub fn set(
    status: &mut StageStatus,
    type_: &str,
    state: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    crate::condition::set(&mut status.conditions, type_, state, reason, message, generation, now);
}

/// Removes a condition.
pub fn remove(status: &mut StageStatus, type_: &str) {
    crate::condition::remove(&mut status.conditions, type_);
}

/// The condition of that type.
pub fn condition<'a>(status: &'a StageStatus, type_: &str) -> Option<&'a Condition> {
    crate::condition::get(&status.conditions, type_)
}

/// Sums a pass up in Ready, freightSummary and observedGeneration
/// (`stages` 6.2, first match). `no_project` is the text for a Stage whose
/// namespace has no Project; the reference refuses such Stages at admission.
pub fn summarize(
    stage: &Stage,
    status: &mut StageStatus,
    error: Option<&str>,
    no_project: Option<&str>,
    now: Timestamp,
) {
    let generation = stage.metadata.generation.unwrap_or_default();
    if let Some(error) = error {
        set(status, types::READY, "False", reason::RECONCILE_ERROR, error, generation, now);
        set(status, types::RECONCILING, "True", reason::RETRY_AFTER_ERROR, "", generation, now);
        return;
    }
    status.freight_summary = freight_summary(stage, status);
    let not_ready = no_project
        .map(|text| (reason::NO_PROJECT.to_owned(), text.to_owned()))
        .or_else(|| why_not_ready(status));
    if let Some((reason, message)) = not_ready {
        set(status, types::READY, "False", &reason, &message, generation, now);
        return;
    }
    let (reason, message) = condition(status, types::VERIFIED)
        .map(|v| (v.reason.clone(), v.message.clone()))
        .unwrap_or_else(|| (reason::VERIFIED.to_owned(), String::new()));
    set(status, types::READY, "True", &reason, &message, generation, now);
    remove(status, types::RECONCILING);
    status.observed_generation = generation;
}

fn why_not_ready(status: &StageStatus) -> Option<(String, String)> {
    let said = |c: &Condition| Some((c.reason.clone(), c.message.clone()));
    if let Some(promoting) = condition(status, types::PROMOTING) {
        return said(promoting);
    }
    if let Some(last) = status.last_promotion.as_ref().and_then(|l| l.status.as_ref())
        && last.phase.is_terminal()
        && !last.phase.is_succeeded()
    {
        return Some((format!("LastPromotion{}", last.phase), last.message.clone()));
    }
    match condition(status, types::HEALTHY) {
        None => return Some((reason::UNHEALTHY.to_owned(), "Stage is not healthy".to_owned())),
        Some(healthy) if healthy.status != "True" => return said(healthy),
        Some(_) => {}
    }
    match condition(status, types::VERIFIED) {
        None => Some((reason::PENDING_VERIFICATION.to_owned(), "Stage is not verified".to_owned())),
        Some(verified) if verified.status != "True" => said(verified),
        Some(_) => None,
    }
}

/// What `kubectl get` shows as the current Freight (`stages` 6.2).
pub fn freight_summary(stage: &Stage, status: &StageStatus) -> String {
    let requested = stage.spec.requested_freight.len();
    let items = status.current_collection().map(|c| &c.items);
    match items {
        None => format!("0/{requested} Fulfilled"),
        Some(items) if requested == 1 && items.len() == 1 => {
            items.values().next().map(|f| f.name.clone()).unwrap_or_default()
        }
        Some(items) => format!("{}/{requested} Fulfilled", items.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use serde_json::{Value, json};

    fn condition_of(type_: &str, state: &str, reason: &str) -> Value {
        json!({
            "type": type_, "status": state, "reason": reason, "message": reason,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    fn ready(before: Value, error: Option<&str>) -> (String, StageStatus) {
        let mut status = status_of(before);
        summarize(&stage(&["w"]), &mut status, error, None, noon());
        (said(&status, types::READY).unwrap_or_default(), status)
    }

    #[test]
    fn ready_sums_everything_up() {
        let case = "stages/22.11-6";
        let mut conditions = vec![
            condition_of("Promoting", "True", "ActivePromotion"),
            condition_of("Healthy", "False", "Unhealthy"),
            condition_of("Verified", "False", "VerificationFailed"),
        ];
        let last = json!({"name": "p", "status": {"phase": "Failed", "message": "no"}});
        let all = json!({"conditions": conditions, "lastPromotion": last});
        assert_eq!(ready(all.clone(), Some("broken")).0, "False/ReconcileError", "{case}");
        assert_eq!(ready(all, None).0, "False/ActivePromotion", "{case}");
        conditions.remove(0);
        let all = json!({"conditions": conditions, "lastPromotion": last});
        assert_eq!(ready(all, None).0, "False/LastPromotionFailed", "{case}");
        assert_eq!(ready(json!({"conditions": conditions}), None).0, "False/Unhealthy", "{case}");
        conditions[0] = condition_of("Healthy", "True", "Healthy");
        assert_eq!(
            ready(json!({"conditions": conditions}), None).0,
            "False/VerificationFailed",
            "{case}"
        );
        conditions[1] = condition_of("Verified", "True", "Verified");
        conditions.push(condition_of("Reconciling", "True", "RetryAfterError"));
        let (found, status) = ready(json!({"conditions": conditions}), None);
        assert_eq!(found, "True/Verified", "{case}");
        assert_eq!(status.observed_generation, 3, "{case}");
        assert_eq!(said(&status, types::RECONCILING), None, "{case}");
        let (found, status) = ready(json!({}), None);
        assert_eq!(found, "False/Unhealthy", "{case}");
        assert_eq!(status.observed_generation, 0, "{case}");
    }

    #[test]
    fn the_summary_names_the_freight_or_counts() {
        let case = "stages/22.11-6";
        let two = stage(&["w", "v"]);
        let has =
            |items: &[(&str, &str)]| status_of(json!({"freightHistory": [collection(items)]}));
        assert_eq!(freight_summary(&two, &has(&[("w", "f")])), "1/2 Fulfilled", "{case}");
        assert_eq!(freight_summary(&two, &status_of(json!({}))), "0/2 Fulfilled", "{case}");
        assert_eq!(freight_summary(&stage(&["w"]), &has(&[("w", "f")])), "f", "{case}");
    }
}
