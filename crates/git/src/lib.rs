//! Repositories on disk: mirrors, clones, checkouts, commits and pushes, with
//! libgit2 and no other process.
//!
//! [`Git`] is the way in. It keeps one mirror per repository and credential
//! ([`Snapshot`]), makes clones that borrow the mirror's objects
//! ([`Repository`]), and checkouts whose Git directory lies elsewhere
//! ([`Checkout`]). All of its functions run on the blocking pool, are bounded
//! in time and size, and end when their token is cancelled.
//!
//! ```no_run
//! use git::{About, At, CheckoutRequest, CommitRequest, Freshness, Git, GitOptions, Identity};
//! use git::{IntegrationPolicy, PushRequest};
//!
//! # async fn example() -> Result<(), git::GitError> {
//! let cancel = tokio_util::sync::CancellationToken::new();
//! let git = Git::open(GitOptions::new("/var/cache/mirrors"))?;
//! let remote = git.remote("https://github.com/example/deploy.git", None, false)?;
//! let snapshot = git.snapshot(&remote, Freshness::Now, &cancel).await?;
//! let identity = Identity::default();
//! let about = About {
//!     url: remote.url().into(),
//!     identity: identity.clone(),
//!     insecure_skip_tls_verify: false,
//! };
//! let clone = git.clone_at("/data/git/deploy".as_ref(), &snapshot, about).await?;
//! let request = CheckoutRequest {
//!     path: "src".into(),
//!     on_disk: "/data/files/src".into(),
//!     at: At::Branch { name: "main".into(), recorded: None },
//!     sparse: vec![],
//! };
//! let checkout = git.checkout(&clone, &snapshot, request).await?;
//! std::fs::write("/data/files/src/tag", "v2").expect("the checkout is writable");
//! let time = jiff::Timestamp::now();
//! let change = CommitRequest {
//!     path: "src".into(),
//!     message: "Update the tag".into(),
//!     identity: identity.clone(),
//!     time,
//! };
//! git.commit(&checkout, change).await?;
//! let push = PushRequest {
//!     target: "main".into(),
//!     force: false,
//!     policy: IntegrationPolicy::AlwaysRebase,
//!     committer: identity,
//!     time,
//!     intents: None,
//! };
//! git.push(&checkout, &remote, push, &cancel).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here knows Kubernetes; credentials come as values ([`Auth`]) and go
//! to servers through libgit2's callback only, after a check that it is the
//! server that they are for.

mod address;
mod batch;
mod checkout;
mod clear;
mod commit;
mod descent;
mod error;
mod eviction;
mod fetch;
mod history;
mod http;
mod integrate;
mod intent;
mod known_hosts;
mod mirror;
mod pace;
mod push;
mod queue;
mod rejection;
mod remote;
mod replaced;
mod repository;
mod settings;
mod sign;
mod snapshot;
mod submodule;
mod sync;
mod tag;
mod tip;
mod told;
mod touched;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use address::UrlRewrites;
pub use checkout::Checkout;
pub use commit::CommitRequest;
pub use error::{ErrorClass, GitError};
pub use git2::Oid;
pub use history::{Commit, Reader, Tag};
pub use integrate::IntegrationPolicy;
pub use intent::{Intent, Intents, Recording};
pub use mirror::Look;
pub use push::{PushRequest, Pushed};
pub use rejection::Rejection;
pub use remote::{Auth, Remote};
pub use repository::{About, At, CheckoutRequest, Identity, Repository};
pub use settings::ProcessSettings;
pub use sign::SigningKey;
pub use snapshot::{Freshness, ListedRef, Listing, Need, Snapshot};
pub use submodule::Submodule;
pub use sync::{CommitTrust, TakeIn, TakenIn};
pub use tag::TagRequest;
pub use tip::Tip;
pub use told::OnRequest;

