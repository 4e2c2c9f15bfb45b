//! `git-push`: pushes a checkout's commits, or a tag, to its repository.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | a checkout of a `git-clone` step |
//! | `targetBranch` | the branch that is checked out | where to push |
//! | `generateTargetBranch` | `false` | push to `kargo/promotion/<Promotion>`, overwriting it |
//! | `tag` | | push this tag in place of a branch |
//! | `force` | `false` | overwrite the branch |
//! | `maxAttempts` | 10 | how often a race with other writers is run |
//! | `provider` | by the URL | `azure`, `bitbucket`, `gitea`, `github` or `gitlab`: for `commitURL` |
//!
//! Commits that others have pushed in the meantime are taken in first: by
//! default ours are rebased onto them. A merge conflict ends the step; nothing
//! is lost or overwritten. Promotions of one controller that push to one branch
//! wait for each other, and those that wait are pushed together, each with its
//! own commits. Against writers elsewhere each attempt checks that the branch
//! is still what it had looked at, and tries again (after 1 s, then 1.5 times
//! as long each time, at most 30 s, plus up to half of that).
//!
//! What is rebased or merged is signed where the clone signs. With
//! `GIT_PUSH_INTEGRATION_POLICY` `RebaseOrMerge` or `RebaseOrFail` nothing is
//! rebased whose signature would change hands.
//!
//! Before anything is sent, the step records on the Promotion which commit it
//! is about to push to which branch (`state.<alias>.intent`). A step that was
//! cut off recognises its own push by that: a branch that is at or after the
//! recorded commit is done.
//!
//! Output: `commit` (its id after taking in others' commits), `branch`, and
//! `commitURL` where the provider is known. Where others' commits were taken
//! in, also `replaced`: the id that ours had before. A step that names that
//! commit as a desired revision means the one that was pushed.
//!
//! ```yaml
//! - uses: git-push
//!   config:
//!     path: ./src
//! ```
//!
//! Errors: a merge conflict; a host that refuses the push, with what it said
//! and what can be done (a protected branch, commits that must be signed, a
//! secret that it found, an account that may not push); a race that was lost
//! `maxAttempts` times.
//!
//! Source of the rules: `steps-git` 9 and 4.7.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::commit_url;
use super::push_intents::{PushIntents, TagIntents};
use super::push_target::{PUSHING, PushTarget};
use crate::error::{ErrorClass, StepError};
use crate::git_access::{self, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "git-push";

/// The longest wait between two attempts, before its random part.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    path: String,
    #[serde(default)]
    target_branch: String,
    #[serde(default)]
    generate_target_branch: bool,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    force: bool,
    #[serde(default = "ten")]
    max_attempts: i64,
    #[serde(default)]
    provider: Option<String>,
}

fn ten() -> i64 {
    10
}

/// The step kind `git-push`.
#[derive(Clone, Copy, Debug)]
pub struct GitPush {
    first_wait: Duration,
}

impl Default for GitPush {
    fn default() -> Self {
        Self { first_wait: Duration::from_secs(1) }
    }
}

impl GitPush {
    /// With another wait after the first lost race.
    #[must_use]
    pub fn with_first_wait(first_wait: Duration) -> Self {
        Self { first_wait }
    }
}

/// How long to wait after the attempt of this number (from 0), if `first` is
/// the wait after the first. `random` is between 0 and 1.
pub(super) fn pause(first: Duration, attempt: u32, random: f64) -> Duration {
    let factor = 1.5f64.powi(i32::try_from(attempt.min(64)).unwrap_or(64));
    let wait = (first.as_secs_f64() * factor).min(MAX_WAIT.as_secs_f64());
    Duration::from_secs_f64(wait * (1.0 + random / 2.0))
}

