//! When a Warehouse looks for artifacts (`api` 7.13).

use std::time::Duration;

use jiff::Timestamp;

use crate::warehouse::{Warehouse, WarehouseStatus};

/// The wait before a look that is overdue.
const OVERDUE: Duration = Duration::from_millis(100);

fn discovered_at(status: Option<&WarehouseStatus>) -> Option<Timestamp> {
    let at = status?.discovered_artifacts.as_ref()?.discovered_at.as_ref()?;
    Some(at.0)
}

fn until(then: Timestamp, wait: Duration, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(then)).unwrap_or_default();
    wait.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Whether to look now: nothing is known yet, the spec changed, a refresh was
/// asked for (`refresh` is the annotation's value), or the interval passed.
pub fn is_due(warehouse: &Warehouse, refresh: Option<&str>, now: Timestamp) -> bool {
    let status = warehouse.status.as_ref();
    let Some(at) = discovered_at(status) else { return true };
    let (observed, handled) =
        status.map_or((0, ""), |s| (s.observed_generation, s.last_handled_refresh.as_str()));
    warehouse.metadata.generation.unwrap_or_default() > observed
        || refresh.is_some_and(|token| !token.is_empty() && token != handled)
        || until(at, warehouse.spec.interval.to_std(), now).is_none()
}

/// How long until the next look: the interval, `minimum` at least, since the
/// last one.
pub fn wait(warehouse: &Warehouse, minimum: Duration, now: Timestamp) -> Duration {
    let interval = warehouse.spec.interval.to_std().max(minimum);
    match discovered_at(warehouse.status.as_ref()) {
        Some(at) => until(at, interval, now).unwrap_or(OVERDUE),
        None => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::warehouse::DiscoveredArtifacts;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Looked at second 0, with the default interval of five minutes.
    fn looked() -> Warehouse {
        let mut warehouse = Warehouse::default();
        warehouse.metadata.generation = Some(2);
        warehouse.status = Some(WarehouseStatus {
            observed_generation: 2,
            last_handled_refresh: "t1".into(),
            discovered_artifacts: Some(DiscoveredArtifacts {
                discovered_at: Some(Time(at(0))),
                ..Default::default()
            }),
            ..Default::default()
        });
        warehouse
    }

    #[test]
    fn a_look_is_due_when_something_changed_or_time_passed() {
        assert!(is_due(&Warehouse::default(), None, at(0)), "nothing is known");
        let warehouse = looked();
        for (refresh, second, due) in [
            (None, 1, false),
            (Some(""), 1, false),
            (Some("t1"), 1, false),
            (Some("t2"), 1, true),
            (None, 299, false),
            (None, 300, true),
        ] {
            assert_eq!(is_due(&warehouse, refresh, at(second)), due, "{refresh:?} {second}");
        }
        let mut changed = warehouse;
        changed.metadata.generation = Some(3);
        assert!(is_due(&changed, None, at(1)));
    }

    #[test]
    fn the_wait_is_the_rest_of_the_interval() {
        let minute = Duration::from_secs(60);
        let warehouse = looked();
        assert_eq!(wait(&warehouse, minute, at(100)), Duration::from_secs(200));
        assert_eq!(wait(&warehouse, minute * 10, at(100)), Duration::from_secs(500));
        assert_eq!(wait(&warehouse, minute, at(301)), OVERDUE);
        assert_eq!(wait(&Warehouse::default(), minute, at(0)), minute * 5);
    }
}
