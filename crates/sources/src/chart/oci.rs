//! Charts in an image registry: the versions are tags.

use std::sync::LazyLock;

use regex::Regex;

use crate::error::Error;
use crate::registry::Address;

static REPOSITORY: LazyLock<Regex> = LazyLock::new(|| {
    let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    Regex::new(&format!("^{part}(?:/{part})*$")).expect("a constant expression compiles")
});

/// The registry and repository of `oci://<registry>/<repository>`. A tag or
/// digest behind it is dropped. Unlike an image's, the registry is always
/// written, and Docker Hub's `library/` is not put in.
///
/// # Errors
/// Text that names no repository.
pub(super) fn address(url: &str) -> Result<Address, Error> {
    let wrong = |why: &str| {
        Error::Config(format!(
            "error parsing repository URL {url:?}: {why}; write oci://<registry>/<repository>, for example oci://ghcr.io/owner/charts/app"
        ))
    };
    let Some(text) = url.strip_prefix("oci://") else {
        return Err(wrong("it does not begin with oci://"));
    };
    let Some((registry, rest)) = text.split_once('/') else {
        return Err(wrong("the repository is missing"));
    };
    let rest = rest.split_once('@').map_or(rest, |(name, _)| name);
    let repository = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => rest,
    };
    if repository.len() > 255 || !REPOSITORY.is_match(repository) {
        return Err(wrong("the repository's name cannot be one"));
    }
    Address::of(registry, repository).ok_or_else(|| wrong("the registry's name cannot be one"))
}
