//! `supercargo controller`, which kills itself with SIGKILL at the step that
//! `DIE_AT` names: `before:git-push` or `after:git-push`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Parser;
use promotion::error::StepError;
use promotion::step::{Effect, Registry, Step, StepContext, StepResult};
use promotion::world::World;
use serde_json::Value;
use supercargo::cli::{Cli, Command};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse_from(["supercargo", "controller"]);
    let Command::Controller(args) = cli.command else { return ExitCode::FAILURE };
    let steps = match std::env::var("DIE_AT").ok().as_deref().and_then(|d| d.split_once(':')) {
        Some((when, kind)) => mortal(&supercargo::wiring::steps(), kind, when == "after"),
        None => supercargo::wiring::steps(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(supercargo::controller::run_with(*args, steps)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The same kinds, one of which ends the process.
fn mortal(kinds: &Registry, deadly: &str, after: bool) -> Registry {
    let mut all = Registry::default();
    for name in kinds.names() {
        if let Some(inner) = kinds.get(name) {
            let inner = Arc::clone(inner);
            all = all.with(Mortal { inner, dies: name == deadly, after });
        }
    }
    all
}

struct Mortal {
    inner: Arc<dyn Step>,
    dies: bool,
    after: bool,
}

/// SIGKILL: nothing is cleaned up, nothing is flushed.
fn die() {
    let own = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-KILL", &own]).status();
    std::process::abort();
}

#[async_trait]
impl Step for Mortal {
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
        if self.dies && !self.after {
            die();
        }
        let result = self.inner.run(context, world).await;
        if self.dies && self.after {
            die();
        }
        result
    }
}
