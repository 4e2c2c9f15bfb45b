//! What goes wrong around Git: full disks, protected branches, a crowd.

use std::path::{Path, PathBuf};
use std::process::Command;

use api::{PromotionPhase, PromotionStatus};
use serde_json::json;

use super::git_tests::{REPO, Site};
use crate::engine::{Engine, NoFunctions, Outcome, RecordError, Recorder, Run};
use crate::error::ErrorClass;
use crate::step::Attempt;
use crate::workdir::WorkDir;

/// A small file system of its own. It goes when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this machine lets nobody mount one.
    fn mount(at: PathBuf, kib: usize) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={kib}k,nr_inodes=1000");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output()
            .is_ok_and(|out| out.status.success());
        if !mounted {
            eprintln!("SKIPPED: no small file system can be mounted here to fill");
            return None;
        }
        Some(Self(at))
    }

    fn resize(&self, kib: usize) {
        let options = format!("remount,size={kib}k");
        let out = Command::new("mount").args(["-o", &options]).arg(&self.0).output().unwrap();
        assert!(out.status.success());
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [65_536, 4096, 512, 1] {
            while file.write_all(&vec![0; size]).and_then(|()| file.flush()).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn again() -> Attempt {
    Attempt::Again { output: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_an_attempt_and_nothing_else() {
    let big: String = (0..20_000).map(|n| format!("{}\n", n * 7919 % 100_003)).collect();
    let site = Site::new(&[("a", "1"), ("big", &big)]).await;
    let Some(disk) = SmallDisk::mount(site.dir.path().join("disk"), 96) else { return };
    let mut p = site.promotion("x");
    p.workdir = WorkDir::open(&disk.0.join("promotion")).unwrap().0;
    let clone = json!({"repoURL": site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
    // The checkout does not fit.
    let error = p.run("git-clone", "clone", clone.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Internal, "{error}");
    assert!(!error.terminal);
    assert!(error.message.contains("No space left"), "{error}");
    assert!(!p.on_disk("src").exists(), "nothing is left of it");
    disk.resize(4096);
    p.attempt("git-clone", "clone", clone, again()).await.unwrap();
    p.write("src/a", "2");
    // The commit does not.
    let filler = disk.fill();
    let commit = json!({"path": "./src", "message": "ours"});
    let error = p.run("git-commit", "commit", commit.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Internal, "{error}");
    std::fs::remove_file(&filler).unwrap();
    p.attempt("git-commit", "commit", commit, again()).await.unwrap();
    // What others pushed does not.
    let theirs: String = big.chars().rev().collect();
    site.host.commit_file(REPO, "main", "theirs", &theirs, "theirs").await.unwrap();
    let filler = disk.fill();
    let error = p.push().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Internal, "{error}");
    assert_eq!(site.messages().await, ["theirs", "Initial content"]);
    std::fs::remove_file(&filler).unwrap();
    p.attempt("git-push", "push", json!({"path": "./src"}), again()).await.unwrap();
    assert_eq!(site.messages().await, ["ours", "theirs", "Initial content"]);
    assert_eq!(std::fs::read_to_string(p.on_disk("src/theirs")).unwrap(), theirs);
}

/// The same through the engine: the Promotion waits, says for what, and goes on
/// when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_waits_while_the_disk_is_full() {
    let big: String = (0..20_000).map(|n| format!("{}\n", n * 7919 % 100_003)).collect();
    let site = Site::new(&[("a", "1"), ("big", &big)]).await;
    let Some(disk) = SmallDisk::mount(site.dir.path().join("disk"), 96) else { return };
    let steps = [
        json!({"uses": "git-clone", "as": "clone", "config":
            {"repoURL": site.url(), "checkout": [{"branch": "main", "path": "./src"}]}}),
        json!({"uses": "git-clear", "as": "clear", "config": {"path": "./src"}}),
        json!({"uses": "git-commit", "as": "commit", "config":
            {"path": "./src", "message": "ours"}}),
        json!({"uses": "git-push", "as": "push", "config": {"path": "./src"}}),
    ];
    let run = Run {
        project: "p".into(),
        stage: "s".into(),
        promotion: "s.1.abc".into(),
        promotion_uid: "uid".into(),
        actor: String::new(),
        rollback: false,
        ui_base_url: String::new(),
        vars: Vec::new(),
        steps: steps.map(|step| serde_json::from_value(step).unwrap()).to_vec(),
        freight_requests: Vec::new(),
        freight: Default::default(),
        target_freight: Default::default(),
        target_alias: String::new(),
        workdir: disk.0.join("promotion"),
        cancel: Default::default(),
    };
    let engine = Engine::new(super::git_tests::registry(), site.world(), NoFunctions);
    let begun = PromotionStatus { phase: PromotionPhase::Running, ..Default::default() };
    let pass = |status| {
        let (engine, run) = (&engine, &run);
        async move {
            let mut unwritten = Unwritten;
            match engine.run(run, status, &mut unwritten).await {
                Outcome::Waiting { status, .. } | Outcome::Finished(status) => status,
                Outcome::Interrupted(why) => panic!("interrupted: {why}"),
            }
        }
    };
    let mut status = begun;
    for _ in 0..2 {
        status = pass(status).await;
        assert_eq!(status.phase, PromotionPhase::Running, "{}", status.message);
        assert!(status.message.contains("No space left on device"), "{}", status.message);
        assert!(status.message.contains("controller's disk is full"), "{}", status.message);
        let entry = &status.step_execution_metadata[0];
        assert_eq!(entry.error_count, 0, "it costs nothing of the threshold");
    }
    // Not even room for a name: every inode is taken.
    let names = disk.0.join("names");
    std::fs::create_dir(&names).unwrap();
    let mut taken = 0;
    while std::fs::write(names.join(taken.to_string()), b"").is_ok() {
        taken += 1;
    }
    status = pass(status).await;
    assert_eq!(status.phase, PromotionPhase::Running, "{}", status.message);
    assert!(status.message.contains("controller's disk is full"), "{}", status.message);
    std::fs::remove_dir_all(names).unwrap();
    disk.resize(4096);
    status = pass(status).await;
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    assert_eq!(site.messages().await, ["ours", "Initial content"]);
}

struct Unwritten;

#[async_trait::async_trait]
impl Recorder for Unwritten {
    async fn record(&mut self, _: &PromotionStatus) -> Result<(), RecordError> {
        Ok(())
    }
}

fn hook(site: &Site, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = site.host.root().join(format!("{REPO}.git/hooks/pre-receive"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_branch_is_named_as_such_and_costs_no_commit() {
    for (said, class, advice) in [
        (
            "GitLab: You are not allowed to push code to protected branches on this project.",
            ErrorClass::Config,
            "the branch takes no direct pushes: push to a branch of its own (generateTargetBranch)",
        ),
        (
            "GitLab: Commit must be signed with a GPG key",
            ErrorClass::Config,
            "the branch takes signed commits only",
        ),
        (
            "GitLab: You are not allowed to push code to this project.",
            ErrorClass::Auth,
            "let the account of these credentials push",
        ),
        ("GitLab: Internal API error (502). Please try again.", ErrorClass::Transient, "502"),
    ] {
        let site = Site::new(&[("a", "1"), ("b", "1")]).await;
        let mut p = site.promotion("x");
        p.clone_main().await;
        p.write("src/a", "2");
        p.commit("ours").await;
        let before = p.output("commit", "commit");
        site.host.commit_file(REPO, "main", "b", "2", "theirs").await.unwrap();
        let hook = hook(&site, &format!("echo '{said}' >&2; exit 1"));
        let error = p.push().await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains("rejected branch main"), "{error}");
        assert!(error.message.contains(said.trim_end_matches('.')), "{error}");
        assert!(error.message.contains(advice), "{error}");
        assert_eq!(site.messages().await, ["theirs", "Initial content"]);
        // The checkout is as git-commit left it; another branch takes it.
        std::fs::remove_file(hook).unwrap();
        let config = json!({"path": "./src", "generateTargetBranch": true});
        p.run("git-push", "elsewhere", config).await.unwrap();
        assert_eq!(p.output("elsewhere", "commit"), before);
        p.attempt("git-push", "push", json!({"path": "./src"}), again()).await.unwrap();
        assert_eq!(site.messages().await, ["ours", "theirs", "Initial content"]);
    }
}

/// A hundred Stages that write different files of one repository, all at once:
/// all succeed at their first attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_promotions_at_once_all_succeed() {
    let site = Site::new(&[("a", "1")]).await;
    let run = |n: usize| {
        let site = &site;
        async move {
            let mut p = site.promotion(&format!("p{n}"));
            p.clone_main().await;
            p.write(&format!("src/f{n}"), "1");
            p.commit("Kargo made some changes").await;
            p.run("git-push", "push", json!({"path": "./src", "maxAttempts": 1})).await.unwrap();
            p.output("push", "commit")
        }
    };
    let mut commits = futures::future::join_all((0..100).map(run)).await;
    commits.sort_by_key(ToString::to_string);
    commits.dedup();
    assert_eq!(commits.len(), 100, "each has a commit of its own");
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!(log.len(), 101);
    assert!(log.iter().all(|c| c.parents.len() <= 1), "one line of history");
    assert_eq!(site.host.files(REPO, "main").await.unwrap().len(), 101);
}

/// The directory goes away while a step is at work, or between two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_gone_is_an_error_and_no_harm() {
    let site = Site::new(&[("a", "1")]).await;
    let remove = |path: &Path| std::fs::remove_dir_all(path).unwrap();
    for kind in ["git-commit", "git-clear", "git-tag", "git-push"] {
        let mut p = site.promotion(kind);
        p.clone_main().await;
        p.write("src/a", kind);
        p.commit("ours").await;
        p.write("src/a", "more");
        remove(p.on_disk(".").parent().unwrap());
        let config = match kind {
            "git-commit" => json!({"path": "src", "message": "m"}),
            "git-tag" => json!({"path": "src", "tag": "t", "message": "m"}),
            _ => json!({"path": "src"}),
        };
        let error = p.run(kind, "step", config).await.unwrap_err();
        assert!(error.message.contains("src"), "{kind}: {error}");
    }
    assert_eq!(site.messages().await, ["Initial content"]);
}
