//! `git-merge-pr`: merges a pull request.
//!
//! A pull request that is merged already, by whomever, counts as merged: a
//! step that was cut off merges nothing twice. With `wait` the step tries
//! again until the pull request can be merged: approved, checked, without
//! conflict, as the repository's rules say. It looks at once, then every ten
//! seconds, and by and by more seldom; `pollInterval` sets another pace.
//!
//! # Config
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `repoURL` | | the repository, `https://…` or `ssh://…` |
//! | `provider` | by the URL's host | which API to speak; needed where the host's name does not tell |
//! | `insecureSkipTLSVerify` | `false` | do not check the server's certificate |
//! | `prNumber` | | the pull request, often `${{ outputs['open-pr'].pr.id }}` |
//! | `wait` | `false` | wait until it can be merged |
//! | `mergeMethod` | the provider's or repository's | see below |
//! | `pollInterval` | see above | the time between two attempts, for example `45s`; at least 10 s |
//!
//! | provider | `mergeMethod` |
//! |---|---|
//! | GitHub | `merge`, `squash`, `rebase` |
//! | GitLab | `merge`, `squash` |
//! | Gitea, Forgejo | `merge`, `rebase`, `rebase-merge`, `squash`, `fast-forward-only`, `manually-merged` |
//! | Azure DevOps | `noFastForward`, `rebase`, `rebaseMerge`, `squash` |
//! | Bitbucket Cloud | `merge_commit`, `squash`, `fast_forward`, `squash_fast_forward`, `rebase_fast_forward`, `rebase_merge` |
//! | Bitbucket Data Center | the ids that the repository allows, for example `no-ff`, `squash`, `rebase-no-ff` |
//!
//! # Output
//!
//! `commit`: the merge commit; empty where the provider names none.
//!
//! # Errors
//!
//! A pull request that was closed, has conflicts (where the provider says so),
//! or cannot be merged now and `wait` is not set; a method that the provider
//! does not know; a token that may not merge. A provider that has not looked
//! for conflicts yet gets half a minute in any case. What passes by itself is
//! tried again for ten minutes; with `wait`, for 30 days or as long as
//! `retry.timeout` says.
//!
//! # Example
//!
//! ```yaml
//! - uses: git-merge-pr
//!   as: merge-pr
//!   config:
//!     repoURL: https://github.com/example/deploy.git
//!     prNumber: ${{ outputs['open-pr'].pr.id }}
//!     wait: true
//!     mergeMethod: squash
//! ```

use std::time::Duration;

use async_trait::async_trait;
use forge::Merge;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::git_wait_for_pr::LONGEST_WAIT;
use crate::error::{ErrorClass, StepError};
use crate::forge_access::{self, POLL_PATTERN, Wanted, check_cancelled};
use crate::step::{Effect, Step, StepContext, StepResult};
use crate::world::World;

/// The step's name.
pub const KIND: &str = "git-merge-pr";

/// The time between two attempts at first.
const POLL: Duration = Duration::from_secs(10);

/// For how long a step that does not wait gives a provider time to see whether
/// there are conflicts.
const SETTLING: Duration = Duration::from_secs(30);

/// For how long what passes by itself is tried again where the step does not
/// wait.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    #[serde(rename = "repoURL")]
    repo_url: String,
    pr_number: i64,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    insecure_skip_tls_verify: bool,
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    merge_method: Option<String>,
    #[serde(default)]
    poll_interval: Option<String>,
}

/// The step `git-merge-pr`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitMergePr;

#[async_trait]
impl Step for GitMergePr {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn needs_workdir(&self) -> bool {
        false
    }

    fn default_timeout(&self) -> Option<Duration> {
        Some(LONGEST_WAIT)
    }

    fn config_schema(&self) -> Value {
        forge_access::schema(
            &["repoURL", "prNumber"],
            &json!({
                "prNumber": {"type": "integer", "minimum": 1},
                "wait": {"type": "boolean"},
                "mergeMethod": {"type": "string", "minLength": 1},
                "pollInterval": {"type": "string", "pattern": POLL_PATTERN}
            }),
        )
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let number = config.pr_number;
        let waited = forge_access::waited(context);
        let interval = forge_access::poll_interval(config.poll_interval.as_deref(), POLL, waited)?;
        let wanted = Wanted {
            repo_url: &config.repo_url,
            provider: config.provider.as_deref(),
            insecure_skip_tls_verify: config.insecure_skip_tls_verify,
        };
        let forge = forge_access::open(context, world, wanted).await?;
        check_cancelled(context)?;
        let waiting = |why: String, pause: Duration| {
            let since = context.started_at;
            let mut result = StepResult::running(format!(
                "waiting since {since} until pull request {number} can be merged: {why}"
            ));
            result.retry_after = Some(interval.max(pause));
            result
        };
        match forge.merge(number, config.merge_method.as_deref()).await {
            Ok(Merge::Merged(pull)) => {
                let mut output = Map::new();
                output.insert("commit".into(), pull.merge_commit.unwrap_or_default().into());
                Ok(StepResult::succeeded().with_output(output))
            }
            Ok(Merge::NotReady { why, unsettled })
                if config.wait || unsettled && waited < SETTLING =>
            {
                Ok(waiting(why, Duration::ZERO))
            }
            Ok(Merge::NotReady { why, .. }) => Err(StepError::failed(
                ErrorClass::Conflict,
                format!("pull request {number} is not ready to merge and wait is disabled: {why}"),
            )),
            Err(error) => {
                let message = format!("error merging pull request {number}: {error}");
                let class = forge_access::class(&error);
                match forge_access::passes_after(&error) {
                    Some(pause) if config.wait => {
                        Ok(waiting(format!("the last attempt failed: {error}"), pause))
                    }
                    Some(_) if waited < PATIENCE => Err(StepError::new(class, message)),
                    _ => Err(StepError::failed(class, message)),
                }
            }
        }
    }
}
