//! Whether a Warehouse's repositories are to be looked at now, and when next
//! (`warehouses` 2.4 step 3, 2.8).

use std::time::Duration;

use api::{Warehouse, WarehouseStatus};
use jiff::{SignedDuration, Timestamp};

/// The delay where the next look is due already.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How old `discoveredAt` may become while nothing else is written.
const HEARTBEAT: SignedDuration = SignedDuration::from_hours(1);

/// Why the repositories are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// They never were.
    First,
    /// The spec changed.
    Spec,
    /// Somebody asked for it.
    Refresh,
    /// The last look failed.
    Retry,
    /// The interval is over.
    Interval,
}

impl Due {
    /// Whether the spec is looked at for the first time.
    pub fn is_news(self) -> bool {
        matches!(self, Self::First | Self::Spec)
    }

    /// Whether somebody waits for the look, so that it is worth saying that it
    /// is under way.
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::First | Self::Spec | Self::Refresh)
    }
}

/// The refresh annotation's value, an opaque token.
pub fn refresh_token(warehouse: &Warehouse) -> Option<&str> {
    let annotations = warehouse.metadata.annotations.as_ref()?;
    annotations.get(api::annotations::REFRESH).map(String::as_str)
}

/// Whether to look now. `looked_at` is when this process looked last, which is
/// written down only where something was found.
pub fn due(
    warehouse: &Warehouse,
    looked_at: Option<Timestamp>,
    has_failed: bool,
    now: Timestamp,
) -> Option<Due> {
    let none = WarehouseStatus::default();
    let status = warehouse.status.as_ref().unwrap_or(&none);
    let Some(written) = discovered_at(status) else { return Some(Due::First) };
    if warehouse.metadata.generation.unwrap_or_default() > status.observed_generation {
        return Some(Due::Spec);
    }
    if refresh_token(warehouse).is_some_and(|token| token != status.last_handled_refresh) {
        return Some(Due::Refresh);
    }
    if has_failed {
        return Some(Due::Retry);
    }
    let last = looked_at.map_or(written, |at| at.max(written));
    let interval = warehouse.spec.interval.to_std();
    (now.duration_since(last) > signed(interval)).then_some(Due::Interval)
}

/// When artifacts were found, if there are any.
fn discovered_at(status: &WarehouseStatus) -> Option<Timestamp> {
    let at = status.discovered_artifacts.as_ref()?.discovered_at.as_ref()?.0;
    // Go's zero time.
    (at.as_second() > -62_135_596_800).then_some(at)
}

/// Whether a look that found nothing new is written down all the same, so that
/// `discoveredAt` tells that somebody looks: once an hour.
pub fn is_heartbeat_due(status: &WarehouseStatus, now: Timestamp) -> bool {
    discovered_at(status).is_none_or(|at| now.duration_since(at) >= HEARTBEAT)
}

/// The time until the next look (`warehouses` 2.8), without jitter.
pub fn next_look(
    spec_interval: Duration,
    min_interval: Duration,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Duration {
    let effective = spec_interval.max(min_interval);
    let Some(last) = last else { return effective };
    let left = signed(effective) - now.duration_since(last);
    Duration::try_from(left).ok().filter(|left| !left.is_zero()).unwrap_or(AT_ONCE)
}

/// The time with up to a tenth of it, at most ten seconds, added: Warehouses
/// that were made together drift apart. `draw` is at least 0 and less than 1.
pub fn with_jitter(delay: Duration, draw: f64) -> Duration {
    let most = (delay / 10).min(Duration::from_secs(10));
    delay + most.mul_f64(draw.clamp(0.0, 1.0))
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().expect("a time")
    }

    #[test]
    fn when_a_look_is_due() {
        let found = |at: serde_json::Value| json!({"discoveredAt": at});
        let zero = "0001-01-01T00:00:00Z";
        for (id, artifacts, observed, stored, token, expected) in [
            ("warehouses/2.8-7", None, 1, "", None, Some(Due::First)),
            ("warehouses/2.8-8", Some(found(json!(zero))), 1, "", None, Some(Due::First)),
            ("warehouses/2.8-8 null", Some(found(json!(null))), 1, "", None, Some(Due::First)),
            (
                "warehouses/2.8-9",
                Some(found(json!("2026-01-01T11:59:00Z"))),
                0,
                "",
                None,
                Some(Due::Spec),
            ),
            (
                "warehouses/2.8-10",
                Some(found(json!("2026-01-01T11:59:00Z"))),
                1,
                "old-token",
                Some("new-token"),
                Some(Due::Refresh),
            ),
            (
                "warehouses/2.8-11",
                Some(found(json!("2026-01-01T10:00:00Z"))),
                1,
                "t",
                Some("t"),
                Some(Due::Interval),
            ),
            (
                "warehouses/2.8-12",
                Some(found(json!("2026-01-01T11:30:00Z"))),
                1,
                "t",
                Some("t"),
                None,
            ),
            (
                "exactly the interval",
                Some(found(json!("2026-01-01T11:00:00Z"))),
                1,
                "t",
                None,
                None,
            ),
        ] {
            let warehouse: Warehouse = serde_json::from_value(json!({
                "metadata": {
                    "name": "w", "generation": 1,
                    "annotations": token.map(|t| json!({api::annotations::REFRESH: t})),
                },
                "spec": {"interval": "1h", "subscriptions": []},
                "status": {
                    "observedGeneration": observed, "lastHandledRefresh": stored,
                    "discoveredArtifacts": artifacts,
                },
            }))
            .expect("a Warehouse");
            assert_eq!(due(&warehouse, None, false, now()), expected, "{id}");
            if expected == Some(Due::Interval) {
                let looked = "2026-01-01T11:30:00Z".parse().ok();
                assert_eq!(due(&warehouse, looked, false, now()), None, "looked meanwhile");
            }
            if expected.is_none() {
                assert_eq!(due(&warehouse, None, true, now()), Some(Due::Retry), "{id} failed");
            }
        }
    }

    #[test]
    fn once_an_hour_a_look_is_written_down() {
        for (at, expected) in [
            (None, true),
            (Some("2026-01-01T11:00:01Z"), false),
            (Some("2026-01-01T11:00:00Z"), true),
            (Some("2026-01-01T12:00:05Z"), false),
        ] {
            let status: WarehouseStatus =
                serde_json::from_value(json!({"discoveredArtifacts": {"discoveredAt": at}}))
                    .expect("a status");
            assert_eq!(is_heartbeat_due(&status, now()), expected, "{at:?}");
        }
    }

    #[test]
    fn when_the_next_look_is() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let ago = |n: u64| now().checked_sub(minutes(n)).ok();
        for (id, spec, min, last, expected) in [
            ("warehouses/2.8-1", 5, 2, None, minutes(5)),
            ("warehouses/2.8-2", 2, 5, None, minutes(5)),
            ("warehouses/2.8-3", 5, 2, ago(6), Duration::from_millis(100)),
            ("warehouses/2.8-4", 2, 5, ago(6), Duration::from_millis(100)),
            ("warehouses/2.8-5", 5, 2, ago(3), minutes(2)),
            ("warehouses/2.8-6", 2, 5, ago(1), minutes(4)),
        ] {
            assert_eq!(next_look(minutes(spec), minutes(min), last, now()), expected, "{id}");
        }
        assert_eq!(with_jitter(minutes(5), 0.0), minutes(5), "never early");
        assert_eq!(with_jitter(minutes(5), 1.0), minutes(5) + Duration::from_secs(10));
    }
}