/// How Git operations are bounded, and where mirrors lie.
#[derive(Clone, Debug)]
pub struct GitOptions {
    /// The directory of the mirrors; no other process may use it.
    pub cache_dir: PathBuf,
    /// Where addresses are asked for at another place than they name.
    pub rewrites: UrlRewrites,
    /// Timeouts and certificates. For SSH those of the first [`Git`] hold for
    /// the process.
    pub process: ProcessSettings,
    /// How long one operation (a fetch, a push) may take in all; a server that
    /// has fallen silent is noticed after the process's `server_timeout`.
    pub operation_timeout: Duration,
    /// How many operations talk to servers at once.
    pub max_concurrent: usize,
    /// How many mirrors are kept.
    pub max_mirrors: usize,
    /// How large all mirrors may be together, in bytes. What was not used for
    /// longest goes first; mirrors that clones take objects from stay.
    pub max_mirror_bytes: u64,
    /// How much is remembered of commits and of the paths that they touch, in
    /// bytes, for all mirrors together.
    pub max_history_bytes: usize,
    /// How many walks through history run at once.
    pub max_walks: usize,
    /// How much one fetch may bring, in bytes.
    pub max_fetch_bytes: u64,
    /// Who is told of requests.
    pub on_request: OnRequest,
}

impl GitOptions {
    /// Mirrors in `cache_dir`, everything else as usual.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            rewrites: UrlRewrites::new(),
            process: ProcessSettings::default(),
            operation_timeout: Duration::from_secs(600),
            max_concurrent: 16,
            max_mirrors: 1024,
            max_mirror_bytes: 32 << 30,
            max_history_bytes: 32 << 20,
            max_walks: std::thread::available_parallelism().map_or(2, usize::from),
            max_fetch_bytes: 8 << 30,
            on_request: OnRequest::default(),
        }
    }
}

/// Git for one process.
#[derive(Debug)]
pub struct Git {
    options: GitOptions,
    mirrors: mirror::Mirrors,
    turns: Arc<tokio::sync::Semaphore>,
    walks: Arc<tokio::sync::Semaphore>,
    clients: http::Clients,
    pushes: queue::Pushes,
}

impl Git {
    /// Opens the directory of mirrors.
    ///
    /// # Errors
    /// A directory that cannot be had or that another process uses; settings
    /// that libgit2 does not take.
    pub fn open(options: GitOptions) -> Result<Self, GitError> {
        settings::apply_once(&options.process)
            .map_err(|e| GitError::Config(format!("git settings cannot be applied: {e}")))?;
        let clients = http::Clients::new(&options.process, &options.on_request)
            .map_err(|e| GitError::Config(format!("connections cannot be set up: {e}")))?;
        let limits = mirror::Limits { count: options.max_mirrors, bytes: options.max_mirror_bytes };
        let mirrors = mirror::Mirrors::open(&options.cache_dir, limits)?;
        let turns = Arc::new(tokio::sync::Semaphore::new(options.max_concurrent.max(1)));
        let walks = Arc::new(tokio::sync::Semaphore::new(options.max_walks.max(1)));
        let pushes = queue::Pushes::default();
        Ok(Self { options, mirrors, turns, walks, clients, pushes })
    }

