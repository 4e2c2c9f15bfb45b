//! A server that plays a provider.
//!
//! * [`Model`]: the pull requests that it has, the same for all providers.
//! * One file a provider: its routes, what they take, and its JSON.

mod azure;
mod bitbucket_cloud;
mod bitbucket_data_center;
mod gitea;
mod github;
mod gitlab;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use credentials::Secret;
use forge::{AddressRewrite, Forge, Forges, HttpForges, OpenRequest, Settings};
use serde_json::{Value, json};

pub const TOKEN: &str = "canary-71c2-token";
pub const HEAD_SHA: &str = "1111111111222222222233333333334444444444";
pub const MERGE_SHA: &str = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";

/// How a pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Open,
    Merged,
    Closed,
}

/// Whether it can be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Can {
    Merge,
    NotYet,
    Conflict,
}

#[derive(Clone, Debug)]
pub struct Pull {
    pub number: i64,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    pub labels: Vec<String>,
    pub is: Is,
    pub can: Can,
    pub draft: bool,
    /// From another repository.
    pub fork: bool,
    /// Its source branch was deleted.
    pub gone: bool,
    /// What somebody else makes of it when it is about to be merged.
    pub races: Option<Is>,
}

/// A provider's words for how a pull request stands, where a test wants
/// others than usual.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub mergeable_state: Option<&'static str>,
    pub state: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Not decoded.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: axum::http::HeaderMap,
    pub body: Option<Value>,
}

impl Request {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        self.param(name).and_then(|v| v.parse().ok()).ok_or(format!("{name} is no number"))
    }

    /// Every parameter must be one of these.
    pub fn only(&self, names: &[&str]) -> Result<(), String> {
        match self.query.iter().find(|(n, _)| !names.contains(&n.as_str())) {
            Some((name, _)) => Err(format!("unknown parameter {name}")),
            None => Ok(()),
        }
    }

    /// The body must have these fields and may have those.
    pub fn fields(&self, must: &[&str], may: &[&str]) -> Result<&Value, String> {
        let body = self.body.as_ref().ok_or("no body")?;
        let object = body.as_object().ok_or("the body is no object")?;
        if self.headers.get("content-type").is_none_or(|t| t != "application/json") {
            return Err("the body is not declared as JSON".into());
        }
        if let Some(name) = must.iter().find(|name| !object.contains_key(**name)) {
            return Err(format!("the body lacks {name}"));
        }
        let known = |name: &&String| must.contains(&name.as_str()) || may.contains(&name.as_str());
        match object.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("the body has an unknown {name}")),
            None => Ok(body),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Reply {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: vec![], body }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With the `Link` header that says whether there is a page after `page`.
    pub fn linked(self, page: usize, per_page: usize, total: usize) -> Self {
        let next = page + 1;
        if page * per_page < total {
            let to = format!(
                "<https://elsewhere.invalid/?page={next}>; rel=\"next\", <https://elsewhere.invalid/?page=9>; rel=\"last\""
            );
            return self.with("link", to);
        }
        self.with("link", "<https://elsewhere.invalid/?page=1>; rel=\"first\"")
    }
}

/// What the provider has and does.
#[derive(Default)]
pub struct Model {
    pub pulls: Vec<Pull>,
    pub labels: Vec<String>,
    /// What the owner has for all of its repositories, where there is such.
    pub labels_of_owner: Vec<String>,
    pub words: Words,
    /// What the merge call is answered with, once each, in place of a merge.
    pub merge_replies: VecDeque<Reply>,
    /// What the next requests are answered with, whatever they ask.
    pub replies: VecDeque<Reply>,
    /// After how many looks an asynchronous merge is done.
    pub merges_after: Option<u32>,
    pub requests: Vec<Request>,
    violations: Vec<String>,
}

impl Model {
    pub fn add(&mut self, head: &str, base: &str, is: Is) -> &mut Pull {
        let number = i64::try_from(self.pulls.len()).unwrap() + 1;
        self.pulls.push(Pull {
            number,
            title: format!("PR {number}"),
            body: String::new(),
            head: head.into(),
            base: base.into(),
            labels: vec![],
            is,
            can: Can::Merge,
            draft: false,
            fork: false,
            gone: false,
            races: None,
        });
        self.pulls.last_mut().unwrap()
    }

    pub fn pull(&mut self, number: &str) -> Option<&mut Pull> {
        let number: i64 = number.parse().ok()?;
        self.pulls.iter_mut().find(|p| p.number == number)
    }

    pub fn is_open_between(&self, head: &str, base: &str) -> Option<i64> {
        let open = |p: &&Pull| p.is == Is::Open && p.head == head && p.base == base;
        self.pulls.iter().find(open).map(|p| p.number)
    }

