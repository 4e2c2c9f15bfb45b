//! Azure DevOps, in the cloud or as a server: REST API 7.1 (preview 1) and,
//! of a server, 7.0.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::address::Address;
use crate::error::{ForgeError, unsupported};
use crate::http::Api;
use crate::http::request::{Ask, pause_between_looks};
use crate::provider::{Provider, without_userinfo};
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters.
const LONGEST_BODY: usize = 4_000;

/// Lists show no more of a description, in characters.
const LISTED_BODY: usize = 400;

/// Pages of 100 that a search looks at.
const MAX_PAGES: u32 = 10;

/// Looks at a merge that goes on by itself.
const LOOKS: u32 = 10;

const STRATEGIES: [&str; 4] = ["noFastForward", "rebase", "rebaseMerge", "squash"];

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The API's base: the organization or collection.
    pub(crate) base: String,
    /// Whether it is on dev.azure.com.
    pub(crate) is_cloud: bool,
    project: String,
    name: String,
}

impl Place {
    /// From `https://dev.azure.com/org/project/_git/repository`,
    /// `https://org.visualstudio.com/project/_git/repository`, or a server's
    /// `https://host/…/collection/project/_git/repository`.
    pub(crate) fn of(address: &Address) -> Result<Self, ForgeError> {
        let path: Vec<&str> = address.path.iter().map(String::as_str).collect();
        let host = address.host.as_str();
        let place = |base: String, is_cloud, project: &str, name: &str| Self {
            base,
            is_cloud,
            project: project.to_owned(),
            name: name.to_owned(),
        };
        let cloud = |org: &str| format!("https://dev.azure.com/{org}");
        let legacy = host.strip_suffix(".visualstudio.com");
        let shape = "https://dev.azure.com/org/project/_git/repository";
        if path.iter().any(|segment| segment.is_empty()) {
            return Err(address.wrong_shape(shape));
        }
        Ok(match (path.as_slice(), legacy) {
            ([org, project, "_git", name], None) if host == "dev.azure.com" => {
                place(cloud(org), true, project, name)
            }
            // A project's repository of the project's own name.
            ([org, "_git", name], None) if host == "dev.azure.com" => {
                place(cloud(org), true, name, name)
            }
            ([project, "_git", name] | ["defaultcollection", project, "_git", name], Some(org)) => {
                place(cloud(org), true, project, name)
            }
            (["_git", name], Some(org)) => place(cloud(org), true, name, name),
            ([collection @ .., project, "_git", name], None)
                if host != "dev.azure.com" && !collection.is_empty() =>
            {
                let collection = collection.join("/");
                let base = format!("{}://{host}/{collection}", address.scheme);
                place(base, false, project, name)
            }
            _ if host == "dev.azure.com" || legacy.is_some() => {
                return Err(address.wrong_shape(shape));
            }
            _ => return Err(ForgeError::Config(format!("unsupported host {host:?}"))),
        })
    }
}

pub(crate) struct Azure {
    api: Api,
    place: Place,
    look: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    pull_request_id: i64,
    status: String,
    #[serde(default)]
    is_draft: bool,
    #[serde(default)]
    merge_status: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    creation_date: Option<Timestamp>,
    source_ref_name: String,
    target_ref_name: String,
    #[serde(default)]
    last_merge_source_commit: Option<Commit>,
    #[serde(default)]
    last_merge_commit: Option<Commit>,
    #[serde(default)]
    repository: Repository,
    /// Set where it comes from a fork.
    #[serde(default)]
    fork_source: Option<serde_json::Value>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    commit_id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    #[serde(default)]
    web_url: Option<String>,
    #[serde(default)]
    remote_url: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Pull>,
}

impl Pull {
    fn state(&self) -> State {
        match self.status.as_str() {
            "active" => State::Open,
            "completed" => State::Merged,
            _ => State::Closed,
        }
    }
}

fn branch(name: &str) -> String {
    name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()
}

impl Azure {
    pub(crate) fn new(api: Api, place: Place, look: Duration) -> Self {
        let version = if place.is_cloud { "7.1-preview.1" } else { "7.0" };
        Self { api: api.with_query("api-version", version), place, look }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&self.place.project, "_apis", "git", "repositories", &self.place.name, "pullrequests"]
            .into_iter()
            .chain(rest.iter().copied())
            .collect()
    }

    async fn pull(&self, number: i64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        self.api.json(&Ask::get(self.path(&[&number]))).await
    }

    fn plain(&self, pull: Pull) -> Result<PullRequest, ForgeError> {
        let number = pull.pull_request_id;
        let state = pull.state();
        let head = pull.last_merge_source_commit.ok_or_else(|| {
            ForgeError::Unexpected(format!(
                "no last merge source commit found for pull request {number}"
            ))
        })?;
        let page = pull
            .repository
            .web_url
            .or_else(|| pull.repository.remote_url.map(|url| without_userinfo(&url)))
            .unwrap_or_else(|| {
                format!("{}/{}/_git/{}", self.place.base, self.place.project, self.place.name)
            });
        Ok(PullRequest {
            number,
            url: format!("{page}/pullrequest/{number}"),
            state,
            merge_commit: pull.last_merge_commit.map(|c| c.commit_id),
            head_commit: head.commit_id,
            head: branch(&pull.source_ref_name),
            base: branch(&pull.target_ref_name),
            body: pull.description.unwrap_or_default(),
            created_at: pull.creation_date,
        })
    }
}

