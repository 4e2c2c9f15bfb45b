use git::{ErrorClass, GitError, Pushed};
use sandbox::git_host::GitService;

use super::*;

/// A commit that no server has seen.
const NEVER_PUSHED: &str = "0123456789012345678901234567890123456789";

async fn changed(s: &Setup, path: &str, file: &str, content: &str, message: &str) -> Checkout {
    let checkout = s.checkout(path).await;
    s.write(&format!("{path}/{file}"), content);
    s.commit(&checkout, message).await.unwrap();
    checkout
}

async fn push(s: &Setup, checkout: &Checkout, request: PushRequest) -> Result<Pushed, GitError> {
    s.git.push(checkout, &s.remote(), request, &never()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_lists_the_references_once() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    let head = checkout.head().unwrap();
    s.host.traffic().clear();
    let pushed = push(&s, &checkout, to_main()).await.unwrap();
    assert_eq!(pushed, Pushed { commit: head.clone(), moved: true });
    assert_eq!(s.host.id(REPO, "main").await.unwrap(), Some(head.clone()));
    assert_eq!(s.host.traffic().count(|r| r.lists_refs), 1);
    // Everything up to date.
    let again = push(&s, &checkout, to_main()).await.unwrap();
    assert_eq!(again, Pushed { commit: head, moved: false });
    assert_eq!(s.host.traffic().count(|r| r.service == GitService::Push && !r.lists_refs), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_different_files_both_succeed_in_one_line() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    // steps-git/16-2: two Promotions pushing different files to one branch.
    let one = changed(&s, "one", "a", "2", "one").await;
    let two = changed(&s, "two", "b", "2", "two").await;
    push(&s, &one, to_main()).await.unwrap();
    let before = two.head().unwrap();
    assert_eq!(two.replaced(&before).unwrap(), None);
    let pushed = push(&s, &two, to_main()).await.unwrap();
    assert!(pushed.moved);
    assert_eq!(s.messages().await, ["two", "one", "Initial content"]);
    // It is remembered which commit was rebased.
    assert_eq!(two.replaced(&pushed.commit).unwrap(), Some(before));
    assert_eq!(one.replaced(&one.head().unwrap()).unwrap(), None);
    let log = s.host.log(REPO, "main").await.unwrap();
    assert!(log.iter().all(|c| c.parents.len() <= 1));
    assert_eq!(log[0].id, pushed.commit);
    // The author's time is the commit's, the committer's the push's.
    assert_eq!((log[0].author_time, log[0].committer_time), (1_790_000_000, 1_790_000_060));
    // The files of the checkout follow.
    assert_eq!(std::fs::read_to_string(s.on_disk("two/a")).unwrap(), "2");
    assert_eq!(two.head().unwrap(), pushed.commit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_in_everything_but_their_change_are_not_taken_for_one_another() {
    let s = Setup::new(&[("a", "1"), ("b", "1"), ("c", "1")]).await;
    // Three Promotions that commit and push in the same second, with the same
    // words, as Stages that are promoted to at once do.
    let mut all = Vec::new();
    for file in ["a", "b", "c"] {
        all.push(changed(&s, &format!("src-{file}"), file, "2", "Kargo made some changes").await);
    }
    for again in [false, true, false] {
        let checkout = all.remove(0);
        let request = PushRequest { time: at(0), ..to_main() };
        // Also where a record leads nowhere, and commits are looked at one by one.
        let request = if again { after(NEVER_PUSHED, request) } else { request };
        assert!(push(&s, &checkout, request).await.unwrap().moved);
    }
    for file in ["a", "b", "c"] {
        assert_eq!(s.host.read_file(REPO, "main", file).await.unwrap().unwrap(), b"2", "{file}");
    }
    assert_eq!(s.messages().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_is_a_conflict_and_the_next_attempt_loses_nothing() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    let rival = s.host.clone();
    s.host.traffic().before_next_push(move || async move {
        rival.commit_file(REPO, "main", "b", "theirs", "theirs").await.unwrap();
    });
    let error = push(&s, &checkout, to_main()).await.unwrap_err();
    assert_eq!(error, GitError::NonFastForward);
    assert_eq!(error.class(), ErrorClass::Conflict);
    push(&s, &checkout, to_main()).await.unwrap();
    assert_eq!(s.messages().await, ["ours", "theirs", "Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_changing_one_line_is_a_merge_conflict() {
    let s = Setup::new(&[("a", "1")]).await;
    for policy in [IntegrationPolicy::AlwaysRebase, IntegrationPolicy::AlwaysMerge] {
        let path = format!("{policy:?}");
        let checkout = changed(&s, &path, "a", "ours", "ours").await;
        s.host.commit_file(REPO, "main", "a", &path, "theirs").await.unwrap();
        let head = checkout.head().unwrap();
        let error = push(&s, &checkout, PushRequest { policy, ..to_main() }).await.unwrap_err();
        assert_eq!(error.to_string(), "merge conflict");
        assert_eq!(checkout.head().unwrap(), head);
        assert_eq!(s.host.log(REPO, "main").await.unwrap()[0].message.trim(), "theirs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn always_merge_makes_a_merge_commit() {
    let s = Setup::new(&[("a", "1")]).await;
    // steps-git/16-2: local ahead and remote ahead.
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    s.host.commit_file(REPO, "main", "b", "1", "theirs").await.unwrap();
    let request = PushRequest { policy: IntegrationPolicy::AlwaysMerge, ..to_main() };
    let pushed = push(&s, &checkout, request.clone()).await.unwrap();
    let log = s.host.log(REPO, "main").await.unwrap();
    assert_eq!(log[0].id, pushed.commit);
    assert_eq!(log[0].parents.len(), 2);
    let url = s.remote().url().to_owned();
    assert_eq!(log[0].message, format!("Merge branch 'main' of {url} into main\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_push_of_ours_is_recognised() {
    for policy in [IntegrationPolicy::AlwaysRebase, IntegrationPolicy::AlwaysMerge] {
        let s = Setup::new(&[("a", "1")]).await;
        let request = PushRequest { policy, ..to_main() };
        // Twice the same commit from the same base, as a replay makes it.
        let first = changed(&s, "first", "a", "2", "ours").await;
        let replay = changed(&s, "replay", "a", "2", "ours").await;
        let third = changed(&s, "third", "a", "2", "ours").await;
        let fourth = changed(&s, "fourth", "a", "2", "ours").await;
        assert_eq!(first.head().unwrap(), replay.head().unwrap());
        // Others were faster, so ours was rebased (or merged); others went on.
        s.host.commit_file(REPO, "main", "b", "1", "theirs").await.unwrap();
        let pushed = push(&s, &first, request.clone()).await.unwrap();
        s.host.commit_file(REPO, "main", "c", "1", "later").await.unwrap();
        let before = s.messages().await;
        let again = after(&pushed.commit, request.clone());
        let adopted = push(&s, &replay, again).await.unwrap();
        assert_eq!(adopted, Pushed { commit: pushed.commit.clone(), moved: false }, "{policy:?}");
        // The server took an attempt after that was given up; the one after it,
        // which is the recorded one, never got there.
        let again = after(NEVER_PUSHED, request.clone());
        let adopted = push(&s, &third, again).await.unwrap();
        assert_eq!(adopted, Pushed { commit: pushed.commit, moved: false }, "{policy:?}");
        // Who has recorded nothing has pushed nothing: somebody else made the
        // very same change.
        let tip = s.host.id(REPO, "main").await.unwrap().unwrap();
        let follows = push(&s, &fourth, request).await.unwrap();
        assert_eq!(follows, Pushed { commit: tip, moved: false }, "{policy:?}");
        assert_eq!(s.messages().await, before, "{policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_push_that_others_built_upon_is_done() {
    let s = Setup::new(&[("a", "1")]).await;
    for force in [false, true] {
        let checkout = changed(&s, &format!("src{force}"), "a", &format!("{force}"), "ours").await;
        let head = checkout.head().unwrap();
        push(&s, &checkout, PushRequest { force, ..to_main() }).await.unwrap();
        s.host.commit_file(REPO, "main", "c", &format!("{force}"), "later").await.unwrap();
        let tip = s.host.id(REPO, "main").await.unwrap();
        let request = after(&head, PushRequest { force, ..to_main() });
        let pushed = push(&s, &checkout, request).await.unwrap();
        assert_eq!(pushed, Pushed { commit: head, moved: false });
        assert_eq!(s.host.id(REPO, "main").await.unwrap(), tip);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_push_overwrites_and_a_new_branch_is_made() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    s.host.commit_file(REPO, "main", "b", "1", "theirs").await.unwrap();
    let forced = PushRequest { force: true, ..to_main() };
    push(&s, &checkout, forced).await.unwrap();
    assert_eq!(s.messages().await, ["ours", "Initial content"]);
    let elsewhere = PushRequest { target: "kargo/promotion/x".into(), ..to_main() };
    let pushed = push(&s, &checkout, elsewhere).await.unwrap();
    assert_eq!(s.host.id(REPO, "kargo/promotion/x").await.unwrap(), Some(pushed.commit));
    let odd = PushRequest { target: "a..b".into(), ..to_main() };
    let error = push(&s, &checkout, odd).await.unwrap_err();
    assert_eq!(error.to_string(), "\"a..b\" cannot be the name of a branch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_server_is_told() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    s.host.traffic().reject_pushes(Some("not on a Friday"));
    let error = push(&s, &checkout, to_main()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("rejected branch main: pre-receive hook declined"), "{said}");
    assert!(said.contains("not on a Friday"), "{said}");
    s.host.traffic().reject_pushes(None);
    s.host.traffic().fail_next(1, 503, Some(GitService::Push));
    let error = push(&s, &checkout, to_main()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    push(&s, &checkout, to_main()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pushed_once_cancelled() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = s.git.push(&checkout, &s.remote(), to_main(), &cancelled).await.unwrap_err();
    assert!(matches!(error, GitError::Cancelled { .. }), "{error}");
    assert_eq!(s.messages().await, ["Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_not_committed_survive_integration() {
    let s = Setup::new(&[("a", "1"), ("c", "1")]).await;
    let checkout = changed(&s, "src", "a", "2", "ours").await;
    s.host.commit_file(REPO, "main", "b", "1", "theirs").await.unwrap();
    s.write("src/c", "not yet");
    push(&s, &checkout, to_main()).await.unwrap();
    assert_eq!(std::fs::read_to_string(s.on_disk("src/c")).unwrap(), "not yet");
    assert_eq!(std::fs::read_to_string(s.on_disk("src/b")).unwrap(), "1");
    // Where they are in the way, nothing is touched.
    s.write("src/a", "3");
    s.commit(&checkout, "more").await;
    s.host.commit_file(REPO, "main", "c", "theirs", "in the way").await.unwrap();
    s.write("src/c", "not yet");
    let error = push(&s, &checkout, to_main()).await;
    assert_eq!(std::fs::read_to_string(s.on_disk("src/c")).unwrap(), "not yet", "{error:?}");
}
