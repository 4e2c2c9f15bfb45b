//! Strategic merge patches, as far as the built-in kinds here need them: objects merge, lists of known
//! fields merge by their keys, and the `$patch`, `$retainKeys`, `$setElementOrder` and
//! `$deleteFromPrimitiveList` directives are followed.

use super::failure::Failure;
use serde_json::{Map, Value};

/// How deep a patch may nest.
const MAX_DEPTH: usize = 128;

/// The key by which the items of a list belong together; `None` where the list is one value.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "ownerReferences" => Some("uid"),
        "imagePullSecrets" | "secrets" | "containers" | "initContainers" | "volumes" | "env" => {
            Some("name")
        }
        "conditions" => Some("type"),
        "ports" => Some("port"),
        _ => None,
    }
}

/// Lists of plain values that are merged as sets.
fn is_set(field: &str) -> bool {
    field == "finalizers"
}

/// Applies a strategic merge patch.
///
/// # Errors
/// 400 when it is not one.
pub fn merge(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    if !patch.is_object() {
        return Err(Failure::bad_request(
            "error decoding patch: the strategic merge patch is not a JSON object",
        ));
    }
    walk(target, patch, 0)
}

fn walk(target: &mut Value, patch: &Value, depth: usize) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::bad_request(format!(
            "the patch nests deeper than {MAX_DEPTH} levels"
        )));
    }
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *target = plain(changes);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            return Err(Failure::bad_request(format!("Unrecognized patch type: {other}")));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return Ok(()) };
    if let Some(Value::Array(kept)) = changes.get("$retainKeys") {
        fields.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (fields.get_mut(list), change)
            {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        match change {
            Value::Null => drop(fields.remove(name)),
            Value::Array(items) if merge_key(name).is_some() || is_set(name) => {
                let slot = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                list(slot, items, merge_key(name), depth)?;
            }
            Value::Object(_) => {
                walk(fields.entry(name.clone()).or_insert(Value::Null), change, depth + 1)?
            }
            other => drop(fields.insert(name.clone(), other.clone())),
        }
    }
    Ok(())
}

fn list(
    target: &mut Value,
    changes: &[Value],
    key: Option<&str>,
    depth: usize,
) -> Result<(), Failure> {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(items) = target else { return Ok(()) };
    let directive =
        |change: &Value| change.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if changes.iter().any(|change| directive(change).as_deref() == Some("replace")) {
        *items = changes.iter().filter(|change| directive(change).is_none()).cloned().collect();
        return Ok(());
    }
    for change in changes {
        let Some(key) = key else {
            if !items.contains(change) {
                items.push(change.clone());
            }
            continue;
        };
        let Some(wanted) = change.get(key) else {
            return Err(Failure::bad_request(format!(
                "map: {change} does not contain declared merge key: {key}"
            )));
        };
        let at = items.iter().position(|item| item.get(key) == Some(wanted));
        match (directive(change).as_deref(), at.and_then(|at| items.get_mut(at))) {
            (Some("delete"), _) => items.retain(|item| item.get(key) != Some(wanted)),
            (_, Some(item)) => walk(item, change, depth + 1)?,
            (_, None) => items.push(change.clone()),
        }
    }
    Ok(())
}

fn plain(changes: &Map<String, Value>) -> Value {
    Value::Object(
        changes
            .iter()
            .filter(|(name, _)| !name.starts_with('$'))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_merge_by_key_and_directives_are_followed() {
        for (mut target, patch, wanted) in [
            (json!({"a": {"b": 1}}), json!({"a": {"c": 2, "b": null}}), json!({"a": {"c": 2}})),
            (
                json!({"secrets": [{"name": "x", "v": 1}, {"name": "y"}]}),
                json!({"secrets": [{"name": "x", "w": 2}, {"name": "y", "$patch": "delete"}, {"name": "z"}]}),
                json!({"secrets": [{"name": "x", "v": 1, "w": 2}, {"name": "z"}]}),
            ),
            (
                json!({"finalizers": ["a"]}),
                json!({"finalizers": ["b", "a"]}),
                json!({"finalizers": ["a", "b"]}),
            ),
            (
                json!({"finalizers": ["a", "b"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b"]}),
                json!({"finalizers": ["b"]}),
            ),
            (json!({"list": [1]}), json!({"list": [2]}), json!({"list": [2]})),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"$patch": "replace", "c": 1}}),
                json!({"a": {"c": 1}}),
            ),
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"$retainKeys": ["b"], "b": 3}}),
                json!({"a": {"b": 3}}),
            ),
        ] {
            merge(&mut target, &patch).unwrap();
            assert_eq!(target, wanted, "{patch}");
        }
        assert!(merge(&mut json!({}), &json!([])).is_err());
        assert!(merge(&mut json!({}), &json!({"secrets": [{}]})).is_err());
    }
}
