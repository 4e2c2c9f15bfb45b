//! GitHub and GitHub Enterprise: REST API, version 2022-11-28.

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::error::{ForgeError, closed};
use crate::http::Api;
use crate::http::request::Ask;
use crate::provider::Provider;
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters.
const LONGEST_BODY: usize = 65_536;

/// Pages of 100 that a search looks at.
const MAX_PAGES: u32 = 10;

pub(crate) struct GitHub {
    pub(crate) api: Api,
    pub(crate) owner: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct Pull {
    number: i64,
    html_url: String,
    state: String,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    head: Side,
    base: Side,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    mergeable: Option<bool>,
    #[serde(default)]
    mergeable_state: Option<String>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    #[serde(default)]
    sha: String,
    /// Absent where it was deleted.
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Deserialize, PartialEq)]
struct Repository {
    id: i64,
}

#[derive(Deserialize)]
struct Merged {
    #[serde(default)]
    merged: bool,
}

impl Pull {
    /// Whether it comes from a branch of the repository itself.
    fn is_own(&self) -> bool {
        self.head.repo == self.base.repo
    }

    fn state(&self) -> State {
        match (&self.merged_at, self.state.as_str()) {
            (Some(_), _) => State::Merged,
            (None, "open") => State::Open,
            _ => State::Closed,
        }
    }
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            state: pull.state(),
            number: pull.number,
            url: pull.html_url,
            merge_commit: pull.merge_commit_sha.filter(|sha| !sha.is_empty()),
            head_commit: pull.head.sha,
            head: pull.head.branch,
            base: pull.base.branch,
            body: pull.body.unwrap_or_default(),
            created_at: pull.created_at,
        }
    }
}

/// What `mergeable_state` says of a merge (`steps-git` 13.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// It can be merged.
    Ready,
    /// A rule is not met; the caller may be allowed to pass it.
    PolicyBlocked,
    NotReady,
    Conflict,
}

fn readiness(pull: &Pull) -> Readiness {
    match pull.mergeable_state.as_deref().unwrap_or_default() {
        "clean" | "unstable" | "has_hooks" => Readiness::Ready,
        "dirty" => Readiness::Conflict,
        "blocked" | "behind" => Readiness::PolicyBlocked,
        "draft" | "unknown" => Readiness::NotReady,
        _ if pull.draft != Some(true) && pull.mergeable == Some(true) => Readiness::Ready,
        _ => Readiness::NotReady,
    }
}

/// Whether a refused merge (405) may succeed later.
fn may_come(said: &str, readiness: Readiness) -> bool {
    if said.contains("not allowed") {
        return false;
    }
    said.contains("Base branch was modified")
        || said.contains("Pull Request is not mergeable")
        || readiness == Readiness::PolicyBlocked
}

impl GitHub {
    pub(crate) fn new(api: Api, owner: String, name: String) -> Self {
        Self { api: api.with_header("x-github-api-version", "2022-11-28"), owner, name }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repos", &self.owner, &self.name].into_iter().chain(rest.iter().copied()).collect()
    }

    async fn pull(&self, number: i64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        self.api.json(&Ask::get(self.path(&["pulls", &number]))).await
    }
}

#[async_trait]
impl Forge for GitHub {
    fn provider(&self) -> Provider {
        Provider::GitHub
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let ask = Ask::new(Method::POST, self.path(&["pulls"])).body(json!({
            "title": new.short_title(),
            "head": new.head,
            "base": new.base,
            "body": new.body(LONGEST_BODY),
            "maintainer_can_modify": false,
        }));
        match self.api.json::<Pull>(&ask).await {
            Ok(pull) => Ok(pull.into()),
            Err(error)
                if error.code() == Some(422)
                    && error.said().contains("pull request already exists") =>
            {
                Err(ForgeError::AlreadyExists {
                    head: new.head.clone(),
                    base: new.base.clone(),
                    said: error.said().to_owned(),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn ensure_labels(&self, number: i64, labels: &[String]) -> Result<(), ForgeError> {
        if labels.is_empty() {
            return Ok(());
        }
        let number = number.to_string();
        let path = self.path(&["issues", &number, "labels"]);
        let ask = Ask::new(Method::POST, path).body(json!({"labels": labels}));
        self.api.send(&ask).await.map(drop)
    }

    /// By the target alone, the newest first: GitHub goes from a source branch
    /// to its commit first, so its filter knows no branch that was deleted
    /// after a merge, and takes one branch for another at the same commit.
    async fn find(&self, search: &Search) -> Result<Vec<PullRequest>, ForgeError> {
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            let ask = Ask::get(self.path(&["pulls"]))
                .query("state", if search.all { "all" } else { "open" })
                .query("base", search.base.as_str())
                .query("per_page", "100")
                .query("page", page.to_string());
            let answer = self.api.send(&ask).await?;
            let pulls: Vec<Pull> = answer.json()?;
            let own = pulls.into_iter().filter(Pull::is_own);
            found.extend(own.map(PullRequest::from).filter(|p| search.fits(p)));
            if !answer.has_next() {
                break;
            }
        }
        Ok(found)
    }

    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError> {
        self.pull(number).await.map(PullRequest::from)
    }

    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError> {
        let pull = self.pull(number).await?;
        match pull.state() {
            State::Merged => return Ok(Merge::Merged(pull.into())),
            State::Closed => return Err(closed(number)),
            State::Open => {}
        }
        let readiness = readiness(&pull);
        let state = pull.mergeable_state.unwrap_or_else(|| "not known yet".to_owned());
        match readiness {
            Readiness::Conflict => {
                return Err(ForgeError::State(format!(
                    "pull request {number} has conflicts and cannot be merged"
                )));
            }
            Readiness::NotReady => {
                let why = format!("its mergeable state is {state}");
                // GitHub looks when it is first asked.
                return Ok(match state.as_str() {
                    "unknown" => Merge::unsettled(why),
                    _ => Merge::not_ready(why),
                });
            }
            Readiness::Ready | Readiness::PolicyBlocked => {}
        }
        let number_text = number.to_string();
        let body = method.map_or_else(|| json!({}), |m| json!({"merge_method": m}));
        let path = self.path(&["pulls", &number_text, "merge"]);
        match self.api.json::<Merged>(&Ask::new(Method::PUT, path).body(body)).await {
            Ok(merged) if merged.merged => {
                self.pull(number).await.map(|pull| Merge::Merged(pull.into()))
            }
            Ok(_) => Err(ForgeError::State(format!("merge rejected for pull request {number}"))),
            Err(error) if error.code() == Some(405) && may_come(error.said(), readiness) => {
                let said = error.said().trim_start_matches(": ");
                Ok(Merge::not_ready(format!("its mergeable state is {state}: {said}")))
            }
            Err(error) => Err(error),
        }
    }
}
