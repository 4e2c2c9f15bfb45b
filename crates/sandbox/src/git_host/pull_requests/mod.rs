//! Pull requests at the Git host: kept in memory, served by the part of
//! Gitea's REST API that is about them (`/api/v1`), so that a step with
//! `provider: gitea` works with this host.
//!
//! * `api`: the routes and their JSON.
//! * `merging`: what becomes of the branches.
//!
//! Of the API there is: `version`; a repository's `labels` (list, create);
//! `pulls` (list with `state`, `page` and `limit`; create with labels; get;
//! edit title, body and state); `pulls/{n}/merge` by merge, rebase,
//! rebase-merge, squash and fast-forward-only; `issues/{n}/labels`. A
//! repository that asks for credentials asks for its token here, too.

mod api;
mod merging;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::repositories::with_suffix;
use super::{GitHost, GitHostError, Shared};

pub(super) use api::answer;

/// Where the API begins.
pub const API: &str = "/api/v1/";

/// Pull requests of a repository, at most.
const MAX_PULL_REQUESTS: usize = 10_000;

/// How a pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullState {
    /// Open.
    Open,
    /// Merged.
    Merged,
    /// Closed without a merge.
    Closed,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository, from 1.
    pub number: i64,
    /// The title.
    pub title: String,
    /// The description.
    pub body: String,
    /// The source branch.
    pub head: String,
    /// The target branch.
    pub base: String,
    /// The source branch's tip: now, or when it was merged or closed.
    pub head_commit: String,
    /// How it stands.
    pub state: PullState,
    /// What the merge made of the target branch.
    pub merge_commit: Option<String>,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// When it was opened.
    pub created_at: jiff::Timestamp,
    /// When it was last changed.
    pub updated_at: jiff::Timestamp,
}

impl PullRequest {
    /// Whether its title says that it is not to be merged yet.
    pub fn is_draft(&self) -> bool {
        let title = self.title.to_uppercase();
        ["WIP:", "[WIP]"].iter().any(|mark| title.starts_with(mark))
    }
}

/// How branches are merged: the words of the API's `Do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeMethod {
    /// A merge commit.
    Merge,
    /// The commits anew on top of the target.
    Rebase,
    /// The same, and a merge commit.
    RebaseMerge,
    /// One commit.
    Squash,
    /// The target moves to the source, where that is ahead of it.
    FastForwardOnly,
}

#[derive(Clone, Debug, Default)]
struct Repository {
    pulls: Vec<PullRequest>,
    labels: Vec<String>,
}

/// The pull requests of all repositories.
#[derive(Default)]
pub(crate) struct Store(Mutex<HashMap<String, Repository>>);

impl Store {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Repository>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes what a repository has.
    fn of<T>(&self, path: &str, act: impl FnOnce(&mut Repository) -> T) -> T {
        act(self.all().entry(with_suffix(path)).or_default())
    }

    fn get(&self, path: &str, number: i64) -> Option<PullRequest> {
        self.of(path, |r| r.pulls.iter().find(|p| p.number == number).cloned())
    }

    /// Changes a pull request; returns it as it is then.
    fn change(
        &self,
        path: &str,
        number: i64,
        act: impl FnOnce(&mut PullRequest),
    ) -> Option<PullRequest> {
        self.of(path, |r| {
            let pull = r.pulls.iter_mut().find(|p| p.number == number)?;
            act(pull);
            pull.updated_at = jiff::Timestamp::now();
            Some(pull.clone())
        })
    }
}

impl GitHost {
    /// The pull requests of a repository, the oldest first.
    pub fn pull_requests(&self, path: &str) -> Vec<PullRequest> {
        self.shared.pull_requests.of(path, |r| r.pulls.clone())
    }

    /// Gives a repository a label, as its owner does.
    pub fn add_label(&self, path: &str, name: &str) {
        self.shared.pull_requests.of(path, |r| {
            if !r.labels.iter().any(|l| l == name) {
                r.labels.push(name.to_owned());
            }
        });
    }

    /// Merges a pull request, as a reviewer does. Returns what the target
    /// branch is at then.
    ///
    /// # Errors
    /// One that is not open or cannot be merged so.
    pub async fn merge_pull_request(
        &self,
        path: &str,
        number: i64,
        method: MergeMethod,
    ) -> Result<String, GitHostError> {
        let merged = self.shared.merge(path, number, method).await?;
        merged.map_err(|why| GitHostError::Git { command: "merge".to_owned(), message: why })
    }

    /// Closes a pull request without merging it.
    pub fn close_pull_request(&self, path: &str, number: i64) -> Option<PullRequest> {
        self.shared.pull_requests.change(path, number, |pull| pull.state = PullState::Closed)
    }
}

impl Shared {
    /// The pull request with its source branch's tip as it is now.
    async fn current(&self, path: &str, number: i64) -> Result<Option<PullRequest>, GitHostError> {
        let Some(pull) = self.pull_requests.get(path, number) else { return Ok(None) };
        if pull.state != PullState::Open {
            return Ok(Some(pull));
        }
        let tip = self.id(path, &format!("refs/heads/{}", pull.head)).await?;
        Ok(self.pull_requests.of(path, |r| {
            let pull = r.pulls.iter_mut().find(|p| p.number == number)?;
            if let Some(tip) = tip {
                pull.head_commit = tip;
            }
            Some(pull.clone())
        }))
    }
}

#[cfg(test)]
mod tests;
