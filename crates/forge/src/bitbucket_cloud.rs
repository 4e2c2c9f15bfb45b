//! Bitbucket Cloud: REST API 2.0.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::error::{ForgeError, unsupported};
use crate::http::Api;
use crate::http::request::{Ask, pause_between_looks};
use crate::provider::Provider;
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters.
const LONGEST_BODY: usize = 32_768;

/// Pages of 50 that a search looks at.
const MAX_PAGES: u32 = 20;

/// Looks at a merge that goes on by itself.
const LOOKS: u32 = 10;

const STRATEGIES: [&str; 6] = [
    "fast_forward",
    "merge_commit",
    "rebase_fast_forward",
    "rebase_merge",
    "squash",
    "squash_fast_forward",
];

pub(crate) struct BitbucketCloud {
    api: Api,
    workspace: String,
    slug: String,
    look: Duration,
}

#[derive(Deserialize)]
struct Pull {
    id: i64,
    state: String,
    #[serde(default)]
    draft: bool,
    links: Links,
    source: Side,
    destination: Side,
    #[serde(default)]
    merge_commit: Option<Commit>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    created_on: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Links {
    html: Link,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
struct Side {
    branch: Branch,
    /// Absent once the branch or the repository is gone.
    #[serde(default)]
    commit: Option<Commit>,
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize, PartialEq)]
struct Repository {
    #[serde(default)]
    full_name: String,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    hash: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    values: Vec<Pull>,
    #[serde(default)]
    next: Option<String>,
}

impl Pull {
    fn state(&self) -> State {
        match self.state.as_str() {
            "OPEN" => State::Open,
            "MERGED" => State::Merged,
            _ => State::Closed,
        }
    }
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.id,
            state: pull.state(),
            url: pull.links.html.href,
            merge_commit: pull.merge_commit.map(|c| c.hash).filter(|hash| !hash.is_empty()),
            head_commit: pull.source.commit.map(|c| c.hash).unwrap_or_default(),
            head: pull.source.branch.name,
            base: pull.destination.branch.name,
            body: pull.description.unwrap_or_default(),
            created_at: pull.created_on,
        }
    }
}

impl BitbucketCloud {
    pub(crate) fn new(api: Api, workspace: String, slug: String, look: Duration) -> Self {
        Self { api, workspace, slug, look }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repositories", &self.workspace, &self.slug]
            .into_iter()
            .chain(rest.iter().copied())
            .collect()
    }

    async fn pull(&self, number: i64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        self.api.json(&Ask::get(self.path(&["pullrequests", &number]))).await
    }

    /// With the merge commit's whole id; the API abbreviates it.
    async fn whole(&self, pull: Pull) -> Result<PullRequest, ForgeError> {
        let mut pull = PullRequest::from(pull);
        if let Some(short) = pull.merge_commit.take_if(|hash| hash.len() < 40) {
            let ask = Ask::get(self.path(&["commit", &short]));
            pull.merge_commit = Some(self.api.json::<Commit>(&ask).await?.hash);
        }
        Ok(pull)
    }
}

#[async_trait]
impl Forge for BitbucketCloud {
    fn provider(&self) -> Provider {
        Provider::Bitbucket
    }

    /// Bitbucket has no labels.
    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let ask = Ask::new(Method::POST, self.path(&["pullrequests"])).body(json!({
            "type": "pullrequest",
            "title": new.short_title(),
            "description": new.body(LONGEST_BODY),
            "source": {"branch": {"name": new.head}},
            "destination": {"branch": {"name": new.base}},
        }));
        match self.api.json::<Pull>(&ask).await {
            Ok(pull) => self.whole(pull).await,
            // Which status it is the API's description does not say.
            Err(error)
                if error.code() == Some(409)
                    || (error.code() == Some(400) && error.said().contains("already")) =>
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

    async fn find(&self, search: &Search) -> Result<Vec<PullRequest>, ForgeError> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = format!(
            "source.branch.name = \"{}\" AND destination.branch.name = \"{}\"",
            quoted(&search.head),
            quoted(&search.base)
        );
        let states: &[&str] =
            if search.all { &["OPEN", "MERGED", "DECLINED", "SUPERSEDED"] } else { &["OPEN"] };
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            let mut ask = Ask::get(self.path(&["pullrequests"]));
            for state in states {
                ask = ask.query("state", *state);
            }
            let ask = ask
                .query("q", filter.as_str())
                .query("sort", "-created_on")
                .query("pagelen", "50")
                .query("page", page.to_string());
            let answer: Page = self.api.json(&ask).await?;
            for pull in answer.values {
                let own = pull.source.repository == pull.destination.repository;
                let pull = PullRequest::from(pull);
                if own && search.fits(&pull) {
                    found.push(pull);
                }
            }
            if answer.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError> {
        let pull = self.pull(number).await?;
        self.whole(pull).await
    }

    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError> {
        let pull = self.pull(number).await?;
        match pull.state() {
            State::Merged => return self.whole(pull).await.map(Merge::Merged),
            State::Closed => {
                return Err(ForgeError::State(format!(
                    "pull request {number} is closed but not merged (state: {})",
                    pull.state
                )));
            }
            State::Open if pull.draft => return Ok(Merge::not_ready("it is a draft")),
            State::Open => {}
        }
        let mut body = json!({"type": "pullrequestMergeParameters"});
        if let Some(method) = method.filter(|m| !m.is_empty()) {
            if !STRATEGIES.contains(&method) {
                return Err(unsupported("strategy", method, &STRATEGIES));
            }
            body["merge_strategy"] = method.into();
        }
        let number_text = number.to_string();
        let path = self.path(&["pullrequests", &number_text, "merge"]);
        let answer = self.api.send(&Ask::new(Method::POST, path).body(body)).await?;
        match answer.status {
            StatusCode::OK => self.whole(answer.json()?).await.map(Merge::Merged),
            // It goes on without us.
            StatusCode::ACCEPTED => {
                for _ in 0..LOOKS {
                    pause_between_looks(self.look).await;
                    let pull = self.pull(number).await?;
                    if pull.state() == State::Merged {
                        return self.whole(pull).await.map(Merge::Merged);
                    }
                }
                Ok(Merge::not_ready("it is being merged"))
            }
            other => Err(ForgeError::Unexpected(format!(
                "unexpected response {} merging pull request {number}",
                other.as_u16()
            ))),
        }
    }
}
