//! What admission gives a new Promotion, given by the controller where no
//! webhook runs (house rule 11, `promotions` 2.1): variables and steps of the
//! Stage's template, labels, owner. Pure.
//!
//! What cannot be given afterwards is the name, by which a Stage's Promotions
//! are in order; one that does not fit ends the Promotion with the name that
//! would.

use std::sync::Arc;

use ::promotion::build;
use ::promotion::inflation::{TaskKind, TaskLookup};
use api::{Freight, Promotion, PromotionTaskSpec, Stage};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::context::Stores;
use crate::store::Key;

/// The tasks that Promotions of a namespace may use, from the stores.
pub struct Tasks<'a> {
    stores: &'a Stores,
    namespace: &'a str,
}

impl<'a> Tasks<'a> {
    /// The tasks of `namespace`, and those of the cluster.
    pub fn of(stores: &'a Stores, namespace: &'a str) -> Self {
        Self { stores, namespace }
    }
}

impl TaskLookup for Tasks<'_> {
    fn task(&self, kind: TaskKind, name: &str) -> Option<PromotionTaskSpec> {
        match kind {
            TaskKind::PromotionTask => {
                let key = Key::new(self.namespace, name);
                self.stores.promotion_tasks.get(&key).map(|t| t.spec.clone())
            }
            TaskKind::ClusterPromotionTask => {
                let key = Key::cluster(name);
                self.stores.cluster_promotion_tasks.get(&key).map(|t| t.spec.clone())
            }
        }
    }

    fn names(&self, kind: TaskKind) -> Vec<String> {
        match kind {
            TaskKind::PromotionTask => {
                let tasks = self.stores.promotion_tasks.in_namespace(self.namespace);
                tasks.iter().map(|t| t.name_any()).collect()
            }
            TaskKind::ClusterPromotionTask => {
                let tasks = self.stores.cluster_promotion_tasks.all();
                tasks.iter().map(|t| t.name_any()).collect()
            }
        }
    }
}

/// The merge patch that completes the Promotion; none where admission did.
///
/// # Errors
/// Why it cannot be completed, for its user.
pub fn missing(
    promotion: &Promotion,
    stage: &Stage,
    tasks: &dyn TaskLookup,
    freight: &[Arc<Freight>],
    now: Timestamp,
) -> Result<Option<Value>, String> {
    // Admission sets this label on every Promotion.
    if promotion.labels().contains_key(api::labels::STAGE) {
        return Ok(None);
    }
    let freight = match (promotion.spec.freight.as_deref(), &promotion.spec.origin) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(origin)) => {
            let available = api::availability::list(stage, freight, now);
            let candidates = api::candidates::of(stage, &available);
            let candidate = candidates.get(&origin.to_string()).ok_or_else(|| {
                format!(
                    "no auto-promotion candidate found for origin {:?} on Stage {:?}",
                    origin.to_string(),
                    stage.name_any()
                )
            })?;
            candidate.name_any()
        }
        _ => return Err("exactly one of spec.freight or spec.origin must be set".to_owned()),
    };
    let name = promotion.name_any();
    let wanted = api::names::promotion(&stage.name_any(), &freight, now);
    if !fits(&name, &wanted) {
        return Err(format!(
            "the name {name:?} gives this Promotion no place among those of Stage {:?}, and no \
             admission webhook has named it; create it again with the name {wanted:?}",
            stage.name_any()
        ));
    }
    let (vars, steps) = build::vars_and_steps(stage, tasks).map_err(|e| e.to_string())?;
    let mut metadata = promotion.metadata.clone();
    build::set_metadata(&mut metadata, stage);
    Ok(Some(json!({
        "metadata": {
            "labels": metadata.labels,
            "annotations": metadata.annotations,
            "ownerReferences": metadata.owner_references,
            "resourceVersion": promotion.metadata.resource_version,
        },
        "spec": {"freight": freight, "origin": null, "vars": vars, "steps": steps},
    })))
}

