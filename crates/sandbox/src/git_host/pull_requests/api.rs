//! The routes of the API and their JSON, in Gitea's shapes.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

use super::super::traffic::{GitRequest, GitService, Verdict};
use super::super::{GitHostError, Shared, repositories};
use super::{API, MAX_PULL_REQUESTS, MergeMethod, PullRequest, PullState};

/// The largest request body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// What the API answers with more than this on a page is cut to it.
const MAX_PAGE: usize = 50;

pub(crate) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    let at = jiff::Timestamp::now();
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let mut user = None;
    let delay = shared.traffic.current_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let response = match shared.traffic.verdict(&path, GitService::Other) {
        Verdict::Fail(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            said(status, "this host was told to fail")
        }
        Verdict::Redirect(to) => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response()
        }
        Verdict::Serve => serve(&shared, request, &mut user)
            .await
            .unwrap_or_else(|error| said(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())),
    };
    shared.traffic.record(GitRequest {
        at,
        method,
        path,
        service: GitService::Other,
        lists_refs: false,
        user,
        status: response.status().as_u16(),
    });
    response
}

fn json_of(status: StatusCode, value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json;charset=utf-8")];
    (status, headers, value.to_string()).into_response()
}

/// An error as Gitea tells it.
fn said(status: StatusCode, message: &str) -> Response {
    json_of(status, &json!({"message": message, "url": "https://docs.gitea.com/api"}))
}

fn not_found(what: &str) -> Response {
    said(StatusCode::NOT_FOUND, what)
}

/// The token that a request shows: as `token …`, `Bearer …`, or as the
/// password of `Basic …`.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if let Some(token) = value.strip_prefix("token ").or_else(|| value.strip_prefix("Bearer ")) {
        return Some(token.trim().to_owned());
    }
    let encoded = value.strip_prefix("Basic ")?.trim();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, token)| token.to_owned())
}

/// What a request is about.
struct Call<'a> {
    shared: &'a Shared,
    repository: String,
    query: Vec<(String, String)>,
    body: Value,
}

async fn serve(
    shared: &Arc<Shared>,
    request: Request,
    user: &mut Option<String>,
) -> Result<Response, GitHostError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(API).unwrap_or_default().to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    if let (&Method::GET, ["version"]) = (&parts.method, segments.as_slice()) {
        return Ok(json_of(StatusCode::OK, &json!({"version": "1.26.0+sandbox"})));
    }
    let ["repos", owner, name, rest @ ..] = segments.as_slice() else {
        return Ok(not_found("404 page not found"));
    };
    let repository = format!("{owner}/{name}");
    if repositories::check_name(&repository).is_err() {
        return Ok(not_found("the repository does not exist"));
    }
    let folder = repositories::with_suffix(&repository);
    if let Some((wanted_user, wanted)) = shared.traffic.auth_of(&folder) {
        match token(&parts.headers) {
            Some(token) if token == wanted => {}
            Some(token) if shared.traffic.only_reads(&folder, &token) => {
                // A token for repositories is none for the labels of issues.
                if parts.method != Method::GET || rest.contains(&"labels") {
                    return Ok(said(StatusCode::FORBIDDEN, "the token may only read"));
                }
            }
            Some(_) => return Ok(said(StatusCode::UNAUTHORIZED, "the token is none")),
            // What is not public is not there for who does not say who asks.
            None => return Ok(not_found("the repository does not exist")),
        }
        *user = Some(wanted_user);
    }
    if !shared.root.join(&folder).is_dir() {
        return Ok(not_found("the repository does not exist"));
    }
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        return Ok(said(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"));
    };
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => {
                return Ok(said(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()));
            }
        },
    };
    let query = parts.uri.query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let call = Call { shared, repository, query, body };
    match (&parts.method, rest) {
        (&Method::GET, ["labels"]) => Ok(call.labels()),
        (&Method::POST, ["labels"]) => Ok(call.new_label()),
        (&Method::GET, ["pulls"]) => call.list().await,
        (&Method::POST, ["pulls"]) => call.create().await,
        (&Method::GET, ["pulls", number]) => call.get(number).await,
        (&Method::PATCH, ["pulls", number]) => call.edit(number).await,
        (&Method::POST, ["pulls", number, "merge"]) => call.merge(number).await,
        (&Method::GET, ["pulls", number, "merge"]) => Ok(call.is_merged(number)),
        (&Method::POST, ["issues", number, "labels"]) => Ok(call.add_labels(number)),
        _ => Ok(not_found("404 page not found")),
    }
}

