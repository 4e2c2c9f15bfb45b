//! Promotions that are cut off: killed between the parts of a push, their
//! working directory lost at every step, their base rewritten away.

use sandbox::git_host::GitService;
use serde_json::{Value, json};

use super::git_tests::{Promotion, REPO, Site};
use crate::engine::RecordError;
use crate::error::ErrorClass;
use crate::step::Attempt;

/// A pipeline that commits and pushes twice and tags: (kind, alias, config).
fn pipeline(url: &str) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "git-clone",
            "clone",
            json!({"repoURL": url, "checkout": [{"branch": "main", "path": "./src"}]}),
        ),
        ("write", "src/a", json!("2")),
        ("git-commit", "one", json!({"path": "./src", "message": "one"})),
        ("git-push", "push-one", json!({"path": "./src"})),
        ("git-clear", "clear", json!({"path": "./src/d"})),
        ("write", "src/new", json!("n")),
        ("git-commit", "two", json!({"path": "./src", "message": "two"})),
        ("git-tag", "tag", json!({"path": "./src", "tag": "v1", "message": "v1"})),
        ("git-push", "push-two", json!({"path": "./src"})),
        ("git-push", "push-tag", json!({"path": "./src", "tag": "v1"})),
    ]
}

async fn step(p: &mut Promotion<'_>, step: &(&str, &str, Value), attempt: Attempt) {
    let (kind, alias, config) = step;
    if *kind == "write" {
        p.write(alias, config.as_str().unwrap());
        return;
    }
    p.attempt(kind, alias, config.clone(), attempt).await.unwrap();
}

/// The working directory is lost before each step in turn, and rebuilt by the
/// steps that touch it, pushes among them: everything ends as it would have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_lost_at_any_step_changes_nothing() {
    let files = [("a", "1"), ("b", "1"), ("d/x", "1")];
    for rival in [false, true] {
        let count = pipeline("").len();
        for lost_before in 1..=count {
            let site = Site::new(&files).await;
            let steps = pipeline(&site.url());
            let mut p = site.promotion("x");
            for (n, now) in steps.iter().enumerate() {
                if n == 3 && rival {
                    site.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
                }
                if n == lost_before {
                    rebuild(&mut p, steps.get(..n).unwrap()).await;
                }
                step(&mut p, now, Attempt::First).await;
            }
            if lost_before == count {
                rebuild(&mut p, &steps).await;
            }
            let case = format!("lost before {lost_before}, rival: {rival}");
            let log = site.host.log(REPO, "main").await.unwrap();
            let messages: Vec<&str> = log.iter().map(|c| c.message.trim()).collect();
            let expected: &[&str] = if rival {
                &["two", "one", "rival", "Initial content"]
            } else {
                &["two", "one", "Initial content"]
            };
            assert_eq!(messages, expected, "{case}");
            assert_eq!(site.host.files(REPO, "main").await.unwrap(), ["a", "b", "new"], "{case}");
            assert_eq!(json!(log[0].id), p.output("push-two", "commit"), "{case}");
            assert_eq!(site.host.id(REPO, "v1").await.unwrap().unwrap(), log[0].id, "{case}");
        }
    }
}

/// Replays what has run, and expects the very same outputs.
async fn rebuild(p: &mut Promotion<'_>, done: &[(&str, &str, Value)]) {
    let before = p.state.clone();
    p.lose_workdir();
    for now in done {
        let replay = p.replay(now.1);
        step(p, now, replay).await;
    }
    assert_eq!(p.state, before);
}

/// Where the process dies: before, after or during the push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// What is to be pushed is on the status; nothing was sent.
    Before,
    /// The server has it; the status does not say so.
    After,
    /// The server broke off: nobody knows.
    During,
}

