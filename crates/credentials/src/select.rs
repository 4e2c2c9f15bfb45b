//! Which Secret covers a URL (`credentials` 3), as functions over values.

use std::fmt;

use regex::RegexBuilder;

use crate::credential::{
    CRED_TYPE_LABEL, CredentialKind, Matched, SecretRef, StoredSecret, bounded, shown,
};

/// The largest compiled `repoURL` pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The longest reason why a pattern is none, in characters.
const MAX_REASON: usize = 160;

/// Whether no credential may be used for this URL: it is plain HTTP and that
/// is not allowed (`credentials` 3, rule 1). The scheme's case does not matter,
/// other than upstream.
pub fn forbidden_over_http(repo_url: &str, allow_http: bool) -> bool {
    !allow_http && repo_url.trim_start().get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://"))
}

/// The URL in the form in which URLs of this kind are compared.
pub fn normalize(kind: CredentialKind, repo_url: &str) -> String {
    match kind {
        CredentialKind::Git => api::urls::normalize_git(repo_url),
        CredentialKind::Image => api::urls::normalize_image(repo_url),
        CredentialKind::Helm => api::urls::normalize_chart(repo_url),
    }
}

/// A repository that a credential is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is.
    pub kind: CredentialKind,
    /// Its URL as written.
    pub repo_url: String,
    /// Its URL in the one form of its kind.
    pub normalized: String,
}

impl Asked {
    /// The repository of this kind at this URL.
    pub fn new(kind: CredentialKind, repo_url: &str) -> Self {
        Self { kind, repo_url: repo_url.to_owned(), normalized: normalize(kind, repo_url) }
    }

    /// The URL as it may be shown: without userinfo.
    pub fn shown(&self) -> String {
        shown(&self.repo_url)
    }
}

/// What a Secret's `repoURL` says about a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It covers it.
    Covers(Matched),
    /// It is another's. Both in normal form.
    OtherUrl {
        /// The Secret's.
        secret: String,
        /// The one asked for.
        asked: String,
    },
    /// It is a pattern that matches neither form of the URL.
    OtherPattern(String),
    /// It should be a pattern and is none.
    BadPattern {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none.
    NoRepoUrl,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Covers(matched) => matched.fmt(f),
            Self::OtherUrl { secret, asked } => {
                write!(f, "its repoURL is {secret}, not {asked}")
            }
            Self::OtherPattern(pattern) => write!(f, "its pattern {pattern} does not match"),
            Self::BadPattern { pattern, reason } => write!(
                f,
                "its repoURL {pattern} is no regular expression ({reason}); mend it, or remove repoURLIsRegex"
            ),
            Self::NoRepoUrl => f.write_str("it has no repoURL; add one"),
        }
    }
}

/// What the Secret's `repoURL` says about the repository. Patterns are not
/// anchored and are tried on the URL as written and on its normal form.
pub fn judge(asked: &Asked, secret: &StoredSecret) -> Verdict {
    if !secret.has("repoURL") {
        return Verdict::NoRepoUrl;
    }
    let written = secret.text("repoURL");
    if secret.text("repoURLIsRegex") != "true" {
        let normalized = normalize(asked.kind, written);
        return if normalized == asked.normalized {
            Verdict::Covers(Matched::Exact(shown(written)))
        } else {
            Verdict::OtherUrl { secret: shown(&normalized), asked: shown(&asked.normalized) }
        };
    }
    match RegexBuilder::new(written).size_limit(MAX_PATTERN_BYTES).build() {
        Ok(pattern) if pattern.is_match(&asked.repo_url) || pattern.is_match(&asked.normalized) => {
            Verdict::Covers(Matched::Pattern(shown(written)))
        }
        Ok(_) => Verdict::OtherPattern(shown(written)),
        Err(error) => {
            // The last line of several names the fault; the others draw it.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.trim().trim_start_matches("error: ");
            Verdict::BadPattern { pattern: shown(written), reason: bounded(reason, MAX_REASON) }
        }
    }
}

/// The Secrets that may serve repositories of this kind, in the order in which
/// they are asked: by name, bytewise.
pub fn candidates(kind: CredentialKind, secrets: &[StoredSecret]) -> Vec<&StoredSecret> {
    let mut candidates: Vec<&StoredSecret> = secrets
        .iter()
        .filter(|s| s.labels.get(CRED_TYPE_LABEL).is_some_and(|v| v == kind.as_str()))
        .collect();
    candidates.sort_by(|a, b| a.reference.name.cmp(&b.reference.name));
    candidates
}

