//! Pure: the verification of what a Stage has (`stages` 12).
//!
//! A Stage without `spec.verification` is verified as soon as it is healthy.
//! AnalysisRuns are not created yet: where a Stage asks for them, its
//! verification ends in phase Error with the reference's words for a
//! controller without Argo Rollouts.

use api::{Stage, StageStatus, VerificationInfo, VerificationPhase, VerificationRequest};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::status::{self, reason, types};
use crate::clock::whole_seconds;

/// One pass over the verification of the current collection. Returns the
/// verification that ended in this pass, if one did: it is news for every
/// Freight of the collection. `id` is a new UUID, used if one begins.
pub fn verify(
    stage: &Stage,
    status: &mut StageStatus,
    id: &str,
    started: Timestamp,
    now: Timestamp,
) -> Option<VerificationInfo> {
    let generation = stage.metadata.generation.unwrap_or_default();
    let Some(collection) = status.current_collection() else {
        let message = "Stage has no current Freight to verify";
        status::set(
            status,
            types::VERIFIED,
            "Unknown",
            reason::NO_FREIGHT,
            message,
            generation,
            now,
        );
        return None;
    };
    if status.current_promotion.is_some() {
        return None;
    }
    let current = collection.current_verification().cloned();
    let next = match &current {
        Some(current) if !current.phase.is_terminal() => {
            Some(without_rollouts(stage, current, now))
        }
        Some(current)
            if !request(stage, api::annotations::REVERIFY)
                .is_some_and(|r| r.is_for(&current.id)) =>
        {
            None
        }
        _ if status.health.as_ref().is_none_or(|h| h.status != api::HealthState::Healthy) => None,
        _ => Some(begin(stage, current.as_ref(), id, started, now)),
    };
    let ended = next.filter(|v| v.phase.is_terminal());
    if let (Some(next), Some(current)) = (&ended, status.current_collection_mut()) {
        current.record_verifications([next.clone()]);
    }
    recompute(status, generation, now);
    ended
}

/// A new verification: at once successful where the Stage asks for none.
fn begin(
    stage: &Stage,
    current: Option<&VerificationInfo>,
    id: &str,
    started: Timestamp,
    now: Timestamp,
) -> VerificationInfo {
    let info = VerificationInfo {
        id: id.to_owned(),
        start_time: Some(Time(whole_seconds(started))),
        finish_time: Some(Time(whole_seconds(now))),
        ..VerificationInfo::default()
    };
    if stage.spec.verification.is_none() {
        return VerificationInfo { phase: VerificationPhase::Successful, ..info };
    }
    let request = request(stage, api::annotations::REVERIFY);
    let actor = current
        .and_then(|current| request.filter(|r| r.is_for(&current.id)))
        .map(|r| r.actor)
        .unwrap_or_default();
    VerificationInfo {
        actor,
        phase: VerificationPhase::Error,
        message: "Rollouts integration is disabled on this controller: cannot start verification"
            .to_owned(),
        ..info
    }
}

/// The end of a verification that another controller began with an
/// AnalysisRun, which this one does not read (`stages` 12.3 and 12.4).
fn without_rollouts(stage: &Stage, current: &VerificationInfo, now: Timestamp) -> VerificationInfo {
    let abort = request(stage, api::annotations::ABORT).filter(|r| r.is_for(&current.id));
    let finish_time = Some(Time(whole_seconds(now)));
    let phase = VerificationPhase::Error;
    match abort {
        Some(abort) => VerificationInfo {
            actor: abort.actor,
            phase,
            message: "Rollouts integration is disabled on this controller: cannot abort verification"
                .to_owned(),
            finish_time,
            ..current.clone()
        },
        None => VerificationInfo {
            id: current.id.clone(),
            start_time: current.start_time.clone(),
            phase,
            message: "Rollouts integration is disabled on this controller: cannot get verification result"
                .to_owned(),
            finish_time,
            ..VerificationInfo::default()
        },
    }
}

/// Verified follows from the current collection's history: one success counts
/// whatever came later (`stages` 12.1).
fn recompute(status: &mut StageStatus, generation: i64, now: Timestamp) {
    let Some(collection) = status.current_collection() else { return };
    let Some(current) = collection.current_verification().cloned() else { return };
    let succeeded =
        collection.verification_history.iter().any(|v| v.phase == VerificationPhase::Successful);
    let (state, reason, message) = if succeeded {
        ("True", reason::VERIFIED.to_owned(), "Freight has been verified".to_owned())
    } else {
        match current.phase {
            VerificationPhase::Pending => (
                "Unknown",
                "VerificationPending".to_owned(),
                "Freight is pending verification".to_owned(),
            ),
            VerificationPhase::Running => (
                "Unknown",
                "VerificationRunning".to_owned(),
                "Freight is currently being verified".to_owned(),
            ),
            phase @ (VerificationPhase::Failed
            | VerificationPhase::Error
            | VerificationPhase::Aborted) => {
                ("False", format!("Verification{phase}"), current.message.clone())
            }
            phase @ VerificationPhase::Inconclusive => {
                ("Unknown", format!("Verification{phase}"), current.message.clone())
            }
            other => {
                let message = format!("Freight verification is in an unknown phase: {other}");
                // The one condition of a regular Stage without a generation.
                let reason = reason::UNKNOWN_VERIFICATION_PHASE;
                return status::set(status, types::VERIFIED, "Unknown", reason, &message, 0, now);
            }
        }
    };
    status::set(status, types::VERIFIED, state, &reason, &message, generation, now);
}

/// When the current collection counts as verified in the Stage, which every
/// one of its Freight then records (`stages` 14).
pub fn verified_at(status: &StageStatus, now: Timestamp) -> Option<Timestamp> {
    if status.health.as_ref().is_none_or(|h| h.status != api::HealthState::Healthy) {
        return None;
    }
    let collection = status.current_collection()?;
    if collection.has_non_terminal_verification() {
        return None;
    }
    let current = collection.current_verification()?;
    (current.phase == VerificationPhase::Successful)
        .then(|| current.finish_time.as_ref().map_or(whole_seconds(now), |t| t.0))
}

/// Whether any verification of the current collection has not ended: its
/// AnalysisRun wakes the Stage then, not a timer.
pub fn is_under_way(status: &StageStatus) -> bool {
    status.current_collection().is_some_and(|c| c.has_non_terminal_verification())
}

fn request(stage: &Stage, annotation: &str) -> Option<VerificationRequest> {
    stage.annotations().get(annotation).and_then(|v| VerificationRequest::parse(v))
}

#[cfg(test)]
mod tests;
