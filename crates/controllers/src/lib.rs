//! The controllers, one folder a kind, over one watch a kind.
//!
//! * [`context`]: what every controller has at hand; the settings.
//! * [`store`] and [`watch`]: the objects of a kind, kept up to date.
//! * [`queue`]: which objects are to be looked at, and when.
//! * [`patch`] and [`events`]: what they write.
//! * [`role`] and [`leadership`]: which controllers a process runs, and which
//!   of several replicas acts.
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
pub mod leadership;
pub mod metrics;
pub mod patch;
pub mod queue;
pub mod remotes;
pub mod role;
pub mod store;
pub mod trace;
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
use leadership::{Election, Heartbeat};
pub use role::Role;

/// Starts the watches, then every controller, and returns when `shutdown` was
/// cancelled and all have ended. There is one such process: nothing is elected.
pub async fn run_all(context: Arc<Context>, shutdown: CancellationToken) {
    let posts = Role::ALL.map(|role| Post { role, election: None }).into();
    // Without an election nothing can be lost.
    let _ = run(context, posts, None, shutdown).await;
}

/// A role that a process takes, and the Lease that it needs for it.
pub struct Post {
    /// The role.
    pub role: Role,
    /// Which replica acts; `None` where there is one only.
    pub election: Option<Election>,
}

/// A Lease was lost: the process must end, and start again as a standby.
#[derive(Debug, thiserror::Error)]
#[error("the Lease {lease} is lost: another replica leads, or the API server did not answer")]
pub struct LeaseLost {
    /// The Lease's name.
    pub lease: String,
}

/// How long controllers may take to end once they must not act any more.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// Starts the watches that the posts need; then, for each post, waits until
/// this replica leads and runs its controllers, until `shutdown` was cancelled
/// and all have ended. The Leases are given back last. `heartbeat` beats while
/// this replica leads as [`Role::Controller`].
///
/// # Errors
/// A Lease that was lost.
pub async fn run(
    context: Arc<Context>,
    posts: Vec<Post>,
    heartbeat: Option<Heartbeat>,
    shutdown: CancellationToken,
) -> Result<(), LeaseLost> {
    // Ends everything, also when one post's Lease is lost.
    let ending = shutdown.child_token();
    let mut watches = JoinSet::new();
    let roles: Vec<Role> = posts.iter().map(|post| post.role).collect();
    context.start(&roles, &mut watches, &ending).await;
    let mut running = JoinSet::new();
    let mut heartbeat = heartbeat;
    for post in posts {
        let heartbeat = if post.role == Role::Controller { heartbeat.take() } else { None };
        running.spawn(serve(Arc::clone(&context), post, heartbeat, ending.clone()));
    }
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(lost)) => outcome = outcome.and(Err(lost)),
            Err(error) => tracing::error!(%error, "a role ended unexpectedly"),
        }
        ending.cancel();
    }
    while watches.join_next().await.is_some() {}
    outcome
}

/// Waits for the post's Lease and runs the role until `shutdown`.
async fn serve(
    context: Arc<Context>,
    post: Post,
    heartbeat: Option<Heartbeat>,
    shutdown: CancellationToken,
) -> Result<(), LeaseLost> {
    let term = match &post.election {
        None => None,
        Some(election) => match election.win(&shutdown).await {
            Some(term) => Some(term),
            None => return Ok(()),
        },
    };
    let acting = shutdown.child_token();
    let mut tasks = JoinSet::new();
    post.role.start(&mut tasks, &context, &acting);
    if let Some(heartbeat) = heartbeat {
        let acting = acting.clone();
        tasks.spawn(async move { heartbeat.run(acting).await });
    }
    let Some(term) = term else {
        while tasks.join_next().await.is_some() {}
        return Ok(());
    };
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    tokio::pin!(all_ended);
    tokio::select! {
        () = term.lost().cancelled() => {
            acting.cancel();
            let _ = tokio::time::timeout(LAST_MOMENTS, all_ended).await;
            Err(LeaseLost {
                lease: post.election.map(|e| e.name().to_owned()).unwrap_or_default(),
            })
        }
        () = &mut all_ended => {
            term.give_back().await;
            Ok(())
        }
    }
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
