//! `git-tag`: puts an annotated tag on the commit that is checked out.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | a checkout of a `git-clone` step |
//! | `tag` | required | the tag's name |
//! | `message` | required | its message |
//! | `force` | `false` | moves a tag of that name |
//!
//! The tag is known in the clone alone, in all of its checkouts; `git-push`
//! with `tag` pushes it. It is signed where the clone's commits are. Its time
//! is the recorded start of the step, so a step that is replayed makes the very
//! same tag. `git-push` overwrites no tag: one that was moved by `force` and is
//! at the server already cannot be pushed.
//!
//! Output: `commit`, the id of the commit (not of the tag).
//!
//! Errors: a tag of that name, also one that the server had when it was cloned.
//!
//! ```yaml
//! - uses: git-tag
//!   config:
//!     path: ./src
//!     tag: v1.2.3
//!     message: Promoted to production
//! - uses: git-push
//!   config:
//!     path: ./src
//!     tag: v1.2.3
//! ```
//!
//! Source of the rules: `steps-git` 8. Unknown fields are let pass, as there.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::StepError;
use crate::git_access::{self, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "git-tag";

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    tag: String,
    message: String,
    #[serde(default)]
    force: bool,
}

/// The step kind `git-tag`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitTag;

#[async_trait]
impl Step for GitTag {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// The tag is the clone's until `git-push` pushes it.
    fn effect(&self) -> Effect {
        Effect::WorkingDirectory
    }

    fn config_schema(&self) -> Value {
        json!({
            "type": "object",
            "required": ["path", "tag", "message"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "tag": {"type": "string", "minLength": 1},
                "message": {"type": "string", "minLength": 1},
                "force": {"type": "boolean"}
            }
        })
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let (checkout, _) = git_access::checkout(context, world, &config.path).await?;
        let git = &git_access::access(world)?.git;
        let failed = format!("error creating tag {}", config.tag);
        let failed = |e: git::GitError| step_error(&failed, &e);
        let mut request = git::TagRequest {
            name: config.tag,
            message: config.message,
            identity: checkout.repository().about().identity.clone(),
            time: context.started_at,
            force: config.force,
        };
        // An earlier attempt's tag is ours, at the server too; and what was
        // tagged once is tagged again when the directory was lost.
        let ours = match &context.attempt {
            Attempt::First => false,
            Attempt::Again { .. } => checkout.has_tag(&request).map_err(failed)?,
            Attempt::Replay { .. } => {
                request.force = true;
                checkout.has_tag(&request).map_err(failed)?
            }
        };
        if !ours {
            git.tag(&checkout, request).await.map_err(failed)?;
        }
        let commit = checkout.head().map_err(|e| step_error("error getting last commit ID", &e))?;
        let mut output = Map::new();
        output.insert("commit".to_owned(), Value::String(commit));
        Ok(StepResult::succeeded().with_output(output))
    }
}
