//! What a promotion asks of Git: with a warm mirror of a repository of about
//! 34 MB, clone, check out, commit one changed file, and push.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use git::{About, At, CheckoutRequest, CommitRequest, Freshness, Git, GitOptions, Identity};
use git::{IntegrationPolicy, PushRequest, Repository};
use sandbox::git_host::{FileChange, GitHost, GitHostOptions};
use tokio_util::sync::CancellationToken;

const REPO: &str = "bench";

/// Text that does not compress to nothing, the same each time.
fn filler(file: u32, bytes: usize) -> String {
    let mut state = file.wrapping_mul(2_654_435_761) | 1;
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        text.push_str(&format!("{state:08x}\n"));
    }
    text
}

struct Bench {
    host: GitHost,
    git: Git,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let host = GitHost::start(GitHostOptions::default()).await.unwrap();
        host.create_repository(REPO, &[("app.yaml", "tag: v0\n")]).await.unwrap();
        let changes: Vec<FileChange> = (0..340)
            .map(|n| FileChange::write(&format!("d{}/f{n}", n % 20), filler(n, 100_000)))
            .collect();
        host.commit(REPO, "main", "Fill", &changes).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let git = Git::open(GitOptions::new(dir.path().join("mirrors"))).unwrap();
        let bench = Self { host, git, dir };
        let remote = bench.git.remote(&bench.host.repository_url(REPO), None, false).unwrap();
        bench.git.snapshot(&remote, Freshness::Now, &CancellationToken::new()).await.unwrap();
        bench
    }

    async fn promote(&self, n: u64) -> Duration {
        let never = CancellationToken::new();
        let started = Instant::now();
        let git = &self.git;
        let remote = git.remote(&self.host.repository_url(REPO), None, false).unwrap();
        let snapshot = git.snapshot(&remote, Freshness::Now, &never).await.unwrap();
        let identity = Identity::default();
        let about = About {
            url: remote.url().to_owned(),
            identity: identity.clone(),
            insecure_skip_tls_verify: false,
        };
        let clone_dir = self.dir.path().join(format!("git/{n}"));
        let clone = git.clone_at(&clone_dir, &snapshot, about).await.unwrap();
        let on_disk = self.dir.path().join(format!("work/{n}"));
        let request = CheckoutRequest {
            path: "src".into(),
            on_disk: on_disk.clone(),
            at: At::Branch { name: "main".into(), recorded: None },
            sparse: vec![],
        };
        let checkout = git.checkout(&clone, &snapshot, request).await.unwrap();
        std::fs::write(on_disk.join("app.yaml"), format!("tag: {}\n", filler(n as u32, 9)))
            .unwrap();
        let time = jiff::Timestamp::now();
        let change = CommitRequest {
            path: "src".into(),
            message: format!("Update {n}"),
            identity: identity.clone(),
            time,
        };
        git.commit(&checkout, change).await.unwrap().unwrap();
        let push = PushRequest {
            target: "main".into(),
            force: false,
            policy: IntegrationPolicy::AlwaysRebase,
            committer: identity,
            time,
            intents: None,
        };
        assert!(git.push(&checkout, &remote, push, &never).await.unwrap().moved);
        let took = started.elapsed();
        Repository::remove(&clone_dir).unwrap();
        took
    }
}

fn promotion(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let mut n = 0;
    let mut group = c.benchmark_group("git");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("clone, commit and push 34 MB from a warm mirror", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    n += 1;
                    runtime.block_on(bench.promote(n))
                })
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, promotion);
criterion_main!(benches);
