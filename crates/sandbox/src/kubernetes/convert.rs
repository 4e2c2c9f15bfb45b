//! Between the version that an object is kept in and the one it is asked for in: `events.k8s.io` Events
//! are kept as core Events, and versions of a custom resource differ by their `apiVersion` alone.

use super::resource::Resource;
use serde_json::{Value, json};

/// Field names of core Events and of `events.k8s.io` Events that hold the same.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn new_events(resource: &Resource) -> bool {
    resource.group == "events.k8s.io"
}

/// Turns an object of the request's version into the kept form.
pub fn to_storage(resource: &Resource, object: &mut Value) {
    if !new_events(resource) {
        return;
    }
    if let Value::Object(fields) = object {
        for (core, new) in RENAMED {
            if let Some(value) = fields.remove(*new) {
                fields.insert((*core).to_owned(), value);
            }
        }
        fields.insert("apiVersion".to_owned(), json!("v1"));
    }
}

/// Whether kept objects must be turned for this resource; if not, they are served as they are.
pub fn differs(resource: &Resource, object: &Value) -> bool {
    new_events(resource)
        || object.get("apiVersion").and_then(Value::as_str) != Some(resource.api_version().as_str())
}

/// Turns a kept object into the resource's version.
pub fn from_storage(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        if new_events(resource) {
            for (core, new) in RENAMED {
                if let Some(value) = fields.remove(*core) {
                    fields.insert((*new).to_owned(), value);
                }
            }
        }
        fields.insert("apiVersion".to_owned(), json!(resource.api_version()));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_thing_in_two_groups() {
        let all = super::super::builtin::resources();
        let new = all.iter().find(|resource| resource.group == "events.k8s.io").unwrap();
        let mut event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"name": "x"}});
        let before = event.clone();
        to_storage(new, &mut event);
        assert_eq!(
            event,
            json!({"apiVersion": "v1", "kind": "Event", "message": "n", "involvedObject": {"name": "x"}})
        );
        assert!(differs(new, &event));
        assert_eq!(from_storage(new, &event), before);
    }
}
