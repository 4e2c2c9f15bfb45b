//! Pure: which Promotion is the Stage's current one, and what the finished
//! ones change (`stages` 7), with the holds they leave behind (8).

use std::collections::BTreeMap;
use std::sync::Arc;

use api::promotions::{Place, follows, place, place_of_last};
use api::{
    AutoPromotionHold, FreightOrigin, FreightReference, Promotion, PromotionReference, Stage,
    StageStatus,
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::status::{self, quote, reason, types};

/// What a look at the Stage's Promotions came to.
#[derive(Debug, Default)]
pub struct Synced {
    /// Whether any Promotion of the Stage has not ended.
    pub has_non_terminal: bool,
    /// The Promotions that were folded in as Succeeded, oldest first: each sets
    /// the Stage's argocd-context annotation.
    pub succeeded: Vec<Arc<Promotion>>,
}

/// Sorts a Stage's Promotions: the one that runs or may run next is the first
/// (`stages` 7, order O).
pub fn in_order(promotions: &[Arc<Promotion>]) -> Vec<Arc<Promotion>> {
    let mut sorted = promotions.to_vec();
    sorted.sort_by(|a, b| api::promotions::compare(a, b));
    sorted
}

/// The place of the last Promotion that was folded in, if there is one: what
/// stands after it is new.
pub fn last_place(promotions: &[Arc<Promotion>], status: &StageStatus) -> Option<Place> {
    let last = status.last_promotion.as_ref()?;
    Some(place_of_last(last, promotions.iter().map(AsRef::as_ref)))
}

/// What [`sync`] must know beside the Stage and its Promotions.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Whether the Stage is promoted to by itself.
    pub auto_promotion: bool,
    /// Whether new Promotions are let through at all (they are not without a
    /// Project).
    pub may_start: bool,
    /// The Freight of that name, if it is known.
    pub freight: &'a dyn Fn(&str) -> Option<FreightReference>,
}

/// Folds finished Promotions into `status` and decides which Promotion is the
/// current one.
///
/// The current one is said to be Running from the start: being current is
/// what lets it run, and the Stage need not be written again when it does.
pub fn sync(
    stage: &Stage,
    promotions: &[Arc<Promotion>],
    given: Given<'_>,
    status: &mut StageStatus,
    now: Timestamp,
) -> Synced {
    let Given { auto_promotion, may_start, freight } = given;
    let generation = stage.metadata.generation.unwrap_or_default();
    tidy_holds(stage, auto_promotion, status);
    let order = in_order(promotions);
    let Some(first) = order.first() else {
        status::remove(status, types::PROMOTING);
        status.current_promotion = None;
        return Synced::default();
    };
    let has_non_terminal = order.iter().any(|p| !is_terminal(p));
    let mut synced = Synced { has_non_terminal, succeeded: Vec::new() };

    let ended = status
        .current_promotion
        .as_ref()
        .is_some_and(|current| current.name != first.name_any() || is_terminal(first));
    if ended {
        status::remove(status, types::PROMOTING);
        status.current_promotion = None;
        for promotion in not_yet_folded(&order, status) {
            fold(stage, &promotion, auto_promotion, status, generation, now);
            if phase(&promotion).is_succeeded() {
                synced.succeeded.push(promotion);
            }
        }
        return synced;
    }
    if !is_terminal(first) && may_start && verification_lets_through(status) {
        let message = format!(
            "Promotion {} is currently {}",
            quote(&first.name_any()),
            api::PromotionPhase::Running
        );
        status::set(
            status,
            types::PROMOTING,
            "True",
            reason::ACTIVE_PROMOTION,
            &message,
            generation,
            now,
        );
        status.current_promotion = Some(PromotionReference {
            name: first.name_any(),
            freight: first
                .status
                .as_ref()
                .and_then(|s| s.freight.clone())
                .or_else(|| freight(first.spec.freight.as_deref()?)),
            ..PromotionReference::default()
        });
        return synced;
    }
    status::remove(status, types::PROMOTING);
    synced
}

/// Whether the verification of what the Stage has lets the next Promotion
/// start (`stages` 7 step 5).
pub fn verification_lets_through(status: &StageStatus) -> bool {
    let Some(current) = status.current_collection() else { return true };
    if current.has_non_terminal_verification() {
        return false;
    }
    let unassessed_or_healthy =
        status.health.as_ref().is_none_or(|h| h.status == api::HealthState::Healthy);
    let verified = current.current_verification().is_some_and(|v| v.phase.is_terminal());
    verified || !unassessed_or_healthy
}

/// Terminal Promotions that are newer than the last one that was folded in,
/// oldest first.
fn not_yet_folded(order: &[Arc<Promotion>], status: &StageStatus) -> Vec<Arc<Promotion>> {
    let last = last_place(order, status);
    let mut new: Vec<Arc<Promotion>> = order
        .iter()
        .filter(|p| is_terminal(p) && last.as_ref().is_none_or(|last| follows(p, last)))
        .cloned()
        .collect();
    new.sort_by_key(|p| place(p));
    new
}

