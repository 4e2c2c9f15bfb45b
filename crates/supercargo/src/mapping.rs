//! Two settings that users behind mirrors need: which address to ask instead
//! of a public one. Status, Freight and messages keep the public names.

use std::str::FromStr;

/// A registry that is asked at another address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryMirror {
    /// The public registry, for example `docker.io`.
    pub host: String,
    /// Where it is asked instead, `http://` or `https://`.
    pub url: String,
}

impl FromStr for RegistryMirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not HOST=URL; write for example docker.io=https://mirror.example.com"
            )
        };
        let (host, url) = text.split_once('=').ok_or_else(wrong)?;
        let parsed = url::Url::parse(url).map_err(|_| wrong())?;
        if host.is_empty() || host.contains('/') || !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), url: url.trim_end_matches('/').to_owned() })
    }
}

/// A beginning of Git URLs that is replaced by another, as Git's `insteadOf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRewrite {
    /// How the public URLs start.
    pub prefix: String,
    /// What stands there instead.
    pub replacement: String,
}

impl FromStr for GitRewrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not PREFIX=URL; write for example https://your.git/=https://mirror/"
            )
        };
        // The prefix may have a `=` in its query; a URL follows the last one.
        let at = text
            .match_indices('=')
            .map(|(at, _)| at)
            .find(|at| {
                let url = &text[at + 1..];
                url.contains("://") || url.starts_with('/')
            })
            .ok_or_else(wrong)?;
        let (prefix, replacement) = (&text[..at], &text[at + 1..]);
        if prefix.is_empty() {
            return Err(wrong());
        }
        Ok(Self { prefix: prefix.to_owned(), replacement: replacement.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_host_and_an_address() {
        let mirror: RegistryMirror = "docker.io=http://127.0.0.1:5000/".parse().unwrap();
        assert_eq!(mirror.host, "docker.io");
        assert_eq!(mirror.url, "http://127.0.0.1:5000");
        for wrong in ["docker.io", "=http://x", "docker.io=x", "docker.io=ftp://x", "a/b=http://x"]
        {
            assert!(wrong.parse::<RegistryMirror>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rewrite_is_a_prefix_and_what_replaces_it() {
        let rewrite: GitRewrite = "https://your.git/=http://127.0.0.1:3000/".parse().unwrap();
        assert_eq!(rewrite.prefix, "https://your.git/");
        assert_eq!(rewrite.replacement, "http://127.0.0.1:3000/");
        for wrong in ["https://your.git/", "=http://x/"] {
            assert!(wrong.parse::<GitRewrite>().is_err(), "{wrong}");
        }
    }
}
