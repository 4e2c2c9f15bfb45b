//! How many versions were seen and why some were dropped: what a user is told
//! when a subscription finds nothing.

use std::fmt;

/// Why versions were dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// They are no semantic versions.
    NoVersion,
    /// They are tags of a registry and not of the form X.Y.Z.
    NotStrict,
    /// They lie outside the constraint.
    Constraint(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion => f.write_str("are no semantic version"),
            Self::NotStrict => f.write_str("are tags that are no version of the form X.Y.Z"),
            Self::Constraint(text) => write!(f, "do not meet the constraint {text:?}"),
        }
    }
}

/// Versions that were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: String,
}

/// What became of a chart's versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionReport {
    /// How many versions the chart has.
    pub seen: usize,
    /// Those that were dropped, in the order in which the filters apply.
    pub dropped: Vec<Dropped>,
}

impl VersionReport {
    /// Counts a dropped version.
    pub fn drop(&mut self, reason: Reason, version: &str) {
        match self.dropped.iter_mut().find(|d| d.reason == reason) {
            Some(dropped) => dropped.count += 1,
            None => self.dropped.push(Dropped { reason, count: 1, example: version.to_owned() }),
        }
        self.dropped.sort_by(|a, b| a.reason.cmp(&b.reason));
    }
}

/// `12 versions seen: 10 are no semantic version (for example "latest"), 2 …`
impl fmt::Display for VersionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            0 => return f.write_str("the repository has no version of the chart"),
            1 => f.write_str("1 version seen")?,
            n => write!(f, "{n} versions seen")?,
        }
        for (i, dropped) in self.dropped.iter().enumerate() {
            let separator = if i == 0 { ": " } else { ", " };
            let Dropped { reason, count, example } = dropped;
            write!(f, "{separator}{count} {reason} (for example {example:?})")?;
        }
        Ok(())
    }
}
