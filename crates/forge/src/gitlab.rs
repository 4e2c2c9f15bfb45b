//! GitLab, on gitlab.com or self-managed: REST API v4.

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::error::{ForgeError, closed, unsupported};
use crate::http::Api;
use crate::http::request::Ask;
use crate::provider::Provider;
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters.
const LONGEST_BODY: usize = 1_048_576;

/// Pages of 100 that a search looks at.
const MAX_PAGES: u32 = 10;

pub(crate) struct GitLab {
    api: Api,
    /// `group/…/project`, encoded as one segment of the path.
    project: String,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: i64,
    web_url: String,
    state: String,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    squash_commit_sha: Option<String>,
    #[serde(default)]
    sha: Option<String>,
    source_branch: String,
    target_branch: String,
    #[serde(default)]
    source_project_id: Option<i64>,
    #[serde(default)]
    target_project_id: Option<i64>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    detailed_merge_status: Option<String>,
}

impl MergeRequest {
    fn state(&self) -> State {
        match self.state.as_str() {
            // Locked: it is being merged.
            "opened" | "locked" => State::Open,
            "merged" => State::Merged,
            _ => State::Closed,
        }
    }

    /// Whether it comes from a branch of the project itself.
    fn is_own(&self) -> bool {
        self.source_project_id == self.target_project_id
    }
}

impl From<MergeRequest> for PullRequest {
    fn from(request: MergeRequest) -> Self {
        let state = request.state();
        let sha = request.sha.unwrap_or_default();
        let some = |sha: Option<String>| sha.filter(|sha| !sha.is_empty());
        // A fast-forward merge makes no merge commit: the squashed one, else
        // the source's own, is what the target got.
        let merge_commit = some(request.merge_commit_sha).or_else(|| match state {
            State::Merged => some(request.squash_commit_sha).or_else(|| some(Some(sha.clone()))),
            _ => None,
        });
        Self {
            number: request.iid,
            url: request.web_url,
            state,
            merge_commit,
            head_commit: sha,
            head: request.source_branch,
            base: request.target_branch,
            body: request.description.unwrap_or_default(),
            created_at: request.created_at,
        }
    }
}

impl GitLab {
    pub(crate) fn new(api: Api, project: String) -> Self {
        Self { api, project }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["projects", &self.project, "merge_requests"]
            .into_iter()
            .chain(rest.iter().copied())
            .collect()
    }

    async fn merge_request(&self, number: i64) -> Result<MergeRequest, ForgeError> {
        self.api.json(&Ask::get(self.path(&[&number.to_string()]))).await
    }
}

#[async_trait]
impl Forge for GitLab {
    fn provider(&self) -> Provider {
        Provider::GitLab
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let mut body = json!({
            "title": new.short_title(),
            "description": new.body(LONGEST_BODY),
            "source_branch": new.head,
            "target_branch": new.base,
        });
        if !new.labels.is_empty() {
            body["labels"] = new.labels.join(",").into();
        }
        let ask = Ask::new(Method::POST, self.path(&[])).body(body);
        match self.api.json::<MergeRequest>(&ask).await {
            Ok(request) => Ok(request.into()),
            // The text may be in the server's own language; the status is not.
            Err(error) if error.code() == Some(409) => Err(ForgeError::AlreadyExists {
                head: new.head.clone(),
                base: new.base.clone(),
                said: error.said().to_owned(),
            }),
            Err(error) => Err(error),
        }
    }

    async fn find(&self, search: &Search) -> Result<Vec<PullRequest>, ForgeError> {
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            // All states: `opened` would leave those out that are being merged.
            let ask = Ask::get(self.path(&[]))
                .query("source_branch", search.head.as_str())
                .query("target_branch", search.base.as_str())
                .query("state", "all")
                .query("per_page", "100")
                .query("page", page.to_string());
            let answer = self.api.send(&ask).await?;
            let requests: Vec<MergeRequest> = answer.json()?;
            let own = requests.into_iter().filter(MergeRequest::is_own);
            found.extend(own.map(PullRequest::from).filter(|p| search.fits(p)));
            if !answer.has_next() {
                break;
            }
        }
        Ok(found)
    }

    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError> {
        self.merge_request(number).await.map(PullRequest::from)
    }

    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError> {
        let request = self.merge_request(number).await?;
        match request.state() {
            State::Merged => return Ok(Merge::Merged(request.into())),
            State::Closed => return Err(closed(number)),
            State::Open if request.state == "locked" => {
                return Ok(Merge::not_ready("it is being merged"));
            }
            State::Open => {}
        }
        let status = request.detailed_merge_status.unwrap_or_else(|| "not known yet".to_owned());
        if request.draft == Some(true) || status != "mergeable" {
            let draft = if request.draft == Some(true) { " and it is a draft" } else { "" };
            let why = format!("its merge status is {status}{draft}");
            return Ok(match status.as_str() {
                "checking" | "preparing" | "unchecked" => Merge::unsettled(why),
                _ => Merge::not_ready(why),
            });
        }
        let body = match method.unwrap_or_default() {
            "" | "merge" => json!({}),
            "squash" => json!({"squash": true}),
            other => return Err(unsupported("method", other, &["merge", "squash"])),
        };
        let path = self
            .path(&[&number.to_string(), "merge"])
            .iter()
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>();
        let ask = Ask::new(Method::PUT, path.iter().map(String::as_str)).body(body);
        let merged: MergeRequest = self.api.json(&ask).await?;
        match merged.state() {
            State::Merged => Ok(Merge::Merged(merged.into())),
            _ => Ok(Merge::not_ready("it is being merged")),
        }
    }
}
