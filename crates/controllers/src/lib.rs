//! The controllers, one folder a kind, over one watch a kind.
//!
//! * [`context`]: what every controller has at hand; the settings.
//! * [`store`] and [`watch`]: the objects of a kind, kept up to date.
//! * [`queue`]: which objects are to be looked at, and when.
//! * [`patch`] and [`events`]: what they write.
//!
//! A controller is a folder with `run(context, shutdown)`: it subscribes to
//! the stores that wake it, and works on its queue until the process ends.
//! Everything works where no admission webhook runs (house rule 11): the
//! defaults are the same pure functions, called here again.

pub mod clock;
pub mod condition;
pub mod context;
pub mod error;
pub mod events;
pub mod metrics;
pub mod patch;
pub mod queue;
pub mod store;
pub mod watch;

pub mod freight;
pub mod project;
pub mod promotion;
pub mod stage;
pub mod warehouse;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use context::{Context, Settings};
pub use error::Error;

/// Starts the watches, then every controller, and returns when `shutdown` was
/// cancelled and all have ended.
pub async fn run_all(context: Arc<Context>, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    context.start(&mut tasks, &shutdown).await;
    supervise(&mut tasks, "project", &context, &shutdown, project::run);
    supervise(&mut tasks, "freight", &context, &shutdown, freight::run);
    supervise(&mut tasks, "warehouse", &context, &shutdown, warehouse::run);
    supervise(&mut tasks, "stage", &context, &shutdown, stage::run);
    supervise(&mut tasks, "promotion", &context, &shutdown, promotion::run);
    while tasks.join_next().await.is_some() {}
}

/// Keeps a controller running: one that ends early or panics is started again
/// after a second.
fn supervise<F, Run>(
    tasks: &mut JoinSet<()>,
    name: &'static str,
    context: &Arc<Context>,
    shutdown: &CancellationToken,
    run: F,
) where
    F: Fn(Arc<Context>, CancellationToken) -> Run + Send + 'static,
    Run: Future<Output = ()> + Send + 'static,
{
    let context = Arc::clone(context);
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        while !shutdown.is_cancelled() {
            let pass = run(Arc::clone(&context), shutdown.child_token());
            let ended = AssertUnwindSafe(pass).catch_unwind().await;
            if shutdown.is_cancelled() {
                return;
            }
            tracing::error!(
                controller = name,
                panicked = ended.is_err(),
                "ended early; restarting"
            );
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    });
}
