//! A circuit breaker: a host that does not answer is left alone for a while,
//! and then tried by one request before the others.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which the host is left alone.
const FAILURES: u32 = 5;
/// For how long the first time; twice as long each further time.
const FIRST: Duration = Duration::from_secs(10);
/// The longest that a host is left alone.
const LONGEST: Duration = Duration::from_secs(300);
/// A trial that says nothing for that long was given up.
const TRIAL: Duration = Duration::from_secs(120);

/// A host's recent failures. Pure: the time and the chance are arguments.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    opened: u32,
    open_until: Option<Instant>,
    trial_until: Option<Instant>,
    last: String,
}

impl Breaker {
    /// Lets a request pass, or says for how long none may. After that time one
    /// request is the trial that decides for the others.
    pub(super) fn pass(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(until) = self.open_until else { return Ok(()) };
        let trial = self.trial_until.unwrap_or(until);
        let shut = until.max(trial);
        if now < shut {
            return Err(shut - now);
        }
        self.trial_until = Some(now + TRIAL);
        Ok(())
    }

    /// The host answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// The host did not answer. `chance` in 0 to 1 lengthens the pause by up
    /// to a quarter, so that several processes do not come back as one.
    pub(super) fn failed(&mut self, now: Instant, chance: f64, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        self.last = reason.chars().take(300).collect();
        if self.failures < FAILURES {
            return;
        }
        let pause = FIRST.saturating_mul(1 << self.opened.min(10)).min(LONGEST);
        self.opened = self.opened.saturating_add(1);
        self.trial_until = None;
        self.open_until = Some(now + pause.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0));
    }

    /// What is told while it is open.
    pub(super) fn reason(&self) -> String {
        format!("the last {} requests failed ({})", self.failures, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_tries_and_closes() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(start, 0.0, "refused");
            assert_eq!(breaker.pass(start), Ok(()));
        }
        breaker.failed(start, 0.0, "refused");
        assert_eq!(breaker.pass(at(1)), Err(Duration::from_secs(9)));
        assert_eq!(breaker.reason(), "the last 5 requests failed (refused)");
        // One trial, and nobody beside it.
        assert_eq!(breaker.pass(at(10)), Ok(()));
        assert!(breaker.pass(at(11)).is_err());
        // It fails: twice as long.
        breaker.failed(at(12), 0.0, "refused");
        assert_eq!(breaker.pass(at(13)), Err(Duration::from_secs(19)));
        assert_eq!(breaker.pass(at(32)), Ok(()));
        breaker.answered();
        assert_eq!((breaker.pass(at(32)), breaker.pass(at(32))), (Ok(()), Ok(())));
        // A trial that was given up does not shut the door for ever.
        for _ in 0..5 {
            breaker.failed(at(40), 0.0, "refused");
        }
        assert_eq!(breaker.pass(at(50)), Ok(()));
        assert!(breaker.pass(at(60)).is_err());
        assert_eq!(breaker.pass(at(170)), Ok(()));
        // Never longer than five minutes and a quarter.
        for _ in 0..100 {
            breaker.failed(at(200), 1.0, "refused");
        }
        assert_eq!(breaker.pass(at(200)), Err(Duration::from_secs(375)));
    }
}
