//! `git-commit`: commits what changed in a checkout.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | a checkout of a `git-clone` step; with a folder in one, only that folder's changes are committed |
//! | `message` | required | the commit message, verbatim |
//! | `messageFromSteps` | | in place of `message`: aliases of earlier steps whose messages make it up (for manifests older than Kargo 1.5) |
//! | `author.name`, `.email` | the clone's | author and committer of this commit |
//! | `author.signingKey` | | the private key, OpenPGP or SSH, that this commit is signed with; without it that of a named author is not signed |
//!
//! `.gitignore` is honoured. The commit's times are the recorded start of the
//! step, so a step that is replayed makes the very same commit.
//!
//! `messageFromSteps` takes the `commitMessage` output of each named step (its
//! own message where it has none). One text is taken as it is; of several each
//! becomes a line beneath the subject `Kargo applied multiple changes`.
//!
//! Output: `commit`, the id of the new commit. Where nothing changed, there is
//! none: the step is Skipped and `commit` is the one that is checked out.
//!
//! ```yaml
//! - uses: git-commit
//!   as: commit
//!   config:
//!     path: ./src
//!     message: ${{ outputs['update-image'].commitMessage }}
//! ```
//!
//! Source of the rules: `steps-git` 7 and 14.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorClass, StepError};
use crate::git_access::{self, Author, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "git-commit";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    path: String,
    message: Option<String>,
    #[serde(default)]
    message_from_steps: Vec<String>,
    author: Option<Author>,
}

/// The step kind `git-commit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitCommit;

#[async_trait]
impl Step for GitCommit {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::WorkingDirectory
    }

    fn config_schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "message": {"type": "string", "minLength": 1},
                "messageFromSteps": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1}
                },
                "author": Author::schema()
            },
            "if": {"required": ["messageFromSteps"]},
            "then": {"not": {"required": ["message"]}},
            "else": {"required": ["message"]}
        })
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let (checkout, path) = git_access::checkout(context, world, &config.path).await?;
        let identity = match &config.author {
            Some(author) => author.identity()?,
            None => checkout.repository().about().identity.clone(),
        };
        let message = match config.message {
            Some(message) => message,
            None => message_from_steps(&config.message_from_steps, context)?,
        };
        let request = git::CommitRequest {
            path: path.as_str().to_owned(),
            message,
            identity,
            time: context.started_at,
        };
        let git = &git_access::access(world)?.git;
        let made = git
            .commit(&checkout, request)
            .await
            .map_err(|e| step_error("error committing to working tree", &e))?;
        let result = match &made {
            Some(_) => StepResult::succeeded(),
            None => StepResult::skipped("no changes to commit"),
        };
        // An attempt that was cut off after its commit finds nothing to do.
        let again = matches!(context.attempt, Attempt::Again { .. } | Attempt::Replay { .. });
        let commit = match made {
            Some(commit) => commit,
            None => {
                let head =
                    checkout.head().map_err(|e| step_error("error getting last commit ID", &e))?;
                if again && checkout.made_at(&head, context.started_at).unwrap_or(false) {
                    return Ok(StepResult::succeeded().with_output(output(head)));
                }
                head
            }
        };
        if let Attempt::Replay { output } = &context.attempt
            && output.get("commit").and_then(Value::as_str) != Some(commit.as_str())
        {
            // A push between the two commits of a Promotion may have rebased
            // the first: what was pushed is found again by the next push.
            tracing::warn!(
                promotion = context.promotion,
                step = context.alias,
                commit,
                "a replayed commit differs from the recorded one"
            );
        }
        Ok(result.with_output(output(commit)))
    }
}

fn output(commit: String) -> Map<String, Value> {
    let mut output = Map::new();
    output.insert("commit".to_owned(), Value::String(commit));
    output
}

/// `steps-git` 14, "what to do with old manifests" 2.
fn message_from_steps(aliases: &[String], context: &StepContext) -> Result<String, StepError> {
    let mut texts = Vec::new();
    for alias in aliases {
        // Within a task, steps are known by the task's alias and their own.
        let namespace = context.alias.rsplit_once("::").map(|(task, _)| task);
        let inner = namespace.map(|task| format!("{task}::{alias}"));
        let names = inner.as_deref().into_iter().chain([alias.as_str()]);
        let Some(name) = names.into_iter().find(|name| {
            context.state.contains_key(*name) || context.messages.iter().any(|(a, _)| a == name)
        }) else {
            continue;
        };
        let text = match context.state.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(output)) => match output.get("commitMessage") {
                None => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(_) => {
                    return Err(not_usable(alias, "its commitMessage is not a string"));
                }
            },
            Some(_) => return Err(not_usable(alias, "its output is not an object")),
        };
        let said = || {
            let message = context.messages.iter().find(|(a, _)| a == name);
            message.map(|(_, text)| text.clone()).filter(|text| !text.trim().is_empty())
        };
        texts.extend(text.or_else(said));
    }
    Ok(match texts.as_slice() {
        [] => "Kargo made some changes".to_owned(),
        [one] => one.clone(),
        several => {
            let mut message = "Kargo applied multiple changes\n\nIncluding:\n".to_owned();
            for text in several {
                message.push_str("\n  * ");
                message.push_str(text);
            }
            message
        }
    })
}

fn not_usable(alias: &str, why: &str) -> StepError {
    StepError::new(
        ErrorClass::Config,
        format!("error constructing commit message from step with alias {alias:?}: {why}"),
    )
}
