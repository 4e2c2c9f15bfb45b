//! GitHub's Git database: commits that GitHub makes, and signs where nobody
//! else is named as their author (`steps-git` 10 rule 8).

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::commits::{Commits, ComparedCommit, Comparison, NewCommit, Signer};
use crate::error::ForgeError;
use crate::github::GitHub;
use crate::http::request::Ask;

/// How many commits one comparison lists.
const PER_PAGE: &str = "250";

#[derive(Deserialize)]
struct Reference {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Compared {
    status: String,
    merge_base_commit: Object,
    #[serde(default)]
    total_commits: usize,
    #[serde(default)]
    commits: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    sha: String,
    commit: Content,
    #[serde(default)]
    parents: Vec<Object>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    message: String,
    #[serde(default)]
    tree: Option<Object>,
    #[serde(default)]
    author: Option<Signer>,
    #[serde(default)]
    committer: Option<Signer>,
}

impl From<Listed> for ComparedCommit {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.sha,
            message: listed.commit.message,
            tree: listed.commit.tree.map(|tree| tree.sha).unwrap_or_default(),
            parents: listed.parents.into_iter().map(|parent| parent.sha).collect(),
            author: listed.commit.author.unwrap_or_default(),
            committer: listed.commit.committer.unwrap_or_default(),
        }
    }
}

impl GitHub {
    /// A path below the repository's Git database.
    fn database<'a>(&'a self, rest: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        ["repos", &self.owner, &self.name, "git"].into_iter().chain(rest).collect()
    }
}

#[async_trait]
impl Commits for GitHub {
    async fn branch(&self, name: &str) -> Result<Option<String>, ForgeError> {
        let path = self.database(["ref", "heads"].into_iter().chain(name.split('/')));
        match self.api.json::<Reference>(&Ask::get(path)).await {
            Ok(found) => Ok(Some(found.object.sha)),
            Err(e) if e.code() == Some(404) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn compare(&self, base: &str, head: &str) -> Result<Comparison, ForgeError> {
        let range = format!("{base}...{head}");
        let path = ["repos", &self.owner, &self.name, "compare", &range];
        let found: Compared = self.api.json(&Ask::get(path).query("per_page", PER_PAGE)).await?;
        Ok(Comparison {
            status: found.status,
            merge_base: found.merge_base_commit.sha,
            total: found.total_commits.max(found.commits.len()),
            commits: found.commits.into_iter().map(Into::into).collect(),
        })
    }

    async fn create_commit(&self, new: &NewCommit) -> Result<String, ForgeError> {
        let mut body = json!({"message": new.message, "tree": new.tree, "parents": new.parents});
        if let (Some((author, committer)), Some(fields)) = (&new.people, body.as_object_mut()) {
            fields.insert("author".to_owned(), json!(author));
            fields.insert("committer".to_owned(), json!(committer));
        }
        let ask = Ask::new(Method::POST, self.database(["commits"])).body(body);
        Ok(self.api.json::<Object>(&ask).await?.sha)
    }

    async fn create_branch(&self, name: &str, commit: &str) -> Result<(), ForgeError> {
        let body = json!({"ref": format!("refs/heads/{name}"), "sha": commit});
        let ask = Ask::new(Method::POST, self.database(["refs"])).body(body);
        self.api.send(&ask).await.map(drop)
    }

    async fn move_branch(&self, name: &str, commit: &str, force: bool) -> Result<(), ForgeError> {
        let path = self.database(["refs", "heads"].into_iter().chain(name.split('/')));
        let ask = Ask::new(Method::PATCH, path).body(json!({"sha": commit, "force": force}));
        self.api.send(&ask).await.map(drop)
    }

    async fn delete_reference(&self, reference: &str) -> Result<(), ForgeError> {
        let path = self.database(reference.split('/'));
        self.api.send(&Ask::new(Method::DELETE, path)).await.map(drop)
    }
}