    /// The repository at `url`, with this Git's URL rewriting.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub fn remote(
        &self,
        url: &str,
        auth: Option<Auth>,
        insecure_skip_tls_verify: bool,
    ) -> Result<Remote, GitError> {
        Remote::new(url, &self.options.rewrites, auth, insecure_skip_tls_verify)
    }

    fn bounds(&self, cancel: &CancellationToken) -> remote::Bounds {
        remote::Bounds {
            deadline: Instant::now() + self.options.operation_timeout,
            limit: self.options.operation_timeout,
            cancel: cancel.clone(),
            max_bytes: self.options.max_fetch_bytes,
            clients: self.clients.clone(),
        }
    }

    async fn turn(
        &self,
        doing: &str,
        cancel: &CancellationToken,
    ) -> Result<tokio::sync::OwnedSemaphorePermit, GitError> {
        tokio::select! {
            turn = self.turns.clone().acquire_owned() => turn.map_err(|e| GitError::Internal {
                doing: doing.to_owned(),
                message: e.to_string(),
            }),
            () = cancel.cancelled() => Err(GitError::Cancelled { doing: doing.to_owned() }),
        }
    }

    /// What the repository looks like, with all its objects in a mirror on
    /// disk. Concurrent callers share one fetch.
    ///
    /// # Errors
    /// Authentication, not found, network.
    pub async fn snapshot(
        &self,
        remote: &Remote,
        freshness: Freshness,
        cancel: &CancellationToken,
    ) -> Result<Snapshot, GitError> {
        let everything = |_: &Listing| Need::Everything;
        let look = self.look(remote, freshness, everything, cancel).await?;
        look.snapshot.ok_or_else(|| GitError::Internal {
            doing: "fetching".to_owned(),
            message: "the mirror has no objects".to_owned(),
        })
    }

    /// Lists a repository's references and fetches the objects that `need`
    /// says are needed of what was listed, on the same connection. Concurrent
    /// callers share one listing and one fetch.
    ///
    /// # Errors
    /// Authentication, not found, network.
    pub async fn look(
        &self,
        remote: &Remote,
        freshness: Freshness,
        need: impl Fn(&Listing) -> Need + Send + 'static,
        cancel: &CancellationToken,
    ) -> Result<Look, GitError> {
        let bounds = self.bounds(cancel);
        self.mirrors.look(remote, freshness, need, &self.turns, bounds).await
    }

    /// Reads commits and tags of a snapshot, on the blocking pool. What was
    /// read of a commit before is remembered.
    ///
    /// A mirror whose objects cannot be read is made anew at the next look.
    ///
    /// # Errors
    /// What `work` returns; that the walk was cancelled or took too long.
    pub async fn read<T, E>(
        &self,
        snapshot: &Snapshot,
        cancel: &CancellationToken,
        work: impl FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<GitError> + Send + 'static,
    {
        let doing = format!("reading the history of repo {}", snapshot.listing.url);
        let cancelled = || E::from(GitError::Cancelled { doing: doing.clone() });
        let walk = tokio::select! {
            walk = self.walks.clone().acquire_owned() => walk.map_err(|e| {
                E::from(GitError::Internal { doing: doing.clone(), message: e.to_string() })
            })?,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        self.mirrors.forget_histories(snapshot, self.options.max_history_bytes);
        let (bounds, snapshot) = (self.bounds(cancel), snapshot.clone());
        let max_bytes = self.options.max_history_bytes;
        let reading = tokio::task::spawn_blocking(move || {
            let _walk = walk;
            let reader = Reader::open(&snapshot, bounds, max_bytes)?;
            work(&reader)
        });
        match reading.await {
            Ok(done) => done,
            Err(error) => Err(GitError::Internal { doing, message: error.to_string() }.into()),
        }
    }

    /// Has a mirror made anew at the next look: for a snapshot whose objects
    /// cannot be read.
    pub fn mark_broken(&self, snapshot: &Snapshot) {
        snapshot.mirror.mark_broken();
    }

    /// Whether a commit is `ancestor` or came after it, both as full ids;
    /// `None` where the snapshot has not both of them.
    ///
    /// # Errors
    /// A mirror that cannot be read.
    pub async fn contains(
        &self,
        snapshot: &Snapshot,
        commit: &str,
        ancestor: &str,
    ) -> Result<Option<bool>, GitError> {
        let snapshot = snapshot.clone();
        let (commit, ancestor) = (commit.to_owned(), ancestor.to_owned());
        blocking("comparing commits", move || descent::contains(&snapshot, &commit, &ancestor))
            .await
    }

    /// Makes a clone at `dir` from a snapshot.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn clone_at(
        &self,
        dir: &Path,
        snapshot: &Snapshot,
        about: About,
    ) -> Result<Repository, GitError> {
        let (dir, snapshot) = (dir.to_owned(), snapshot.clone());
        blocking("cloning", move || Repository::create(&dir, &snapshot, about)).await
    }

    /// Makes a checkout of a clone.
    ///
    /// # Errors
    /// A branch, tag or commit that is not there, a path that is taken.
    pub async fn checkout(
        &self,
        repository: &Repository,
        snapshot: &Snapshot,
        request: CheckoutRequest,
    ) -> Result<Checkout, GitError> {
        let (repository, snapshot) = (repository.clone(), snapshot.clone());
        blocking("checking out", move || repository.add_checkout(&snapshot, &request)).await
    }

    /// Writes the files of a submodule into its folder beneath `parent`, and
    /// returns that folder with the submodule's own submodules.
    ///
    /// # Errors
    /// A commit that is on no branch or tag; something else than folders on
    /// the way.
    pub async fn export(
        &self,
        snapshot: &Snapshot,
        remote: &Remote,
        submodule: &Submodule,
        parent: &Path,
    ) -> Result<(PathBuf, Vec<Submodule>), GitError> {
        let (snapshot, url) = (snapshot.clone(), remote.url().to_owned());
        let (submodule, parent) = (submodule.clone(), parent.to_owned());
        blocking("writing a submodule", move || {
            submodule::export(&snapshot, &url, &submodule, &parent)
        })
        .await
    }

    /// Makes a branch at the server that holds one empty commit,
    /// `Initial commit`, and returns the branch's tip. A branch that is there
    /// by now is taken as it is. The same identity and time make the same
    /// commit.
    ///
    /// # Errors
    /// Authentication, network, a refused push.
    pub async fn create_branch(
        &self,
        repository: &Repository,
        remote: &Remote,
        branch: &str,
        identity: &Identity,
        time: jiff::Timestamp,
        cancel: &CancellationToken,
    ) -> Result<String, GitError> {
        let _turn = self.turn("making a branch", cancel).await?;
        let bounds = self.bounds(cancel);
        let (repository, remote, branch, identity) =
            (repository.clone(), remote.clone(), branch.to_owned(), identity.clone());
        blocking("making a branch", move || {
            push::create_branch(&repository, &remote, &branch, &identity, time, &bounds)
        })
        .await
    }

    /// The checkout below `git_dir` that a path of the working directory
    /// belongs to: see [`Repository::checkout_at`].
    ///
    /// # Errors
    /// Clones that cannot be read.
    pub async fn checkout_at(
        &self,
        git_dir: &Path,
        path: &str,
    ) -> Result<Option<Checkout>, GitError> {
        let (git_dir, path) = (git_dir.to_owned(), path.to_owned());
        blocking("finding a checkout", move || Repository::checkout_at(&git_dir, &path)).await
    }

    /// Commits what changed in a checkout; `None` where nothing did.
    ///
    /// # Errors
    /// As [`Checkout::commit`].
    pub async fn commit(
        &self,
        checkout: &Checkout,
        request: CommitRequest,
    ) -> Result<Option<String>, GitError> {
        let checkout = checkout.clone();
        blocking("committing", move || checkout.commit(&request)).await
    }

    /// Removes the files beneath a path of a checkout but those that git
    /// ignores: see [`Checkout::clear`].
    ///
    /// # Errors
    /// What the disk says.
    pub async fn clear(&self, checkout: &Checkout, path: &str) -> Result<(), GitError> {
        let (checkout, path) = (checkout.clone(), path.to_owned());
        blocking("clearing", move || checkout.clear(&path)).await
    }

    /// Puts an annotated tag on the commit that is checked out, in the clone
    /// alone.
    ///
    /// # Errors
    /// As [`Checkout::tag`].
    pub async fn tag(&self, checkout: &Checkout, request: TagRequest) -> Result<(), GitError> {
        let checkout = checkout.clone();
        blocking("tagging", move || checkout.tag(&request)).await
    }

    /// Pushes a checkout's commits to a branch: one attempt. Pushes of this
    /// process to one branch wait for each other, and those that wait go
    /// together where none is forced.
    ///
    /// # Errors
    /// [`GitError::NonFastForward`] where another writer was faster (try
    /// again), [`GitError::MergeConflict`], [`GitError::Rejected`],
    /// authentication, network.
    pub async fn push(
        &self,
        checkout: &Checkout,
        remote: &Remote,
        request: PushRequest,
        cancel: &CancellationToken,
    ) -> Result<Pushed, GitError> {
        let member = batch::Member {
            checkout: checkout.clone(),
            remote: remote.clone(),
            request,
            cancel: cancel.clone(),
        };
        let bounds = self.bounds(cancel);
        self.pushes.push(member, &self.turns, &bounds).await
    }

    /// Moves a checkout to a commit that a push of ours left at the server, as
    /// that push had moved it: [`Checkout::follow`].
    ///
    /// # Errors
    /// A commit that the repository no longer has.
    pub async fn follow(&self, checkout: &Checkout, commit: &str) -> Result<(), GitError> {
        let (checkout, commit) = (checkout.clone(), commit.to_owned());
        blocking("following a push", move || checkout.follow(&commit)).await
    }

    /// Takes into a checkout what a branch of the server has more, without
    /// pushing anything: see [`TakeIn`].
    ///
    /// # Errors
    /// [`GitError::MergeConflict`], [`GitError::RebaseUnsafe`], authentication,
    /// network.
    pub async fn take_in(
        &self,
        checkout: &Checkout,
        remote: &Remote,
        request: TakeIn,
        cancel: &CancellationToken,
    ) -> Result<TakenIn, GitError> {
        let _turn = self.turn("fetching", cancel).await?;
        let bounds = self.bounds(cancel);
        let (checkout, remote) = (checkout.clone(), remote.clone());
        blocking("fetching", move || sync::take_in(&checkout, &remote, &request, &bounds)).await
    }

    /// Moves a checkout to a commit of a branch of the server, which others
    /// made of ours.
    ///
    /// # Errors
    /// A commit that the branch does not have, authentication, network.
    pub async fn sync(
        &self,
        checkout: &Checkout,
        remote: &Remote,
        branch: &str,
        commit: &str,
        cancel: &CancellationToken,
    ) -> Result<(), GitError> {
        let _turn = self.turn("fetching", cancel).await?;
        let bounds = self.bounds(cancel);
        let (checkout, remote) = (checkout.clone(), remote.clone());
        let (branch, commit) = (branch.to_owned(), commit.to_owned());
        blocking("fetching", move || sync::sync(&checkout, &remote, &branch, &commit, &bounds))
            .await
    }

    /// Pushes a tag of a checkout's clone.
    ///
    /// # Errors
    /// A tag that is not there, or that names something else at the server.
    pub async fn push_tag(
        &self,
        checkout: &Checkout,
        remote: &Remote,
        tag: &str,
        intents: Option<Arc<dyn Intents>>,
        cancel: &CancellationToken,
    ) -> Result<Pushed, GitError> {
        let _turn = self.turn("pushing", cancel).await?;
        let bounds = self.bounds(cancel);
        let (checkout, remote, tag) = (checkout.clone(), remote.clone(), tag.to_owned());
        blocking("pushing", move || {
            push::push_tag(&checkout, &remote, &tag, intents.as_ref(), &bounds)
        })
        .await
    }
}

/// Runs something on the blocking pool. A panic in there is an error of the
/// one who asked, and of nobody else.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            Err(GitError::Internal { doing: doing.to_owned(), message: error.to_string() })
        }
    }
}
