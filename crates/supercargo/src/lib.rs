//! Supercargo's command line and wiring: what the binary does, as a library,
//! so that tests can start the same thing.
//!
//! * [`cli`]: the command line.
//! * [`mapping`]: addresses to ask instead of public ones.
//! * [`wiring`]: the controllers from their settings.
//! * [`controller`]: `supercargo controller`.
//! * [`explain`]: `supercargo credentials explain`.
//! * [`sandbox`]: `supercargo sandbox`.
//! * [`demo`]: `supercargo demo`.
//! * [`reference`]: the step kinds' pages and schemas.
//! * `otlp`: traces to a collector.
//! * [`telemetry`]: logs, metrics, health.
//! * [`version`]: `supercargo version`.

pub mod cli;
pub mod controller;
pub mod demo;
pub mod explain;
pub mod mapping;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod reference;
pub mod sandbox;
pub mod telemetry;
pub mod version;
pub mod wiring;

use std::io::Write;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use cli::{Cli, Command};

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    }
}

/// Does what the command line says. Anything that goes wrong is one line on
/// standard error and a failing exit code.
pub fn run(cli: Cli) -> ExitCode {
    // One TLS library for the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match cli.command {
        Command::Crds => print_crds(),
        Command::Schema { step } => print_schema(step.as_deref()),
        Command::Controller(args) => within_runtime(controller::run(*args)),
        Command::ManagementController(args) => within_runtime(controller::run_management(*args)),
        Command::Version => print_version(),
        Command::Sandbox(args) => within_runtime(sandbox::run(args)),
        Command::Credentials(args) => within_runtime(explain::run(args)),
        Command::Demo(args) => within_runtime(demo::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supercargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn within_runtime(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?
        .block_on(work)
}

fn print_crds() -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    for (_, yaml) in api::crd::files() {
        if out.write_all(format!("---\n{yaml}").as_bytes()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn print_schema(kind: Option<&str>) -> Result<(), String> {
    let schema = reference::schema(&wiring::steps(), kind)?;
    let text = serde_json::to_string_pretty(&schema).map_err(|e| e.to_string())?;
    // A reader that stopped reading has what it wanted.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(())
}

fn print_version() -> Result<(), String> {
    let version = serde_json::to_string_pretty(&version::version()).map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has read enough.
    let _ = out.write_all(format!("{version}\n").as_bytes());
    Ok(())
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
///
/// # Errors
/// Where signals cannot be had.
pub fn shutdown_signal() -> Result<CancellationToken, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|e| format!("cannot listen for SIGTERM: {e}"))?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}
