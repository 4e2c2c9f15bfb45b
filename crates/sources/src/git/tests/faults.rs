//! Hosts that misbehave: each gives an error that names host and cause, with a
//! class, and recovers by itself (issue 6, bad input and faults).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::ErrorClass;

/// Discovery with short bounds.
fn impatient(dir: &tempfile::TempDir) -> Commits {
    let mut options = ::git::GitOptions::new(dir.path().join("mirrors"));
    options.operation_timeout = Duration::from_secs(5);
    options.process.server_timeout = Duration::from_secs(1);
    options.max_fetch_bytes = 64 << 10;
    Commits::new(Arc::new(::git::Git::open(options).unwrap()), Settings::default())
}

async fn asked(commits: &Commits, url: &str) -> Error {
    let subscription = GitSubscription { repo_url: url.into(), ..GitSubscription::default() };
    commits.discover(&subscription, None, None, &CancellationToken::new()).await.unwrap_err()
}

/// What a server does with a connection once a request has come in.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The head, and then nothing.
    Head(&'static str),
    /// A byte at a time, for good.
    Drip,
    /// References without end.
    Endless,
    /// A redirect to itself.
    Loop,
}

const ADVERTISED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nConnection: close\r\n\r\n001e# service=git-upload-pack\n0000";

async fn answer(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut request = [0; 4096];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    match answer {
        Answer::Head(head) => stream.write_all(head.as_bytes()).await?,
        Answer::Loop => {
            let head = "HTTP/1.1 302 Found\r\nLocation: /a.git/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
        }
        Answer::Drip => {
            stream.write_all(ADVERTISED.as_bytes()).await?;
            let mut tick = tokio::time::interval(Duration::from_millis(200));
            loop {
                tick.tick().await;
                // The beginning of a length that is never reached.
                stream.write_all(b"f").await?;
            }
        }
        Answer::Endless => {
            stream.write_all(ADVERTISED.as_bytes()).await?;
            for n in 0u64.. {
                let line = format!("{n:040x} refs/heads/b{n:016x}\n");
                stream.write_all(format!("{:04x}{line}", line.len() + 4).as_bytes()).await?;
            }
        }
    }
    stream.shutdown().await
}

