//! Warehouses: what exists outside becomes Freight.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::Context;

/// What the Warehouse controller needs beside the context.
#[derive(Default)]
pub struct Parts {}

/// Runs the Warehouse controller until `shutdown`.
pub async fn run(_context: Arc<Context>, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}
