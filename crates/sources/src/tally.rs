//! How many candidates a subscription saw and why each kind was dropped: what
//! a user is told when it found nothing.

use std::fmt;

/// Candidates that were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped<R> {
    /// The reason.
    pub reason: R,
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: String,
}

/// What became of a repository's candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<R> {
    /// How many there are, as far as they were looked at.
    pub seen: usize,
    /// Those that were dropped, in the order of the reasons, which is that in
    /// which the filters apply.
    pub dropped: Vec<Dropped<R>>,
}

impl<R> Default for Tally<R> {
    fn default() -> Self {
        Self { seen: 0, dropped: Vec::new() }
    }
}

impl<R: Ord> Tally<R> {
    /// Counts a dropped candidate.
    pub fn drop(&mut self, reason: R, example: impl FnOnce() -> String) {
        match self.dropped.binary_search_by(|d| d.reason.cmp(&reason)) {
            Ok(at) => self.dropped[at].count += 1,
            Err(at) => self.dropped.insert(at, Dropped { reason, count: 1, example: example() }),
        }
    }
}

impl<R: fmt::Display> Tally<R> {
    /// `12 tags seen: 10 are no semantic version … (for example "latest"), 2 …`;
    /// `none` where there were no candidates at all.
    pub(crate) fn tell(&self, f: &mut fmt::Formatter<'_>, one: &str, none: &str) -> fmt::Result {
        match self.seen {
            0 => return f.write_str(none),
            1 => write!(f, "1 {one} seen")?,
            n => write!(f, "{n} {one}s seen")?,
        }
        for (i, Dropped { reason, count, example }) in self.dropped.iter().enumerate() {
            let separator = if i == 0 { ": " } else { ", " };
            write!(f, "{separator}{count} {reason} (for example {example:?})")?;
        }
        Ok(())
    }
}
