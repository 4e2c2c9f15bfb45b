use std::time::Duration;

use git::{ErrorClass, GitError};
use sandbox::git_host::GitService;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_a_fetch_and_nobody_gets_stale_data() {
    let s = Setup::new(&[("a", "1")]).await;
    s.host.traffic().delay(Duration::from_millis(50));
    let ask = || {
        let (git, remote) = (s.git.clone(), s.remote());
        tokio::spawn(async move { git.snapshot(&remote, Freshness::Now, &never()).await.unwrap() })
    };
    let all: Vec<_> = (0..8).map(|_| ask()).collect();
    for one in all {
        one.await.unwrap().branch("main").unwrap();
    }
    // The first fetch, and one for all that had asked while it was under way.
    let listed = s.host.traffic().count(|r| r.lists_refs);
    assert!((1..=2).contains(&listed), "{listed}");
    s.host.traffic().delay(Duration::ZERO);

    // Nothing new: the references are listed and nothing is fetched.
    let fetched =
        |s: &Setup| s.host.traffic().count(|r| r.service == GitService::Fetch && !r.lists_refs);
    let before = fetched(&s);
    s.snapshot().await;
    assert_eq!(fetched(&s), before);
    let id = s.host.commit_file(REPO, "main", "b", "1", "new").await.unwrap();
    assert_eq!(s.snapshot().await.branch("main").unwrap().to_string(), id);
    assert!(fetched(&s) > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_that_are_gone_are_not_shown() {
    let s = Setup::new(&[("a", "1")]).await;
    s.host.commit_file(REPO, "topic", "t", "1", "t").await.unwrap();
    assert!(s.snapshot().await.branch("topic").is_ok());
    // `topic` makes room for `topic/more`, which could not stand beside it.
    let repo = s.host.root().join("team/app.git");
    std::fs::remove_file(repo.join("refs/heads/topic")).unwrap();
    s.host.commit_file(REPO, "topic/more", "t", "1", "t").await.unwrap();
    let snapshot = s.snapshot().await;
    assert!(snapshot.branch("topic").is_err());
    assert!(snapshot.branch("topic/more").is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_a_clone_uses_is_kept() {
    let s = Setup::with(&[("a", "1")], |options| options.max_mirrors = 1).await;
    let checkout = s.checkout("src").await;
    let mirrors = || {
        std::fs::read_dir(s.dir.path().join("mirrors"))
            .unwrap()
            .flatten()
            .filter(|e| e.path().is_dir())
            .count()
    };
    for n in 0..3 {
        let name = format!("other{n}");
        s.host.create_repository(&name, &[("a", "1")]).await.unwrap();
        let remote = s.git.remote(&s.host.repository_url(&name), None, false).unwrap();
        s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
    }
    // The pinned one, and the last.
    assert_eq!(mirrors(), 2);
    s.write("src/a", "2");
    assert!(s.commit(&checkout, "still works").await.is_some());
    // Without the clone nothing keeps it.
    Repository::remove(&s.dir.path().join("git/src")).unwrap();
    assert!(!s.on_disk("src").exists());
    s.host.create_repository("last", &[("a", "1")]).await.unwrap();
    let remote = s.git.remote(&s.host.repository_url("last"), None, false).unwrap();
    s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
    assert_eq!(mirrors(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_mirror_is_made_anew() {
    let s = Setup::new(&[("a", "1")]).await;
    s.snapshot().await;
    let mirrors = s.dir.path().join("mirrors");
    let mirror =
        std::fs::read_dir(&mirrors).unwrap().flatten().find(|e| e.path().is_dir()).unwrap().path();
    std::fs::write(mirror.join("refs/heads/main"), "rubbish").unwrap();
    s.host.commit_file(REPO, "main", "b", "1", "new").await.unwrap();
    assert!(s.snapshot().await.branch("main").is_ok());
    std::fs::write(mirror.join("HEAD"), "rubbish").unwrap();
    std::fs::remove_dir_all(mirror.join("objects")).unwrap();
    assert!(s.snapshot().await.branch("main").is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_is_no_obstacle() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = s.checkout("src").await;
    let Setup { host, git, dir } = s;
    drop(git);
    let mirrors = dir.path().join("mirrors");
    let mirror =
        std::fs::read_dir(&mirrors).unwrap().flatten().find(|e| e.path().is_dir()).unwrap().path();
    for left in ["refs/heads/main.lock", "packed-refs.lock", "objects/pack/pack_git2_1"] {
        std::fs::write(mirror.join(left), "").unwrap();
    }
    let clone = dir.path().join("git/src");
    for left in ["worktrees/0/index.lock", "refs/heads/main.lock"] {
        std::fs::write(clone.join(left), "").unwrap();
    }
    host.commit_file(REPO, "main", "b", "1", "new").await.unwrap();
    let git = Arc::new(Git::open(GitOptions::new(&mirrors)).unwrap());
    let s = Setup { host, git, dir };
    s.snapshot().await;
    assert!(!mirror.join("objects/pack/pack_git2_1").exists());
    let found = Repository::checkout_at(&s.dir.path().join("git"), checkout.path()).unwrap();
    s.write("src/a", "2");
    assert!(s.commit(&found.unwrap(), "after the kill").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_share_a_directory() {
    let s = Setup::new(&[]).await;
    let error = Git::open(GitOptions::new(s.dir.path().join("mirrors"))).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().contains("is in use by another process"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_or_is_too_large_is_given_up() {
    let big: String =
        (0..200_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    let s = Setup::with(&[("a", &big)], |options| options.max_fetch_bytes = 10_000).await;
    let error = s.git.snapshot(&s.remote(), Freshness::Now, &never()).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { limit: 10_000, .. }), "{error:?}");
    let s = Setup::with(&[("a", &big)], |options| options.operation_timeout = Duration::ZERO).await;
    let error = s.git.snapshot(&s.remote(), Freshness::Now, &never()).await.unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error:?}");
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = s.git.snapshot(&s.remote(), Freshness::Now, &cancelled).await.unwrap_err();
    assert!(matches!(error, GitError::Cancelled { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_does_not_wait_for_a_silent_server() {
    let s = Setup::new(&[("a", "1")]).await;
    // Longer than any test may take.
    s.host.traffic().delay(Duration::from_secs(3600));
    let cancel = CancellationToken::new();
    let asking = {
        let (git, remote, cancel) = (s.git.clone(), s.remote(), cancel.clone());
        tokio::spawn(async move { git.snapshot(&remote, Freshness::Now, &cancel).await })
    };
    let waiting = {
        let (git, remote, cancel) = (s.git.clone(), s.remote(), cancel.clone());
        tokio::spawn(async move { git.snapshot(&remote, Freshness::Now, &cancel).await })
    };
    cancel.cancel();
    for ended in [asking, waiting] {
        let error = ended.await.unwrap().unwrap_err();
        assert!(matches!(error, GitError::Cancelled { .. }), "{error:?}");
    }
}
