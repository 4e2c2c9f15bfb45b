//! What is about to be pushed is on record before it is sent, commit by commit,
//! also where several are sent together.

use std::sync::Mutex;

use futures::future::{BoxFuture, FutureExt, join_all};
use git::{GitError, Intent, Intents, Pushed, Recording};
use sandbox::git_host::GitService;
use tokio::sync::oneshot;

use super::*;

type Then = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), String>> + Send>;

/// The intents of one push.
#[derive(Default)]
struct Notes {
    all: Mutex<Vec<Intent>>,
    /// The last that is on record.
    done: Arc<Mutex<Option<String>>>,
    /// What comes of the next record.
    then: Mutex<Option<Then>>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

impl Notes {
    fn next<F>(&self, then: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        *self.then.lock().unwrap() = Some(Box::new(|| Box::pin(then())));
    }

    fn ids(&self) -> Vec<String> {
        let all = self.all.lock().unwrap();
        assert!(all.iter().all(|intent| intent.reference == "main"), "{all:?}");
        all.iter().map(|intent| intent.id.clone()).collect()
    }
}

impl Intents for Notes {
    fn recorded(&self) -> Option<String> {
        self.done.lock().unwrap().clone()
    }

    fn record(&self, intent: Intent) -> Recording {
        let id = intent.id.clone();
        self.all.lock().unwrap().push(intent);
        let (then, done) = (self.then.lock().unwrap().take(), self.done.clone());
        Box::pin(async move {
            if let Some(then) = then {
                then().await?;
            }
            *done.lock().unwrap() = Some(id);
            Ok(())
        })
    }
}

struct Writer {
    checkout: Checkout,
    notes: Arc<Notes>,
}

impl Writer {
    /// One that changes a file; its commit is named after its checkout.
    async fn new(s: &Setup, path: &str, file: &str) -> Self {
        Self::saying(path, s, path, file).await
    }

    /// The same commit in another checkout, as a replay makes it.
    async fn twin(s: &Setup, of: &str, file: &str) -> Self {
        Self::saying(of, s, &format!("{of}-again"), file).await
    }

    async fn saying(message: &str, s: &Setup, path: &str, file: &str) -> Self {
        let checkout = s.checkout(path).await;
        s.write(&format!("{path}/{file}"), message);
        s.commit(&checkout, message).await.unwrap();
        Self { checkout, notes: Arc::default() }
    }

    /// Knows what was recorded before, as a process does that finds it on the
    /// status.
    fn request(&self) -> PushRequest {
        PushRequest { intents: Some(self.notes.clone()), ..to_main() }
    }

