//! `git-wait-for-pr`: waits until a pull request is merged or closed.
//!
//! The step looks at once, then every 30 seconds, and by and by more seldom
//! (every five minutes after an hour and forty minutes); `pollInterval` sets
//! another pace. A webhook receiver that hears of the pull request, or the
//! annotation `kargo.akuity.io/refresh` on the Promotion, makes it look now.
//! How it was merged (merge commit, squash, rebase) and by whom does not
//! matter. The provider's trouble does not end the step: it goes on waiting
//! and says what the last look failed with.
//!
//! # Config
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `repoURL` | | the repository, `https://…` or `ssh://…` |
//! | `provider` | by the URL's host | which API to speak; needed where the host's name does not tell |
//! | `insecureSkipTLSVerify` | `false` | do not check the server's certificate |
//! | `prNumber` | | the pull request, often `${{ outputs['open-pr'].pr.id }}` |
//! | `pollInterval` | see above | the time between two looks, for example `90s`; at least 10 s |
//!
//! # Output
//!
//! `pr.id`, `pr.url`, `pr.open` and `pr.merged`, also while the step waits and
//! when it fails; `commit`: the merge commit, where the provider names one.
//! GitHub and Azure name a trial merge while the pull request is open.
//!
//! # Errors
//!
//! A pull request that was closed without being merged, that does not exist,
//! or that the token may not see. The step waits 30 days at most, unless
//! `retry.timeout` says otherwise.
//!
//! # Example
//!
//! ```yaml
//! - uses: git-wait-for-pr
//!   as: wait-for-pr
//!   config:
//!     repoURL: https://github.com/example/deploy.git
//!     prNumber: ${{ outputs['open-pr'].pr.id }}
//! ```

use std::time::Duration;

use api::{Promotion, PromotionPhase};
use async_trait::async_trait;
use forge::{PullRequest, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::engine::alias_of;
use crate::error::{ErrorClass, StepError};
use crate::forge_access::{self, POLL_PATTERN, Wanted};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

/// The step's name.
pub const KIND: &str = "git-wait-for-pr";

/// The time between two looks at first.
const POLL: Duration = Duration::from_secs(30);

/// How long the step waits.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

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
    poll_interval: Option<String>,
}

/// The step `git-wait-for-pr`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitWaitForPr;

#[async_trait]
impl Step for GitWaitForPr {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Reads
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
        let since = context.started_at;
        let pull = match forge.get(number).await {
            Ok(pull) => pull,
            Err(error) => {
                let Some(pause) = forge_access::passes_after(&error) else {
                    let prefix = format!("error getting pull request {number}: ");
                    return Err(forge_access::step_error(&prefix, &error));
                };
                let message = format!(
                    "waiting since {since} for pull request {number} to be merged; the last look failed: {error}"
                );
                let mut result = StepResult::running(message);
                // What is known already stays, and with it what wakes us.
                result.output = match &context.attempt {
                    Attempt::Again { output } => output.clone(),
                    _ => None,
                };
                result.retry_after = Some(interval.max(pause));
                return Ok(result);
            }
        };
        let output = output(&pull);
        match pull.state {
            State::Merged => Ok(StepResult::succeeded().with_output(output)),
            State::Closed => Err(StepError::failed(
                ErrorClass::Conflict,
                format!("pull request {number} was closed without being merged"),
            )
            .with_output(output)),
            State::Open => {
                let message = format!(
                    "waiting since {since} for pull request {number} ({}) to be merged",
                    pull.url
                );
                let mut result = StepResult::running(message).with_output(output);
                result.retry_after = Some(interval);
                Ok(result)
            }
        }
    }
}

fn output(pull: &PullRequest) -> Map<String, Value> {
    let mut shown = forge_access::shown(pull);
    shown.insert("open".into(), (pull.state == State::Open).into());
    shown.insert("merged".into(), (pull.state == State::Merged).into());
    let mut output = Map::new();
    output.insert("pr".into(), Value::Object(shown));
    if let Some(commit) = &pull.merge_commit {
        output.insert("commit".into(), commit.clone().into());
    }
    output
}

/// The pages of the pull requests that a Promotion waits for or has waited
/// for: by them an event of a provider finds the Promotions to wake
/// (`promotions` 8, `steps-git` 12.1 rule 4).
pub fn awaited_urls(promotion: &Promotion) -> Vec<String> {
    let Some(status) = promotion.status.as_ref().filter(|s| s.phase == PromotionPhase::Running)
    else {
        return Vec::new();
    };
    let current = usize::try_from(status.current_step).unwrap_or_default();
    let mut urls = Vec::new();
    for (index, step) in promotion.spec.steps.iter().enumerate().take(current.saturating_add(1)) {
        if step.uses != KIND {
            continue;
        }
        let url = status
            .state
            .as_ref()
            .and_then(|state| state.get(&alias_of(step, index)))
            .and_then(|output| output.pointer("/pr/url"))
            .and_then(Value::as_str);
        urls.extend(url.map(str::to_owned));
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_promotions_are_found_by_their_pull_requests() {
        let promotion = |phase: &str, current: i64| -> Promotion {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "n"},
                "spec": {"stage": "s", "freight": "f", "steps": [
                    {"uses": "git-open-pr", "as": "open"},
                    {"uses": KIND, "as": "wait"},
                    {"uses": KIND},
                ]},
                "status": {"phase": phase, "currentStep": current, "state": {
                    "open": {"pr": {"url": "u0"}},
                    "wait": {"pr": {"url": "u1"}},
                    "step-3": {"pr": {"url": "u2"}},
                }},
            }))
            .unwrap()
        };
        assert_eq!(awaited_urls(&promotion("Running", 2)), ["u1", "u2"]);
        assert_eq!(awaited_urls(&promotion("Running", 1)), ["u1"]);
        assert!(awaited_urls(&promotion("Running", 0)).is_empty());
        assert!(awaited_urls(&promotion("Succeeded", 2)).is_empty());
    }
}
