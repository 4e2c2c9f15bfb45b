//! The Events of a Promotion (`promotions` 10). Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::{Freight, Promotion, PromotionPhase, Stage};
use kube::ResourceExt;
use serde::Serialize;

use super::status;
use crate::events::{Event, Severity};

/// What an Event tells of beside the Promotion.
pub struct Told<'a> {
    /// The Freight that was promoted, if it is known.
    pub freight: Option<&'a Freight>,
    /// The Stage; its verification decides `verification-pending`.
    pub stage: Option<&'a Stage>,
    /// The Argo CD Applications of the Promotion: (namespace, name).
    pub applications: &'a BTreeSet<(String, String)>,
    /// Who did it, where no creator is noted on the Promotion.
    pub actor: &'a str,
    /// The emitter.
    pub component: &'a str,
}

/// The Event of a Promotion that ended; none while it has not.
pub fn ended(promotion: &Promotion, told: &Told<'_>) -> Option<Event> {
    let phase = status::phase(promotion);
    let said = promotion.status.as_ref().map(|s| s.message.as_str()).unwrap_or_default();
    let (reason, word) = match phase {
        PromotionPhase::Succeeded => ("PromotionSucceeded", "Succeeded"),
        PromotionPhase::Failed => ("PromotionFailed", "Failed"),
        PromotionPhase::Errored => ("PromotionErrored", "Errored"),
        PromotionPhase::Aborted => ("PromotionAborted", "Aborted"),
        _ => return None,
    };
    let message = match (phase, said) {
        (PromotionPhase::Aborted, said) => said.to_owned(),
        (_, "") => format!("Promotion {word}"),
        (_, said) => format!("Promotion {word}: {said}"),
    };
    let mut facts = facts(promotion, told);
    if phase == PromotionPhase::Succeeded {
        let verifies = told.stage.is_some_and(|s| s.spec.verification.is_some());
        facts.insert("verification-pending", verifies.to_string());
    }
    Some(Event {
        project: promotion.namespace().unwrap_or_default(),
        kind: "Promotion",
        name: promotion.name_any(),
        uid: promotion.uid(),
        reason: reason.to_owned(),
        message,
        severity: Severity::Normal,
        facts,
        component: told.component.to_owned(),
    })
}

/// An Application as the annotation has it; the order of the keys is Go's.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// The annotations of section 10.
fn facts(promotion: &Promotion, told: &Told<'_>) -> BTreeMap<&'static str, String> {
    let annotation = |name: &str| {
        promotion.metadata.annotations.as_ref().and_then(|a| a.get(name)).filter(|v| !v.is_empty())
    };
    let mut facts = BTreeMap::from([
        ("project", promotion.namespace().unwrap_or_default()),
        ("promotion-name", promotion.name_any()),
        ("stage-name", promotion.spec.stage.clone()),
        // The creator is named even where somebody else acted: a quirk that
        // readers of the Events know.
        (
            "actor",
            annotation(api::annotations::CREATE_ACTOR)
                .map_or_else(|| told.actor.to_owned(), Clone::clone),
        ),
    ]);
    if let Some(created) = &promotion.metadata.creation_timestamp {
        facts.insert("promotion-create-time", created.0.to_string());
    }
    if annotation(api::annotations::ROLLBACK).is_some_and(|v| v == "true") {
        facts.insert("rollback", "true".to_owned());
    }
    if let Some(freight) = told.freight {
        facts.insert("freight-name", freight.name_any());
        let known = freight.discovered_at.as_ref().or(freight.metadata.creation_timestamp.as_ref());
        if let Some(at) = known {
            facts.insert("freight-create-time", at.0.to_string());
        }
        if !freight.origin.name.is_empty() {
            facts.insert("freight-warehouse-name", freight.origin.name.clone());
        }
        if !freight.alias.is_empty() {
            facts.insert("freight-alias", freight.alias.clone());
        }
        list(&mut facts, "freight-commits", &freight.commits);
        list(&mut facts, "freight-images", &freight.images);
        list(&mut facts, "freight-charts", &freight.charts);
        list(&mut facts, "freight-artifacts", &freight.artifacts);
    }
    if !told.applications.is_empty() {
        let applications: Vec<_> =
            told.applications.iter().map(|(namespace, name)| Named { namespace, name }).collect();
        list(&mut facts, "applications", &applications);
    }
    facts
}

/// Adds a list as JSON, unless it is empty.
fn list<T: Serialize>(facts: &mut BTreeMap<&'static str, String>, name: &'static str, items: &[T]) {
    if !items.is_empty()
        && let Ok(text) = api::requests::go_json(&items)
    {
        facts.insert(name, text);
    }
}
