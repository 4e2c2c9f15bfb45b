//! Pure: which Freight to promote next, and why not (`stages` 16).

use std::sync::Arc;

use api::promotions::{follows, place};
use api::{Freight, FreightOrigin, Promotion, Stage, StageStatus};
use kube::ResourceExt;

use super::promotions::{is_terminal, last_place, phase};
use super::status::quote;

/// What is to be done about one requested origin.
#[derive(Debug)]
pub struct Decision {
    /// The origin.
    pub origin: FreightOrigin,
    /// Its candidate, if there is one.
    pub freight: Option<Arc<Freight>>,
    /// Promote it, or why not.
    pub verdict: Verdict,
}

/// Promote, or why not. In the order of `stages` 16.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Create a Promotion.
    Promote,
    /// A user chose other Freight; it stays until somebody promotes the
    /// candidate.
    Held {
        /// The Freight that was chosen.
        freight: String,
        /// The Promotion by which it was chosen.
        promotion: String,
    },
    /// Nothing is available.
    NothingAvailable,
    /// The upstream Stage has more than one: it is between two Promotions.
    Ambiguous,
    /// The Stage has it.
    Current,
    /// The Stage is being promoted to it.
    Promoting,
    /// The Stage selects Targets: it is promoted to with PromotionRequests.
    TargetAware,
    /// A Promotion for it is waiting or running, or has just ended.
    Pending(String),
    /// The last Promotion for it did not succeed; it is not tried again by
    /// itself.
    Failed {
        /// That Promotion.
        promotion: String,
        /// How it ended.
        phase: String,
    },
}

/// Decides for every requested origin, in the order of the spec. `available`
/// is the Freight that the Stage may be promoted to (`stages` 15).
pub fn decide(
    stage: &Stage,
    status: &StageStatus,
    available: &[Arc<Freight>],
    promotions: &[Arc<Promotion>],
) -> Vec<Decision> {
    let candidates = api::candidates::of(stage, available);
    stage
        .spec
        .requested_freight
        .iter()
        .map(|request| {
            let origin = request.origin.clone();
            let key = origin.to_string();
            let candidate = candidates.get(&key).cloned();
            let verdict = match &candidate {
                _ if status.effective_auto_promotion_holds.contains_key(&key) => {
                    let hold = status.effective_auto_promotion_holds.get(&key);
                    Verdict::Held {
                        freight: hold.map(|h| h.freight_name.clone()).unwrap_or_default(),
                        promotion: hold.map(|h| h.promotion_name.clone()).unwrap_or_default(),
                    }
                }
                None if available.iter().any(|f| f.origin == origin) => Verdict::Ambiguous,
                None => Verdict::NothingAvailable,
                Some(freight) => judge(stage, status, &key, freight, promotions),
            };
            Decision { origin, freight: candidate, verdict }
        })
        .collect()
}

fn judge(
    stage: &Stage,
    status: &StageStatus,
    key: &str,
    candidate: &Freight,
    promotions: &[Arc<Promotion>],
) -> Verdict {
    let name = candidate.name_any();
    let current = status.current_collection().and_then(|c| c.items.get(key));
    if current.is_some_and(|f| f.name == name) {
        return Verdict::Current;
    }
    let promoting = status.current_promotion.as_ref().and_then(|p| p.freight.as_ref());
    if promoting.is_some_and(|f| f.name == name && f.origin == candidate.origin) {
        return Verdict::Promoting;
    }
    if stage.spec.targets.is_some() {
        return Verdict::TargetAware;
    }
    let mut same: Vec<&Arc<Promotion>> =
        promotions.iter().filter(|p| p.spec.freight.as_deref() == Some(name.as_str())).collect();
    let last = last_place(promotions, status);
    let unfolded = |p: &Promotion| {
        !is_terminal(p)
            || (phase(p).is_succeeded() && last.as_ref().is_none_or(|last| follows(p, last)))
    };
    if let Some(pending) = same.iter().find(|p| unfolded(p)) {
        return Verdict::Pending(pending.name_any());
    }
    same.sort_by_key(|p| place(p));
    match same.last() {
        Some(newest) if !phase(newest).is_succeeded() => {
            Verdict::Failed { promotion: newest.name_any(), phase: phase(newest).to_string() }
        }
        _ => Verdict::Promote,
    }
}

