//! How many tags were seen and why each kind was dropped: what a user is told
//! when a subscription finds nothing.

use std::fmt;

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

/// Tags that were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: String,
}

/// What became of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagReport {
    /// How many tags the repository has.
    pub seen: usize,
    /// Those that were dropped, in the order in which the filters apply.
    pub dropped: Vec<Dropped>,
}

impl TagReport {
    /// Counts a dropped tag.
    pub fn drop(&mut self, reason: Reason, tag: &str) {
        match self.dropped.iter_mut().find(|d| d.reason == reason) {
            Some(dropped) => dropped.count += 1,
            None => self.dropped.push(Dropped { reason, count: 1, example: tag.to_owned() }),
        }
        self.dropped.sort_by(|a, b| a.reason.cmp(&b.reason));
    }
}

/// `12 tags seen: 10 are no semantic version … (for example "latest"), 2 …`
impl fmt::Display for TagReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            0 => return f.write_str("the repository has no tags"),
            1 => f.write_str("1 tag seen")?,
            n => write!(f, "{n} tags seen")?,
        }
        for (i, dropped) in self.dropped.iter().enumerate() {
            let separator = if i == 0 { ": " } else { ", " };
            let Dropped { reason, count, example } = dropped;
            write!(f, "{separator}{count} {reason} (for example {example:?})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_like_a_sentence() {
        let mut report = TagReport { seen: 4, ..TagReport::default() };
        report.drop(Reason::Constraint("^2".into()), "1.0.0");
        report.drop(Reason::NoVersion, "latest");
        report.drop(Reason::NoVersion, "main");
        assert_eq!(
            report.to_string(),
            "4 tags seen: 2 are no semantic version (another imageSelectionStrategy takes such tags) (for example \"latest\"), 1 do not meet the constraint \"^2\" (for example \"1.0.0\")"
        );
        assert_eq!(TagReport::default().to_string(), "the repository has no tags");
    }
}
