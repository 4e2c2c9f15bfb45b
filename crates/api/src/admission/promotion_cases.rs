//! The cases of `promotions` 12, "Admission", that follow from data alone.

use serde_json::{Value, json};

use super::*;
use crate::annotations::{
    AUTO_PROMOTION_HOLD as HOLD, AUTO_PROMOTION_RESUME as RESUME, CREATE_ACTOR,
};
use crate::artifacts::FreightOrigin;
use crate::promotion::Promotion;
use crate::stage::Stage;

const USER: Requester<'_> = Requester { username: "real-user", control_plane: false };
const PLANE: Requester<'_> = Requester { username: "kargo-api", control_plane: true };

fn stage(name: &str, spec: Value) -> Stage {
    let metadata = json!({"name": name, "namespace": "p", "uid": "stage-uid"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn promotion(spec: Value, owner: Option<(&str, &str)>) -> Promotion {
    let owners: Vec<Value> = owner
        .iter()
        .map(|(version, kind)| {
            json!({"apiVersion": version, "kind": kind, "name": "o", "uid": "x", "controller": true})
        })
        .collect();
    let metadata = json!({"name": "n", "ownerReferences": owners});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

#[test]
fn a_stage_must_have_steps() {
    let empty = json!({"requestedFreight": [], "promotionTemplate": {"spec": {"steps": []}}});
    for spec in [json!({"requestedFreight": []}), empty] {
        let refusal = template_of(&stage("s", spec)).unwrap_err();
        assert_eq!(refusal.0.field, "spec.stage", "promotions/admission-2");
        assert!(
            refusal.0.detail.contains("defines no promotion steps"),
            "promotions/admission-2: {}",
            refusal.0.detail
        );
    }
}

#[test]
fn long_stage_names_are_shortened_in_the_label() {
    let name = "a".repeat(64);
    let mut metadata = ObjectMeta::default();
    default_promotion_metadata(&mut metadata, &stage(&name, json!({"requestedFreight": []})));
    let label = metadata.labels.unwrap()[crate::labels::STAGE].clone();
    assert!(label.len() <= 63 && label != name, "promotions/admission-8: {label}");
    let annotations = metadata.annotations.unwrap();
    assert_eq!(annotations[crate::annotations::STAGE], name, "promotions/admission-8");
}

#[test]
fn an_abort_says_who_asks() {
    let by = |action: &str, actor: &str, plane: bool| {
        let mut request = json!({"action": action, "actor": actor});
        if plane {
            request["controlPlane"] = json!(true);
        }
        request.to_string()
    };
    let as_user = by("fake-action", "kubernetes:real-user", false);
    for (case, value, old, who, wanted) in [
        ("promotions/admission-9", "fake-action".to_owned(), None, USER, Some(as_user.clone())),
        (
            "promotions/admission-10",
            by("fake-action", "fake-user", false),
            None,
            USER,
            Some(as_user.clone()),
        ),
        (
            "promotions/admission-11",
            by("fake-action", "admin", false),
            None,
            PLANE,
            Some(by("fake-action", "admin", true)),
        ),
        ("promotions/admission-12", as_user.clone(), Some(as_user.clone()), USER, None),
        (
            "promotions/admission-13",
            by("fake-action", "another", false),
            Some(by("fake-action", "admin", false)),
            USER,
            Some(as_user.clone()),
        ),
        (
            "promotions/admission-13",
            by("fake-action", "admin", true),
            Some(by("fake-action", "admin", false)),
            USER,
            Some(as_user),
        ),
        ("promotions/admission-14", String::new(), None, USER, None),
    ] {
        let got = enrich_abort(&value, old.as_deref(), who);
        let as_json = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(got.as_ref().map(as_json), wanted.as_ref().map(as_json), "{case}");
    }
}

#[test]
fn an_update_cannot_change_hold_and_resume() {
    let with = |key: &str| ObjectMeta {
        annotations: Some([(key.to_owned(), "Warehouse/w".to_owned())].into()),
        ..ObjectMeta::default()
    };
    let (old, mut new) = (with(HOLD), with(RESUME));
    keep_actor_and_holds(&old, &mut new);
    assert_eq!(new.annotations, old.annotations, "promotions/admission-15");
}

#[test]
fn who_holds_and_who_resumes() {
    let origin = FreightOrigin::warehouse("w");
    let key = "Warehouse/w";
    for (case, who, actor, candidate, wanted) in [
        ("promotions/admission-16", USER, "kubernetes:u", Some(false), json!({HOLD: key})),
        ("promotions/admission-17", USER, "kubernetes:u", Some(true), json!({RESUME: key})),
        // No candidate: the Freight at hand is none.
        ("promotions/admission-18", USER, "kubernetes:u", Some(false), json!({HOLD: key})),
        ("promotions/admission-19", USER, "kubernetes:u", None, json!({})),
        ("promotions/admission-20", PLANE, "", Some(true), json!({HOLD: "sent", RESUME: "sent"})),
        ("promotions/admission-21", PLANE, "admin", Some(true), json!({RESUME: key})),
        (
            "promotions/admission-22",
            PLANE,
            "controller:x",
            Some(true),
            json!({HOLD: "sent", RESUME: "sent"}),
        ),
    ] {
        let mut metadata = ObjectMeta::default();
        for (name, value) in [(CREATE_ACTOR, actor), (HOLD, "sent"), (RESUME, "sent")] {
            set_or_remove(&mut metadata.annotations, name, value);
        }
        mark_hold_or_resume(&mut metadata, who, &origin, candidate);
        let mut annotations = metadata.annotations.unwrap();
        annotations.remove(CREATE_ACTOR);
        assert_eq!(json!(annotations), wanted, "{case}");
    }
}

#[test]
fn who_owns_a_promotion() {
    let stage = stage("s", json!({"requestedFreight": []}));
    for (case, owner, wanted) in [
        ("promotions/admission-23", (crate::API_VERSION, "PromotionRequest"), "PromotionRequest"),
        ("promotions/admission-24", ("v1", "ConfigMap"), "Stage"),
    ] {
        let spec = json!({"stage": "s", "freight": "f"});
        let mut metadata = promotion(spec, Some(owner)).metadata;
        default_promotion_metadata(&mut metadata, &stage);
        let kinds: Vec<String> =
            metadata.owner_references.unwrap().into_iter().map(|o| o.kind).collect();
        assert_eq!(kinds, [wanted], "{case}");
    }
}

#[test]
fn what_is_refused() {
    let targets = stage("s", json!({"requestedFreight": [], "targets": {"selectors": []}}));
    let aimed = json!({"stage": "s", "freight": "f", "target": "t"});
    let errors = target_errors(&promotion(aimed.clone(), None), None);
    assert_eq!(errors[0].field, "spec.target", "promotions/admission-25");
    let plain = promotion(json!({"stage": "s", "freight": "f"}), None);
    let errors = target_errors(&plain, Some(&targets));
    assert_eq!(errors[0].field, "spec.stage", "promotions/admission-26");

    let neither = promotion(json!({"stage": "s"}), None);
    let error = validate_promotion_spec(&neither.spec).unwrap();
    assert!(error.detail.starts_with("exactly one of"), "promotions/admission-27");

    let changed = promotion(json!({"stage": "s", "freight": "g"}), None);
    let errors = validate_promotion_update(&plain, &changed);
    assert_eq!(errors[0].detail, "spec is immutable", "promotions/admission-30");

    let owned = promotion(aimed.clone(), Some((crate::API_VERSION, "PromotionRequest")));
    assert!(validate_promotion_update(&owned, &owned).is_empty(), "promotions/admission-31");
    let orphaned = promotion(aimed, None);
    let errors = validate_promotion_update(&owned, &orphaned);
    assert_eq!(errors[0].field, "spec.target", "promotions/admission-31");
}
