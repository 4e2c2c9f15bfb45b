//! Discovery against the sandbox's Git host.

mod branches;
mod faults;
mod tagged;

use std::process::{Command, Stdio};
use std::sync::Arc;

use api::{GitDiscoveryResult, GitSubscription};
use sandbox::git_host::{GitHost, GitHostOptions, GitService};
use tokio_util::sync::CancellationToken;

use super::{Commits, Discovered, Settings};
use crate::error::Error;

const REPO: &str = "team/app";

/// A Git host with one repository, and discovery from it.
pub(super) struct Setup {
    pub(super) host: GitHost,
    pub(super) commits: Commits,
    pub(super) dir: tempfile::TempDir,
}

impl Setup {
    pub(super) async fn new() -> Self {
        let host = GitHost::start(GitHostOptions::default()).await.unwrap();
        host.create_repository(REPO, &[]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = ::git::GitOptions::new(dir.path().join("mirrors"));
        let git = Arc::new(::git::Git::open(options).unwrap());
        Self { host, commits: Commits::new(git, Settings::default()), dir }
    }

    /// With commits `1`, `2` … on `main` that write the files, a second apart.
    pub(super) async fn with_commits(files: &[&str]) -> (Self, Vec<String>) {
        let setup = Self::new().await;
        let ids = setup.import(files);
        (setup, ids)
    }

    /// Commits `1`, `2` … on `main`, a second apart from 2024-01-01 on.
    pub(super) fn import(&self, files: &[&str]) -> Vec<String> {
        let mut script = String::new();
        for (n, file) in files.iter().enumerate() {
            let at = 1_704_067_200 + n;
            let message = format!("commit {}", n + 1);
            script.push_str(&format!(
                "commit refs/heads/main\nauthor A U Thor <author@example.com> {at} +0000\ncommitter C O Mitter <committer@example.com> {at} -0800\ndata {}\n{message}\nM 100644 inline {file}\ndata {}\n{n}\n",
                message.len(),
                n.to_string().len(),
            ));
        }
        self.run(&["fast-import", "--quiet", "--date-format=raw"], script.as_bytes());
        let ids = self.run(&["rev-list", "--reverse", "refs/heads/main"], b"");
        ids.lines().map(str::to_owned).collect()
    }

    /// Runs git in the repository at the host and returns what it prints.
    pub(super) fn run(&self, arguments: &[&str], input: &[u8]) -> String {
        use std::io::Write;
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.host.root().join(format!("{REPO}.git")))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_NAME", "T Agger")
            .env("GIT_COMMITTER_EMAIL", "tagger@example.com")
            .env("GIT_COMMITTER_DATE", "1704153600 +0100")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn url(&self) -> String {
        self.host.repository_url(REPO)
    }

    /// A subscription to the repository.
    pub(super) fn subscription(
        &self,
        change: impl FnOnce(&mut GitSubscription),
    ) -> GitSubscription {
        let mut subscription =
            GitSubscription { repo_url: self.url(), ..GitSubscription::default() };
        change(&mut subscription);
        subscription
    }

    pub(super) async fn try_discover(
        &self,
        subscription: &GitSubscription,
        previous: Option<&GitDiscoveryResult>,
    ) -> Result<Discovered, Error> {
        self.commits.discover(subscription, None, previous, &CancellationToken::new()).await
    }

    pub(super) async fn discover(&self, change: impl FnOnce(&mut GitSubscription)) -> Discovered {
        self.try_discover(&self.subscription(change), None).await.unwrap()
    }

    pub(super) async fn error(&self, change: impl FnOnce(&mut GitSubscription)) -> String {
        self.try_discover(&self.subscription(change), None).await.unwrap_err().to_string()
    }

    /// How often objects were fetched.
    pub(super) fn fetches(&self) -> usize {
        self.host.traffic().count(|r| r.service == GitService::Fetch && !r.lists_refs)
    }

    /// How often references were listed.
    pub(super) fn listings(&self) -> usize {
        self.host.traffic().count(|r| r.service == GitService::Fetch && r.lists_refs)
    }
}

pub(super) fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// The subjects of what was found.
pub(super) fn subjects(found: &Discovered) -> Vec<&str> {
    found.result.commits.iter().map(|c| c.subject.as_str()).collect()
}

/// The tags of what was found.
pub(super) fn tags(found: &Discovered) -> Vec<&str> {
    found.result.commits.iter().map(|c| c.tag.as_str()).collect()
}
