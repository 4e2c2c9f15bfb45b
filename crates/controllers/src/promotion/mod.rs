//! Promotions: the engine's runs as objects in the cluster.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::Context;

/// What the Promotion controller needs beside the context.
#[derive(Default)]
pub struct Parts {}

/// Runs the Promotion controller until `shutdown`.
pub async fn run(_context: Arc<Context>, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}
