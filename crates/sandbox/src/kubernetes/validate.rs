//! Checking an object against its schema, in the words of the API server.

use super::failure::Cause;
use super::schema::{ListKind, Schema};
use serde_json::Value;
use std::collections::HashSet;

/// How many causes are told of at most.
const MAX_CAUSES: usize = 100;

/// What keeps rules from being evaluated.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// Checks `value` and returns what is wrong with it, in the order of the fields.
///
/// CEL rules are not evaluated where something is wrong that they may stumble over, as in the API server.
pub fn check(value: &Value, old: Option<&Value>, schema: &Schema) -> Vec<Cause> {
    let mut causes = Vec::new();
    structure(value, schema, "", true, &mut causes);
    if !causes.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
        rules(value, old, schema, "", &mut causes);
    } else if schema.has_rules() {
        causes.push(Cause::invalid(
            "",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ));
    }
    causes.truncate(MAX_CAUSES);
    causes
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn whole(value: &Value) -> bool {
    value.as_i64().is_some()
        || value.as_u64().is_some()
        || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn fits(value: &Value, schema: &Schema) -> bool {
    if schema.int_or_string {
        return value.is_string() || whole(value);
    }
    match schema.kind.as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => whole(value),
        "number" => value.is_number(),
        _ => true,
    }
}

fn structure(value: &Value, schema: &Schema, path: &str, root: bool, causes: &mut Vec<Cause>) {
    if causes.len() >= MAX_CAUSES {
        return;
    }
    if value.is_null() && (schema.nullable || (schema.kind.is_empty() && schema.preserve)) {
        return;
    }
    if !fits(value, schema) {
        let found = kind_of(value);
        let wanted = if schema.int_or_string { "integer,string" } else { &schema.kind };
        causes.push(Cause::new(
            "FieldValueTypeInvalid",
            path,
            format!(
                "Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\""
            ),
        ));
        return;
    }
    if !schema.allowed.is_empty() && !schema.allowed.contains(value) {
        let supported: Vec<String> = schema.allowed.iter().map(quoted).collect();
        causes.push(Cause::new(
            "FieldValueNotSupported",
            path,
            format!(
                "Unsupported value: {}: supported values: {}",
                quoted(value),
                supported.join(", ")
            ),
        ));
    }
    match value {
        Value::String(text) => string(text, value, schema, path, causes),
        Value::Number(number) => {
            numeric(number.as_f64().unwrap_or_default(), value, schema, path, causes)
        }
        Value::Array(items) => list(items, schema, path, causes),
        Value::Object(fields) => {
            for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
                causes.push(Cause::new("FieldValueRequired", &join(path, name), "Required value"));
            }
            size(fields.len(), schema.properties_count, "properties", path, causes);
            for (name, inner) in fields {
                if root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(below) = schema.field(name) {
                    structure(inner, below, &join(path, name), below.embedded, causes);
                }
            }
        }
        _ => {}
    }
    junctions(value, schema, path, causes);
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
fn junctions(value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let holds = |inner: &Schema| {
        let mut found = Vec::new();
        structure(value, inner, path, false, &mut found);
        found.is_empty()
    };
    for inner in &schema.all_of {
        structure(value, inner, path, false, causes);
    }
    let mut refuse =
        |detail: String| causes.push(Cause::invalid(path, &Value::from(kind_of(value)), detail));
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(holds) {
        refuse(format!("{path} in body must validate at least one schema (anyOf)"));
    }
    if !schema.one_of.is_empty() && schema.one_of.iter().filter(|inner| holds(inner)).count() != 1 {
        refuse(format!("{path} in body must validate one and only one schema (oneOf)"));
    }
    if schema.not.as_deref().is_some_and(holds) {
        refuse(format!("{path} in body must not validate the schema (not)"));
    }
}

fn string(text: &str, value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    if let Some(least) = schema.length.0.filter(|least| length < *least) {
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body should be at least {least} chars long"),
        ));
    }
    if let Some(most) = schema.length.1.filter(|most| length > *most) {
        causes.push(Cause::new(
            "FieldValueTooLong",
            path,
            format!("Too long: may not be more than {most} bytes"),
        ));
    }
    if let Some((pattern, regex)) = &schema.pattern
        && !regex.is_match(text)
    {
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body should match '{pattern}'"),
        ));
    }
    if !formatted(text, &schema.format) {
        let detail = format!("{path} in body must be of type {}: {value}", schema.format);
        causes.push(Cause::invalid(path, value, detail));
    }
}