    /// One look at a merge that goes on by itself.
    pub fn look(&mut self) {
        if let Some(left) = self.merges_after.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.merges_after = None;
                for pull in &mut self.pulls {
                    if pull.is == Is::Open {
                        pull.is = Is::Merged;
                    }
                }
            }
        }
    }

    /// The calls that would merge.
    pub fn merge_calls(&self) -> usize {
        let merges =
            |r: &&Request| r.method != "GET" && (r.path.ends_with("/merge") || r.method == "PATCH");
        self.requests.iter().filter(merges).count()
    }

    /// A page of the pull requests, the newest first.
    pub fn page(
        &self,
        from: usize,
        count: usize,
        such: impl Fn(&Pull) -> bool,
    ) -> (Vec<&Pull>, usize) {
        let fitting: Vec<&Pull> = self.pulls.iter().rev().filter(|p| such(p)).collect();
        let total = fitting.len();
        (fitting.into_iter().skip(from).take(count).collect(), total)
    }
}

type Answer = Result<Reply, String>;

/// A provider as the tests know it.
#[derive(Clone, Copy)]
pub struct Played {
    pub name: &'static str,
    /// The repository's URL.
    pub url: &'static str,
    pub provider: Option<&'static str>,
    /// The beginning of the API's address that leads to the fake.
    pub public: &'static str,
    /// The header of the token.
    pub auth: (&'static str, &'static str),
    pub labels: bool,
    /// A method, and what the merge call then has.
    pub method: (&'static str, &'static str, &'static str),
    /// Merge methods that are checked by us.
    pub checks_methods: bool,
    pub closed_text: &'static str,
    answer: fn(&mut Model, &Request, &[&str]) -> Answer,
    /// The body of an error.
    pub error: fn(u16, &str) -> Value,
}

const BASIC: &str = "Basic OmNhbmFyeS03MWMyLXRva2Vu";

pub const PLAYED: [Played; 8] = [
    Played {
        name: "github",
        url: "https://github.com/Octo/Deploy.git",
        provider: None,
        public: "https://api.github.com/",
        auth: ("authorization", "Bearer canary-71c2-token"),
        labels: true,
        method: ("squash", "merge_method", "squash"),
        checks_methods: false,
        closed_text: "pull request 1 is closed but not merged",
        answer: github::answer,
        error: github::error,
    },
    Played {
        name: "github enterprise",
        url: "https://git.corp.example:8443/octo/deploy",
        provider: Some("github"),
        public: "https://git.corp.example:8443/api/v3/",
        auth: ("authorization", "Bearer canary-71c2-token"),
        labels: true,
        method: ("rebase", "merge_method", "rebase"),
        checks_methods: false,
        closed_text: "pull request 1 is closed but not merged",
        answer: github::answer,
        error: github::error,
    },
    Played {
        name: "gitlab",
        url: "https://gitlab.com/octo/group/deploy.git",
        provider: None,
        public: "https://gitlab.com/api/v4",
        auth: ("private-token", TOKEN),
        labels: true,
        method: ("squash", "squash", "true"),
        checks_methods: true,
        closed_text: "pull request 1 is closed but not merged",
        answer: gitlab::answer,
        error: gitlab::error,
    },
    Played {
        name: "gitea",
        url: "https://gitea.example/octo/deploy",
        provider: None,
        public: "https://gitea.example/api/v1",
        auth: ("authorization", "token canary-71c2-token"),
        labels: true,
        method: ("rebase-merge", "Do", "rebase-merge"),
        checks_methods: true,
        closed_text: "pull request 1 is closed but not merged",
        answer: gitea::answer,
        error: gitea::error,
    },
    Played {
        name: "bitbucket cloud",
        url: "https://bitbucket.org/octo/deploy.git",
        provider: None,
        public: "https://api.bitbucket.org/2.0",
        auth: ("authorization", "Bearer canary-71c2-token"),
        labels: false,
        method: ("fast_forward", "merge_strategy", "fast_forward"),
        checks_methods: true,
        closed_text: "pull request 1 is closed but not merged (state: DECLINED)",
        answer: bitbucket_cloud::answer,
        error: bitbucket_cloud::error,
    },
    Played {
        name: "bitbucket data center",
        url: "https://bb.corp.example/ctx/scm/octo/deploy.git",
        provider: Some("bitbucket"),
        public: "https://bb.corp.example/ctx/rest/api/1.0",
        auth: ("authorization", "Bearer canary-71c2-token"),
        labels: false,
        method: ("rebase-no-ff", "strategyId", "rebase-no-ff"),
        checks_methods: false,
        closed_text: "pull request 1 is closed but not merged",
        answer: bitbucket_data_center::answer,
        error: bitbucket_data_center::error,
    },
    Played {
        name: "azure",
        url: "https://octo@dev.azure.com/octo/my%20project/_git/deploy",
        provider: None,
        public: "https://dev.azure.com/octo",
        auth: ("authorization", BASIC),
        labels: true,
        method: ("rebaseMerge", "completionOptions.mergeStrategy", "rebaseMerge"),
        checks_methods: true,
        closed_text: "pull request 1 is abandoned",
        answer: azure::cloud,
        error: azure::error,
    },
    Played {
        name: "azure devops server",
        url: "https://tfs.corp.example/tfs/octo/my%20project/_git/deploy",
        provider: Some("azure"),
        public: "https://tfs.corp.example/tfs/octo",
        auth: ("authorization", BASIC),
        labels: true,
        method: ("squash", "completionOptions.mergeStrategy", "squash"),
        checks_methods: true,
        closed_text: "pull request 1 is abandoned",
        answer: azure::server,
        error: azure::error,
    },
];

struct Inner {
    played: Played,
    model: Mutex<Model>,
    token: bool,
}

/// A running fake. It stops when this is dropped.
pub struct Fake {
    inner: Arc<Inner>,
    address: String,
    forge: std::sync::OnceLock<Arc<dyn Forge>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start(played: Played) -> Self {
        Self::start_with(played, true).await
    }

