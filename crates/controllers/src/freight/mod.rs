//! Placeholder until the kind's controller is in.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::Context;

/// Runs the controller until `shutdown`.
pub async fn run(_context: Arc<Context>, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}
