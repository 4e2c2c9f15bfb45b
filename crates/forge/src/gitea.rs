//! Gitea and Forgejo: REST API v1.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::error::{ErrorClass, ForgeError, closed, unsupported};
use crate::http::Api;
use crate::http::request::Ask;
use crate::provider::Provider;
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters; the column takes more.
const LONGEST_BODY: usize = 65_536;

/// Pages of 50 that a search or the list of labels takes.
const MAX_PAGES: u32 = 20;

/// What `Do` may be.
const METHODS: [&str; 6] =
    ["fast-forward-only", "manually-merged", "merge", "rebase", "rebase-merge", "squash"];

pub(crate) struct Gitea {
    api: Api,
    owner: String,
    name: String,
}

#[derive(Deserialize)]
struct Pull {
    number: i64,
    html_url: String,
    state: String,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    head: Side,
    base: Side,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    mergeable: bool,
}

#[derive(Deserialize)]
struct Side {
    /// The branch; `refs/pull/<n>/head` once that is gone.
    #[serde(rename = "ref")]
    reference: String,
    /// The branch, gone or not.
    #[serde(default)]
    label: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    repo_id: i64,
}

#[derive(Deserialize)]
struct Label {
    id: i64,
    name: String,
}

impl Pull {
    fn state(&self) -> State {
        match (self.merged, self.state.as_str()) {
            (true, _) => State::Merged,
            (false, "open") => State::Open,
            _ => State::Closed,
        }
    }
}

impl Side {
    fn branch(self) -> String {
        let is_gone = self.reference.starts_with("refs/pull/") && !self.label.is_empty();
        if is_gone { self.label } else { self.reference }
    }
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            state: pull.state(),
            number: pull.number,
            url: pull.html_url,
            merge_commit: pull.merge_commit_sha.filter(|sha| !sha.is_empty()),
            head_commit: pull.head.sha.clone(),
            head: pull.head.branch(),
            base: pull.base.branch(),
            body: pull.body.unwrap_or_default(),
            created_at: pull.created_at,
        }
    }
}

impl Gitea {
    pub(crate) fn new(api: Api, owner: String, name: String) -> Self {
        Self { api, owner, name }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repos", &self.owner, &self.name].into_iter().chain(rest.iter().copied()).collect()
    }

    async fn pull(&self, number: i64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        self.api.json(&Ask::get(self.path(&["pulls", &number]))).await
    }

    /// The ids of labels, which Gitea wants in place of names: the
    /// repository's, and those that its organisation has for all of its own.
    async fn label_ids(&self, names: &[String]) -> Result<Vec<i64>, ForgeError> {
        let mut ids: BTreeMap<&str, Option<i64>> =
            names.iter().map(|name| (name.as_str(), None)).collect();
        self.look_up_labels(self.path(&["labels"]), &mut ids).await?;
        if ids.values().any(Option::is_none) {
            let of_organisation = vec!["orgs", self.owner.as_str(), "labels"];
            match self.look_up_labels(of_organisation, &mut ids).await {
                // A user's repository.
                Err(error) if error.class() == ErrorClass::NotFound => {}
                done => done?,
            }
        }
        let missing: Vec<&str> =
            ids.iter().filter(|(_, id)| id.is_none()).map(|(name, _)| *name).collect();
        if !missing.is_empty() {
            return Err(ForgeError::NoSuchLabels {
                repository: format!("{}/{}", self.owner, self.name),
                labels: missing.join(", "),
            });
        }
        Ok(ids.into_values().flatten().collect())
    }

