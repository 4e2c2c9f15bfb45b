//! Which tags count by their name (`warehouses` 5.5 T2).

use api::GitSubscription;
use regex::Regex;

use super::report::Reason;
use super::selector::Strategy;
use crate::error::Error;
use crate::semver::{Constraint, Version};

/// What a tag strategy asks of a tag's name.
#[derive(Debug)]
pub(super) struct NameFilter {
    allow: Vec<Regex>,
    ignore: Vec<Regex>,
    versions: Option<Versions>,
}

#[derive(Debug)]
struct Versions {
    strict: bool,
    constraint: Option<Constraint>,
    text: String,
}

impl NameFilter {
    /// Reads a subscription's fields.
    ///
    /// # Errors
    /// The first field that cannot be understood, in the order of
    /// `warehouses` 5.2.
    pub(super) fn new(subscription: &GitSubscription, strategy: Strategy) -> Result<Self, Error> {
        let within = |e: Error| e.within("error building tag based selector: ");
        let allow = regexes(&subscription.allow_tags_regexes).map_err(within)?;
        if !subscription.allow_tags.is_empty() {
            return Err(within(removed("AllowTags")));
        }
        let ignore = regexes(&subscription.ignore_tags_regexes).map_err(within)?;
        if !subscription.ignore_tags.is_empty() {
            return Err(within(removed("IgnoreTags")));
        }
        let versions =
            (strategy == Strategy::SemVer).then(|| Versions::new(subscription)).transpose()?;
        Ok(Self { allow, ignore, versions })
    }

    /// Whether a tag counts, and as which version where versions count.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn check(&self, tag: &str) -> Result<Option<Version>, Reason> {
        if self.ignore.iter().any(|r| r.is_match(tag)) {
            return Err(Reason::Ignored);
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|r| r.is_match(tag)) {
            return Err(Reason::NotAllowed);
        }
        self.versions.as_ref().map(|versions| versions.check(tag)).transpose()
    }
}

impl Versions {
    fn new(subscription: &GitSubscription) -> Result<Self, Error> {
        let text = &subscription.semver_constraint;
        let constraint = match text.as_str() {
            "" => None,
            text => Some(Constraint::parse(text).map_err(|e| {
                Error::Config(format!("error parsing semver constraint {text:?}: {e}"))
            })?),
        };
        let strict = subscription.strict_semvers.unwrap_or(true);
        Ok(Self { strict, constraint, text: text.clone() })
    }

    fn check(&self, tag: &str) -> Result<Version, Reason> {
        let version = Version::parse_tag(tag, false).ok_or(Reason::NoVersion)?;
        if self.strict && Version::parse_tag(tag, true).is_none() {
            return Err(Reason::NotStrict);
        }
        match &self.constraint {
            Some(constraint) if !constraint.admits(&version) => {
                Err(Reason::Constraint(self.text.clone()))
            }
            _ => Ok(version),
        }
    }
}

fn regexes(patterns: &[String]) -> Result<Vec<Regex>, Error> {
    patterns
        .iter()
        .map(|pattern| {
            expr::compile_regex(pattern).map_err(|e| {
                Error::Config(format!(
                    "error compiling regular expression {pattern:?}: {}",
                    e.message()
                ))
            })
        })
        .collect()
}

fn removed(field: &str) -> Error {
    Error::Config(format!(
        "{field} is deprecated and unsupported as of v1.11.0; use {field}Regexes instead"
    ))
}
