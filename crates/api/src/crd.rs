//! The CustomResourceDefinitions, made from the types.
//!
//! What schemars writes is brought into the form of structural schemas in one
//! pass: no titles, no null types, no unsigned formats, no defaults but those
//! that are marked (`x-default`).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::kind::{CustomKind, GROUP, VERSION};

/// The definitions of all kinds, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    definitions()
        .into_iter()
        // The JSON is ours alone; that it fits is proved by a test.
        .filter_map(|(_, definition)| serde_json::from_value(definition).ok())
        .collect()
}

/// The definition of one kind.
pub fn of<K: CustomKind>() -> CustomResourceDefinition {
    // The JSON is ours alone; that it fits is proved by a test for each kind.
    serde_json::from_value(definition::<K>()).unwrap_or_default()
}

/// The definition of one kind as JSON.
pub fn definition<K: CustomKind>() -> Value {
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": K::COLUMNS
            .iter()
            .map(|(name, path, kind)| json!({"name": name, "jsonPath": path, "type": kind}))
            .collect::<Vec<_>>(),
        "schema": {"openAPIV3Schema": root_schema::<K>()},
    });
    version["subresources"] = if K::HAS_STATUS { json!({"status": {}}) } else { json!({}) };
    let mut names = json!({
        "kind": K::KIND,
        "listKind": format!("{}List", K::KIND),
        "plural": K::PLURAL,
        "singular": K::KIND.to_lowercase(),
    });
    if !K::SHORT_NAMES.is_empty() {
        names["shortNames"] = json!(K::SHORT_NAMES);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", K::PLURAL)},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": if K::NAMESPACED { "Namespaced" } else { "Cluster" },
            "versions": [version],
        }
    })
}

fn root_schema<K: CustomKind>() -> Value {
    let mut generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
            settings.transforms.clear();
        })
        .into_generator();
    let mut properties = Map::new();
    properties.insert(
        "apiVersion".into(),
        json!({"type": "string", "description": "The group and version of this kind."}),
    );
    properties.insert("kind".into(), json!({"type": "string", "description": "The kind."}));
    properties.insert("metadata".into(), json!({"type": "object"}));
    for (name, schema) in K::root_fields(&mut generator) {
        let mut schema = serde_json::to_value(schema).unwrap_or_default();
        normalise(&mut schema);
        properties.insert(name.to_owned(), schema);
    }
    let mut root = json!({"type": "object", "description": K::ABOUT, "properties": properties});
    if !K::REQUIRED.is_empty() {
        root["required"] = json!(K::REQUIRED);
    }
    root
}

/// Rules about steps, by the list they stand in (`api` 3.4).
fn step_rules(list: &str) -> Value {
    match list {
        "template" => json!([
            {"message": "PromotionTemplate step must have exactly one of uses or task set",
             "rule": "(has(self.uses) ? !has(self.task) : has(self.task))"},
            {"message": "PromotionTemplate step referencing a task cannot set continueOnError",
             "rule": "!has(self.task) || !has(self.continueOnError)"},
            {"message": "PromotionTemplate step referencing a task cannot set retry",
             "rule": "!has(self.task) || !has(self.retry)"}
        ]),
        "promotion" => json!([
            {"message": "Promotion step must have uses set and must not reference a task",
             "rule": "has(self.uses) && !has(self.task)"}
        ]),
        _ => json!([
            {"message": "PromotionTask step must have uses set and must not reference another task",
             "rule": "has(self.uses) && !has(self.task)"}
        ]),
    }
}

fn normalise(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    for key in ["title", "$schema", "nullable"] {
        fields.remove(key);
    }
    fields.remove("default");
    if let Some(default) = fields.remove("x-default") {
        fields.insert("default".into(), default);
    }
    // An optional struct: the other alternative is null.
    if let Some(Value::Array(alternatives)) = fields.remove("anyOf") {
        for alternative in alternatives {
            if alternative.get("type") != Some(&json!("null"))
                && alternative.get("enum") != Some(&json!([null]))
                && alternative.get("const") != Some(&Value::Null)
                && let Value::Object(inner) = alternative
            {
                for (key, value) in inner {
                    fields.entry(key).or_insert(value);
                }
            }
        }
    }
    if let Some(Value::Array(types)) = fields.get("type")
        && let Some(first) = types.iter().find(|t| **t != json!("null")).cloned()
    {
        fields.insert("type".into(), first);
    }
    match fields.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            fields.insert("format".into(), json!("int32"));
        }
        Some("uint64") => {
            fields.insert("format".into(), json!("int64"));
        }
        _ => {}
    }
    if fields.get("type") == Some(&json!("integer"))
        && fields.get("minimum") == Some(&json!(0))
        && !fields.contains_key("x-minimum")
    {
        let keep = fields.get("format") == Some(&json!("int64"));
        if !keep {
            fields.remove("minimum");
        }
    }
    if let Some(Value::String(list)) = fields.remove("x-step-rules")
        && let Some(items) = fields.get_mut("items").and_then(Value::as_object_mut)
    {
        items.insert("x-kubernetes-validations".into(), step_rules(&list));
    }
    let marked = |mark: &str| -> Vec<String> {
        fields
            .get("properties")
            .and_then(Value::as_object)
            .map(|p| {
                p.iter().filter(|(_, s)| s.get(mark).is_some()).map(|(k, _)| k.clone()).collect()
            })
            .unwrap_or_default()
    };
    let (optional, needed) = (marked("x-optional"), marked("x-required"));
    let mut required: Vec<String> = match fields.remove("required") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    required.retain(|name| !optional.contains(name));
    required.extend(needed);
    required.sort();
    required.dedup();
    if !required.is_empty() {
        fields.insert("required".into(), json!(required));
    }
    fields.remove("x-optional");
    fields.remove("x-required");
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(normalise);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            normalise(inner);
        }
    }
    if fields.get("additionalProperties") == Some(&json!(false)) {
        fields.remove("additionalProperties");
    }
}

/// The definitions as files: name and YAML.
pub fn files() -> Vec<(String, String)> {
    definitions()
        .into_iter()
        .map(|(plural, definition)| {
            let yaml = serde_yaml::to_string(&sorted(definition)).unwrap_or_default();
            let head = "# Made from the types in crates/api by `make crds`; do not edit.\n";
            (format!("{GROUP}_{plural}.yaml"), format!("{head}{yaml}"))
        })
        .collect()
}

/// The definitions as JSON, with their plurals.
pub fn definitions() -> Vec<(&'static str, Value)> {
    fn of<K: CustomKind>() -> (&'static str, Value) {
        (K::PLURAL, definition::<K>())
    }
    vec![
        of::<crate::ClusterConfig>(),
        of::<crate::ClusterPromotionTask>(),
        of::<crate::Freight>(),
        of::<crate::ProjectConfig>(),
        of::<crate::Project>(),
        of::<crate::PromotionRequest>(),
        of::<crate::Promotion>(),
        of::<crate::PromotionTask>(),
        of::<crate::Stage>(),
        of::<crate::Target>(),
        of::<crate::Warehouse>(),
    ]
}

/// The same value with its keys sorted, so that the files are the same
/// whatever order the build keeps keys in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: std::collections::BTreeMap<String, Value> =
                members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
