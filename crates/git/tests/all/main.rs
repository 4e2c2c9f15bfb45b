//! Git against the sandbox's Git host.

mod auth;
mod batch;
mod cache;
mod clone;
mod intents;
mod machine;
mod mirrors;
mod push;
mod sign;
mod ssh;

use std::path::PathBuf;
use std::sync::Arc;

use git::{About, At, Auth, Checkout, CheckoutRequest, CommitRequest, Freshness, Git, GitOptions};
use git::{Identity, IntegrationPolicy, PushRequest, Remote, Repository, Snapshot};
use sandbox::git_host::{GitHost, GitHostOptions};
use tokio_util::sync::CancellationToken;

/// A Git host with one repository, a Git, and a place for clones.
struct Setup {
    host: Arc<GitHost>,
    git: Arc<Git>,
    dir: tempfile::TempDir,
}

const REPO: &str = "team/app";

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

impl Setup {
    async fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| {}).await
    }

    async fn with(files: &[(&str, &str)], change: impl FnOnce(&mut GitOptions)) -> Self {
        let host = Arc::new(GitHost::start(GitHostOptions::default()).await.unwrap());
        host.create_repository(REPO, files).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut options = GitOptions::new(dir.path().join("mirrors"));
        change(&mut options);
        let git = Arc::new(Git::open(options).unwrap());
        Self { host, git, dir }
    }

    fn remote(&self) -> Remote {
        self.git.remote(&self.host.repository_url(REPO), None, false).unwrap()
    }

    fn remote_as(&self, user: &str, token: &str) -> Remote {
        let auth = Auth::basic(user, token, "Secret p/repo", "uid-1");
        self.git.remote(&self.host.repository_url(REPO), Some(auth), false).unwrap()
    }

    async fn snapshot(&self) -> Snapshot {
        self.git.snapshot(&self.remote(), Freshness::Now, &never()).await.unwrap()
    }

    async fn clone(&self, name: &str) -> (Repository, Snapshot) {
        let snapshot = self.snapshot().await;
        let about = About {
            url: self.remote().url().to_owned(),
            identity: Identity::default(),
            insecure_skip_tls_verify: false,
        };
        let dir = self.dir.path().join("git").join(name);
        (self.git.clone_at(&dir, &snapshot, about).await.unwrap(), snapshot)
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.dir.path().join("work").join(path)
    }

    fn request(&self, path: &str, at: At) -> CheckoutRequest {
        CheckoutRequest { path: path.into(), on_disk: self.on_disk(path), at, sparse: vec![] }
    }

    /// A clone of `main` at `path`.
    async fn checkout(&self, path: &str) -> Checkout {
        let (repository, snapshot) = self.clone(&path.replace('/', "-")).await;
        let request = self.request(path, branch("main"));
        self.git.checkout(&repository, &snapshot, request).await.unwrap()
    }

    fn write(&self, path: &str, content: &str) {
        let file = self.on_disk(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    async fn commit(&self, checkout: &Checkout, message: &str) -> Option<String> {
        let request = CommitRequest {
            path: checkout.path().to_owned(),
            message: message.to_owned(),
            identity: Identity::default(),
            time: at(0),
        };
        self.git.commit(checkout, request).await.unwrap()
    }

    async fn messages(&self) -> Vec<String> {
        let log = self.host.log(REPO, "main").await.unwrap();
        log.into_iter().map(|c| c.message.trim().to_owned()).collect()
    }
}

fn branch(name: &str) -> At {
    At::Branch { name: name.into(), recorded: None }
}

/// A push that was cut off, and what it had recorded.
#[derive(Debug)]
struct CutOff(String);

impl git::Intents for CutOff {
    fn recorded(&self) -> Option<String> {
        Some(self.0.clone())
    }

    fn record(&self, _: git::Intent) -> git::Recording {
        Box::pin(async { Ok(()) })
    }
}

fn after(recorded: &str, request: PushRequest) -> PushRequest {
    PushRequest { intents: Some(Arc::new(CutOff(recorded.to_owned()))), ..request }
}

fn to_main() -> PushRequest {
    PushRequest {
        target: "main".into(),
        force: false,
        policy: IntegrationPolicy::AlwaysRebase,
        committer: Identity::default(),
        time: at(60),
        intents: None,
    }
}
