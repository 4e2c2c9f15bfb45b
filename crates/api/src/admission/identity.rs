//! Who asks, and what that adds to requests in annotations
//! (`admission` 1.1, 2.4).

use regex::Regex;

use crate::requests::{AbortRequest, VerificationRequest};

/// Who is one of the control plane's own.
#[derive(Clone, Debug, Default)]
pub struct ControlPlane(Option<Regex>);

impl ControlPlane {
    /// Those whose user name matches, anywhere in it; nobody where the pattern
    /// is empty.
    ///
    /// # Errors
    /// When the pattern cannot be read.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        if pattern.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(regex::RegexBuilder::new(pattern).size_limit(1 << 20).build()?)))
    }

    /// Whether a user is one of them.
    pub fn includes(&self, username: &str) -> bool {
        self.0.as_ref().is_some_and(|r| r.is_match(username))
    }

    /// Who asks, with that told.
    pub fn requester<'a>(&self, username: &'a str) -> Requester<'a> {
        Requester { username, control_plane: self.includes(username) }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester<'a> {
    /// The name by which the API server knows them.
    pub username: &'a str,
    /// Whether they are one of the control plane's own.
    pub control_plane: bool,
}

impl Requester<'_> {
    /// As actors are written: `kubernetes:<username>`.
    pub fn actor(&self) -> String {
        format!("kubernetes:{}", self.username)
    }
}

/// The `abort` annotation of a Promotion with who asks added; none where it
/// stays as it is. `old` is its value before, none at creation.
pub fn enrich_abort(value: &str, old: Option<&str>, who: Requester<'_>) -> Option<String> {
    let mut request = AbortRequest::parse(value)?;
    if old.and_then(AbortRequest::parse).as_ref() == Some(&request) {
        return None;
    }
    request.control_plane = who.control_plane;
    if !who.control_plane {
        request.actor = who.actor();
    }
    Some(request.to_string())
}

/// The `reverify` or `abort` annotation of a Stage with who asks added; none
/// where it stays as it is. `old` is its value before, none at creation.
pub fn enrich_verification(value: &str, old: Option<&str>, who: Requester<'_>) -> Option<String> {
    let mut request = VerificationRequest::parse(value)?;
    if old.and_then(VerificationRequest::parse).as_ref() == Some(&request) {
        return None;
    }
    request.control_plane = who.control_plane;
    if !who.control_plane {
        request.actor = who.actor();
    }
    Some(request.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_is_known_by_its_names() {
        let account = |name: &str| format!("system:serviceaccount:kargo:{name}");
        for (case, pattern, user, wanted) in [
            ("admission/A1", "", account("kargo-api"), false),
            ("admission/A2", "^fake-user$", account("kargo-api"), false),
            (
                "admission/A3",
                "^system:serviceaccount:kargo:kargo-api$",
                "system:serviceaccount:other:x".to_owned(),
                false,
            ),
            (
                "admission/A4",
                "^system:serviceaccount:kargo:(kargo-api|kargo-controller)$",
                account("kargo-controller"),
                true,
            ),
            (
                "admission/A5",
                "^system:serviceaccount:kargo:[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                account("any"),
                true,
            ),
        ] {
            assert_eq!(ControlPlane::new(pattern).unwrap().includes(&user), wanted, "{case}");
        }
        assert!(ControlPlane::new("[").is_err(), "admission/A6");
    }

    #[test]
    fn requests_say_who_asks() {
        let user = Requester { username: "real-user", control_plane: false };
        let plane = Requester { username: "kargo-api", control_plane: true };
        let by_user = r#"{"id":"id1","actor":"kubernetes:real-user"}"#;
        let from_plane = r#"{"id":"id1","actor":"kubernetes:a","controlPlane":true}"#;
        let cases = [
            ("admission/A69", "id1", None, user, Some(by_user)),
            ("admission/A70", r#"{"id":"id1","actor":"fake"}"#, None, user, Some(by_user)),
            (
                "admission/A71",
                r#"{"id":"id1","actor":"email:x"}"#,
                None,
                plane,
                Some(r#"{"id":"id1","actor":"email:x","controlPlane":true}"#),
            ),
            (
                "admission/A72",
                r#"{"id":"id1","actor":"kubernetes:a"}"#,
                Some(from_plane),
                user,
                Some(by_user),
            ),
            ("admission/A73", from_plane, Some(from_plane), user, None),
            ("admission/A74", "", None, user, None),
            ("admission/A74", r#"{"id":""}"#, None, user, None),
        ];
        for (case, value, old, who, wanted) in cases {
            assert_eq!(enrich_verification(value, old, who).as_deref(), wanted, "{case}");
            // spec: admission/A75
            let as_action = |t: &str| t.replace(r#"{"id":"#, r#"{"action":"#);
            assert_eq!(
                enrich_abort(&as_action(value), old.map(as_action).as_deref(), who),
                wanted.map(as_action),
                "{case} as an abort"
            );
        }
        assert_eq!(
            enrich_abort("terminate", None, user).as_deref(),
            Some(r#"{"action":"terminate","actor":"kubernetes:real-user"}"#),
            "admission/A119"
        );
    }
}
