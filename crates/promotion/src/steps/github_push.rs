//! `github-push`: pushes a checkout's commits to GitHub so that GitHub makes
//! and signs them.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | a checkout of a `git-clone` step |
//! | `targetBranch` | the branch that is checked out | where to push |
//! | `generateTargetBranch` | `false` | push to `kargo/promotion/<Promotion>`, overwriting it |
//! | `force` | `false` | overwrite the branch |
//! | `maxAttempts` | 10 | how often a race with other writers is run |
//! | `insecureSkipTLSVerify` | `false` | takes the API's certificate unseen |
//!
//! The Project needs credentials with a token for the repository: a personal
//! access token or a GitHub App. Commits that were signed with the clone's own
//! key are made anew by GitHub as the token's owner, and GitHub signs them;
//! the author is named in a `Co-authored-by` line where it is another. Other
//! commits keep author and committer, and GitHub does not sign them
//! (`GITHUB_PUSH_VERIFY_UNTRUSTED_COMMITS=true`: it signs all). No more than
//! `GITHUB_PUSH_MAX_REVISIONS` (10) commits are made at a time.
//!
//! Commits that others have pushed are taken in first, as by `git-push`. The
//! commits go to GitHub by a reference of their own, `refs/kargo/staging/…`,
//! which is removed in the end. The checkout then stands at the commit that
//! GitHub made. Which commit the branch is about to be set to is recorded on the
//! Promotion first (`state.<alias>.intent`): a step that was cut off finds it in
//! the branch, and makes no commit twice.
//!
//! Output: `commit` (the new commit), `branch`, `commitURL`, and `replaced`:
//! the id that the commit had here. A step that names that commit as a desired
//! revision means the one that GitHub made.
//!
//! ```yaml
//! - uses: github-push
//!   config:
//!     path: ./src
//!     targetBranch: main
//! ```
//!
//! Source of the rules: `steps-git` 10.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use credentials::Login;
use forge::{Commits, ForgeError, OpenRequest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::commit_url;
use super::git_push::{pause, random};
use super::github_push_replay::{Decision, decide, replayed};
use super::push_intents::PushIntents;
use super::push_target::{PUSHING, PushTarget};
use crate::error::{ErrorClass, StepError};
use crate::forge_access::{self, step_error as step_error_of};
use crate::git_access::{self, GitAccess, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "github-push";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    path: String,
    #[serde(default)]
    target_branch: String,
    #[serde(default)]
    generate_target_branch: bool,
    #[serde(default)]
    force: bool,
    #[serde(default = "ten")]
    max_attempts: i64,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    insecure_skip_tls_verify: bool,
}

fn ten() -> i64 {
    10
}

type Lock = tokio::sync::Mutex<()>;

/// The step kind `github-push`.
#[derive(Debug)]
pub struct GitHubPush {
    first_wait: Duration,
    /// One a repository and branch: no two of this process's attempts at once.
    branches: Mutex<HashMap<(String, String), Weak<Lock>>>,
}

impl Default for GitHubPush {
    fn default() -> Self {
        Self::with_first_wait(Duration::from_secs(1))
    }
}

impl GitHubPush {
    /// With another wait after the first lost race.
    #[must_use]
    pub fn with_first_wait(first_wait: Duration) -> Self {
        Self { first_wait, branches: Mutex::default() }
    }

    fn lock(&self, url: &str, branch: &str) -> Arc<Lock> {
        let mut branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        branches.retain(|_, lock| lock.strong_count() > 0);
        let key = (url.to_owned(), branch.to_owned());
        if let Some(lock) = branches.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(Lock::default());
        branches.insert(key, Arc::downgrade(&lock));
        lock
    }
}

#[async_trait]
impl Step for GitHubPush {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Outside
    }

    /// The branch, and the commit that it is about to be set to.
    fn records_intent(&self) -> bool {
        true
    }

    /// A push moved the checkout to what GitHub made.
    fn replays(&self) -> bool {
        true
    }

    fn config_schema(&self) -> Value {
        let unset = json!({"maxLength": 0});
        let set = json!({"minLength": 1});
        let no = json!({"const": false});
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "targetBranch": {"type": "string"},
                "generateTargetBranch": {"type": "boolean"},
                "force": {"type": "boolean"},
                "maxAttempts": {"type": "integer", "minimum": 1, "maximum": 2_147_483_647},
                "insecureSkipTLSVerify": {"type": "boolean"}
            },
            "oneOf": [
                {
                    "required": ["generateTargetBranch"],
                    "properties": {"generateTargetBranch": {"const": true}, "targetBranch": unset}
                },
                {
                    "required": ["targetBranch"],
                    "properties": {"generateTargetBranch": no, "targetBranch": set}
                },
                {"properties": {"generateTargetBranch": no, "targetBranch": unset}}
            ]
        })
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let access = git_access::access(world)?;
        let (checkout, _) = git_access::checkout(context, world, &config.path).await?;
        if let Attempt::Replay { output } = &context.attempt {
            git_access::follow_push(access, &checkout, output).await?;
            return Ok(StepResult::succeeded().with_output(output.clone()));
        }
        let url = checkout.repository().configured_url().map_err(|e| {
            step_error(&format!("error loading working tree from {}", config.path), &e)
        })?;
        let insecure = checkout.repository().about().insecure_skip_tls_verify;
        let remote = git_access::remote(context, world, &url, insecure).await?;
        let commits = commits(context, world, &remote, config.insecure_skip_tls_verify).await?;
        let current =
            checkout.branch().map_err(|e| step_error("error getting current branch", &e))?;
        let wanted = PushTarget {
            path: &config.path,
            branch: &config.target_branch,
            generated: config.generate_target_branch,
            current: current.clone(),
        };
        let target = wanted.branch(&context.promotion).ok_or_else(|| wanted.none())?;
        let push = Push {
            context,
            access,
            checkout: &checkout,
            remote: &remote,
            commits: commits.as_ref(),
            current: current.unwrap_or_else(|| target.clone()),
            target: &target,
            staging: format!("refs/kargo/staging/{}", context.promotion),
            force: config.force || config.generate_target_branch,
            intents: PushIntents::new(context),
        };
        if context.earlier_intent().is_none() {
            // Which commits GitHub makes of ours is known when it has made them.
            push.record(push.intents.write(json!({"branch": push.target}))).await?;
        }
        let done = self.attempts(&push, config.max_attempts).await;
        // Whatever came of it: nobody needs the staging reference any more.
        if let Err(error) = commits.delete_reference(&push.staging).await {
            tracing::debug!(%error, reference = push.staging, "a staging reference stays");
        }
        let head = done?;
        access
            .git
            .sync(&checkout, &remote, &target, &head, &context.cancel)
            .await
            .map_err(|e| step_error("error syncing local branch after push", &e))?;

        let mut output = Map::new();
        if let Some(link) = commit_url::commit_url(remote.url(), Some("github"), &head) {
            output.insert("commitURL".to_owned(), Value::String(link));
        }
        let replaced = checkout
            .replaced(&head)
            .map_err(|e| step_error("error getting what was pushed", &e))?;
        if let Some(replaced) = replaced {
            output.insert("replaced".to_owned(), Value::String(replaced));
        }
        output.insert("commit".to_owned(), Value::String(head));
        output.insert("branch".to_owned(), Value::String(target));
        Ok(StepResult::succeeded().with_output(output))
    }
}

