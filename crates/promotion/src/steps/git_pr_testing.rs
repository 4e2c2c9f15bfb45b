//! What the tests of the pull request steps share: a Git host with pull
//! requests, and a provider that answers as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use credentials::{
    CRED_TYPE_LABEL, FixedCredentials, LookupOptions, Secret, SecretRef, StoredSecret,
};
use forge::{
    Forge, ForgeError, Forges, HttpForges, Merge, NewPullRequest, OpenRequest, Provider,
    PullRequest, Search, Settings,
};
use jiff::Timestamp;
use sandbox::git_host::{GitHost, GitHostOptions};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::git_merge_pr::GitMergePr;
use super::git_open_pr::GitOpenPr;
use super::git_wait_for_pr::GitWaitForPr;
use crate::error::StepError;
use crate::forge_access::ForgeAccess;
use crate::git_access::GitAccess;
use crate::step::{Attempt, Registry, StepContext, StepResult};
use crate::workdir::WorkDir;
use crate::world::World;

pub const TOKEN: &str = "canary-83d1-token";

pub fn registry() -> Registry {
    Registry::default().with(GitOpenPr).with(GitWaitForPr).with(GitMergePr)
}

/// Providers by HTTP, quick to ask again.
pub fn http() -> Arc<dyn Forges> {
    let settings = Settings {
        requests_per_second: 10_000,
        retry_delay: std::time::Duration::from_millis(1),
        ..Settings::default()
    };
    Arc::new(HttpForges::new(settings).unwrap())
}

/// A Git host with pull requests, and a controller's way to it.
pub struct Site {
    pub host: Arc<GitHost>,
    pub world: World,
    pub dir: tempfile::TempDir,
}

