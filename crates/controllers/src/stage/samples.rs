//! Objects for the tests of this folder, from JSON.

use std::sync::Arc;

use api::{Freight, Promotion, Stage, StageStatus};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::status;

/// A Stage `s` of Project `p` that asks for Freight of these Warehouses.
pub fn stage(warehouses: &[&str]) -> Stage {
    let requests: Vec<Value> = warehouses
        .iter()
        .map(|w| json!({"origin": {"kind": "Warehouse", "name": w}, "sources": {"direct": true}}))
        .collect();
    from(json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage",
        "metadata": {"namespace": "p", "name": "s", "uid": "stage-uid", "generation": 3},
        "spec": {
            "requestedFreight": requests,
            "promotionTemplate": {"spec": {"steps": [{"uses": "fake"}]}},
        },
    }))
}

/// A Promotion of Stage `s` with that status.
pub fn promotion(name: &str, status: Value) -> Arc<Promotion> {
    annotated(name, status, json!({}))
}

/// A Promotion of Stage `s` with that status and these annotations.
pub fn annotated(name: &str, status: Value, annotations: Value) -> Arc<Promotion> {
    Arc::new(from(json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Promotion",
        "metadata": {
            "namespace": "p", "name": name, "annotations": annotations,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"stage": "s", "freight": "f1", "steps": [{"uses": "fake"}]},
        "status": status,
    })))
}

/// Freight of Warehouse `w` with that status.
pub fn freight(name: &str, status: Value) -> Freight {
    from(json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Freight",
        "metadata": {
            "namespace": "p", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "origin": {"kind": "Warehouse", "name": "w"},
        "status": status,
    }))
}

/// A collection with one Freight of each given Warehouse and name.
pub fn collection(items: &[(&str, &str)]) -> Value {
    let items: serde_json::Map<String, Value> = items
        .iter()
        .map(|(w, f)| {
            let origin = json!({"kind": "Warehouse", "name": w});
            (format!("Warehouse/{w}"), json!({"name": f, "origin": origin}))
        })
        .collect();
    json!({"id": "c", "items": items})
}

/// A status, from JSON.
pub fn status_of(value: Value) -> StageStatus {
    from(value)
}

/// The current collection with one verification of that phase.
pub fn verified(phase: Option<&str>) -> Value {
    let mut current = collection(&[("w", "f0")]);
    if let Some(phase) = phase {
        current["verificationHistory"] = json!([{"id": "v1", "phase": phase}]);
    }
    json!([current])
}

/// A condition as `<status>/<reason>`.
pub fn said(status: &StageStatus, type_: &str) -> Option<String> {
    status::condition(status, type_).map(|c| format!("{}/{}", c.status, c.reason))
}

/// A time.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Noon.
pub fn noon() -> Timestamp {
    at("2026-01-01T12:00:00Z")
}

/// Any object, from JSON.
pub fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}
