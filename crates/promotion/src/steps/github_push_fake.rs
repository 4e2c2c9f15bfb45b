//! GitHub's Git database over a repository of the sandbox's Git host, for the
//! tests of `github-push`. It refuses requests that GitHub's published API
//! does not know: other paths, fields or types.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use git2::{Oid, Repository, Signature, Time};
use serde_json::{Value, json};

type Interlude = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

struct Shared {
    repository: PathBuf,
    token: String,
    /// Method, path and body of what was asked.
    asked: Mutex<Vec<(String, String, Value)>>,
    before_update: Mutex<VecDeque<Interlude>>,
}

/// A running fake; it stops when dropped.
pub(super) struct FakeGitHub {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeGitHub {
    /// For the bare repository in a directory, as the holder of `token`.
    pub(super) async fn start(repository: PathBuf, token: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            repository,
            token: token.to_owned(),
            asked: Mutex::default(),
            before_update: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, address, server }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The requests so far whose method and path begin so.
    pub(super) fn asked(&self, method: &str, path: &str) -> Vec<Value> {
        let asked = self.shared.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(m, p, _)| m == method && p.starts_with(path))
            .map(|(_, _, body)| body.clone())
            .collect()
    }

    /// Does something once before a branch is moved or made.
    pub(super) fn before_update<F>(&self, interlude: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut waiting = self.shared.before_update.lock().unwrap();
        waiting.push_back(Box::new(move || Box::pin(interlude())));
    }
}

type Answer = (StatusCode, String);

fn no(status: u16, message: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), json!({"message": message}).to_string())
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if header("authorization") != format!("Bearer {}", shared.token) {
        return no(401, "Bad credentials");
    }
    let body: Value = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body).unwrap(),
    };
    let path = uri.path().strip_prefix("/repos/team/app").unwrap_or_default().to_owned();
    shared.asked.lock().unwrap().push((method.to_string(), path.clone(), body.clone()));
    let updates =
        matches!(method, Method::PATCH) || (method == Method::POST && path == "/git/refs");
    if updates {
        let interlude = shared.before_update.lock().unwrap().pop_front();
        if let Some(interlude) = interlude {
            interlude().await;
        }
    }
    let repository = Repository::open_bare(&shared.repository).unwrap();
    serve(&repository, &method, &path, uri.query().unwrap_or_default(), &body)
        .unwrap_or_else(|e| no(422, e.message()))
}

fn serve(
    repository: &Repository,
    method: &Method,
    path: &str,
    query: &str,
    body: &Value,
) -> Result<Answer, git2::Error> {
    let fields = |allowed: &[&str]| {
        let keys: Vec<&String> = body.as_object().map(|o| o.keys().collect()).unwrap_or_default();
        let all = keys.iter().all(|key| allowed.contains(&key.as_str()));
        assert!(all, "fields {keys:?}, allowed {allowed:?}");
    };
    let id = |value: &Value| Oid::from_str(value.as_str().unwrap());
    let ok =
        |status: u16, value: Value| Ok((StatusCode::from_u16(status).unwrap(), value.to_string()));
    if let (&Method::GET, Some(name)) = (method, path.strip_prefix("/git/ref/")) {
        return match repository.refname_to_id(&format!("refs/{name}")) {
            Ok(id) => ok(
                200,
                json!({"ref": format!("refs/{name}"), "object": {"sha": id.to_string(), "type": "commit"}}),
            ),
            Err(_) => Ok(no(404, "Not Found")),
        };
    }
    if let (&Method::GET, Some(range)) = (method, path.strip_prefix("/compare/")) {
        assert_eq!(query, "per_page=250");
        let (base, head) = range.split_once("...").unwrap();
        return ok(200, compare(repository, Oid::from_str(base)?, Oid::from_str(head)?)?);
    }
    match (method, path) {
        (&Method::POST, "/git/commits") => {
            fields(&["message", "tree", "parents", "author", "committer"]);
            let made = commit(repository, body)?;
            ok(201, json!({"sha": made.to_string()}))
        }
        (&Method::POST, "/git/refs") => {
            fields(&["ref", "sha"]);
            let name = body["ref"].as_str().unwrap();
            assert!(name.starts_with("refs/heads/"), "{name}");
            repository.reference(name, id(&body["sha"])?, false, "api")?;
            ok(201, json!({"ref": name}))
        }
        (&Method::PATCH, path) => {
            fields(&["sha", "force"]);
            let name = path.strip_prefix("/git/").unwrap();
            let (to, force) = (id(&body["sha"])?, body["force"].as_bool().unwrap());
            let old = repository.refname_to_id(name)?;
            if !force && old != to && !repository.graph_descendant_of(to, old)? {
                return Ok(no(422, "Update is not a fast forward"));
            }
            repository.reference(name, to, true, "api")?;
            ok(200, json!({"ref": name}))
        }
        (&Method::DELETE, path) => {
            repository.find_reference(path.strip_prefix("/git/").unwrap())?.delete()?;
            Ok((StatusCode::NO_CONTENT, String::new()))
        }
        _ => Ok(no(404, "Not Found")),
    }
}

fn compare(repository: &Repository, base: Oid, head: Oid) -> Result<Value, git2::Error> {
    let (ahead, behind) = repository.graph_ahead_behind(head, base)?;
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let mut walk = repository.revwalk()?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
    walk.push(head)?;
    walk.hide(base)?;
    let mut commits = Vec::new();
    for id in walk {
        let commit = repository.find_commit(id?)?;
        let person = |s: Signature<'_>| {
            let time = jiff::Timestamp::from_second(s.when().seconds()).unwrap();
            json!({"name": s.name().unwrap(), "email": s.email().unwrap(), "date": time.to_string()})
        };
        let parents: Vec<Value> =
            commit.parent_ids().map(|id| json!({"sha": id.to_string()})).collect();
        commits.push(json!({
            "sha": commit.id().to_string(),
            "commit": {
                "message": commit.message().unwrap(),
                "tree": {"sha": commit.tree_id().to_string()},
                "author": person(commit.author()),
                "committer": person(commit.committer()),
            },
            "parents": parents,
        }));
    }
    Ok(json!({
        "status": status,
        "merge_base_commit": {"sha": repository.merge_base(base, head)?.to_string()},
        "total_commits": commits.len(),
        "commits": commits,
    }))
}

/// As GitHub does: without people they are its own, and the commit is signed.
fn commit(repository: &Repository, body: &Value) -> Result<Oid, git2::Error> {
    let person = |value: &Value| match value.as_object() {
        Some(person) => {
            let time: jiff::Timestamp = person["date"].as_str().unwrap().parse().unwrap();
            Signature::new(
                person["name"].as_str().unwrap(),
                person["email"].as_str().unwrap(),
                &Time::new(time.as_second(), 0),
            )
        }
        None => Signature::now("robot[bot]", "robot@users.noreply.github.com"),
    };
    let (author, committer) = (person(&body["author"])?, person(&body["committer"])?);
    let tree = repository.find_tree(Oid::from_str(body["tree"].as_str().unwrap())?)?;
    let parents: Vec<git2::Commit<'_>> = body["parents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parent| repository.find_commit(Oid::from_str(parent.as_str().unwrap())?))
        .collect::<Result<_, _>>()?;
    let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
    let message = body["message"].as_str().unwrap();
    let content = repository.commit_create_buffer(&author, &committer, message, &tree, &parents)?;
    if body["author"].is_null() {
        return repository.commit_signed(content.as_str().unwrap(), "by GitHub", None);
    }
    repository.commit(None, &author, &committer, message, &tree, &parents)
}
