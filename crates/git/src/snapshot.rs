//! What a repository looks like: its references as a server listed them
//! ([`Listing`]), and the same with the objects on disk ([`Snapshot`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::Oid;

use crate::error::{GitError, existing};
use crate::mirror::Mirror;

/// How fresh a listing has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Listed after the call was made.
    Now,
    /// Listed no longer ago than this.
    Within(Duration),
}

impl Freshness {
    /// Whether a listing that was begun at `started` is fresh enough for a
    /// call made at `asked`.
    pub(crate) fn takes(self, started: Instant, asked: Instant) -> bool {
        match self {
            Self::Now => started >= asked,
            Self::Within(age) => started + age >= asked,
        }
    }
}

/// A branch or tag as a server listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRef {
    /// The full name, `refs/heads/…` or `refs/tags/…`.
    pub name: String,
    /// What it names: a commit, or an annotated tag's object.
    pub id: Oid,
}

/// A repository's references as the server listed them to the credentials at
/// hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Listing {
    pub(crate) url: String,
    pub(crate) references: Arc<Vec<ListedRef>>,
    pub(crate) default_branch: Option<String>,
}

impl Listing {
    /// The repository's address, without userinfo.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its branches and tags.
    pub fn references(&self) -> &[ListedRef] {
        &self.references
    }

    /// The branch that the server's `HEAD` names, if there is one.
    pub fn default_branch(&self) -> Option<&str> {
        self.default_branch.as_deref()
    }

    /// Its tags by name, in the server's order.
    pub fn tags(&self) -> impl Iterator<Item = (&str, Oid)> {
        self.references.iter().filter_map(|r| Some((r.name.strip_prefix("refs/tags/")?, r.id)))
    }

    /// The tip of a branch.
    ///
    /// # Errors
    /// [`GitError::BranchNotFound`] with the branches that there are.
    pub fn branch(&self, branch: &str) -> Result<Oid, GitError> {
        self.find(&format!("refs/heads/{branch}")).ok_or_else(|| GitError::BranchNotFound {
            branch: branch.to_owned(),
            url: self.url.clone(),
            existing: existing("branches", self.names("refs/heads/")),
        })
    }

    /// What a tag names.
    ///
    /// # Errors
    /// [`GitError::TagNotFound`] with the tags that there are.
    pub fn tag(&self, tag: &str) -> Result<Oid, GitError> {
        self.find(&format!("refs/tags/{tag}")).ok_or_else(|| GitError::TagNotFound {
            tag: tag.to_owned(),
            url: self.url.clone(),
            existing: existing("tags", self.names("refs/tags/")),
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<Oid> {
        self.references.iter().find(|r| r.name == name).map(|r| r.id)
    }

    fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.references.iter().filter_map(move |r| r.name.strip_prefix(prefix))
    }
}

/// Which objects of a repository are wanted on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: the listing says enough.
    Nothing,
    /// The commits that these references name and, beside each of them, as
    /// many generations as `depth` says (1 is the commit alone). A mirror that
    /// is whole gives more.
    Tips {
        /// Full names, `refs/heads/…` or `refs/tags/…`; those that the server
        /// does not list are left out.
        references: Vec<String>,
        /// How many commits from each, at least 1.
        depth: u32,
    },
    /// All branches and tags with their whole history: what promotions work on.
    Everything,
}

/// What a repository looked like when its references were listed, with the
/// objects that were asked for. While it lives, the mirror that has them is
/// kept.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) listing: Listing,
}

impl Snapshot {
    /// The references.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Its branches and tags.
    pub fn references(&self) -> &[ListedRef] {
        self.listing.references()
    }

    /// The branch that the server's `HEAD` names, if there is one.
    pub fn default_branch(&self) -> Option<&str> {
        self.listing.default_branch()
    }

    /// The tip of a branch.
    ///
    /// # Errors
    /// As [`Listing::branch`].
    pub fn branch(&self, branch: &str) -> Result<Oid, GitError> {
        self.listing.branch(branch)
    }

    /// What a tag names.
    ///
    /// # Errors
    /// As [`Listing::tag`].
    pub fn tag(&self, tag: &str) -> Result<Oid, GitError> {
        self.listing.tag(tag)
    }

    /// Where the mirror's objects lie.
    pub(crate) fn objects_dir(&self) -> PathBuf {
        self.mirror.dir().join("objects")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.mirror.dir()
    }

    /// Keeps the mirror for as long as the directory `user` exists.
    pub(crate) fn pin(&self, user: &Path) -> Result<(), GitError> {
        crate::eviction::pin(self.mirror.dir(), user)
    }
}
