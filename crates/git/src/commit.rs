//! Commits: made of what changed in a checkout, or by us; signed where the one
//! who commits has a key.

use git2::{Oid, Signature, Time, Tree};

use crate::checkout::Checkout;
use crate::error::GitError;
use crate::repository::Identity;

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

/// Who commits, at a recorded time: the committer of a commit of ours.
pub(crate) struct Committer<'a> {
    identity: &'a Identity,
    time: jiff::Timestamp,
    /// As libgit2 wants it.
    pub(crate) signature: Signature<'static>,
}

impl<'a> Committer<'a> {
    pub(crate) fn new(identity: &'a Identity, time: jiff::Timestamp) -> Result<Self, GitError> {
        let seconds = Time::new(time.as_second(), 0);
        let signature = Signature::new(&identity.name, &identity.email, &seconds).map_err(|e| {
            GitError::Config(format!(
                "author {:?} <{:?}> cannot be used in a commit: {}",
                identity.name,
                identity.email,
                e.message()
            ))
        })?;
        Ok(Self { identity, time, signature })
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.identity
    }

    /// Writes a commit, signed where there is a key. No reference is moved.
    pub(crate) fn commit(
        &self,
        repository: &git2::Repository,
        author: &Signature<'_>,
        message: &str,
        tree: &Tree<'_>,
        parents: &[&git2::Commit<'_>],
    ) -> Result<Oid, GitError> {
        let local = GitError::local("committing");
        let Some(_) = &self.identity.signing_key else {
            return repository
                .commit(None, author, &self.signature, message, tree, parents)
                .map_err(local);
        };
        let content = repository
            .commit_create_buffer(author, &self.signature, message, tree, parents)
            .map_err(&local)?;
        let content = content.as_str().map_err(|_| {
            GitError::Config("a commit that is not UTF-8 cannot be signed".to_owned())
        })?;
        let signature = self.sign(content.as_bytes())?.unwrap_or_default();
        repository.commit_signed(content, signature.trim_end(), None).map_err(local)
    }

    /// The signature over a commit's or tag's text; `None` without a key.
    pub(crate) fn sign(&self, content: &[u8]) -> Result<Option<String>, GitError> {
        let Identity { name, email, signing_key } = self.identity;
        signing_key.as_ref().map(|key| key.sign(name, email, self.time, content)).transpose()
    }
}

impl Checkout {
    /// Commits what changed. `None` where nothing did.
    ///
    /// # Errors
    /// An empty message, an identity that git does not take, a key that cannot
    /// sign for it, the disk.
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
        let who = Committer::new(&request.identity, request.time)?;
        let tree = repository.find_tree(tree).map_err(&local)?;
        let parents: Vec<_> = parent.iter().collect();
        let id = who.commit(&repository, &who.signature, &message, &tree, &parents)?;
        self.set_head(&repository, id, "commit").map_err(&local)?;
        Ok(Some(id.to_string()))
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
}