/// A server that gives one answer to all; it ends with the test.
async fn server(kind: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that breaks off ends this.
            tokio::spawn(async move { drop(answer(stream, kind).await) });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_misbehave_are_named_with_what_they_did() {
    macro_rules! status {
        ($status:literal, $more:literal) => {
            Answer::Head(concat!(
                "HTTP/1.1 ",
                $status,
                "\r\nContent-Length: 0\r\nConnection: close\r\n",
                $more,
                "\r\n"
            ))
        };
    }
    let limited = ErrorClass::RateLimited { retry_after: Duration::from_secs(30) };
    for (kind, class, cause) in [
        (
            status!("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n"),
            ErrorClass::Auth,
            "authentication required",
        ),
        (status!("403 Forbidden", ""), ErrorClass::Auth, "authentication required"),
        (status!("404 Not Found", ""), ErrorClass::NotFound, "was not found (HTTP 404)"),
        (
            status!("429 Too Many Requests", "Retry-After: 30\r\n"),
            limited,
            "asks to be left alone for 30 s",
        ),
        (status!("500 Internal Server Error", ""), ErrorClass::Transient, "HTTP 500"),
        (status!("503 Service Unavailable", ""), ErrorClass::Transient, "HTTP 503"),
        (
            status!("200 OK", "Content-Type: text/html\r\n"),
            ErrorClass::Transient,
            "content type \"text/html\"",
        ),
        (
            Answer::Head(""),
            ErrorClass::Transient,
            "could not be reached or broke off while fetching",
        ),
        (
            Answer::Head("no HTTP at all\r\n\r\n"),
            ErrorClass::Transient,
            "could not be reached or broke off",
        ),
        (Answer::Drip, ErrorClass::Transient, "less than 1024 bytes a second for 1 s"),
        (Answer::Endless, ErrorClass::Config, "sends more than 65536 bytes"),
        (Answer::Loop, ErrorClass::Transient, "redirects more than 5 times"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let address = server(kind).await;
        let url = format!("http://{address}/a.git");
        let error = asked(&impatient(&dir), &url).await;
        let said = error.to_string();
        let begin = format!(
            "error discovering commits from git repo {url:?}: error cloning git repo {url:?}: "
        );
        let rest = said.strip_prefix(&begin).unwrap_or_else(|| panic!("{kind:?}: {said}"));
        assert!(rest.contains(&address.to_string()) && rest.contains(cause), "{kind:?}: {said}");
        assert_eq!(error.class(), class, "{kind:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_absent_or_silent_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let commits = impatient(&dir);
    // A port that nobody listens on any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = silent.local_addr().unwrap();
    for (host, cause) in [
        (gone.to_string(), "could not be reached"),
        (silent_at.to_string(), "it sent nothing for 1 s"),
        ("no-such-host.invalid".to_owned(), "could not be reached"),
    ] {
        let error = asked(&commits, &format!("http://{host}/a.git")).await;
        let said = error.to_string();
        assert_eq!(error.class(), ErrorClass::Transient, "{said}");
        assert!(
            said.contains(&format!("{host} could not be reached")) && said.contains(cause),
            "{said}"
        );
    }
}

fn login() -> credentials::Credential {
    credentials::Credential {
        kind: credentials::CredentialKind::Git,
        login: credentials::Login::Basic {
            username: "robot".into(),
            password: credentials::Secret::new("canary-f00d-token"),
        },
        source: credentials::Source::of_project(
            credentials::SecretRef {
                namespace: "p".into(),
                name: "repo".into(),
                uid: "uid-1".into(),
            },
            "",
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_follows_no_redirect_to_another_server() {
    let (s, _) = Setup::with_commits(&["a"]).await;
    let (thief, _) = Setup::with_commits(&["a"]).await;
    s.host.set_auth(REPO, Some(("robot".into(), "canary-f00d-token".into())));
    let never = CancellationToken::new();
    let subscription = s.subscription(|_| {});
    let login = login();
    s.commits.discover(&subscription, Some(&login), None, &never).await.unwrap();
    s.host.traffic().redirect("/team/app.git", &thief.url());
    let error = s.commits.discover(&subscription, Some(&login), None, &never).await.unwrap_err();
    let said = error.to_string();
    assert_eq!(error.class(), ErrorClass::Auth, "{said}");
    let host = s.host.url().replace("http://", "");
    assert!(
        said.contains(&format!("which are for {host}")) && said.contains("Secret p/repo"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(thief.host.traffic().total(), 0);
    // Without a login it is told where to.
    let error = s.try_discover(&subscription, None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config, "{error}");
    assert!(error.to_string().contains("redirects"), "{error}");
    assert_eq!(thief.host.traffic().total(), 0);
    // A wrong password names the Secret.
    let (s, _) = Setup::with_commits(&["a"]).await;
    s.host.set_auth(REPO, Some(("robot".into(), "other".into())));
    let error =
        s.commits.discover(&s.subscription(|_| {}), Some(&login), None, &never).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
    assert!(error.to_string().contains("refused the credentials of Secret p/repo"), "{error}");
}

/// Passes bytes on, and cuts connections off once a server has sent so many.
async fn cutter(to: SocketAddr, after: Arc<std::sync::Mutex<Option<usize>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let after = after.clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(to).await else { return };
                let (mut near_read, mut near_write) = near.split();
                let (mut far_read, mut far_write) = far.split();
                let up = tokio::io::copy(&mut near_read, &mut far_write);
                let down = async {
                    let mut buffer = vec![0; 16 << 10];
                    let mut sent = 0;
                    loop {
                        let n = far_read.read(&mut buffer).await.unwrap_or(0);
                        sent += n;
                        let cut = after.lock().unwrap().is_some_and(|after| sent > after);
                        if n == 0 || cut || near_write.write_all(&buffer[..n]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! { _ = up => {}, () = down => {} }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_was_cut_off_is_made_up_for() {
    let (s, _) = Setup::with_commits(&["a"]).await;
    let noise: String =
        (0..200_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    s.host.commit_file(REPO, "main", "large", &noise, "large").await.unwrap();
    let after = Arc::new(std::sync::Mutex::new(Some(100_000)));
    let host: SocketAddr = s.host.url().trim_start_matches("http://").parse().unwrap();
    let address = cutter(host, after.clone()).await;
    let subscription = s.subscription(|s| s.repo_url = format!("http://{address}/{REPO}.git"));
    let error = s.try_discover(&subscription, None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    *after.lock().unwrap() = None;
    let found = s.try_discover(&subscription, None).await.unwrap();
    assert_eq!(subjects(&found), ["large", "commit 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_was_rewritten_is_followed() {
    let (s, ids) = Setup::with_commits(&["a", "b", "c"]).await;
    for change in [
        (|_| {}) as fn(&mut GitSubscription),
        // With its whole history.
        |s| s.expression_filter = "true".into(),
    ] {
        s.run(&["update-ref", "refs/heads/main", &ids[2]], b"");
        let subscription = s.subscription(change);
        let found = s.try_discover(&subscription, None).await.unwrap();
        assert_eq!(subjects(&found), ["commit 3", "commit 2", "commit 1"]);
        // Back by two, and on from there.
        s.run(&["update-ref", "refs/heads/main", &ids[0]], b"");
        s.host.commit_file(REPO, "main", "d", "1", "other").await.unwrap();
        let found = s.try_discover(&subscription, Some(&found.result)).await.unwrap();
        assert_eq!(subjects(&found), ["other", "commit 1"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_was_deleted_is_an_error_until_it_is_back() {
    let (s, ids) = Setup::with_commits(&["a"]).await;
    s.run(&["branch", "topic", &ids[0]], b"");
    let subscription = s.subscription(|s| s.branch = "topic".into());
    let found = s.try_discover(&subscription, None).await.unwrap();
    s.run(&["branch", "-D", "topic"], b"");
    let error = s.try_discover(&subscription, Some(&found.result)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let said = error.to_string();
    assert!(
        said.ends_with(&format!(
            "remote branch \"topic\" of repo {} does not exist; it has the branches main",
            s.url()
        )),
        "{said}"
    );
    s.run(&["branch", "topic", &ids[0]], b"");
    let again = s.try_discover(&subscription, Some(&found.result)).await.unwrap();
    assert_eq!(again.result, found.result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_with_a_message_of_100_mb_is_refused_unread() {
    let (s, ids) = Setup::with_commits(&["a"]).await;
    s.run(&["tag", "small", &ids[0]], b"");
    let mut tag = format!(
        "object {}\ntype commit\ntag huge\ntagger T <t@example.com> 1704153600 +0000\n\n",
        ids[0]
    )
    .into_bytes();
    tag.resize(tag.len() + (100 << 20), b'x');
    let id = s.run(&["mktag"], &tag);
    s.run(&["update-ref", "refs/tags/huge", &id], b"");
    let change = |ignore: &[&str]| {
        let ignore = texts(ignore);
        move |s: &mut GitSubscription| {
            s.commit_selection_strategy = "NewestTag".into();
            s.ignore_tags_regexes = ignore;
        }
    };
    let error = s.try_discover(&s.subscription(change(&[])), None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    let said = error.to_string();
    assert!(said.contains(&format!("tag \"huge\" of repo {} has 1048", s.url())), "{said}");
    // Whoever leaves it out is not troubled by it.
    let found = s.discover(change(&["huge"])).await;
    assert_eq!(tags(&found), ["small"]);
}
