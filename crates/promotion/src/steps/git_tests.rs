//! git-clone, git-commit and git-push against the sandbox's Git host.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use credentials::{
    CRED_TYPE_LABEL, FixedCredentials, LookupOptions, Secret, SecretRef, StoredSecret,
};
use sandbox::git_host::{FileChange, GitHost, GitHostOptions};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::git_clear::GitClear;
use super::git_clone::GitClone;
use super::git_commit::GitCommit;
use super::git_push::GitPush;
use super::git_tag::GitTag;
use super::github_push::GitHubPush;
use crate::engine::RecordError;
use crate::error::{ErrorClass, StepError};
use crate::forge_access::ForgeAccess;
use crate::git_access::GitAccess;
use crate::step::{Attempt, Intents, Registry, Step, StepContext, StepResult};
use crate::workdir::WorkDir;
use crate::world::World;

pub(super) const REPO: &str = "team/app";
pub(super) const CANARY: &str = "canary-4e21-token";

pub(super) fn registry() -> Registry {
    Registry::default()
        .with(GitClone)
        .with(GitCommit)
        .with(GitClear)
        .with(GitTag)
        .with(GitHubPush::with_first_wait(Duration::from_millis(1)))
        .with(GitPush::with_first_wait(Duration::from_millis(1)))
}

/// A Git host and a controller's Git.
pub(super) struct Site {
    pub(super) host: Arc<GitHost>,
    world: Mutex<World>,
    pub(super) dir: tempfile::TempDir,
}

impl Site {
    pub(super) async fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, &[], |_| {}).await
    }

    /// With Secrets (URL, user, token) in the Project.
    pub(super) async fn with(
        files: &[(&str, &str)],
        secrets: &[(&str, &str)],
        change: impl FnOnce(&mut GitAccess),
    ) -> Self {
        let host = Arc::new(GitHost::start(GitHostOptions::default()).await.unwrap());
        host.create_repository(REPO, files).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = git::GitOptions::new(dir.path().join("mirrors"));
        let mut access = GitAccess::new(Arc::new(git::Git::open(options).unwrap()));
        change(&mut access);
        let secrets = secrets
            .iter()
            .map(|(user, token)| StoredSecret {
                reference: SecretRef {
                    namespace: "p".into(),
                    name: "repo".into(),
                    uid: "u-1".into(),
                },
                labels: [(CRED_TYPE_LABEL.to_owned(), "git".to_owned())].into(),
                annotations: Default::default(),
                data: [
                    ("repoURL".to_owned(), Secret::new(host.repository_url(REPO))),
                    ("username".to_owned(), Secret::new(*user)),
                    ("password".to_owned(), Secret::new(*token)),
                ]
                .into(),
            })
            .collect();
        let lookup = LookupOptions { allow_http: true, ..LookupOptions::default() };
        let world = World {
            git: Some(access),
            credentials: Some(Arc::new(FixedCredentials::new(secrets, lookup))),
            ..World::default()
        };
        Self { host, world: Mutex::new(world), dir }
    }

    pub(super) fn url(&self) -> String {
        self.host.repository_url(REPO)
    }

    pub(super) fn world(&self) -> World {
        self.world.lock().unwrap().clone()
    }

    /// With these Git providers.
    pub(super) fn use_forges(&self, forges: Arc<dyn forge::Forges>) {
        let access = ForgeAccess { forges, ui_base_url: String::new() };
        self.world.lock().unwrap().forge = Some(access);
    }

    /// A controller that starts with an empty volume for mirrors.
    pub(super) fn forget_mirrors(&self) {
        let options = git::GitOptions::new(self.dir.path().join("other-mirrors"));
        if let Some(access) = &mut self.world.lock().unwrap().git {
            access.git = Arc::new(git::Git::open(options).unwrap());
        }
    }

    pub(super) fn promotion(&self, name: &str) -> Promotion<'_> {
        let base = self.dir.path().join(name);
        Promotion {
            site: self,
            name: name.to_owned(),
            workdir: WorkDir::open(&base).unwrap().0,
            lost: 0,
            state: Map::new(),
            messages: Vec::new(),
            intents: Arc::default(),
            cancel: CancellationToken::new(),
        }
    }

    pub(super) async fn messages(&self) -> Vec<String> {
        let log = self.host.log(REPO, "main").await.unwrap();
        log.into_iter().map(|c| c.message.trim().to_owned()).collect()
    }
}

/// What the engine does around steps, as far as they can tell.
pub(super) struct Promotion<'a> {
    site: &'a Site,
    name: String,
    pub(super) workdir: WorkDir,
    lost: usize,
    pub(super) state: Map<String, Value>,
    messages: Vec<(String, String)>,
    /// What its steps record before they act.
    pub(super) intents: Arc<Noted>,
    /// Cancels the step at work.
    pub(super) cancel: CancellationToken,
}