/// The repository's commits at GitHub, with the token of its credentials.
async fn commits(
    context: &StepContext,
    world: &World,
    remote: &git::Remote,
    insecure: bool,
) -> Result<Arc<dyn Commits>, StepError> {
    let url = remote.url();
    let failed = |text: String| Err(StepError::failed(ErrorClass::Auth, text));
    let Some(credential) = git_access::credential(&context.project, world, url).await? else {
        return failed(format!(
            "no credentials found for {url}; add a Secret labelled kargo.akuity.io/cred-type: git with a token to the Project"
        ));
    };
    let token = match credential.login {
        Login::SshKey(_) => {
            return failed(format!(
                "found SSH key for {url}; this can be used for basic Git operations only: github-push needs a token, or a GitHub App"
            ));
        }
        Login::Basic { password, .. } if password.is_empty() => {
            return failed(format!("credentials for {url} are missing a password/token"));
        }
        Login::Basic { password, .. } => password,
    };
    let forges = &forge_access::access(world)?.forges;
    let request = OpenRequest {
        url: url.to_owned(),
        provider: Some("github".to_owned()),
        token: Some(token),
        source: Some(credential.source.to_string()),
        insecure_skip_tls_verify: insecure,
    };
    forges.commits(&request).map_err(|e| step_error_of("error parsing repository URL: ", &e))
}

