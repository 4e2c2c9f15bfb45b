//! What mirrors hold, how long they are kept, and how they are mended.

use git::{GitError, Need, Reader};
use sandbox::git_host::GitService;

use super::*;

async fn with_history(commits: usize) -> Setup {
    with_history_and(commits, |_| {}).await
}

async fn with_history_and(commits: usize, change: impl FnOnce(&mut GitOptions)) -> Setup {
    let s = Setup::with(&[], change).await;
    for n in 1..=commits {
        let (file, message) = (format!("dir{}/file", n % 2), format!("commit {n}"));
        s.host.commit_file(REPO, "main", &file, &n.to_string(), &message).await.unwrap();
    }
    s
}

async fn tips(s: &Setup, depth: u32) -> Snapshot {
    let need =
        move |_: &git::Listing| Need::Tips { references: vec!["refs/heads/main".into()], depth };
    let look = s.git.look(&s.remote(), Freshness::Now, need, &never()).await.unwrap();
    look.snapshot.unwrap()
}

async fn subjects(s: &Setup, snapshot: &Snapshot) -> Vec<String> {
    let tip = snapshot.branch("main").unwrap();
    let read = move |reader: &Reader<'_>| -> Result<Vec<String>, GitError> {
        reader.first_parents(tip).map(|c| c.map(|c| c.subject().to_owned())).collect()
    };
    s.git.read(snapshot, &never(), read).await.unwrap()
}

fn fetches(s: &Setup) -> usize {
    s.host.traffic().count(|r| r.service == GitService::Fetch && !r.lists_refs)
}

