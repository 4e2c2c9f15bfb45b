//! The sandbox's Git host is held to a real Gitea: both are sent the same
//! requests about pull requests, and answer with the same status and the same
//! in all that the client of the crate `forge` reads.

use std::sync::Arc;

use e2e::await_that;
use e2e::reviewed::{self, FILE, FILES};
use peers::{Gitea, Repository};
use reqwest::Method;
use sandbox::git_host::{FileChange, GitHost, GitHostOptions};
use serde_json::{Value, json};

/// What the client makes out of refusals, each by these words.
const WORDS: [&str; 6] = [
    "User not allowed to merge",
    "merge style",
    "wont sign",
    "try again later",
    "out of date",
    "Work In Progress",
];

/// One of the two.
enum Host {
    Real(Repository),
    Sandbox(Arc<GitHost>),
}

/// Both names have an owner and a repository.
const PATH: &str = "team/deploy";

const TOKEN: &str = "let-me-in";

const READER: &str = "let-me-look";

/// A host with a repository, and what it has answered.
struct Asked {
    host: Host,
    url: String,
    path: String,
    token: String,
    /// One that may only read.
    reader: String,
    http: reqwest::Client,
    answers: Vec<(String, Value)>,
}

impl Asked {
    async fn real(gitea: &'static Gitea) -> Self {
        let repository = Repository::create(gitea, &FILES).await;
        let url = repository.url();
        let path = url.trim_start_matches(gitea.url()).trim_matches('/').trim_end_matches(".git");
        let (path, token) = (path.to_owned(), gitea.admin().to_owned());
        let reader = gitea.token(peers::gitea::ADMIN, &["read:repository"]).await;
        Self::with(Host::Real(repository), gitea.url().to_owned(), path, [token, reader])
    }

    async fn sandbox() -> Self {
        let host = GitHost::start(GitHostOptions::default()).await.expect("a Git host");
        host.create_repository(PATH, &FILES).await.expect("a repository");
        host.set_auth(PATH, Some(("keeper".into(), TOKEN.into())));
        host.let_read(PATH, READER);
        let (url, tokens) = (host.url(), [TOKEN.to_owned(), READER.to_owned()]);
        Self::with(Host::Sandbox(Arc::new(host)), url, PATH.into(), tokens)
    }

    fn with(host: Host, url: String, path: String, [token, reader]: [String; 2]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { host, url, path, token, reader, http, answers: Vec::new() }
    }

    async fn branch(&self, name: &str, file: &str, text: &str) {
        match &self.host {
            Host::Real(repository) => repository.branch(name, &[(file, text)]).await,
            Host::Sandbox(host) => {
                host.set_branch(PATH, name, "main").await.expect("a branch");
                let change = [FileChange::write(file, text)];
                host.commit(PATH, name, "by hand", &change).await.expect("a commit");
            }
        }
    }

    async fn write(&self, file: &str, text: &str) {
        match &self.host {
            Host::Real(repository) => repository.write("main", &[(file, text)]).await,
            Host::Sandbox(host) => {
                let change = [FileChange::write(file, text)];
                host.commit(PATH, "main", "by hand", &change).await.expect("a commit");
            }
        }
    }

    async fn head(&self, branch: &str) -> String {
        match &self.host {
            Host::Real(repository) => repository.commits(branch).await.remove(0),
            Host::Sandbox(host) => {
                host.id(PATH, branch).await.expect("it answers").unwrap_or_default()
            }
        }
    }

