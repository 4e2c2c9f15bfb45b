//! CustomResourceDefinitions: what a definition makes the API serve.

use super::failure::{Cause, Failure};
use super::resource::{Column, Resource};
use super::schema::Schema;
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn strings(raw: &Value, key: &str) -> Vec<String> {
    let list = raw.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(raw: &Value, key: &str) -> String {
    raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Reads the resources that a definition asks for, one for each served version.
///
/// # Errors
/// What is wrong with it.
pub fn resources(definition: &Value) -> Result<Vec<Resource>, Vec<Cause>> {
    let missing = |field: &str| vec![Cause::new("FieldValueRequired", field, "Required value")];
    let Some(spec) = definition.get("spec").filter(|spec| spec.is_object()) else {
        return Err(missing("spec"));
    };
    let names = spec.get("names").cloned().unwrap_or_default();
    let group = text(spec, "group");
    let (plural, kind) = (text(&names, "plural"), text(&names, "kind"));
    for (field, value) in
        [("spec.group", &group), ("spec.names.plural", &plural), ("spec.names.kind", &kind)]
    {
        if value.is_empty() {
            return Err(missing(field));
        }
    }
    let wanted = format!("{plural}.{group}");
    let name = definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name != wanted {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        return Err(vec![Cause::invalid("metadata.name", &json!(name), detail)]);
    }
    let scope = text(spec, "scope");
    if scope != "Namespaced" && scope != "Cluster" {
        return Err(vec![Cause::new(
            "FieldValueNotSupported",
            "spec.scope",
            format!("Unsupported value: {scope:?}: supported values: \"Cluster\", \"Namespaced\""),
        )]);
    }
    let versions = spec.get("versions").and_then(Value::as_array).cloned().unwrap_or_default();
    if versions.iter().filter(|version| version.get("storage") == Some(&json!(true))).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        return Err(vec![Cause::invalid("spec.versions", &json!(versions.len()), detail)]);
    }
    let mut found = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        if version.get("served").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let place = format!("spec.versions[{at}].schema.openAPIV3Schema");
        let Some(raw) = version.pointer("/schema/openAPIV3Schema") else {
            return Err(missing(&place));
        };
        let schema = Schema::parse(raw)
            .map_err(|why| vec![Cause::invalid(&place, &json!("object"), why)])?;
        found.push(Resource {
            group: group.clone(),
            version: text(version, "name"),
            list_kind: Some(text(&names, "listKind"))
                .filter(|kind| !kind.is_empty())
                .unwrap_or(format!("{kind}List")),
            singular: Some(text(&names, "singular"))
                .filter(|name| !name.is_empty())
                .unwrap_or(kind.to_lowercase()),
            kind: kind.clone(),
            plural: plural.clone(),
            short_names: strings(&names, "shortNames"),
            categories: strings(&names, "categories"),
            namespaced: scope == "Namespaced",
            status: version.pointer("/subresources/status").is_some_and(|status| !status.is_null()),
            custom: true,
            review: false,
            columns: columns(version),
            schema: Some(Arc::new(schema)),
            raw_schema: Some(raw.clone()),
            storage: wanted.clone(),
        });
    }
    Ok(found)
}

fn columns(version: &Value) -> Vec<Column> {
    let written = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if written.is_empty() {
        return vec![Column::new("Age", "date", ".metadata.creationTimestamp")];
    }
    written
        .iter()
        .map(|raw| Column {
            name: text(raw, "name"),
            kind: text(raw, "type"),
            format: text(raw, "format"),
            description: text(raw, "description"),
            priority: raw.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            path: text(raw, "jsonPath"),
        })
        .collect()
}

/// Fills in what a definition may leave out and sets its status: names accepted, established.
///
/// # Errors
/// 422 when the definition cannot be served.
pub fn establish(
    of: &Resource,
    definition: &mut Value,
    now: &str,
) -> Result<Vec<Resource>, Failure> {
    let name =
        definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = resources(definition).map_err(|causes| Failure::invalid(of, &name, &causes))?;
    let Some(first) = found.first() else { return Ok(found) };
    let (singular, list_kind) = (first.singular.clone(), first.list_kind.clone());
    let names = &mut definition["spec"]["names"];
    names["singular"] = json!(singular);
    names["listKind"] = json!(list_kind);
    let accepted = names.clone();
    let spec = &mut definition["spec"];
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let versions = spec.get("versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let stored: Vec<Value> = versions
        .iter()
        .filter(|version| version.get("storage") == Some(&json!(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let since = definition
        .pointer("/status/conditions/0/lastTransitionTime")
        .and_then(Value::as_str)
        .unwrap_or(now)
        .to_owned();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since});
    let mut status = Map::new();
    status.insert("acceptedNames".to_owned(), accepted);
    status.insert("storedVersions".to_owned(), Value::Array(stored));
    status.insert(
        "conditions".to_owned(),
        json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]),
    );
    definition["status"] = Value::Object(status);
    Ok(found)
}
