//! Why tags are dropped, and what a user is told of it.

use std::fmt;

use crate::tally::Tally;

/// Why tags were dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// They match one of `ignoreTagsRegexes`.
    Ignored,
    /// They match none of `allowTagsRegexes`.
    NotAllowed,
    /// They are no semantic versions.
    NoVersion,
    /// They are versions, but not of three parts, and `strictSemvers` is on.
    NotStrict,
    /// They lie outside the constraint.
    Constraint(String),
    /// Their images are not made for the platform.
    Platform(String),
    /// They were gone when their image was to be read.
    Vanished,
    /// They are not the tag that is followed (strategy Digest).
    NotFollowed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str("match ignoreTagsRegexes"),
            Self::NotAllowed => f.write_str("match none of allowTagsRegexes"),
            Self::NoVersion => f.write_str(
                "are no semantic version (another imageSelectionStrategy takes such tags)",
            ),
            Self::NotStrict => f.write_str(
                "are versions but not of the form X.Y.Z (set strictSemvers: false to admit them)",
            ),
            Self::Constraint(text) => write!(f, "do not meet the constraint {text:?}"),
            Self::Platform(text) => write!(f, "have no image for the platform {text:?}"),
            Self::Vanished => f.write_str("were removed while they were looked at"),
            Self::NotFollowed(tag) => write!(f, "are not the tag {tag:?}"),
        }
    }
}

/// What became of a repository's tags.
pub type TagReport = Tally<Reason>;

impl fmt::Display for TagReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, "tag", "the repository has no tags")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_like_a_sentence() {
        let mut report = TagReport { seen: 4, ..TagReport::default() };
        report.drop(Reason::Constraint("^2".into()), || "1.0.0".into());
        report.drop(Reason::NoVersion, || "latest".into());
        report.drop(Reason::NoVersion, || "main".into());
        assert_eq!(
            report.to_string(),
            "4 tags seen: 2 are no semantic version (another imageSelectionStrategy takes such tags) (for example \"latest\"), 1 do not meet the constraint \"^2\" (for example \"1.0.0\")"
        );
        assert_eq!(TagReport::default().to_string(), "the repository has no tags");
    }
}
