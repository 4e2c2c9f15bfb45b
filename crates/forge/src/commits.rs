//! Commits made at the provider itself, which signs them.

use async_trait::async_trait;

use crate::error::ForgeError;

/// Who wrote or committed something, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Signer {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The e-mail address.
    #[serde(default)]
    pub email: String,
    /// The time, RFC 3339.
    #[serde(default)]
    pub date: String,
}

/// A commit as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedCommit {
    /// Its id.
    pub id: String,
    /// The whole message.
    pub message: String,
    /// Its tree's id; empty where the provider left it out.
    pub tree: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// Who wrote it.
    pub author: Signer,
    /// Who committed it.
    pub committer: Signer,
}

/// How two commits stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// `identical`, `ahead`, `behind` or `diverged`, as the provider says it.
    pub status: String,
    /// The last commit that both have.
    pub merge_base: String,
    /// How many commits the second has and the first lacks.
    pub total: usize,
    /// Those commits, oldest first; no more than one page of them.
    pub commits: Vec<ComparedCommit>,
}

/// A commit to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// The whole message.
    pub message: String,
    /// The tree's id.
    pub tree: String,
    /// The parents' ids.
    pub parents: Vec<String>,
    /// Author and committer; without them they are the token's owner, and the
    /// provider signs the commit.
    pub people: Option<(Signer, Signer)>,
}

/// The commits and references of one repository, by the provider's API.
#[async_trait]
pub trait Commits: Send + Sync {
    /// The commit that a branch names, if there is such a branch.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn branch(&self, name: &str) -> Result<Option<String>, ForgeError>;

    /// How `head` stands to `base`; both are ids of commits.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn compare(&self, base: &str, head: &str) -> Result<Comparison, ForgeError>;

    /// Makes a commit that no reference names yet, and returns its id.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn create_commit(&self, new: &NewCommit) -> Result<String, ForgeError>;

    /// Makes a branch at a commit.
    ///
    /// # Errors
    /// Refusals (422 where it exists) and network errors.
    async fn create_branch(&self, name: &str, commit: &str) -> Result<(), ForgeError>;

    /// Moves a branch to a commit; only forward unless forced.
    ///
    /// # Errors
    /// Refusals (422 where that would not be forward) and network errors.
    async fn move_branch(&self, name: &str, commit: &str, force: bool) -> Result<(), ForgeError>;

    /// Removes a reference, for example `refs/kargo/staging/x`.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn delete_reference(&self, reference: &str) -> Result<(), ForgeError>;
}