    async fn push(&self, s: &Setup, request: PushRequest) -> Result<Pushed, GitError> {
        s.git.push(&self.checkout, &s.remote(), request, &never()).await
    }
}

/// Pushes all together: the first waits at the server until the others have
/// joined the queue, and so those go in one push.
async fn push_at_once(s: &Setup, all: &[Writer]) -> Vec<Result<Pushed, GitError>> {
    let (go, wait) = oneshot::channel::<()>();
    s.host.traffic().before_next_push(move || async move {
        let _ = wait.await;
    });
    let mut pushes = Box::pin(join_all(all.iter().map(|w| w.push(s, w.request()))));
    assert!((&mut pushes).now_or_never().is_none());
    go.send(()).unwrap();
    pushes.await
}

fn sent(s: &Setup) -> usize {
    s.host.traffic().count(|r| r.service == GitService::Push && !r.lists_refs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commit_is_on_record_before_it_is_sent() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    for rival in [false, true] {
        let writer = Writer::new(&s, &format!("src{rival}"), "a").await;
        let committed = writer.checkout.head().unwrap();
        if rival {
            s.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
        }
        let tip = s.host.id(REPO, "main").await.unwrap();
        s.host.traffic().clear();
        let host = s.host.clone();
        writer.notes.next(move || async move {
            let sent = host.traffic().count(|r| r.service == GitService::Push && !r.lists_refs);
            let now = host.id(REPO, "main").await.map_err(|e| e.to_string())?;
            if (sent, &now) == (0, &tip) { Ok(()) } else { Err(format!("sent by now: {now:?}")) }
        });
        let pushed = writer.push(&s, writer.request()).await.unwrap();
        assert_eq!(writer.notes.ids(), std::slice::from_ref(&pushed.commit));
        assert_eq!(rival, pushed.commit != committed, "as it is after the rebase");
    }
}

/// Killed after the push: whatever became of the branch afterwards, the recorded
/// commit is found where it is there, and pushed again where it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_commit_is_looked_for_in_the_branch() {
    for after in ["nothing", "others went on", "others changed the same line", "rewritten"] {
        let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
        let first = s.host.id(REPO, "main").await.unwrap().unwrap();
        let writer = Writer::new(&s, "ours", "a").await;
        let twin = Writer::twin(&s, "ours", "a").await;
        s.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
        let pushed = writer.push(&s, writer.request()).await.unwrap();
        match after {
            "others went on" => {
                s.host.commit_file(REPO, "main", "b", "3", after).await.unwrap();
            }
            "others changed the same line" => {
                s.host.commit_file(REPO, "main", "a", "3", after).await.unwrap();
            }
            "rewritten" => s.host.set_branch(REPO, "main", &first).await.unwrap(),
            _ => {}
        }
        let before = s.messages().await;
        // The disk went too: another checkout with the same commit in it.
        let found = twin.push(&s, writer.request()).await.unwrap();
        if after == "rewritten" {
            assert!(found.moved);
            assert_eq!(s.messages().await, ["ours", "Initial content"], "{after}");
        } else {
            assert_eq!(found, Pushed { commit: pushed.commit, moved: false }, "{after}");
            assert_eq!(s.messages().await, before, "{after}");
            assert_eq!(writer.notes.ids().len(), 1, "{after}: nothing more to record");
        }
    }
}

/// Recorded, and killed before the push: it is not taken for done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_and_not_sent_is_sent() {
    for moved in [false, true] {
        let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
        let writer = Writer::new(&s, "ours", "a").await;
        let dies = never();
        let killed = dies.clone();
        writer.notes.next(move || async move {
            killed.cancel();
            Ok(())
        });
        let remote = s.remote();
        let push = s.git.push(&writer.checkout, &remote, writer.request(), &dies);
        let error = push.await.unwrap_err();
        assert!(matches!(error, GitError::Cancelled { .. }), "{error}");
        assert_eq!((writer.notes.ids().len(), sent(&s)), (1, 0));
        if moved {
            s.host.commit_file(REPO, "main", "b", "2", "theirs").await.unwrap();
        }
        let pushed = writer.push(&s, writer.request()).await.unwrap();
        let ids = writer.notes.ids();
        assert_eq!((ids.len(), ids.last()), (2, Some(&pushed.commit)));
        assert_eq!(ids[0] == ids[1], !moved, "the same inputs make the same commit");
        let ours = s.messages().await.iter().filter(|m| *m == "ours").count();
        assert_eq!(ours, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_not_sent() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    let writer = Writer::new(&s, "ours", "a").await;
    let head = writer.checkout.head().unwrap();
    s.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
    writer.notes.next(|| async { Err("no route to host".to_owned()) });
    let error = writer.push(&s, writer.request()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "branch main was not pushed, because that could not be recorded first: no route to host"
    );
    assert_eq!(sent(&s), 0);
    assert_eq!(writer.checkout.head().unwrap(), head, "left as it was");
    writer.push(&s, writer.request()).await.unwrap();
    assert_eq!(s.messages().await, ["ours", "rival", "Initial content"]);
}

/// The branch moves on after the record: the push is refused, and the next
/// attempt records what it then sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_moved_after_the_record_is_not_overwritten() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    let writer = Writer::new(&s, "ours", "a").await;
    let host = s.host.clone();
    writer.notes.next(move || async move {
        host.commit_file(REPO, "main", "b", "2", "faster").await.map_err(|e| e.to_string())?;
        Ok(())
    });
    let error = writer.push(&s, writer.request()).await.unwrap_err();
    assert_eq!(error, GitError::NonFastForward);
    let pushed = writer.push(&s, writer.request()).await.unwrap();
    assert_eq!(writer.notes.ids().last(), Some(&pushed.commit));
    assert_eq!(s.messages().await, ["ours", "faster", "Initial content"]);
}

/// What is sent together is recorded one by one: each as it stands in the line
/// that is sent, all of them before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_batch_is_recorded_as_it_is_sent() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..6 {
        all.push(Writer::new(&s, &format!("src{n}"), &format!("f{n}")).await);
    }
    s.host.traffic().clear();
    // While the last of them is recorded, the line that ends with it is not at
    // the server.
    let host = s.host.clone();
    all[5].notes.next(move || async move {
        let log = host.log(REPO, "main").await.map_err(|e| e.to_string())?;
        let sent = log.iter().any(|commit| commit.message.trim() == "src5");
        if sent { Err("it is there by now".to_owned()) } else { Ok(()) }
    });
    let done = push_at_once(&s, &all).await;
    assert!(sent(&s) <= 2, "the first, and the others: {}", sent(&s));
    s.host.commit_file(REPO, "main", "a", "2", "later").await.unwrap();
    let before = s.messages().await;
    for (writer, pushed) in all.iter().zip(done) {
        let pushed = pushed.unwrap();
        assert_eq!(writer.notes.ids(), std::slice::from_ref(&pushed.commit));
        // Killed before it heard: found by what it alone had recorded.
        let found = writer.push(&s, writer.request()).await.unwrap();
        assert_eq!(found, Pushed { commit: pushed.commit, moved: false });
    }
    assert_eq!(s.messages().await, before);
}