    /// Gives the repository another name.
    async fn rename(&self) {
        match &self.host {
            Host::Real(repository) => drop(repository.renamed().await),
            Host::Sandbox(host) => {
                let old = format!("/api/v1/repos/{PATH}");
                host.traffic().redirect(&old, "/api/v1/repos/team/renamed");
            }
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value, token: &str) -> Value {
        let url = format!("{}/api/v1/repos/{path}", self.url);
        let mut request = self.http.request(method, url);
        if !token.is_empty() {
            request = request.header("authorization", format!("token {token}"));
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("it answers");
        let status = answer.status().as_u16();
        let header = |name: &str| {
            answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (link, total, to) = (header("link"), header("x-total-count"), header("location"));
        let body = answer.text().await.unwrap_or_default();
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let mut seen = json!({"status": status});
        if (300..400).contains(&status) {
            seen["redirects"] = json!(!to.is_empty());
        } else if status >= 400 {
            let message = body["message"].as_str().unwrap_or_default();
            seen["says something"] = json!(!message.is_empty());
            let words: Vec<_> = WORDS.iter().filter(|w| message.contains(**w)).collect();
            seen["words"] = json!(words);
        } else if let Some(list) = body.as_array() {
            let mut items = Vec::new();
            for item in list {
                items.push(self.item(item).await);
            }
            seen["items"] = items.into();
            seen["has next"] = json!(link.contains("rel=\"next\""));
            seen["total"] = json!(total);
        } else if !body.is_null() {
            seen["item"] = self.item(&body).await;
        }
        seen
    }

    /// What the client reads of a pull request or of a label.
    async fn item(&self, item: &Value) -> Value {
        if !item["number"].is_i64() {
            return json!({"name": item["name"], "has id": item["id"].is_i64()});
        }
        let page = format!("{}/{}/pulls/{}", self.url, self.path, item["number"]);
        let main = self.head("main").await;
        let labels = item["labels"].as_array().into_iter().flatten();
        let created = item["created_at"].as_str().unwrap_or_default();
        json!({
            "number": item["number"],
            "its page": item["html_url"] == json!(page),
            "title": item["title"], "body": item["body"],
            "state": item["state"], "merged": item["merged"], "draft": item["draft"],
            "labels": labels.map(|l| l["name"].clone()).collect::<Vec<_>>(),
            "merge commit is main's": match item["merge_commit_sha"].as_str() {
                None => Value::Null,
                Some(commit) => json!(commit == main),
            },
            "head": [item["head"]["ref"], item["head"]["label"]],
            "base": [item["base"]["ref"], item["base"]["label"]],
            "head has a commit": item["head"]["sha"].as_str().is_some_and(|s| s.len() == 40),
            "of one repository": item["head"]["repo_id"] == item["base"]["repo_id"],
            "dated": created.parse::<jiff::Timestamp>().is_ok(),
        })
    }

    /// Asks, and keeps the answer under a name.
    async fn ask(&mut self, what: &str, method: Method, rest: &str, body: Value) -> Value {
        let path = format!("{}/{rest}", self.path);
        let answer = self.send(method, &path, &body, &self.token.clone()).await;
        self.answers.push((what.to_owned(), answer.clone()));
        answer
    }

    /// Opens a pull request; its number.
    async fn open(&mut self, head: &str, title: &str) -> i64 {
        let body = json!({"title": title, "body": "What it brings.", "head": head, "base": "main"});
        let answer = self.ask(&format!("open {head}"), Method::POST, "pulls", body).await;
        answer["item"]["number"].as_i64().unwrap_or_default()
    }

    /// Waits until it is known whether a pull request can be merged, and keeps
    /// what is known. Gitea finds out by and by.
    async fn mergeable(&mut self, number: i64, expected: bool) {
        let url = format!("{}/api/v1/repos/{}/pulls/{number}", self.url, self.path);
        await_that::answer(&format!("pull request {number} mergeable: {expected}"), || async {
            let request =
                self.http.get(&url).header("authorization", format!("token {}", self.token));
            let answer = request.send().await.expect("it answers");
            let text = answer.text().await.unwrap_or_default();
            let pull: Value = serde_json::from_str(&text).unwrap_or_default();
            (pull["mergeable"] == json!(expected)).then_some(())
        })
        .await;
    }
}

/// Everything that is asked.
async fn script(asked: &mut Asked) {
    use Method as M;
    // Opening, and what cannot be opened.
    asked.branch("promotion", FILE, "image: {tag: 1.0.0}\n").await;
    let new = |head: &str| json!({"title": "Promote", "body": "b", "head": head, "base": "main"});
    asked.ask("no branch of that name", M::POST, "pulls", new("nobody")).await;
    let no_base = json!({"title": "Promote", "head": "promotion", "base": "nowhere"});
    asked.ask("no base of that name", M::POST, "pulls", no_base).await;
    asked.ask("none yet", M::GET, "pulls?state=open&limit=50", Value::Null).await;
    let first = asked.open("promotion", "Promote 1.0.0").await;
    asked.ask("open it again", M::POST, "pulls", new("promotion")).await;
    asked.mergeable(first, true).await;
    asked.ask("get", M::GET, &format!("pulls/{first}"), Value::Null).await;
    asked.ask("get none", M::GET, "pulls/99", Value::Null).await;
    asked.ask("merge none", M::POST, "pulls/99/merge", json!({"Do": "merge"})).await;
    let unknown = json!({"Do": "octopus"});
    asked.ask("merge oddly", M::POST, &format!("pulls/{first}/merge"), unknown).await;
    asked.ask("close none", M::PATCH, "pulls/99", json!({"state": "closed"})).await;

    // Labels.
    asked.ask("no labels", M::GET, "labels?limit=50", Value::Null).await;
    let label = |n: &str| json!({"name": n, "color": "#00aabb"});
    asked.ask("a label", M::POST, "labels", label("alpha")).await;
    asked.ask("another label", M::POST, "labels", label("beta")).await;
    asked.ask("a page of labels", M::GET, "labels?limit=1&page=2", Value::Null).await;
    let url = format!("{}/api/v1/repos/{}/labels", asked.url, asked.path);
    let request = asked.http.get(url).header("authorization", format!("token {}", asked.token));
    let text = request.send().await.expect("it answers").text().await.unwrap_or_default();
    let labels: Vec<Value> = serde_json::from_str(&text).expect("a list");
    asked.branch("labelled", "labelled.yaml", "a: 1\n").await;
    let mut with = new("labelled");
    with["labels"] = json!([labels[1]["id"]]);
    asked.ask("open with a label", M::POST, "pulls", with).await;
    asked.branch("unlabelled", "unlabelled.yaml", "a: 1\n").await;
    let mut with = new("unlabelled");
    with["labels"] = json!([987_654]);
    asked.ask("open with a label that is none", M::POST, "pulls", with).await;

    // Lists.
    for state in ["open", "closed", "all"] {
        let path = format!("pulls?state={state}&sort=oldest&limit=50");
        asked.ask(&format!("list {state}"), M::GET, &path, Value::Null).await;
    }
    for page in 1..=3 {
        let path = format!("pulls?state=all&sort=oldest&limit=1&page={page}");
        asked.ask(&format!("page {page}"), M::GET, &path, Value::Null).await;
    }

    // Merging by each method; in between, the base moves.
    for (n, method) in
        ["merge", "squash", "rebase", "rebase-merge", "fast-forward-only"].iter().enumerate()
    {
        let branch = format!("by-{method}");
        asked.branch(&branch, &format!("{n}.yaml"), "a: 1\n").await;
        let number = asked.open(&branch, "Promote").await;
        if *method == "fast-forward-only" {
            asked.mergeable(number, true).await;
        } else {
            asked.write("moved.yaml", &format!("n: {n}\n")).await;
            asked.mergeable(number, true).await;
        }
        let path = format!("pulls/{number}/merge");
        asked.ask(&format!("merge by {method}"), M::POST, &path, json!({"Do": method})).await;
        let pull = format!("pulls/{number}");
        asked.ask(&format!("merged by {method}"), M::GET, &pull, Value::Null).await;
        asked.ask("is it merged", M::GET, &path, Value::Null).await;
        asked.ask("merge it again", M::POST, &path, json!({"Do": method})).await;
    }

    // With its branch deleted.
    asked.branch("short-lived", "short.yaml", "a: 1\n").await;
    let number = asked.open("short-lived", "Promote").await;
    asked.mergeable(number, true).await;
    let how = json!({"Do": "squash", "delete_branch_after_merge": true});
    asked.ask("merge and delete", M::POST, &format!("pulls/{number}/merge"), how).await;
    asked.ask("its branch is gone", M::GET, &format!("pulls/{number}"), Value::Null).await;

    // Not to be merged: behind, in conflict, a draft, closed.
    asked.branch("conflict", FILE, "image: {tag: 2.0.0}\n").await;
    let number = asked.open("conflict", "Promote").await;
    asked.write(FILE, "image: {}\n").await;
    asked.mergeable(number, false).await;
    let path = format!("pulls/{number}/merge");
    asked.ask("merge a conflict", M::POST, &path, json!({"Do": "merge"})).await;
    let closed = json!({"state": "closed"});
    asked.ask("close", M::PATCH, &format!("pulls/{number}"), closed).await;
    asked.ask("merge a closed one", M::POST, &path, json!({"Do": "merge"})).await;
    asked.ask("is the closed one merged", M::GET, &path, Value::Null).await;
    asked.branch("draft", "draft.yaml", "a: 1\n").await;
    let number = asked.open("draft", "WIP: not yet").await;
    asked.ask("a draft", M::GET, &format!("pulls/{number}"), Value::Null).await;
    let path = format!("pulls/{number}/merge");
    asked.ask("merge a draft", M::POST, &path, json!({"Do": "merge"})).await;

    // Who may not.
    let (own, nowhere) = (asked.path.clone(), "nobody/nothing".to_owned());
    for (what, path, token) in [
        ("without a token", &own, ""),
        ("with a token that is none", &own, "0123456789012345678901234567890123456789"),
        ("a repository that is none", &nowhere, &asked.token.clone()),
    ] {
        let path = format!("{path}/pulls");
        let answer = asked.send(M::GET, &path, &Value::Null, token).await;
        asked.answers.push((what.to_owned(), answer));
        let answer = asked.send(M::POST, &path, &new("promotion"), token).await;
        asked.answers.push((format!("open {what}"), answer));
    }
    let pull = format!("pulls/{number}");
    for (what, method, rest, body) in [
        ("list", M::GET, "pulls?limit=2", Value::Null),
        ("get", M::GET, &*pull, Value::Null),
        ("list labels", M::GET, "labels", Value::Null),
        ("open", M::POST, "pulls", new("draft")),
        ("close", M::PATCH, &*pull, json!({"state": "closed"})),
        ("merge", M::POST, &*path, json!({"Do": "merge"})),
        ("a label", M::POST, "labels", label("gamma")),
    ] {
        let to = format!("{own}/{rest}");
        let answer = asked.send(method, &to, &body, &asked.reader).await;
        asked.answers.push((format!("{what} with a token that may only read"), answer));
    }

    // Under its old name.
    asked.rename().await;
    asked.ask("list by the old name", M::GET, "pulls", Value::Null).await;
    asked.ask("open by the old name", M::POST, "pulls", new("draft")).await;
    asked.ask("merge by the old name", M::POST, &path[..], json!({"Do": "merge"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_have_the_same_answers() {
    let Some(gitea) = reviewed::gitea("the sandbox's pull requests beside Gitea's") else { return };
    let (mut here, mut real) = (Asked::sandbox().await, Asked::real(gitea).await);
    script(&mut here).await;
    script(&mut real).await;
    assert_eq!(here.answers.len(), real.answers.len());
    let mut wrong = Vec::new();
    for ((what, here), (_, real)) in here.answers.iter().zip(&real.answers) {
        if here != real {
            wrong.push(format!("{what}:\n  real    {real}\n  sandbox {here}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
