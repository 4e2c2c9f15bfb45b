//! Pieces of the resources' schemas.

use schemars::{Schema, SchemaGenerator, json_schema};

/// What names of Kubernetes objects look like (`api` 3.6).
pub const DNS_SUBDOMAIN: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Durations that `interval` and `requiredSoakTime` take (`api` 1.4).
pub const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(s|m|h))+$";

/// Anything at all, kept as it is.
pub fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A list of anything, kept as it is.
pub fn opaque_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-required": true, "type": "array", "minItems": 1, "items": {"x-kubernetes-preserve-unknown-fields": true}})
}

/// An object whose members are anything, kept as they are.
pub fn opaque_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true}
    })
}

/// Conditions as Kubernetes has them, a map by type.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "message": {"type": "string", "maxLength": 32768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {
                    "type": "string", "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
                }
            }
        }
    })
}

/// Whether a number is left out because it is zero.
pub(crate) fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}

/// Whether a number is left out because it is zero.
pub(crate) fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

/// Reads a field whose schema lets through what its type does not: one object
/// must not break the reading of a whole list, so that counts as absent.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    use serde::Deserialize;
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
