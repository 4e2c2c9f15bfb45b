//! A checkout: files that steps work on, and the commits made of them.

use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{IndexAddOption, Oid, Signature, Time};

use crate::error::GitError;
use crate::repository::{Identity, Repository, path_beneath};

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

/// What to commit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The path whose changes are staged: the checkout's own, or one in it.
    pub path: String,
    /// The message, verbatim; surplus blank lines and spaces at line ends go,
    /// as with `git commit -m`.
    pub message: String,
    /// Author and committer.
    pub identity: Identity,
    /// Author's and committer's time: the same inputs yield the same commit.
    pub time: jiff::Timestamp,
}

pub(crate) fn signature(
    identity: &Identity,
    time: jiff::Timestamp,
) -> Result<Signature<'static>, GitError> {
    Signature::new(&identity.name, &identity.email, &Time::new(time.as_second(), 0)).map_err(|e| {
        GitError::Config(format!(
            "author {:?} <{:?}> cannot be used in a commit: {}",
            identity.name,
            identity.email,
            e.message()
        ))
    })
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
        Ok(crate::push::replaced(&self.git()?, id).map(|id| id.to_string()))
    }

    /// Whether a commit was made at that time, author and committer alike: our
    /// own work of a step that started then.
    ///
    /// # Errors
    /// No such commit.
    pub fn made_at(&self, commit: &str, time: jiff::Timestamp) -> Result<bool, GitError> {
        let repository = self.git()?;
        let local = GitError::local("reading a commit");
        let id = Oid::from_str(commit).map_err(&local)?;
        let commit = repository.find_commit(id).map_err(&local)?;
        let seconds = time.as_second();
        Ok(commit.author().when().seconds() == seconds
            && commit.committer().when().seconds() == seconds)
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
    fn stage(&self, repository: &git2::Repository, path: &str) -> Result<Oid, GitError> {
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
            i32::from(nested.iter().any(|n| path_beneath(n, &path).is_some()))
        };
        index.add_all(&specs, flags, Some(&mut skip)).map_err(&local)?;
        let tree = index.write_tree().map_err(&local)?;
        index.write().map_err(&local)?;
        Ok(tree)
    }

    /// Commits what changed. `None` where nothing did.
    ///
    /// # Errors
    /// An empty message, an identity that git does not take, the disk.
    pub fn commit(&self, request: &CommitRequest) -> Result<Option<String>, GitError> {
        let repository = self.git()?;
        let local = GitError::local("committing");
        let tree = self.stage(&repository, &request.path)?;
        let parent = match repository.head() {
            Ok(head) => Some(head.peel_to_commit().map_err(&local)?),
            Err(e) if e.code() == git2::ErrorCode::UnbornBranch => None,
            Err(e) => return Err(local(e)),
        };
        let unchanged = match &parent {
            Some(parent) => parent.tree_id() == tree,
            None => repository.find_tree(tree).map_err(&local)?.is_empty(),
        };
        if unchanged {
            return Ok(None);
        }
        let message = git2::message_prettify(request.message.as_str(), None).map_err(&local)?;
        if message.is_empty() {
            return Err(GitError::Config(
                "the commit message is empty; give it at least one word".to_owned(),
            ));
        }
        let who = signature(&request.identity, request.time)?;
        let tree = repository.find_tree(tree).map_err(&local)?;
        let parents: Vec<_> = parent.iter().collect();
        let id = repository
            .commit(Some("HEAD"), &who, &who, &message, &tree, &parents)
            .map_err(&local)?;
        Ok(Some(id.to_string()))
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
            if e.code() == git2::ErrorCode::Conflict {
                GitError::Config(format!(
                    "changes in {} that are not committed would be overwritten by the remote's; add a git-commit step before git-push",
                    self.path
                ))
            } else {
                local(e)
            }
        })?;
        match self.branch()? {
            Some(branch) => repository
                .reference(&format!("refs/heads/{branch}"), to, true, "integrate")
                .map(drop)
                .map_err(&local),
            None => repository.set_head_detached(to).map_err(&local),
        }
    }
}
