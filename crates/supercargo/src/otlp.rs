//! Traces to an OpenTelemetry collector, as OTLP over HTTP: each pass over an
//! object, the steps and the looks at repositories in it.
//!
//! Off unless the environment says where to send them, in the variables that
//! the OpenTelemetry specification has for it (`OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_SERVICE_NAME`, `OTEL_BSP_…`). Traces
//! hold names of objects and kinds of steps, never what steps or servers say.

use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// How long what has not been sent may take at the end of the process.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Sends traces until it is dropped.
#[derive(Debug)]
pub struct Export(SdkTracerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_CALL) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Whether the environment names a collector.
pub fn is_wanted() -> bool {
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The layer that sends spans, and what keeps it going.
///
/// # Errors
/// Settings in the environment that cannot be used.
pub fn layer<S>() -> Result<(impl Layer<S>, Export), String>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    // The process's provider; where one is installed already it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()
        .map_err(|e| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {e}"))?;
    let service = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let resource = Resource::builder()
        .with_service_name(service.unwrap_or_else(|| "supercargo".to_owned()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(LoggedIds::default())
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("supercargo"))
        .with_filter(filter_fn(|meta| {
            meta.is_span()
                && ["controllers", "promotion"].iter().any(|ours| meta.target().starts_with(ours))
        }));
    Ok((layer, Export(provider)))
}

/// Gives a trace the id that its log lines have.
#[derive(Debug, Default)]
struct LoggedIds(RandomIdGenerator);

impl IdGenerator for LoggedIds {
    fn new_trace_id(&self) -> TraceId {
        match controllers::trace::begins() {
            Some(id) => TraceId::from(id),
            None => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
