//! Pushes to one branch that wait for each other and go together.

use std::process::Command;

use futures::future::{FutureExt, join_all};
use git::{GitError, Pushed};
use sandbox::git_host::GitService;
use tokio::sync::oneshot;

use super::*;

/// A checkout with one file changed and committed.
async fn changed(s: &Setup, n: usize, file: &str, content: &str) -> Checkout {
    let path = format!("src{n}");
    let age = Freshness::Within(std::time::Duration::from_secs(3600));
    let snapshot = s.git.snapshot(&s.remote(), age, &never()).await.unwrap();
    let about = About {
        url: s.remote().url().to_owned(),
        identity: Identity::default(),
        insecure_skip_tls_verify: false,
    };
    let dir = s.dir.path().join("git").join(&path);
    let repository = s.git.clone_at(&dir, &snapshot, about).await.unwrap();
    let request = s.request(&path, branch("main"));
    let checkout = s.git.checkout(&repository, &snapshot, request).await.unwrap();
    s.write(&format!("{path}/{file}"), content);
    s.commit(&checkout, &format!("change {n}")).await.unwrap();
    checkout
}

/// Makes the next push wait, once it is under way, until the sender speaks.
fn hold_next_push(s: &Setup) -> oneshot::Sender<()> {
    let (go, wait) = oneshot::channel();
    s.host.traffic().before_next_push(move || async move {
        let _ = wait.await;
    });
    go
}

/// Pushes all at once: the first waits at the server until the others have
/// joined the queue.
async fn push_at_once(s: &Setup, all: &[(Checkout, PushRequest)]) -> Vec<Result<Pushed, GitError>> {
    let go = hold_next_push(s);
    let remote = s.remote();
    let token = never();
    let pushes = all.iter().map(|(c, request)| s.git.push(c, &remote, request.clone(), &token));
    let mut pushes = Box::pin(join_all(pushes));
    // Polled once, each is in the queue.
    assert!((&mut pushes).now_or_never().is_none());
    go.send(()).unwrap();
    pushes.await
}

fn sent(s: &Setup) -> usize {
    s.host.traffic().count(|r| r.service == GitService::Push && !r.lists_refs)
}