#[async_trait]
impl Forge for Azure {
    fn provider(&self) -> Provider {
        Provider::Azure
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let mut body = json!({
            "sourceRefName": format!("refs/heads/{}", new.head),
            "targetRefName": format!("refs/heads/{}", new.base),
            "title": new.short_title(),
            "description": new.body(LONGEST_BODY),
        });
        if !new.labels.is_empty() {
            body["labels"] = new.labels.iter().map(|name| json!({"name": name})).collect();
        }
        let ask = Ask::new(Method::POST, self.path(&[])).body(body);
        match self.api.json::<Pull>(&ask).await {
            Ok(pull) => self.plain(pull),
            Err(error) if error.code() == Some(409) && error.said().contains("TF401179") => {
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
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let ask = Ask::get(self.path(&[]))
                .query("searchCriteria.sourceRefName", format!("refs/heads/{}", search.head))
                .query("searchCriteria.targetRefName", format!("refs/heads/{}", search.base))
                .query("searchCriteria.status", if search.all { "all" } else { "active" })
                .query("$top", "100")
                .query("$skip", (page * 100).to_string());
            let answer: Page = self.api.json(&ask).await?;
            let is_last = answer.value.len() < 100;
            for pull in answer.value.into_iter().filter(|p| p.fork_source.is_none()) {
                let mut pull = self.plain(pull)?;
                if !search.fits(&pull) {
                    continue;
                }
                // The end of a long description, and a marker there, is shown
                // to who asks for the pull request itself.
                if search.all && pull.body.chars().count() >= LISTED_BODY {
                    pull = self.get(pull.number).await?;
                }
                found.push(pull);
            }
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError> {
        let pull = self.pull(number).await?;
        self.plain(pull)
    }

    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError> {
        let pull = self.pull(number).await?;
        match pull.state() {
            State::Merged => return self.plain(pull).map(Merge::Merged),
            State::Closed => {
                return Err(ForgeError::State(format!("pull request {number} is abandoned")));
            }
            State::Open if pull.is_draft => return Ok(Merge::not_ready("it is a draft")),
            State::Open => {}
        }
        let status = pull.merge_status.clone().unwrap_or_else(|| "not known yet".to_owned());
        if status != "succeeded" {
            return Ok(Merge::not_ready(format!("its merge status is {status}")));
        }
        let head = pull.last_merge_source_commit.clone();
        let mut body = json!({"status": "completed"});
        if let Some(head) = head {
            body["lastMergeSourceCommit"] = json!({"commitId": head.commit_id});
        }
        if let Some(method) = method.filter(|m| !m.is_empty()) {
            if !STRATEGIES.contains(&method) {
                return Err(unsupported("method", method, &STRATEGIES));
            }
            body["completionOptions"] = json!({"mergeStrategy": method});
        }
        let number_text = number.to_string();
        let ask = Ask::new(Method::PATCH, self.path(&[&number_text])).body(body);
        let mut pull: Pull = self.api.json(&ask).await?;
        for _ in 0..LOOKS {
            match pull.state() {
                State::Merged => return self.plain(pull).map(Merge::Merged),
                State::Closed => {
                    return Err(ForgeError::State(format!("pull request {number} is abandoned")));
                }
                State::Open => {}
            }
            pause_between_looks(self.look).await;
            pull = self.pull(number).await?;
        }
        if pull.state() == State::Merged {
            return self.plain(pull).map(Merge::Merged);
        }
        let status = pull.merge_status.unwrap_or_else(|| "not known yet".to_owned());
        Ok(Merge::not_ready(format!("its completion is under way; its merge status is {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_in_urls() {
        for (url, expected) in [
            ("https://dev.azure.com/Org/P/_git/R", "https://dev.azure.com/org p r"),
            ("https://org@dev.azure.com/org/my%20p/_git/r", "https://dev.azure.com/org my p r"),
            ("https://org.visualstudio.com/p/_git/r", "https://dev.azure.com/org p r"),
            (
                "https://org.visualstudio.com/DefaultCollection/p/_git/r",
                "https://dev.azure.com/org p r",
            ),
            ("https://dev.azure.com/org/_git/r", "https://dev.azure.com/org r r"),
            ("https://tfs.lan/tfs/coll/p/_git/r", "https://tfs.lan/tfs/coll p r"),
        ] {
            let place = Place::of(&Address::parse(url).unwrap()).unwrap();
            assert_eq!(
                format!("{} {} {}", place.base, place.project, place.name),
                expected,
                "{url}"
            );
        }
        for (url, expected) in [
            ("https://git.lan/a/b", "unsupported host \"git.lan\""),
            ("https://dev.azure.com/a/b", "is not of the form"),
        ] {
            let error = Place::of(&Address::parse(url).unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
