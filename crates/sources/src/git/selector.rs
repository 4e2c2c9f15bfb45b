//! What a subscription asks for (`warehouses` 5.2): a pure function of it.

use api::GitSubscription;
use jiff::Timestamp;

use super::expression::Filter;
use super::names::NameFilter;
use super::paths::PathFilter;
use super::report::Reason;
use crate::error::Error;
use crate::semver::Version;

/// How commits are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// A branch's commits, the newest first.
    NewestFromBranch,
    /// By the version that the tag is, the highest first.
    SemVer,
    /// By the tag's name, descending.
    Lexical,
    /// By the time the tag was made, the newest first.
    NewestTag,
}

/// A subscription, ready to select.
#[derive(Debug)]
pub struct Selector {
    pub(super) strategy: Strategy,
    pub(super) branch: String,
    pub(super) limit: usize,
    pub(super) since: Option<Timestamp>,
    pub(super) filter: Option<Filter>,
    pub(super) paths: PathFilter,
    names: Option<NameFilter>,
}

impl Selector {
    /// Prepares a subscription. Unset fields have the defaults that admission
    /// would give them; a limit of 0 is 20.
    ///
    /// # Errors
    /// The first field that cannot be understood, in the words and the order
    /// of `warehouses` 5.2.
    ///
    /// ```
    /// let subscription = api::GitSubscription {
    ///     commit_selection_strategy: "SemVer".to_owned(),
    ///     semver_constraint: "^1".to_owned(),
    ///     ..Default::default()
    /// };
    /// let selector = sources::git::Selector::new(&subscription)?;
    /// assert!(selector.matches_ref("refs/tags/v1.2.3"));
    /// assert!(!selector.matches_ref("refs/tags/v2.0.0"));
    /// assert!(!selector.matches_ref("refs/heads/main"));
    /// # Ok::<(), sources::Error>(())
    /// ```
    pub fn new(subscription: &GitSubscription) -> Result<Self, Error> {
        let strategy = match subscription.commit_selection_strategy.as_str() {
            "" | "NewestFromBranch" => Strategy::NewestFromBranch,
            "SemVer" => Strategy::SemVer,
            "Lexical" => Strategy::Lexical,
            "NewestTag" => Strategy::NewestTag,
            other => {
                return Err(Error::Config(format!(
                    "error getting selector factory: commitSelectionStrategy {other:?} is none of Lexical, NewestFromBranch, NewestTag, SemVer"
                )));
            }
        };
        let tagged = strategy != Strategy::NewestFromBranch;
        let base = |e: Error| {
            let e = e.within("error building base selector: ");
            if tagged { e.within("error building tag based selector: ") } else { e }
        };
        let filter = Filter::new(&subscription.expression_filter).map_err(base)?;
        let paths = PathFilter::new(&subscription.include_paths, &subscription.exclude_paths)
            .map_err(base)?;
        let names = tagged.then(|| NameFilter::new(subscription, strategy)).transpose()?;
        let since = match subscription.since.as_str() {
            "" => None,
            text => Some(text.parse::<Timestamp>().map_err(|e| {
                base(Error::Config(format!(
                    "error parsing since {text:?}: {e}; write a time as 2024-12-31T00:00:00Z"
                )))
            })?),
        };
        Ok(Self {
            strategy,
            branch: subscription.branch.clone(),
            limit: api::discovery_limit(subscription.discovery_limit),
            since,
            filter,
            paths,
            names,
        })
    }

    /// How it selects.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Whether a push to a reference (`refs/heads/…`, `refs/tags/…`) can
    /// change what is found (`warehouses` 5.5): for webhook receivers.
    pub fn matches_ref(&self, reference: &str) -> bool {
        match &self.names {
            Some(names) => {
                reference.strip_prefix("refs/tags/").is_some_and(|tag| names.check(tag).is_ok())
            }
            None => reference.strip_prefix("refs/heads/").is_some_and(|branch| {
                branch == self.branch
                    || (self.branch.is_empty() && matches!(branch, "main" | "master"))
            }),
        }
    }

    /// Whether one of the changed files counts (`warehouses` 4.3): for webhook
    /// receivers, and for commits. None at all never count.
    pub fn matches_paths<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> bool {
        self.paths.matches(paths.into_iter())
    }

    /// Whether a tag counts by its name, and as which version where versions
    /// count.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn check_name(&self, tag: &str) -> Result<Option<Version>, Reason> {
        self.names.as_ref().map_or(Ok(None), |names| names.check(tag))
    }
}