fn mirrors(s: &Setup) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(s.dir.path().join("mirrors")).unwrap().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_history_is_fetched_and_the_rest_when_it_is_needed() {
    let s = with_history(8).await;
    let snapshot = tips(&s, 3).await;
    assert_eq!(subjects(&s, &snapshot).await, ["commit 8", "commit 7", "commit 6"]);
    // The same again needs nothing, less neither; more does.
    let before = fetches(&s);
    tips(&s, 3).await;
    tips(&s, 1).await;
    assert_eq!(fetches(&s), before);
    assert_eq!(subjects(&s, &tips(&s, 5).await).await.len(), 5);
    // What came since is seen.
    s.host.commit_file(REPO, "main", "new", "1", "commit 9").await.unwrap();
    assert_eq!(subjects(&s, &tips(&s, 2).await).await[..2], ["commit 9", "commit 8"]);
    // A promotion has it all, and can push.
    let checkout = s.checkout("src").await;
    assert_eq!(subjects(&s, &s.snapshot().await).await.len(), 9);
    s.write("src/a", "1");
    assert!(s.commit(&checkout, "promoted").await.is_some());
    s.git.push(&checkout, &s.remote(), to_main(), &never()).await.unwrap();
    assert_eq!(s.messages().await.len(), 10);
    // From then on the mirror stays whole.
    let before = fetches(&s);
    assert_eq!(subjects(&s, &tips(&s, 1).await).await.len(), 10);
    assert_eq!(fetches(&s), before + 1);
    s.snapshot().await;
    assert_eq!(fetches(&s), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_alone_fetches_nothing() {
    let s = with_history(2).await;
    let look = s.git.look(&s.remote(), Freshness::Now, |_| Need::Nothing, &never()).await.unwrap();
    assert!(look.snapshot.is_none());
    assert!(look.listing.branch("main").is_ok());
    assert_eq!(fetches(&s), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_touches_is_read_once_and_remembered_within_bounds() {
    for (max_bytes, remembered) in [(1 << 20, true), (0, false)] {
        let s = with_history_and(6, |options| options.max_history_bytes = max_bytes).await;
        let snapshot = s.snapshot().await;
        let tip = snapshot.branch("main").unwrap();
        let walk = move |reader: &Reader<'_>| -> Result<_, GitError> {
            let mut all = Vec::new();
            for commit in reader.first_parents(tip) {
                let commit = commit?;
                all.push((commit.clone(), reader.touched(&commit)?));
            }
            Ok(all)
        };
        let first = s.git.read(&snapshot, &never(), walk).await.unwrap();
        let again = s.git.read(&snapshot, &never(), walk).await.unwrap();
        assert_eq!(first.len(), 6);
        for ((commit, paths), (same, same_paths)) in first.iter().zip(&again) {
            assert_eq!(std::sync::Arc::ptr_eq(commit, same), remembered);
            assert_eq!(std::sync::Arc::ptr_eq(paths, same_paths), remembered);
            assert_eq!(paths.len(), 1);
        }
        assert_eq!(&*first[0].1[0], "dir0/file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_that_are_too_large_go_by_their_last_use() {
    let noise: String =
        (0..20_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    let s = Setup::with(&[("a", &noise)], |_| {}).await;
    s.snapshot().await;
    let pack = mirrors(&s)[0].join("objects/pack");
    let pack = std::fs::read_dir(pack).unwrap().flatten().map(|e| e.metadata().unwrap().len());
    let size: u64 = pack.sum();
    // Room for two of them.
    let room = size * 5 / 2;
    let s = Setup::with(&[("a", &noise)], |options| options.max_mirror_bytes = room).await;
    let look = async |name: &str| {
        let remote = s.git.remote(&s.host.repository_url(name), None, false).unwrap();
        s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap()
    };
    for name in ["one", "two", "three"] {
        s.host.create_repository(name, &[("a", &noise)]).await.unwrap();
    }
    let checkout = s.checkout("src").await;
    look("one").await;
    let held = look("two").await;
    // What a clone or somebody at work uses stays, whatever its size.
    assert_eq!(mirrors(&s).len(), 2);
    look("three").await;
    assert_eq!(mirrors(&s).len(), 3);
    drop(held);
    look("one").await;
    look("three").await;
    assert_eq!(mirrors(&s).len(), 2);
    s.write("src/a", "2");
    assert!(s.commit(&checkout, "still works").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_mirror_that_clones_use_is_made_anew_beneath_them() {
    let s = with_history(4).await;
    let checkout = s.checkout("src").await;
    let snapshot = s.snapshot().await;
    for pack in std::fs::read_dir(mirrors(&s)[0].join("objects/pack")).unwrap().flatten() {
        std::fs::remove_file(pack.path()).unwrap();
    }
    let tip = snapshot.branch("main").unwrap();
    let read = move |reader: &Reader<'_>| reader.commit(tip).map(drop);
    let error = s.git.read(&snapshot, &never(), read).await.unwrap_err();
    assert!(matches!(error, GitError::Internal { .. }), "{error:?}");
    s.git.mark_broken(&snapshot);
    let snapshot = s.snapshot().await;
    assert_eq!(subjects(&s, &snapshot).await.len(), 4);
    s.write("src/a", "2");
    assert!(s.commit(&checkout, "works again").await.is_some());
    // Its pin came along.
    let pins = std::fs::read_dir(mirrors(&s)[0].join("pins")).unwrap().count();
    assert_eq!(pins, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_walks_at_once_compare_each_commit_once() {
    let s = with_history(6).await;
    let snapshot = s.snapshot().await;
    let tip = snapshot.branch("main").unwrap();
    let walk = move |reader: &Reader<'_>| -> Result<Vec<_>, GitError> {
        reader.first_parents(tip).map(|c| c.and_then(|c| reader.touched(&c))).collect()
    };
    let never = never();
    let (one, two) =
        tokio::join!(s.git.read(&snapshot, &never, walk), s.git.read(&snapshot, &never, walk));
    for (one, two) in one.unwrap().iter().zip(&two.unwrap()) {
        assert!(std::sync::Arc::ptr_eq(one, two));
    }
}
