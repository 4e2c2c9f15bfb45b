//! github-push against a Git host with GitHub's API beside it.

use std::sync::Arc;
use std::time::Duration;

use forge::{AddressRewrite, HttpForges, Settings};
use serde_json::{Value, json};

use super::git_tests::{CANARY, Promotion, REPO, Site};
use super::github_push_fake::FakeGitHub;
use crate::error::ErrorClass;
use crate::git_access::GitAccess;
use crate::step::StepResult;

const KEY: &str = include_str!("../../../git/tests/keys/ssh-ed25519");

struct Setup {
    site: Site,
    github: FakeGitHub,
}

impl Setup {
    async fn new(change: impl FnOnce(&mut GitAccess)) -> Self {
        let site = Site::with(&[("a", "1"), ("b", "1")], &[("robot", CANARY)], change).await;
        site.host.set_auth(REPO, Some(("robot".into(), CANARY.into())));
        let bare = site.host.root().join(format!("{REPO}.git"));
        let github = FakeGitHub::start(bare, CANARY).await;
        let settings = Settings {
            rewrites: vec![AddressRewrite {
                public: format!("{}/api/v3/", site.host.url()),
                actual: github.url(),
            }],
            retry_delay: Duration::from_millis(1),
            ..Settings::default()
        };
        site.use_forges(Arc::new(HttpForges::new(settings).unwrap()));
        Self { site, github }
    }

    async fn signing() -> Self {
        Self::new(|access| {
            access.identity = git::Identity::new("Bot", "bot@example.com")
                .signing_with(git::SigningKey::parse(KEY).unwrap());
        })
        .await
    }

    /// A Promotion that has committed a change.
    async fn changed(&self, name: &str, file: &str) -> Promotion<'_> {
        let mut p = self.site.promotion(name);
        p.clone_main().await;
        p.write(&format!("src/{file}"), "2");
        p.commit("ours").await;
        p
    }

    async fn references(&self) -> Vec<String> {
        let all = self.site.host.references(REPO).await.unwrap();
        all.into_iter().map(|(name, _)| name).collect()
    }
}

