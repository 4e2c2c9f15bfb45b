//! Which tags count, and in which order (`warehouses` 6.1, 6.3): a pure
//! function of the subscription and the tags.

use api::ImageSubscription;
use regex::Regex;

use super::metadata::Platform;
use super::report::{Reason, TagReport};
use crate::error::Error;
use crate::registry::Address;
use crate::semver::{Constraint, Version, newest_first};

/// How images are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By version, the highest first.
    SemVer,
    /// By name, descending.
    Lexical,
    /// By the time of building, the newest first.
    NewestBuild,
    /// The one tag that the constraint names.
    Digest,
}

/// A subscription, ready to select.
#[derive(Debug)]
pub struct Selector {
    pub(super) strategy: Strategy,
    pub(super) address: Address,
    pub(super) platform: Option<Platform>,
    pub(super) limit: usize,
    constraint_text: String,
    constraint: Option<Constraint>,
    strict: bool,
    allow: Vec<Regex>,
    ignore: Vec<Regex>,
}

impl Selector {
    /// Prepares a subscription. Unset fields have the defaults that admission
    /// would give them.
    ///
    /// # Errors
    /// The first field that cannot be understood.
    pub fn new(subscription: &ImageSubscription) -> Result<Self, Error> {
        let strategy = match subscription.image_selection_strategy.as_str() {
            "" | "SemVer" => Strategy::SemVer,
            "Lexical" => Strategy::Lexical,
            "NewestBuild" => Strategy::NewestBuild,
            "Digest" => Strategy::Digest,
            other => {
                return Err(Error::Config(format!(
                    "error getting selector factory: imageSelectionStrategy {other:?} is none of Digest, Lexical, NewestBuild, SemVer"
                )));
            }
        };
        let by_tag = |error: Error| match strategy {
            Strategy::Digest => error,
            _ => error.within("error building tag based selector: "),
        };
        let platform = match subscription.platform.as_str() {
            "" => None,
            text => Some(Platform::parse(text).ok_or_else(|| {
                by_tag(
                    Error::Config(format!(
                        "error parsing platform constraint {text:?}: write <os>/<arch>, for example linux/amd64"
                    ))
                    .within("error building base selector: "),
                )
            })?),
        };
        let url = &subscription.repo_url;
        let address = Address::parse(&api::normalize_image(url)).map_err(|e| {
            by_tag(e.within(format!(
                "error building base selector: error creating repository client for image {url:?}: "
            )))
        })?;
        let limit = usize::try_from(subscription.discovery_limit).ok().filter(|n| *n > 0);
        let default = usize::try_from(api::DEFAULT_DISCOVERY_LIMIT).unwrap_or(20);
        let mut selector = Self {
            strategy,
            address,
            platform,
            limit: limit.unwrap_or(default).min(100),
            constraint_text: subscription.constraint.clone(),
            constraint: None,
            strict: subscription.strict_semvers.unwrap_or(true),
            allow: Vec::new(),
            ignore: Vec::new(),
        };
        if strategy == Strategy::Digest {
            if subscription.constraint.is_empty() {
                return Err(Error::Config(
                    "constraint must be set when imageSelectionStrategy is Digest: name the tag to follow".to_owned(),
                ));
            }
            return Ok(selector);
        }
        selector.allow = expressions(&subscription.allow_tags_regexes, "allow").map_err(by_tag)?;
        if !subscription.allow_tags.is_empty() {
            return Err(by_tag(removed("AllowTags")));
        }
        selector.ignore =
            expressions(&subscription.ignore_tags_regexes, "ignore").map_err(by_tag)?;
        if !subscription.ignore_tags.is_empty() {
            return Err(by_tag(removed("IgnoreTags")));
        }
        if strategy == Strategy::SemVer && !subscription.constraint.is_empty() {
            let text = &subscription.constraint;
            selector.constraint = Some(Constraint::parse(text).map_err(|e| {
                Error::Config(format!("error parsing semver constraint {text:?}: {e}"))
            })?);
        }
        Ok(selector)
    }