/// Killed between the record and the push, and after the push and before the
/// next status write; with the directory kept, and lost. Others push before,
/// and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_around_the_push_no_commit_is_lost_or_made_twice() {
    for death in [Death::Before, Death::After, Death::During] {
        for lost in [false, true] {
            let case = format!("{death:?}, directory lost: {lost}");
            let site = Site::new(&[("a", "1"), ("b", "1")]).await;
            let mut p = site.promotion("x");
            p.clone_main().await;
            p.write("src/a", "2");
            p.commit("ours").await;
            let committed = p.output("commit", "commit");
            site.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
            match death {
                Death::After => drop(p.push().await.unwrap()),
                Death::Before => {
                    let dies = p.cancel.clone();
                    p.intents.after_the_next(|| async move { dies.cancel() });
                    p.push().await.unwrap_err();
                    p.cancel = Default::default();
                }
                Death::During => {
                    // The listing is answered, the push itself is not.
                    site.host.traffic().fail_after(1, 1, 503, Some(GitService::Push));
                    p.push().await.unwrap_err();
                }
            }
            let pushed = p.output("push", "commit");
            let recorded = p.intents.all();
            assert_eq!(recorded.len(), 1, "{case}");
            assert_eq!(recorded[0]["branch"], "main", "{case}");
            assert_ne!(recorded[0]["commit"], committed, "{case}: as it is after the rebase");
            if death == Death::After {
                assert_eq!(recorded[0]["commit"], pushed, "{case}");
            }
            let again = p.only_the_intent("push");
            // Others go on meanwhile.
            site.host.commit_file(REPO, "main", "b", "3", "later").await.unwrap();
            if lost {
                p.lose_workdir();
                p.replay_clone().await;
                p.write("src/a", "2");
                let replay = p.replay("commit");
                let config = json!({"path": "./src", "message": "ours"});
                p.attempt("git-commit", "commit", config, replay).await.unwrap();
                assert_eq!(p.output("commit", "commit"), committed, "{case}");
            }
            p.attempt("git-push", "push", json!({"path": "./src"}), again).await.unwrap();
            let expected = if death == Death::After {
                ["later", "ours", "rival", "Initial content"]
            } else {
                ["ours", "later", "rival", "Initial content"]
            };
            assert_eq!(site.messages().await, expected, "{case}");
            let log = site.host.log(REPO, "main").await.unwrap();
            let ours = log.iter().find(|c| c.message == "ours\n").unwrap();
            assert_eq!(p.output("push", "commit"), json!(ours.id), "{case}");
            assert_eq!(p.output("push", "replaced"), committed, "{case}");
            let all = p.intents.all();
            assert_eq!(all.last().unwrap()["commit"], json!(ours.id), "{case}");
            let records = if death == Death::After { 1 } else { 2 };
            assert_eq!(all.len(), records, "{case}: none for what is there");
            // The checkout is where the push left it: the next commit stands on it.
            p.write("src/a", "4");
            p.run("git-commit", "next", json!({"path": "./src", "message": "next"})).await.unwrap();
            p.run("git-push", "next-push", json!({"path": "./src"})).await.unwrap();
            assert_eq!(site.messages().await[0], "next", "{case}");
            assert_eq!(site.messages().await.len(), 5, "{case}");
        }
    }
}

