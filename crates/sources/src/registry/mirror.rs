//! Registry mirrors: other places that serve a registry's content. Status,
//! Freight and messages keep the public names (house rule 4).

use std::collections::BTreeMap;
use std::str::FromStr;

use url::Url;

use super::address::canonical;

/// Which registries are read at another address.
///
/// Written as `docker.io=http://127.0.0.1:5000`; a path of the mirror stands
/// before the repository (`docker.io=https://harbor.example/hub-proxy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, Url>);

/// A mirror that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "registry mirror {0:?} is not understood; write <registry>=<URL>, for example docker.io=https://mirror.example, without credentials"
)]
pub struct MirrorError(String);

impl Mirrors {
    /// Reads mirrors, each as `<registry>=<URL>`.
    ///
    /// # Errors
    /// The first one that cannot be understood.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, MirrorError> {
        let mut mirrors = BTreeMap::new();
        for entry in entries.into_iter().map(str::trim).filter(|e| !e.is_empty()) {
            let wrong = || MirrorError(entry.to_owned());
            let (registry, url) = entry.split_once('=').ok_or_else(wrong)?;
            let url = Url::parse(url.trim()).map_err(|_| wrong())?;
            if registry.trim().is_empty()
                || !matches!(url.scheme(), "http" | "https")
                || url.host_str().is_none()
                || !url.username().is_empty()
                || url.password().is_some()
            {
                return Err(wrong());
            }
            mirrors.insert(canonical(registry.trim()), url);
        }
        Ok(Self(mirrors))
    }

    pub(super) fn of(&self, registry: &str) -> Option<&Url> {
        self.0.get(registry)
    }
}

impl FromStr for Mirrors {
    type Err = MirrorError;

    /// Reads a list separated by commas.
    fn from_str(text: &str) -> Result<Self, MirrorError> {
        Self::parse(text.split(','))
    }
}
