//! What a Promotion gets and what is refused in it (`admission` 3.8). Its
//! steps come from the Stage; that tasks take their places in them is the
//! promotion crate's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::field_error::FieldError;
use super::identity::Requester;
use super::set_or_remove;
use crate::annotations::{AUTO_PROMOTION_HOLD, AUTO_PROMOTION_RESUME, CREATE_ACTOR};
use crate::artifacts::FreightOrigin;
use crate::labels;
use crate::promotion::{Promotion, PromotionSpec};
use crate::stage::Stage;
use crate::step::{ExpressionVariable, PromotionStep};

/// A Promotion that cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct PromotionRefusal(pub FieldError);

/// The variables and steps that a Promotion to the Stage gets: the Stage's
/// variables, then the template's.
///
/// # Errors
/// When the Stage has no steps: it only controls the flow.
pub fn template_of(
    stage: &Stage,
) -> Result<(Vec<ExpressionVariable>, Vec<PromotionStep>), PromotionRefusal> {
    let template = stage.spec.promotion_template.as_ref().map(|t| &t.spec);
    match template {
        Some(template) if !template.steps.is_empty() => {
            let vars = stage.spec.vars.iter().chain(&template.vars).cloned().collect();
            Ok((vars, template.steps.clone()))
        }
        _ => {
            let name = stage.metadata.name.as_deref().unwrap_or_default();
            let namespace = stage.metadata.namespace.as_deref().unwrap_or_default();
            Err(PromotionRefusal(FieldError::invalid(
                "spec.stage",
                name,
                format!("Stage {name:?} in namespace {namespace:?} defines no promotion steps"),
            )))
        }
    }
}

