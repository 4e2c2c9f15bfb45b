//! Something that happens around every attempt at a step: to watch the steps,
//! or to break them off in tests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::error::StepError;
use crate::step::{Effect, Registry, Step, StepContext, StepResult};
use crate::world::World;

/// What happens around an attempt.
#[async_trait]
pub trait Around: Send + Sync {
    /// Runs the step, with what is to happen before and after it.
    ///
    /// # Errors
    /// Those of the step.
    async fn run(
        &self,
        step: &dyn Step,
        context: &StepContext,
        world: &World,
    ) -> Result<StepResult, StepError>;
}

impl Registry {
    /// The same kinds, each with that around it.
    #[must_use]
    pub fn around(&self, around: impl Around + 'static) -> Self {
        let around: Arc<dyn Around> = Arc::new(around);
        self.names().filter_map(|name| self.get(name)).fold(Self::default(), |all, inner| {
            all.with(Within { inner: inner.clone(), around: around.clone() })
        })
    }
}

/// A step as it was, but for its run.
struct Within {
    inner: Arc<dyn Step>,
    around: Arc<dyn Around>,
}

#[async_trait]
impl Step for Within {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    fn records_intent(&self) -> bool {
        self.inner.records_intent()
    }

    fn needs_workdir(&self) -> bool {
        self.inner.needs_workdir()
    }

    fn replays(&self) -> bool {
        self.inner.replays()
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
        self.around.run(self.inner.as_ref(), context, world).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::argocd_update::ArgoCdUpdate;
    use crate::steps::git_clone::GitClone;
    use crate::steps::git_push::GitPush;

    struct Nothing;

    #[async_trait]
    impl Around for Nothing {
        async fn run(
            &self,
            step: &dyn Step,
            context: &StepContext,
            world: &World,
        ) -> Result<StepResult, StepError> {
            step.run(context, world).await
        }
    }

    #[test]
    fn a_step_stays_what_it_is() {
        let kinds = Registry::default().with(GitClone).with(GitPush::default()).with(ArgoCdUpdate);
        let within = kinds.around(Nothing);
        let traits = |step: &Arc<dyn Step>| {
            (
                (step.kind(), step.effect(), step.records_intent(), step.needs_workdir()),
                (step.replays(), step.default_timeout(), step.default_error_threshold()),
                (step.propagates_task_output(), step.config_schema()),
            )
        };
        for name in kinds.names() {
            assert_eq!(kinds.get(name).map(traits), within.get(name).map(traits));
        }
        assert_eq!(within.names().count(), 3);
    }
}
