use std::process::Output;
use std::sync::Arc;

use super::*;

/// The real `git`, as a user's.
async fn git(dir: &Path, arguments: &[&str]) -> Output {
    backend::git_command(dir)
        .args(arguments)
        .current_dir(dir)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .output()
        .await
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_can_be_cloned_changed_and_pushed() {
    let host = GitHost::start(GitHostOptions::default()).await.unwrap();
    let first = host.create_repository("team/app", &[("a/b.txt", "one\n")]).await.unwrap().unwrap();
    assert_eq!(host.id("team/app", "main").await.unwrap(), Some(first.clone()));
    let second = host.commit_file("team/app", "main", "c.txt", "three\n", "Add c").await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let url = host.repository_url("team/app");
    assert!(git(dir.path(), &["clone", "--quiet", &url, "w"]).await.status.success());
    let work = dir.path().join("w");
    assert_eq!(std::fs::read_to_string(work.join("a/b.txt")).unwrap(), "one\n");
    // More than one packet and more than a pipe's buffer, compressible or not.
    let big: String =
        (0..200_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    std::fs::write(work.join("big.txt"), &big).unwrap();
    git(&work, &["add", "."]).await;
    git(&work, &["commit", "--quiet", "-m", "Add big\n\nWith a body"]).await;
    let pushed = git(&work, &["push", "--quiet", "origin", "main"]).await;
    assert!(pushed.status.success(), "{}", stderr(&pushed));

    assert_eq!(
        host.read_file("team/app", "main", "big.txt").await.unwrap().unwrap(),
        big.as_bytes()
    );
    assert_eq!(host.read_file("team/app", "main", "none").await.unwrap(), None);
    assert_eq!(host.files("team/app", "main").await.unwrap(), ["a/b.txt", "big.txt", "c.txt"]);
    let log = host.log("team/app", "main").await.unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[0].message, "Add big\n\nWith a body\n");
    assert_eq!(log[0].parents, std::slice::from_ref(&second));
    assert_eq!(log[1].author, "Developer <developer@example.com>");
    assert_eq!(log[2].id, first);
    assert!(host.diff("team/app", &second).await.unwrap().contains("+three"));
    assert_eq!(host.traffic().count(|r| r.service == GitService::Push && r.lists_refs), 1);
    assert_eq!(host.traffic().count(|r| r.service == GitService::Fetch && r.lists_refs), 1);
    // Without `.git` at the end too, and with a tag.
    host.tag("team/app", "v1", &first).await.unwrap();
    let bare = url.trim_end_matches(".git").to_owned();
    assert!(
        git(dir.path(), &["clone", "--quiet", "--branch", "v1", &bare, "t"]).await.status.success()
    );
    assert!(!dir.path().join("t/c.txt").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_repository_asks_for_its_token() {
    let host = GitHost::start(GitHostOptions {
        auth: Some(("bot".into(), "s3cret".into())),
        ..GitHostOptions::default()
    })
    .await
    .unwrap();
    host.create_repository("private", &[("a", "a")]).await.unwrap();
    host.create_repository("public", &[("a", "a")]).await.unwrap();
    host.set_auth("public", None);
    let dir = tempfile::tempdir().unwrap();
    let listing = |url: String| {
        let dir = dir.path().to_owned();
        async move { git(&dir, &["ls-remote", &url]).await.status.success() }
    };
    let with = |userinfo: &str, path: &str| {
        host.repository_url(path).replace("http://", &format!("http://{userinfo}"))
    };
    assert!(!listing(with("", "private")).await);
    assert!(!listing(with("bot:wrong@", "private")).await);
    assert!(listing(with("bot:s3cret@", "private")).await);
    host.let_read("private", "looker");
    let looks = with("anybody:looker@", "private");
    let cloned = git(dir.path(), &["clone", "--quiet", &looks, "w"]).await;
    assert!(cloned.status.success(), "{}", stderr(&cloned));
    let pushed = git(&dir.path().join("w"), &["push", &looks, "HEAD:refs/heads/new"]).await;
    assert!(stderr(&pushed).contains("403"), "{}", stderr(&pushed));
    assert!(listing(with("", "public")).await);
    assert!(!listing(with("", "public/../private")).await);
    assert_eq!(host.traffic().count(|r| r.user.as_deref() == Some("bot") && r.lists_refs), 1);
    assert!(host.traffic().count(|r| r.status == 401) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_knobs_make_it_go_wrong() {
    let host = Arc::new(GitHost::start(GitHostOptions::default()).await.unwrap());
    host.create_repository("app", &[("a", "a")]).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = host.repository_url("app");

    host.traffic().fail_next(1, 503, Some(GitService::Fetch));
    let failed = git(dir.path(), &["ls-remote", &url]).await;
    assert!(stderr(&failed).contains("503"), "{}", stderr(&failed));
    assert!(git(dir.path(), &["clone", "--quiet", &url, "w"]).await.status.success());

    let work = dir.path().join("w");
    git(&work, &["commit", "--quiet", "--allow-empty", "-m", "x"]).await;
    host.traffic().reject_pushes(Some("not on a Friday"));
    let refused = git(&work, &["push", "origin", "main"]).await;
    assert!(stderr(&refused).contains("not on a Friday"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("[remote rejected]"), "{}", stderr(&refused));
    host.traffic().reject_pushes(None);

    // Another writer comes between the listing and the push.
    let rival = host.clone();
    host.traffic().before_next_push(move || async move {
        rival.commit_file("app", "main", "rival", "r", "Rival").await.unwrap();
    });
    let late = git(&work, &["push", "origin", "main"]).await;
    assert!(!late.status.success());
    assert!(stderr(&late).contains("main -> main"), "{}", stderr(&late));
    assert_eq!(host.log("app", "main").await.unwrap()[0].message, "Rival");

    host.traffic().redirect("/old/app.git", "/app.git");
    let old = url.replace("/app.git", "/old/app.git");
    assert!(git(dir.path(), &["ls-remote", &old]).await.status.success());
    assert_eq!(host.traffic().count(|r| r.status == 301), 1);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let host = GitHost::start(GitHostOptions::default()).await.unwrap();
    for name in ["", "..", "a/../b", ".hidden", "-x", "a b", "a//b"] {
        assert!(host.create_repository(name, &[]).await.is_err(), "{name:?}");
    }
    host.create_repository("empty", &[]).await.unwrap();
    assert!(host.log("empty", "--all").await.is_err());
    assert_eq!(host.id("empty", "main").await.unwrap(), None);
}
