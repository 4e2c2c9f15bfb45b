//! Which provider serves a repository's URL (`steps-git` 13.1).

use std::fmt;
use std::str::FromStr;

use crate::error::ForgeError;

/// A Git provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// GitHub, and GitHub Enterprise.
    GitHub,
    /// GitLab, on gitlab.com or self-managed.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// Azure DevOps.
    Azure,
    /// Bitbucket: Cloud on bitbucket.org, Data Center elsewhere.
    Bitbucket,
}

impl Provider {
    /// All of them, in the order in which they claim a URL.
    pub const ALL: [Self; 5] =
        [Self::GitHub, Self::GitLab, Self::Gitea, Self::Azure, Self::Bitbucket];

    /// Its name in a step's config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Azure => "azure",
            Self::Bitbucket => "bitbucket",
        }
    }

    /// The provider that a repository's URL names by its host, as written.
    /// `user@host:path` names none.
    pub fn of_url(url: &str) -> Option<Self> {
        let host = host(url)?;
        let name = host.split(':').next().unwrap_or_default();
        let claims = |provider: &Self| match provider {
            Self::GitHub => host.contains("github") || host.ends_with(".ghe.com"),
            Self::GitLab => host.contains("gitlab"),
            Self::Gitea => host.contains("gitea"),
            Self::Azure => host == "dev.azure.com" || host.ends_with("visualstudio.com"),
            Self::Bitbucket => name == "bitbucket.org",
        };
        // Ours: what upstream knows no provider for.
        let further = || {
            if host.contains("forgejo") || name == "codeberg.org" {
                Some(Self::Gitea)
            } else if host.contains("bitbucket") {
                Some(Self::Bitbucket)
            } else {
                None
            }
        };
        Self::ALL.into_iter().find(claims).or_else(further)
    }

    /// The named provider, or the one that the URL names.
    ///
    /// # Errors
    /// [`ForgeError::Config`] in the words of `steps-git` 13.1.
    pub fn choose(name: Option<&str>, url: &str) -> Result<Self, ForgeError> {
        match name {
            Some(name) => name.parse(),
            None => Self::of_url(url).ok_or_else(|| {
                ForgeError::Config(format!(
                    "no registered providers for {}; set provider to azure, bitbucket, gitea, github or gitlab",
                    without_userinfo(url)
                ))
            }),
        }
    }
}

impl FromStr for Provider {
    type Err = ForgeError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.as_str() == name).ok_or_else(|| {
            ForgeError::Config(format!("no registered providers with name {name:?}"))
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The host of a URL as written, with its port.
fn host(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || !scheme.chars().all(plain) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().filter(|host| !host.is_empty())
}

/// The URL without user name and password.
pub(crate) fn without_userinfo(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.rsplit_once('@').map_or(url, |(_, rest)| rest).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Provider::{Azure, Bitbucket, GitHub, GitLab, Gitea};

    #[test]
    fn a_url_names_its_provider_by_its_host() {
        for (url, expected) in [
            ("https://github.com/a/b.git", Some(GitHub)),
            ("https://github.example.com:8443/a/b", Some(GitHub)),
            ("https://acme.ghe.com/a/b", Some(GitHub)),
            ("ssh://git@github.com/a/b.git", Some(GitHub)),
            ("https://GitHub.com/a/b", None),
            ("git@github.com:a/b.git", None),
            ("https://gitlab.com/g/s/p", Some(GitLab)),
            ("https://gitlab.lan/g/p", Some(GitLab)),
            ("https://gitea.lan:3000/a/b", Some(Gitea)),
            ("https://dev.azure.com/o/p/_git/r", Some(Azure)),
            ("https://o.visualstudio.com/p/_git/r", Some(Azure)),
            ("https://dev.azure.com:444/o/p/_git/r", None),
            ("https://u@bitbucket.org/a/b", Some(Bitbucket)),
            ("https://bitbucket.org:443/a/b", Some(Bitbucket)),
            ("https://bitbucket.lan/scm/a/b.git", Some(Bitbucket)),
            ("https://codeberg.org/a/b", Some(Gitea)),
            ("https://forgejo.lan/a/b", Some(Gitea)),
            ("https://your.git/repo.git", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(Provider::of_url(url), expected, "{url}");
        }
        assert_eq!(Provider::choose(Some("gitea"), "https://github.com/a/b").unwrap(), Gitea);
        let error = Provider::choose(Some("svn"), "https://github.com/a/b").unwrap_err();
        assert_eq!(error.to_string(), "no registered providers with name \"svn\"");
        let error = Provider::choose(None, "https://u:canary@your.git/r.git").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("no registered providers for https://your.git/r.git"), "{text}");
    }
}