/// What happens once an intent is on record, and before its act.
type Then = Box<dyn FnOnce() -> futures::future::BoxFuture<'static, ()> + Send>;

/// The intents on a Promotion's status.
#[derive(Default)]
pub(super) struct Noted {
    all: Mutex<Vec<Map<String, Value>>>,
    then: Mutex<Option<Then>>,
    refuses: Mutex<Option<RecordError>>,
}

impl std::fmt::Debug for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Noted")
    }
}

impl Noted {
    pub(super) fn all(&self) -> Vec<Value> {
        self.all.lock().unwrap().iter().cloned().map(Value::Object).collect()
    }

    /// What happens between the next record and the act.
    pub(super) fn after_the_next<F>(&self, then: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.then.lock().unwrap() = Some(Box::new(|| Box::pin(then())));
    }

    /// The status cannot be written from now on, or can again.
    pub(super) fn refuse(&self, error: Option<RecordError>) {
        *self.refuses.lock().unwrap() = error;
    }
}

#[async_trait::async_trait]
impl Intents for Noted {
    async fn record(&self, intent: Map<String, Value>) -> Result<(), RecordError> {
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        self.all.lock().unwrap().push(intent);
        let then = self.then.lock().unwrap().take();
        if let Some(then) = then {
            then().await;
        }
        Ok(())
    }
}