/// Why nothing is promoted by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is on.
    On,
    /// The namespace has no Project.
    NoProject,
    /// No policy matches the Stage; says whether there is a ProjectConfig.
    NoPolicy {
        /// Whether the Project has a ProjectConfig.
        config: bool,
    },
    /// A policy matches and says no.
    Off,
}

/// The text for a Stage in a namespace without a Project.
pub fn no_project(namespace: &str) -> String {
    format!(
        "nothing is promoted here: there is no Project {0}. A Stage belongs to the Project of its namespace's name; create a Project named {0}",
        quote(namespace)
    )
}

/// Why Freight waits, as reason and message of the condition FreightWaiting;
/// none when no Freight waits.
pub fn why_waiting(
    stage: &Stage,
    switch: &Switch,
    decisions: &[Decision],
) -> Option<(&'static str, String)> {
    let namespace = stage.namespace().unwrap_or_default();
    let name = stage.name_any();
    let mut first = None;
    let mut said = Vec::new();
    for decision in decisions {
        let Some((reason, why)) = waits(decision, switch, &namespace, &name) else { continue };
        first.get_or_insert(reason);
        let what = match &decision.freight {
            Some(freight) => {
                format!("Freight {} from {}", quote(&describe(freight)), decision.origin)
            }
            None => format!("Freight from {}", decision.origin),
        };
        said.push(format!("{what} waits: {why}"));
    }
    first.map(|reason| (reason, said.join("; ")))
}

fn waits(
    decision: &Decision,
    switch: &Switch,
    namespace: &str,
    stage: &str,
) -> Option<(&'static str, String)> {
    let would = match &decision.verdict {
        Verdict::Promote => None,
        Verdict::Held { freight, promotion } => Some((
            "Held",
            format!(
                "a user chose Freight {} (Promotion {}); promote to the newest Freight to resume auto-promotion",
                quote(freight),
                quote(promotion)
            ),
        )),
        Verdict::Ambiguous => Some((
            "UpstreamChanging",
            "the upstream Stage is between two pieces of Freight".to_owned(),
        )),
        Verdict::Failed { promotion, phase } => Some((
            "LastPromotionUnsuccessful",
            format!(
                "Promotion {} to it ended {phase} and is not repeated by itself; see its status, then create another Promotion to the same Freight",
                quote(promotion)
            ),
        )),
        Verdict::NothingAvailable
        | Verdict::Current
        | Verdict::Promoting
        | Verdict::Pending(_)
        | Verdict::TargetAware => return None,
    };
    match switch {
        Switch::On => would,
        Switch::NoProject => Some(("NoProject", no_project(namespace))),
        // Without auto-promotion there is nothing to hold or to repeat.
        Switch::NoPolicy { .. } | Switch::Off if decision.freight.is_none() => None,
        Switch::NoPolicy { config } => {
            let missing = if *config {
                format!("no promotion policy of ProjectConfig {} matches", quote(namespace))
            } else {
                format!("Project {} has no ProjectConfig", quote(namespace))
            };
            Some((
                "NoPolicy",
                format!(
                    "auto-promotion is not enabled for Stage {0}: {missing}. Create a Promotion, or put {{stageSelector: {{name: {stage}}}, autoPromotionEnabled: true}} into spec.promotionPolicies of ProjectConfig {1}",
                    quote(stage),
                    quote(namespace)
                ),
            ))
        }
        Switch::Off => Some((
            "AutoPromotionDisabled",
            format!(
                "a promotion policy of Project {} switches auto-promotion off for Stage {}; create a Promotion",
                quote(namespace),
                quote(stage)
            ),
        )),
    }
}

/// The Freight's alias, or its name; people know it by the first.
fn describe(freight: &Freight) -> String {
    let name = freight.name_any();
    if freight.alias.is_empty() {
        name
    } else {
        format!("{} ({})", freight.alias, name.get(..7).unwrap_or(&name))
    }
}

#[cfg(test)]
mod tests;
