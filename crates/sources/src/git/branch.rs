//! What is taken of a branch's commits (`warehouses` 5.4): pure, given the
//! commits.

use super::expression::CommitFacts;
use super::report::{CommitReport, Counted, Reason};
use super::selector::Selector;
use crate::error::Error;

/// Commits that were taken, and what became of the others.
pub(super) type Taken<C> = (Vec<C>, CommitReport);

/// How a commit is looked at.
pub(super) trait Candidate {
    /// What expressions may ask, and what a result says.
    fn facts(&self) -> CommitFacts;
    /// When it was committed, in seconds since 1970.
    fn committed_at(&self) -> i64;
    /// The beginning of its id, for reports.
    fn short_id(&self) -> String;
}

/// Takes commits, which come newest first, until there are enough.
///
/// # Errors
/// What `commits` and `touched` say, and expressions that fail.
pub(super) fn take<C: Candidate>(
    selector: &Selector,
    repo_url: &str,
    commits: impl Iterator<Item = Result<C, Error>>,
    touched: impl Fn(&C) -> Result<std::sync::Arc<[Box<str>]>, Error>,
) -> Result<Taken<C>, Error> {
    let mut report = CommitReport::new(Counted::Commits);
    let mut taken = Vec::new();
    for commit in commits {
        let commit = commit
            .map_err(|e| e.within(format!("error listing commits from git repo {repo_url:?}: ")))?;
        report.tally.seen += 1;
        if let Some(since) = selector.since
            && commit.committed_at() < since.as_second()
        {
            // As `git log --since` walks: it stops at the first old commit.
            report.drop(Reason::Older(since.to_string()), || commit.short_id());
            break;
        }
        if let Some(filter) = &selector.filter
            && !filter.admits_commit(commit.facts())?
        {
            report.drop(Reason::Expression, || commit.short_id());
            continue;
        }
        if !selector.paths.is_empty() {
            let paths = touched(&commit).map_err(|e| {
                let id = commit.facts().id;
                e.within(format!(
                    "error getting diff paths for commit {id:?} in git repo {repo_url:?}: "
                ))
            })?;
            if !selector.matches_paths(paths.iter().map(AsRef::as_ref)) {
                report.drop(Reason::Paths, || commit.short_id());
                continue;
            }
        }
        taken.push(commit);
        if taken.len() >= selector.limit {
            break;
        }
    }
    Ok((taken, report))
}
