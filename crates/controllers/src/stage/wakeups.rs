//! Pure: which Stages a change concerns (`stages` 3).
//!
//! More than the reference: changes of the Project, its ProjectConfig,
//! Warehouses that come, and tasks that come or go count too, so that nobody
//! waits five minutes for them (`stages` 3.1 lists what it does not watch).

use std::collections::BTreeSet;
use std::sync::Arc;

use ::promotion::argocd::application::Application;
use ::promotion::argocd::wakeups::concerned_stages;
use api::{Freight, Promotion, Stage, VerificationRequest};
use kube::{Resource, ResourceExt};

use super::promotions::{is_terminal, phase};
use crate::context::{BY_DIRECT_WAREHOUSE, BY_UPSTREAM, Stores};
use crate::store::{Change, Key};

/// A Stage was written: by its owner, or a request was put on it. Writes of
/// its status concern nobody.
pub fn of_stage(change: &Change<Stage>) -> Option<Key> {
    let wakes = match change {
        Change::Added(_) => true,
        Change::Updated { old, new } => {
            old.metadata.generation != new.metadata.generation
                || (old.metadata.deletion_timestamp.is_none()
                    && new.metadata.deletion_timestamp.is_some())
                || old.labels().get(api::labels::SHARD) != new.labels().get(api::labels::SHARD)
                || refresh_requested(old.as_ref(), new.as_ref())
                || verification_requested(old, new, api::annotations::REVERIFY)
                || verification_requested(old, new, api::annotations::ABORT)
        }
        Change::Deleted(_) => false,
    };
    wakes.then(|| Key::of(change.object().as_ref()))
}

/// Whether the refresh annotation is new or has another value.
pub fn refresh_requested<K: Resource>(old: &K, new: &K) -> bool {
    let token = |o: &K| o.meta().annotations.as_ref()?.get(api::annotations::REFRESH).cloned();
    token(new).is_some() && token(old) != token(new)
}

fn verification_requested(old: &Stage, new: &Stage, annotation: &str) -> bool {
    let id = |s: &Stage| {
        let value = s.annotations().get(annotation)?;
        VerificationRequest::parse(value).map(|r| r.id)
    };
    id(new).is_some() && id(old) != id(new)
}

/// A Promotion came, went, or reached another phase.
pub fn of_promotion(change: &Change<Promotion>) -> Option<Key> {
    let promotion = change.object();
    let wakes = match change {
        // The reference waits until the Promotion controller has set Pending.
        Change::Added(promotion) => !is_terminal(promotion),
        Change::Updated { old, new } => phase(old) != phase(new),
        Change::Deleted(old) => !is_terminal(old),
    };
    wakes.then(|| Key::new(promotion.namespace().unwrap_or_default(), &promotion.spec.stage))
}

/// Freight came, or was verified, approved or taken somewhere.
pub fn of_freight(change: &Change<Freight>, stores: &Stores) -> BTreeSet<Key> {
    let freight = change.object();
    let namespace = freight.namespace().unwrap_or_default();
    let key = |name: &str| Key::new(&namespace, name);
    let mut concerned = BTreeSet::new();
    match change {
        Change::Added(freight) => {
            let warehouse = key(&freight.origin.name);
            concerned.extend(stores.stages.by(BY_DIRECT_WAREHOUSE, &warehouse).iter().map(key_of));
        }
        Change::Updated { old, new } => {
            for upstream in newly_passing(old, new) {
                let downstream = stores.stages.by(BY_UPSTREAM, &key(&upstream));
                concerned.extend(downstream.iter().map(key_of));
            }
            let approved = new.status.iter().flat_map(|s| s.approved_for.keys());
            concerned.extend(approved.filter(|s| !old.is_approved_for(s)).map(|s| key(s)));
        }
        Change::Deleted(_) => {}
    }
    concerned
}

/// Stages that newly verified the Freight, or newly have it while it is
/// verified there.
fn newly_passing(old: &Freight, new: &Freight) -> BTreeSet<String> {
    let verified = new.status.iter().flat_map(|s| s.verified_in.keys());
    let entered = new.status.iter().flat_map(|s| s.currently_in.keys());
    let left = old.status.iter().flat_map(|s| s.currently_in.keys());
    verified
        .filter(|s| !old.is_verified_in(s))
        .chain(entered.filter(|s| !old.is_currently_in(s) && new.is_verified_in(s)))
        // The reference does not look when Freight leaves, and so waits five
        // minutes with MatchUpstream (`stages` 16.2).
        .chain(left.filter(|s| !new.is_currently_in(s)))
        .cloned()
        .collect()
}

