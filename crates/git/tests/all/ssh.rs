//! Git over SSH, against OpenSSH's own server. Where there is no `sshd`
//! (Debian: openssh-server), these tests say so and do nothing.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use git::ErrorClass;

use super::*;

/// An SSH server on a port of its own: each connection gets an `sshd -i`, as
/// from inetd, so that nothing outlives the test.
struct Sshd {
    port: u16,
    dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

fn find(name: &str, places: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(name.to_uppercase()).map(PathBuf::from);
    named.into_iter().chain(places.iter().map(PathBuf::from)).find(|path| path.exists())
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Sshd {
    /// `None`, said on standard error, where there is none to start.
    fn start() -> Option<Self> {
        let sshd = find("sshd", &["/usr/sbin/sshd", "/usr/local/sbin/sshd"]);
        let keygen = find("ssh_keygen", &["/usr/bin/ssh-keygen", "/usr/local/bin/ssh-keygen"]);
        let (Some(sshd), Some(_)) = (sshd, keygen) else {
            eprintln!("SKIPPED: no sshd here (Debian: openssh-server); Git over SSH is not tested");
            return None;
        };
        // Where sshd drops its rights; Debian's service makes it at its start.
        if Path::new("/run").exists() {
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, kind) in [("host", "ed25519"), ("ed25519", "ed25519"), ("rsa", "rsa")] {
            run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(at(name)));
        }
        run(Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-t", "ed25519", "-f"])
            .arg(at("stranger")));
        // PEM as other tools write it.
        std::fs::copy(at("rsa"), at("rsa-pem")).unwrap();
        run(Command::new("ssh-keygen")
            .args(["-q", "-p", "-N", "", "-m", "PEM", "-f"])
            .arg(at("rsa-pem")));
        let allowed = ["ed25519.pub", "rsa.pub"].map(|n| std::fs::read_to_string(at(n)).unwrap());
        std::fs::write(at("allowed"), allowed.concat()).unwrap();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPrintMotd no\nLogLevel ERROR\n",
            at("host").display(),
            at("allowed").display(),
        );
        std::fs::write(at("config"), config).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, config) = (stop.clone(), at("config"));
        let accepting = std::thread::spawn(move || {
            let mut children = Vec::new();
            for connection in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                let input: OwnedFd = connection.unwrap().into();
                let output = input.try_clone().unwrap();
                let mut command = Command::new(&sshd);
                command.args(["-i", "-e", "-f"]).arg(&config);
                children.push(
                    command
                        .stdin(Stdio::from(input))
                        .stdout(Stdio::from(output))
                        .spawn()
                        .expect("sshd starts"),
                );
            }
            for mut child in children {
                let _ = child.kill();
                let _ = child.wait();
            }
        });
        Some(Self { port, dir, stop, accepting: Some(accepting) })
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    fn url(&self, s: &Setup) -> String {
        let user = run(Command::new("id").arg("-un"));
        format!("ssh://{user}@127.0.0.1:{}{}/{REPO}.git", self.port, s.host.root().display())
    }

    fn remote(&self, s: &Setup, key: &str, known_hosts: Option<&str>) -> Remote {
        let auth = Auth::ssh_key(&self.read(key), "Secret p/ssh", "uid-ssh");
        let auth = match known_hosts {
            Some(lines) => auth.with_known_hosts(lines),
            None => auth,
        };
        s.git.remote(&self.url(s), Some(auth), false).unwrap()
    }

    /// A `known_hosts` line for this server with the key of a file.
    fn known(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.read(key))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_cloned_and_pushed_to_over_ssh() {
    let Some(sshd) = Sshd::start() else { return };
    let s = Setup::new(&[("a", "1")]).await;
    for (n, key) in ["ed25519", "rsa", "rsa-pem"].into_iter().enumerate() {
        let remote = sshd.remote(&s, key, None);
        let snapshot = s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
        let about = About {
            url: remote.url().to_owned(),
            identity: Identity::default(),
            insecure_skip_tls_verify: false,
        };
        let dir = s.dir.path().join("git").join(key);
        let repository = s.git.clone_at(&dir, &snapshot, about).await.unwrap();
        let request = s.request(key, branch("main"));
        let checkout = s.git.checkout(&repository, &snapshot, request).await.unwrap();
        s.write(&format!("{key}/a"), &format!("by {key}"));
        let id = s.commit(&checkout, &format!("By {key}")).await.unwrap();
        let pushed = s.git.push(&checkout, &remote, to_main(), &never()).await.unwrap();
        assert_eq!(pushed.commit, id, "{key}");
        assert_eq!(s.host.id(REPO, "refs/heads/main").await.unwrap(), Some(id), "{key}");
        assert_eq!(s.messages().await.len(), n + 2, "{key}");
    }
    let content = s.host.read_file(REPO, "main", "a").await.unwrap();
    assert_eq!(content.as_deref(), Some(&b"by rsa-pem"[..]));
    assert_eq!(s.host.traffic().total(), 0, "nothing went over HTTP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_server_does_not_take_is_told() {
    let Some(sshd) = Sshd::start() else { return };
    let s = Setup::new(&[("a", "1")]).await;
    let error =
        async |remote: Remote| s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap_err();
    let refused = error(sshd.remote(&s, "stranger", None)).await;
    assert_eq!(refused.class(), ErrorClass::Auth, "{refused}");
    assert!(refused.to_string().contains("Secret p/ssh"), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("BEGIN"), "{refused}");
    let anonymous = error(s.git.remote(&sshd.url(&s), None, false).unwrap()).await;
    assert_eq!(anonymous.class(), ErrorClass::Auth, "{anonymous}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_held_to_the_host_keys_that_are_listed() {
    let Some(sshd) = Sshd::start() else { return };
    let s = Setup::new(&[("a", "1")]).await;
    let snapshot = async |known: &str| {
        let remote = sshd.remote(&s, "ed25519", Some(known));
        s.git.snapshot(&remote, Freshness::Now, &never()).await
    };
    // As ssh-keygen hides a host's name.
    let hashed = {
        let file = sshd.dir.path().join("known");
        std::fs::write(&file, sshd.known("host.pub")).unwrap();
        run(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file));
        std::fs::read_to_string(file).unwrap()
    };
    assert!(hashed.starts_with("|1|"), "{hashed}");
    for known in [sshd.known("host.pub"), hashed] {
        snapshot(&known).await.unwrap();
    }
    let mut listing = Command::new("ssh-keygen");
    let listed = run(listing.arg("-lf").arg(sshd.dir.path().join("host.pub")));
    let fingerprint = listed.split(' ').nth(1).unwrap();
    for (known, wrong) in [
        (sshd.known("stranger.pub"), "lists other keys for this server"),
        ("elsewhere ssh-ed25519 AAAA".to_owned(), "lists no key for this server"),
        (format!("@revoked * {}", sshd.read("host.pub")), "lists this key as revoked"),
    ] {
        let error = snapshot(&known).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the host key {fingerprint} of 127.0.0.1:{} is not trusted: sshKnownHosts of Secret p/ssh {wrong}; if the key is the server's, add what ssh-keyscan prints for it",
                sshd.port
            )
        );
        assert_eq!(error.class(), ErrorClass::Config);
    }
}
