//! A repository's URL taken apart: the host, and the path as providers name
//! repositories by it, in lower case (`steps-git` 13.1 rule 2).

use crate::error::ForgeError;
use crate::provider::without_userinfo;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `http` where the URL says so, else `https`.
    pub(crate) scheme: &'static str,
    /// The host, with its port where the URL is http or https.
    pub(crate) host: String,
    /// The path's segments.
    pub(crate) path: Vec<String>,
    /// For messages.
    written: String,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, ForgeError> {
        let written = without_userinfo(url);
        let wrong =
            || ForgeError::Config(format!("{written:?} is no URL of a repository; check repoURL"));
        let named = url.trim().split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if named.is_some_and(|scheme| !matches!(scheme.as_str(), "http" | "https" | "ssh")) {
            return Err(wrong());
        }
        let normal = api::urls::normalize_git(url);
        let (scheme, rest) = normal.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let (scheme, host) = match scheme {
            "http" => ("http", host),
            "https" => ("https", host),
            // The port is that of SSH.
            "ssh" => ("https", host.split(':').next().unwrap_or_default()),
            _ => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        // Segments are percent-encoded when requests are made of them.
        let decoded = |segment: &str| {
            let text = format!("v={}", segment.replace('+', "%2B").replace('&', "%26"));
            url::form_urlencoded::parse(text.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let path: Vec<String> = path.split('/').map(decoded).collect();
        Ok(Self { scheme, host: host.to_owned(), path, written })
    }

    /// The path as `owner/repository`.
    pub(crate) fn owner_and_name(&self) -> Result<(String, String), ForgeError> {
        match self.path.as_slice() {
            [owner, name] if !owner.is_empty() && !name.is_empty() => {
                Ok((owner.clone(), name.clone()))
            }
            _ => Err(ForgeError::Config(format!(
                "could not extract repository owner and name from URL {:?}",
                self.written
            ))),
        }
    }

    /// The error of a URL that has not the shape of the provider's URLs.
    pub(crate) fn wrong_shape(&self, shape: &str) -> ForgeError {
        ForgeError::Config(format!("URL {:?} is not of the form {shape}", self.written))
    }

    /// The host without its port.
    pub(crate) fn hostname(&self) -> &str {
        self.host.split(':').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, expected) in [
            ("https://GitHub.com/Org/Repo.git/", "https github.com org/repo"),
            ("http://u:p@git.lan:3000/a/b", "http git.lan:3000 a/b"),
            ("ssh://git@git.lan:2222/a/b.git", "https git.lan a/b"),
            ("git@git.lan:a/b.git", "https git.lan a/b"),
            (
                "https://dev.azure.com/o/my%20project/_git/r",
                "https dev.azure.com o/my project/_git/r",
            ),
            ("https://h/a+b/c&d", "https h a+b/c&d"),
        ] {
            let a = Address::parse(url).unwrap();
            assert_eq!(format!("{} {} {}", a.scheme, a.host, a.path.join("/")), expected, "{url}");
        }
        for url in ["", "nonsense text", "file:///a", "https:///a"] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
        let error = Address::parse("https://u:canary@h/a/b/c").unwrap().owner_and_name();
        assert_eq!(
            error.unwrap_err().to_string(),
            "could not extract repository owner and name from URL \"https://h/a/b/c\""
        );
    }
}
