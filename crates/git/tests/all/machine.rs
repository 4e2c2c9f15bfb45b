//! The machine's own git configuration and hooks take no part.

use std::process::Command;

use super::*;

/// Set in the process that has the other home.
const INSIDE: &str = "SUPERCARGO_TEST_INSIDE";

/// libgit2 reads the environment once a process, so the test starts itself
/// with a home whose configuration changes everything that it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_and_hooks_of_the_machine_take_no_part() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    let home = tempfile::tempdir().unwrap();
    let mark = home.path().join("ran");
    let hooks = home.path().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    for hook in ["pre-commit", "commit-msg", "pre-push", "post-checkout", "reference-transaction"] {
        use std::os::unix::fs::PermissionsExt;
        let file = hooks.join(hook);
        std::fs::write(&file, format!("#!/bin/sh\ntouch {}\nexit 1\n", mark.display())).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(home.path().join("ignored"), "a\n").unwrap();
    let config = format!(
        "[user]\n\tname = Evil\n\temail = evil@example.com\n[core]\n\thooksPath = {hooks}\n\texcludesFile = {home}/ignored\n\tautocrlf = true\n[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = http://127.0.0.1\n[http]\n\tproxy = http://127.0.0.1:1\n[commit]\n\tgpgSign = true\n",
        hooks = hooks.display(),
        home = home.path().display()
    );
    std::fs::write(home.path().join(".gitconfig"), &config).unwrap();
    std::fs::create_dir_all(home.path().join("xdg/git")).unwrap();
    std::fs::write(home.path().join("xdg/git/config"), &config).unwrap();
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "machine::configuration_and_hooks_of_the_machine_take_no_part"])
        .env(INSIDE, "1")
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("xdg"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(!mark.exists(), "a hook ran");
}

async fn inside() {
    let s = Setup::new(&[("a", "1\r\n"), ("b", "1\n")]).await;
    let checkout = s.checkout("src").await;
    assert_eq!(std::fs::read(s.on_disk("src/b")).unwrap(), b"1\n", "no line ends are changed");
    s.write("src/a", "2\r\n");
    s.commit(&checkout, "ours").await.unwrap();
    s.git.push(&checkout, &s.remote(), to_main(), &never()).await.unwrap();
    let log = s.host.log(REPO, "main").await.unwrap();
    assert_eq!(log[0].author, "Kargo <no-reply@kargo.io>");
    assert_eq!(s.host.read_file(REPO, "main", "a").await.unwrap().unwrap(), b"2\r\n");
}
