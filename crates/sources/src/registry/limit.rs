//! How fast a registry is asked: a bucket of requests, and the time before
//! which it asked not to be asked again. One for each registry and process.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that unused time adds up to.
const BURST: u32 = 10;

/// A registry's limit.
pub(super) struct Limit {
    /// The time between two requests.
    spacing: Duration,
    state: Mutex<State>,
}

struct State {
    /// When the bucket would be full again, reckoned back: a request may go
    /// when this is at most `BURST - 1` spacings ahead.
    next: Instant,
    not_before: Instant,
}

impl Limit {
    pub(super) fn new(per_second: u32) -> Self {
        let now = Instant::now();
        Self {
            spacing: Duration::from_secs(1) / per_second.max(1),
            state: Mutex::new(State { next: now, not_before: now }),
        }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let wait = self.book(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long the registry still does not want to be asked.
    pub(super) fn closed_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.not_before.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Writes down that the registry wants to be left alone for that time.
    pub(super) fn close(&self, now: Instant, wait: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_before = state.not_before.max(now + wait);
    }

    /// Books the next turn and returns how long to wait for it.
    fn book(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let credit = self.spacing * (BURST - 1);
        state.next = state.next.max(now);
        let wait = state.next.saturating_duration_since(now).saturating_sub(credit);
        state.next += self.spacing;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_then_one_a_spacing() {
        let limit = Limit::new(20);
        let now = Instant::now();
        let waits: Vec<u128> = (0..12).map(|_| limit.book(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 100]);
        // After a second of rest the bucket is full again, and no fuller.
        let later = now + Duration::from_secs(60);
        let waits: Vec<u128> = (0..11).map(|_| limit.book(later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50]);
    }

    #[test]
    fn a_closed_registry_opens_again() {
        let limit = Limit::new(20);
        let now = Instant::now();
        assert_eq!(limit.closed_for(now), None);
        limit.close(now, Duration::from_secs(7));
        limit.close(now, Duration::from_secs(3));
        assert_eq!(limit.closed_for(now), Some(Duration::from_secs(7)));
        assert_eq!(limit.closed_for(now + Duration::from_secs(8)), None);
    }
}