    /// The tag that strategy Digest follows.
    pub(super) fn followed(&self) -> &str {
        &self.constraint_text
    }

    pub(super) fn platform_text(&self) -> String {
        self.platform.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// How it selects.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Whether a tag counts, or why not.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self, tag: &str) -> Result<(), Reason> {
        if self.strategy == Strategy::Digest {
            return match tag == self.constraint_text {
                true => Ok(()),
                false => Err(Reason::NotFollowed(self.constraint_text.clone())),
            };
        }
        self.named(tag)?;
        if self.strategy == Strategy::SemVer {
            self.version(tag)?;
        }
        Ok(())
    }

    /// The tags that count, in the order in which they are looked at:
    /// descending by version or name. NewestBuild has no order yet.
    pub fn select(&self, tags: Vec<String>) -> (Vec<String>, TagReport) {
        let mut report = TagReport { seen: tags.len(), ..TagReport::default() };
        if self.strategy == Strategy::SemVer {
            let mut versions = Vec::new();
            for tag in tags {
                match self.named(&tag).and_then(|()| self.version(&tag)) {
                    Ok(version) => versions.push(version),
                    Err(reason) => report.drop(reason, || tag),
                }
            }
            versions.sort_by(newest_first);
            return (versions.iter().map(|v| v.original().to_owned()).collect(), report);
        }
        let mut kept = Vec::new();
        for tag in tags {
            match self.check(&tag) {
                Ok(()) => kept.push(tag),
                Err(reason) => report.drop(reason, || tag),
            }
        }
        kept.sort_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
        (kept, report)
    }

    fn named(&self, tag: &str) -> Result<(), Reason> {
        if self.ignore.iter().any(|r| r.is_match(tag)) {
            return Err(Reason::Ignored);
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|r| r.is_match(tag)) {
            return Err(Reason::NotAllowed);
        }
        Ok(())
    }

    fn version(&self, tag: &str) -> Result<Version, Reason> {
        let version = Version::parse_tag(tag, false).ok_or(Reason::NoVersion)?;
        if self.strict && Version::parse_tag(tag, true).is_none() {
            return Err(Reason::NotStrict);
        }
        match &self.constraint {
            Some(constraint) if !constraint.admits(&version) => {
                Err(Reason::Constraint(self.constraint_text.clone()))
            }
            _ => Ok(version),
        }
    }
}

/// Whether an image subscription takes a tag: what a webhook receiver asks
/// before it has a Warehouse refreshed (`warehouses` 11).
///
/// # Errors
/// A subscription that cannot be understood.
///
/// ```
/// let subscription = api::ImageSubscription {
///     repo_url: "ghcr.io/owner/app".to_owned(),
///     constraint: "^1".to_owned(),
///     ..Default::default()
/// };
/// assert!(sources::image::matches_tag(&subscription, "v1.2.3")?);
/// assert!(!sources::image::matches_tag(&subscription, "latest")?);
/// # Ok::<(), sources::Error>(())
/// ```
pub fn matches_tag(subscription: &ImageSubscription, tag: &str) -> Result<bool, Error> {
    Ok(Selector::new(subscription)?.check(tag).is_ok())
}

fn removed(field: &str) -> Error {
    Error::Config(format!(
        "{field} is deprecated and unsupported as of v1.11.0; use {field}Regexes instead"
    ))
}

/// Compiles expressions as Go reads them (`warehouses` 4.1).
fn expressions(texts: &[String], which: &str) -> Result<Vec<Regex>, Error> {
    let compile = |text: &String| {
        expr::compile_regex(text).map_err(|error| {
            Error::Config(format!(
                "error compiling {which} tags regex: error compiling regular expression {text:?}: {}",
                error.message()
            ))
        })
    };
    texts.iter().map(compile).collect()
}
