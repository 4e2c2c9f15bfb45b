//! Pull requests at Git providers: opened, found again, looked at, merged.
//!
//! * [`Forge`]: one repository at one provider; what can be done there, with
//!   plain data ([`PullRequest`], [`NewPullRequest`], [`Search`], [`Merge`]).
//! * [`Commits`]: commits that GitHub makes and signs itself.
//! * [`Provider`]: which provider serves a URL (`steps-git` 13.1).
//! * [`Forges`] and [`HttpForges`]: the way to a [`Forge`].
//! * One file a provider speaks its published API: `github`, `gitlab`,
//!   `gitea` (and Forgejo), `bitbucket_cloud`, `bitbucket_data_center`,
//!   `azure`.
//! * `http`: the one client: deadlines, bounded bodies, no token to another
//!   host, a budget of requests for each host.
//!
//! It knows nothing of Stages and Promotions: a caller that wants to know its
//! own pull request again brings a [`Marker`].
//!
//! ```no_run
//! use forge::{Forges, HttpForges, Marker, NewPullRequest, OpenRequest, Search, Settings};
//!
//! # async fn example() -> Result<(), forge::ForgeError> {
//! let forges = HttpForges::new(Settings::default())?;
//! let forge = forges.open(&OpenRequest {
//!     url: "https://github.com/example/deploy.git".into(),
//!     ..OpenRequest::default()
//! })?;
//! let open = forge.find(&Search::open("stage/prod", "main")).await?;
//! if open.is_empty() {
//!     forge
//!         .create(&NewPullRequest {
//!             title: "Promote 1.2.0".into(),
//!             description: String::new(),
//!             marker: Some(Marker::new("promotion-7")),
//!             head: "stage/prod".into(),
//!             base: "main".into(),
//!             labels: vec![],
//!         })
//!         .await?;
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod azure;
mod bitbucket_cloud;
mod bitbucket_data_center;
mod commits;
mod error;
mod forges;
mod gitea;
mod github;
mod github_commits;
mod gitlab;
mod http;
mod provider;
mod pull_request;

use async_trait::async_trait;

pub use commits::{Commits, ComparedCommit, Comparison, NewCommit, Signer};
pub use error::{ErrorClass, ForgeError, Refusal};
pub use forges::{AddressRewrite, Forges, HttpForges, OpenRequest, Settings};
pub use provider::Provider;
pub use pull_request::{Marker, Merge, NewPullRequest, PullRequest, Search, State};

/// One repository at a provider, as the holder of one token sees it.
#[async_trait]
pub trait Forge: Send + Sync {
    /// Who it is.
    fn provider(&self) -> Provider;

    /// Opens a pull request. Call [`Forge::ensure_labels`] afterwards: not
    /// every provider takes labels with the pull request.
    ///
    /// # Errors
    /// [`ForgeError::AlreadyExists`] where one is open for the same branches;
    /// [`ForgeError::NoSuchLabels`]; refusals and network errors.
    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError>;

    /// Puts the labels on a pull request of [`Forge::create`] where that could
    /// not. May be done any number of times.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn ensure_labels(&self, _number: i64, _labels: &[String]) -> Result<(), ForgeError> {
        Ok(())
    }

    /// The pull requests between two branches of the repository. At most some
    /// 1,000 are looked at, the newest first where the provider can sort.
    ///
    /// # Errors
    /// Refusals and network errors.
    async fn find(&self, search: &Search) -> Result<Vec<PullRequest>, ForgeError>;

    /// A pull request by its number.
    ///
    /// # Errors
    /// Refusals (not found among them) and network errors.
    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError>;

    /// Merges a pull request if it can be merged now (`steps-git` 13.4). One
    /// that is merged already counts as merged. `method` is in the provider's
    /// own words; `None` leaves the choice to the provider.
    ///
    /// # Errors
    /// [`ForgeError::State`] where it is closed or in conflict; a method that
    /// the provider does not know; refusals and network errors. After a
    /// network error it may be merged all the same: ask again.
    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError>;
}