/// Gives a Promotion the labels, the annotation and the owner that follow from
/// its Stage. An owner that is a PromotionRequest and its controller is kept.
pub fn default_promotion_metadata(metadata: &mut ObjectMeta, stage: &Stage) {
    let name = stage.metadata.name.as_deref().unwrap_or_default();
    set_or_remove(&mut metadata.labels, labels::SHARD, &stage.spec.shard);
    set_or_remove(&mut metadata.labels, labels::STAGE, &labels::shorten(name));
    set_or_remove(&mut metadata.annotations, crate::annotations::STAGE, name);
    if !has_request_owner(metadata) {
        metadata.owner_references = Some(vec![OwnerReference {
            api_version: crate::API_VERSION.to_owned(),
            kind: "Stage".to_owned(),
            name: name.to_owned(),
            uid: stage.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]);
    }
}

fn has_request_owner(metadata: &ObjectMeta) -> bool {
    metadata.owner_references.iter().flatten().any(|o| {
        o.controller == Some(true)
            && o.kind == "PromotionRequest"
            && o.api_version.split_once('/').is_some_and(|(group, _)| group == crate::GROUP)
    })
}

/// Says on a new Promotion whether it holds auto-promotion from its origin or
/// resumes it. `candidate` is whether its Freight is what would have been
/// promoted by itself; none where auto-promotion is off or nothing is known.
/// Promotions that the control plane makes of its own accord are left alone.
pub fn mark_hold_or_resume(
    metadata: &mut ObjectMeta,
    who: Requester<'_>,
    origin: &FreightOrigin,
    candidate: Option<bool>,
) {
    let annotations = metadata.annotations.get_or_insert_default();
    let actor = annotations.get(CREATE_ACTOR).map(String::as_str).unwrap_or_default();
    if who.control_plane && (actor.is_empty() || actor.starts_with("controller:")) {
        return;
    }
    annotations.remove(AUTO_PROMOTION_HOLD);
    annotations.remove(AUTO_PROMOTION_RESUME);
    if let Some(is_candidate) = candidate {
        let key = if is_candidate { AUTO_PROMOTION_RESUME } else { AUTO_PROMOTION_HOLD };
        annotations.insert(key.to_owned(), origin.to_string());
    }
}

/// Gives a changed Promotion the actor, hold and resume that it was made with.
pub fn keep_actor_and_holds(old: &ObjectMeta, new: &mut ObjectMeta) {
    for key in [CREATE_ACTOR, AUTO_PROMOTION_HOLD, AUTO_PROMOTION_RESUME] {
        let before = old.annotations.as_ref().and_then(|a| a.get(key));
        match before {
            Some(value) => {
                new.annotations.get_or_insert_default().insert(key.to_owned(), value.clone());
            }
            None => {
                if let Some(annotations) = &mut new.annotations {
                    annotations.remove(key);
                }
            }
        }
    }
}

/// What is wrong with a new Promotion's spec.
pub fn validate_promotion_spec(spec: &PromotionSpec) -> Option<FieldError> {
    (spec.freight.is_some() == spec.origin.is_some()).then(|| {
        FieldError::invalid(
            "spec",
            serde_json::to_value(spec).unwrap_or_default(),
            "exactly one of spec.freight or spec.origin must be set",
        )
    })
}

/// What is wrong with a Promotion in view of Targets. `stage` is given when
/// the Promotion is new.
pub fn target_errors(promotion: &Promotion, stage: Option<&Stage>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if has_request_owner(&promotion.metadata) {
        return errors;
    }
    if !promotion.spec.target.is_empty() {
        errors.push(FieldError::invalid(
            "spec.target",
            &*promotion.spec.target,
            "a Promotion may name a Target only when created by a PromotionRequest",
        ));
    }
    if stage.is_some_and(|s| s.spec.targets.is_some()) {
        let name = &*promotion.spec.stage;
        errors.push(FieldError::invalid(
            "spec.stage",
            name,
            format!(
                "Stage {name:?} selects Targets; it is promoted to with a PromotionRequest rather \
                 than a Promotion"
            ),
        ));
    }
    errors
}

/// What is wrong with a change of a Promotion.
pub fn validate_promotion_update(old: &Promotion, new: &Promotion) -> Vec<FieldError> {
    if old.spec != new.spec {
        return vec![FieldError::invalid(
            "spec",
            serde_json::to_value(&new.spec).unwrap_or_default(),
            "spec is immutable",
        )];
    }
    target_errors(new, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::StageTargets;
    use serde_json::{Value, json};

    fn stage(spec: Value) -> Stage {
        let mut object = json!({"metadata": {"name": "s", "namespace": "p", "uid": "u"}});
        object["spec"] = spec;
        serde_json::from_value(object).unwrap()
    }

    fn promotion(spec: Value, owner: Option<&str>) -> Promotion {
        let owners: Vec<Value> = owner
            .iter()
            .map(|kind| {
                json!({"apiVersion": crate::API_VERSION, "kind": kind, "name": "o", "uid": "x",
                    "controller": true})
            })
            .collect();
        let metadata = json!({"name": "n", "ownerReferences": owners});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn steps_and_variables_come_from_the_stage() {
        let template = json!({"spec": {
            "vars": [{"name": "b", "value": "2"}], "steps": [{"uses": "fail"}]
        }});
        let (vars, steps) = template_of(&stage(json!({
            "requestedFreight": [], "vars": [{"name": "a", "value": "1"}],
            "promotionTemplate": template,
        })))
        .unwrap();
        let names: Vec<&str> = vars.iter().map(|v| &*v.name).collect();
        assert_eq!((names, steps.len()), (vec!["a", "b"], 1), "admission/A113");
        for empty in [
            json!({"requestedFreight": []}),
            json!({"requestedFreight": [], "promotionTemplate": {"spec": {"steps": []}}}),
        ] {
            let PromotionRefusal(error) = template_of(&stage(empty)).unwrap_err();
            assert_eq!(
                error.detail, "Stage \"s\" in namespace \"p\" defines no promotion steps",
                "admission/A112"
            );
        }
    }

    #[test]
    fn labels_and_owner_follow_the_stage() {
        let mut long = stage(json!({"requestedFreight": [], "shard": "x"}));
        long.metadata.name = Some("a".repeat(80));
        let mut metadata = promotion(json!({"stage": "s"}), Some("Foreign")).metadata;
        default_promotion_metadata(&mut metadata, &long);
        let labels = metadata.labels.clone().unwrap();
        assert_eq!(labels[labels::STAGE].len(), 63, "admission/A118");
        assert_eq!(labels[labels::SHARD], "x");
        assert_eq!(metadata.annotations.unwrap()[crate::annotations::STAGE], "a".repeat(80));
        let owners = metadata.owner_references.unwrap();
        assert_eq!((owners.len(), &*owners[0].kind), (1, "Stage"), "admission/A129");
        assert_eq!(owners[0].block_owner_deletion, Some(true));
        let mut kept = promotion(json!({"stage": "s"}), Some("PromotionRequest")).metadata;
        default_promotion_metadata(&mut kept, &long);
        assert_eq!(kept.owner_references.unwrap()[0].kind, "PromotionRequest", "admission/A130");
    }

    #[test]
    fn people_hold_and_resume_auto_promotion() {
        let user = Requester { username: "u", control_plane: false };
        let plane = Requester { username: "k", control_plane: true };
        let origin = FreightOrigin::warehouse("w");
        let hold = Some((AUTO_PROMOTION_HOLD, "Warehouse/w"));
        let resume = Some((AUTO_PROMOTION_RESUME, "Warehouse/w"));
        let sent = Some((AUTO_PROMOTION_HOLD, "sent"));
        let cases = [
            ("admission/A120", user, "kubernetes:u", Some(false), hold),
            ("admission/A121", user, "kubernetes:u", Some(true), resume),
            ("admission/A122", user, "kubernetes:u", Some(false), hold),
            ("admission/A124", user, "kubernetes:u", None, None),
            ("admission/A125", plane, "", Some(false), sent),
            ("admission/A126", plane, "email:x", Some(true), resume),
            ("admission/A127", plane, "controller:x", Some(true), sent),
        ];
        for (case, who, actor, candidate, wanted) in cases {
            let mut metadata = ObjectMeta::default();
            set_or_remove(&mut metadata.annotations, CREATE_ACTOR, actor);
            set_or_remove(&mut metadata.annotations, AUTO_PROMOTION_HOLD, "sent");
            mark_hold_or_resume(&mut metadata, who, &origin, candidate);
            let mut annotations = metadata.annotations.unwrap();
            annotations.remove(CREATE_ACTOR);
            let got: Vec<(&str, &str)> =
                annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(got, wanted.into_iter().collect::<Vec<_>>(), "{case}");
        }
    }

    #[test]
    fn what_a_promotion_was_made_with_stays() {
        let mut old = ObjectMeta::default();
        set_or_remove(&mut old.annotations, CREATE_ACTOR, "kubernetes:u");
        let mut new = ObjectMeta::default();
        set_or_remove(&mut new.annotations, CREATE_ACTOR, "kubernetes:other");
        set_or_remove(&mut new.annotations, AUTO_PROMOTION_HOLD, "Warehouse/w");
        keep_actor_and_holds(&old, &mut new);
        assert_eq!(new.annotations, old.annotations, "admission/A128");
    }

    #[test]
    fn freight_or_origin_and_nothing_changes() {
        let origin = json!({"kind": "Warehouse", "name": "w"});
        for (case, spec, good) in [
            ("freight", json!({"stage": "s", "freight": "f"}), true),
            ("origin", json!({"stage": "s", "origin": origin}), true),
            ("admission/A116", json!({"stage": "s", "freight": "f", "origin": origin}), false),
            ("admission/A117", json!({"stage": "s"}), false),
        ] {
            let spec = promotion(spec, None).spec;
            assert_eq!(validate_promotion_spec(&spec).is_none(), good, "{case}");
        }
        let old = promotion(json!({"stage": "s", "freight": "f"}), None);
        let new = promotion(json!({"stage": "s", "freight": "g"}), None);
        let errors = validate_promotion_update(&old, &new);
        assert_eq!(errors[0].detail, "spec is immutable", "admission/A139");
    }

    #[test]
    fn targets_are_reached_through_requests() {
        let mut aware = stage(json!({"requestedFreight": []}));
        aware.spec.targets = Some(StageTargets::default());
        let targeted = json!({"stage": "s", "freight": "f", "target": "t"});
        let plain = json!({"stage": "s", "freight": "f"});
        let fields = |promotion: &Promotion, stage: Option<&Stage>| -> Vec<String> {
            target_errors(promotion, stage).into_iter().map(|e| e.field).collect()
        };
        // spec: api/targets-E1 admission/A132
        let orphan = promotion(targeted.clone(), None);
        assert_eq!(fields(&orphan, None), ["spec.target"]);
        assert_eq!(fields(&orphan, Some(&aware)), ["spec.target", "spec.stage"]);
        assert!(!validate_promotion_update(&orphan, &orphan).is_empty());
        // spec: api/targets-E2 admission/A133
        let direct = promotion(plain, None);
        assert_eq!(fields(&direct, Some(&aware)), ["spec.stage"]);
        assert!(validate_promotion_update(&direct, &direct).is_empty());
        let child = promotion(targeted, Some("PromotionRequest"));
        assert!(fields(&child, Some(&aware)).is_empty());
    }
}
