//! What Promotions cost at the server: requests counted there, for one
//! Promotion and for many at once, and a repository with a long history.
//!
//! `cargo bench -p git --bench crowd`. Sizes by `CROWD_HISTORY_MB` (200).

use std::time::{Duration, Instant};

use futures::future::join_all;
use git::{About, At, Checkout, CheckoutRequest, CommitRequest, Freshness, Git, GitOptions};
use git::{Identity, IntegrationPolicy, PushRequest};
use sandbox::git_host::{FileChange, GitHost, GitHostOptions, GitService};
use tokio_util::sync::CancellationToken;

const REPO: &str = "crowd";

struct Site {
    host: GitHost,
    git: Git,
    dir: tempfile::TempDir,
}

impl Site {
    async fn new(files: &[(&str, &str)]) -> Self {
        let host = GitHost::start(GitHostOptions::default()).await.unwrap();
        host.create_repository(REPO, files).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let git = Git::open(GitOptions::new(dir.path().join("mirrors"))).unwrap();
        Self { host, git, dir }
    }

    fn remote(&self) -> git::Remote {
        self.git.remote(&self.host.repository_url(REPO), None, false).unwrap()
    }

    async fn checkout(&self, name: &str) -> Checkout {
        let never = CancellationToken::new();
        let remote = self.remote();
        let snapshot = self.git.snapshot(&remote, Freshness::Now, &never).await.unwrap();
        let about = About {
            url: remote.url().into(),
            identity: Identity::default(),
            insecure_skip_tls_verify: false,
        };
        let dir = self.dir.path().join("git").join(name);
        let clone = self.git.clone_at(&dir, &snapshot, about).await.unwrap();
        let request = CheckoutRequest {
            path: "src".into(),
            on_disk: self.dir.path().join("work").join(name),
            at: At::Branch { name: "main".into(), recorded: None },
            sparse: vec![],
        };
        self.git.checkout(&clone, &snapshot, request).await.unwrap()
    }

    /// Clone, one file changed, commit, push.
    async fn promote(&self, name: String) -> Duration {
        let started = Instant::now();
        let checkout = self.checkout(&name).await;
        std::fs::write(self.dir.path().join("work").join(&name).join(&name), "1\n").unwrap();
        let time = jiff::Timestamp::now();
        let change = CommitRequest {
            path: "src".into(),
            message: name,
            identity: Identity::default(),
            time,
        };
        self.git.commit(&checkout, change).await.unwrap().unwrap();
        let push = PushRequest {
            target: "main".into(),
            force: false,
            policy: IntegrationPolicy::AlwaysRebase,
            committer: Identity::default(),
            time,
            intents: None,
        };
        let never = CancellationToken::new();
        self.git.push(&checkout, &self.remote(), push, &never).await.unwrap();
        started.elapsed()
    }

    /// Listings for a fetch, fetches, listings for a push, pushes.
    fn requests(&self) -> String {
        let count = |service, lists| {
            self.host.traffic().count(|r| r.service == service && r.lists_refs == lists)
        };
        format!(
            "{:4} listings to fetch, {:4} fetch posts, {:4} listings to push, {:4} push posts",
            count(GitService::Fetch, true),
            count(GitService::Fetch, false),
            count(GitService::Push, true),
            count(GitService::Push, false),
        )
    }
}

async fn crowd(n: usize) {
    let site = Site::new(&[("app.yaml", "tag: v0\n")]).await;
    site.promote("warm".into()).await;
    site.host.traffic().clear();
    let started = Instant::now();
    let mut took = join_all((0..n).map(|i| site.promote(format!("p{i}")))).await;
    let all = started.elapsed();
    took.sort();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_millis();
    println!(
        "{n:4} at once: {} | {} ms in all, p50 {} ms, p99 {} ms",
        site.requests(),
        all.as_millis(),
        at(0.5),
        at(0.99)
    );
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!(log.len(), n + 2);
}

/// Bytes that do not compress, the same each time.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out
}

fn run(arguments: &[&str]) {
    let status = std::process::Command::new("git").args(arguments).status().unwrap();
    assert!(status.success(), "git {arguments:?}: {status}");
}

/// A repository whose history is large and whose files are few.
async fn history(megabytes: u64) {
    let site = Site::new(&[("app.yaml", "tag: v0\n")]).await;
    for n in 0..megabytes / 10 {
        let change = FileChange::write("blob.bin", noise(n + 1, 10 << 20));
        site.host.commit(REPO, "main", &format!("blob {n}"), &[change]).await.unwrap();
    }
    let small = FileChange::write("blob.bin", "small by now\n");
    site.host.commit(REPO, "main", "small", &[small]).await.unwrap();
    // Hosts keep what they have in packs.
    let stored = site.host.root().join(format!("{REPO}.git"));
    run(&["-C", &stored.display().to_string(), "repack", "-adq", "--window=0"]);
    let (from, to) = (site.host.repository_url(REPO), site.dir.path().join("plain.git"));
    let started = Instant::now();
    run(&["clone", "-q", "--bare", &from, &to.display().to_string()]);
    println!("{megabytes} MB of history, git clone --bare: {} ms", started.elapsed().as_millis());
    std::fs::remove_dir_all(to).unwrap();
    for what in ["first", "second", "third"] {
        site.host.traffic().clear();
        let took = site.promote(what.into()).await;
        println!(
            "{megabytes} MB of history, {what:6}: {} | {} ms",
            site.requests(),
            took.as_millis()
        );
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for n in [1, 10, 40, 100] {
            crowd(n).await;
        }
        let megabytes = std::env::var("CROWD_HISTORY_MB").ok().and_then(|v| v.parse().ok());
        history(megabytes.unwrap_or(200)).await;
    });
}
