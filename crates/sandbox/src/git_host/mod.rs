//! A Git host on loopback: bare repositories below a directory, served over
//! smart HTTP by the machine's `git http-backend`.
//!
//! * [`GitHost`]: start, stop, address.
//! * `repositories`: making repositories and commits, and looking into them.
//! * `backend`: one HTTP request through `git http-backend`.
//! * [`pull_requests`]: pull requests, by the API that Gitea has for them.
//! * [`traffic`]: what was asked, and the knobs that make it go wrong.
//!
//! This is the only place in Supercargo that starts `git` (house rule 13).

mod backend;
pub mod pull_requests;
mod repositories;
pub mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;

pub use repositories::{CommitInfo, FileChange};
pub use traffic::{GitRequest, GitService, Traffic};

/// How a Git host is set up. The default listens on a free loopback port,
/// keeps its repositories in a temporary directory and lets everybody in.
#[derive(Clone, Debug)]
pub struct GitHostOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the bare repositories lie; a temporary directory where absent.
    pub root: Option<PathBuf>,
    /// User and token that every repository asks for. Repositories may differ:
    /// see [`GitHost::set_auth`].
    pub auth: Option<(String, String)>,
}

impl Default for GitHostOptions {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), root: None, auth: None }
    }
}

/// What goes wrong with the Git host.
#[derive(Debug, thiserror::Error)]
pub enum GitHostError {
    /// A file, socket or process failed.
    #[error("git host: {what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// `git` ended with an error.
    #[error("git host: git {command} failed: {message}")]
    Git {
        /// The subcommand.
        command: String,
        /// What it wrote to its standard error.
        message: String,
    },
    /// The name of a repository, branch or file cannot be served.
    #[error("git host: {0:?} cannot be used as a name here")]
    Name(String),
}

impl GitHostError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What the server and the owner's handle share.
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) traffic: Traffic,
    /// Its own address.
    pub(crate) url: String,
    pub(crate) pull_requests: pull_requests::Store,
    /// Commits of one process are made one after the other.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

/// A running Git host. It stops when this is dropped.
pub struct GitHost {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
    _temporary: Option<tempfile::TempDir>,
}

impl GitHost {
    /// Starts a host.
    ///
    /// # Errors
    /// A port or directory that cannot be had.
    pub async fn start(options: GitHostOptions) -> Result<Self, GitHostError> {
        let (root, temporary) = match options.root {
            Some(root) => (root, None),
            None => {
                let dir = tempfile::tempdir().map_err(GitHostError::io("temporary directory"))?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        std::fs::create_dir_all(&root)
            .map_err(GitHostError::io(format!("directory {}", root.display())))?;
        let root = root
            .canonicalize()
            .map_err(GitHostError::io(format!("directory {}", root.display())))?;
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .map_err(GitHostError::io(format!("listening on {}", options.listen)))?;
        let address = listener.local_addr().map_err(GitHostError::io("address"))?;
        let shared = Arc::new(Shared {
            root,
            traffic: Traffic::new(options.auth),
            url: format!("http://{address}"),
            pull_requests: pull_requests::Store::default(),
            writing: tokio::sync::Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the git host stopped");
            }
        });
        Ok(Self { address, shared, server, _temporary: temporary })
    }

    /// Its address, for example `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a repository, for example `http://127.0.0.1:4711/a/b.git`.
    pub fn repository_url(&self, path: &str) -> String {
        format!("{}/{}", self.url(), repositories::with_suffix(path))
    }

    /// Where the bare repositories lie.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// What was asked, and the knobs.
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic
    }

    /// Makes one repository ask for this user and token, or (`None`) lets
    /// everybody in, whatever the host's own setting.
    pub fn set_auth(&self, path: &str, auth: Option<(String, String)>) {
        self.shared.traffic.set_auth(repositories::with_suffix(path), auth);
    }

    /// Lets one more token read a repository that asks for one, whoever shows
    /// it; what it may not do is answered with 403.
    pub fn let_read(&self, path: &str, token: &str) {
        self.shared.traffic.set_reader(repositories::with_suffix(path), token.to_owned());
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    request: axum::extract::Request,
) -> axum::response::Response {
    if request.uri().path().starts_with(pull_requests::API) {
        return pull_requests::answer(shared, request).await;
    }
    backend::answer(shared, request).await
}

#[cfg(test)]
mod tests;
