//! Step kinds that tell when they ran, for the demo and for benchmarks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use promotion::error::StepError;
use promotion::step::{Effect, Registry, Step, StepContext, StepResult};
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
    let mut all = Registry::default();
    for name in kinds.names() {
        if let Some(inner) = kinds.get(name) {
            all = all.with(Observed { inner: Arc::clone(inner), to: to.clone() });
        }
    }
    all
}

struct Observed {
    inner: Arc<dyn Step>,
    to: UnboundedSender<StepRun>,
}

#[async_trait]
impl Step for Observed {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    fn needs_workdir(&self) -> bool {
        self.inner.needs_workdir()
    }

    fn default_timeout(&self) -> Option<Duration> {
        self.inner.default_timeout()
    }

    fn default_error_threshold(&self) -> u32 {
        self.inner.default_error_threshold()
    }

    fn propagates_task_output(&self) -> bool {
        self.inner.propagates_task_output()
    }

    fn config_schema(&self) -> Value {
        self.inner.config_schema()
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let began = Instant::now();
        let result = self.inner.run(context, world).await;
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
            kind: self.inner.kind(),
            status,
            message,
            commit: commit.map(str::to_owned),
            began,
            ended: Instant::now(),
        });
        result
    }
}