/// What a push needs to know.
struct Push<'a> {
    context: &'a StepContext,
    access: &'a GitAccess,
    checkout: &'a git::Checkout,
    remote: &'a git::Remote,
    commits: &'a dyn Commits,
    current: String,
    target: &'a str,
    staging: String,
    force: bool,
    intents: PushIntents,
}

/// How an attempt ended that did not push.
enum Failure {
    /// Another writer was faster.
    Race(String),
    /// No further attempt helps, or none is to be made at once.
    Error(StepError),
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Error(error)
    }
}

impl GitHubPush {
    /// Runs the race with other writers; the commit that the branch is at then.
    async fn attempts(&self, push: &Push<'_>, attempts: i64) -> Result<String, StepError> {
        let cancel = &push.context.cancel;
        let cancelled =
            || StepError::new(ErrorClass::Transient, format!("{PUSHING}: pushing was cancelled"));
        let mut attempt = 0u32;
        loop {
            let lock = self.lock(push.remote.url(), push.target);
            let alone = tokio::select! {
                alone = lock.lock_owned() => alone,
                () = cancel.cancelled() => return Err(cancelled()),
            };
            let failure = match push.attempt().await {
                Ok(head) => return Ok(head),
                Err(failure) => failure,
            };
            drop(alone);
            let said = match failure {
                Failure::Error(error) => return Err(error),
                Failure::Race(said) => said,
            };
            if i64::from(attempt) + 1 >= attempts {
                return Err(StepError::new(ErrorClass::Conflict, format!("{PUSHING}: {said}")));
            }
            let wait = pause(self.first_wait, attempt, random());
            attempt += 1;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = cancel.cancelled() => return Err(cancelled()),
            }
        }
    }
}