    /// Looks for the ids that are missing still.
    async fn look_up_labels(
        &self,
        path: Vec<&str>,
        ids: &mut BTreeMap<&str, Option<i64>>,
    ) -> Result<(), ForgeError> {
        let mut seen = 0;
        for page in 1..=MAX_PAGES {
            if ids.values().all(Option::is_some) {
                break;
            }
            let ask =
                Ask::get(path.iter().copied()).query("page", page.to_string()).query("limit", "50");
            let answer = self.api.send(&ask).await?;
            let labels: Vec<Label> = answer.json()?;
            seen += labels.len();
            // Lists of labels have no `Link`.
            let is_last = labels.is_empty() || answer.total().is_none_or(|all| seen >= all);
            for label in labels {
                if let Some(id) = ids.get_mut(label.name.as_str()) {
                    id.get_or_insert(label.id);
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// What a refused merge means. Gitea refuses with 405 what must not be and
    /// what is not yet alike, and tells them apart by words alone, which are not
    /// translated.
    async fn refused(&self, number: i64, error: ForgeError) -> Result<Merge, ForgeError> {
        let code = error.code();
        if matches!(code, Some(404 | 405 | 409)) {
            // What somebody else did to it in the meantime is told no better.
            let pull = self.pull(number).await?;
            match pull.state() {
                State::Merged => return Ok(Merge::Merged(pull.into())),
                State::Closed => return Err(closed(number)),
                State::Open => {}
            }
        }
        let said = error.said();
        let why = said.trim_start_matches(": ");
        match code {
            Some(405) if said.contains("User not allowed to merge") => {
                Err(self.api.lacks_rights(error))
            }
            // A method that the repository does not have, a signature that
            // cannot be given.
            Some(405) if said.contains("merge style") || said.contains("wont sign") => {
                Err(rejected(number, said))
            }
            Some(405) if said.contains("try again later") => Ok(Merge::unsettled(CONFLICTS)),
            Some(405) => Ok(Merge::not_ready(if why.is_empty() { "it was refused" } else { why })),
            Some(409) if said.contains("out of date") => Ok(Merge::unsettled(why)),
            // The base has moved, which the merge noticed before the look for
            // conflicts did: what git said is in fields without a message.
            Some(409) if said.is_empty() => Ok(Merge::unsettled(BASE_MOVED)),
            _ if error.class() == ErrorClass::Config => Err(rejected(number, said)),
            _ => Err(error),
        }
    }
}

/// Gitea says neither which.
const CONFLICTS: &str = "it cannot be merged: there are conflicts, or they are being looked for";

/// Nor does it say which to a merge that found out by itself.
const BASE_MOVED: &str = "it cannot be merged into its base as that is now: there are conflicts, or \
                          it cannot be fast-forwarded";

fn rejected(number: i64, said: &str) -> ForgeError {
    ForgeError::State(format!("merge rejected for pull request {number}{said}"))
}

#[async_trait]
impl Forge for Gitea {
    fn provider(&self) -> Provider {
        Provider::Gitea
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let mut body = json!({
            "title": new.short_title(),
            "body": new.body(LONGEST_BODY),
            "head": new.head,
            "base": new.base,
        });
        if !new.labels.is_empty() {
            body["labels"] = self.label_ids(&new.labels).await?.into();
        }
        let ask = Ask::new(Method::POST, self.path(&["pulls"])).body(body);
        match self.api.json::<Pull>(&ask).await {
            Ok(pull) => Ok(pull.into()),
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
            let ask = Ask::get(self.path(&["pulls"]))
                .query("state", if search.all { "all" } else { "open" })
                .query("sort", "recentupdate")
                .query("page", page.to_string())
                .query("limit", "50");
            let answer = self.api.send(&ask).await?;
            let pulls: Vec<Pull> = answer.json()?;
            let own = pulls.into_iter().filter(|p| p.head.repo_id == p.base.repo_id);
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
        if pull.draft {
            return Ok(Merge::not_ready("it is a draft"));
        }
        if !pull.mergeable {
            return Ok(Merge::unsettled(CONFLICTS));
        }
        let method = method.filter(|m| !m.is_empty()).unwrap_or("merge");
        if !METHODS.contains(&method) {
            return Err(unsupported("method", method, &METHODS));
        }
        let number_text = number.to_string();
        let ask = Ask::new(Method::POST, self.path(&["pulls", &number_text, "merge"]))
            .body(json!({"Do": method}));
        match self.api.send(&ask).await {
            Ok(_) => self.pull(number).await.map(|pull| Merge::Merged(pull.into())),
            Err(error) => self.refused(number, error).await,
        }
    }
}
