//! `git-open-pr`: opens a pull request from a branch that was pushed.
//!
//! An open pull request between the same two branches, at the same commit, is
//! taken as it is. Where both branches have the same content there is nothing
//! to ask for: the step is Skipped and has no output.
//!
//! The description ends with a line that Markdown does not show
//! (`[//]: # (supercargo: …)`). By it a step that was cut off knows its own
//! pull request again, be it merged or closed by then, and opens no second
//! one. A further `git-open-pr` of the same Promotion opens its own.
//!
//! GitHub (and Enterprise), GitLab, Gitea and Forgejo, Azure DevOps and
//! Bitbucket (Cloud on bitbucket.org, Data Center elsewhere) are served. The
//! token is the password of the Project's Git credential for `repoURL`. At
//! Gitea it may do enough with `write:repository`, and where `labels` are set
//! `read:issue`.
//!
//! # Config
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `repoURL` | | the repository, `https://…` or `ssh://…` |
//! | `provider` | by the URL's host | which API to speak; needed where the host's name does not tell |
//! | `insecureSkipTLSVerify` | `false` | do not check the server's certificate |
//! | `sourceBranch` | | the branch to merge, often `${{ outputs.push.branch }}` |
//! | `targetBranch` | | the branch to merge it into; it must exist |
//! | `title` | first line of the newest commit's message | |
//! | `description` | rest of that message | |
//! | `labels` | | not at Bitbucket, which has none; Gitea's must exist |
//! | `createTargetBranch` | | accepted and ignored, as in Kargo |
//!
//! # Output
//!
//! `pr.id`: the pull request's number; `pr.url`: its page.
//!
//! # Errors
//!
//! A source or target branch that does not exist, a provider that is not
//! known, a token that is missing or refused, labels that Gitea does not have.
//! What passes by itself (the network, a server in trouble, too many requests)
//! is tried again for ten minutes, or as long as `retry.timeout` says.
//!
//! # Example
//!
//! ```yaml
//! - uses: git-open-pr
//!   as: open-pr
//!   config:
//!     repoURL: https://github.com/example/deploy.git
//!     sourceBranch: ${{ outputs.push.branch }}
//!     targetBranch: main
//!     labels: [promotion]
//! - uses: git-wait-for-pr
//!   as: wait-for-pr
//!   config:
//!     repoURL: https://github.com/example/deploy.git
//!     prNumber: ${{ outputs['open-pr'].pr.id }}
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forge::{Forge, ForgeError, Marker, NewPullRequest, PullRequest, Search, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{ErrorClass, StepError};
use crate::forge_access::{self, Wanted, check_cancelled, shown_url};
use crate::git_access::{self, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

/// The step's name.
pub const KIND: &str = "git-open-pr";

const EXISTS: &str = "error determining if pull request already exists: ";
const CREATE: &str = "error creating pull request: ";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    #[serde(rename = "repoURL")]
    repo_url: String,
    source_branch: String,
    target_branch: String,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    insecure_skip_tls_verify: bool,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    /// Deprecated; without effect.
    #[serde(default, rename = "createTargetBranch")]
    _create_target_branch: bool,
}

/// The step `git-open-pr`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitOpenPr;

#[async_trait]
impl Step for GitOpenPr {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Outside
    }

    /// Branches are looked at in the mirror.
    fn needs_workdir(&self) -> bool {
        false
    }

    fn default_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(600))
    }

    fn config_schema(&self) -> Value {
        forge_access::schema(
            &["repoURL", "sourceBranch", "targetBranch"],
            &json!({
                "sourceBranch": {"type": "string", "minLength": 1},
                "targetBranch": {"type": "string", "minLength": 1},
                "title": {"type": "string", "minLength": 1},
                "description": {"type": "string", "minLength": 1},
                "labels": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "createTargetBranch": {"type": "boolean"}
            }),
        )
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        if let Some(output) = stored(&context.alias, context.state.get(&context.alias))? {
            return Ok(StepResult::succeeded().with_output(output));
        }
        let config: Config = context.config(KIND)?;
        let wanted = Wanted {
            repo_url: &config.repo_url,
            provider: config.provider.as_deref(),
            insecure_skip_tls_verify: config.insecure_skip_tls_verify,
        };
        let forge = forge_access::open(context, world, wanted).await?;
        let opening = Opening { context, world, config: &config, forge, marker: marker(context) };
        let pull = opening.pull_request().await?;
        Ok(match pull {
            Some(pull) => {
                let output = json!({"pr": forge_access::shown(&pull)});
                let output = output.as_object().cloned().unwrap_or_default();
                StepResult::succeeded().with_output(output)
            }
            None => StepResult::skipped(format!(
                "{} and {} have the same content: there is nothing to merge",
                config.source_branch, config.target_branch
            )),
        })
    }
}

