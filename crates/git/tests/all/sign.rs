//! Signed commits and tags, checked by gpg and ssh-keygen themselves.

use std::path::Path;
use std::process::Command;

use git::{GitError, Identity, SigningKey, TagRequest};

use super::*;

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys")
}

fn key(name: &str) -> Result<SigningKey, GitError> {
    SigningKey::parse(&std::fs::read_to_string(keys().join(name)).unwrap())
}

/// Who signs with which key, and how `git` says who that was.
const SIGNERS: [(&str, &str, &str); 7] = [
    ("openpgp-bot.asc", "Bot", "bot@example.com"),
    ("openpgp-old.asc", "Old Bot", "old@example.com"),
    ("openpgp-sub.asc", "Sub", "sub@example.com"),
    ("openpgp-curve.asc", "Curve", "curve@example.com"),
    ("ssh-ed25519", "Bot", "bot@example.com"),
    ("ssh-ecdsa", "Bot", "bot@example.com"),
    ("ssh-rsa", "Bot", "bot@example.com"),
];

fn signer(file: &str, name: &str, email: &str) -> Identity {
    Identity::new(name, email).signing_with(key(file).unwrap())
}

/// A home in which gpg and ssh-keygen trust the keys of the tests. Whether
/// the tools are there.
fn trusting(home: &Path) -> bool {
    let gnupg = home.join("gnupg");
    std::fs::create_dir_all(&gnupg).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&gnupg, std::fs::Permissions::from_mode(0o700)).unwrap();
    let imported = Command::new("gpg")
        .args(["--batch", "--quiet", "--no-autostart", "--import"])
        .arg(keys().join("openpgp-public.asc"))
        .env("GNUPGHOME", &gnupg)
        .status();
    let mut allowed = String::new();
    for file in ["ssh-ed25519.pub", "ssh-ecdsa.pub", "ssh-rsa.pub"] {
        let public = std::fs::read_to_string(keys().join(file)).unwrap();
        allowed.push_str(&format!("bot@example.com {public}"));
    }
    std::fs::write(home.join("allowed"), allowed).unwrap();
    let ssh = Command::new("ssh-keygen").arg("-?").output().is_ok();
    let found = imported.is_ok_and(|status| status.success()) && ssh;
    if !found {
        eprintln!("SKIPPED: gpg and ssh-keygen are not here to check signatures");
    }
    found
}

