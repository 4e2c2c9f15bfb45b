//! A repository at the real Gitea, with what a test does there by hand.

use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::gitea::{ADMIN, Answer, Gitea, unused};

/// A repository; the administrator's, unless it was made for another.
#[derive(Clone)]
pub struct Repository {
    gitea: &'static Gitea,
    owner: String,
    name: String,
}

impl Repository {
    /// Makes one with these files on `main`.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create(gitea: &'static Gitea, files: &[(&str, &str)]) -> Self {
        let name = unused("deploy");
        let wanted = json!({"name": name, "default_branch": "main", "private": true});
        gitea.done(Method::POST, "user/repos", &wanted).await;
        let repository = Self { gitea, owner: ADMIN.to_owned(), name };
        repository.write("main", files).await;
        repository
    }

    /// Makes one of an organisation that is made for it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn of_organisation(gitea: &'static Gitea, files: &[(&str, &str)]) -> Self {
        let owner = unused("organisation");
        gitea.done(Method::POST, "orgs", &json!({"username": owner})).await;
        let name = unused("deploy");
        let wanted = json!({"name": name, "default_branch": "main", "private": true});
        gitea.done(Method::POST, &format!("orgs/{owner}/repos"), &wanted).await;
        let repository = Self { gitea, owner, name };
        repository.write("main", files).await;
        repository
    }

    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its address at Gitea itself.
    pub fn url(&self) -> String {
        self.url_at(self.gitea.url())
    }

    /// Its address behind what stands before Gitea.
    pub fn url_at(&self, front: &str) -> String {
        format!("{front}/{}/{}.git", self.owner, self.name)
    }

    fn path(&self, rest: &str) -> String {
        format!("repos/{}/{}/{rest}", self.owner, self.name)
    }

    /// Asks about it as the administrator, who succeeds; `path` is below the
    /// repository's.
    ///
    /// # Panics
    /// When the administrator does not.
    pub async fn done(&self, method: Method, path: &str, body: &Value) -> Value {
        self.gitea.done(method, &self.path(path), body).await
    }

    /// Asks as the holder of a token.
    ///
    /// # Panics
    /// When Gitea does not answer.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.gitea.ask(token, method, &self.path(path), body).await
    }

    /// Reads as the administrator.
    ///
    /// # Panics
    /// When there is nothing of that path.
    pub async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, &Value::Null).await
    }

    /// Changes its settings.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn set(&self, settings: &Value) {
        let path = format!("repos/{}/{}", self.owner, self.name);
        self.gitea.done(Method::PATCH, &path, settings).await;
    }

    /// Gives the repository another name; this value keeps the old one, and
    /// the one that is returned has the new.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub async fn renamed(&self) -> Self {
        let name = unused("renamed");
        self.set(&json!({"name": name})).await;
        Self { gitea: self.gitea, owner: self.owner.clone(), name }
    }

    /// Writes files to a branch in one commit, as somebody else does.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn write(&self, branch: &str, files: &[(&str, &str)]) {
        self.change(json!({"branch": branch}), files).await;
    }

    /// Makes a branch from `main` with a commit of these files.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn branch(&self, name: &str, files: &[(&str, &str)]) {
        self.change(json!({"branch": "main", "new_branch": name}), files).await;
    }

    async fn change(&self, mut wanted: Value, files: &[(&str, &str)]) {
        let branch = wanted["branch"].as_str().unwrap_or_default().to_owned();
        let mut changes = Vec::new();
        for (path, text) in files {
            let file = format!("contents/{path}?ref={branch}");
            let there = self.ask(self.gitea.admin(), Method::GET, &file, &Value::Null).await;
            let mut change = json!({
                "operation": "create", "path": path,
                "content": base64::engine::general_purpose::STANDARD.encode(text),
            });
            if there.status.is_success() {
                change["operation"] = "update".into();
                change["sha"] = there.body["sha"].clone();
            }
            changes.push(change);
        }
        wanted["files"] = changes.into();
        wanted["message"] = "by hand".into();
        self.done(Method::POST, "contents", &wanted).await;
    }

    /// A file on a branch.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn file(&self, branch: &str, path: &str) -> String {
        let file = self.get(&format!("contents/{path}?ref={branch}")).await;
        let content = file["content"].as_str().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(content);
        String::from_utf8(bytes.expect("the content is base64")).expect("the file is text")
    }

    /// The commits of a branch, newest first.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn commits(&self, branch: &str) -> Vec<String> {
        let list = self.get(&format!("commits?sha={branch}&stat=false&limit=50")).await;
        let ids = list.as_array().into_iter().flatten();
        ids.filter_map(|c| c["sha"].as_str()).map(str::to_owned).collect()
    }

    /// All pull requests, oldest first.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn pulls(&self) -> Vec<Value> {
        let mut pulls = Vec::new();
        for page in 1.. {
            let list = self.get(&format!("pulls?state=all&sort=oldest&limit=50&page={page}")).await;
            let list = list.as_array().cloned().unwrap_or_default();
            if list.is_empty() {
                break;
            }
            pulls.extend(list);
        }
        pulls
    }

    /// Opens a pull request by hand; its number.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(&self, head: &str, base: &str) -> i64 {
        let wanted = json!({"head": head, "base": base, "title": format!("{head} to {base}")});
        let pull = self.done(Method::POST, "pulls", &wanted).await;
        pull["number"].as_i64().expect("it has a number")
    }

    /// Merges a pull request by hand once it can be merged.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn merge(&self, number: i64, how: &Value) {
        self.checked(number).await;
        self.done(Method::POST, &format!("pulls/{number}/merge"), how).await;
    }

    /// Waits until Gitea has looked for conflicts and found none.
    ///
    /// # Panics
    /// When it finds some, or does not look.
    pub async fn checked(&self, number: i64) {
        let looks = async {
            let mut pause = tokio::time::interval(std::time::Duration::from_millis(20));
            while self.get(&format!("pulls/{number}")).await["mergeable"] != true {
                pause.tick().await;
            }
        };
        let until = std::time::Duration::from_secs(30);
        let found = tokio::time::timeout(until, looks).await;
        assert!(found.is_ok(), "pull request {number} does not become mergeable");
    }

    /// Closes a pull request.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn close(&self, number: i64) {
        let closed = json!({"state": "closed"});
        self.done(Method::PATCH, &format!("pulls/{number}"), &closed).await;
    }

    /// Protects `main` by rules beyond those that a protected branch has.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn protect(&self, rules: &Value) {
        let mut wanted = json!({"rule_name": "main"});
        for (name, rule) in rules.as_object().into_iter().flatten() {
            wanted[name] = rule.clone();
        }
        self.done(Method::POST, "branch_protections", &wanted).await;
    }
}
