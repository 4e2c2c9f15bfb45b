//! Which registry and repository an image URL names (`warehouses` 4.2, the
//! reference rules).

use std::fmt;
use std::net::IpAddr;

use crate::error::Error;

/// Docker Hub's registry, as references name it.
pub(super) const DOCKER_HUB: &str = "index.docker.io";

/// A repository in a registry, by its public name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    registry: String,
    repository: String,
}

impl Address {
    /// Reads an image repository's URL. A tag behind it is dropped.
    ///
    /// # Errors
    /// Text that names no repository.
    ///
    /// ```
    /// use sources::registry::Address;
    /// let address = Address::parse("docker.io/busybox")?;
    /// assert_eq!(address.to_string(), "index.docker.io/library/busybox");
    /// # Ok::<(), sources::Error>(())
    /// ```
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Config(format!(
                "error parsing image repo URL {url}: it names no image repository; write for example \"ghcr.io/owner/name\" or \"docker.io/owner/name\", without scheme and tag"
            ))
        };
        let text = url.trim().to_lowercase();
        let mut text = text.as_str();
        if let Some((before, tag)) = text.rsplit_once(':')
            && !tag.contains('/')
        {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if !(1..=128).contains(&tag.len()) || !tag.bytes().all(word) {
                return Err(wrong());
            }
            text = before;
        }
        let (registry, repository) = match text.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => {
                (first, rest)
            }
            _ => (DOCKER_HUB, text),
        };
        let letter = |b: u8| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'/' | b'-')
        };
        if !(2..=255).contains(&repository.len())
            || !repository.bytes().all(letter)
            || repository.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(wrong());
        }
        let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_');
        if registry.is_empty() || !registry.bytes().all(host) {
            return Err(wrong());
        }
        let registry = canonical(registry);
        let repository = if registry == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        Ok(Self { registry, repository })
    }

    /// A repository by its two names, which are taken as they are but for
    /// Docker Hub's several; none where they cannot be such names.
    pub(crate) fn of(registry: &str, repository: &str) -> Option<Self> {
        let (host, port) = registry.rsplit_once(':').unwrap_or((registry, "0"));
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let fits = !host.is_empty()
            && host.bytes().all(word)
            && !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit());
        let names = repository.split('/').all(|part| !matches!(part, "" | "." | ".."));
        (fits && names && repository.len() <= 255)
            .then(|| Self { registry: canonical(registry), repository: repository.to_owned() })
    }

    /// The registry's host, with its port where one was written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether plain HTTP may be tried where HTTPS fails: registries on this
    /// machine or a private network.
    pub(super) fn may_be_plain(&self) -> bool {
        let (host, port) = match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, true),
            _ => (self.registry.as_str(), false),
        };
        if host == "localhost" {
            return port;
        }
        if host.ends_with(".localhost") {
            return true;
        }
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
            Ok(IpAddr::V6(ip)) => ip.is_loopback(),
            Err(_) => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

/// One name for Docker Hub's several.
pub(super) fn canonical(registry: &str) -> String {
    match registry {
        "docker.io" | "registry-1.docker.io" | DOCKER_HUB => DOCKER_HUB.to_owned(),
        other => other.to_lowercase(),
    }
}
