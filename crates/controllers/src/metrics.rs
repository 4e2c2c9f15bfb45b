//! What the controllers count. No label ever holds an object's name.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::promotion::metrics::PromotionMetrics;
use crate::remotes::RemoteMetrics;
use crate::warehouse::metrics::DiscoveryMetrics;

type Labels<const N: usize> = [(&'static str, String); N];

/// Counters shared by all controllers. Clones count together.
#[derive(Clone, Default)]
pub struct Metrics {
    reconciles: Family<Labels<2>, Counter>,
    reconcile_seconds: Family<Labels<1>, Counter<f64, std::sync::atomic::AtomicU64>>,
    watch_restarts: Family<Labels<1>, Counter>,
    writes: Family<Labels<1>, Counter>,
    events: Family<Labels<1>, Counter>,
    /// Counts of discoveries.
    pub discovery: DiscoveryMetrics,
    /// Counts of Promotions and their steps.
    pub promotion: PromotionMetrics,
    /// Counts of requests to registries and Git hosts.
    pub remotes: RemoteMetrics,
}

impl Metrics {
    /// Counters that `registry` exposes.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "supercargo_reconciles",
            "Passes over objects, by controller and result (success, panic, or an error's class)",
            metrics.reconciles.clone(),
        );
        registry.register(
            "supercargo_reconcile_seconds",
            "Time spent in passes, by controller",
            metrics.reconcile_seconds.clone(),
        );
        registry.register(
            "supercargo_watch_restarts",
            "Watches opened again, by kind",
            metrics.watch_restarts.clone(),
        );
        registry.register(
            "supercargo_api_writes",
            "Writes to the Kubernetes API, by kind; those of a status as Kind/status",
            metrics.writes.clone(),
        );
        registry.register(
            "supercargo_events",
            "Kubernetes Events by outcome (created, dropped)",
            metrics.events.clone(),
        );
        metrics.discovery.register(registry);
        metrics.promotion.register(registry);
        metrics.remotes.register(registry);
        metrics
    }

    /// A pass ended.
    pub fn reconciled(&self, controller: &str, result: &str, took: Duration) {
        self.reconciles
            .get_or_create(&[("controller", controller.into()), ("result", result.into())])
            .inc();
        self.reconcile_seconds
            .get_or_create(&[("controller", controller.into())])
            .inc_by(took.as_secs_f64());
    }

    /// A watch was opened again.
    pub fn watch_restarted(&self, kind: &str) {
        self.watch_restarts.get_or_create(&[("kind", kind.into())]).inc();
    }

    /// An object was written.
    pub fn wrote(&self, kind: &str) {
        self.writes.get_or_create(&[("kind", kind.into())]).inc();
    }

    /// An Event was created, or dropped.
    pub fn event(&self, outcome: &str) {
        self.events.get_or_create(&[("outcome", outcome.into())]).inc();
    }
}
