//! `supercargo controller` and `supercargo management-controller`: the
//! controllers against a cluster.

use std::sync::Arc;
use std::time::Duration;

use controllers::leadership::{Election, Heartbeat, Terms};
use controllers::{Post, Role};
use prometheus_client::registry::Registry as MetricsRegistry;
use promotion::step::Registry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cli::ControllerArgs;
use crate::telemetry::{self, Health};
use crate::wiring;

/// How long the controllers may take to end after SIGTERM: less than the 30
/// seconds after which Kubernetes kills a pod.
const GRACE: Duration = Duration::from_secs(25);

/// Runs until SIGTERM or Ctrl-C.
///
/// # Errors
/// Where the cluster or a setting cannot be used, or the Lease was lost.
pub async fn run(args: ControllerArgs) -> Result<(), String> {
    run_with(args, wiring::steps()).await
}

/// Runs the controllers of Projects alone until SIGTERM or Ctrl-C.
///
/// # Errors
/// As [`run`].
pub async fn run_management(mut args: ControllerArgs) -> Result<(), String> {
    let _telemetry = telemetry::start(&args.log_level, args.log_format)?;
    // Nothing in them looks at Applications, nor need they have a right to.
    args.argocd_integration_enabled = false;
    let (client, shutdown) = (cluster().await?, crate::shutdown_signal()?);
    serve_roles(client, &[Role::Management], &args, wiring::steps(), shutdown).await
}

/// As [`run`], with these step kinds.
///
/// # Errors
/// As [`run`].
pub async fn run_with(args: ControllerArgs, steps: Registry) -> Result<(), String> {
    let _telemetry = telemetry::start(&args.log_level, args.log_format)?;
    // What a step panics with may hold a secret: it is told, masked, by the
    // Promotion. Other panics are logged where they are caught.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a panic was caught");
    }));
    let (client, shutdown) = (cluster().await?, crate::shutdown_signal()?);
    serve(client, &args, steps, shutdown).await
}

async fn cluster() -> Result<kube::Client, String> {
    kube::Client::try_default().await.map_err(|e| {
        format!("no cluster: {e}; set KUBECONFIG, or run this in a pod with a ServiceAccount")
    })
}

/// Runs the controllers on `client` until `shutdown`.
///
/// # Errors
/// Where a setting cannot be used, or the Lease was lost.
pub async fn serve(
    client: kube::Client,
    args: &ControllerArgs,
    steps: Registry,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let roles: &[Role] = if args.with_management { &Role::ALL } else { &[Role::Controller] };
    serve_roles(client, roles, args, steps, shutdown).await
}

/// Runs the controllers of `roles` on `client` until `shutdown`.
async fn serve_roles(
    client: kube::Client,
    roles: &[Role],
    args: &ControllerArgs,
    steps: Registry,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let mut metrics = MetricsRegistry::default();
    let (posts, heartbeat) = posts(&client, roles, args);
    let context = wiring::context(client, args, steps, &mut metrics).await?;
    let metrics = Arc::new(metrics);
    for address in args.http_address.into_iter().chain(args.metrics_bind_address.0) {
        let health = {
            let context = Arc::clone(&context);
            Health::new(move || context.stores.waiting_for())
        };
        let (metrics, shutdown) = (Arc::clone(&metrics), shutdown.clone());
        let counted = Arc::clone(&context);
        let text = move || {
            let promotions = counted.stores.promotions.all();
            let all = promotions.iter().map(AsRef::as_ref);
            counted.metrics.promotion.count(all, counted.clock.now());
            text(&metrics)
        };
        let listening = telemetry::serve(address, health, text, shutdown);
        tokio::spawn(async move {
            if let Err(error) = listening.await {
                tracing::error!(%address, %error, "metrics and health are not served");
            }
        });
    }
    let stores = Arc::clone(&context);
    tokio::spawn(async move {
        stores.stores.promotions.wait_ready().await;
        stores.stores.stages.wait_ready().await;
        tracing::info!("ready");
    });
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        outcome = controllers::run(context, posts, heartbeat, shutdown.clone()) => {
            outcome.map_err(|lost| lost.to_string())
        }
        () = late => Err(format!("steps still ran {} s after the signal", GRACE.as_secs())),
    }
}

/// The posts of a process with these roles, and its heartbeat.
fn posts(
    client: &kube::Client,
    roles: &[Role],
    args: &ControllerArgs,
) -> (Vec<Post>, Option<Heartbeat>) {
    let host = Some(args.replica_name.clone()).filter(|n| !n.is_empty()).or_else(host_name);
    // A replica that starts again is another one: what it did before may still
    // be under way.
    let me = format!("{}_{}", host.as_deref().unwrap_or("supercargo"), Uuid::new_v4());
    let (namespace, shard) = (&args.kargo_namespace, &args.shard_name);
    let election = |role: Role| {
        let name = role.lease_name(shard);
        Election::new(client.clone(), namespace, &name, &me, Terms::default())
    };
    let posts = roles
        .iter()
        .map(|role| Post { role: *role, election: args.leader_election.then(|| election(*role)) })
        .collect();
    let heartbeat = args.leader_election.then(|| {
        let ttl = args.heartbeat_ttl_seconds;
        Heartbeat::new(client.clone(), namespace, shard, host.clone(), ttl)
    });
    (posts, heartbeat)
}

/// The machine's name; a pod's is its own.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}

fn text(metrics: &MetricsRegistry) -> String {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, metrics) {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}
