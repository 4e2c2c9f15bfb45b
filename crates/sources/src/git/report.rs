//! Why commits or tags are dropped, and what a user is told of it.

use std::fmt;

use crate::tally::Tally;

/// Why commits or tags were not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Tags that match one of `ignoreTagsRegexes`.
    Ignored,
    /// Tags that match none of `allowTagsRegexes`.
    NotAllowed,
    /// Tags that are no semantic versions.
    NoVersion,
    /// Tags that are versions, but not of three parts, and `strictSemvers` is on.
    NotStrict,
    /// Tags outside the constraint.
    Constraint(String),
    /// Tags without a date: they name no commit, or nobody made them.
    NoDate,
    /// `expressionFilter` is not true of them.
    Expression,
    /// They touch no path that `includePaths` and `excludePaths` let count.
    Paths,
    /// They are older than `since`, and so is all that comes after.
    Older(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str("match ignoreTagsRegexes"),
            Self::NotAllowed => f.write_str("match none of allowTagsRegexes"),
            Self::NoVersion => f.write_str(
                "are no semantic version (another commitSelectionStrategy takes such tags)",
            ),
            Self::NotStrict => f.write_str(
                "are versions but not of the form X.Y.Z (set strictSemvers: false to admit them)",
            ),
            Self::Constraint(text) => write!(f, "do not meet the constraint {text:?}"),
            Self::NoDate => f.write_str("name no commit and have no date"),
            Self::Expression => f.write_str("do not meet expressionFilter"),
            Self::Paths => f.write_str("touch no path that includePaths and excludePaths admit"),
            Self::Older(since) => write!(f, "and all before it are older than since ({since})"),
        }
    }
}

/// What a report counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// A branch's commits, as far as they were looked at.
    #[default]
    Commits,
    /// A repository's tags.
    Tags,
}

/// What became of a repository's commits or tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitReport {
    /// What is counted.
    pub counted: Counted,
    /// How many were seen, and why some were dropped.
    pub tally: Tally<Reason>,
    /// Whether the references were as last time, so that nothing was looked at.
    pub unchanged: bool,
}

impl CommitReport {
    /// An empty report.
    pub fn new(counted: Counted) -> Self {
        Self { counted, ..Self::default() }
    }

    /// Counts a dropped candidate.
    pub fn drop(&mut self, reason: Reason, example: impl FnOnce() -> String) {
        self.tally.drop(reason, example);
    }
}

impl fmt::Display for CommitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged {
            return write!(f, "no branch or tag that counts has changed since the last look");
        }
        match self.counted {
            Counted::Commits => self.tally.tell(f, "commit", "the repository has no commits"),
            Counted::Tags => self.tally.tell(f, "tag", "the repository has no tags"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_like_a_sentence() {
        let mut report = CommitReport::new(Counted::Tags);
        report.tally.seen = 4;
        report.drop(Reason::Paths, || "v1".into());
        report.drop(Reason::Ignored, || "latest".into());
        report.drop(Reason::Ignored, || "main".into());
        assert_eq!(
            report.to_string(),
            "4 tags seen: 2 match ignoreTagsRegexes (for example \"latest\"), 1 touch no path that includePaths and excludePaths admit (for example \"v1\")"
        );
        assert_eq!(CommitReport::default().to_string(), "the repository has no commits");
        let report = CommitReport { unchanged: true, ..CommitReport::default() };
        assert!(report.to_string().starts_with("no branch or tag"), "{report}");
    }
}
