//! git-clear and git-tag, sparse checkouts, and working trees that hold what
//! they should not.

use std::os::unix::fs::symlink;

use sandbox::git_host::FileChange;
use serde_json::json;

use super::git_tests::{Promotion, REPO, Site};
use crate::step::Attempt;

fn names(p: &Promotion<'_>, path: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(p.on_disk(path))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_checkout_holds_what_is_written_afterwards() {
    let files = [("a", "1"), ("d/e/b", "1"), ("d/c", "1"), (".gitignore", "*.log\n")];
    let site = Site::new(&files).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/keep.log", "ignored");
    p.write("src/d/untracked", "would be staged");
    // One folder alone first.
    p.run("git-clear", "clear", json!({"path": "src/d/e"})).await.unwrap();
    assert_eq!(names(&p, "src/d"), ["c", "untracked"]);
    let result = p.run("git-clear", "clear", json!({"path": "src"})).await.unwrap();
    assert_eq!((result.output, names(&p, "src")), (None, vec!["keep.log".to_owned()]));
    // `.gitignore` went as well, so the next time nothing is ignored; and then
    // nothing is left to clear, which is no error.
    for _ in 0..2 {
        p.run("git-clear", "clear", json!({"path": "src"})).await.unwrap();
        assert!(names(&p, "src").is_empty());
    }
    p.write("src/new", "2");
    p.commit("rewritten").await;
    p.push().await.unwrap();
    assert_eq!(site.host.files(REPO, "main").await.unwrap(), ["new"]);
    let error = p.fails("git-clear", json!({"path": "elsewhere"})).await;
    assert!(error.message.starts_with("error loading working tree from elsewhere: "), "{error}");
    // A branch without files.
    let config = json!({"repoURL": site.url(), "checkout": [
        {"branch": "fresh", "create": true, "path": "fresh"}]});
    p.run("git-clone", "second", config).await.unwrap();
    p.run("git-clear", "clear", json!({"path": "fresh"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sparse_checkouts_change_their_own_folders_alone() {
    let files =
        [("root", "1"), ("dir1/a", "1"), ("dir2/sub/b", "1"), ("dir2/x", "1"), ("dir3/c", "1")];
    let site = Site::new(&files).await;
    let mut p = site.promotion("x");
    // steps-git/16-2: sparse [dir1, dir2]: dir3 is absent.
    let config = json!({"repoURL": site.url(), "checkout": [
        {"branch": "main", "path": "src", "sparse": ["dir1", "dir2/sub"]}]});
    p.run("git-clone", "clone", config).await.unwrap();
    assert_eq!(names(&p, "src"), ["dir1", "dir2", "root"]);
    assert_eq!(names(&p, "src/dir2"), ["sub", "x"]);
    p.run("git-clear", "clear", json!({"path": "src"})).await.unwrap();
    std::fs::create_dir_all(p.on_disk("src/dir1")).unwrap();
    p.write("src/dir1/new", "2");
    p.commit("rewritten").await;
    p.push().await.unwrap();
    assert_eq!(site.host.files(REPO, "main").await.unwrap(), ["dir1/new", "dir3/c"]);
    for (pattern, expected) in [
        ("/abs", "sparse checkout pattern must be relative: /abs"),
        ("../up", "sparse checkout pattern cannot escape repository: ../up"),
        (
            "d*r",
            "sparse checkout pattern cannot contain glob characters (*, ?, [): d*r; use directory paths like 'src/app' instead",
        ),
    ] {
        let config = json!({"repoURL": site.url(), "checkout": [
            {"branch": "main", "path": "other", "sparse": ["dir1", pattern]}]});
        let error = p.fails("git-clone", config).await;
        assert!(error.message.ends_with(expected), "{error}");
        assert!(!p.on_disk("other").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_made_once_and_found_again() {
    let site = Site::new(&[("a", "1")]).await;
    site.host.tag(REPO, "old", "main").await.unwrap();
    let head = site.host.id(REPO, "main").await.unwrap().unwrap();
    let mut p = site.promotion("x");
    p.clone_main().await;
    // Unknown fields are let pass.
    let config = json!({"path": "src", "tag": "v1", "message": "One", "anything": 1});
    p.run("git-tag", "tag", config.clone()).await.unwrap();
    assert_eq!(p.output("tag", "commit"), json!(head));
    // steps-git/16-2: tag twice is an error, with force the tag is moved.
    let error = p.run("git-tag", "second", config.clone()).await.unwrap_err();
    assert!(
        error.message.starts_with(
            "error creating tag v1: error creating annotated tag \"v1\": tag 'v1' already exists"
        ),
        "{error}"
    );
    // One that the server has is there, too.
    let error = p.fails("git-tag", json!({"path": "src", "tag": "old", "message": "m"})).await;
    assert!(error.message.contains("tag 'old' already exists"), "{error}");
    // A step that was cut off finds its own tag.
    let again = Attempt::Again { output: None };
    p.attempt("git-tag", "tag", config.clone(), again).await.unwrap();
    p.write("src/a", "2");
    p.commit("second").await;
    let forced = json!({"path": "src", "tag": "v1", "message": "Moved", "force": true});
    p.run("git-tag", "forced", forced.clone()).await.unwrap();
    assert_ne!(p.output("forced", "commit"), json!(head));
    p.run("git-push", "push", json!({"path": "src", "tag": "v1"})).await.unwrap();
    let tagged = site.host.id(REPO, "v1").await.unwrap();
    assert_eq!(json!(tagged), p.output("forced", "commit"));
    // Moved once more it cannot be pushed: nothing of the server's is overwritten.
    p.write("src/a", "3");
    p.run("git-commit", "third", json!({"path": "src", "message": "third"})).await.unwrap();
    p.run("git-tag", "third-tag", forced).await.unwrap();
    let error = p.fails("git-push", json!({"path": "src", "tag": "v1"})).await;
    assert!(error.message.contains("already exists there and names something else"), "{error}");
    for name in ["-d", "a..b", "a b", "x.lock"] {
        let error = p.fails("git-tag", json!({"path": "src", "tag": name, "message": "m"})).await;
        assert!(
            error.message.ends_with(&format!("{name:?} cannot be the name of a tag")),
            "{error}"
        );
    }
    for (config, problem) in [
        (json!({}), "(root): message is required"),
        (json!({"path": "p", "tag": ""}), "tag: String length must be greater than or equal to 1"),
    ] {
        let problems = super::git_tests::registry().config_problems("git-tag", &config).unwrap();
        assert!(problems.iter().any(|p| p == problem), "{problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_survives_the_loss_of_the_working_directory() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    let tag = json!({"path": "src", "tag": "v1", "message": "One"});
    p.run("git-tag", "tag", tag.clone()).await.unwrap();
    p.run("git-push", "push", json!({"path": "src", "tag": "v1"})).await.unwrap();
    let pushed = site.host.references(REPO).await.unwrap();
    // Lost after the push: the server has the tag by now.
    p.lose_workdir();
    p.replay_clone().await;
    let replay = p.replay("tag");
    p.attempt("git-tag", "tag", tag, replay).await.unwrap();
    let again = Attempt::Again { output: None };
    p.attempt("git-push", "push", json!({"path": "src", "tag": "v1"}), again).await.unwrap();
    assert_eq!(site.host.references(REPO).await.unwrap(), pushed);
}

/// What a working tree may hold and a commit does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_things_in_a_working_tree_do_no_harm() {
    let site = Site::new(&[("a", "1"), ("d/f", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    let outside = site.dir.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("f"), "untouched").unwrap();
    // A repository inside, whose config would run things if anybody asked.
    let nested = p.on_disk("src/nested/.git");
    std::fs::create_dir_all(nested.join("objects")).unwrap();
    std::fs::create_dir_all(nested.join("refs")).unwrap();
    std::fs::write(nested.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    std::fs::write(nested.join("config"), "[core]\n\tfsmonitor = touch /tmp/canary\n").unwrap();
    p.write("src/nested/file", "n");
    // Git's own files of a checkout are not what a step writes there.
    std::fs::create_dir_all(p.on_disk("src/.git")).unwrap();
    p.write("src/.git/HEAD", "ref: refs/heads/elsewhere\n");
    p.write("src/.git/config", "[core]\n\tworktree = /\n");
    // Special files are passed by, not read.
    let fifo = p.on_disk("src/fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    // Links are committed as links.
    symlink(outside.join("f"), p.on_disk("src/link")).unwrap();
    // A folder that became a link to elsewhere.
    std::fs::remove_dir_all(p.on_disk("src/d")).unwrap();
    symlink(&outside, p.on_disk("src/d")).unwrap();
    p.commit("odd").await;
    p.push().await.unwrap();
    let files = site.host.files(REPO, "main").await.unwrap();
    assert_eq!(files, ["a", "d", "link"]);
    let link = site.host.read_file(REPO, "main", "d").await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&link), outside.to_string_lossy());
    // Others put a folder in its place: it replaces the link, and nothing is
    // written through it.
    let changes = [FileChange::Remove("d".into()), FileChange::write("d/f", "theirs")];
    site.host.commit(REPO, "main", "theirs", &changes).await.unwrap();
    p.write("src/a", "2");
    p.run("git-commit", "second", json!({"path": "src", "message": "more"})).await.unwrap();
    p.push().await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("f")).unwrap(), "untouched");
    assert_eq!(std::fs::read_to_string(p.on_disk("src/d/f")).unwrap(), "theirs");
    // And clearing removes the link, not what it names.
    symlink(&outside, p.on_disk("src/e")).unwrap();
    p.run("git-clear", "clear", json!({"path": "src"})).await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("f")).unwrap(), "untouched");
    assert!(!p.on_disk("src/e").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_come_from_servers_alone() {
    let site = Site::new(&[("a", "1")]).await;
    let lib = site.host.create_repository("team/lib", &[("f", "lib")]).await.unwrap().unwrap();
    let modules = |path: &str, url: &str| {
        FileChange::write(
            ".gitmodules",
            format!("[submodule \"x\"]\n\tpath = {path}\n\turl = {url}\n"),
        )
    };
    // URLs that are files or commands of this machine, and one that is none.
    for (n, (path, url, expected)) in [
        ("libs/lib", "file:///etc", "repository URLs with scheme \"file\" are not served"),
        ("libs/lib", "ext::sh -c id", "is no repository URL"),
        ("libs/lib", "../lib.git", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let changes = [modules(path, url), FileChange::Submodule(path.into(), lib.clone())];
        site.host.commit(REPO, "main", "modules", &changes).await.unwrap();
        let mut p = site.promotion(&format!("p{n}"));
        let config = json!({"repoURL": site.url(), "recurseSubmodules": true, "checkout": [{"path": "src"}]});
        let result = p.run("git-clone", "clone", config).await;
        match result {
            Ok(_) => assert!(expected.is_empty(), "{url}"),
            Err(error) => {
                assert!(!expected.is_empty(), "{error}");
                assert!(error.message.contains(expected), "{error}");
                assert!(
                    error.message.starts_with("error updating submodules for worktree at src: ")
                );
            }
        }
    }
}