/// One of several that cannot be recorded holds up nobody: the others form a new
/// line, and what is recorded of them is that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_recorded_is_left_out() {
    let s = Setup::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(Writer::new(&s, &format!("src{n}"), &format!("f{n}")).await);
    }
    all[2].notes.next(|| async { Err("it changes faster than it can be written".to_owned()) });
    let done = push_at_once(&s, &all).await;
    for (n, (writer, outcome)) in all.iter().zip(&done).enumerate() {
        match outcome {
            Ok(pushed) => {
                assert_ne!(n, 2);
                assert_eq!(writer.notes.ids().last(), Some(&pushed.commit), "{n}");
                let found = writer.push(&s, writer.request()).await.unwrap();
                assert_eq!(found, Pushed { commit: pushed.commit.clone(), moved: false }, "{n}");
            }
            Err(error) => {
                assert_eq!(n, 2, "{error}");
                assert!(matches!(error, GitError::NotRecorded { .. }), "{error}");
            }
        }
    }
    assert_eq!(s.messages().await, ["src4", "src3", "src1", "src0", "Initial content"]);
    all[2].push(&s, all[2].request()).await.unwrap();
    assert_eq!(s.messages().await[0], "src2");
}

/// Two lives of one Promotion push at once, as when a lease changes hands: the
/// one whose record is refused sends nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_push_the_same_one_has_it_on_record() {
    let s = Setup::new(&[("a", "1"), ("b", "1")]).await;
    let lives = [Writer::new(&s, "ours", "a").await, Writer::twin(&s, "ours", "a").await];
    s.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
    lives[1].notes.next(|| async { Err("another process wrote its status".to_owned()) });
    let done = join_all(lives.iter().map(|w| w.push(&s, w.request()))).await;
    done[0].as_ref().unwrap();
    let log = s.host.log(REPO, "main").await.unwrap();
    assert_eq!(log.len(), 3, "one commit of ours: {log:#?}");
}
