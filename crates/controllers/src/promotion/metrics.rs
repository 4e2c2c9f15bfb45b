//! What is counted of Promotions and their steps. No label holds a name.

use std::sync::atomic::{AtomicI64, AtomicU64};

use ::promotion::observe::{Observer, StepRun};
use api::{Promotion, PromotionPhase};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::status;

type Labels<const N: usize> = [(&'static str, String); N];

/// Counts of Promotions. Clones count together.
#[derive(Clone)]
pub struct PromotionMetrics {
    ended: Family<Labels<1>, Counter>,
    seconds: Family<Labels<1>, Histogram>,
    waited: Histogram,
    steps: Family<Labels<2>, Histogram>,
    open: Family<Labels<1>, Gauge<i64, AtomicI64>>,
    oldest: Gauge<f64, AtomicU64>,
}

impl Default for PromotionMetrics {
    fn default() -> Self {
        // 100 ms to an hour: a step may wait for people.
        let long = || Histogram::new([0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0]);
        Self {
            ended: Family::default(),
            seconds: Family::new_with_constructor(long),
            waited: long(),
            steps: Family::new_with_constructor(|| {
                Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0])
            }),
            open: Family::default(),
            oldest: Gauge::default(),
        }
    }
}

impl PromotionMetrics {
    /// Lets `registry` expose them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "supercargo_promotions",
            "Promotions that ended, by phase",
            self.ended.clone(),
        );
        registry.register(
            "supercargo_promotion_seconds",
            "Time from a Promotion's start to its end, by phase",
            self.seconds.clone(),
        );
        registry.register(
            "supercargo_promotion_wait_seconds",
            "Time from a Promotion's creation to its start",
            self.waited.clone(),
        );
        registry.register(
            "supercargo_step_seconds",
            "Time of an attempt at a step, by kind and outcome (a status, or an error's class)",
            self.steps.clone(),
        );
        registry.register(
            "supercargo_promotions_open",
            "Promotions that have not ended, by phase",
            self.open.clone(),
        );
        registry.register(
            "supercargo_promotion_queue_age_seconds",
            "Age of the oldest Promotion that has not started",
            self.oldest.clone(),
        );
    }

    /// A Promotion that was created at some time starts now.
    pub fn started(&self, promotion: &Promotion, now: Timestamp) {
        let created = promotion.metadata.creation_timestamp.as_ref().map(|t| t.0);
        if let Some(created) = created {
            self.waited.observe(seconds(created, now));
        }
    }

    /// A Promotion ended, as its status says.
    pub fn ended(&self, promotion: &Promotion) {
        let status = promotion.status.clone().unwrap_or_default();
        let label = || [("phase", status.phase.as_str().to_owned())];
        self.ended.get_or_create(&label()).inc();
        let times = status.started_at.as_ref().zip(status.finished_at.as_ref());
        if let Some((started, finished)) = times {
            self.seconds.get_or_create(&label()).observe(seconds(started.0, finished.0));
        }
    }

    /// What there is, counted when somebody asks.
    pub fn count<'a>(&self, all: impl Iterator<Item = &'a Promotion>, now: Timestamp) {
        let (mut pending, mut running, mut oldest) = (0, 0, 0.0_f64);
        for promotion in all {
            match status::phase(promotion) {
                PromotionPhase::Running => running += 1,
                phase if phase.is_terminal() => {}
                _ => {
                    pending += 1;
                    let created = promotion.metadata.creation_timestamp.as_ref();
                    oldest = created.map_or(oldest, |t| oldest.max(seconds(t.0, now)));
                }
            }
        }
        for (phase, number) in [("Pending", pending), ("Running", running)] {
            self.open.get_or_create(&[("phase", phase.to_owned())]).set(number);
        }
        self.oldest.set(oldest);
    }
}

impl Observer for PromotionMetrics {
    fn ran(&self, run: &StepRun) {
        let labels = [("kind", run.kind.to_owned()), ("outcome", run.end.label().to_owned())];
        let took = run.ended.saturating_duration_since(run.began);
        self.steps.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// From one time to another; none where a clock went back.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn promotion(created: &str, status: serde_json::Value) -> Promotion {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "creationTimestamp": created},
            "spec": {"stage": "s", "freight": "f", "steps": []},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_exposed() {
        let metrics = PromotionMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let now: Timestamp = "2026-11-26T10:01:00Z".parse().unwrap();
        let waiting = promotion("2026-11-26T10:00:00Z", json!({"phase": "Pending"}));
        let new = promotion("2026-11-26T10:00:50Z", json!({}));
        let running = promotion("2026-11-26T09:00:00Z", json!({"phase": "Running"}));
        let ended = promotion(
            "2026-11-26T10:00:00Z",
            json!({
                "phase": "Failed",
                "startedAt": "2026-11-26T10:00:10Z",
                "finishedAt": "2026-11-26T10:00:13Z",
            }),
        );
        metrics.count([&waiting, &new, &running, &ended].into_iter(), now);
        metrics.started(&waiting, now);
        metrics.ended(&ended);
        let began = std::time::Instant::now();
        let result = Ok(::promotion::step::StepResult::succeeded());
        metrics.ran(&StepRun::new(("p".into(), "a".into(), "git-push"), began, &result));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"supercargo_promotions_total{phase="Failed"} 1"#,
            r#"supercargo_promotion_seconds_sum{phase="Failed"} 3.0"#,
            "supercargo_promotion_wait_seconds_sum 60.0",
            r#"supercargo_step_seconds_count{kind="git-push",outcome="Succeeded"} 1"#,
            r#"supercargo_promotions_open{phase="Pending"} 2"#,
            r#"supercargo_promotions_open{phase="Running"} 1"#,
            "supercargo_promotion_queue_age_seconds 60.0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