/// Whether the name is built like the one that admission would give:
/// `<stage>.<ulid>.<freight>`.
fn fits(name: &str, wanted: &str) -> bool {
    let parts = |name: &str| -> Option<(String, String, String)> {
        let (rest, freight) = name.rsplit_once('.')?;
        let (stage, ulid) = rest.rsplit_once('.')?;
        Some((stage.to_owned(), ulid.to_owned(), freight.to_owned()))
    };
    let (Some(has), Some(wants)) = (parts(name), parts(wanted)) else { return false };
    let is_ulid = has.1.len() == 26
        && has
            .1
            .bytes()
            .all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)));
    has.0 == wants.0 && is_ulid && has.2 == wants.2
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "dev.01k0000000000000000000abcd.abc1234";

    fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str, rest: Value) -> T {
        let mut object = json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": kind,
            "metadata": {"namespace": "p", "name": name, "uid": "u"},
        });
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn stage(steps: Value) -> Stage {
        object(
            "Stage",
            "dev",
            json!({"spec": {
                "vars": [{"name": "a", "value": "1"}],
                "requestedFreight": [
                    {"origin": {"kind": "Warehouse", "name": "w"}, "sources": {"direct": true}}],
                "promotionTemplate": {"spec": {"vars": [{"name": "a", "value": "2"}], "steps": steps}},
            }}),
        )
    }

    fn completed(name: &str, spec: Value, steps: Value) -> Result<Option<Value>, String> {
        let promotion: Promotion = object("Promotion", name, json!({"spec": spec}));
        let freight: Freight =
            object("Freight", "abc1234567", json!({"origin": {"kind": "Warehouse", "name": "w"}}));
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let tasks = ::promotion::inflation::Tasks::new();
        missing(&promotion, &stage(steps), &tasks, &[Arc::new(freight)], now)
    }

    #[test]
    fn what_admission_gives_is_given_afterwards() {
        let written = json!({"stage": "dev", "freight": "abc1234567", "steps": [{"uses": "mine"}]});
        let change = completed(NAME, written.clone(), json!([{"uses": "x"}])).unwrap().unwrap();
        assert_eq!(change["spec"]["steps"], json!([{"uses": "x", "as": "step-1"}]));
        assert_eq!(
            change["spec"]["vars"],
            json!([{"name": "a", "value": "1"}, {"name": "a", "value": "2"}])
        );
        assert_eq!(change["metadata"]["ownerReferences"][0]["kind"], "Stage");

        let from_origin = json!({
            "stage": "dev", "origin": {"kind": "Warehouse", "name": "w"}, "steps": [{"uses": "x"}]});
        let change = completed(NAME, from_origin.clone(), json!([{"uses": "x"}])).unwrap().unwrap();
        assert_eq!(change["spec"]["freight"], "abc1234567");
        assert!(change["spec"]["origin"].is_null());

        let mut elsewhere = from_origin;
        elsewhere["origin"]["name"] = json!("v");
        for (name, spec, steps, want) in [
            (
                "promo-x7k2p",
                &written,
                json!([{"uses": "x"}]),
                "create it again with the name \"dev.",
            ),
            (
                NAME,
                &elsewhere,
                json!([{"uses": "x"}]),
                "no auto-promotion candidate found for origin \"Warehouse/v\" on Stage \"dev\"",
            ),
            (
                NAME,
                &written,
                json!([]),
                "Stage \"dev\" in namespace \"p\" defines no promotion steps",
            ),
            (
                NAME,
                &written,
                json!([{"task": {"name": "promote-image"}}]),
                "failed to inflate Promotion steps: inflate task steps for task \"promote-image\" \
                 (\"task-1\"): promotiontasks.kargo.akuity.io \"promote-image\" not found",
            ),
        ] {
            let error = completed(name, spec.clone(), steps).unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
        }
    }

    #[test]
    fn a_name_must_be_in_order() {
        let wanted = "dev.01j000000000000000000000zz.abc1234";
        for (name, want) in [
            ("dev.01k0000000000000000000abcd.abc1234", true),
            ("dev.01k0000000000000000000abcd.other12", false),
            ("prod.01k0000000000000000000abcd.abc1234", false),
            ("dev.01k0000000000000000000abcu.abc1234", false),
            ("promo-x7k2p", false),
            ("dev.1.abc1234", false),
        ] {
            assert_eq!(fits(name, wanted), want, "{name}");
        }
    }
}
