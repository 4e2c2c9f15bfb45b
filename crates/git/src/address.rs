//! Addresses of repositories: what users write, what is shown, what is asked.

use crate::error::GitError;

/// What an address says about where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `http`, `https` or `ssh`.
    pub(crate) scheme: String,
    /// Lower-cased.
    pub(crate) host: String,
    /// The one given, or the scheme's own.
    pub(crate) port: u16,
    /// As written, less `/` and `.git` at its ends.
    pub(crate) path: String,
}

impl Place {
    /// Host and, where it is not the scheme's own, port.
    pub(crate) fn shown_host(&self) -> String {
        if self.port == default_port(&self.scheme) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether scheme, host and port are the same.
    pub(crate) fn same_server(&self, other: &Place) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "http" => 80,
        "https" => 443,
        _ => 22,
    }
}

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without password; the user name stays for SSH only.
    pub(crate) clean: String,
    /// Where it leads.
    pub(crate) place: Place,
    /// The user name in it.
    pub(crate) user: Option<String>,
    /// The password in it.
    pub(crate) password: Option<String>,
}

/// Takes an address apart: `http(s)://…`, `ssh://…` or `user@host:path`.
/// Everything else, files of this machine above all, is refused.
pub(crate) fn parse(written: &str) -> Result<Address, GitError> {
    let written = written.trim();
    if let Some((scheme, rest)) = written.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "ssh") {
            return Err(GitError::Config(format!(
                "repository URLs with scheme \"{scheme}\" are not served; use https, http or ssh"
            )));
        }
        let mut url = url::Url::parse(written).map_err(|e| {
            GitError::Config(format!("repository URL of host {:?} is no URL: {e}", host_of(rest)))
        })?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() {
            return Err(GitError::Config("repository URL names no host".to_owned()));
        }
        let decoded = |text: &str| {
            url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, v)| v.into_owned())
                .unwrap_or_default()
        };
        let user = Some(url.username()).filter(|u| !u.is_empty()).map(decoded);
        let password = url.password().map(decoded);
        let port = url.port().unwrap_or_else(|| default_port(&scheme));
        let path = trimmed(url.path());
        // Neither can fail for these schemes.
        let _ = url.set_password(None);
        if scheme != "ssh" {
            let _ = url.set_username("");
        }
        url.set_fragment(None);
        let clean = url.to_string();
        return Ok(Address { clean, place: Place { scheme, host, port, path }, user, password });
    }
    let (front, path) = written.split_once(':').unwrap_or((written, ""));
    let (user, host) = match front.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, front),
    };
    let plain = |s: &str| {
        !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    // `user:password@host` is no path at a host named `user`.
    let odd_path =
        path.is_empty() || path.starts_with(':') || (user.is_none() && path.contains('@'));
    if !plain(host) || odd_path || user.as_deref().is_some_and(|u| !plain(u)) {
        return Err(GitError::Config(format!(
            "{:?} is no repository URL; use https://host/path, ssh://user@host/path or user@host:path",
            host_of(written)
        )));
    }
    Ok(Address {
        clean: written.to_owned(),
        place: Place {
            scheme: "ssh".to_owned(),
            host: host.to_ascii_lowercase(),
            port: 22,
            path: trimmed(path),
        },
        user,
        password: None,
    })
}

fn trimmed(path: &str) -> String {
    let path = path.trim_matches('/');
    path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/').to_owned()
}

fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// URL rewriting, as git's `url.<base>.insteadOf`: addresses that begin with
/// the public prefix are asked for at another place. Messages, status and
/// Freight keep the public address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRewrites(Vec<(String, String)>);

impl UrlRewrites {
    /// Rewrites nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule: addresses that begin with `public` are asked for with
    /// `actual` in its place.
    #[must_use]
    pub fn with(mut self, public: impl Into<String>, actual: impl Into<String>) -> Self {
        self.0.push((public.into(), actual.into()));
        self
    }

    /// Reads rules as settings give them: `https://your.git/=http://127.0.0.1:4000/`.
    ///
    /// # Errors
    /// A rule without `=`, or with an empty side.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, GitError> {
        let mut rewrites = Self::new();
        for rule in rules {
            match rule.split_once('=') {
                Some((public, actual)) if !public.is_empty() && !actual.is_empty() => {
                    rewrites = rewrites.with(public.trim(), actual.trim());
                }
                _ => {
                    return Err(GitError::Config(format!(
                        "git URL rewriting {rule:?} is no PUBLIC=ACTUAL pair of URL prefixes"
                    )));
                }
            }
        }
        Ok(rewrites)
    }

    /// The address to ask for; of several rules the longest prefix wins.
    pub fn apply(&self, url: &str) -> String {
        let rule = self
            .0
            .iter()
            .filter(|(public, _)| url.starts_with(public.as_str()))
            .max_by_key(|(public, _)| public.len());
        match rule {
            Some((public, actual)) => {
                format!("{actual}{}", url.get(public.len()..).unwrap_or_default())
            }
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let cases = [
            (
                "https://GitHub.com/A/b.git",
                "https github.com 443 A/b - -",
                "https://github.com/A/b.git",
            ),
            ("https://u:p%40w@h:8443/a/b/", "https h 8443 a/b u p@w", "https://h:8443/a/b/"),
            ("http://tok+en@h/a", "http h 80 a tok+en -", "http://h/a"),
            ("ssh://git@h:2222/a/b.git", "ssh h 2222 a/b git -", "ssh://git@h:2222/a/b.git"),
            ("git@h:a/b.git", "ssh h 22 a/b git -", "git@h:a/b.git"),
        ];
        for (written, expected, clean) in cases {
            let a = parse(written).unwrap();
            let p = &a.place;
            let none = || "-".to_owned();
            let found = format!(
                "{} {} {} {} {} {}",
                p.scheme,
                p.host,
                p.port,
                p.path,
                a.user.clone().unwrap_or_else(none),
                a.password.clone().unwrap_or_else(none)
            );
            assert_eq!(found, expected, "{written}");
            assert_eq!(a.clean, clean, "{written}");
        }
    }

    #[test]
    fn other_addresses_are_refused_without_telling_a_password() {
        for written in [
            "file:///etc",
            "/etc",
            "./x",
            "git://h/a",
            "ext::sh -c id",
            "https://",
            "https://user:canary@h:99999/a",
            "user:canary@h",
            "",
        ] {
            let error = parse(written).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{written}: {error}");
        }
    }

    #[test]
    fn the_longest_prefix_rewrites() {
        let rewrites =
            UrlRewrites::parse(["https://a/=http://x/", "https://a/b/=http://y/z/"]).unwrap();
        for (url, expected) in [
            ("https://a/c.git", "http://x/c.git"),
            ("https://a/b/c.git", "http://y/z/c.git"),
            ("https://other/c.git", "https://other/c.git"),
        ] {
            assert_eq!(rewrites.apply(url), expected);
        }
        assert!(UrlRewrites::parse(["nonsense"]).is_err());
    }
}
