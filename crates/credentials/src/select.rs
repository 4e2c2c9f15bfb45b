//! Which Secret serves a URL (`credentials` 3), as functions over values.

use regex::RegexBuilder;

use crate::credential::{CRED_TYPE_LABEL, Credential, CredentialKind, Login, StoredSecret};

/// The largest compiled `repoURL` pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

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

/// The Secret of one namespace that serves the URL: the first by name whose
/// `repoURL` matches, exact and pattern alike (`credentials` 3, "Search in one
/// namespace"). A pattern that does not compile is passed over with a warning.
pub fn find<'a>(
    kind: CredentialKind,
    repo_url: &str,
    secrets: &'a [StoredSecret],
) -> Option<&'a StoredSecret> {
    let normalized = normalize(kind, repo_url);
    let mut candidates: Vec<&StoredSecret> = secrets
        .iter()
        .filter(|s| s.labels.get(CRED_TYPE_LABEL).is_some_and(|v| v == kind.as_str()))
        .filter(|s| s.has("repoURL"))
        .collect();
    candidates.sort_by(|a, b| a.reference.name.cmp(&b.reference.name));
    candidates.into_iter().find(|secret| {
        let wanted = secret.text("repoURL");
        if secret.text("repoURLIsRegex") != "true" {
            return normalize(kind, wanted) == normalized;
        }
        match RegexBuilder::new(wanted).size_limit(MAX_PATTERN_BYTES).build() {
            Ok(pattern) => pattern.is_match(repo_url) || pattern.is_match(&normalized),
            Err(_) => {
                tracing::warn!(
                    secret = %secret.reference,
                    "repoURL is marked as a regular expression but is none; mend it or drop repoURLIsRegex"
                );
                false
            }
        }
    })
}

/// What a matching Secret yields: user name and password before an SSH key
/// (`credentials` 5 and 6). `None` where it has neither, or an empty one; that
/// answer is final.
pub fn credential(kind: CredentialKind, secret: &StoredSecret) -> Option<Credential> {
    let login = if secret.has("username") && secret.has("password") {
        let password = secret.data.get("password")?.clone();
        let username = secret.text("username").to_owned();
        if username.is_empty() || password.is_empty() {
            return None;
        }
        Login::Basic { username, password }
    } else if secret.has("sshPrivateKey") {
        let key = secret.data.get("sshPrivateKey")?.clone();
        if key.is_empty() {
            return None;
        }
        Login::SshKey(key)
    } else {
        return None;
    };
    Some(Credential { kind, login, source: secret.reference.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secret, SecretRef};
    use CredentialKind::{Git, Helm, Image};

    /// Case, kind, URL asked for, Secrets, the name of the one that serves.
    type Choice =
        (&'static str, CredentialKind, &'static str, Vec<StoredSecret>, Option<&'static str>);
    /// Case, data of the Secret, what it yields.
    type Yield = (&'static str, Vec<(&'static str, &'static str)>, Option<Login>);

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
            let found = find(kind, url, &secrets).map(|s| s.reference.name.as_str());
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
    fn a_secret_yields_a_password_before_a_key() {
        let (u, p, k) = (("username", "u"), ("password", "pw"), ("sshPrivateKey", "PEM"));
        let basic = || Login::Basic { username: "u".into(), password: Secret::new("pw") };
        let cases: Vec<Yield> = vec![
            ("basic", vec![u, p], Some(basic())),
            ("credentials/K22", vec![u, ("password", "")], None),
            ("credentials/K22 with a key", vec![u, ("password", ""), k], None),
            ("credentials/K23", vec![u, k], Some(Login::SshKey(Secret::new("PEM")))),
            ("credentials/K23 alone", vec![u], None),
            ("credentials/K24", vec![u, p, k], Some(basic())),
            ("empty key", vec![("sshPrivateKey", "")], None),
            ("neither", vec![("foo", "bar")], None),
        ];
        for (case, data, expected) in cases {
            let found = credential(Git, &secret("a", "git", &data)).map(|c| c.login);
            assert_eq!(found, expected, "{case}");
        }
    }
}
