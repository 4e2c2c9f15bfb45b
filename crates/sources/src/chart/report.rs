//! Why versions are dropped, and what a user is told of it.

use std::fmt;

use crate::tally::Tally;

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

/// What became of a chart's versions.
pub type VersionReport = Tally<Reason>;

impl fmt::Display for VersionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, "version", "the repository has no version of the chart")
    }
}
