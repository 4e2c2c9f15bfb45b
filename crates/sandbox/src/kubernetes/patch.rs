//! The patch formats that know nothing of schemas: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).

use super::failure::Failure;
use serde_json::{Map, Value};

/// Most operations that one JSON patch may hold, as in the real API server.
const MAX_OPERATIONS: usize = 10_000;

/// Most bytes that the `copy` operations of one patch may add together, as in the real API server.
const MAX_COPIED: usize = 1_500_000;
/// How deep an object may nest after a patch. Bodies nest at most 128 levels deep, but copies add up.
const MAX_DEPTH: usize = 256;

/// Merges `patch` into `target`: `null` removes, objects merge, all else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Applies the operations of a JSON patch, all or none.
///
/// # Errors
/// 400 when the patch is not one; 422 when an operation does not fit the object.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    let Value::Array(operations) = patch else {
        return Err(Failure::bad_request(
            "error decoding patch: json: cannot unmarshal into an array of operations",
        ));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(Failure::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        ));
    }
    let mut result = target.clone();
    let mut copied = 0;
    for operation in operations {
        operate(&mut result, operation, &mut copied).map_err(|why| {
            Failure::new(
                422,
                "Invalid",
                format!("the server rejected our request due to an error in our request: {why}"),
            )
        })?;
    }
    *target = result;
    Ok(())
}

fn operate(target: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let name = text("op").ok_or("operation has no \"op\"")?;
    let path = text("path").ok_or_else(|| format!("{name} operation has no \"path\""))?;
    let value = || {
        operation
            .get("value")
            .cloned()
            .ok_or_else(|| format!("{name} operation has no \"value\": {path}"))
    };
    let from = || text("from").ok_or_else(|| format!("{name} operation has no \"from\": {path}"));
    match name {
        "add" => add(target, path, value()?),
        "remove" => take(target, path).map(drop),
        "replace" => {
            let slot = find(target, path)?;
            *slot = value()?;
            Ok(())
        }
        "move" => {
            let moved = take(target, from()?)?;
            add(target, path, moved)
        }
        "copy" => {
            let value = find(target, from()?)?.clone();
            *copied = copied.saturating_add(value.to_string().len());
            if *copied > MAX_COPIED {
                return Err(format!(
                    "the copies of the patch add up to more than {MAX_COPIED} bytes"
                ));
            }
            add(target, path, value)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let missing = Value::Null;
            let found = target.pointer(path).unwrap_or(&missing);
            if found == wanted { Ok(()) } else { Err(format!("testing path {path} failed")) }
        }
        other => Err(format!("unexpected operation {other:?}")),
    }
}

fn find<'a>(target: &'a mut Value, path: &str) -> Result<&'a mut Value, String> {
    target.pointer_mut(path).ok_or_else(|| format!("path {path} does not exist"))
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("path {path:?} does not begin with a slash"))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.matches('/').count() + depth(&value) > MAX_DEPTH {
        return Err(format!("path {path} would nest deeper than {MAX_DEPTH} levels"));
    }
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match find(target, parent)? {
        Value::Object(fields) => {
            fields.insert(last, value);
            Ok(())
        }
        Value::Array(items) => {
            let at = if last == "-" { items.len() } else { index(&last, items.len())? };
            items.insert(at, value);
            Ok(())
        }
        _ => Err(format!("path {path} does not lead into an object or a list")),
    }
}

fn take(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path)?;
    match find(target, parent)? {
        Value::Object(fields) => {
            fields.remove(&last).ok_or_else(|| format!("unable to remove nonexistent key: {last}"))
        }
        Value::Array(items) if !items.is_empty() => {
            let at = index(&last, items.len() - 1)?;
            Ok(items.remove(at))
        }
        _ => Err(format!("path {path} does not exist")),
    }
}

/// A list index of at most `most`.
fn index(text: &str, most: usize) -> Result<usize, String> {
    text.parse::<usize>()
        .ok()
        .filter(|at| *at <= most)
        .ok_or_else(|| format!("unable to access invalid index: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn copies_cannot_grow_without_bound() {
        let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        let doubling: Vec<Value> = (0..100).map(|n| copy("", &format!("/x{n}"))).collect();
        assert!(json_patch(&mut json!({"a": "b"}), &Value::Array(doubling)).is_err());
        let deepening: Vec<Value> =
            (1..12).map(|n| copy("/a", &"/a".repeat((1 << n) + 1))).collect();
        let mut target = json!({"a": {"a": {"a": {}}}});
        assert!(json_patch(&mut target, &Value::Array(deepening)).is_err());
        assert_eq!(target, json!({"a": {"a": {"a": {}}}}));
    }

    #[test]
    fn merge_patches_follow_the_rfc() {
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, result, "{patch}");
        }
    }

    #[test]
    fn json_patches_apply_whole_or_not_at_all() {
        for (target, patch, result) in [
            (
                json!({"a": [1, 3]}),
                json!([{"op": "add", "path": "/a/1", "value": 2}]),
                Ok(json!({"a": [1, 2, 3]})),
            ),
            (
                json!({"a": [1]}),
                json!([{"op": "add", "path": "/a/-", "value": 2}]),
                Ok(json!({"a": [1, 2]})),
            ),
            (json!({"a/b": 1}), json!([{"op": "remove", "path": "/a~1b"}]), Ok(json!({}))),
            (
                json!({"a": 1}),
                json!([{"op": "move", "from": "/a", "path": "/b"}]),
                Ok(json!({"b": 1})),
            ),
            (
                json!({"a": 1}),
                json!([{"op": "copy", "from": "/a", "path": "/b"}]),
                Ok(json!({"a": 1, "b": 1})),
            ),
            (json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 2}]), Err(())),
            (json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), Err(())),
            (json!({"a": []}), json!([{"op": "remove", "path": "/a/0"}]), Err(())),
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/2", "value": 2}]), Err(())),
            (json!({"a": 1}), json!([{"op": "remove", "path": ""}]), Err(())),
            (json!({}), json!([{"op": "fly", "path": "/a"}]), Err(())),
            (json!({}), json!([7]), Err(())),
            (json!({}), json!({}), Err(())),
        ] {
            let mut patched = target.clone();
            let outcome = json_patch(&mut patched, &patch);
            match result {
                Ok(wanted) => assert_eq!((outcome, patched), (Ok(()), wanted), "{patch}"),
                Err(()) => {
                    assert!(outcome.is_err(), "{patch}");
                    assert_eq!(patched, target, "{patch}");
                }
            }
        }
    }
}
