//! Which commit of ours was taken the place of when a push took in what others
//! had pushed: kept as references in the clone.

use git2::Oid;

use crate::error::GitError;

/// How many lost races are followed back.
const MAX_REPLACED: usize = 100;

/// Where it is remembered of which commit `commit` took the place.
fn place_of(commit: Oid) -> String {
    format!("refs/supercargo/replaced/{commit}")
}

/// Remembers that `new` takes the place of `old`, before the checkout moves: a
/// process that ends between the two finds it when it looks again.
pub(crate) fn remember(repository: &git2::Repository, old: Oid, new: Oid) -> Result<(), GitError> {
    if old == new {
        return Ok(());
    }
    let kept = repository.reference(&place_of(new), old, true, "took in what others pushed");
    kept.map(drop).map_err(GitError::local("remembering what was pushed"))
}

/// The commit of ours that was taken in when `commit` came to be, if any. Where
/// several races were lost, the one that there was before the first.
pub(crate) fn replaced(repository: &git2::Repository, commit: Oid) -> Option<Oid> {
    let mut first = None;
    let mut at = commit;
    for _ in 0..MAX_REPLACED {
        match repository.refname_to_id(&place_of(at)) {
            Ok(before) if before != commit => {
                first = Some(before);
                at = before;
            }
            _ => break,
        }
    }
    first
}