impl Push<'_> {
    fn not_cancelled(&self) -> Result<(), StepError> {
        if self.context.cancel.is_cancelled() {
            let text = format!("{PUSHING}: pushing was cancelled");
            return Err(StepError::new(ErrorClass::Transient, text));
        }
        Ok(())
    }

    /// Notes whether an intent could be recorded.
    async fn record(
        &self,
        recording: impl Future<Output = Result<(), String>>,
    ) -> Result<(), StepError> {
        recording.await.map_err(|message| {
            let error = git::GitError::NotRecorded {
                reference: format!("branch {}", self.target),
                message,
            };
            step_error(PUSHING, &error)
        })
    }

    async fn attempt(&self) -> Result<String, Failure> {
        let taken = self.integrate().await?;
        if let Some(there) = taken.there {
            return Ok(there);
        }
        let exists = taken.tip.is_some();
        let source = self.checkout.head().map_err(|e| step_error(PUSHING, &e))?;
        self.stage().await?;
        let forge = |doing: &str, e: ForgeError| {
            Failure::Error(step_error_of(&format!("{PUSHING}: {doing}: "), &e))
        };
        let from = if exists { self.target } else { &self.current };
        let reading = format!("error getting ref heads/{from}");
        let base = self.commits.branch(from).await.map_err(|e| forge(&reading, e))?;
        let Some(base) = base else {
            return Err(Failure::Race(format!("{reading}: there is no such branch")));
        };
        let comparing = format!("error comparing {base}..{source}");
        let compared =
            self.commits.compare(&base, &source).await.map_err(|e| forge(&comparing, e))?;
        let max = self.access.github_push.max_revisions;
        match decide(&compared, &base, &source, self.force, max) {
            // A new branch is made even where it adds no commit.
            Decision::Done if exists => return Ok(source),
            Decision::Done | Decision::Replay => {}
            Decision::Retry(said) => return Err(Failure::Race(said)),
            Decision::Refuse(said) => {
                return Err(Failure::Error(StepError::terminal(
                    ErrorClass::Config,
                    format!("{PUSHING}: {said}"),
                )));
            }
        }
        let head = self.replay(&compared).await?;
        self.not_cancelled()?;
        self.record(self.intents.record(self.target, &head)).await?;
        self.not_cancelled()?;
        let moved = if exists {
            self.commits.move_branch(self.target, &head, self.force).await
        } else {
            self.commits.create_branch(self.target, &head).await
        };
        let updating = format!("error updating ref heads/{} to {head}", self.target);
        match moved {
            Ok(()) => Ok(head),
            Err(ForgeError::Refused(refusal)) if refusal.code == 422 => {
                Err(Failure::Race(format!("{updating} (not a fast forward): {refusal}")))
            }
            Err(e) => Err(forge(&updating, e)),
        }
    }

    /// Takes in what others pushed.
    async fn integrate(&self) -> Result<git::TakenIn, Failure> {
        let request = git::TakeIn {
            branch: self.target.to_owned(),
            policy: (!self.force).then_some(self.access.policy),
            committer: self.checkout.repository().about().identity.clone(),
            time: self.context.started_at,
            recorded: self.intents.recorded(),
        };
        let cancel = &self.context.cancel;
        let taken = self.access.git.take_in(self.checkout, self.remote, request, cancel).await;
        let prefix = format!(
            "error integrating remote changes from remote branch {0:?} to local branch {0:?}",
            self.target
        );
        match taken {
            Ok(taken) => Ok(taken),
            Err(git::GitError::NonFastForward) => {
                Err(Failure::Race(format!("{prefix}: the branch moved on meanwhile")))
            }
            Err(e @ (git::GitError::MergeConflict | git::GitError::RebaseUnsafe)) => {
                let text = format!("{prefix}: {e}");
                Err(Failure::Error(StepError::failed(ErrorClass::Conflict, text)))
            }
            Err(e) => Err(Failure::Error(step_error(&format!("{PUSHING}: {prefix}"), &e))),
        }
    }

    /// Brings the commits to GitHub, under a reference that no branch is.
    async fn stage(&self) -> Result<(), Failure> {
        let request = git::PushRequest {
            target: self.staging.clone(),
            force: true,
            policy: self.access.policy,
            committer: self.checkout.repository().about().identity.clone(),
            time: self.context.started_at,
            intents: None,
        };
        let cancel = &self.context.cancel;
        let pushed = self.access.git.push(self.checkout, self.remote, request, cancel).await;
        pushed.map(drop).map_err(|e| {
            let prefix = format!("{PUSHING}: error pushing to staging ref {}", self.staging);
            Failure::Error(step_error(&prefix, &e))
        })
    }

    /// Makes the commits of a range anew; the last of them.
    async fn replay(&self, compared: &forge::Comparison) -> Result<String, Failure> {
        let mut previous = compared.merge_base.clone();
        let mut made = HashMap::new();
        for (index, commit) in compared.commits.iter().enumerate() {
            self.not_cancelled()?;
            let trust = self.checkout.trust(&commit.id).map_err(|e| step_error(PUSHING, &e))?;
            let verify = self.access.github_push.verify_untrusted;
            let new =
                replayed(commit, index, &trust, verify, &made, &previous).map_err(|said| {
                    StepError::terminal(ErrorClass::Internal, format!("{PUSHING}: {said}"))
                })?;
            let id = self.commits.create_commit(&new).await.map_err(|e| {
                step_error_of(&format!("{PUSHING}: error creating commit for {}: ", commit.id), &e)
            })?;
            made.insert(commit.id.clone(), id.clone());
            previous = id;
        }
        Ok(previous)
    }
}