/// An Application changed in a way that concerns health.
pub fn of_application(change: &Change<Application>) -> Vec<Key> {
    match change {
        Change::Updated { old, new } => {
            concerned_stages(old, new).into_iter().map(|s| Key::new(s.project, s.stage)).collect()
        }
        Change::Added(_) | Change::Deleted(_) => Vec::new(),
    }
}

/// A Project's policies changed.
pub fn of_project_config(change: &Change<api::ProjectConfig>, stores: &Stores) -> Vec<Key> {
    if let Change::Updated { old, new } = change
        && old.metadata.generation == new.metadata.generation
    {
        return Vec::new();
    }
    in_namespace(stores, &change.object().namespace().unwrap_or_default())
}

/// A Project came, went, or its legacy policies changed.
pub fn of_project(change: &Change<api::Project>, stores: &Stores) -> Vec<Key> {
    if let Change::Updated { old, new } = change
        && old.metadata.generation == new.metadata.generation
    {
        return Vec::new();
    }
    in_namespace(stores, &change.object().name_any())
}

/// A Warehouse came or went: Stages that ask for its Freight cannot be without it.
pub fn of_warehouse(change: &Change<api::Warehouse>, stores: &Stores) -> Vec<Key> {
    if matches!(change, Change::Updated { .. }) {
        return Vec::new();
    }
    let name = change.object().name_any();
    let namespace = change.object().namespace().unwrap_or_default();
    stores
        .stages
        .in_namespace(&namespace)
        .iter()
        .filter(|s| s.spec.requested_freight.iter().any(|r| r.origin.name == name))
        .map(key_of)
        .collect()
}

/// A task came or went: Stages whose steps name it may miss it, or no longer.
pub fn of_task(change: &Change<api::PromotionTask>, stores: &Stores) -> Vec<Key> {
    if matches!(change, Change::Updated { .. }) {
        return Vec::new();
    }
    let namespace = change.object().namespace().unwrap_or_default();
    users_of_tasks(stores.stages.in_namespace(&namespace))
}

/// As [`of_task`], for all namespaces.
pub fn of_cluster_task(change: &Change<api::ClusterPromotionTask>, stores: &Stores) -> Vec<Key> {
    if matches!(change, Change::Updated { .. }) {
        return Vec::new();
    }
    users_of_tasks(stores.stages.all())
}

fn users_of_tasks(stages: Vec<Arc<Stage>>) -> Vec<Key> {
    stages
        .iter()
        .filter(|s| {
            let template = s.spec.promotion_template.as_ref();
            template.is_some_and(|t| t.spec.steps.iter().any(|step| step.task.is_some()))
        })
        .map(key_of)
        .collect()
}

fn in_namespace(stores: &Stores, namespace: &str) -> Vec<Key> {
    stores.stages.in_namespace(namespace).iter().map(key_of).collect()
}

