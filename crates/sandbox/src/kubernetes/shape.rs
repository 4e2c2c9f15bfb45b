//! Bringing an object into the shape of its schema: unknown fields are found or dropped, defaults set.

use super::schema::Schema;
use serde_json::Value;

/// How many unknown fields are told of at most.
const MAX_REPORTED: usize = 100;

/// Removes the fields that the schema does not know and returns their paths.
///
/// `apiVersion`, `kind` and `metadata` of the whole object and of embedded ones always stay.
pub fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(object, schema, &mut String::new(), true, &mut unknown);
    unknown
}

fn walk(
    value: &mut Value,
    schema: &Schema,
    path: &mut String,
    whole: bool,
    unknown: &mut Vec<String>,
) {
    let length = path.len();
    match value {
        Value::Object(fields) => {
            let preserve = schema.preserve || schema.any_additional;
            let mut dropped = Vec::new();
            for (name, inner) in fields.iter_mut() {
                if whole && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                match schema.field(name) {
                    Some(below) => walk(inner, below, path, below.embedded, unknown),
                    None if preserve => {}
                    None => {
                        dropped.push(name.clone());
                        if unknown.len() < MAX_REPORTED {
                            unknown.push(path.clone());
                        }
                    }
                }
                path.truncate(length);
            }
            for name in dropped {
                fields.remove(&name);
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            for (at, inner) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{at}]"));
                walk(inner, below, path, below.embedded, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Sets what is missing and has a default; a `null` that may not be one counts as missing.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, below) in &schema.properties {
                if let Some(default) = &below.default {
                    let missing = match fields.get(name) {
                        None => true,
                        Some(Value::Null) => !below.nullable,
                        Some(_) => false,
                    };
                    if missing {
                        fields.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, inner) in fields.iter_mut() {
                if let Some(below) = schema.field(name) {
                    default(inner, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for inner in items {
                    default(inner, below);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "name": {"type": "string", "default": "x"},
                "null": {"type": "string", "nullable": true, "default": "y"},
                "deep": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 3}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "z"}}}},
                "free": {"x-kubernetes-preserve-unknown-fields": true},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}}
            }}
        }}))
        .unwrap()
    }

    #[test]
    fn unknown_fields_are_found_and_dropped() {
        let mut object = json!({
            "apiVersion": "v1", "kind": "K", "metadata": {"anything": 1}, "other": 1,
            "spec": {"name": "n", "bad": 1, "list": [{"a": "1"}, {"b": 2}], "free": {"x": {"y": 1}}, "map": {"m": {"k": "v", "w": 1}}}
        });
        let unknown = prune(&mut object, &schema());
        assert_eq!(unknown, ["other", "spec.bad", "spec.list[1].b", "spec.map.m.w"]);
        assert_eq!(
            object,
            json!({
                "apiVersion": "v1", "kind": "K", "metadata": {"anything": 1},
                "spec": {"name": "n", "list": [{"a": "1"}, {}], "free": {"x": {"y": 1}}, "map": {"m": {"k": "v"}}}
            })
        );
    }

    #[test]
    fn defaults_fill_what_is_missing() {
        for (spec, wanted) in [
            (json!({}), json!({"name": "x", "null": "y", "deep": {"n": 3}})),
            (
                json!({"name": null, "null": null, "deep": {"n": 4}}),
                json!({"name": "x", "null": null, "deep": {"n": 4}}),
            ),
            (
                json!({"list": [{}]}),
                json!({"name": "x", "null": "y", "deep": {"n": 3}, "list": [{"a": "z"}]}),
            ),
        ] {
            let mut object = json!({"spec": spec});
            default(&mut object, &schema());
            assert_eq!(object["spec"], wanted);
        }
    }
}
