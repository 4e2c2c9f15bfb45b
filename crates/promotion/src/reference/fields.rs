//! The fields of a config, from its JSON Schema.

use serde_json::Value;

/// How deep fields may lie in one another.
const MAX_DEPTH: usize = 12;

/// A field of a step's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is, for example `checkout[].path`.
    pub path: String,
    /// What may stand there, in words.
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// The schema's default, as JSON.
    pub default: Option<String>,
    /// Whether it holds further fields, which are listed after it.
    pub is_container: bool,
}

/// The fields that the schema allows, each container before what it holds.
pub fn fields(schema: &Value) -> Vec<Field> {
    let mut out = Vec::new();
    walk(schema, schema, "", 0, &mut out);
    out
}

fn walk(root: &Value, schema: &Value, prefix: &str, depth: usize, out: &mut Vec<Field>) {
    if depth > MAX_DEPTH {
        return;
    }
    let schema = resolve(root, schema);
    let properties = properties(root, schema);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in properties {
        let field = resolve(root, field);
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let (inner, below) = match field.get("items").map(|items| resolve(root, items)) {
            Some(items) => (items, format!("{path}[]")),
            None => (field, path.clone()),
        };
        let is_container = !self::properties(root, inner).is_empty();
        out.push(Field {
            path,
            kind: kind(root, field),
            required: required.contains(&name.as_str()),
            default: field.get("default").map(Value::to_string),
            is_container,
        });
        if is_container {
            walk(root, inner, &below, depth + 1, out);
        }
    }
}

/// An object's properties; also those that only one of its alternatives has.
fn properties<'a>(root: &'a Value, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let mut out: Vec<(String, &Value)> = Vec::new();
    let own = std::iter::once(schema);
    let alternatives = ["allOf", "anyOf", "oneOf"]
        .iter()
        .filter_map(|key| schema.get(*key).and_then(Value::as_array))
        .flatten();
    for part in own.chain(alternatives) {
        let part = resolve(root, part);
        let properties = part.get("properties").and_then(Value::as_object);
        for (name, field) in properties.into_iter().flatten() {
            if !out.iter().any(|(known, _)| known == name) {
                out.push((name.clone(), field));
            }
        }
    }
    out
}

/// What `$ref` points at within the same schema.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        match pointer.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// What may stand at a field, in words.
fn kind(root: &Value, schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<String> = choices.iter().map(|c| format!("`{}`", bare(c))).collect();
        return format!("one of {}", choices.join(", "));
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    match names.as_slice() {
        [] => "any value".to_owned(),
        ["array"] => {
            let items = schema.get("items").map(|items| kind(root, resolve(root, items)));
            match items.as_deref() {
                Some("any value") | None => "list".to_owned(),
                Some(one) if one.starts_with("one of ") => {
                    format!("list of {}", one.trim_start_matches("one of "))
                }
                Some(one) => format!("list of {one}s"),
            }
        }
        ["object"] if schema.get("properties").is_none() => {
            let values = schema.get("additionalProperties").filter(|v| v.is_object());
            match values.map(|values| kind(root, resolve(root, values))) {
                Some(values) if values != "any value" => format!("map of {values}s"),
                _ => "map".to_owned(),
            }
        }
        names => names.join(" or "),
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_come_with_their_type() {
        let schema = json!({
            "type": "object",
            "required": ["path", "updates"],
            "properties": {
                "path": {"type": "string"},
                "mode": {"enum": ["a", "b"], "default": "a"},
                "updates": {"type": "array", "items": {"$ref": "#/definitions/update"}},
                "names": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "wait": {"type": ["boolean", "null"]},
            },
            "oneOf": [{"properties": {"tag": {"type": "string"}, "path": {}}}],
            "definitions": {"update": {
                "type": "object", "required": ["key"],
                "properties": {"key": {"type": "string"}, "value": {}},
            }},
        });
        let got: Vec<String> = fields(&schema)
            .iter()
            .map(|f| {
                let required = if f.required { " !" } else { "" };
                let default = f.default.clone().map(|d| format!(" = {d}")).unwrap_or_default();
                format!("{}: {}{required}{default}", f.path, f.kind)
            })
            .collect();
        let mut got = got;
        got.sort();
        assert_eq!(
            got,
            [
                "labels: map of strings",
                "mode: one of `a`, `b` = \"a\"",
                "names: list of strings",
                "path: string !",
                "tag: string",
                "updates: list of objects !",
                "updates[].key: string !",
                "updates[].value: any value",
                "wait: boolean",
            ]
        );
    }
}
