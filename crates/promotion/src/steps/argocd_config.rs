//! JSON Schemas of the configs of the Argo CD steps (`steps-argocd` 2, 3.1 and
//! 4.1).

use serde_json::{Value, json};

/// JSON Schema of what both Argo CD steps say about an Application; `more` are
/// a step's own fields.
pub(super) fn apps_schema(more: &Value) -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let mut properties = json!({
        "name": text,
        "namespace": text,
        "selector": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "matchLabels": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": "string"},
                },
                "matchExpressions": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["key", "operator"],
                        "properties": {
                            "key": text,
                            "operator": {
                                "type": "string",
                                "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            },
                            "values": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                },
            },
            "anyOf": [
                {"required": ["matchLabels"]},
                {"required": ["matchExpressions"]},
            ],
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        properties[key] = value.clone();
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["apps"],
        "properties": {
            "apps": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": properties,
                    "oneOf": [
                        {"required": ["name"], "not": {"required": ["selector"]}},
                        {"required": ["selector"], "not": {"required": ["name"]}},
                    ],
                },
            },
        },
    })
}

/// JSON Schema of `sources`, which `argocd-update` has besides.
pub(super) fn sources_schema() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let unset = |key: &str| json!({"properties": {key: {"enum": ["", null]}}});
    json!({"sources": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["repoURL"],
            "properties": {
                "repoURL": text,
                "chart": text,
                "desiredRevision": text,
                "updateTargetRevision": {"type": "boolean"},
                "kustomize": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {"images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["repoURL"],
                            "properties": {
                                "repoURL": text,
                                "newName": text,
                                "tag": {"type": "string"},
                                "digest": {"type": "string"},
                            },
                            "oneOf": [
                                {"allOf": [unset("tag"), unset("digest")]},
                                {
                                    "required": ["digest"],
                                    "properties": {"digest": {"minLength": 1}, "tag": {"enum": ["", null]}},
                                },
                                {
                                    "required": ["tag"],
                                    "properties": {"tag": {"minLength": 1}, "digest": {"enum": ["", null]}},
                                },
                            ],
                        },
                    }},
                },
                "helm": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["images"],
                    "properties": {"images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["key", "value"],
                            "properties": {"key": text, "value": {"type": "string"}},
                        },
                    }},
                },
            },
            "oneOf": [
                {
                    "properties": {
                        "desiredRevision": {"enum": ["", null]},
                        "updateTargetRevision": {"enum": [false, null]},
                    },
                },
                {
                    "required": ["desiredRevision"],
                    "properties": {"desiredRevision": {"minLength": 1}},
                },
            ],
        },
    }})
}
