//! What a new Promotion must find around it: its Stage, Freight for the origin
//! that it names, Freight that the Stage may have (`admission` 3.8). What was
//! looked up is given; looking it up is the callers'.

use std::sync::Arc;

use jiff::Timestamp;

use super::field_error::FieldError;
use crate::artifacts::FreightOrigin;
use crate::freight::Freight;
use crate::stage::Stage;

/// What is wrong with a Promotion whose Stage was not found.
pub fn missing_stage(name: &str, namespace: &str) -> FieldError {
    let detail = format!("could not find Stage {name:?} in namespace {namespace:?}");
    FieldError::invalid("spec.stage", name, detail)
}

/// Why an origin names no Freight.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OriginRefusal {
    /// Which Freight there is cannot be told: nobody's mistake, so no field's.
    #[error("list available freight: {0}")]
    Unknown(String),
    /// There is none, or a choice that is not made by itself.
    #[error("{}", .0.detail)]
    NoCandidate(FieldError),
}

/// The Freight that a Promotion which names an origin is for: what would have
/// been promoted by itself. `available` is the Freight that the Stage may take,
/// or why that could not be listed.
///
/// # Errors
/// See [`OriginRefusal`].
pub fn freight_of_origin(
    stage: &Stage,
    origin: &FreightOrigin,
    available: Result<&[Arc<Freight>], String>,
) -> Result<Arc<Freight>, OriginRefusal> {
    let available = available.map_err(OriginRefusal::Unknown)?;
    let origin = origin.to_string();
    crate::candidates::of(stage, available).remove(&origin).ok_or_else(|| {
        let name = stage.metadata.name.as_deref().unwrap_or_default();
        let detail =
            format!("no auto-promotion candidate found for origin {origin:?} on Stage {name:?}");
        OriginRefusal::NoCandidate(FieldError::invalid("spec.origin", origin, detail))
    })
}

/// What is wrong with the Freight that a Promotion names; Freight that was not
/// found is not available.
pub fn validate_promoted_freight(
    stage: &Stage,
    name: &str,
    found: Option<&Freight>,
    now: Timestamp,
) -> Option<FieldError> {
    let available = found.is_some_and(|f| crate::availability::is_available(stage, f, now));
    let detail = "Freight is not available to this Stage";
    (!available).then(|| FieldError::invalid("spec.freight", name, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stage(sources: Value) -> Stage {
        let origin = json!({"kind": "Warehouse", "name": "w"});
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "p"},
            "spec": {"requestedFreight": [{"origin": origin, "sources": sources}]},
        }))
        .unwrap()
    }

    fn freight(name: &str, warehouse: &str, status: Value) -> Arc<Freight> {
        let object = json!({
            "metadata": {"name": name, "namespace": "p"},
            "origin": {"kind": "Warehouse", "name": warehouse},
            "status": status,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_stage_must_be_there() {
        let error = missing_stage("s", "p");
        for case in ["promotions/admission-1", "admission/A110"] {
            assert_eq!(error.kind, super::super::FieldErrorKind::Invalid, "{case}");
            assert_eq!((&*error.field, &error.value), ("spec.stage", &json!("s")), "{case}");
            assert_eq!(error.detail, "could not find Stage \"s\" in namespace \"p\"", "{case}");
        }
    }

    #[test]
    fn an_origin_stands_for_its_candidate() {
        let direct = stage(json!({"direct": true}));
        let all = [freight("candidate-freight", "w", json!({})), freight("o", "v", json!({}))];
        let w = FreightOrigin::warehouse("w");
        let found = freight_of_origin(&direct, &w, Ok(&all)).unwrap();
        assert_eq!(found.metadata.name.as_deref(), Some("candidate-freight"));

        let said = "the server is currently unable to handle the request".to_owned();
        let refusal = freight_of_origin(&direct, &w, Err(said)).unwrap_err();
        assert!(matches!(refusal, OriginRefusal::Unknown(_)), "promotions/admission-7: no field's");
        assert_eq!(
            refusal.to_string(),
            "list available freight: the server is currently unable to handle the request",
            "promotions/admission-7"
        );

        // Freight of another origin, though it is listed.
        let v = FreightOrigin::warehouse("v");
        let refusal = freight_of_origin(&direct, &v, Ok(&all)).unwrap_err();
        let OriginRefusal::NoCandidate(error) = refusal else { panic!("{refusal}") };
        assert_eq!((&*error.field, &error.value), ("spec.origin", &json!("Warehouse/v")));
        assert_eq!(
            error.detail,
            "no auto-promotion candidate found for origin \"Warehouse/v\" on Stage \"s\"",
            "admission/A115"
        );
    }

    #[test]
    fn the_stage_must_be_allowed_to_have_the_freight() {
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let (direct, after) = (stage(json!({"direct": true})), stage(json!({"stages": ["test"]})));
        let verified = freight("f", "w", json!({"verifiedIn": {"test": {}}}));
        let approved = freight("f", "w", json!({"approvedFor": {"s": {}}}));
        let fresh = freight("f", "w", json!({}));
        let foreign = freight("f", "v", json!({}));
        for (stage, found, available) in [
            (&direct, Some(&fresh), true),
            (&after, Some(&verified), true),
            (&after, Some(&approved), true),
            (&after, Some(&fresh), false),
            (&direct, Some(&foreign), false),
            (&direct, None, false),
        ] {
            let found = found.map(AsRef::as_ref);
            let Some(error) = validate_promoted_freight(stage, "f", found, now) else {
                assert!(available, "{found:?}");
                continue;
            };
            assert!(!available, "{found:?}");
            for case in ["promotions/admission-28", "admission/A137"] {
                assert_eq!((&*error.field, &error.value), ("spec.freight", &json!("f")), "{case}");
                assert_eq!(error.detail, "Freight is not available to this Stage", "{case}");
            }
        }
    }
}