async fn push(p: &mut Promotion<'_>, config: Value) -> StepResult {
    p.run("github-push", "push", config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_made_and_signed_by_github() {
    let s = Setup::signing().await;
    let mut p = s.changed("x", "a").await;
    let ours = p.output("commit", "commit");
    push(&mut p, json!({"path": "src"})).await;
    let log = s.site.host.log(REPO, "main").await.unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].author, "robot[bot] <robot@users.noreply.github.com>");
    // Signed by whom it was committed, so nobody else is named.
    assert_eq!(log[0].message, "ours\n");
    assert_eq!(p.output("push", "commit"), json!(log[0].id));
    assert_eq!(p.output("push", "branch"), json!("main"));
    assert_eq!(p.output("push", "replaced"), ours);
    let url = s.site.host.url();
    assert_eq!(
        p.output("push", "commitURL"),
        json!(format!("{url}/team/app/commit/{}", log[0].id))
    );
    let asked = s.github.asked("POST", "/git/commits");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].get("author").is_none() && asked[0].get("committer").is_none());
    assert_eq!(s.references().await, ["refs/heads/main"], "nothing is left of the staging");
    // The checkout stands at what GitHub made: the next commit follows it.
    p.write("src/b", "2");
    p.run("git-commit", "next", json!({"path": "src", "message": "next"})).await.unwrap();
    p.run("github-push", "push-next", json!({"path": "src"})).await.unwrap();
    assert_eq!(s.site.messages().await, ["next", "ours", "Initial content"]);
    // Nothing more to push.
    p.run("github-push", "push-none", json!({"path": "src"})).await.unwrap();
    assert_eq!(s.github.asked("POST", "/git/commits").len(), 2);
    assert_eq!(p.output("push-none", "commit"), p.output("push-next", "commit"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_nobody_signed_keep_their_author() {
    for verify in [false, true] {
        let s = Setup::new(|access| access.github_push.verify_untrusted = verify).await;
        let mut p = s.changed("x", "a").await;
        push(&mut p, json!({"path": "src"})).await;
        let log = s.site.host.log(REPO, "main").await.unwrap();
        let signed = s.site.host.signature(REPO, &log[0].id).await.unwrap();
        assert_eq!(signed.is_some(), verify);
        if verify {
            assert_eq!(log[0].message, "ours\n\n\nCo-authored-by: Kargo <no-reply@kargo.io>");
        } else {
            assert_eq!(log[0].author, "Kargo <no-reply@kargo.io>");
            assert_eq!(log[0].committer, "Kargo <no-reply@kargo.io>");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_push_is_taken_in() {
    let s = Setup::signing().await;
    let mut p = s.changed("x", "a").await;
    s.site.host.commit_file(REPO, "main", "b", "2", "theirs").await.unwrap();
    // And once more, when the branch is about to be moved.
    let rival = Arc::clone(&s.site.host);
    s.github.before_update(move || async move {
        rival.commit_file(REPO, "main", "c", "2", "faster").await.unwrap();
    });
    push(&mut p, json!({"path": "src"})).await;
    assert_eq!(s.site.messages().await, ["ours", "faster", "theirs", "Initial content"]);
    let log = s.site.host.log(REPO, "main").await.unwrap();
    assert!(log.iter().all(|c| c.parents.len() <= 1));
    assert_eq!(std::fs::read_to_string(p.on_disk("src/c")).unwrap(), "2");
    // As often as it may, then it says so.
    let mut q = s.changed("y", "a").await;
    q.write("src/a", "5");
    q.run("git-commit", "more", json!({"path": "src", "message": "more"})).await.unwrap();
    for n in 0..2 {
        let rival = Arc::clone(&s.site.host);
        s.github.before_update(move || async move {
            rival.commit_file(REPO, "main", "c", &format!("{n}"), "faster").await.unwrap();
        });
    }
    let config = json!({"path": "src", "maxAttempts": 2});
    let error = q.run("github-push", "lost", config).await.unwrap_err();
    assert!(
        error
            .message
            .starts_with("error pushing commits to remote: error updating ref heads/main to ")
            && error.message.contains("(not a fast forward)"),
        "{error}"
    );
    assert_eq!((error.class, error.terminal), (ErrorClass::Conflict, false));
    assert_eq!(s.references().await, ["refs/heads/main"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_and_long_ranges_are_told() {
    let s = Setup::new(|access| access.github_push.max_revisions = 1).await;
    let mut p = s.changed("x", "a").await;
    s.site.host.commit_file(REPO, "main", "a", "3", "theirs").await.unwrap();
    let error = p.run("github-push", "p", json!({"path": "src"})).await.unwrap_err();
    assert_eq!(
        error.message,
        "error integrating remote changes from remote branch \"main\" to local branch \"main\": merge conflict"
    );
    assert!(error.failed && error.terminal);
    let mut p = s.changed("y", "b").await;
    p.write("src/b", "3");
    p.run("git-commit", "more", json!({"path": "src", "message": "more"})).await.unwrap();
    let error = p.run("github-push", "p", json!({"path": "src"})).await.unwrap_err();
    assert!(
        error.message.starts_with("error pushing commits to remote: commit range ")
            && error
                .message
                .ends_with("contains 2 commits, which exceeds the configured maximum of 1"),
        "{error}"
    );
    assert!(error.terminal && !error.failed);
    assert_eq!(s.references().await, ["refs/heads/main"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_branches_are_made_and_overwritten() {
    let s = Setup::signing().await;
    let mut p = s.changed("x", "a").await;
    let config = json!({"path": "src", "generateTargetBranch": true});
    push(&mut p, config.clone()).await;
    let branch = "kargo/promotion/x";
    assert_eq!(p.output("push", "branch"), json!(branch));
    assert_eq!(s.site.host.log(REPO, branch).await.unwrap().len(), 2);
    assert_eq!(s.site.messages().await, ["Initial content"]);
    // Another history under the same name.
    let mut q = s.site.promotion("x");
    q.lose_workdir();
    q.clone_main().await;
    q.write("src/a", "4");
    q.commit("other").await;
    push(&mut q, config).await;
    let log = s.site.host.log(REPO, branch).await.unwrap();
    assert_eq!((log.len(), log[0].message.as_str()), (2, "other\n"));
}

/// Cut off after the branch was moved and before that was recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_push_makes_no_commit_twice() {
    for signing in [false, true] {
        for lost in [false, true] {
            let case = format!("signing: {signing}, directory lost: {lost}");
            let s = if signing { Setup::signing().await } else { Setup::new(|_| {}).await };
            let mut p = s.changed("x", "a").await;
            s.site.host.commit_file(REPO, "main", "b", "2", "theirs").await.unwrap();
            push(&mut p, json!({"path": "src"})).await;
            let pushed = p.output("push", "commit");
            assert_eq!(
                p.intents.all(),
                [json!({"branch": "main"}), json!({"branch": "main", "commit": pushed})],
                "{case}"
            );
            let again = p.only_the_intent("push");
            s.site.host.commit_file(REPO, "main", "b", "3", "later").await.unwrap();
            let before = s.site.messages().await;
            // As it was when the push began.
            p.lose_workdir();
            p.replay_clone().await;
            p.write("src/a", "2");
            let replay = p.replay("commit");
            let config = json!({"path": "./src", "message": "ours"});
            p.attempt("git-commit", "commit", config, replay).await.unwrap();
            p.attempt("github-push", "push", json!({"path": "src"}), again).await.unwrap();
            assert_eq!(s.site.messages().await, before, "{case}");
            assert_eq!(p.output("push", "commit"), pushed, "{case}");
            if lost {
                // Lost once more, after it was recorded.
                p.lose_workdir();
                p.replay_clone().await;
                p.write("src/a", "2");
                let replay = p.replay("commit");
                let config = json!({"path": "./src", "message": "ours"});
                p.attempt("git-commit", "commit", config, replay).await.unwrap();
                let replay = p.replay("push");
                p.attempt("github-push", "push", json!({"path": "src"}), replay).await.unwrap();
                assert_eq!(s.site.messages().await, before, "{case}");
                p.write("src/a", "4");
                p.run("git-commit", "next", json!({"path": "src", "message": "next"}))
                    .await
                    .unwrap();
                p.run("github-push", "push-next", json!({"path": "src"})).await.unwrap();
                assert_eq!(s.site.messages().await.len(), before.len() + 1, "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_must_hold_a_token() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    let error = p.fails("github-push", json!({"path": "src"})).await;
    assert!(
        error.message.starts_with(&format!("no credentials found for {}", site.url())),
        "{error}"
    );
    assert!(error.failed && error.terminal);
    let site = Site::with(&[("a", "1")], &[("robot", "")], |_| {}).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    let error = p.fails("github-push", json!({"path": "src"})).await;
    assert!(error.failed && error.terminal, "{error}");
    let problems = super::git_tests::registry()
        .config_problems("github-push", &json!({"path": "p", "tag": "t"}))
        .unwrap();
    assert_eq!(problems, ["(root): Additional property tag is not allowed"]);
}
