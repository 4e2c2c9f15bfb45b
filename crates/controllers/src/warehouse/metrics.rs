//! What is counted of discoveries. No label holds a repository's or a
//! Warehouse's name.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sources::ErrorClass;

type Labels<const N: usize> = [(&'static str, String); N];

/// What a look at one subscription saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    /// Something new.
    New,
    /// What there was before.
    Same,
    /// Nothing: it failed.
    Failed(ErrorClass),
}

impl Saw {
    fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Failed(ErrorClass::Transient) => "transient",
            Self::Failed(ErrorClass::RateLimited { .. }) => "rate_limited",
            Self::Failed(ErrorClass::Auth) => "auth",
            Self::Failed(ErrorClass::Config) => "config",
            Self::Failed(ErrorClass::NotFound) => "not_found",
            Self::Failed(ErrorClass::Internal) => "internal",
        }
    }
}

/// Counts of discoveries. Clones count together.
#[derive(Clone)]
pub struct DiscoveryMetrics {
    looks: Family<Labels<2>, Counter>,
    seconds: Family<Labels<1>, Histogram>,
    manifests: Family<Labels<1>, Histogram>,
    last: Gauge<i64, AtomicI64>,
    oldest: Gauge<i64, AtomicI64>,
    waiting: Gauge<i64, AtomicI64>,
    unchanged: Counter<u64, AtomicU64>,
}

impl Default for DiscoveryMetrics {
    fn default() -> Self {
        Self {
            looks: Family::default(),
            // 10 ms to 10 min.
            seconds: Family::new_with_constructor(|| {
                Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0])
            }),
            manifests: Family::new_with_constructor(|| {
                Histogram::new([1.0, 5.0, 20.0, 100.0, 500.0, 1000.0, 5000.0])
            }),
            last: Gauge::default(),
            oldest: Gauge::default(),
            waiting: Gauge::default(),
            unchanged: Counter::default(),
        }
    }
}

impl DiscoveryMetrics {
    /// Lets `registry` expose them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "supercargo_discoveries",
            "Looks at subscriptions, by kind and outcome (new, same, or an error's class)",
            self.looks.clone(),
        );
        registry.register(
            "supercargo_discovery_seconds",
            "Time that a look at a subscription took, by kind",
            self.seconds.clone(),
        );
        registry.register(
            "supercargo_discovery_manifests",
            "Manifests that an image subscription reads or asks after, by strategy",
            self.manifests.clone(),
        );
        registry.register(
            "supercargo_discovery_last_timestamp_seconds",
            "When a Warehouse was last looked at with success, in Unix time",
            self.last.clone(),
        );
        registry.register(
            "supercargo_discovery_oldest_timestamp_seconds",
            "Of all Warehouses that were looked at, when the one that waits longest was, in Unix time",
            self.oldest.clone(),
        );
        registry.register(
            "supercargo_discoveries_under_way",
            "Warehouses that are being looked at now",
            self.waiting.clone(),
        );
        registry.register(
            "supercargo_discoveries_unchanged",
            "Looks at a Warehouse after which nothing was written",
            self.unchanged.clone(),
        );
    }

    /// A look at a subscription of that kind ended.
    pub fn looked(&self, kind: &'static str, saw: Saw, took: Duration) {
        self.looks
            .get_or_create(&[("kind", kind.to_owned()), ("outcome", saw.label().to_owned())])
            .inc();
        self.seconds.get_or_create(&[("kind", kind.to_owned())]).observe(took.as_secs_f64());
    }

    /// An image subscription costs so many manifests.
    pub fn costs(&self, strategy: &str, manifests: usize) {
        // The spec's words only: a label must not hold what users make up.
        let strategy = match strategy {
            "Digest" | "Lexical" | "NewestBuild" => strategy,
            _ => "SemVer",
        };
        #[allow(clippy::cast_precision_loss)]
        self.manifests
            .get_or_create(&[("strategy", strategy.to_owned())])
            .observe(manifests as f64);
    }

    /// A Warehouse was looked at with success; `oldest` is the least recent of
    /// all last looks.
    pub fn succeeded(&self, at: Timestamp, oldest: Timestamp) {
        self.last.set(at.as_second());
        self.oldest.set(oldest.as_second());
    }

    /// A look at a Warehouse begins; it is under way until the guard goes.
    pub fn begins(&self) -> UnderWay {
        self.waiting.inc();
        UnderWay(self.waiting.clone())
    }

    /// A Warehouse was looked at and nothing was written.
    pub fn unchanged(&self) {
        self.unchanged.inc();
    }
}

/// A look that is under way.
pub struct UnderWay(Gauge<i64, AtomicI64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exposed() {
        let metrics = DiscoveryMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.looked("git", Saw::Same, Duration::from_millis(20));
        metrics.looked("git", Saw::Failed(ErrorClass::Auth), Duration::from_secs(1));
        metrics.costs("NewestBuild", 1500);
        metrics.costs("made up", 3);
        let second = |n| Timestamp::from_second(n).unwrap();
        metrics.succeeded(second(200), second(100));
        let under_way = metrics.begins();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "supercargo_discoveries_total{kind=\"git\",outcome=\"same\"} 1",
            "supercargo_discoveries_total{kind=\"git\",outcome=\"auth\"} 1",
            "supercargo_discovery_seconds_count{kind=\"git\"} 2",
            "supercargo_discovery_manifests_sum{strategy=\"NewestBuild\"} 1500.0",
            "supercargo_discovery_manifests_sum{strategy=\"SemVer\"} 3.0",
            "supercargo_discovery_last_timestamp_seconds 200",
            "supercargo_discovery_oldest_timestamp_seconds 100",
            "supercargo_discoveries_under_way 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        drop(under_way);
        assert_eq!(metrics.waiting.get(), 0);
    }
}
