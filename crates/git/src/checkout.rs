//! A checkout: files that steps work on. `commit` and `tag` make something of
//! them.

use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{IndexAddOption, Oid};

use crate::error::GitError;
use crate::repository::{Repository, path_beneath};

/// A checkout of a clone.
#[derive(Clone, Debug)]
pub struct Checkout {
    pub(crate) repository: Repository,
    pub(crate) admin: PathBuf,
    pub(crate) path: String,
    pub(crate) on_disk: PathBuf,
    pub(crate) sparse: Vec<String>,
    /// Other checkouts that lie in this one, relative to it.
    pub(crate) nested: Vec<String>,
}

impl Checkout {
    /// The clone that it belongs to.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its path beneath the working directory.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn git(&self) -> Result<git2::Repository, GitError> {
        git2::Repository::open(&self.admin).map_err(GitError::local("opening a checkout"))
    }

    /// The branch that is checked out; `None` when detached.
    ///
    /// # Errors
    /// A checkout that cannot be read.
    pub fn branch(&self) -> Result<Option<String>, GitError> {
        let head = std::fs::read_to_string(self.admin.join("HEAD"))
            .map_err(GitError::io("HEAD of a checkout"))?;
        Ok(head.trim_end().strip_prefix("ref: refs/heads/").map(str::to_owned))
    }

    /// The id of the commit that is checked out.
    ///
    /// # Errors
    /// A branch without a commit, or a checkout that cannot be read.
    pub fn head(&self) -> Result<String, GitError> {
        self.head_id(&self.git()?).map(|id| id.to_string())
    }

    /// The commit of ours that was checked out before a push took in what
    /// others had pushed and `commit` came to be; none where nothing was taken
    /// in. Where several races were lost, the first.
    ///
    /// # Errors
    /// A text that is no commit's id, or a checkout that cannot be read.
    pub fn replaced(&self, commit: &str) -> Result<Option<String>, GitError> {
        let id = Oid::from_str(commit).map_err(GitError::local("reading a commit"))?;
        Ok(crate::replaced::replaced(&self.git()?, id).map(|id| id.to_string()))
    }

    pub(crate) fn head_id(&self, repository: &git2::Repository) -> Result<Oid, GitError> {
        let local = GitError::local("finding the last commit");
        repository.head().and_then(|h| h.peel_to_commit()).map(|c| c.id()).map_err(local)
    }

    /// Writes the files of a commit into the empty directory.
    pub(crate) fn fill(&self, commit: Oid) -> Result<(), GitError> {
        let repository = self.git()?;
        let local = GitError::local("writing the files of a checkout");
        let tree = repository.find_commit(commit).and_then(|c| c.tree()).map_err(&local)?;
        let mut options = CheckoutBuilder::new();
        options.force();
        self.limit(&mut options, &tree);
        repository.checkout_tree(tree.as_object(), Some(&mut options)).map_err(&local)
    }

    /// Restricts to the folders of a sparse checkout, with the files that lie
    /// directly in the folders above them (git's cone mode).
    fn limit(&self, options: &mut CheckoutBuilder<'_>, tree: &git2::Tree<'_>) {
        if self.sparse.is_empty() {
            return;
        }
        options.disable_pathspec_match(true);
        for path in self.cone(Some(tree)) {
            options.path(path);
        }
    }

    /// The paths of the cone: its folders, and the files of the folders above
    /// them, those of the tree and those on disk.
    fn cone(&self, tree: Option<&git2::Tree<'_>>) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        let mut above = vec![String::new()];
        for folder in &self.sparse {
            let folder = folder.trim_matches('/').trim_start_matches("./").to_owned();
            let mut parent = folder.as_str();
            while let Some((head, _)) = parent.rsplit_once('/') {
                parent = head;
                above.push(head.to_owned());
            }
            paths.push(folder);
        }
        above.sort();
        above.dedup();
        for folder in above {
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            if let Some(root) = tree {
                let _ = root.walk(git2::TreeWalkMode::PreOrder, |dir, entry| {
                    if dir == prefix && entry.kind() == Some(git2::ObjectType::Blob) {
                        if let Ok(name) = entry.name() {
                            paths.push(format!("{dir}{name}"));
                        }
                        return git2::TreeWalkResult::Ok;
                    }
                    let on_the_way = entry.kind() == Some(git2::ObjectType::Tree)
                        && entry
                            .name()
                            .is_ok_and(|name| prefix.starts_with(&format!("{dir}{name}/")));
                    if on_the_way { git2::TreeWalkResult::Ok } else { git2::TreeWalkResult::Skip }
                });
            }
            if let Ok(entries) = std::fs::read_dir(self.on_disk.join(&folder)) {
                for entry in entries.flatten() {
                    if entry.file_type().is_ok_and(|t| !t.is_dir()) {
                        paths.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
                    }
                }
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }

    /// Stages the changes beneath a path, honouring `.gitignore`; the tree
    /// that a commit of them would have. What lies outside of a sparse
    /// checkout's folders stays as it is in the last commit.
    pub(crate) fn stage(&self, repository: &git2::Repository, path: &str) -> Result<Oid, GitError> {
        let local = GitError::local("staging changes");
        let mut index = repository.index().map_err(&local)?;
        index.read(true).map_err(&local)?;
        let below = path_beneath(&self.path, path).unwrap_or_default();
        let mut flags = IndexAddOption::DEFAULT;
        let mut specs: Vec<String> = Vec::new();
        if self.sparse.is_empty() {
            if !below.is_empty() {
                specs.push(below);
            }
        } else {
            let tree = repository.head().and_then(|h| h.peel_to_tree()).ok();
            match &tree {
                Some(tree) => index.read_tree(tree).map_err(&local)?,
                None => index.clear().map_err(&local)?,
            }
            specs = self
                .cone(tree.as_ref())
                .into_iter()
                .filter(|p| path_beneath(&below, p).is_some() || path_beneath(p, &below).is_some())
                .collect();
        }
        if specs.is_empty() {
            specs.push("*".to_owned());
        } else {
            flags |= IndexAddOption::DISABLE_PATHSPEC_MATCH;
        }
        // Submodules keep their commit, and other checkouts are not ours.
        let mut nested = self.nested.clone();
        nested.extend(
            index
                .iter()
                .filter(|entry| entry.mode == u32::from(git2::FileMode::Commit))
                .map(|entry| String::from_utf8_lossy(&entry.path).into_owned()),
        );
        let mut skip = |path: &Path, _: &[u8]| {
            let path = path.to_string_lossy();
            // A folder is named where a repository lies in it: whatever wrote it
            // there, it is none of ours to open.
            let repository = path.ends_with('/');
            i32::from(repository || nested.iter().any(|n| path_beneath(n, &path).is_some()))
        };
        index.add_all(&specs, flags, Some(&mut skip)).map_err(&local)?;
        let tree = index.write_tree().map_err(&local)?;
        index.write().map_err(&local)?;
        Ok(tree)
    }

    /// Moves the checkout to a commit that an earlier push of ours left.
    ///
    /// # Errors
    /// [`GitError::CommitNotFound`] where no branch or tag leads to it any more.
    pub fn follow(&self, commit: &str) -> Result<(), GitError> {
        let repository = self.git()?;
        let local = self.head_id(&repository)?;
        let found = Oid::from_str(commit).and_then(|id| repository.find_commit(id));
        let Ok(found) = found else {
            return Err(GitError::CommitNotFound {
                commit: commit.to_owned(),
                url: self.repository.about().url.clone(),
                hint: "; this Promotion had pushed it, so its branch was removed or rewritten since: promote again".to_owned(),
            });
        };
        if found.id() == local {
            return Ok(());
        }
        crate::replaced::remember(&repository, local, found.id())?;
        self.move_to(&repository, found.id())
    }

    /// Whether files and branch can be moved from one commit to another: no
    /// change that was not committed is in the way. `all` sees both commits.
    pub(crate) fn can_move(
        &self,
        all: &git2::Repository,
        from: Oid,
        to: Oid,
    ) -> Result<(), GitError> {
        let local = GitError::local("comparing commits");
        let tree = |id| all.find_commit(id).and_then(|commit| commit.tree());
        let (from, to) = (tree(from).map_err(&local)?, tree(to).map_err(&local)?);
        let diff = all.diff_tree_to_tree(Some(&from), Some(&to), None).map_err(&local)?;
        let own = self.git()?;
        for delta in diff.deltas() {
            let path = delta.new_file().path().or_else(|| delta.old_file().path());
            let Some(path) = path.filter(|p| self.in_cone(&p.to_string_lossy())) else { continue };
            let status = own.status_file(path).unwrap_or(git2::Status::CURRENT);
            if !(status - git2::Status::IGNORED).is_empty() {
                return Err(self.in_the_way());
            }
        }
        Ok(())
    }

    fn in_the_way(&self) -> GitError {
        GitError::Config(format!(
            "changes in {} that are not committed would be overwritten by the remote's; add a git-commit step before git-push",
            self.path
        ))
    }

    /// Moves files and branch to another commit. Changes that were not
    /// committed stay; where they are in the way this fails.
    pub(crate) fn move_to(&self, repository: &git2::Repository, to: Oid) -> Result<(), GitError> {
        let local = GitError::local("updating the files of a checkout");
        let commit = repository.find_commit(to).map_err(&local)?;
        let tree = commit.tree().map_err(&local)?;
        let mut options = CheckoutBuilder::new();
        options.safe();
        self.limit(&mut options, &tree);
        repository.checkout_tree(tree.as_object(), Some(&mut options)).map_err(|e| {
            if e.code() == git2::ErrorCode::Conflict { self.in_the_way() } else { local(e) }
        })?;
        self.set_head(repository, to, "integrate").map_err(&local)
    }

    /// Moves the branch that is checked out, or a detached HEAD.
    pub(crate) fn set_head(
        &self,
        repository: &git2::Repository,
        to: Oid,
        why: &str,
    ) -> Result<(), git2::Error> {
        let branch = self.branch().map_err(|e| git2::Error::from_str(&e.to_string()))?;
        match branch {
            Some(branch) => {
                repository.reference(&format!("refs/heads/{branch}"), to, true, why).map(drop)
            }
            None => repository.set_head_detached(to),
        }
    }
}
