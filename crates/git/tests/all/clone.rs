use git::{At, CheckoutRequest, CommitRequest, ErrorClass, GitError, Identity, Repository};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_has_the_files_and_no_git_directory() {
    let s = Setup::new(&[("a/b.txt", "one\n"), (".gitignore", "*.log\n")]).await;
    let checkout = s.checkout("src").await;
    assert_eq!(std::fs::read_to_string(s.on_disk("src/a/b.txt")).unwrap(), "one\n");
    assert!(!s.on_disk("src/.git").exists());
    assert_eq!(checkout.branch().unwrap().as_deref(), Some("main"));
    assert_eq!(Some(checkout.head().unwrap()), s.host.id(REPO, "main").await.unwrap());
    // Nothing changed: no commit.
    assert_eq!(s.commit(&checkout, "x").await, None);
    s.write("src/noise.log", "ignored");
    assert_eq!(s.commit(&checkout, "x").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_inputs_make_the_same_commit() {
    let s = Setup::new(&[("v", "v1\n"), ("gone", "x"), ("kept", "x")]).await;
    let mut ids = Vec::new();
    for path in ["one", "two"] {
        let checkout = s.checkout(path).await;
        // Same size, within the same second: must not be taken for unchanged.
        s.write(&format!("{path}/v"), "v2\n");
        std::fs::remove_file(s.on_disk(&format!("{path}/gone"))).unwrap();
        s.write(&format!("{path}/deep/er/new"), "n");
        ids.push(s.commit(&checkout, "Subject \n\n\n\nBody  \n").await.unwrap());
    }
    assert_eq!(ids[0], ids[1]);
    let checkout = Repository::checkout_at(&s.dir.path().join("git"), "one/deep").unwrap().unwrap();
    assert_eq!(checkout.path(), "one");
    s.git.push(&checkout, &s.remote(), to_main(), &never()).await.unwrap();
    assert_eq!(s.host.files(REPO, "main").await.unwrap(), ["deep/er/new", "kept", "v"]);
    let log = s.host.log(REPO, "main").await.unwrap();
    assert_eq!(log[0].message, "Subject\n\nBody\n");
    assert_eq!(log[0].author, "Kargo <no-reply@kargo.io>");
    assert_eq!((log[0].author_time, log[0].committer_time), (1_790_000_000, 1_790_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_tags_and_commits_can_be_checked_out() {
    let s = Setup::new(&[("a", "1")]).await;
    let first = s.host.id(REPO, "main").await.unwrap().unwrap();
    s.host.tag(REPO, "v1", &first).await.unwrap();
    s.host.commit_file(REPO, "main", "a", "2", "second").await.unwrap();
    s.host.commit_file(REPO, "other", "o", "o", "other").await.unwrap();
    let (repository, snapshot) = s.clone("r").await;
    assert_eq!(snapshot.default_branch(), Some("main"));
    for (path, at, file) in [
        ("by-branch", branch("main"), ("a", "2")),
        ("by-tag", At::Tag { name: "v1".into(), recorded: None }, ("a", "1")),
        ("by-commit", At::Commit(first.clone()), ("a", "1")),
        ("by-commit-again", At::Commit(first[..12].to_owned()), ("a", "1")),
        ("by-branch/other", branch("other"), ("o", "o")),
        (
            "recorded",
            At::Branch { name: "fresh".into(), recorded: Some(first.clone()) },
            ("a", "1"),
        ),
    ] {
        let made = s.git.checkout(&repository, &snapshot, s.request(path, at)).await.unwrap();
        let read = std::fs::read_to_string(s.on_disk(path).join(file.0)).unwrap();
        assert_eq!(read, file.1, "{path}");
        assert_eq!(
            made.branch().unwrap().is_some(),
            !path.starts_with("by-tag") && !path.starts_with("by-commit")
        );
    }
    // The checkout inside another one is not part of it.
    let outer = Repository::checkout_at(&s.dir.path().join("git"), "by-branch").unwrap().unwrap();
    assert_eq!(s.commit(&outer, "x").await, None);
    let inner = Repository::checkout_at(&s.dir.path().join("git"), "by-branch/other/x").unwrap();
    assert_eq!(inner.unwrap().path(), "by-branch/other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_told_with_what_is() {
    let s = Setup::new(&[("a", "1")]).await;
    s.host.commit_file(REPO, "stage/dev", "o", "o", "other").await.unwrap();
    s.host.tag(REPO, "v1", "main").await.unwrap();
    let url = s.remote().url().to_owned();
    let (repository, snapshot) = s.clone("r").await;
    let recorded = Some("1".repeat(40));
    let cases = [
        (
            branch("stage/prod"),
            format!(
                "remote branch \"stage/prod\" of repo {url} does not exist; it has the branches main, stage/dev"
            ),
        ),
        (
            At::Tag { name: "v2".into(), recorded: None },
            format!("tag \"v2\" of repo {url} does not exist; it has the tags v1"),
        ),
        (
            At::Commit("1".repeat(40)),
            format!(
                "commit {} is on no branch or tag of repo {url}; check the id, and that the branch it was on still exists",
                "1".repeat(40)
            ),
        ),
        (
            At::Branch { name: "main".into(), recorded },
            format!(
                "commit {} is on no branch or tag of repo {url}; this Promotion had started from it, so its history was rewritten since: promote again",
                "1".repeat(40)
            ),
        ),
    ];
    for (at, expected) in cases {
        let error = s.git.checkout(&repository, &snapshot, s.request("x", at)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.class(), ErrorClass::NotFound);
        assert!(!s.on_disk("x").exists());
    }
    // A branch twice, a path that is taken.
    s.git.checkout(&repository, &snapshot, s.request("x", branch("main"))).await.unwrap();
    let twice = s.git.checkout(&repository, &snapshot, s.request("y", branch("main"))).await;
    assert!(matches!(twice, Err(GitError::AlreadyCheckedOut { .. })), "{twice:?}");
    let taken = s.git.checkout(&repository, &snapshot, s.request("x", branch("stage/dev"))).await;
    assert!(matches!(taken, Err(GitError::AlreadyExists { .. })), "{taken:?}");
    // No repository at all.
    let none = s.git.remote(&s.host.repository_url("none"), None, false).unwrap();
    let error = s.git.snapshot(&none, Freshness::Now, &never()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let said = error.to_string();
    assert!(said.contains("none.git was not found (HTTP 404)"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_repository_gets_a_branch_with_an_empty_commit() {
    let s = Setup::new(&[]).await;
    let (repository, snapshot) = s.clone("r").await;
    let make = || {
        let who = Identity::default();
        let (git, repository, remote) = (s.git.clone(), repository.clone(), s.remote());
        async move {
            git.create_branch(&repository, &remote, "stage/dev", &who, at(5), &never())
                .await
                .unwrap()
        }
    };
    let id = make().await;
    assert_eq!(make().await, id);
    let log = s.host.log(REPO, "stage/dev").await.unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].id.as_str(), log[0].message.as_str()), (id.as_str(), "Initial commit\n"));
    let checkout = s
        .git
        .checkout(&repository, &snapshot, s.request("out", branch("stage/dev")))
        .await
        .unwrap();
    assert_eq!(checkout.head().unwrap(), id);
    assert_eq!(std::fs::read_dir(s.on_disk("out")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sparse_checkout_leaves_other_folders_as_they_are() {
    let files =
        [("dir1/a", "1"), ("dir2/sub/b", "2"), ("dir2/c", "2"), ("dir3/d", "3"), ("root", "r")];
    let s = Setup::new(&files).await;
    let (repository, snapshot) = s.clone("r").await;
    let request = CheckoutRequest {
        sparse: vec!["dir1".into(), "dir2/sub".into()],
        ..s.request("src", branch("main"))
    };
    let checkout = s.git.checkout(&repository, &snapshot, request).await.unwrap();
    // steps-git/16-2: sparse, dir3 is absent.
    for (file, there) in
        [("dir1/a", true), ("dir2/sub/b", true), ("dir2/c", true), ("dir3", false), ("root", true)]
    {
        assert_eq!(s.on_disk("src").join(file).exists(), there, "{file}");
    }
    assert_eq!(s.commit(&checkout, "nothing").await, None);
    s.write("src/dir1/a", "changed");
    s.write("src/dir1/new", "new");
    std::fs::remove_file(s.on_disk("src/dir2/sub/b")).unwrap();
    s.commit(&checkout, "sparse").await.unwrap();
    s.git.push(&checkout, &s.remote(), to_main(), &never()).await.unwrap();
    assert_eq!(
        s.host.files(REPO, "main").await.unwrap(),
        ["dir1/a", "dir1/new", "dir2/c", "dir3/d", "root"]
    );
    for (pattern, said) in [
        ("/abs", "sparse checkout pattern must be relative: /abs"),
        ("../x", "sparse checkout pattern cannot escape repository: ../x"),
        (
            "a/*",
            "sparse checkout pattern cannot contain glob characters (*, ?, [): a/*; use directory paths like 'src/app' instead",
        ),
    ] {
        let request = CheckoutRequest {
            sparse: vec![pattern.into()],
            ..s.request("bad", At::Commit(checkout.head().unwrap()))
        };
        let error = s.git.checkout(&repository, &snapshot, request).await.unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_folder_is_committed() {
    let s = Setup::new(&[("a/x", "1"), ("b/x", "1")]).await;
    let checkout = s.checkout("src").await;
    s.write("src/a/x", "2");
    s.write("src/b/x", "2");
    let request = CommitRequest {
        path: "src/a".into(),
        message: "a only".into(),
        identity: Identity::default(),
        time: at(0),
    };
    let first = s.git.commit(&checkout, request.clone()).await.unwrap();
    assert!(first.is_some());
    // steps-git/7-1: a second commit with no change makes none.
    assert_eq!(s.git.commit(&checkout, request.clone()).await.unwrap(), None);
    let empty = CommitRequest { path: "src".into(), message: " \n ".into(), ..request };
    let error = s.git.commit(&checkout, empty).await.unwrap_err();
    assert_eq!(error.to_string(), "the commit message is empty; give it at least one word");
}
