//! Requests that annotations carry (`api` 7.14).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to end a Promotion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AbortRequest {
    /// `terminate`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// Who asks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// Whether one of the control plane's own asks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
}

/// A request about a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VerificationRequest {
    /// The verification's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Who asks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// Whether one of the control plane's own asks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
}

/// An annotation's value: an object, or else bare text; JSON of any other kind
/// counts as absent.
enum Read<T> {
    Object(T),
    Bare(String),
    Absent,
}

fn read<T: serde::de::DeserializeOwned>(value: &str) -> Read<T> {
    match serde_json::from_str::<Value>(value) {
        Ok(json @ Value::Object(_)) => {
            serde_json::from_value(json).map_or(Read::Absent, Read::Object)
        }
        Ok(_) => Read::Absent,
        Err(_) => Read::Bare(value.to_owned()),
    }
}

impl AbortRequest {
    /// Reads the annotation; none where it asks for nothing.
    pub fn parse(value: &str) -> Option<Self> {
        let request = match read(value) {
            Read::Object(request) => request,
            Read::Bare(action) => Self { action, ..Self::default() },
            Read::Absent => return None,
        };
        (!request.action.is_empty()).then_some(request)
    }
}

impl std::fmt::Display for AbortRequest {
    /// As the annotation holds it: JSON, or nothing without an action.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.action.is_empty() {
            return Ok(());
        }
        f.write_str(&go_json(self).unwrap_or_default())
    }
}

impl VerificationRequest {
    /// Reads the annotation; none where it asks for nothing.
    pub fn parse(value: &str) -> Option<Self> {
        let request = match read(value) {
            Read::Object(request) => request,
            Read::Bare(id) => Self { id, ..Self::default() },
            Read::Absent => return None,
        };
        (!request.id.is_empty()).then_some(request)
    }

    /// Whether it is about the verification of that id.
    pub fn is_for(&self, id: &str) -> bool {
        !self.id.is_empty() && self.id == id
    }
}

impl std::fmt::Display for VerificationRequest {
    /// As the annotation holds it: JSON, or nothing without an id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.id.is_empty() {
            return Ok(());
        }
        f.write_str(&go_json(self).unwrap_or_default())
    }
}

/// Compact JSON with `<`, `>` and `&` escaped, as Go writes it (`api` 1.8).
///
/// # Errors
/// When the value has no JSON form.
pub fn go_json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(value)?
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_objects_or_bare_words() {
        let cases = [
            ("api/requests-R1", "terminate", Some("terminate")),
            ("api/requests-R2", r#"{"action":"terminate","id":"terminate"}"#, Some("terminate")),
            ("api/requests-R3", r#""terminate""#, None),
            ("api/requests-R4", "123", None),
            ("api/requests-R5", "true", None),
            ("api/requests-R6", "null", None),
            ("api/requests-R7", "{}", None),
            ("api/requests-R8", "", None),
            ("api/requests-R9", r#"{"action":5,"id":5}"#, None),
            ("a list", "[]", None),
        ];
        for (case, value, wanted) in cases {
            let action = AbortRequest::parse(value).map(|r| r.action);
            let id = VerificationRequest::parse(value).map(|r| r.id);
            assert_eq!((action.as_deref(), id.as_deref()), (wanted, wanted), "{case}");
        }
    }

    #[test]
    fn requests_are_written_as_go_writes_them() {
        // spec: api/requests-R10
        let abort =
            AbortRequest { action: "foo".into(), actor: "fake-actor".into(), control_plane: true };
        assert_eq!(
            abort.to_string(),
            r#"{"action":"foo","actor":"fake-actor","controlPlane":true}"#
        );
        let verify =
            VerificationRequest { id: "foo".into(), actor: "<a&b>".into(), control_plane: true };
        assert_eq!(
            verify.to_string(),
            r#"{"id":"foo","actor":"\u003ca\u0026b\u003e","controlPlane":true}"#
        );
        assert_eq!(AbortRequest::default().to_string(), "");
    }
}