fn fold(
    stage: &Stage,
    promotion: &Promotion,
    auto_promotion: bool,
    status: &mut StageStatus,
    generation: i64,
    now: Timestamp,
) {
    if auto_promotion && !phase(promotion).is_aborted() {
        match intent(stage, promotion) {
            Some(Intent::Hold(key, hold)) => {
                status.auto_promotion_holds.insert(key, hold);
            }
            Some(Intent::Resume(key)) => {
                status.auto_promotion_holds.remove(&key);
            }
            None => {}
        }
    }
    let mut copy = promotion.status.clone().unwrap_or_default();
    if copy.started_at.is_none()
        && copy.freight_collection.is_none()
        && let Some(before) = status.last_promotion.as_ref().and_then(|l| l.status.as_ref())
    {
        // One that was aborted before it began must not make the Stage forget
        // what it has from other origins.
        copy.freight_collection.clone_from(&before.freight_collection);
    }
    let collection = copy.freight_collection.clone();
    status.last_promotion = Some(PromotionReference {
        name: promotion.name_any(),
        freight: copy.freight.clone(),
        finished_at: copy.finished_at.clone(),
        status: Some(copy),
    });
    if !phase(promotion).is_succeeded() {
        return;
    }
    if let Some(collection) = collection {
        status.record(collection);
    }
    status.health = None;
    status::set(
        status,
        types::HEALTHY,
        "Unknown",
        reason::WAITING_FOR_HEALTH_CHECK,
        "Waiting for health check to be performed after successful promotion",
        generation,
        now,
    );
    status::set(
        status,
        types::VERIFIED,
        "Unknown",
        reason::WAITING_FOR_VERIFICATION,
        "Waiting for verification to be performed after successful promotion",
        generation,
        now,
    );
}

/// What a Promotion says about further auto-promotion from an origin.
#[derive(Debug, PartialEq)]
enum Intent {
    /// Stay with this Freight.
    Hold(String, AutoPromotionHold),
    /// Go on.
    Resume(String),
}

/// A Promotion's intent (`stages` 8.2): a hold for an origin that the Stage
/// does not request is ignored, and then a resume is not looked at.
fn intent(stage: &Stage, promotion: &Promotion) -> Option<Intent> {
    let annotations = promotion.annotations();
    let text = |name: &str| annotations.get(name).filter(|v| !v.is_empty());
    if let Some(key) = text(api::annotations::AUTO_PROMOTION_HOLD) {
        let origin = requested(stage, key)?;
        return Some(Intent::Hold(key.clone(), hold(promotion, origin)));
    }
    text(api::annotations::AUTO_PROMOTION_RESUME).map(|key| Intent::Resume(key.clone()))
}

fn hold(promotion: &Promotion, origin: FreightOrigin) -> AutoPromotionHold {
    AutoPromotionHold {
        freight_name: promotion.spec.freight.clone().unwrap_or_default(),
        origin,
        promotion_name: promotion.name_any(),
        actor: promotion
            .annotations()
            .get(api::annotations::CREATE_ACTOR)
            .cloned()
            .unwrap_or_default(),
        created_at: promotion.metadata.creation_timestamp.clone(),
    }
}

fn requested(stage: &Stage, key: &str) -> Option<FreightOrigin> {
    stage.spec.requested_freight.iter().map(|r| &r.origin).find(|o| o.to_string() == key).cloned()
}

/// Holds are kept only while auto-promotion is on, and only for origins that
/// are requested (`stages` 7 step 2).
fn tidy_holds(stage: &Stage, auto_promotion: bool, status: &mut StageStatus) {
    if !auto_promotion {
        status.auto_promotion_holds.clear();
        return;
    }
    status.auto_promotion_holds.retain(|key, _| requested(stage, key).is_some());
}

/// The holds that count now: the durable ones overlaid with what Promotions
/// newer than the last folded one intend (`stages` 8.3).
pub fn effective_holds(
    stage: &Stage,
    promotions: &[Arc<Promotion>],
    auto_promotion: bool,
    status: &StageStatus,
) -> BTreeMap<String, AutoPromotionHold> {
    if !auto_promotion {
        return BTreeMap::new();
    }
    let mut holds = status.auto_promotion_holds.clone();
    let last = last_place(promotions, status);
    for request in &stage.spec.requested_freight {
        let key = request.origin.to_string();
        let newest = promotions
            .iter()
            .filter(|p| !phase(p).is_aborted())
            .filter(|p| last.as_ref().is_none_or(|last| follows(p, last)))
            .filter(|p| {
                let annotations = p.annotations();
                annotations.get(api::annotations::AUTO_PROMOTION_HOLD) == Some(&key)
                    || annotations.get(api::annotations::AUTO_PROMOTION_RESUME) == Some(&key)
            })
            .max_by_key(|p| place(p));
        match newest {
            Some(p) if p.annotations().get(api::annotations::AUTO_PROMOTION_HOLD) == Some(&key) => {
                holds.insert(key, hold(p, request.origin.clone()));
            }
            Some(_) => {
                holds.remove(&key);
            }
            None => {}
        }
    }
    holds
}

/// A Promotion's phase; empty for one that nobody looked at yet.
pub fn phase(promotion: &Promotion) -> api::PromotionPhase {
    promotion.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Whether a Promotion has ended.
pub fn is_terminal(promotion: &Promotion) -> bool {
    phase(promotion).is_terminal()
}

#[cfg(test)]
mod tests;