impl Promotion<'_> {
    /// The step runs again, and knows no more than what was recorded before its
    /// last act.
    pub(super) fn only_the_intent(&mut self, alias: &str) -> Attempt {
        self.state.remove(alias);
        let last = self.intents.all.lock().unwrap().last().cloned();
        let output = last.map(|intent| Map::from_iter([("intent".to_owned(), intent.into())]));
        Attempt::Again { output }
    }

    pub(super) async fn attempt(
        &mut self,
        kind: &str,
        alias: &str,
        config: Value,
        attempt: Attempt,
    ) -> Result<StepResult, StepError> {
        let registry = registry();
        let problems = registry.config_problems(kind, &config).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        // Each alias has its own start, as recorded.
        let second = alias.bytes().map(i64::from).sum::<i64>();
        let context = StepContext {
            project: "p".into(),
            stage: "s".into(),
            promotion: self.name.clone(),
            promotion_uid: "uid".into(),
            actor: String::new(),
            alias: alias.into(),
            started_at: jiff::Timestamp::from_second(1_790_000_000 + second).unwrap(),
            attempt,
            config,
            state: self.state.clone(),
            messages: self.messages.clone(),
            freight_requests: Vec::new(),
            freight: api::FreightCollection::default(),
            target_freight: api::FreightReference::default(),
            workdir: self.workdir.clone(),
            intents: self.intents.clone(),
            cancel: self.cancel.clone(),
        };
        let step = registry.get(kind).unwrap();
        let world = self.site.world.lock().unwrap().clone();
        let result = step.run(&context, &world).await;
        let shown = match &result {
            Ok(result) => format!("{result:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("canary"), "{shown}");
        if let Ok(StepResult { output: Some(output), .. }) = &result {
            self.state.insert(alias.to_owned(), Value::Object(output.clone()));
        }
        result
    }

    pub(super) async fn run(
        &mut self,
        kind: &str,
        alias: &str,
        config: Value,
    ) -> Result<StepResult, StepError> {
        self.attempt(kind, alias, config, Attempt::First).await
    }

    pub(super) async fn fails(&mut self, kind: &str, config: Value) -> StepError {
        self.run(kind, "failing", config).await.unwrap_err()
    }

    pub(super) async fn clone_main(&mut self) {
        let config =
            json!({"repoURL": self.site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
        self.run("git-clone", "clone", config).await.unwrap();
    }

    pub(super) async fn replay_clone(&mut self) {
        let config =
            json!({"repoURL": self.site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
        let replay = self.replay("clone");
        self.attempt("git-clone", "clone", config, replay).await.unwrap();
    }

    pub(super) async fn commit(&mut self, message: &str) -> StepResult {
        let config = json!({"path": "./src", "message": message});
        self.run("git-commit", "commit", config).await.unwrap()
    }

    pub(super) async fn push(&mut self) -> Result<StepResult, StepError> {
        self.run("git-push", "push", json!({"path": "./src"})).await
    }

    pub(super) fn on_disk(&self, path: &str) -> std::path::PathBuf {
        self.workdir.on_disk(&self.workdir.resolve(path).unwrap())
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.on_disk(path), content).unwrap();
    }

    pub(super) fn output(&self, alias: &str, key: &str) -> Value {
        self.state.get(alias).and_then(|o| o.get(key)).cloned().unwrap_or_default()
    }

    /// The working directory goes away, as with the controller's disk.
    pub(super) fn lose_workdir(&mut self) {
        self.lost += 1;
        let base = self.site.dir.path().join(format!("{}-{}", self.name, self.lost));
        self.workdir = WorkDir::open(&base).unwrap().0;
    }

    pub(super) fn replay(&self, alias: &str) -> Attempt {
        let output = self.state.get(alias).and_then(Value::as_object).cloned().unwrap_or_default();
        Attempt::Replay { output }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_becomes_a_commit_in_the_repository() {
    let site = Site::new(&[("app.yaml", "tag: v1\n"), ("other", "x")]).await;
    let base = site.host.id(REPO, "main").await.unwrap().unwrap();
    let mut p = site.promotion("x");
    p.clone_main().await;
    assert_eq!(p.output("clone", "commits"), json!({"./src": base}));
    assert!(!p.on_disk("src/.git").exists());
    p.write("src/app.yaml", "tag: v2\n");
    let result = p.commit("Update tag").await;
    assert_eq!(result.status, api::PromotionStepStatus::Succeeded);
    p.push().await.unwrap();
    // One listing for the fetch, one for the push.
    assert_eq!(site.host.traffic().count(|r| r.lists_refs), 2);
    let commit = p.output("commit", "commit");
    assert_eq!(p.output("push", "commit"), commit);
    assert_eq!(p.output("push", "branch"), json!("main"));
    assert_eq!(p.output("push", "commitURL"), Value::Null);
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!((json!(log[0].id), log.len()), (commit, 2));
    assert_eq!(log[0].author, "Kargo <no-reply@kargo.io>");
    let read = site.host.read_file(REPO, "main", "app.yaml").await.unwrap().unwrap();
    assert_eq!(read, b"tag: v2\n");
    // Nothing more to push.
    assert_eq!(p.push().await.unwrap().status, api::PromotionStepStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_clone_makes_several_checkouts() {
    let site = Site::new(&[("test.txt", "1")]).await;
    let base = site.host.id(REPO, "main").await.unwrap().unwrap();
    let mut p = site.promotion("x");
    // steps-git/16-2, first run: commit to `src`, branch with create to `out`.
    // (`out` is empty here: a checkout has no `.git`.)
    let config = json!({"repoURL": site.url(), "checkout": [
        {"commit": base, "path": "src", "as": "source"},
        {"branch": "stage/dev", "create": true, "path": "out"},
        {"path": "default"},
    ]});
    p.run("git-clone", "clone", config).await.unwrap();
    assert!(p.on_disk("src/test.txt").exists() && p.on_disk("default/test.txt").exists());
    assert_eq!(std::fs::read_dir(p.on_disk("out")).unwrap().count(), 0);
    let log = site.host.log(REPO, "stage/dev").await.unwrap();
    assert_eq!((log.len(), log[0].message.as_str()), (1, "Initial commit\n"));
    assert_eq!(
        p.output("clone", "commits"),
        json!({"source": base, "out": log[0].id, "default": base})
    );
    // Each is committed and pushed for itself.
    p.write("out/rendered", "r");
    p.write("default/test.txt", "2");
    for path in ["out", "default"] {
        p.run("git-commit", path, json!({"path": path, "message": path})).await.unwrap();
        p.run("git-push", "push", json!({"path": path})).await.unwrap();
    }
    assert_eq!(site.host.files(REPO, "stage/dev").await.unwrap(), ["rendered"]);
    assert_eq!(site.messages().await, ["default", "Initial content"]);
    // A detached checkout has no branch to push to.
    p.write("src/test.txt", "3");
    p.run("git-commit", "c", json!({"path": "src", "message": "detached"})).await.unwrap();
    let error = p.fails("git-push", json!({"path": "src"})).await;
    assert!(error.message.contains("src has no branch checked out; set targetBranch"), "{error}");
    let config = json!({"path": "src", "targetBranch": "new"});
    p.run("git-push", "push", config).await.unwrap();
    assert_eq!(site.host.log(REPO, "new").await.unwrap()[0].message, "detached\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_cloned_is_explained() {
    let site = Site::new(&[("a", "1")]).await;
    let url = site.url();
    let mut p = site.promotion("x");
    let checkout = |checkout: Value| json!({"repoURL": site.url(), "checkout": checkout});
    let none = site.host.repository_url("none");
    let cases = [
        (
            checkout(json!([{"path": "a", "branch": "prod"}])),
            ErrorClass::NotFound,
            format!(
                "error ensuring existence of remote branch prod: remote branch \"prod\" of repo {url} does not exist; set create=true if you'd like a non-existent remote branch to be automatically created at checkout (it has the branches main)"
            ),
        ),
        (
            checkout(json!([{"path": "a", "tag": "v9"}])),
            ErrorClass::NotFound,
            format!(
                "error adding work tree a to repo {url}: tag \"v9\" of repo {url} does not exist; it has no tags"
            ),
        ),
        (
            checkout(json!([{"path": "a", "branch": "main"}, {"path": "b", "branch": "main"}])),
            ErrorClass::Config,
            format!(
                "error adding work tree b to repo {url}: branch \"main\" is already checked out at a; a branch can be checked out once"
            ),
        ),
        (
            checkout(json!([{"path": "a"}, {"path": "a", "commit": "main"}])),
            ErrorClass::NotFound,
            format!(
                "error adding work tree a to repo {url}: commit main is on no branch or tag of repo {url}; check the id, and that the branch it was on still exists"
            ),
        ),
        (
            json!({"repoURL": none, "checkout": [{"path": "a"}]}),
            ErrorClass::NotFound,
            format!(
                "error cloning {none}: repository {none} was not found (HTTP 404); check repoURL, and that anonymous access may read the repository"
            ),
        ),
        (
            json!({"repoURL": "file:///etc", "checkout": [{"path": "a"}]}),
            ErrorClass::Config,
            "repository URLs with scheme \"file\" are not served; use https, http or ssh"
                .to_owned(),
        ),
    ];
    for (config, class, expected) in cases {
        let error = p.fails("git-clone", config).await;
        assert_eq!((error.message.as_str(), error.class), (expected.as_str(), class));
        assert!(!error.terminal);
    }
    let twice = json!([{"path": "a", "as": "x"}, {"path": "b"}, {"path": "c", "as": "x"}]);
    let error = p.fails("git-clone", checkout(twice)).await;
    assert_eq!(error.message, "duplicate checkout alias \"x\" at checkout[2]");
    assert!(error.failed && error.terminal);
    // What the failed attempts left is no obstacle.
    let config = checkout(json!([{"path": "a", "branch": "main"}]));
    p.attempt("git-clone", "failing", config, Attempt::Again { output: None }).await.unwrap();
    // What others left is.
    let config = checkout(json!([{"path": "a", "branch": "main"}]));
    let error = p.run("git-clone", "another", config).await.unwrap_err();
    assert!(
        error.message.ends_with("a already exists and is not empty; choose another path"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_stay_beneath_the_working_directory() {
    let site = Site::new(&[("x", "1")]).await;
    for (case, path, lands) in [
        ("steps-git/3-1", "../../etc", "etc"),
        ("steps-git/3-2", "/etc/x", "etc/x"),
        ("steps-git/3-3", "a/../b", "b"),
        ("steps-git/3-4", "l/x", "etc/x"),
    ] {
        let mut p = site.promotion(&case.replace('/', "-"));
        std::os::unix::fs::symlink("/etc", p.on_disk("l")).unwrap();
        let config = json!({"repoURL": site.url(), "checkout": [{"path": path}]});
        p.run("git-clone", "clone", config).await.unwrap();
        assert!(p.on_disk(".").join(lands).join("x").exists(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_commit_is_skipped() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    let first = p.commit("a").await;
    // "steps-git/7-1"
    let second =
        p.run("git-commit", "second", json!({"path": "src", "message": "b"})).await.unwrap();
    assert_eq!(second.status, api::PromotionStepStatus::Skipped);
    assert_eq!(second.output, first.output);
    // "steps-git/7-2"
    p.push().await.unwrap();
    assert_eq!(site.host.log(REPO, "main").await.unwrap()[0].message, "a\n");
    let error = p.fails("git-commit", json!({"path": "elsewhere", "message": "m"})).await;
    assert_eq!(
        error.message,
        "error loading working tree from elsewhere: no git-clone step of this Promotion has made a checkout at elsewhere or above it; check path"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_can_be_named() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    let author = json!({"name": "Bot", "email": "bot@example.com"});
    let config = json!({"repoURL": site.url(), "author": author, "checkout": [{"path": "src"}]});
    p.run("git-clone", "clone", config).await.unwrap();
    p.write("src/a", "2");
    p.commit("by the clone's").await;
    p.write("src/a", "3");
    let author = json!({"name": "Other", "email": "other@example.com"});
    let config = json!({"path": "src", "message": "by its own", "author": author});
    p.run("git-commit", "own", config).await.unwrap();
    p.push().await.unwrap();
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!(log[0].author, "Other <other@example.com>");
    assert_eq!(log[0].committer, "Other <other@example.com>");
    assert_eq!(log[1].author, "Bot <bot@example.com>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_steps_make_up_the_commit_message() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    for (alias, output) in [
        ("one", json!({"commitMessage": "Updated a"})),
        ("two", json!({"commitMessage": "Updated b"})),
        ("silent", json!({"x": 1})),
        ("gone", Value::Null),
    ] {
        p.state.insert(alias.into(), output);
    }
    p.messages.push(("said".into(), "did something".into()));
    let several = "Kargo applied multiple changes\n\nIncluding:\n\n  * Updated a\n  * Updated b\n";
    for (n, (aliases, expected)) in [
        (vec!["one"], "Updated a\n"),
        (vec!["one", "two", "silent"], several),
        (vec!["silent", "gone", "unknown"], "Kargo made some changes\n"),
        (vec!["said"], "did something\n"),
    ]
    .into_iter()
    .enumerate()
    {
        p.write("src/a", &format!("changed {n}"));
        let config = json!({"path": "src", "messageFromSteps": aliases});
        p.run("git-commit", "commit", config).await.unwrap();
        p.push().await.unwrap();
        assert_eq!(site.host.log(REPO, "main").await.unwrap()[0].message, expected);
    }
    p.state.insert("odd".into(), json!({"commitMessage": 1}));
    let error = p.fails("git-commit", json!({"path": "src", "messageFromSteps": ["odd"]})).await;
    assert!(error.message.contains("\"odd\": its commitMessage is not a string"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_branch_is_overwritten() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    // steps-git/16-2: push generated, run again.
    for content in ["2", "3"] {
        p.write("src/a", content);
        p.commit("m").await;
        let config = json!({"path": "src", "generateTargetBranch": true});
        p.run("git-push", "push", config).await.unwrap();
        assert_eq!(p.output("push", "branch"), json!("kargo/promotion/x"));
        let tip = site.host.id(REPO, "kargo/promotion/x").await.unwrap();
        assert_eq!(json!(tip), p.output("push", "commit"));
    }
    let mut q = site.promotion("x");
    q.lose_workdir();
    q.clone_main().await;
    q.write("src/a", "4");
    q.commit("other history").await;
    let config = json!({"path": "src", "generateTargetBranch": true});
    q.run("git-push", "push", config).await.unwrap();
    assert_eq!(site.host.log(REPO, "kargo/promotion/x").await.unwrap().len(), 2);
    assert_eq!(site.messages().await, ["Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotions_at_once_lose_no_commit() {
    let files: Vec<(String, String)> = (0..4).map(|n| (format!("f{n}"), "1".into())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let site = Site::new(&files).await;
    let mut all = Vec::new();
    for n in 0..4 {
        let mut p = site.promotion(&format!("p{n}"));
        p.clone_main().await;
        p.write(&format!("src/f{n}"), "2");
        p.commit(&format!("change {n}")).await;
        all.push(p);
    }
    // And a writer that no controller knows of, who wins the race once.
    let rival = site.host.clone();
    site.host.traffic().before_next_push(move || async move {
        rival.commit_file(REPO, "main", "rival", "r", "rival").await.unwrap();
    });
    let done = futures::future::join_all(all.iter_mut().map(Promotion::push)).await;
    for result in done {
        result.unwrap();
    }
    let log = site.host.log(REPO, "main").await.unwrap();
    assert!(log.iter().all(|c| c.parents.len() <= 1), "one line of history");
    let mut messages = site.messages().await;
    messages.sort();
    assert_eq!(
        messages,
        ["Initial content", "change 0", "change 1", "change 2", "change 3", "rival"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_end_after_the_attempts_that_were_allowed() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    for n in 0..3 {
        let rival = site.host.clone();
        site.host.traffic().before_next_push(move || async move {
            rival.commit_file(REPO, "main", "b", &n.to_string(), "rival").await.unwrap();
        });
    }
    let error = p.fails("git-push", json!({"path": "src", "maxAttempts": 2})).await;
    assert_eq!(
        error.message,
        "error pushing commits to remote: error pushing branch: non-fast-forward"
    );
    assert_eq!((error.class, error.terminal), (ErrorClass::Conflict, false));
    assert_eq!(site.messages().await, ["rival", "rival", "Initial content"]);
    p.push().await.unwrap();
    assert_eq!(site.messages().await, ["ours", "rival", "rival", "rival", "Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_conflict_fails_the_step() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    site.host.commit_file(REPO, "main", "a", "3", "theirs").await.unwrap();
    let error = p.push().await.unwrap_err();
    assert_eq!(error.message, "merge conflict");
    assert!(error.failed && error.terminal);
    assert_eq!(site.messages().await, ["theirs", "Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_policy_merges() {
    let merge = |access: &mut GitAccess| access.policy = git::IntegrationPolicy::AlwaysMerge;
    let site = Site::with(&[("a", "1")], &[], merge).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    site.host.commit_file(REPO, "main", "b", "3", "theirs").await.unwrap();
    p.push().await.unwrap();
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!(log[0].parents.len(), 2);
    assert_eq!(json!(log[0].id), p.output("push", "commit"));
}

/// The pipeline is cut off after the push; nothing of it was recorded, and the
/// working directory is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_promotion_pushes_once() {
    for rivals in [false, true] {
        let site = Site::new(&[("a", "1")]).await;
        let mut p = site.promotion("x");
        p.clone_main().await;
        p.write("src/a", "2");
        p.commit("ours").await;
        if rivals {
            site.host.commit_file(REPO, "main", "b", "3", "theirs").await.unwrap();
        }
        p.push().await.unwrap();
        let pushed = p.output("push", "commit");
        let recorded = p.output("commit", "commit");
        if rivals {
            site.host.commit_file(REPO, "main", "c", "3", "later").await.unwrap();
            assert_ne!(pushed, recorded);
        }
        let before = site.messages().await;

        let again = p.only_the_intent("push");
        p.lose_workdir();
        let config =
            json!({"repoURL": site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
        let replay = p.replay("clone");
        p.attempt("git-clone", "clone", config, replay).await.unwrap();
        assert_eq!(std::fs::read_to_string(p.on_disk("src/a")).unwrap(), "1");
        p.write("src/a", "2");
        let replay = p.replay("commit");
        let config = json!({"path": "./src", "message": "ours"});
        p.attempt("git-commit", "commit", config, replay).await.unwrap();
        assert_eq!(p.output("commit", "commit"), recorded);
        p.attempt("git-push", "push", json!({"path": "./src"}), again).await.unwrap();
        assert_eq!(p.output("push", "commit"), pushed);
        assert_eq!(site.messages().await, before);
    }
}

/// The process is cut off inside of a step; the working directory is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_runs_again_finds_its_own_work() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    let again = || Attempt::Again { output: None };
    p.clone_main().await;
    let clone = json!({"repoURL": site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
    p.attempt("git-clone", "clone", clone, again()).await.unwrap();
    p.write("src/a", "2");
    let first = p.commit("ours").await;
    let config = json!({"path": "./src", "message": "ours"});
    let second = p.attempt("git-commit", "commit", config, again()).await.unwrap();
    assert_eq!(second, first);
    p.push().await.unwrap();
    site.host.commit_file(REPO, "main", "c", "3", "later").await.unwrap();
    let pushed_again = p.only_the_intent("push");
    p.attempt("git-push", "push", json!({"path": "./src"}), pushed_again).await.unwrap();
    assert_eq!(p.output("push", "commit"), p.output("commit", "commit"));
    assert_eq!(site.messages().await, ["later", "ours", "Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_was_rewritten_away_is_explained() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.state.insert("clone".into(), json!({"commits": {"./src": "1".repeat(40)}}));
    let config = json!({"repoURL": site.url(), "checkout": [{"branch": "main", "path": "./src"}]});
    let replay = p.replay("clone");
    let error = p.attempt("git-clone", "clone", config, replay).await.unwrap_err();
    assert!(error.message.contains("its history was rewritten since: promote again"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_open_repositories_and_show_nowhere() {
    let private = |site: &Site| site.host.set_auth(REPO, Some(("bot".into(), CANARY.into())));
    let in_url =
        |site: &Site, userinfo: &str| site.url().replace("http://", &format!("http://{userinfo}@"));
    let host = |site: &Site| site.host.url().replace("http://", "");
    // By a Secret, and by the URL's userinfo. (The harness looks for the token
    // in every result and error.)
    for by_url in [false, true] {
        let secrets: &[(&str, &str)] = if by_url { &[] } else { &[("bot", CANARY)] };
        let site = Site::with(&[("a", "1")], secrets, |_| {}).await;
        private(&site);
        let url = if by_url { in_url(&site, &format!("bot:{CANARY}")) } else { site.url() };
        let mut p = site.promotion("x");
        let config = json!({"repoURL": url, "checkout": [{"path": "src"}]});
        p.run("git-clone", "clone", config).await.unwrap();
        p.write("src/a", "2");
        p.commit("ours").await;
        p.push().await.unwrap();
        assert_eq!(site.messages().await, ["ours", "Initial content"]);
        // Refused at the push alone.
        p.write("src/a", "3");
        p.commit("more").await;
        site.host.set_auth(REPO, Some(("bot".into(), "another".into())));
        let error = p.push().await.unwrap_err();
        let source = if by_url { "the URL's userinfo" } else { "Secret p/repo" };
        assert_eq!(
            error.message,
            format!(
                "error pushing commits to remote: error pushing branch: authentication failed: {} refused the credentials of {source} for {}; check that they are valid and may access the repository",
                host(&site),
                site.url()
            )
        );
        assert_eq!(error.class, ErrorClass::Auth);
    }
    // None, a wrong one, a wrong one in the URL.
    let site = Site::new(&[("a", "1")]).await;
    private(&site);
    let mut p = site.promotion("x");
    let error =
        p.fails("git-clone", json!({"repoURL": site.url(), "checkout": [{"path": "s"}]})).await;
    assert_eq!(
        error.message,
        format!(
            "error cloning {0}: authentication required: {1} asks for credentials for {0} and no Secret labelled kargo.akuity.io/cred-type: git matches that URL; add one to the Project, or correct repoURL",
            site.url(),
            host(&site)
        )
    );
    let url = in_url(&site, "bot:canary-wrong");
    let error = p.fails("git-clone", json!({"repoURL": url, "checkout": [{"path": "s"}]})).await;
    assert_eq!(
        error.message,
        format!(
            "error cloning {0}: authentication failed: {1} refused the credentials of the URL's userinfo for {0}; check that they are valid and may access the repository",
            site.url(),
            host(&site)
        )
    );
    let site = Site::with(&[("a", "1")], &[("bot", "canary-wrong")], |_| {}).await;
    private(&site);
    let mut p = site.promotion("x");
    let error =
        p.fails("git-clone", json!({"repoURL": site.url(), "checkout": [{"path": "s"}]})).await;
    assert!(error.message.contains("refused the credentials of Secret p/repo"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_push_says_what_the_server_said() {
    let site = Site::new(&[("a", "1")]).await;
    let mut p = site.promotion("x");
    p.clone_main().await;
    p.write("src/a", "2");
    p.commit("ours").await;
    site.host.traffic().reject_pushes(Some("protected branch"));
    let error = p.push().await.unwrap_err();
    assert!(error.message.contains("rejected branch main"), "{error}");
    assert!(error.message.contains("protected branch"), "{error}");
    assert_eq!(site.messages().await, ["Initial content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_pushed_as_they_are() {
    let site = Site::new(&[("a", "1")]).await;
    site.host.tag(REPO, "v1", "main").await.unwrap();
    let mut p = site.promotion("x");
    p.clone_main().await;
    // steps-git/16-2: push tag, `commit` is HEAD.
    let result = p.run("git-push", "push", json!({"path": "src", "tag": "v1"})).await.unwrap();
    assert_eq!(result.status, api::PromotionStepStatus::Succeeded);
    assert_eq!(json!(site.host.id(REPO, "main").await.unwrap()), p.output("push", "commit"));
    assert_eq!(p.output("push", "branch"), json!("main"));
    let error = p.fails("git-push", json!({"path": "src", "tag": "v2"})).await;
    assert!(error.message.contains("tag \"v2\" does not exist in the clone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_are_written_and_left_alone() {
    let site = Site::with(&[("a", "1")], &[("bot", CANARY)], |_| {}).await;
    let host = &site.host;
    let inner = host.create_repository("team/inner", &[("i", "inner")]).await.unwrap().unwrap();
    host.create_repository("team/lib", &[("l", "lib")]).await.unwrap();
    let modules = |path: &str, name: &str| {
        let text = format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = ../{name}.git\n");
        FileChange::write(".gitmodules", text)
    };
    let changes =
        [modules("deep/inner", "inner"), FileChange::Submodule("deep/inner".into(), inner)];
    let lib = host.commit("team/lib", "main", "inner", &changes).await.unwrap();
    let changes = [modules("libs/lib", "lib"), FileChange::Submodule("libs/lib".into(), lib)];
    host.commit(REPO, "main", "lib", &changes).await.unwrap();
    // One server, one Secret: it serves the submodules too.
    for repo in [REPO, "team/lib", "team/inner"] {
        host.set_auth(repo, Some(("bot".into(), CANARY.into())));
    }
    let mut p = site.promotion("x");
    let config =
        json!({"repoURL": site.url(), "recurseSubmodules": true, "checkout": [{"path": "src"}]});
    p.run("git-clone", "clone", config).await.unwrap();
    // steps-git/16-2: the submodule's file is present.
    assert_eq!(std::fs::read_to_string(p.on_disk("src/libs/lib/l")).unwrap(), "lib");
    assert_eq!(std::fs::read_to_string(p.on_disk("src/libs/lib/deep/inner/i")).unwrap(), "inner");
    // Its entry stays as it is, with the files there or not.
    assert_eq!(p.commit("nothing").await.status, api::PromotionStepStatus::Skipped);
    p.write("src/libs/lib/l", "scribbled");
    p.write("src/a", "2");
    p.commit("a alone").await;
    p.push().await.unwrap();
    let tip = host.id(REPO, "main").await.unwrap().unwrap();
    let diff = host.diff(REPO, &tip).await.unwrap();
    assert!(diff.contains("+2") && !diff.contains("libs"), "{diff}");
    let mut q = site.promotion("without");
    let config = json!({"repoURL": site.url(), "checkout": [{"path": "src"}]});
    q.run("git-clone", "clone", config).await.unwrap();
    assert!(!q.on_disk("src/libs/lib/l").exists());
    assert_eq!(q.commit("nothing").await.status, api::PromotionStepStatus::Skipped);
}

#[test]
fn the_environment_names_identity_and_policy() {
    let dir = tempfile::tempdir().unwrap();
    let git = Arc::new(git::Git::open(git::GitOptions::new(dir.path())).unwrap());
    let with = |variables: &'static [(&'static str, &'static str)]| {
        GitAccess::from_environment(git.clone(), |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    };
    let plain = with(&[("GITCLIENT_NAME", "")]).unwrap();
    assert_eq!(plain.identity, git::Identity::default());
    assert_eq!(plain.policy, git::IntegrationPolicy::AlwaysRebase);
    let named = with(&[
        ("GITCLIENT_NAME", "Bot"),
        ("GITCLIENT_EMAIL", "bot@example.com"),
        ("GIT_PUSH_INTEGRATION_POLICY", "RebaseOrFail"),
    ])
    .unwrap();
    assert_eq!(
        (named.identity.name.as_str(), named.identity.email.as_str()),
        ("Bot", "bot@example.com")
    );
    assert_eq!(named.policy, git::IntegrationPolicy::RebaseOrFail);
    let error = with(&[("GIT_PUSH_INTEGRATION_POLICY", "Never")]).unwrap_err();
    assert_eq!(error.to_string(), "unknown push integration policy: \"Never\"");
}

#[test]
fn configs_are_checked_in_the_words_that_users_know() {
    let registry = registry();
    let one = "checkout.0: Must validate one and only one schema (oneOf)";
    let root = "(root): Must validate one and only one schema (oneOf)";
    // "steps-git/16-1"
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        (
            "git-clone",
            json!({}),
            vec!["(root): repoURL is required", "(root): checkout is required"],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": []}),
            vec!["checkout: Array must have at least 1 items"],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{}]}),
            vec!["checkout.0: path is required"],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p", "branch": "b", "commit": "c"}]}),
            vec![one],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p", "branch": "b", "tag": "t"}]}),
            vec![one],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p", "commit": "c", "tag": "t"}]}),
            vec![one],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p", "branch": "", "commit": "", "tag": ""}]}),
            vec![],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p"}], "author": {"email": "a@b.c"}}),
            vec!["author: name is required"],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p"}], "author": {"name": "n", "email": ""}}),
            vec!["author.email: Does not match format 'email'"],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p"}], "author": {"name": "n", "email": "a@b.c", "signingKey": ""}}),
            vec![],
        ),
        (
            "git-clone",
            json!({"repoURL": "u", "checkout": [{"path": "p", "fromFreight": true}]}),
            vec!["checkout.0: Additional property fromFreight is not allowed"],
        ),
        (
            "git-push",
            json!({"path": "p", "maxAttempts": 0}),
            vec!["maxAttempts: Must be greater than or equal to 1"],
        ),
        (
            "git-push",
            json!({"path": "p", "maxAttempts": 2_147_483_648u64}),
            vec!["maxAttempts: Must be less than or equal to 2.147483647e+09"],
        ),
        (
            "git-push",
            json!({"path": "p", "generateTargetBranch": true, "targetBranch": "b"}),
            vec![root],
        ),
        ("git-push", json!({"path": "p", "generateTargetBranch": true, "tag": "t"}), vec![root]),
        ("git-push", json!({"path": "p", "targetBranch": "b", "tag": "t"}), vec![root]),
        ("git-push", json!({"path": "p", "tag": "t", "force": true}), vec![root]),
        (
            "git-push",
            json!({"path": "p", "generateTargetBranch": true, "targetBranch": ""}),
            vec![],
        ),
        ("git-push", json!({"path": "p", "generateTargetBranch": false}), vec![]),
        ("git-push", json!({"path": "p", "force": true, "targetBranch": "b"}), vec![]),
        ("git-commit", json!({"path": "p"}), vec!["(root): message is required"]),
        ("git-commit", json!({"path": "p", "messageFromSteps": ["a"]}), vec![]),
        (
            "git-commit",
            json!({"path": "p", "message": ""}),
            vec!["message: String length must be greater than or equal to 1"],
        ),
    ];
    for (kind, config, expected) in cases {
        let problems = registry.config_problems(kind, &config).unwrap();
        for text in &expected {
            assert!(problems.iter().any(|p| p == text), "{kind} {config}: {problems:?}");
        }
        assert_eq!(problems.is_empty(), expected.is_empty(), "{kind} {config}: {problems:?}");
    }
    let both = json!({"path": "p", "message": "m", "messageFromSteps": ["a"]});
    assert!(!registry.config_problems("git-commit", &both).unwrap().is_empty());
    for step in [&GitClone as &dyn Step, &GitCommit, &GitPush::default()] {
        assert!(registry.get(step.kind()).is_some());
    }
}