#[async_trait]
impl Step for GitPush {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Outside
    }

    /// The branch and the exact commit, once others' commits are taken in.
    fn records_intent(&self) -> bool {
        true
    }

    /// A push that took in others' commits moved the checkout.
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
                "tag": {"type": "string"},
                "generateTargetBranch": {"type": "boolean"},
                "force": {"type": "boolean"},
                "maxAttempts": {"type": "integer", "minimum": 1, "maximum": 2_147_483_647},
                "provider": {
                    "type": "string",
                    "enum": ["azure", "bitbucket", "gitea", "github", "gitlab"]
                }
            },
            "oneOf": [
                {
                    "required": ["generateTargetBranch"],
                    "properties": {
                        "generateTargetBranch": {"const": true},
                        "targetBranch": unset,
                        "tag": unset
                    }
                },
                {
                    "required": ["targetBranch"],
                    "properties": {"generateTargetBranch": no, "targetBranch": set, "tag": unset}
                },
                {
                    "required": ["tag"],
                    "properties": {
                        "generateTargetBranch": no,
                        "targetBranch": unset,
                        "tag": set,
                        "force": no
                    }
                },
                {
                    "properties": {"generateTargetBranch": no, "targetBranch": unset, "tag": unset}
                }
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
        let repository = checkout.repository();
        let url = repository.configured_url().map_err(|e| {
            step_error(&format!("error loading working tree from {}", config.path), &e)
        })?;
        let insecure = repository.about().insecure_skip_tls_verify;
        let remote = git_access::remote(context, world, &url, insecure).await?;
        let current =
            checkout.branch().map_err(|e| step_error("error getting current branch", &e))?;
        let wanted = PushTarget {
            path: &config.path,
            branch: &config.target_branch,
            generated: config.generate_target_branch,
            current,
        };
        let target = wanted.branch(&context.promotion);

        let intents = PushIntents::new(context);
        let pushed = if config.tag.is_empty() {
            let target = target.as_ref().ok_or_else(|| wanted.none())?;
            let request = git::PushRequest {
                target: target.clone(),
                force: config.force || config.generate_target_branch,
                policy: access.policy,
                committer: repository.about().identity.clone(),
                time: context.started_at,
                intents: Some(Arc::new(intents)),
            };
            self.push(context, &access.git, &checkout, &remote, request, config.max_attempts)
                .await?
        } else {
            let intents: Arc<dyn git::Intents> = Arc::new(TagIntents(intents));
            access
                .git
                .push_tag(&checkout, &remote, &config.tag, Some(intents), &context.cancel)
                .await
                .map_err(|e| step_error(&format!("{PUSHING}: error pushing tag"), &e))?
        };

        let mut output = Map::new();
        let link = commit_url::commit_url(remote.url(), config.provider.as_deref(), &pushed.commit);
        let replaced = checkout
            .replaced(&pushed.commit)
            .map_err(|e| step_error("error getting what was pushed", &e))?;
        output.insert("commit".to_owned(), Value::String(pushed.commit));
        if let Some(replaced) = replaced {
            output.insert("replaced".to_owned(), Value::String(replaced));
        }
        if let Some(branch) = target {
            output.insert("branch".to_owned(), Value::String(branch));
        }
        if let Some(link) = link {
            output.insert("commitURL".to_owned(), Value::String(link));
        }
        Ok(StepResult::succeeded().with_output(output))
    }
}

impl GitPush {
    /// Runs the race with other writers, up to `attempts` times.
    async fn push(
        &self,
        context: &StepContext,
        git: &git::Git,
        checkout: &git::Checkout,
        remote: &git::Remote,
        request: git::PushRequest,
        attempts: i64,
    ) -> Result<git::Pushed, StepError> {
        let mut attempt = 0u32;
        loop {
            let error = match git.push(checkout, remote, request.clone(), &context.cancel).await {
                Ok(pushed) => return Ok(pushed),
                Err(error) => error,
            };
            match error {
                git::GitError::MergeConflict | git::GitError::RebaseUnsafe => {
                    return Err(StepError::failed(ErrorClass::Conflict, error.to_string()));
                }
                git::GitError::NonFastForward if i64::from(attempt) + 1 < attempts => {}
                error => {
                    return Err(step_error(&format!("{PUSHING}: error pushing branch"), &error));
                }
            }
            let wait = pause(self.first_wait, attempt, random());
            attempt += 1;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = context.cancel.cancelled() => {}
            }
        }
    }
}

/// A number between 0 and 1 that need not be a good one: it keeps controllers
/// from running in step.
pub(super) fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(hash >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_capped() {
        let first = Duration::from_secs(1);
        let waits = [0, 1, 2, 8, 9, 1000].map(|n| pause(first, n, 0.0).as_millis());
        assert_eq!(waits, [1000, 1500, 2250, 25_628, 30_000, 30_000]);
        assert_eq!(pause(first, 0, 1.0).as_millis(), 1500);
    }
}
