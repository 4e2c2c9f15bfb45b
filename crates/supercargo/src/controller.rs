//! `supercargo controller`: the controllers against a cluster.

use prometheus_client::registry::Registry as MetricsRegistry;
use promotion::step::Registry;
use tokio_util::sync::CancellationToken;

use crate::cli::ControllerArgs;
use crate::telemetry::{self, Health};
use crate::wiring;

/// Runs until SIGTERM or Ctrl-C.
///
/// # Errors
/// Where the cluster or a setting cannot be used.
pub async fn run(args: ControllerArgs) -> Result<(), String> {
    run_with(args, wiring::steps()).await
}

/// As [`run`], with these step kinds.
///
/// # Errors
/// Where the cluster or a setting cannot be used.
pub async fn run_with(args: ControllerArgs, steps: Registry) -> Result<(), String> {
    telemetry::start_logging(&args.log_level, args.log_format)?;
    let client = kube::Client::try_default().await.map_err(|e| {
        format!("no cluster: {e}; set KUBECONFIG, or run this in a pod with a ServiceAccount")
    })?;
    let shutdown = crate::shutdown_signal()?;
    serve(client, &args, steps, shutdown).await
}

/// Runs the controllers on `client` until `shutdown`.
///
/// # Errors
/// Where a setting cannot be used.
pub async fn serve(
    client: kube::Client,
    args: &ControllerArgs,
    steps: Registry,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let mut metrics = MetricsRegistry::default();
    let context = wiring::context(client, args, steps, &mut metrics).await?;
    let health = Health::default();
    if let Some(address) = args.http_address {
        let (health, shutdown) = (health.clone(), shutdown.clone());
        let listening = telemetry::serve(address, health, move || text(&metrics), shutdown);
        tokio::spawn(async move {
            if let Err(error) = listening.await {
                tracing::error!(%address, %error, "metrics and health are not served");
            }
        });
    }
    let stores = std::sync::Arc::clone(&context);
    tokio::spawn(async move {
        stores.stores.promotions.wait_ready().await;
        stores.stores.stages.wait_ready().await;
        health.set_ready();
        tracing::info!("ready");
    });
    controllers::run_all(context, shutdown).await;
    Ok(())
}

fn text(metrics: &MetricsRegistry) -> String {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, metrics) {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}
