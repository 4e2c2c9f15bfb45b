//! Logs and traces, and the HTTP address that serves metrics and health.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::LogFormat;

/// Keeps traces going to a collector, where one is named; dropped at the end,
/// it sends what is left.
#[derive(Debug, Default)]
#[must_use = "traces end with it"]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    _export: Option<crate::otlp::Export>,
}

/// Sends log lines to standard error, as many as `level` asks for: a level, or
/// a filter such as `info,kube=warn`; and traces to the collector that the
/// environment names, if it names one.
///
/// # Errors
/// When `level` is neither, or the collector's settings cannot be used.
pub fn start(level: &str, format: LogFormat) -> Result<Telemetry, String> {
    let filter = filter(level)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Console => lines.with_target(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otlp")]
    if crate::otlp::is_wanted() {
        let (traces, export) = crate::otlp::layer()?;
        subscriber.with(traces).try_init().map_err(|e| e.to_string())?;
        return Ok(Telemetry { _export: Some(export) });
    }
    subscriber.try_init().map_err(|e| e.to_string())?;
    Ok(Telemetry::default())
}

/// What is logged at `level`.
///
/// # Errors
/// A text that is neither a level nor a filter.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = match level.trim().to_ascii_lowercase().as_str() {
        "discard" | "off" => "off".to_owned(),
        word @ ("error" | "warn" | "info" | "debug" | "trace") => {
            format!("{word},kube_client=warn,hyper_util=warn")
        }
        // A word alone would be taken for the name of a module.
        other if !other.contains('=') => {
            return Err(format!("{level:?} is no level: use error, warn, info, debug or trace"));
        }
        _ => level.to_owned(),
    };
    EnvFilter::try_new(&directives)
        .map_err(|e| format!("{level:?}: {e}; use error, warn, info, debug or trace"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters() {
        for good in
            ["INFO", "debug", " Trace", "discard", "off", "info,kube=warn", "controllers=debug"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["foo", "", "info,warn", "a=b=c"] {
            let said = filter(wrong).err().unwrap_or_default();
            assert!(said.contains("use error, warn, info, debug or trace"), "{wrong}: {said}");
        }
    }
}