/// What `git verify-commit` or `verify-tag` thinks.
fn verify(home: &Path, repository: &Path, what: &str, id: &str) -> (bool, String) {
    let out = Command::new("git")
        .arg("-C")
        .arg(repository)
        .arg("-c")
        .arg(format!("gpg.ssh.allowedSignersFile={}", home.join("allowed").display()))
        .args([what, "-v", id])
        .env("GNUPGHOME", home.join("gnupg"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_tags_are_signed_and_the_same_each_time() {
    let s = Setup::new(&[("a", "1")]).await;
    let home = tempfile::tempdir().unwrap();
    let tools = trusting(home.path());
    for (file, name, email) in SIGNERS {
        let identity = signer(file, name, email);
        let mut made = Vec::new();
        for round in ["one", "two"] {
            let path = format!("{file}-{round}");
            let checkout = s.checkout(&path).await;
            s.write(&format!("{path}/a"), "2");
            let request = CommitRequest {
                path: path.clone(),
                message: "signed ünd sealed".into(),
                identity: identity.clone(),
                time: at(0),
            };
            let commit = s.git.commit(&checkout, request).await.unwrap().unwrap();
            let tag = TagRequest {
                name: "v1".into(),
                message: "one\n# not a comment in a commit, but in a tag\n".into(),
                identity: identity.clone(),
                time: at(1),
                force: false,
            };
            s.git.tag(&checkout, tag.clone()).await.unwrap();
            assert!(checkout.has_tag(&tag).unwrap());
            let dir = checkout.repository().dir().to_owned();
            assert_eq!(checkout.head().unwrap(), commit);
            if tools {
                for (what, id) in [("verify-commit", commit.as_str()), ("verify-tag", "v1")] {
                    let (good, said) = verify(home.path(), &dir, what, id);
                    assert!(good && said.contains("Good"), "{file} {what}: {said}");
                    assert!(said.contains(email), "{file} {what}: {said}");
                }
            }
            let tag = std::fs::read_to_string(dir.join("refs/tags/v1")).unwrap();
            made.push((commit, tag));
        }
        assert_eq!(made[0], made[1], "{file}: a replayed commit is the same");
    }
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    for (file, expected) in
        [("openpgp-locked.asc", "has a passphrase"), ("ssh-locked", "has a passphrase")]
    {
        let error = key(file).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let public = key("openpgp-public.asc").unwrap_err();
    assert!(public.to_string().contains("OpenPGP signing key cannot be read"), "{public}");
    let shown = format!("{:?}", signer("ssh-ed25519", "a", "b"));
    assert!(shown.contains("SSH ***") && !shown.contains("PRIVATE"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_openpgp_key_signs_for_its_own_user_ids_alone() {
    let s = Setup::new(&[("a", "1")]).await;
    let checkout = s.checkout("src").await;
    s.write("src/a", "2");
    let identity = signer("openpgp-bot.asc", "Kargo", "no-reply@kargo.io");
    let request = CommitRequest { path: "src".into(), message: "m".into(), identity, time: at(0) };
    let error = s.git.commit(&checkout, request.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the OpenPGP signing key has no user id \"Kargo <no-reply@kargo.io>\", so it cannot sign for that committer; it has [\"Bot <bot@example.com>\"]: give the committer that name and address, or another key"
    );
    // As gpg looks for it: a part of the user id, whatever its case.
    let identity = signer("openpgp-bot.asc", "bot", "BOT@example.com");
    s.git.commit(&checkout, CommitRequest { identity, ..request }).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_remembers_its_key_where_nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let s = Setup::new(&[("a", "1")]).await;
    let snapshot = s.snapshot().await;
    let identity = signer("ssh-ed25519", "Bot", "bot@example.com");
    let url = s.remote().url().to_owned();
    let about = About { url, identity, insecure_skip_tls_verify: false };
    let dir = s.dir.path().join("git/signed");
    s.git.clone_at(&dir, &snapshot, about.clone()).await.unwrap();
    assert_eq!(Repository::open(&dir).unwrap().about(), &about);
    let mode = std::fs::metadata(dir.join("signing-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = std::fs::read_to_string(dir.join("config")).unwrap();
    assert!(!config.contains("PRIVATE"));
}

/// steps-git/16-2: signing on and an unsigned local commit: RebaseOrMerge makes
/// a merge commit, RebaseOrFail fails. And the rest of that table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_decide_whether_a_rebase_is_safe() {
    use IntegrationPolicy::{AlwaysMerge, AlwaysRebase, RebaseOrFail, RebaseOrMerge};
    let home = tempfile::tempdir().unwrap();
    let tools = trusting(home.path());
    let ours = || signer("openpgp-bot.asc", "Bot", "bot@example.com");
    let theirs = || signer("openpgp-sub.asc", "Sub", "sub@example.com");
    let unsigned = || Identity::new("Bot", "bot@example.com");
    // (who made the local commit, who pushes, policy, what becomes of it)
    type Who<'a> = &'a dyn Fn() -> Identity;
    let cases: Vec<(&str, Who<'_>, Who<'_>, IntegrationPolicy, &str)> = vec![
        ("ours, ours", &ours, &ours, RebaseOrFail, "rebase"),
        ("ours, ours", &ours, &ours, RebaseOrMerge, "rebase"),
        ("unsigned, ours", &unsigned, &ours, RebaseOrMerge, "merge"),
        ("unsigned, ours", &unsigned, &ours, RebaseOrFail, "fail"),
        ("theirs, ours", &theirs, &ours, RebaseOrMerge, "merge"),
        ("theirs, ours", &theirs, &ours, RebaseOrFail, "fail"),
        ("theirs, nobody", &theirs, &unsigned, RebaseOrMerge, "merge"),
        ("theirs, nobody", &theirs, &unsigned, RebaseOrFail, "fail"),
        ("unsigned, nobody", &unsigned, &unsigned, RebaseOrFail, "rebase"),
        ("theirs, ours", &theirs, &ours, AlwaysRebase, "rebase"),
        ("ours, ours", &ours, &ours, AlwaysMerge, "merge"),
    ];
    for (n, (case, author, pusher, policy, expected)) in cases.into_iter().enumerate() {
        let s = Setup::new(&[("a", "1")]).await;
        let path = format!("src{n}");
        let checkout = s.checkout(&path).await;
        s.write(&format!("{path}/a"), "2");
        let request = CommitRequest {
            path: path.clone(),
            message: "ours".into(),
            identity: author(),
            time: at(0),
        };
        let before = s.git.commit(&checkout, request).await.unwrap().unwrap();
        s.host.commit_file(REPO, "main", "b", "1", "theirs").await.unwrap();
        let committer = pusher();
        let signs = committer.signing_key.is_some();
        let request = PushRequest { policy, committer, ..to_main() };
        let pushed = s.git.push(&checkout, &s.remote(), request, &never()).await;
        let found = match &pushed {
            Ok(pushed) => {
                let log = s.host.log(REPO, "main").await.unwrap();
                assert_eq!(log[0].id, pushed.commit);
                if log[0].parents.len() == 2 { "merge" } else { "rebase" }
            }
            Err(GitError::RebaseUnsafe) => "fail",
            Err(other) => panic!("{case} {policy:?}: {other}"),
        };
        assert_eq!(found, expected, "{case} {policy:?}");
        match pushed {
            Ok(pushed) if tools => {
                // What we rewrote or merged carries our signature, or none.
                let dir = checkout.repository().dir();
                let (good, said) = verify(home.path(), dir, "verify-commit", &pushed.commit);
                assert_eq!(good, signs, "{case} {policy:?}: {said}");
            }
            Ok(_) => {}
            Err(_) => assert_eq!(checkout.head().unwrap(), before, "{case}: nothing moved"),
        }
    }
}
