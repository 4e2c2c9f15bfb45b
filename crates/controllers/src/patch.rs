//! Writes that are sent only when something changed (house rule 3).
//!
//! A status write is a JSON merge patch of the difference between what was
//! last known and what is wanted (`api` 1 rule 6). Lists are replaced whole;
//! a key that went away becomes `null`. Nothing else of the object is touched.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::metrics::Metrics;

/// The JSON merge patch (RFC 7386) that turns `before` into `after`; none if
/// they are equal.
///
/// ```
/// use serde_json::json;
/// let patch = controllers::patch::diff(&json!({"a": 1, "b": {"c": 2}}), &json!({"a": 1, "b": {"d": 3}}));
/// assert_eq!(patch, Some(json!({"b": {"c": null, "d": 3}})));
/// ```
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in after {
        match before.get(key) {
            Some(old) => {
                if let Some(inner) = diff(old, new) {
                    patch.insert(key.clone(), inner);
                }
            }
            None => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    Some(Value::Object(patch))
}

/// Writes the difference between two statuses of `name`, if there is one, and
/// returns the object as the server has it then. With `version` the server
/// refuses the write when the object has another resourceVersion.
///
/// # Errors
/// What the API server answered, with class Conflict when `version` is stale.
pub async fn status<K, S>(
    api: &Api<K>,
    name: &str,
    before: Option<&S>,
    after: &S,
    version: Option<&str>,
    metrics: &Metrics,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let before = before.map_or(Ok(Value::Null), serde_json::to_value);
    let after = serde_json::to_value(after);
    let (Ok(before), Ok(after)) = (before, after) else {
        return Err(Error::new(
            crate::error::ErrorClass::Internal,
            format!("the status of {name} cannot be written as JSON; please report this"),
        ));
    };
    let before = if before.is_null() { json!({}) } else { before };
    let Some(change) = diff(&before, &after) else { return Ok(None) };
    status_change(api, name, change, version, metrics).await.map(Some)
}

/// Writes `change`, a merge patch of the status of `name` that the caller
/// made, and returns the object as the server has it then.
///
/// # Errors
/// What the API server answered, with class Conflict when `version` is stale.
pub async fn status_change<K>(
    api: &Api<K>,
    name: &str,
    change: Value,
    version: Option<&str>,
    metrics: &Metrics,
) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut body = json!({ "status": change });
    if let Some(version) = version {
        body["metadata"] = json!({ "resourceVersion": version });
    }
    metrics.wrote(&format!("{}/status", K::kind(&())));
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map_err(|e| Error::api(format_args!("failed to patch the status of {name}"), e))
}

/// Writes a merge patch of the object's metadata, for example
/// `{"finalizers": [...]}` or `{"annotations": {"a": null}}`, and returns the
/// object as the server has it then.
///
/// # Errors
/// What the API server answered.
pub async fn metadata<K>(
    api: &Api<K>,
    name: &str,
    change: Value,
    metrics: &Metrics,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let body = json!({ "metadata": change });
    metrics.wrote(&K::kind(&()));
    api.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_in_the_patch() {
        for (name, before, after, patch) in [
            ("equal", json!({"a": [1]}), json!({"a": [1]}), None),
            ("lists are whole", json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]}))),
            ("removed", json!({"a": 1, "b": 2}), json!({"b": 2}), Some(json!({"a": null}))),
            (
                "nested",
                json!({"m": {"x": 1, "y": 1}}),
                json!({"m": {"x": 1, "y": 2}}),
                Some(json!({"m": {"y": 2}})),
            ),
            ("new map", json!({}), json!({"m": {}}), Some(json!({"m": {}}))),
            ("other type", json!({"a": {"b": 1}}), json!({"a": 1}), Some(json!({"a": 1}))),
        ] {
            assert_eq!(diff(&before, &after), patch, "{name}");
        }
    }
}
