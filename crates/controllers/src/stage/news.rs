//! The Events of Stages (`stages` 20).

use std::collections::BTreeMap;

use api::{Freight, Promotion, VerificationInfo, VerificationPhase};
use kube::ResourceExt;

use crate::context::Settings;
use crate::events::Event;
use crate::freight::facts;

/// A verification of `freight` in `stage` ended.
pub fn verification(
    settings: &Settings,
    freight: &Freight,
    stage: &str,
    info: &VerificationInfo,
) -> Event {
    let component = settings.controller_name("stage");
    let mut known = facts(freight, stage);
    let actor =
        if info.actor.is_empty() { format!("controller:{component}") } else { info.actor.clone() };
    known.insert("actor", actor);
    for (name, time) in [
        ("verification-start-time", &info.start_time),
        ("verification-finish-time", &info.finish_time),
    ] {
        if let Some(time) = time {
            known.insert(name, time.0.to_string());
        }
    }
    if let Some(run) = &info.analysis_run {
        known.insert("analysis-run-name", run.name.clone());
    }
    let (reason, message) = match info.phase {
        VerificationPhase::Successful => ("Succeeded", "Freight verification succeeded"),
        VerificationPhase::Failed => ("Failed", info.message.as_str()),
        VerificationPhase::Error => ("Errored", info.message.as_str()),
        VerificationPhase::Aborted => ("Aborted", info.message.as_str()),
        VerificationPhase::Inconclusive => ("Inconclusive", info.message.as_str()),
        _ => ("Unknown", info.message.as_str()),
    };
    Event {
        project: freight.namespace().unwrap_or_default(),
        kind: "Freight",
        name: freight.name_any(),
        reason: format!("FreightVerification{reason}"),
        message: message.to_owned(),
        facts: known,
        component,
        ..Event::default()
    }
}

/// The Stage controller created `promotion` by itself.
pub fn promotion_created(settings: &Settings, promotion: &Promotion, freight: &Freight) -> Event {
    let component = settings.controller_name("stage");
    let stage = promotion.spec.stage.clone();
    let mut known: BTreeMap<&'static str, String> = facts(freight, &stage);
    let actor = promotion
        .annotations()
        .get(api::annotations::CREATE_ACTOR)
        .cloned()
        .unwrap_or_else(|| format!("controller:{component}"));
    known.insert("actor", actor);
    known.insert("promotion-name", promotion.name_any());
    if let Some(created) = promotion.creation_timestamp() {
        known.insert("promotion-create-time", created.0.to_string());
    }
    if promotion.annotations().get(api::annotations::ROLLBACK).map(String::as_str) == Some("true") {
        known.insert("rollback", "true".to_owned());
    }
    Event {
        project: promotion.namespace().unwrap_or_default(),
        kind: "Promotion",
        name: promotion.name_any(),
        reason: "PromotionCreated".to_owned(),
        message: format!(
            "Automatically promoted Freight from origin {:?} for Stage {stage:?}",
            freight.origin.to_string()
        ),
        facts: known,
        component,
        ..Event::default()
    }
}
