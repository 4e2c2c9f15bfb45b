//! When a running Promotion is looked at again (`promotions` 5.5).

use std::time::Duration;

use jiff::Timestamp;

/// How long a running Promotion waits when nothing else is known.
pub const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The shortest wait that a step may ask for.
pub const SHORTEST: Duration = Duration::from_secs(10);

/// The wait when the step's time is already up: upstream may yield none at
/// all there, which would mean no requeue.
pub const AT_ONCE: Duration = Duration::from_millis(100);

/// The step that a Promotion waits for, as far as its time is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// When the step first started.
    pub started_at: Timestamp,
    /// How long it may take; zero and negative limits do not come here.
    pub timeout: Duration,
}

/// The time until the next look.
pub fn interval(suggested: Option<Duration>, current: Option<Limited>, now: Timestamp) -> Duration {
    let wanted = suggested.map_or(INTERVAL, |s| s.max(SHORTEST));
    let Some(Limited { started_at, timeout }) = current else { return wanted };
    let Ok(timeout) = jiff::SignedDuration::try_from(timeout) else { return wanted };
    let left = timeout.saturating_sub(now.duration_since(started_at));
    match Duration::try_from(left) {
        Ok(left) if left < wanted => left.max(AT_ONCE),
        Ok(_) => wanted,
        Err(_) => AT_ONCE,
    }
}

/// The time until another attempt after a fault that passes: what the engine
/// decided, but not beyond the end of the step's time.
pub fn after_fault(pause: Option<Duration>, current: Option<Limited>, now: Timestamp) -> Duration {
    let pause = pause.unwrap_or(SHORTEST);
    pause.min(interval(None, current, now)).max(AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_no_longer_than_the_step_may_take() {
        // `promotions` 12, "Requeue".
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let seconds = Duration::from_secs;
        let started = |ago: i64| now - jiff::SignedDuration::from_secs(ago);
        let limited =
            |ago, timeout| Some(Limited { started_at: started(ago), timeout: seconds(timeout) });
        for (name, suggested, current, want) in [
            ("no step, no metadata or no timeout", None, None, seconds(300)),
            ("just started", Some(seconds(60)), limited(0, 600), seconds(60)),
            ("one minute left", Some(seconds(60)), limited(541, 600), seconds(59)),
            ("too short", Some(seconds(1)), None, seconds(10)),
            ("short", Some(seconds(20)), None, seconds(20)),
            ("the default with one minute left", None, limited(540, 600), seconds(60)),
            ("less than the shortest", None, limited(597, 600), seconds(3)),
            ("time is up", None, limited(700, 600), AT_ONCE),
        ] {
            assert_eq!(interval(suggested, current, now), want, "{name}");
        }
    }
}
