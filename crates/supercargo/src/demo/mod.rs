//! `supercargo demo`: the quick start in the sandbox, from a new tag to a
//! synced Application, with what happened and where the time went.
//!
//! * [`quickstart`]: the example's manifests and names.
//! * [`follow`]: one new tag, followed until the Application is at its commit.
//! * [`timeline`]: pure: what happened, as lines and as a table.
//! * [`show`]: lines, with a progress display where there is a terminal.

pub mod follow;
pub mod quickstart;
pub mod show;
pub mod timeline;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use promotion::observe::StepRun;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, ControllerArgs, DemoArgs, LogFormat};
use crate::sandbox::world::World;
use crate::{controller, telemetry, wiring};

use follow::Follower;
use show::Show;

/// The longest that one tag may take to be deployed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the quick start. Succeeds only if the commit is in the repository and
/// the Application is at it.
///
/// # Errors
/// What could not be started, or did not happen.
pub async fn run(args: DemoArgs) -> Result<(), String> {
    let _telemetry = telemetry::start(&args.log_level, LogFormat::Console)?;
    let show = Show::new();
    show.line("Supercargo's quick start, in the sandbox on this machine");
    show.line("");
    let mut running = Running::start(&args.dir, args.with_task, &show).await?;
    let steps = running.steps.take();
    let mut follower = Follower::new(&running.world, steps);
    show.doing("waiting for the first promotion");
    let first = follower.until_deployed(quickstart::FIRST_TAG, PATIENCE).await?;
    show.line(&format!(
        "deployed  {} is what runs now (commit {})",
        quickstart::FIRST_TAG,
        timeline::short(&first.commit)
    ));
    let mut took = Vec::new();
    for n in 1..=args.runs.clamp(1, 1000) {
        let tag = format!("v1.{n}.0");
        let run = follower.publish(&tag, PATIENCE, (n == 1).then_some(&show)).await?;
        took.push(run.total());
        if n == 1 {
            show.line("");
            show.lines(&timeline::table(&run));
        }
    }
    if took.len() > 1 {
        show.line("");
        show.line(&timeline::summary(&took));
    }
    drop(follower);
    show.done();
    if args.serve {
        running.stay_up(&show).await?;
    }
    running.stop().await;
    Ok(())
}

/// `supercargo sandbox`: the same world with the quick start applied, until
/// Ctrl-C.
///
/// # Errors
/// What cannot be started.
pub async fn stay_up(dir: &Path) -> Result<(), String> {
    let _telemetry = telemetry::start("off", LogFormat::Console)?;
    let show = Show::new();
    let running = Running::start(dir, false, &show).await?;
    running.stay_up(&show).await?;
    running.stop().await;
    Ok(())
}

/// The sandbox with the controllers and the quick start's manifests.
struct Running {
    world: World,
    steps: Option<mpsc::UnboundedReceiver<StepRun>>,
    shutdown: CancellationToken,
    controllers: tokio::task::JoinHandle<Result<(), String>>,
}

impl Running {
    async fn start(dir: &Path, with_task: bool, show: &Show) -> Result<Self, String> {
        let world = World::start(dir).await?;
        let at = &world.addresses;
        show.line(&format!("Kubernetes API  {}", at.kubernetes));
        show.line(&format!("registry        {}  stands in for docker.io", at.registry));
        show.line(&format!("Git host        {}  stands in for https://your.git/", at.git));
        show.line("");
        quickstart::fill(&world).await?;
        let mut args = controller_args()?;
        world.map_names(&mut args);
        let (send, receive) = mpsc::unbounded_channel();
        let steps = wiring::steps().observed_by(send);
        let shutdown = CancellationToken::new();
        let controllers = tokio::spawn({
            let (client, shutdown) = (world.api.client(), shutdown.clone());
            async move { controller::serve(client, &args, steps, shutdown).await }
        });
        for applied in quickstart::apply(&world.api.client(), with_task).await? {
            show.line(&format!("applied   {applied}"));
        }
        Ok(Self { world, steps: Some(receive), shutdown, controllers })
    }

    async fn stay_up(&self, show: &Show) -> Result<(), String> {
        let program = std::env::args().next().unwrap_or_else(|| "supercargo".to_owned());
        let dir = self.world.dir.display();
        show.line("");
        show.line("The sandbox stays up; end it with Ctrl-C. In another terminal:");
        show.line("");
        show.line(&format!("  export KUBECONFIG={}", self.world.kubeconfig().display()));
        show.line("  kubectl -n develop get stages,promotions,freights -w");
        show.line(&format!(
            "  {program} sandbox --dir {dir} push-tag {}:v2.0.0",
            quickstart::IMAGE
        ));
        show.line(&format!("  {program} sandbox --dir {dir} log"));
        crate::shutdown_signal()?.cancelled().await;
        Ok(())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.controllers).await;
    }
}

/// The controllers' settings as they are when nothing is said; the machine's
/// environment takes no part.
fn controller_args() -> Result<ControllerArgs, String> {
    match Cli::try_parse_from(["supercargo", "controller"]).map_err(|e| e.to_string())?.command {
        Command::Controller(args) => Ok(*args),
        _ => Err("the command line is inconsistent".to_owned()),
    }
}