/// Whether the text keeps the format; formats that are not known allow anything.
fn formatted(text: &str, format: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "email" => text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && !text.contains(char::is_whitespace)
        }),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" | "uuid4" => uuid::Uuid::parse_str(text).is_ok(),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

fn numeric(number: f64, value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    if let Some((least, excluded)) = schema.minimum
        && (number < least || (excluded && number == least))
    {
        let relation = if excluded { "greater than" } else { "greater than or equal to" };
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body should be {relation} {least}"),
        ));
    }
    if let Some((most, excluded)) = schema.maximum
        && (number > most || (excluded && number == most))
    {
        let relation = if excluded { "less than" } else { "less than or equal to" };
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body should be {relation} {most}"),
        ));
    }
    if let Some(divisor) = schema.multiple_of
        && (number / divisor).fract() != 0.0
    {
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body should be a multiple of {divisor}"),
        ));
    }
    let range = match schema.format.as_str() {
        "int32" => i32::try_from(value.as_i64().unwrap_or(i64::MAX)).is_ok(),
        "int64" => value.as_i64().is_some() || value.is_f64(),
        _ => true,
    };
    if !range {
        let detail =
            format!("{path} in body must be of type {}: \"{}\"", schema.format, kind_of(value));
        causes.push(Cause::invalid(path, value, detail));
    }
}

fn size(
    found: usize,
    bounds: (Option<u64>, Option<u64>),
    what: &str,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let found = found as u64;
    if let Some(least) = bounds.0.filter(|least| found < *least) {
        let detail = format!("{path} in body should have at least {least} {what}");
        causes.push(Cause::invalid(path, &Value::from(found), detail));
    }
    if let Some(most) = bounds.1.filter(|most| found > *most) {
        let message = format!("Too many: {found}: must have at most {most} items");
        causes.push(Cause::new("FieldValueTooMany", path, message));
    }
}

fn list(items: &[Value], schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    size(items.len(), schema.items_count, "items", path, causes);
    if let Some(below) = &schema.items {
        for (at, inner) in items.iter().enumerate() {
            structure(inner, below, &format!("{path}[{at}]"), below.embedded, causes);
        }
    }
    let mut seen = HashSet::new();
    for (at, inner) in items.iter().enumerate() {
        let key = match &schema.list {
            ListKind::Atomic => return,
            ListKind::Set => inner.clone(),
            ListKind::Map(keys) => Value::Object(
                keys.iter()
                    .map(|key| (key.clone(), inner.get(key).cloned().unwrap_or(Value::Null)))
                    .collect(),
            ),
        };
        if !seen.insert(key.to_string()) {
            let place = format!("{path}[{at}]");
            causes.push(Cause::new(
                "FieldValueDuplicate",
                &place,
                format!("Duplicate value: {}", shown(&key)),
            ));
        }
    }
}