/// Upstream no longer has what a Promotion began with, or had pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rewritten_away_is_said_so() {
    let site = Site::new(&[("a", "1"), ("b", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    site.host.commit_file(REPO, "main", "b", "2", "rival").await.unwrap();
    p.push().await.unwrap();
    let rewritten = site.host.commit_file(REPO, "other", "z", "1", "another line").await.unwrap();
    let base = p.output("clone", "commits")["./src"].as_str().unwrap().to_owned();
    // The pushed commit is gone from the branch; the base is still on a tag.
    site.host.tag(REPO, "kept", &base).await.unwrap();
    site.host.set_branch(REPO, "main", &rewritten).await.unwrap();
    // A controller with a mirror of its own, as after the loss of a volume.
    site.forget_mirrors();
    p.lose_workdir();
    p.replay_clone().await;
    p.write("src/a", "2");
    let replay = p.replay("commit");
    let config = json!({"path": "./src", "message": "ours"});
    p.attempt("git-commit", "commit", config, replay).await.unwrap();
    let replay = p.replay("push");
    let error = p.attempt("git-push", "push", json!({"path": "./src"}), replay).await.unwrap_err();
    assert!(
        error.message.contains("this Promotion had pushed it, so its branch was removed or rewritten since: promote again"),
        "{error}"
    );
}

/// The branch moves on between the record and the push: the next attempt records
/// anew, and both commits are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_moves_after_the_record_is_recorded_anew() {
    let site = Site::new(&[("a", "1"), ("b", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    let host = site.host.clone();
    p.intents.after_the_next(move || async move {
        host.commit_file(REPO, "main", "b", "2", "faster").await.unwrap();
    });
    p.push().await.unwrap();
    assert_eq!(site.messages().await, ["ours", "faster", "Initial content"]);
    let recorded = p.intents.all();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0]["commit"], p.output("commit", "commit"));
    assert_eq!(recorded[1]["commit"], p.output("push", "commit"));
}

/// Nothing is pushed, of a branch or a tag, while the status cannot be written;
/// the next attempt pushes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pushed_that_is_not_on_record() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    p.run("git-tag", "tag", json!({"path": "src", "tag": "v1", "message": "v1"})).await.unwrap();
    p.intents.refuse(Some(RecordError::Failed("etcdserver: request timed out".into())));
    let pushes = [json!({"path": "src"}), json!({"path": "src", "tag": "v1"})];
    for (config, what) in pushes.iter().zip(["branch main", "tag v1"]) {
        let error = p.run("git-push", "push", config.clone()).await.unwrap_err();
        let said = format!("{what} was not pushed, because that could not be recorded first: ");
        assert!(error.message.contains(&said), "{error}");
        assert!(error.message.contains("etcdserver: request timed out"), "{error}");
        assert_eq!(error.class, ErrorClass::Transient);
    }
    assert_eq!(site.messages().await, ["Initial content"]);
    assert_eq!(site.host.id(REPO, "v1").await.unwrap(), None);
    p.intents.refuse(None);
    for config in pushes {
        let again = p.only_the_intent("push");
        p.attempt("git-push", "push", config, again).await.unwrap();
    }
    assert_eq!(site.messages().await, ["ours", "Initial content"]);
    let tag = site.host.id(REPO, "v1").await.unwrap().unwrap();
    assert_eq!(json!(tag), p.output("push", "commit"));
    let recorded = p.intents.all();
    assert_eq!(recorded[0], json!({"branch": "main", "commit": tag}));
    assert_eq!((&recorded[1]["tag"], recorded.len()), (&json!("v1"), 2));
}

/// A crowd dies after the push that sent all of them, before any of them could
/// say so; others go on. Each finds its own commit, none is made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotions_that_were_pushed_together_find_their_own_commits() {
    const CROWD: usize = 12;
    let site = Site::new(&[("a", "1")]).await;
    let mut all = Vec::new();
    for n in 0..CROWD {
        let mut p = site.promotion(&format!("p{n}"));
        p.clone_main().await;
        p.write(&format!("src/f{n}"), "1");
        p.commit("Kargo made some changes").await;
        all.push(p);
    }
    site.host.traffic().clear();
    for pushed in futures::future::join_all(all.iter_mut().map(|p| p.push())).await {
        pushed.unwrap();
    }
    let sent = site.host.traffic().count(|r| r.service == GitService::Push && !r.lists_refs);
    assert!(sent < CROWD, "they went together: {sent}");
    let before = site.host.commit_file(REPO, "main", "a", "2", "later").await.unwrap();
    for (n, p) in all.iter_mut().enumerate() {
        let pushed = p.output("push", "commit");
        let intents = p.intents.all();
        assert_eq!(intents.last().unwrap()["commit"], pushed, "{n}");
        let again = p.only_the_intent("push");
        if n % 2 == 0 {
            // The disk went too.
            p.lose_workdir();
            p.replay_clone().await;
            p.write(&format!("src/f{n}"), "1");
            let replay = p.replay("commit");
            let config = json!({"path": "./src", "message": "Kargo made some changes"});
            p.attempt("git-commit", "commit", config, replay).await.unwrap();
        }
        p.attempt("git-push", "push", json!({"path": "./src"}), again).await.unwrap();
        assert_eq!(p.output("push", "commit"), pushed, "{n}");
        assert_eq!(p.intents.all().len(), intents.len(), "{n}: nothing more to record");
    }
    assert_eq!(site.host.id(REPO, "main").await.unwrap(), Some(before));
    assert_eq!(site.host.log(REPO, "main").await.unwrap().len(), CROWD + 2);
}
