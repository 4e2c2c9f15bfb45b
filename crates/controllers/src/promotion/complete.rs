//! What admission gives a new Promotion, given by the controller where no
//! webhook runs (house rule 11, `promotions` 2.1 and 2.2): variables and steps
//! of the Stage's template, labels, owner, and whether it holds or resumes
//! auto-promotion. Pure.
//!
//! What cannot be given afterwards is a name. It does not matter: a Stage's
//! Promotions are in the order of their making, and an annotation tells in
//! which order those of one second were seen.

use std::sync::Arc;

use ::promotion::build;
use ::promotion::inflation::{TaskKind, TaskLookup};
use api::admission::{Requester, freight_of_origin, mark_hold_or_resume};
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
/// `auto_promotion` says whether the Stage is promoted to by itself.
///
/// # Errors
/// Why it cannot be completed, for its user.
pub fn missing(
    promotion: &Promotion,
    stage: &Stage,
    tasks: &dyn TaskLookup,
    freight: &[Arc<Freight>],
    auto_promotion: bool,
    now: Timestamp,
) -> Result<Option<Value>, String> {
    // Admission sets this label on every Promotion.
    if promotion.labels().contains_key(api::labels::STAGE) {
        return Ok(None);
    }
    let available = api::availability::list(stage, freight, now);
    let candidates = api::candidates::of(stage, &available);
    let name = match (promotion.spec.freight.as_deref(), &promotion.spec.origin) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(origin)) => {
            let chosen = freight_of_origin(stage, origin, Ok(&available));
            chosen.map_err(|e| e.to_string())?.name_any()
        }
        _ => return Err("exactly one of spec.freight or spec.origin must be set".to_owned()),
    };
    let (vars, steps) = build::vars_and_steps(stage, tasks).map_err(|e| e.to_string())?;
    let mut metadata = promotion.metadata.clone();
    build::set_metadata(&mut metadata, stage);
    let chosen = freight.iter().find(|f| f.name_any() == name);
    let origin = chosen.map(|f| f.origin.clone()).unwrap_or_default();
    let is_candidate = chosen.filter(|_| auto_promotion).map(|_| {
        candidates.get(&origin.to_string()).is_some_and(|candidate| candidate.name_any() == name)
    });
    // The Stage controller labels what it makes itself, so this one is a user's.
    let a_user = Requester { username: "", control_plane: false };
    mark_hold_or_resume(&mut metadata, a_user, &origin, is_candidate);
    let mut annotations = json!(metadata.annotations);
    for key in [api::annotations::AUTO_PROMOTION_HOLD, api::annotations::AUTO_PROMOTION_RESUME] {
        if promotion.annotations().contains_key(key) && annotations.get(key).is_none() {
            annotations[key] = Value::Null;
        }
    }
    annotations[api::annotations::ORDINAL] = api::names::ordinal(now).into();
    Ok(Some(json!({
        "metadata": {
            "labels": metadata.labels,
            "annotations": annotations,
            "ownerReferences": metadata.owner_references,
            "resourceVersion": promotion.metadata.resource_version,
        },
        "spec": {"freight": name, "origin": null, "vars": vars, "steps": steps},
    })))
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
        completed_with(name, spec, steps, json!({}), false)
    }

    fn completed_with(
        name: &str,
        spec: Value,
        steps: Value,
        annotations: Value,
        auto_promotion: bool,
    ) -> Result<Option<Value>, String> {
        let mut promotion: Promotion = object("Promotion", name, json!({"spec": spec}));
        promotion.metadata.annotations = serde_json::from_value(annotations).unwrap();
        let freight: Freight =
            object("Freight", "abc1234567", json!({"origin": {"kind": "Warehouse", "name": "w"}}));
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let tasks = ::promotion::inflation::Tasks::new();
        let older: Freight =
            object("Freight", "old1234567", json!({"origin": {"kind": "Warehouse", "name": "w"}}));
        let made = |mut freight: Freight, at: &str| {
            freight.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
            Arc::new(freight)
        };
        let all = [made(freight, "2026-11-25T09:00:00Z"), made(older, "2026-11-24T09:00:00Z")];
        missing(&promotion, &stage(steps), &tasks, &all, auto_promotion, now)
    }

    #[test]
    fn what_admission_gives_is_given_afterwards() {
        let written = json!({"stage": "dev", "freight": "abc1234567", "steps": [{"uses": "mine"}]});
        let change = completed(NAME, written.clone(), json!([{"uses": "x"}])).unwrap().unwrap();
        // "promotions/admission-3" (the name stays: it does not matter), "promotions/admission-4"
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
        // "promotions/admission-5", but for the name, which stays as it was made.
        let change =
            completed_with(NAME, from_origin.clone(), json!([{"uses": "x"}]), json!({}), true);
        let annotations = change.unwrap().unwrap()["metadata"]["annotations"].clone();
        assert_eq!(annotations[api::annotations::AUTO_PROMOTION_RESUME], "Warehouse/w");

        let mut elsewhere = from_origin;
        elsewhere["origin"]["name"] = json!("v");
        for (name, spec, steps, want) in [
            // "promotions/admission-6"
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
    fn any_name_will_do() {
        let mut before = String::new();
        let written = json!({"stage": "dev", "freight": "abc1234567", "steps": [{"uses": "mine"}]});
        for name in ["promo-x7k2p", "dev.1.abc1234", "prod.01k0000000000000000000abcd.abc1234"] {
            let change = completed(name, written.clone(), json!([{"uses": "x"}])).unwrap();
            let change = change.unwrap();
            assert_eq!(change["spec"]["freight"], "abc1234567", "{name}");
            let ordinal = change["metadata"]["annotations"][api::annotations::ORDINAL].as_str();
            let ordinal = ordinal.unwrap().to_owned();
            assert!(before < ordinal, "{name}: {before}, {ordinal}");
            before = ordinal;
        }
    }

    #[test]
    fn a_users_choice_holds_or_resumes_auto_promotion() {
        use api::annotations::{AUTO_PROMOTION_HOLD as HOLD, AUTO_PROMOTION_RESUME as RESUME};
        let origin = "Warehouse/w";
        let supplied = json!({HOLD: "Warehouse/other"});
        for (id, freight, given, auto, hold, resume) in [
            ("promotions/admission-16", "old1234567", supplied.clone(), true, json!(origin), None),
            ("promotions/admission-17", "abc1234567", json!({}), true, Value::Null, Some(origin)),
            (
                "promotions/admission-17",
                "abc1234567",
                supplied.clone(),
                true,
                Value::Null,
                Some(origin),
            ),
            ("promotions/admission-19", "old1234567", supplied, false, Value::Null, None),
            ("unknown Freight", "gone", json!({}), true, Value::Null, None),
        ] {
            let spec = json!({"stage": "dev", "freight": freight, "steps": [{"uses": "x"}]});
            let steps = json!([{"uses": "x"}]);
            let change = completed_with("n", spec, steps, given, auto).unwrap().unwrap();
            let annotations = &change["metadata"]["annotations"];
            assert_eq!(annotations[HOLD], hold, "{id}");
            assert_eq!(annotations[RESUME].as_str(), resume, "{id}");
        }
    }
}
