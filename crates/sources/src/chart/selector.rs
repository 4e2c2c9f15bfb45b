//! Which versions of a chart count, and in which order (`warehouses` 7): a
//! pure function of the subscription and the versions.

use api::ChartSubscription;

use super::report::{Reason, VersionReport};
use crate::error::Error;
use crate::semver::{Constraint, Version, newest_first};

/// Where charts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A repository with an `index.yaml`.
    Classic,
    /// An image registry.
    Oci,
}

/// A subscription, ready to select.
#[derive(Debug)]
pub struct Selector {
    pub(super) kind: Kind,
    limit: usize,
    constraint_text: String,
    constraint: Option<Constraint>,
}

impl Selector {
    /// Prepares a subscription. An unset limit is the one that admission would
    /// set.
    ///
    /// # Errors
    /// The first field that cannot be understood.
    pub fn new(subscription: &ChartSubscription) -> Result<Self, Error> {
        let url = subscription.repo_url.as_str();
        let kind = if url.starts_with("http://") || url.starts_with("https://") {
            Kind::Classic
        } else if url.starts_with("oci://") {
            Kind::Oci
        } else {
            return Err(Error::Config(format!(
                "repository URL {url:?} is invalid; write https://… for a classic chart repository or oci://… for a chart in a registry"
            )));
        };
        let text = &subscription.semver_constraint;
        let constraint = match text.as_str() {
            "" => None,
            text => Some(Constraint::parse(text).map_err(|e| {
                Error::Config(format!(
                    "error building base selector: error parsing constraint {text:?}: {e}"
                ))
            })?),
        };
        let limit = usize::try_from(subscription.discovery_limit).ok().filter(|n| *n > 0);
        let default = usize::try_from(api::DEFAULT_DISCOVERY_LIMIT).unwrap_or(20);
        Ok(Self {
            kind,
            limit: limit.unwrap_or(default).min(100),
            constraint_text: text.clone(),
            constraint,
        })
    }

    /// Whether a version, read leniently, meets the constraint (`warehouses`
    /// 7, MatchesVersion).
    pub fn matches_version(&self, version: &str) -> bool {
        Version::parse(version)
            .is_some_and(|v| self.constraint.as_ref().is_none_or(|c| c.admits(&v)))
    }

    /// The versions that count, the newest first, at most the subscription's
    /// limit. Those of a classic repository are read leniently and stay as
    /// they were written; tags of a registry must be strict versions, and `_`
    /// stands in them for `+`, which tags cannot have.
    pub fn select<'a>(
        &self,
        found: impl IntoIterator<Item = &'a str>,
    ) -> (Vec<String>, VersionReport) {
        let mut report = VersionReport::default();
        let mut kept = Vec::new();
        for text in found {
            report.seen += 1;
            let version = match self.kind {
                Kind::Classic => Version::parse(text).ok_or(Reason::NoVersion),
                Kind::Oci => {
                    Version::parse_strict(&text.replace('_', "+")).ok_or(Reason::NotStrict)
                }
            };
            match version {
                Err(reason) => report.drop(reason, || text.to_owned()),
                Ok(v) if self.constraint.as_ref().is_none_or(|c| c.admits(&v)) => kept.push(v),
                Ok(_) => report
                    .drop(Reason::Constraint(self.constraint_text.clone()), || text.to_owned()),
            }
        }
        kept.sort_by(newest_first);
        kept.truncate(self.limit);
        (kept.iter().map(|v| v.original().to_owned()).collect(), report)
    }
}

/// Whether a chart subscription takes a version: what a webhook receiver asks
/// before it has a Warehouse refreshed (`warehouses` 11).
///
/// # Errors
/// A subscription that cannot be understood.
///
/// ```
/// let subscription = api::ChartSubscription {
///     repo_url: "oci://ghcr.io/owner/charts/app".to_owned(),
///     semver_constraint: "^1".to_owned(),
///     ..Default::default()
/// };
/// assert!(sources::chart::matches_version(&subscription, "v1.2.3")?);
/// assert!(!sources::chart::matches_version(&subscription, "2.0.0")?);
/// # Ok::<(), sources::Error>(())
/// ```
pub fn matches_version(subscription: &ChartSubscription, version: &str) -> Result<bool, Error> {
    Ok(Selector::new(subscription)?.matches_version(version))
}
