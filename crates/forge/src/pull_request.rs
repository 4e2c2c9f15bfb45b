//! A pull request as plain data, the same for all providers.

use jiff::Timestamp;

/// Whether a pull request is open, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Open, or being merged this moment.
    Open,
    /// Merged, by whatever method.
    Merged,
    /// Closed, declined, abandoned: over without a merge.
    Closed,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: i64,
    /// Its page.
    pub url: String,
    /// Open, merged or closed.
    pub state: State,
    /// What the provider says the merge is, a full id. GitHub and Azure name a
    /// trial merge while the pull request is open.
    pub merge_commit: Option<String>,
    /// The tip of the source branch; Bitbucket Cloud abbreviates it.
    pub head_commit: String,
    /// The source branch.
    pub head: String,
    /// The target branch.
    pub base: String,
    /// The description.
    pub body: String,
    /// When it was opened.
    pub created_at: Option<Timestamp>,
}

impl PullRequest {
    /// Whether its source branch is at that commit; either id may be
    /// abbreviated to at least 7 digits.
    pub fn is_at(&self, commit: &str) -> bool {
        let (short, long) = if self.head_commit.len() < commit.len() {
            (self.head_commit.as_str(), commit)
        } else {
            (commit, self.head_commit.as_str())
        };
        short.len() >= 7 && long.starts_with(short)
    }
}

/// A sign in a pull request's description by which it is known again. People
/// do not see it: Markdown takes the line as the definition of a link that
/// nobody uses, at all providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// A marker of that key; what is no letter, digit, `-`, `_` or `.` in it
    /// becomes `-`.
    pub fn new(key: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        Self(key.chars().map(plain).collect())
    }

    /// The line that stands in the description.
    pub fn line(&self) -> String {
        format!("[//]: # (supercargo: {})", self.0)
    }

    /// Whether a description bears it.
    pub fn is_in(&self, body: &str) -> bool {
        body.lines().any(|line| line.trim() == self.line())
    }
}

/// A pull request to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The title.
    pub title: String,
    /// The description, without the marker.
    pub description: String,
    /// By which it is to be known again.
    pub marker: Option<Marker>,
    /// The source branch.
    pub head: String,
    /// The target branch.
    pub base: String,
    /// Labels; Bitbucket has none.
    pub labels: Vec<String>,
}

/// The longest title that every provider takes, in characters.
const LONGEST_TITLE: usize = 255;

impl NewPullRequest {
    /// The title, shortened to what providers take.
    pub(crate) fn short_title(&self) -> String {
        cut(self.title.trim(), LONGEST_TITLE)
    }

    /// The description with the marker, in at most `limit` characters: the
    /// description is shortened, the marker is not.
    pub(crate) fn body(&self, limit: usize) -> String {
        let Some(marker) = &self.marker else { return cut(&self.description, limit) };
        let line = marker.line();
        let room = limit.saturating_sub(line.chars().count() + 3);
        let text = cut(&self.description, room);
        match text.trim_end() {
            "" => line,
            text => format!("{text}\n\n{line}\n"),
        }
    }
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Which pull requests to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The source branch.
    pub head: String,
    /// The target branch.
    pub base: String,
    /// Whether closed and merged ones count.
    pub all: bool,
}

impl Search {
    /// Open ones.
    pub fn open(head: impl Into<String>, base: impl Into<String>) -> Self {
        Self { head: head.into(), base: base.into(), all: false }
    }

    /// Whatever became of them.
    pub fn all(head: impl Into<String>, base: impl Into<String>) -> Self {
        Self { all: true, ..Self::open(head, base) }
    }

    pub(crate) fn fits(&self, found: &PullRequest) -> bool {
        found.head == self.head
            && found.base == self.base
            && (self.all || found.state == State::Open)
    }
}

/// What became of an attempt to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is merged, now or before.
    Merged(PullRequest),
    /// It cannot be merged yet.
    NotReady {
        /// What it waits for, in words, as far as the provider says.
        why: String,
        /// Whether the provider may just not have looked yet, as it does by and
        /// by after a pull request was opened or one of its branches moved.
        unsettled: bool,
    },
}

impl Merge {
    pub(crate) fn not_ready(why: impl Into<String>) -> Self {
        Self::NotReady { why: why.into(), unsettled: false }
    }

    pub(crate) fn unsettled(why: impl Into<String>) -> Self {
        Self::NotReady { why: why.into(), unsettled: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(description: &str) -> NewPullRequest {
        NewPullRequest {
            title: "t".into(),
            description: description.into(),
            marker: Some(Marker::new("uid-1/a b")),
            head: "h".into(),
            base: "b".into(),
            labels: vec![],
        }
    }

    #[test]
    fn the_marker_stays_whatever_the_limit() {
        let marker = Marker::new("uid-1/a b");
        assert_eq!(marker.line(), "[//]: # (supercargo: uid-1-a-b)");
        for (description, limit) in [("", 100), ("text\n", 100), (&*"é".repeat(500), 100)] {
            let body = new(description).body(limit);
            assert!(marker.is_in(&body), "{body}");
            assert!(body.chars().count() <= limit, "{body}");
            // Providers give line breaks back in their own way.
            assert!(marker.is_in(&body.replace('\n', "\r\n")), "{body}");
        }
        assert!(!Marker::new("other").is_in(&new("x").body(100)));
        assert!(!marker.is_in("see supercargo: uid-1-a-b"));
        let long = NewPullRequest { title: "x".repeat(400), ..new("") };
        assert_eq!(long.short_title().chars().count(), LONGEST_TITLE);
    }

    #[test]
    fn abbreviated_ids_are_the_same_commit() {
        let at = |head: &str| PullRequest {
            number: 1,
            url: String::new(),
            state: State::Open,
            merge_commit: None,
            head_commit: head.into(),
            head: String::new(),
            base: String::new(),
            body: String::new(),
            created_at: None,
        };
        let full = "0123456789abcdef0123456789abcdef01234567";
        for (head, commit, same) in [
            (full, full, true),
            ("0123456789ab", full, true),
            (full, "0123456", true),
            ("012345", full, false),
            ("", full, false),
            ("1123456789ab", full, false),
        ] {
            assert_eq!(at(head).is_at(commit), same, "{head} {commit}");
        }
    }
}