fn rules(value: &Value, old: Option<&Value>, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    if causes.len() >= MAX_CAUSES || value.is_null() {
        return;
    }
    for rule in &schema.rules {
        if rule.transition && old.is_none() {
            continue;
        }
        let field = if rule.field_path.is_empty() {
            path.to_owned()
        } else {
            format!("{path}{}", rule.field_path)
        };
        let kind = if schema.kind.is_empty() { "object" } else { &schema.kind };
        match rule.holds(value, old) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("Invalid value: \"{kind}\": {}", rule.says());
                causes.push(Cause::new(rule.reason, &field, message));
            }
            Err(error) => {
                let message = format!(
                    "Invalid value: \"{kind}\": {error} evaluating rule: {}",
                    if rule.message.is_empty() { &rule.text } else { &rule.message }
                );
                causes.push(Cause::new("FieldValueInvalid", &field, message));
            }
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if let Some(below) = schema.field(name) {
                    rules(
                        inner,
                        old.and_then(|old| old.get(name)),
                        below,
                        &join(path, name),
                        causes,
                    );
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            for (at, inner) in items.iter().enumerate() {
                let former = match &schema.list {
                    ListKind::Map(keys) => old.and_then(Value::as_array).and_then(|olds| {
                        olds.iter().find(|candidate| {
                            keys.iter().all(|key| candidate.get(key) == inner.get(key))
                        })
                    }),
                    _ => None,
                };
                rules(inner, former, below, &format!("{path}[{at}]"), causes);
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(_) => value.to_string(),
        other => format!("\"{other}\""),
    }
}

/// A value as the API server prints it in a message: maps in Go's way of JSON.
fn shown(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_in_the_api_servers_words() {
        let schema = Schema::parse(&json!({"type": "object", "required": ["spec"], "properties": {
            "spec": {"type": "object", "required": ["stage"], "properties": {
                "stage": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
                "kind": {"type": "string", "enum": ["B", "A"]},
                "count": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9},
                "when": {"type": "string", "format": "date-time"},
                "steps": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "object",
                    "x-kubernetes-validations": [{"rule": "has(self.uses)", "message": "uses must be set"}],
                    "properties": {"uses": {"type": "string"}}}},
                "named": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "port": {"x-kubernetes-int-or-string": true},
                "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}]}
            }}
        }}))
        .unwrap();
        for (spec, causes) in [
            (json!({"stage": "a"}), vec![]),
            (json!({}), vec![("spec.stage", "Required value")]),
            (
                json!({"stage": 1}),
                vec![(
                    "spec.stage",
                    "Invalid value: \"integer\": spec.stage in body must be of type string: \"integer\"",
                )],
            ),
            (
                json!({"stage": null}),
                vec![(
                    "spec.stage",
                    "Invalid value: \"null\": spec.stage in body must be of type string: \"null\"",
                )],
            ),
            (
                json!({"stage": ""}),
                vec![
                    (
                        "spec.stage",
                        "Invalid value: \"\": spec.stage in body should be at least 1 chars long",
                    ),
                    (
                        "spec.stage",
                        "Invalid value: \"\": spec.stage in body should match '^[a-z]+$'",
                    ),
                ],
            ),
            (
                json!({"stage": "abcdef"}),
                vec![("spec.stage", "Too long: may not be more than 5 bytes")],
            ),
            (
                json!({"stage": "a", "kind": "C"}),
                vec![("spec.kind", "Unsupported value: \"C\": supported values: \"B\", \"A\"")],
            ),
            (
                json!({"stage": "a", "count": -1}),
                vec![(
                    "spec.count",
                    "Invalid value: -1: spec.count in body should be greater than or equal to 0",
                )],
            ),
            (
                json!({"stage": "a", "count": 10}),
                vec![(
                    "spec.count",
                    "Invalid value: 10: spec.count in body should be less than or equal to 9",
                )],
            ),
            (
                json!({"stage": "a", "when": "now"}),
                vec![(
                    "spec.when",
                    "Invalid value: \"now\": spec.when in body must be of type date-time: \"now\"",
                )],
            ),
            (json!({"stage": "a", "when": "2026-08-21T17:51:41Z"}), vec![]),
            (
                json!({"stage": "a", "steps": []}),
                vec![(
                    "spec.steps",
                    "Invalid value: 0: spec.steps in body should have at least 1 items",
                )],
            ),
            (
                json!({"stage": "a", "steps": [{"uses": "x"}, {}]}),
                vec![("spec.steps[1]", "Invalid value: \"object\": uses must be set")],
            ),
            (
                json!({"stage": "a", "steps": [{}, {}, {}]}),
                vec![("spec.steps", "Too many: 3: must have at most 2 items")],
            ),
            (
                json!({"stage": "a", "named": [{"name": "a"}, {"name": "a"}]}),
                vec![("spec.named[1]", "Duplicate value: {\"name\":\"a\"}")],
            ),
            (
                json!({"stage": "a", "set": ["a", "a"]}),
                vec![("spec.set[1]", "Duplicate value: \"a\"")],
            ),
            (json!({"stage": "a", "port": "http"}), vec![]),
            (
                json!({"stage": "a", "port": true}),
                vec![(
                    "spec.port",
                    "Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
                )],
            ),
            (
                json!({"stage": "a", "fixed": "new"}),
                vec![("spec.fixed", "Invalid value: \"string\": immutable")],
            ),
        ] {
            let old = json!({"spec": {"fixed": "old"}});
            let found = check(&json!({"spec": spec}), Some(&old), &schema);
            let stumbles = found.iter().any(|c| BLOCKING.contains(&c.reason));
            let mut found: Vec<(&str, &str)> =
                found.iter().map(|c| (c.field.as_str(), c.message.as_str())).collect();
            // Where rules may stumble they are not looked at, which is said last.
            if stumbles {
                let (field, message) = found.pop().unwrap();
                assert_eq!(field, "", "{spec}");
                assert!(message.contains("some validation rules were not checked"), "{message}");
            }
            assert_eq!(found, causes, "{spec}");
        }
    }
}