fn key_of(stage: &Arc<Stage>) -> Key {
    Key::of(stage.as_ref())
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use serde_json::{Value, json};

    /// Stages `s1` (direct from w), `s2` (after s1), `s3` (after s1 and s2).
    fn stores() -> Stores {
        let stores = Stores::new();
        let sources = [
            ("s1", json!({"direct": true})),
            ("s2", json!({"stages": ["s1"]})),
            ("s3", json!({"stages": ["s1", "s2"]})),
        ];
        let stages = sources.into_iter().map(|(name, sources)| {
            let mut stage = stage(&["w"]);
            stage.metadata.name = Some(name.to_owned());
            stage.metadata.uid = Some(name.to_owned());
            if let Some(request) = stage.spec.requested_freight.first_mut() {
                request.sources = from(sources);
            }
            stage
        });
        stores.stages.replace(stages.collect());
        stores
    }

    fn freight_update(old: Value, new: Value) -> Vec<String> {
        let change =
            Change::Updated { old: Arc::new(freight("f", old)), new: Arc::new(freight("f", new)) };
        of_freight(&change, &stores()).into_iter().map(|k| k.name).collect()
    }

    #[test]
    fn freight_concerns_those_downstream() {
        let verified = json!({"verifiedIn": {"s1": {}}});
        assert!(freight_update(verified.clone(), verified.clone()).is_empty(), "stages/22.9-1");
        assert_eq!(freight_update(json!({}), verified.clone()), ["s2", "s3"], "stages/22.9-2");
        let both = json!({"verifiedIn": {"s1": {}, "s2": {}}, "currentlyIn": {"s1": {}}});
        assert_eq!(freight_update(verified, both), ["s2", "s3"], "stages/22.9-2");
        let unverified = json!({"currentlyIn": {"s1": {}}});
        assert!(freight_update(json!({}), unverified).is_empty(), "stages/22.9-2");
        let approved = json!({"approvedFor": {"s1": {}, "s3": {}}});
        assert_eq!(freight_update(json!({}), approved), ["s1", "s3"], "stages/22.9-4");
        let added = Change::Added(Arc::new(freight("f", json!({}))));
        let names: Vec<_> = of_freight(&added, &stores()).into_iter().map(|k| k.name).collect();
        assert_eq!(names, ["s1"], "stages/22.9-5");
    }

    #[test]
    fn requests_on_a_stage_wake_it() {
        let case = "stages/22.9-11";
        let annotated = |annotations: Value| {
            let mut stage = stage(&["w"]);
            stage.metadata.annotations = from(annotations);
            Arc::new(stage)
        };
        let refresh = |v: &str| json!({api::annotations::REFRESH: v});
        let reverify = |v: &str| json!({api::annotations::REVERIFY: v});
        for (old, new, wakes) in [
            (json!({}), refresh("1"), true),
            (json!({}), refresh(""), true),
            (refresh("1"), refresh("1"), false),
            (refresh("1"), refresh("2"), true),
            (refresh("1"), json!({}), false),
            (json!({}), reverify("v1"), true),
            (json!({}), reverify(""), false),
            (reverify("v1"), reverify("v2"), true),
            (reverify("v1"), reverify(r#"{"id":"v1","actor":"me"}"#), false),
            (reverify("v1"), json!({}), false),
        ] {
            let change =
                Change::Updated { old: annotated(old.clone()), new: annotated(new.clone()) };
            assert_eq!(of_stage(&change).is_some(), wakes, "{case} {old} {new}");
        }
        let mut edited = stage(&["w"]);
        edited.metadata.generation = Some(4);
        let change = Change::Updated { old: annotated(json!({})), new: Arc::new(edited) };
        assert!(of_stage(&change).is_some());
        assert!(of_stage(&Change::Deleted(annotated(json!({})))).is_none());
    }

    #[test]
    fn a_promotion_wakes_its_stage_when_its_phase_changes() {
        let p = |phase: &str| promotion("p1", json!({"phase": phase}));
        let changed = Change::Updated { old: p("Pending"), new: p("Running") };
        assert_eq!(of_promotion(&changed), Some(Key::new("p", "s")));
        assert_eq!(of_promotion(&Change::Updated { old: p("Running"), new: p("Running") }), None);
        assert!(of_promotion(&Change::Deleted(p("Running"))).is_some());
        assert!(of_promotion(&Change::Deleted(p("Failed"))).is_none());
    }

    #[test]
    fn an_application_wakes_the_stages_that_may_change_it() {
        let case = "stages/22.9-6";
        let app = |stages: &str, health: &str| {
            Arc::new(from::<Application>(json!({
                "metadata": {
                    "namespace": "argocd", "name": "a",
                    "annotations": {api::annotations::AUTHORIZED_STAGE: stages},
                },
                "status": {"health": {"status": health}},
            })))
        };
        let wakes = |stages: &str, was: &str, is: &str| {
            let change = Change::Updated { old: app(stages, was), new: app(stages, is) };
            of_application(&change).into_iter().map(|k| k.name).collect::<Vec<_>>()
        };
        assert_eq!(wakes("p:s1,p:s2", "Healthy", "Degraded"), ["s1", "s2"], "{case}");
        assert!(wakes("p:s1", "Healthy", "Healthy").is_empty(), "{case}");
        assert!(wakes("nonsense", "Healthy", "Degraded").is_empty(), "{case}");
    }
}