impl Site {
    pub async fn new() -> Self {
        let host = Arc::new(GitHost::start(GitHostOptions::default()).await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let options = git::GitOptions::new(dir.path().join("mirrors"));
        let world = World {
            git: Some(GitAccess::new(Arc::new(git::Git::open(options).unwrap()))),
            forge: Some(ForgeAccess { forges: http(), ui_base_url: String::new() }),
            ..World::default()
        };
        Self { host, world, dir }
    }

    /// A repository with the branch `stage` one commit ahead of `main`.
    pub async fn repository(&self, path: &str) {
        self.host.create_repository(path, &[("README.md", "hello\n")]).await.unwrap();
        self.branch(path, "stage", "T\n\nB\n").await;
    }

    /// A branch one commit ahead of `main`, with that message.
    pub async fn branch(&self, path: &str, branch: &str, message: &str) -> String {
        self.host.set_branch(path, branch, "main").await.unwrap();
        self.host.commit_file(path, branch, "tag", branch, message).await.unwrap()
    }

    /// Asks for a token at that repository, and gives the Project it.
    pub fn guard(&mut self, path: &str, given: Option<&str>) {
        self.host.set_auth(path, Some(("robot".into(), TOKEN.into())));
        let data = |token: &str| {
            [
                ("repoURL", self.host.repository_url(path)),
                ("username", "robot".to_owned()),
                ("password", token.to_owned()),
            ]
            .map(|(k, v)| (k.to_owned(), Secret::new(v)))
            .into()
        };
        let secrets = given.map(|token| StoredSecret {
            reference: SecretRef { namespace: "p".into(), name: "repo".into(), uid: "u".into() },
            labels: [(CRED_TYPE_LABEL.to_owned(), "git".to_owned())].into(),
            annotations: Default::default(),
            data: data(token),
        });
        let lookup = LookupOptions { allow_http: true, ..LookupOptions::default() };
        let store = FixedCredentials::new(secrets.into_iter().collect(), lookup);
        self.world.credentials = Some(Arc::new(store));
    }

    /// A config for that repository with these fields.
    pub fn config(&self, path: &str, fields: Value) -> Value {
        let mut config = json!({"repoURL": self.host.repository_url(path), "provider": "gitea"});
        let config_fields = config.as_object_mut().unwrap();
        config_fields.extend(fields.as_object().cloned().unwrap());
        config
    }

    pub async fn run(&self, kind: &str, config: Value) -> Result<StepResult, StepError> {
        self.attempt(kind, config, Attempt::First, None).await
    }

    pub async fn again(&self, kind: &str, config: Value) -> Result<StepResult, StepError> {
        self.attempt(kind, config, Attempt::Again { output: None }, None).await
    }

    /// An attempt of a step that began some seconds ago.
    pub async fn after(
        &self,
        seconds: i64,
        kind: &str,
        config: Value,
    ) -> Result<StepResult, StepError> {
        let began = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let attempt = Attempt::Again { output: None };
        attempt_since(began, &self.world, &self.dir, kind, config, attempt, None).await
    }

    /// One attempt of a step with alias `a`, after that output of its own.
    pub async fn attempt(
        &self,
        kind: &str,
        config: Value,
        attempt: Attempt,
        output: Option<Value>,
    ) -> Result<StepResult, StepError> {
        attempt_in(&self.world, &self.dir, kind, config, attempt, output).await
    }
}

pub async fn attempt_in(
    world: &World,
    dir: &tempfile::TempDir,
    kind: &str,
    config: Value,
    attempt: Attempt,
    output: Option<Value>,
) -> Result<StepResult, StepError> {
    attempt_since(Timestamp::now(), world, dir, kind, config, attempt, output).await
}

/// An attempt of a step that began then.
async fn attempt_since(
    started_at: Timestamp,
    world: &World,
    dir: &tempfile::TempDir,
    kind: &str,
    config: Value,
    attempt: Attempt,
    output: Option<Value>,
) -> Result<StepResult, StepError> {
    let registry = registry();
    let problems = registry.config_problems(kind, &config).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let mut state = Map::new();
    state.extend(output.map(|output| ("a".to_owned(), output)));
    let context = StepContext {
        project: "p".into(),
        stage: "s".into(),
        promotion: "s.1.abc".into(),
        promotion_uid: "uid-1".into(),
        actor: String::new(),
        alias: "a".into(),
        started_at,
        attempt,
        config,
        state,
        messages: Vec::new(),
        freight_requests: Vec::new(),
        freight: api::FreightCollection::default(),
        target_freight: api::FreightReference::default(),
        workdir: WorkDir::open(&dir.path().join("work")).unwrap().0,
        intents: Arc::new(crate::engine::intents::NoIntents),
        cancel: CancellationToken::new(),
    };
    let result = registry.get(kind).unwrap().run(&context, world).await;
    let shown = format!("{result:?}");
    assert!(!shown.contains("canary"), "{shown}");
    result
}

/// What a provider is told to answer; what it is not told of is a defect of
/// the test.
#[derive(Clone, Default)]
pub struct Told {
    pub get: Arc<Mutex<VecDeque<Result<PullRequest, ForgeError>>>>,
    pub merge: Arc<Mutex<VecDeque<Result<Merge, ForgeError>>>>,
}

impl Told {
    pub fn world(&self) -> World {
        let forges = Arc::new(self.clone());
        World {
            forge: Some(ForgeAccess { forges, ui_base_url: String::new() }),
            ..World::default()
        }
    }
}

impl Forges for Told {
    fn open(&self, _: &OpenRequest) -> Result<Arc<dyn Forge>, ForgeError> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Forge for Told {
    fn provider(&self) -> Provider {
        Provider::Gitea
    }
    async fn create(&self, _: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        panic!("nothing is to be created")
    }
    async fn find(&self, _: &Search) -> Result<Vec<PullRequest>, ForgeError> {
        panic!("nothing is to be looked for")
    }
    async fn get(&self, _: i64) -> Result<PullRequest, ForgeError> {
        self.get.lock().unwrap().pop_front().expect("an answer to get")
    }
    async fn merge(&self, _: i64, _: Option<&str>) -> Result<Merge, ForgeError> {
        self.merge.lock().unwrap().pop_front().expect("an answer to merge")
    }
}
