//! Bitbucket Data Center: REST API 1.0.

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::Forge;
use crate::address::Address;
use crate::error::{ForgeError, closed};
use crate::http::Api;
use crate::http::request::Ask;
use crate::provider::Provider;
use crate::pull_request::{Merge, NewPullRequest, PullRequest, Search, State};

/// The longest description, in characters.
const LONGEST_BODY: usize = 32_768;

/// Pages of 100 that a search looks at.
const MAX_PAGES: u32 = 10;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The API's base.
    pub(crate) base: String,
    project: String,
    slug: String,
}

impl Place {
    /// From a URL that Git takes: `https://host/scm/KEY/slug.git`, with a
    /// context path before `scm`, or `ssh://git@host:7999/KEY/slug.git`.
    pub(crate) fn of(address: &Address) -> Result<Self, ForgeError> {
        let path: Vec<&str> = address.path.iter().map(String::as_str).collect();
        let (context, project, slug) = match path.as_slice() {
            [context @ .., "scm", project, slug] => (context, *project, *slug),
            [project, slug] => (&[][..], *project, *slug),
            _ => return Err(address.wrong_shape("https://host/scm/PROJECT/repository.git")),
        };
        if project.is_empty() || slug.is_empty() {
            return Err(address.wrong_shape("https://host/scm/PROJECT/repository.git"));
        }
        let context: String = context.iter().map(|segment| format!("/{segment}")).collect();
        Ok(Self {
            base: format!("{}://{}{context}/rest/api/1.0", address.scheme, address.host),
            project: project.to_uppercase(),
            slug: slug.to_owned(),
        })
    }
}

pub(crate) struct BitbucketDataCenter {
    api: Api,
    place: Place,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    id: i64,
    version: i64,
    state: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    description: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default)]
    created_date: Option<i64>,
    from_ref: Side,
    to_ref: Side,
    #[serde(default)]
    links: Links,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    id: String,
    #[serde(default)]
    latest_commit: String,
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize, PartialEq)]
struct Repository {
    #[serde(default)]
    id: i64,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default, rename = "self")]
    own: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    href: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    merge_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    values: Vec<Pull>,
    is_last_page: bool,
    #[serde(default)]
    next_page_start: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MergeStatus {
    can_merge: bool,
    #[serde(default)]
    conflicted: bool,
    #[serde(default)]
    vetoes: Vec<Veto>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Veto {
    #[serde(default)]
    summary_message: String,
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

fn branch(id: &str) -> String {
    id.strip_prefix("refs/heads/").unwrap_or(id).to_owned()
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.id,
            state: pull.state(),
            url: pull.links.own.into_iter().next().map(|l| l.href).unwrap_or_default(),
            merge_commit: pull.properties.merge_commit.map(|c| c.id),
            head_commit: pull.from_ref.latest_commit,
            head: branch(&pull.from_ref.id),
            base: branch(&pull.to_ref.id),
            body: pull.description.unwrap_or_default(),
            created_at: pull.created_date.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        }
    }
}

impl BitbucketDataCenter {
    pub(crate) fn new(api: Api, place: Place) -> Self {
        // Requests that change something and carry no JSON are taken for a
        // browser's.
        Self { api: api.with_header("x-atlassian-token", "no-check"), place }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["projects", &self.place.project, "repos", &self.place.slug, "pull-requests"]
            .into_iter()
            .chain(rest.iter().copied())
            .collect()
    }

    async fn pull(&self, number: i64) -> Result<Pull, ForgeError> {
        let number = number.to_string();
        self.api.json(&Ask::get(self.path(&[&number]))).await
    }
}

#[async_trait]
impl Forge for BitbucketDataCenter {
    fn provider(&self) -> Provider {
        Provider::Bitbucket
    }

    /// Bitbucket has no labels of pull requests.
    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let side = |branch: &str| {
            json!({
                "id": format!("refs/heads/{branch}"),
                "repository": {
                    "slug": self.place.slug,
                    "project": {"key": self.place.project},
                },
            })
        };
        let ask = Ask::new(Method::POST, self.path(&[])).body(json!({
            "title": new.short_title(),
            "description": new.body(LONGEST_BODY),
            "fromRef": side(&new.head),
            "toRef": side(&new.base),
        }));
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
        let mut start = 0;
        for _ in 0..MAX_PAGES {
            let ask = Ask::get(self.path(&[]))
                .query("direction", "OUTGOING")
                .query("at", format!("refs/heads/{}", search.head))
                .query("state", if search.all { "ALL" } else { "OPEN" })
                .query("order", "NEWEST")
                .query("limit", "100")
                .query("start", start.to_string());
            let page: Page = self.api.json(&ask).await?;
            for pull in page.values {
                let own = pull.from_ref.repository == pull.to_ref.repository;
                let pull = PullRequest::from(pull);
                if own && search.fits(&pull) {
                    found.push(pull);
                }
            }
            match page.next_page_start {
                Some(next) if !page.is_last_page && next > start => start = next,
                _ => break,
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
            State::Open if pull.draft => return Ok(Merge::not_ready("it is a draft")),
            State::Open => {}
        }
        let number_text = number.to_string();
        let path = self.path(&[&number_text, "merge"]);
        let status: MergeStatus = self.api.json(&Ask::get(path.iter().copied())).await?;
        if status.conflicted {
            return Err(ForgeError::State(format!(
                "pull request {number} has conflicts and cannot be merged"
            )));
        }
        if !status.can_merge {
            let vetoes: Vec<String> =
                status.vetoes.into_iter().map(|v| v.summary_message).take(5).collect();
            return Ok(Merge::not_ready(match vetoes.is_empty() {
                true => "it cannot be merged yet".to_owned(),
                false => vetoes.join("; "),
            }));
        }
        let mut body = json!({});
        if let Some(method) = method.filter(|m| !m.is_empty()) {
            // The strategies are the repository's own; it checks them itself.
            body["strategyId"] = method.into();
        }
        let ask = Ask::new(Method::POST, path)
            // Refused where the pull request has changed since.
            .query("version", pull.version.to_string())
            .body(body);
        match self.api.json::<Pull>(&ask).await {
            Ok(pull) if pull.state() == State::Merged => Ok(Merge::Merged(pull.into())),
            Ok(_) => Ok(Merge::not_ready("it is being merged")),
            Err(error) if error.code() == Some(409) => {
                let said = error.said().trim_start_matches(": ").to_owned();
                Ok(Merge::not_ready(said))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_in_urls() {
        for (url, expected) in [
            ("https://bb.lan/scm/prj/repo.git", "https://bb.lan/rest/api/1.0 PRJ repo"),
            ("https://bb.lan:8443/git/scm/~me/r", "https://bb.lan:8443/git/rest/api/1.0 ~ME r"),
            ("ssh://git@bb.lan:7999/PRJ/repo.git", "https://bb.lan/rest/api/1.0 PRJ repo"),
        ] {
            let place = Place::of(&Address::parse(url).unwrap()).unwrap();
            assert_eq!(format!("{} {} {}", place.base, place.project, place.slug), expected);
        }
        assert!(Place::of(&Address::parse("https://bb.lan/a/b/c").unwrap()).is_err());
    }
}
