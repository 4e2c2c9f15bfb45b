//! Step kinds that tell when they ran, for the demo and for benchmarks.

use std::time::Instant;

use async_trait::async_trait;
use promotion::around::Around;
use promotion::error::StepError;
use promotion::step::{Registry, Step, StepContext, StepResult};
use promotion::world::World;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

/// One attempt at a step.
#[derive(Clone, Debug)]
pub struct StepRun {
    /// The Promotion.
    pub promotion: String,
    /// The step's alias.
    pub alias: String,
    /// The step's kind.
    pub kind: &'static str,
    /// How it ended: a status, or `error`.
    pub status: String,
    /// What it said.
    pub message: String,
    /// The output's `commit`, if it has one.
    pub commit: Option<String>,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// The same kinds, each of which tells `to` about every attempt.
pub fn observed(kinds: &Registry, to: &UnboundedSender<StepRun>) -> Registry {
    kinds.around(Observed { to: to.clone() })
}

struct Observed {
    to: UnboundedSender<StepRun>,
}

#[async_trait]
impl Around for Observed {
    async fn run(
        &self,
        step: &dyn Step,
        context: &StepContext,
        world: &World,
    ) -> Result<StepResult, StepError> {
        let began = Instant::now();
        let result = step.run(context, world).await;
        let (status, message) = match &result {
            Ok(result) => (result.status.to_string(), result.message.clone()),
            Err(error) => ("error".to_owned(), error.message.clone()),
        };
        let output = result.as_ref().ok().and_then(|r| r.output.as_ref());
        let commit = output.and_then(|o| o.get("commit")).and_then(Value::as_str);
        // Nobody may be listening any more; that is no concern of the step's.
        let _ = self.to.send(StepRun {
            promotion: context.promotion.clone(),
            alias: context.alias.clone(),
            kind: step.kind(),
            status,
            message,
            commit: commit.map(str::to_owned),
            began,
            ended: Instant::now(),
        });
        result
    }
}