/// The step's own output of an earlier attempt, if it names a pull request
/// (`steps-git` 11 rule 1).
fn stored(alias: &str, output: Option<&Value>) -> Result<Option<Map<String, Value>>, StepError> {
    const PREFIX: &str = "error getting PR number from shared state:";
    let wrong = |text: String| StepError::new(ErrorClass::Config, format!("{PREFIX} {text}"));
    let output = match output {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(output)) => output,
        Some(_) => {
            return Err(wrong(format!(
                "output from step with alias {alias:?} is not a map[string]any"
            )));
        }
    };
    let Some(id) = output.get("pr").and_then(Value::as_object).and_then(|pr| pr.get("id")) else {
        return Ok(None);
    };
    // Numbers come back from the API server as it likes.
    if id.is_i64() || id.is_u64() || id.is_f64() {
        return Ok(Some(output.clone()));
    }
    Err(wrong(format!("PR ID in output from step with alias {alias:?} is not an int64")))
}

/// By which the step knows its own pull request again: this Promotion's this
/// step, and nothing that tells a stranger more.
fn marker(context: &StepContext) -> Marker {
    let mut digest = Sha256::new();
    for part in [&context.promotion_uid, &context.alias] {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    Marker::new(&hex::encode(digest.finalize())[..32])
}

/// The pull request to take as it is (`steps-git` 11 rule 4): open, between
/// the branches, at the commit; the newest of several.
fn adopted(found: &[PullRequest], commit: &str) -> Option<PullRequest> {
    let fits = |pull: &&PullRequest| pull.state == State::Open && pull.is_at(commit);
    found.iter().filter(fits).max_by_key(|pull| (pull.created_at, pull.number)).cloned()
}

/// The pull request that bears the marker, whatever became of it.
fn own(found: &[PullRequest], marker: &Marker) -> Option<PullRequest> {
    let rank = |pull: &PullRequest| match pull.state {
        State::Open => 2,
        State::Merged => 1,
        State::Closed => 0,
    };
    let mine = found.iter().filter(|pull| marker.is_in(&pull.body));
    mine.max_by_key(|pull| (rank(pull), pull.created_at, pull.number)).cloned()
}

/// Title and description (`steps-git` 11 rule 8). `message` is the newest
/// commit's, as stored.
fn texts(title: Option<&str>, description: Option<&str>, message: &str) -> (String, String) {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    let description = match (description, title) {
        (Some(description), _) => description,
        (None, Some(_)) => message,
        (None, None) => rest,
    };
    (title.unwrap_or(first).to_owned(), description.to_owned())
}

struct Opening<'a> {
    context: &'a StepContext,
    world: &'a World,
    config: &'a Config,
    forge: Arc<dyn Forge>,
    marker: Marker,
}

