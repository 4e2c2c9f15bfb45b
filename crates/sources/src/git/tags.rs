//! What is taken of a repository's tags (`warehouses` 5.5): pure, given the
//! tags.

use std::cmp::Ordering;
use std::sync::Arc;

use super::expression::TagFacts;
use super::report::{CommitReport, Counted, Reason};
use super::selector::{Selector, Strategy};
use crate::error::Error;
use crate::semver::{Version, newest_first};

/// A tag whose name counts.
#[derive(Clone, Debug)]
pub(super) struct Named<I> {
    /// The name that Git would print: a tag named as the default branch is
    /// `tags/…`.
    pub(super) name: String,
    /// The full name of its reference.
    pub(super) reference: String,
    /// What its reference names.
    pub(super) id: I,
    version: Option<Version>,
}

/// The tags whose names count, in the order in which they are looked at:
/// descending by version or name. NewestTag has no order yet.
pub(super) fn named<'t, I>(
    selector: &Selector,
    default_branch: Option<&str>,
    tags: impl Iterator<Item = (&'t str, I)>,
) -> (Vec<Named<I>>, CommitReport) {
    let mut report = CommitReport::new(Counted::Tags);
    let mut kept = Vec::new();
    for (tag, id) in tags {
        report.tally.seen += 1;
        let name = if Some(tag) == default_branch { format!("tags/{tag}") } else { tag.to_owned() };
        match selector.check_name(&name) {
            Ok(version) => {
                kept.push(Named { name, reference: format!("refs/tags/{tag}"), id, version });
            }
            Err(reason) => report.drop(reason, || name),
        }
    }
    let by_name = |a: &Named<I>, b: &Named<I>| b.name.as_bytes().cmp(a.name.as_bytes());
    match selector.strategy {
        Strategy::SemVer => kept.sort_by(|a, b| match (&a.version, &b.version) {
            (Some(a), Some(b)) => newest_first(a, b),
            _ => Ordering::Equal,
        }),
        Strategy::Lexical => kept.sort_by(by_name),
        _ => {}
    }
    (kept, report)
}

/// Takes tags until there are enough. `read` reads one, or says that it has
/// no date; `touched` gives the paths of the commit that it names.
///
/// # Errors
/// What `read` and `touched` say, and expressions that fail.
pub(super) fn take<I>(
    selector: &Selector,
    repo_url: &str,
    named: Vec<Named<I>>,
    report: &mut CommitReport,
    read: impl Fn(&Named<I>) -> Result<Option<TagFacts>, Error>,
    touched: impl Fn(&TagFacts) -> Result<Arc<[Box<str>]>, Error>,
) -> Result<Vec<TagFacts>, Error> {
    // Without a look at every tag there is no order by time, and an
    // expression that fails of one fails.
    let all = selector.strategy == Strategy::NewestTag || selector.filter.is_some();
    let read = |tag: Named<I>, report: &mut CommitReport| -> Result<Option<TagFacts>, Error> {
        let Some(facts) = read(&tag)? else {
            report.drop(Reason::NoDate, || tag.name);
            return Ok(None);
        };
        if let Some(filter) = &selector.filter {
            let filtering = |e: Error| e.within("error filtering tags by expression: ");
            if !filter.admits_tag(facts.clone()).map_err(filtering)? {
                report.drop(Reason::Expression, || tag.name);
                return Ok(None);
            }
        }
        Ok(Some(facts))
    };
    let mut taken = Vec::new();
    // Whether there are enough.
    let mut consider = |facts: TagFacts, report: &mut CommitReport| -> Result<bool, Error> {
        if !selector.paths.is_empty() {
            let paths = touched(&facts).map_err(|e| {
                e.within(format!(
                    "error filtering tags by paths: error getting diff paths for tag {:?} in git repo {repo_url:?}: ",
                    facts.tag
                ))
            })?;
            if !selector.matches_paths(paths.iter().map(AsRef::as_ref)) {
                report.drop(Reason::Paths, || facts.tag);
                return Ok(false);
            }
        }
        taken.push(facts);
        Ok(taken.len() >= selector.limit)
    };
    if all {
        let mut facts = Vec::new();
        for tag in named {
            facts.extend(read(tag, report)?);
        }
        if selector.strategy == Strategy::NewestTag {
            facts.sort_by(|a, b| {
                let by_time = b.created.timestamp().cmp(&a.created.timestamp());
                by_time.then_with(|| a.tag.as_bytes().cmp(b.tag.as_bytes()))
            });
        }
        for facts in facts {
            if consider(facts, report)? {
                break;
            }
        }
    } else {
        for tag in named {
            if let Some(facts) = read(tag, report)?
                && consider(facts, report)?
            {
                break;
            }
        }
    }
    Ok(taken)
}
