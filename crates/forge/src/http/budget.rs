//! How often a host is asked: a bucket of requests, a number of them at a
//! time, and the time before which it wants no more of a token's. One for each
//! host and process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credentials::Secret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Requests that unused time adds up to.
const BURST: u32 = 20;

/// Requests to one host at the same time.
const AT_ONCE: usize = 8;

/// Tokens whose pauses are remembered.
const MAX_PAUSES: usize = 1_000;

/// The longest pause that is believed.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A host's budget.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The time between two requests.
    spacing: Duration,
    at_once: Semaphore,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the bucket would be full again, reckoned back: a request may go
    /// when this is at most `BURST - 1` spacings ahead.
    next: Instant,
    /// By token, hashed: providers count requests by account.
    pauses: HashMap<u64, Instant>,
}

impl Budget {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            spacing: Duration::from_secs(1) / per_second.max(1),
            at_once: Semaphore::new(AT_ONCE),
            hasher: RandomState::new(),
            state: Mutex::new(State { next: Instant::now(), pauses: HashMap::new() }),
        }
    }

    /// Waits for a turn; the request may run while the permit lives.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.at_once.acquire().await.ok();
        let wait = self.book(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        permit
    }

    /// How long the host still wants no requests with that token.
    pub(crate) fn paused_for(&self, token: Option<&Secret>, now: Instant) -> Option<Duration> {
        let key = self.key(token);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.pauses.get(&key)?.saturating_duration_since(now);
        if left.is_zero() {
            state.pauses.remove(&key);
            return None;
        }
        Some(left)
    }

    /// Writes down that the host wants no requests with that token for a while.
    pub(crate) fn pause(&self, token: Option<&Secret>, now: Instant, wait: Duration) {
        let until = now + wait.min(LONGEST_PAUSE);
        let key = self.key(token);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pauses.len() >= MAX_PAUSES {
            state.pauses.retain(|_, until| *until > now);
        }
        let pause = state.pauses.entry(key).or_insert(until);
        *pause = until.max(*pause);
    }

    fn key(&self, token: Option<&Secret>) -> u64 {
        self.hasher.hash_one(token.map_or("", Secret::expose))
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
    fn a_burst_at_once_then_one_a_spacing() {
        let budget = Budget::new(10);
        let now = Instant::now();
        let waits: Vec<u128> = (0..22).map(|_| budget.book(now).as_millis()).collect();
        assert!(waits.iter().take(20).all(|w| *w == 0), "{waits:?}");
        assert_eq!(waits.get(20..), Some(&[100, 200][..]));
        // After a rest the bucket is full again, and no fuller.
        let later = now + Duration::from_secs(60);
        let waits: Vec<u128> = (0..21).map(|_| budget.book(later).as_millis()).collect();
        assert_eq!(waits.iter().filter(|w| **w == 0).count(), 20);
    }

    #[test]
    fn a_pause_is_one_tokens() {
        let budget = Budget::new(10);
        let now = Instant::now();
        let (a, b) = (Secret::new("a"), Secret::new("b"));
        budget.pause(Some(&a), now, Duration::from_secs(7));
        budget.pause(Some(&a), now, Duration::from_secs(3));
        budget.pause(None, now, Duration::from_secs(1_000_000));
        assert_eq!(budget.paused_for(Some(&a), now), Some(Duration::from_secs(7)));
        assert_eq!(budget.paused_for(Some(&b), now), None);
        assert_eq!(budget.paused_for(None, now), Some(LONGEST_PAUSE));
        assert_eq!(budget.paused_for(Some(&a), now + Duration::from_secs(8)), None);
    }
}
