//! `supercargo sandbox`: the world of parts on this machine, and what one can
//! do with it from another terminal.

pub mod remote;
pub mod world;

use crate::cli::{SandboxArgs, SandboxCommand};

/// Starts a sandbox and stays up, or acts on one that is up.
///
/// # Errors
/// What cannot be started, or is not up.
pub async fn run(args: SandboxArgs) -> Result<(), String> {
    match args.command {
        None => crate::demo::stay_up(&args.dir).await,
        Some(SandboxCommand::PushTag { image }) => remote::push_tag(&args.dir, &image).await,
        Some(SandboxCommand::Tags { repository }) => remote::tags(&args.dir, &repository).await,
        Some(SandboxCommand::Log { number }) => remote::log(&args.dir, number).await,
    }
}