impl Call<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn text(&self, name: &str) -> String {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A page of a list, with the headers that tell of the others.
    fn paged(&self, items: &[Value]) -> Response {
        let number = |name: &str, default: usize| {
            self.param(name).and_then(|v| v.parse().ok()).filter(|n| *n > 0).unwrap_or(default)
        };
        let (page, limit) = (number("page", 1), number("limit", 30).min(MAX_PAGE));
        let from = (page - 1).saturating_mul(limit);
        let shown: Vec<Value> = items.iter().skip(from).take(limit).cloned().collect();
        let mut response = json_of(StatusCode::OK, &Value::Array(shown));
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        };
        put("x-total-count", items.len().to_string());
        if from + limit < items.len() {
            let url = &self.shared.url;
            put("link", format!("<{url}/?page={}>; rel=\"next\"", page + 1));
        }
        response
    }

    fn label(index: usize, name: &str) -> Value {
        json!({"id": index + 1, "name": name, "color": "00aabb", "exclusive": false})
    }

    fn labels(&self) -> Response {
        let labels: Vec<Value> = self.shared.pull_requests.of(&self.repository, |r| {
            r.labels.iter().enumerate().map(|(i, name)| Self::label(i, name)).collect()
        });
        self.paged(&labels)
    }

    fn new_label(&self) -> Response {
        let name = self.text("name");
        if name.is_empty() {
            return said(StatusCode::UNPROCESSABLE_ENTITY, "[Name]: Required");
        }
        let label = self.shared.pull_requests.of(&self.repository, |r| {
            r.labels.push(name.clone());
            Self::label(r.labels.len() - 1, &name)
        });
        json_of(StatusCode::CREATED, &label)
    }

    /// The labels that a request names by id or by name; `None` for one that is
    /// not the repository's.
    fn named_labels(&self) -> Vec<Option<String>> {
        let wanted = self.body.get("labels").and_then(Value::as_array).cloned().unwrap_or_default();
        self.shared.pull_requests.of(&self.repository, |r| {
            wanted
                .iter()
                .map(|label| match label {
                    Value::String(name) => r.labels.iter().find(|l| *l == name).cloned(),
                    other => {
                        let index = usize::try_from(other.as_u64()?).ok()?.checked_sub(1)?;
                        r.labels.get(index).cloned()
                    }
                })
                .collect()
        })
    }

    async fn show(&self, pull: &PullRequest) -> Value {
        let mergeable =
            pull.state == PullState::Open && self.shared.can_merge(&self.repository, pull).await;
        let page = format!("{}/{}/pulls/{}", self.shared.url, self.repository, pull.number);
        let is_merged = pull.state == PullState::Merged;
        let ended = (pull.state != PullState::Open).then(|| pull.updated_at.to_string());
        let branch = format!("refs/heads/{}", pull.head);
        let has_branch = matches!(self.shared.id(&self.repository, &branch).await, Ok(Some(_)));
        let gone = format!("refs/pull/{}/head", pull.number);
        let head_ref = if has_branch { pull.head.as_str() } else { gone.as_str() };
        let side = |branch: &str, reference: &str, commit: Option<&str>| {
            json!({
                "label": branch, "ref": reference, "sha": commit.unwrap_or_default(), "repo_id": 1,
                "repo": {"id": 1, "full_name": self.repository},
            })
        };
        let labels: Vec<Value> = self.shared.pull_requests.of(&self.repository, |r| {
            let index = |name: &str| r.labels.iter().position(|l| l == name).unwrap_or_default();
            pull.labels.iter().map(|name| Self::label(index(name), name)).collect()
        });
        json!({
            "id": pull.number, "number": pull.number, "url": page, "html_url": page,
            "title": pull.title, "body": pull.body, "labels": labels,
            "state": if pull.state == PullState::Open { "open" } else { "closed" },
            "draft": pull.is_draft(), "is_locked": false, "comments": 0,
            "mergeable": mergeable, "merged": is_merged,
            "merged_at": ended.as_ref().filter(|_| is_merged), "closed_at": ended,
            "merge_commit_sha": pull.merge_commit,
            "base": side(&pull.base, &pull.base, None),
            "head": side(&pull.head, head_ref, Some(&pull.head_commit)),
            "user": {"id": 1, "login": "developer"},
            "created_at": pull.created_at.to_string(), "updated_at": pull.updated_at.to_string(),
        })
    }

    async fn list(&self) -> Result<Response, GitHostError> {
        let state = self.param("state").unwrap_or("all").to_owned();
        let fits = |pull: &PullRequest| match state.as_str() {
            "all" => true,
            "closed" => pull.state != PullState::Open,
            _ => pull.state == PullState::Open,
        };
        let mut pulls: Vec<PullRequest> = self
            .shared
            .pull_requests
            .of(&self.repository, |r| r.pulls.iter().filter(|p| fits(p)).cloned().collect());
        match self.param("sort") {
            Some("oldest") => {}
            Some("recentupdate") => pulls.sort_by_key(|p| std::cmp::Reverse(p.updated_at)),
            _ => pulls.reverse(),
        }
        let mut shown = Vec::new();
        for pull in pulls {
            if let Some(pull) = self.shared.current(&self.repository, pull.number).await? {
                shown.push(self.show(&pull).await);
            }
        }
        Ok(self.paged(&shown))
    }

    async fn create(&self) -> Result<Response, GitHostError> {
        let (title, head, base) = (self.text("title"), self.text("head"), self.text("base"));
        if title.is_empty() || head.is_empty() || base.is_empty() {
            return Ok(said(StatusCode::UNPROCESSABLE_ENTITY, "[Title, Head, Base]: Required"));
        }
        let tip = |branch: &str| {
            let name = format!("refs/heads/{branch}");
            async move {
                repositories::check_ref(&name)?;
                self.shared.id(&self.repository, &name).await
            }
        };
        let (Some(head_commit), Some(_)) = (tip(&head).await?, tip(&base).await?) else {
            return Ok(not_found("The target couldn't be found."));
        };
        // Gitea passes over those that are none, and opens without them.
        let labels = self.named_labels().into_iter().flatten().collect();
        let now = jiff::Timestamp::now();
        let made = self.shared.pull_requests.of(&self.repository, |r| {
            let open = |p: &&PullRequest| {
                p.state == PullState::Open && p.head == head && p.base == base
            };
            if let Some(there) = r.pulls.iter().find(open) {
                let number = there.number;
                return Err((StatusCode::CONFLICT, format!(
                    "pull request already exists for these targets [id: {number}, issue_id: {number}, head_repo_id: 1, base_repo_id: 1, head_branch: {head}, base_branch: {base}]"
                )));
            }
            if r.pulls.len() >= MAX_PULL_REQUESTS {
                return Err((StatusCode::INSUFFICIENT_STORAGE, "too many pull requests".to_owned()));
            }
            let pull = PullRequest {
                number: i64::try_from(r.pulls.len()).unwrap_or(i64::MAX).saturating_add(1),
                title: title.clone(),
                body: self.text("body"),
                head: head.clone(),
                base: base.clone(),
                head_commit: head_commit.clone(),
                state: PullState::Open,
                merge_commit: None,
                labels,
                created_at: now,
                updated_at: now,
            };
            r.pulls.push(pull.clone());
            Ok(pull)
        });
        Ok(match made {
            Ok(pull) => json_of(StatusCode::CREATED, &self.show(&pull).await),
            Err((status, message)) => said(status, &message),
        })
    }

    async fn get(&self, number: &str) -> Result<Response, GitHostError> {
        let Ok(number) = number.parse() else { return Ok(not_found("no such pull request")) };
        Ok(match self.shared.current(&self.repository, number).await? {
            Some(pull) => json_of(StatusCode::OK, &self.show(&pull).await),
            None => not_found("pull request does not exist"),
        })
    }

    async fn edit(&self, number: &str) -> Result<Response, GitHostError> {
        let Ok(number) = number.parse() else { return Ok(not_found("no such pull request")) };
        let changed = self.shared.pull_requests.change(&self.repository, number, |pull| {
            for (name, field) in [("title", &mut pull.title), ("body", &mut pull.body)] {
                if let Some(text) = self.body.get(name).and_then(Value::as_str) {
                    text.clone_into(field);
                }
            }
            match (self.body.get("state").and_then(Value::as_str), pull.state) {
                (Some("closed"), PullState::Open) => pull.state = PullState::Closed,
                (Some("open"), PullState::Closed) => pull.state = PullState::Open,
                _ => {}
            }
        });
        Ok(match changed {
            Some(pull) => json_of(StatusCode::CREATED, &self.show(&pull).await),
            None => not_found("pull request does not exist"),
        })
    }

    async fn merge(&self, number: &str) -> Result<Response, GitHostError> {
        let Ok(number) = number.parse() else { return Ok(not_found("no such pull request")) };
        let method = match self.text("Do").as_str() {
            "merge" => MergeMethod::Merge,
            "rebase" => MergeMethod::Rebase,
            "rebase-merge" => MergeMethod::RebaseMerge,
            "squash" => MergeMethod::Squash,
            "fast-forward-only" => MergeMethod::FastForwardOnly,
            other => {
                return Ok(said(StatusCode::UNPROCESSABLE_ENTITY, &format!("[Do]: {other:?}")));
            }
        };
        let pull = self.shared.pull_requests.get(&self.repository, number);
        let Some(pull) = pull.filter(|p| p.state != PullState::Closed) else {
            return Ok(not_found("there is no pull request of that number to merge"));
        };
        Ok(match self.shared.merge(&self.repository, number, method).await? {
            Ok(_) => {
                if self.body.get("delete_branch_after_merge") == Some(&Value::Bool(true)) {
                    self.shared.delete_branch(&self.repository, &pull.head).await?;
                }
                StatusCode::OK.into_response()
            }
            Err(why) => said(StatusCode::METHOD_NOT_ALLOWED, &why),
        })
    }

    fn is_merged(&self, number: &str) -> Response {
        let pull =
            number.parse().ok().and_then(|n| self.shared.pull_requests.get(&self.repository, n));
        match pull {
            Some(pull) if pull.state == PullState::Merged => StatusCode::NO_CONTENT.into_response(),
            _ => not_found("the pull request is not merged"),
        }
    }

    fn add_labels(&self, number: &str) -> Response {
        let Some(labels) = self.named_labels().into_iter().collect::<Option<Vec<_>>>() else {
            return said(StatusCode::UNPROCESSABLE_ENTITY, "label does not exist");
        };
        let Ok(number) = number.parse() else { return not_found("no such pull request") };
        let changed = self.shared.pull_requests.change(&self.repository, number, |pull| {
            for label in labels {
                if !pull.labels.contains(&label) {
                    pull.labels.push(label);
                }
            }
        });
        match changed {
            Some(pull) => {
                let labels: Vec<Value> =
                    pull.labels.iter().enumerate().map(|(i, l)| Self::label(i, l)).collect();
                json_of(StatusCode::OK, &Value::Array(labels))
            }
            None => not_found("pull request does not exist"),
        }
    }
}