impl Opening<'_> {
    /// The pull request, found or opened; none where there is nothing to merge.
    async fn pull_request(&self) -> Result<Option<PullRequest>, StepError> {
        let Config { repo_url, source_branch: head, target_branch: base, .. } = self.config;
        // What an attempt that was cut off may have opened. The branches may
        // be gone or alike by now, so this comes first.
        let again = !matches!(self.context.attempt, Attempt::First);
        if again && let Some(own) = self.own().await? {
            return self.labelled(own).await.map(Some);
        }
        let cloning =
            |e: &git::GitError| step_error(&format!("error cloning {}", shown_url(repo_url)), e);
        let git = &git_access::access(self.world)?.git;
        let insecure = self.config.insecure_skip_tls_verify;
        let remote = git_access::remote(self.context, self.world, repo_url, insecure).await?;
        let cancel = &self.context.cancel;
        let snapshot = git.snapshot(&remote, git::Freshness::Now, cancel).await;
        let snapshot = snapshot.map_err(|e| cloning(&e))?;
        let Some(source) = git.tip(&snapshot, head).await.map_err(|e| cloning(&e))? else {
            let error = snapshot.branch(head).err();
            return Err(error.map_or_else(
                || {
                    StepError::new(
                        ErrorClass::NotFound,
                        format!("source branch {head:?} does not exist"),
                    )
                },
                |e| cloning(&e),
            ));
        };
        let open = Search::open(head, base);
        let found = self.forge.find(&open).await;
        let found = found.map_err(|e| forge_access::step_error(EXISTS, &e))?;
        if let Some(pull) = adopted(&found, &source.commit) {
            return Ok(Some(pull));
        }
        let target = git.tip(&snapshot, base).await.map_err(|e| {
            step_error(&format!("error fetching from repo \"{}\"", shown_url(repo_url)), &e)
        })?;
        let Some(target) = target else {
            return Err(StepError::new(
                ErrorClass::NotFound,
                format!("target branch {base:?} does not exist"),
            ));
        };
        if source.tree == target.tree {
            return Ok(None);
        }
        let (title, mut description) = texts(
            self.config.title.as_deref(),
            self.config.description.as_deref(),
            &source.message,
        );
        // No provider takes a pull request without a title.
        let title = match title.trim() {
            "" => format!("Merge {head} into {base}"),
            _ => title,
        };
        let ui = forge_access::access(self.world)?.ui_base_url.trim_end_matches('/');
        if !ui.is_empty() {
            let (project, stage) = (&self.context.project, &self.context.stage);
            description
                .push_str(&format!("\n\n[View in Kargo UI]({ui}/project/{project}/stage/{stage})"));
        }
        let new = NewPullRequest {
            title,
            description,
            marker: Some(self.marker.clone()),
            head: head.clone(),
            base: base.clone(),
            labels: self.config.labels.clone(),
        };
        check_cancelled(self.context)?;
        let pull = match self.forge.create(&new).await {
            Ok(pull) => pull,
            Err(error @ ForgeError::AlreadyExists { .. }) => {
                // Listings may lag behind: ours of a moment ago, or another's.
                let found = self.forge.find(&open).await;
                let found = found.map_err(|e| forge_access::step_error(EXISTS, &e))?;
                let newest = found.iter().max_by_key(|pull| (pull.created_at, pull.number));
                match own(&found, &self.marker).or_else(|| newest.cloned()) {
                    Some(pull) => pull,
                    None => return Err(forge_access::step_error(CREATE, &error)),
                }
            }
            Err(error) if forge_access::passes_after(&error).is_some() => {
                // The answer was lost, perhaps after the deed.
                match self.own().await {
                    Ok(Some(pull)) => pull,
                    _ => return Err(forge_access::step_error(CREATE, &error)),
                }
            }
            Err(error) => return Err(forge_access::step_error(CREATE, &error)),
        };
        self.labelled(pull).await.map(Some)
    }

    /// What an earlier attempt of this step opened.
    async fn own(&self) -> Result<Option<PullRequest>, StepError> {
        let all = Search::all(&self.config.source_branch, &self.config.target_branch);
        let found = self.forge.find(&all).await;
        let found = found.map_err(|e| forge_access::step_error(EXISTS, &e))?;
        Ok(own(&found, &self.marker))
    }

    /// With its labels, where its provider did not take them at once and it is
    /// this step's.
    async fn labelled(&self, pull: PullRequest) -> Result<PullRequest, StepError> {
        if self.marker.is_in(&pull.body) && pull.state == State::Open {
            check_cancelled(self.context)?;
            let labelled = self.forge.ensure_labels(pull.number, &self.config.labels).await;
            labelled.map_err(|e| {
                let prefix =
                    format!("{CREATE}error adding labels to pull request {}: ", pull.number);
                forge_access::step_error(&prefix, &e)
            })?;
        }
        Ok(pull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_and_description_come_from_config_and_commit() {
        for (case, title, description, message, expected) in [
            ("steps-git/11-1", None, None, "T\n\nB\n", ("T", "\nB\n")),
            ("steps-git/11-2", Some("C"), None, "T\n\nB\n", ("C", "T\n\nB\n")),
            ("steps-git/11-3", None, None, "T\n", ("T", "")),
            ("description alone", None, Some("D"), "T\n\nB\n", ("T", "D")),
            ("both", Some("C"), Some("D"), "T\n\nB\n", ("C", "D")),
            ("no line break", None, None, "T", ("T", "")),
        ] {
            let got = texts(title, description, message);
            assert_eq!((got.0.as_str(), got.1.as_str()), expected, "{case}");
        }
    }

    #[test]
    fn an_output_of_an_earlier_attempt_is_taken_over() {
        let output = json!({"pr": {"id": 7, "url": "u"}});
        for (given, expected) in [
            (None, Ok(false)),
            (Some(json!(null)), Ok(false)),
            (Some(json!({})), Ok(false)),
            (Some(json!({"pr": 7})), Ok(false)),
            (Some(json!({"pr": {}})), Ok(false)),
            (Some(output.clone()), Ok(true)),
            (Some(json!({"pr": {"id": 7.0}})), Ok(true)),
            (
                Some(json!("text")),
                Err(
                    "error getting PR number from shared state: output from step with alias \"a\" is not a map[string]any",
                ),
            ),
            (
                Some(json!({"pr": {"id": "7"}})),
                Err(
                    "error getting PR number from shared state: PR ID in output from step with alias \"a\" is not an int64",
                ),
            ),
        ] {
            match (stored("a", given.as_ref()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.is_some(), expected, "{given:?}"),
                (Err(error), Err(expected)) => assert_eq!(error.message, expected),
                (got, _) => panic!("{given:?}: {got:?}"),
            }
        }
        let found = stored("a", Some(&output)).unwrap();
        assert_eq!(found.as_ref(), output.as_object());
    }

    #[test]
    fn the_newest_open_one_at_the_commit_is_adopted() {
        let commit = "a".repeat(40);
        let pull = |number: i64, state: State, head: &str, body: &str| PullRequest {
            number,
            url: String::new(),
            state,
            merge_commit: None,
            head_commit: head.to_owned(),
            head: "h".into(),
            base: "b".into(),
            body: body.to_owned(),
            created_at: jiff::Timestamp::from_second(number).ok(),
        };
        let mark = Marker::new("mine").line();
        let found = vec![
            pull(1, State::Open, &commit, ""),
            pull(2, State::Open, &commit, ""),
            pull(3, State::Open, &"b".repeat(40), ""),
            pull(4, State::Merged, &commit, &mark),
            pull(5, State::Closed, &commit, &mark),
        ];
        assert_eq!(adopted(&found, &commit).map(|p| p.number), Some(2));
        assert_eq!(adopted(&found, &"c".repeat(40)), None);
        assert_eq!(own(&found, &Marker::new("mine")).map(|p| p.number), Some(4));
        assert_eq!(own(&found, &Marker::new("other")), None);
    }
}
