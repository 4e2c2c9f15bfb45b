//! What is at the tip of a branch, read from a mirror: no clone, no checkout.

use git2::Oid;

use crate::error::GitError;
use crate::{Git, Snapshot, blocking};

/// The commit at the tip of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its id.
    pub commit: String,
    /// Its message as stored; what is no UTF-8 is replaced by U+FFFD.
    pub message: String,
    /// The id of its tree: the same for the same content.
    pub tree: String,
}

impl Git {
    /// The tip of a branch as the snapshot shows it; `None` where there is no
    /// such branch.
    ///
    /// # Errors
    /// A mirror that cannot be read.
    pub async fn tip(&self, snapshot: &Snapshot, branch: &str) -> Result<Option<Tip>, GitError> {
        let Ok(id) = snapshot.branch(branch) else { return Ok(None) };
        let snapshot = snapshot.clone();
        blocking("reading a branch's tip", move || read(&snapshot, id).map(Some)).await
    }
}

fn read(snapshot: &Snapshot, id: Oid) -> Result<Tip, GitError> {
    let doing = "reading a branch's tip";
    let repository = git2::Repository::open_bare(snapshot.dir()).map_err(GitError::local(doing))?;
    let commit = repository.find_commit(id).map_err(GitError::local(doing))?;
    Ok(Tip {
        commit: id.to_string(),
        message: String::from_utf8_lossy(commit.message_raw_bytes()).into_owned(),
        tree: commit.tree_id().to_string(),
    })
}
