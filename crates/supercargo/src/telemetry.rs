//! Logs, and the HTTP address that serves metrics and health.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Sends log lines to standard error, as many as `level` asks for: a level, or
/// a filter such as `info,kube=warn`.
///
/// # Errors
/// When `level` is neither.
pub fn start_logging(level: &str, format: LogFormat) -> Result<(), String> {
    let level = match level.to_ascii_lowercase().as_str() {
        "discard" | "off" => "off".to_owned(),
        "error" | "warn" | "info" | "debug" | "trace" => {
            format!("{},kube_client=warn,hyper_util=warn", level.to_ascii_lowercase())
        }
        _ => level.to_owned(),
    };
    let wrong = |why: &str| {
        format!(
            "LOG_LEVEL (--log-level) {level:?}: {why}; give error, warn, info, debug, trace or \
             discard, or a filter such as info,kube=warn"
        )
    };
    // A single word would be taken for the name of a part of the program.
    if level != "off" && !level.contains(['=', ',']) {
        return Err(wrong("this is no level"));
    }
    let filter = EnvFilter::try_new(&level).map_err(|e| wrong(&e.to_string()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => lines.json().try_init(),
        LogFormat::Console => lines.with_target(false).try_init(),
    };
    started.map_err(|e| e.to_string())
}

/// What `/readyz` answers from: the kinds that are still waited for.
#[derive(Clone)]
pub struct Health {
    waiting_for: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Health {
    /// Ready once `waiting_for` names nothing.
    pub fn new(waiting_for: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self { waiting_for: Arc::new(waiting_for) }
    }
}

struct Served {
    health: Health,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Serves `/metrics`, `/healthz` and `/readyz` until `shutdown`.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    // With port 0 nobody else knows which one it became.
    let address = listener.local_addr()?;
    tracing::info!(%address, "metrics and health are served");
    let served = Arc::new(Served { health, metrics: Box::new(metrics) });
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .with_state(served);
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn ready(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let waiting = (served.health.waiting_for)();
    if waiting.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        let text = format!("waiting for\n- {}\n", waiting.join("\n- "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn text(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (served.metrics)())
}
