//! `supercargo controller`, which kills itself with SIGKILL at the step that
//! `DIE_AT` names by its kind or alias: `before:git-push`, `after:git-push`, or
//! `recorded:git-push`, when it is on record what the step is about to do.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Parser;
use promotion::around::Around;
use promotion::engine::RecordError;
use promotion::error::StepError;
use promotion::step::{Intents, Step, StepContext, StepResult};
use promotion::world::World;
use serde_json::{Map, Value};
use supercargo::cli::{Cli, Command};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse_from(["supercargo", "controller"]);
    let Command::Controller(args) = cli.command else { return ExitCode::FAILURE };
    let steps = supercargo::wiring::steps();
    let steps = match std::env::var("DIE_AT").ok().as_deref().and_then(|d| d.split_once(':')) {
        Some((when, step)) => steps.around(Death { when: when.into(), step: step.into() }),
        None => steps,
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

/// SIGKILL: nothing is cleaned up, nothing is flushed.
fn die() {
    let own = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-KILL", &own]).status();
    std::process::abort();
}

/// Ends the process at one step.
struct Death {
    when: String,
    step: String,
}

#[async_trait]
impl Around for Death {
    async fn run(
        &self,
        step: &dyn Step,
        context: &StepContext,
        world: &World,
    ) -> Result<StepResult, StepError> {
        let here = self.step == step.kind() || self.step == context.alias;
        if here && self.when == "before" {
            die();
        }
        let mut context = context.clone();
        if here && self.when == "recorded" {
            context.intents = Arc::new(Recorded(context.intents));
        }
        let result = step.run(&context, world).await;
        if here && self.when == "after" {
            die();
        }
        result
    }
}

/// Ends the process once an intent is on record.
#[derive(Debug)]
struct Recorded(Arc<dyn Intents>);

#[async_trait]
impl Intents for Recorded {
    async fn record(&self, intent: Map<String, Value>) -> Result<(), RecordError> {
        self.0.record(intent).await?;
        die();
        Ok(())
    }
}
