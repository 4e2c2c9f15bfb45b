//! `git-clear`: removes all files of a checkout, so that the next steps write
//! the whole of what shall be in it.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | a checkout of a `git-clone` step; with a folder in one, only that folder is cleared |
//!
//! What `.gitignore` names and git does not know stays; so does what lies
//! outside of a sparse checkout's folders. A branch without a commit, or
//! without files, is no error.
//!
//! Output: none.
//!
//! ```yaml
//! - uses: git-clear
//!   config:
//!     path: ./out
//! ```
//!
//! Source of the rules: `steps-git` 6.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::StepError;
use crate::git_access::{self, step_error};
use crate::step::{Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "git-clear";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
}

/// The step kind `git-clear`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitClear;

#[async_trait]
impl Step for GitClear {
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
            "properties": {"path": {"type": "string", "minLength": 1}}
        })
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let (checkout, path) = git_access::checkout(context, world, &config.path).await?;
        git_access::access(world)?.git.clear(&checkout, path.as_str()).await.map_err(|e| {
            step_error(&format!("error clearing working tree at {}", config.path), &e)
        })?;
        Ok(StepResult::succeeded())
    }
}