fn is_whole(checkout: &Checkout) {
    let dir = checkout.repository().dir();
    let head = checkout.head().unwrap();
    let out = Command::new("git")
        .args(["-C", dir.to_str().unwrap(), "rev-list", "--objects", &head])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pushes_at_once_are_two_at_the_server() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..100 {
        all.push((changed(&s, n, &format!("f{n}"), "1").await, to_main()));
    }
    s.host.traffic().clear();
    let done = push_at_once(&s, &all).await;
    let traffic = s.host.traffic();
    assert!(sent(&s) <= 2, "{} pushes", sent(&s));
    assert_eq!(traffic.count(|r| r.service == GitService::Fetch), 0, "nothing is fetched again");
    let log = s.host.log(REPO, "main").await.unwrap();
    assert_eq!(log.len(), 101);
    assert!(log.iter().all(|c| c.parents.len() <= 1), "one line of history");
    for (n, ((checkout, _), outcome)) in all.iter().zip(done).enumerate() {
        let pushed = outcome.unwrap();
        assert!(pushed.moved);
        assert_eq!(checkout.head().unwrap(), pushed.commit);
        let theirs = log.iter().find(|c| c.id == pushed.commit).unwrap();
        assert_eq!(theirs.message.trim(), format!("change {n}"), "each its own commit");
    }
    // What each has stands on its own when the others' clones are gone.
    let (last, _) = all.pop().unwrap();
    for (other, _) in &all {
        Repository::remove(other.repository().dir()).unwrap();
    }
    is_whole(&last);
    s.write("src99/more", "2");
    s.commit(&last, "more").await.unwrap();
    s.git.push(&last, &s.remote(), to_main(), &never()).await.unwrap();
    assert_eq!(s.messages().await[0], "more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_conflicts_is_told_so_and_holds_up_nobody() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    let mut all = Vec::new();
    for (n, (file, content)) in [("x", "1"), ("a", "2"), ("a", "3"), ("b", "2")].iter().enumerate()
    {
        all.push((changed(&s, n, file, content).await, to_main()));
    }
    let done = push_at_once(&s, &all).await;
    let conflicts: Vec<usize> = done
        .iter()
        .enumerate()
        .filter(|(_, outcome)| matches!(outcome, Err(GitError::MergeConflict)))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(conflicts, [2]);
    assert_eq!(s.messages().await, ["change 3", "change 1", "change 0", "Initial content"]);
    assert_eq!(std::fs::read_to_string(s.on_disk("src2/a")).unwrap(), "3", "left as it was");
}

/// A server that refuses one of several commits refuses the whole push: then
/// each goes alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_is_refused_alone() {
    use std::os::unix::fs::PermissionsExt;
    let s = Setup::new(&[("a", "1")]).await;
    let hook = s.host.root().join(format!("{REPO}.git/hooks/pre-receive"));
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let script = "#!/bin/sh\nread old new ref\nif git log --format=%s \"$old..$new\" | grep -q 'change 2$'; then echo 'not that one' >&2; exit 1; fi\n";
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut all = Vec::new();
    for n in 0..5 {
        all.push((changed(&s, n, &format!("f{n}"), "1").await, to_main()));
    }
    let done = push_at_once(&s, &all).await;
    for (n, outcome) in done.iter().enumerate() {
        match outcome {
            Ok(_) => assert_ne!(n, 2),
            Err(error) => {
                assert_eq!(n, 2, "{error}");
                assert!(error.to_string().contains("not that one"), "{error}");
            }
        }
    }
    let mut messages = s.messages().await;
    messages.sort();
    assert_eq!(messages, ["Initial content", "change 0", "change 1", "change 3", "change 4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_while_waiting_is_left_out() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(changed(&s, n, &format!("f{n}"), "1").await);
    }
    let go = hold_next_push(&s);
    let remote = s.remote();
    let (stays, leaves) = (never(), never());
    let mut first = Box::pin(s.git.push(&all[0], &remote, to_main(), &stays));
    assert!((&mut first).now_or_never().is_none());
    // Until the first is at the server.
    while s.host.traffic().count(|r| r.service == GitService::Push) == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = Box::pin(join_all([
        s.git.push(&all[1], &remote, to_main(), &stays),
        s.git.push(&all[2], &remote, to_main(), &leaves),
        s.git.push(&all[3], &remote, to_main(), &stays),
    ]));
    assert!((&mut waiting).now_or_never().is_none());
    leaves.cancel();
    go.send(()).unwrap();
    first.await.unwrap();
    let outcomes = waiting.await;
    let ended: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(ended, [true, false, true]);
    assert!(matches!(outcomes[1], Err(GitError::Cancelled { .. })));
    assert_eq!(s.messages().await, ["change 3", "change 1", "change 0", "Initial content"]);
}

/// Forced pushes wait for their turn too, and overwrite what they have seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forced_pushes_go_alone() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for (n, force) in [false, true, false].into_iter().enumerate() {
        let request = PushRequest { force, ..to_main() };
        all.push((changed(&s, n, &format!("f{n}"), "1").await, request));
    }
    for outcome in push_at_once(&s, &all).await {
        outcome.unwrap();
    }
    assert_eq!(s.messages().await, ["change 2", "change 1", "Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_branch_may_be_made_by_several() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..3 {
        let request = PushRequest { target: "stage/new".into(), ..to_main() };
        all.push((changed(&s, n, &format!("f{n}"), "1").await, request));
    }
    for outcome in push_at_once(&s, &all).await {
        outcome.unwrap();
    }
    let log = s.host.log(REPO, "stage/new").await.unwrap();
    let messages: Vec<&str> = log.iter().map(|c| c.message.trim()).collect();
    assert_eq!(messages, ["change 2", "change 1", "change 0", "Initial content"]);
    for (checkout, _) in &all {
        is_whole(checkout);
    }
}
