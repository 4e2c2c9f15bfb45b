//! One HTTP request through `git http-backend`, as CGI (RFC 3875).

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Shared;
use super::repositories;
use super::traffic::{GitRequest, GitService, Verdict};

/// The largest request body, in bytes.
const MAX_REQUEST_BYTES: u64 = 2 << 30;

/// The longest header that `git http-backend` may answer with, in bytes.
const MAX_HEADER_BYTES: u64 = 64 * 1024;

/// How long one request may keep a process.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(300);

pub(crate) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    let at = jiff::Timestamp::now();
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let service = if path.ends_with("/git-receive-pack") || query == "service=git-receive-pack" {
        GitService::Push
    } else if path.ends_with("/git-upload-pack") || query == "service=git-upload-pack" {
        GitService::Fetch
    } else {
        GitService::Other
    };
    let lists_refs = path.ends_with("/info/refs");
    let mut user = None;
    let response = serve(&shared, request, service, &mut user).await;
    shared.traffic.record(GitRequest {
        at,
        method,
        path,
        service,
        lists_refs,
        user,
        status: response.status().as_u16(),
    });
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

async fn serve(
    shared: &Arc<Shared>,
    request: Request,
    service: GitService,
    user: &mut Option<String>,
) -> Response {
    let delay = shared.traffic.current_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let path_and_query =
        request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    match shared.traffic.verdict(&path_and_query, service) {
        Verdict::Fail(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let mut response = plain(status, "this host was told to fail\n");
            if status == StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            return response;
        }
        Verdict::Redirect(to) => {
            return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response();
        }
        Verdict::Serve => {}
    }
    let Some((repository, rest)) = split_path(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "no such repository\n");
    };
    let repository = repositories::with_suffix(&repository);
    if let Some((wanted_user, wanted_token)) = shared.traffic.auth_of(&repository) {
        match basic_auth(request.headers()) {
            Some((given_user, given_token))
                if given_user == wanted_user && given_token == wanted_token =>
            {
                *user = Some(given_user);
            }
            Some((given_user, given_token))
                if shared.traffic.only_reads(&repository, &given_token) =>
            {
                *user = Some(given_user);
                if service == GitService::Push {
                    return plain(StatusCode::FORBIDDEN, "the token may only read\n");
                }
            }
            _ => {
                let challenge = HeaderValue::from_static("Basic realm=\"sandbox\"");
                let mut response = plain(StatusCode::UNAUTHORIZED, "authentication required\n");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                return response;
            }
        }
    }
    if !shared.root.join(&repository).is_dir() {
        return plain(StatusCode::NOT_FOUND, "no such repository\n");
    }
    if rest == "/git-receive-pack"
        && let Some(interlude) = shared.traffic.take_before_push()
    {
        interlude().await;
    }
    let rejection = shared.traffic.rejection();
    match run(shared, &request, &repository, &rest, user.as_deref(), rejection.as_deref()) {
        Ok(child) => converse(child, request.into_body()).await,
        Err(error) => {
            tracing::error!(%error, "git http-backend could not be started; is git installed?");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend could not be started\n")
        }
    }
}

/// The repository's path and what is asked of it: only what smart HTTP uses.
fn split_path(path: &str) -> Option<(String, String)> {
    for rest in ["/info/refs", "/git-upload-pack", "/git-receive-pack", "/HEAD"] {
        if let Some(repository) = path.strip_suffix(rest) {
            let repository = repository.trim_start_matches('/');
            return repositories::check_name(repository)
                .ok()
                .map(|()| (repository.to_owned(), rest.to_owned()));
        }
    }
    None
}

fn basic_auth(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let encoded = value.strip_prefix("Basic ")?.trim();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, token) = text.split_once(':')?;
    Some((user.to_owned(), token.to_owned()))
}

fn run(
    shared: &Shared,
    request: &Request,
    repository: &str,
    rest: &str,
    user: Option<&str>,
    rejection: Option<&str>,
) -> std::io::Result<Child> {
    let header = |name: HeaderName| {
        request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut command = git_command(&shared.root);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", format!("/{repository}{rest}"))
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(length) =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok())
    {
        command.env("CONTENT_LENGTH", length);
    }
    if let Some(user) = user {
        command.env("REMOTE_USER", user);
    }
    if let Some(message) = rejection {
        let hooks = reject_hook(&shared.root)?;
        command
            .env("SANDBOX_REJECTION", message)
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.hooksPath")
            .env("GIT_CONFIG_VALUE_0", hooks);
    }
    command.spawn()
}

/// `git` with nothing of the caller's environment but the search path.
pub(super) fn git_command(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C");
    command
}

/// A folder with a `pre-receive` hook that refuses every push.
fn reject_hook(root: &Path) -> std::io::Result<std::path::PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let hooks = root.join(".reject-hooks");
    std::fs::create_dir_all(&hooks)?;
    let hook = hooks.join("pre-receive");
    let mut file =
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&hook) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(hooks),
            Err(e) => return Err(e),
        };
    std::io::Write::write_all(&mut file, b"#!/bin/sh\necho \"$SANDBOX_REJECTION\" >&2\nexit 1\n")?;
    Ok(hooks)
}

async fn converse(mut child: Child, body: Body) -> Response {
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend has no pipes\n");
    };
    let feeding = tokio::spawn(feed(stdin, body));
    let mut output = BufReader::new(stdout);
    let head = tokio::time::timeout(MAX_REQUEST_TIME, read_head(&mut output)).await;
    let Ok(Ok((status, headers))) = head else {
        feeding.abort();
        return plain(StatusCode::BAD_GATEWAY, "git http-backend gave no answer\n");
    };
    let mut response = Response::new(Body::from_stream(stream(output, child, feeding)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The request's body into the process. A process that stops reading (it has
/// refused the request) ends this quietly.
async fn feed(mut stdin: ChildStdin, body: Body) {
    let mut left = MAX_REQUEST_BYTES;
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let Some(rest) = left.checked_sub(chunk.len() as u64) else { return };
        left = rest;
        if stdin.write_all(&chunk).await.is_err() {
            return;
        }
    }
    let _ = stdin.shutdown().await;
}

async fn read_head(
    output: &mut BufReader<ChildStdout>,
) -> std::io::Result<(StatusCode, HeaderMap)> {
    let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    let mut head = output.take(MAX_HEADER_BYTES);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(bad("the header has no end"));
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Ok((status, headers));
        }
        let Some((name, value)) = line.split_once(':') else { return Err(bad("no header line")) };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            status = StatusCode::from_bytes(code.as_bytes()).map_err(|_| bad("no status"))?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("no name"))?;
            headers.append(name, HeaderValue::from_str(value).map_err(|_| bad("no value"))?);
        }
    }
}

/// The process's output, as it comes; the process is waited for at its end and
/// killed when the reader goes away or the time is over.
fn stream(
    output: BufReader<ChildStdout>,
    child: Child,
    feeding: tokio::task::JoinHandle<()>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    let deadline = tokio::time::Instant::now() + MAX_REQUEST_TIME;
    futures::stream::try_unfold(
        (output, child, feeding),
        move |(mut output, mut child, feeding)| async move {
            let mut chunk = Vec::with_capacity(64 * 1024);
            let read = tokio::time::timeout_at(deadline, output.read_buf(&mut chunk)).await;
            match read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? {
                0 => {
                    feeding.abort();
                    child.wait().await?;
                    Ok(None)
                }
                _ => Ok(Some((Bytes::from(chunk), (output, child, feeding)))),
            }
        },
    )
    .into_stream()
}
