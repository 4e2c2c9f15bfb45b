//! The schemas of label selectors, as Kubernetes writes them.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A list of requirements.
pub fn requirements(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["key", "operator"],
            "properties": {
                "key": {"type": "string"},
                "operator": {"type": "string"},
                "values": {
                    "type": "array",
                    "x-kubernetes-list-type": "atomic",
                    "items": {"type": "string"}
                }
            }
        }
    })
}

/// A label selector.
pub fn selector(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchExpressions": requirements(generator),
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}
        }
    })
}

/// A list of label selectors.
pub fn selectors(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "items": selector(generator)
    })
}
