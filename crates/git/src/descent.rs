//! Which commit came before which.

use git2::Oid;

use crate::Snapshot;
use crate::error::GitError;

/// Whether `commit` is `ancestor` or has it among its ancestors, as far as
/// the snapshot's mirror has both; `None` where it lacks one of them.
pub(crate) fn contains(
    snapshot: &Snapshot,
    commit: &str,
    ancestor: &str,
) -> Result<Option<bool>, GitError> {
    let local = GitError::local("comparing commits");
    let (Ok(commit), Ok(ancestor)) = (Oid::from_str(commit), Oid::from_str(ancestor)) else {
        return Ok(None);
    };
    let repository = git2::Repository::open_bare(snapshot.dir()).map_err(&local)?;
    if repository.find_commit(commit).is_err() || repository.find_commit(ancestor).is_err() {
        return Ok(None);
    }
    if commit == ancestor {
        return Ok(Some(true));
    }
    repository.graph_descendant_of(commit, ancestor).map(Some).map_err(local)
}