/// The Secret of one namespace that serves the URL: the first by name whose
/// `repoURL` covers it, exact and pattern alike (`credentials` 3, "Search in one
/// namespace"). A pattern that does not compile is passed over with a warning.
pub fn find<'a>(asked: &Asked, secrets: &'a [StoredSecret]) -> Option<(&'a StoredSecret, Matched)> {
    for secret in candidates(asked.kind, secrets) {
        match judge(asked, secret) {
            Verdict::Covers(matched) => return Some((secret, matched)),
            verdict @ Verdict::BadPattern { .. } => {
                let secret: &SecretRef = &secret.reference;
                tracing::warn!(%secret, "passed over: {verdict}");
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use CredentialKind::{Git, Helm, Image};

    /// Case, kind, URL asked for, Secrets, the name of the one that serves.
    type Choice =
        (&'static str, CredentialKind, &'static str, Vec<StoredSecret>, Option<&'static str>);

    fn secret(name: &str, kind: &str, data: &[(&str, &str)]) -> StoredSecret {
        StoredSecret {
            reference: SecretRef {
                namespace: "p".into(),
                name: name.into(),
                uid: format!("uid-{name}"),
            },
            labels: [(CRED_TYPE_LABEL.to_owned(), kind.to_owned())].into(),
            annotations: Default::default(),
            data: data.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect(),
        }
    }

    fn exact(name: &str, kind: &str, url: &str) -> StoredSecret {
        secret(name, kind, &[("repoURL", url), ("username", "u"), ("password", "pw")])
    }

    fn pattern(name: &str, kind: &str, url: &str) -> StoredSecret {
        let mut secret = exact(name, kind, url);
        secret.data.insert("repoURLIsRegex".into(), Secret::new("true"));
        secret
    }

    #[test]
    fn the_first_match_by_name_serves_the_url() {
        const KARGO: &str = "https://github.com/akuity/kargo";
        let not_quite = {
            let mut s = pattern("a", "git", "^https://github\\.com/.*$");
            s.data.insert("repoURLIsRegex".into(), Secret::new("True"));
            s
        };
        let cases: Vec<Choice> = vec![
            (
                "credentials/K1",
                Git,
                "https://github.com/akuity/kargo.git",
                vec![exact("a", "git", KARGO)],
                Some("a"),
            ),
            (
                "credentials/K2",
                Git,
                "https://github.com/akuity/kargo.git",
                vec![pattern("a", "git", KARGO)],
                Some("a"),
            ),
            (
                "credentials/K5",
                Image,
                "my-registry.io:5000/image",
                vec![exact("a", "image", "my-registry.io:5000/image")],
                Some("a"),
            ),
            (
                "credentials/K7",
                Git,
                KARGO,
                vec![
                    pattern("x-url-pattern", "git", "^https://github.com/akuity/.*$"),
                    exact("x-url", "git", KARGO),
                ],
                Some("x-url"),
            ),
            (
                "credentials/K8",
                Git,
                KARGO,
                vec![exact("b", "git", KARGO), pattern("a", "git", "^https://github.com/")],
                Some("a"),
            ),
            ("credentials/K9", Git, "https://x.y/z", vec![exact("a", "git", KARGO)], None),
            (
                "credentials/K13",
                Helm,
                "oci://foo/bar/something",
                vec![pattern("a", "helm", "^oci://foo/bar")],
                Some("a"),
            ),
            (
                "credentials/K14",
                Helm,
                "oci://foo/bar/something",
                vec![pattern("a", "helm", "^foo/bar")],
                Some("a"),
            ),
            (
                "credentials/K15",
                Git,
                KARGO,
                vec![pattern("a", "git", "(("), exact("b", "git", KARGO)],
                Some("b"),
            ),
            ("credentials/K16", Git, KARGO, vec![not_quite], None),
            (
                "credentials/K17",
                Git,
                KARGO,
                vec![secret("a", "git", &[("username", "u"), ("password", "p")])],
                None,
            ),
            ("credentials/K18", Image, KARGO, vec![exact("a", "git", KARGO)], None),
            (
                "credentials/K25",
                Git,
                "https://GITHUB.com/Example/Repo.git/",
                vec![exact("a", "git", "https://github.com/example/repo")],
                Some("a"),
            ),
            (
                "credentials/K26",
                Helm,
                "oci://registry-1.docker.io/example/c",
                vec![exact("a", "helm", "oci://docker.io/example/c")],
                Some("a"),
            ),
        ];
        for (case, kind, url, secrets, expected) in cases {
            let found = find(&Asked::new(kind, url), &secrets);
            let found = found.as_ref().map(|(secret, _)| secret.reference.name.as_str());
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn plain_http_gets_no_credentials_unless_allowed() {
        let cases = [
            ("credentials/K10", "http://github.com/akuity/bogus.git", false, true),
            ("credentials/K11", "http://github.com/akuity/bogus.git", true, false),
            ("credentials/K12", "HTTP://github.com/akuity/bogus.git", false, true),
            ("https is fine", "https://github.com/akuity/bogus.git", false, false),
        ];
        for (case, url, allowed, forbidden) in cases {
            assert_eq!(forbidden_over_http(url, allowed), forbidden, "{case}");
        }
    }

    #[test]
    fn a_secret_that_is_passed_over_says_why() {
        let asked = Asked::new(Git, "https://github.com/akuity/kargo");
        let mut bad = pattern("a", "git", "https://(github");
        let said = judge(&asked, &bad).to_string();
        assert!(
            said.starts_with(
                "its repoURL https://(github is no regular expression (unclosed group"
            ),
            "{said}"
        );
        assert!(!said.contains('\n'), "{said}");
        // A pattern that would need too much memory is refused, not compiled.
        bad.data.insert("repoURL".into(), Secret::new(r"\w{100}{100}{100}"));
        assert!(matches!(judge(&asked, &bad), Verdict::BadPattern { .. }));

        let cases = [
            (
                exact("a", "git", "https://me:canary@GitHub.com/other/one.git"),
                "its repoURL is https://github.com/other/one, not https://github.com/akuity/kargo",
            ),
            (pattern("a", "git", "^ssh://"), "its pattern ^ssh:// does not match"),
            (secret("a", "git", &[("username", "u")]), "it has no repoURL; add one"),
            (
                exact("a", "git", "https://me:canary@github.com/akuity/kargo"),
                "its repoURL https://github.com/akuity/kargo is this repository",
            ),
        ];
        for (secret, said) in cases {
            assert_eq!(judge(&asked, &secret).to_string(), said);
        }
    }
}