    /// One that expects no token.
    pub async fn anonymous(played: Played) -> Self {
        Self::start_with(played, false).await
    }

    async fn start_with(played: Played, token: bool) -> Self {
        let inner = Arc::new(Inner { played, model: Mutex::default(), token });
        let router = Router::new().fallback(serve).with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, address, forge: Default::default(), server }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.inner.model.lock().unwrap()
    }

    /// The provider at this fake, with a token where it expects one.
    pub fn forge(&self) -> Arc<dyn Forge> {
        self.forge.get_or_init(|| self.forge_of(&self.inner.played)).clone()
    }

    fn forge_of(&self, played: &Played) -> Arc<dyn Forge> {
        let settings = Settings {
            rewrites: vec![AddressRewrite {
                public: played.public.trim_end_matches('/').to_owned(),
                actual: format!("{}/base", self.address),
            }],
            requests_per_second: 10_000,
            request_timeout: Duration::from_secs(20),
            retry_delay: Duration::from_millis(1),
            merge_look: Duration::from_millis(1),
        };
        let request = OpenRequest {
            url: played.url.into(),
            provider: played.provider.map(str::to_owned),
            token: self.inner.token.then(|| Secret::new(TOKEN)),
            source: self.inner.token.then(|| "Secret p/repo".to_owned()),
            insecure_skip_tls_verify: false,
        };
        HttpForges::new(settings).unwrap().open(&request).unwrap()
    }

    /// Fails where a request was not of the provider's API.
    pub fn check(&self) {
        let model = self.model();
        assert!(model.violations.is_empty(), "{}: {:#?}", self.inner.played.name, model.violations);
    }
}

async fn serve(Shared(inner): Shared<Arc<Inner>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).ok(),
    };
    let reply = answer(&inner, &request);
    let mut response = (
        StatusCode::from_u16(reply.status).unwrap(),
        match reply.body {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        },
    )
        .into_response();
    for (name, value) in reply.headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

fn answer(inner: &Inner, request: &Request) -> Reply {
    let mut model = inner.model.lock().unwrap();
    model.requests.push(request.clone());
    if let Some(reply) = model.replies.pop_front() {
        return reply;
    }
    let (name, value) = inner.played.auth;
    let given = request.headers.get(name).and_then(|v| v.to_str().ok());
    let violation = if inner.token && given != Some(value) {
        format!("the token is presented as {given:?}")
    } else if !inner.token
        && (request.headers.contains_key("authorization")
            || request.headers.contains_key("private-token"))
    {
        "a token is presented".to_owned()
    } else if request.headers.get("user-agent").is_none() {
        "no user agent".to_owned()
    } else {
        let path = request.path.strip_prefix("/base/").unwrap_or("nowhere").to_owned();
        let segments: Vec<&str> = path.split('/').collect();
        match (inner.played.answer)(&mut model, request, &segments) {
            Ok(reply) => return reply,
            Err(violation) => violation,
        }
    };
    let what = format!("{} {} {:?}: {violation}", request.method, request.path, request.query);
    model.violations.push(what);
    Reply::new(418, json!({"message": violation}))
}

pub const CREATED: &str = "2026-11-25T10:00:00Z";
