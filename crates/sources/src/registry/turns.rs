//! Whose turn it is to ask a host, and when: a pure state, to which the time
//! is told.
//!
//! Requests wait in a line for each asker (a Warehouse); turns go round the
//! askers, so one that has thousands of requests delays another's next one by
//! no more than one request an asker.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;

/// Requests that unused time adds up to.
const BURST: u32 = 10;
/// A pause up to that long is waited for; beyond it the caller is told.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest pause that is believed.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Who asks: turns go round these.
pub(super) type Asker = Arc<str>;

/// Why a request may not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The host asked for a pause, which goes on for that long.
    Paused(Duration),
    /// The host did not answer lately; it is asked again after that time.
    Broken(Duration, String),
}

/// What becomes of those who wait.
#[derive(Debug, PartialEq)]
pub(super) enum Deal<W> {
    /// Nobody waits.
    Nobody,
    /// Nobody's turn comes before.
    NotBefore(Instant),
    /// It is this one's turn, or it is told why there will be none.
    Turn(W, Result<(), Held>),
}

/// A host's turns; `W` stands for one who waits.
pub(super) struct Turns<W> {
    /// The time between two requests.
    spacing: Duration,
    /// When the next turn would be without the burst.
    next: Instant,
    /// Nothing is sent before.
    not_before: Instant,
    breaker: Breaker,
    lines: HashMap<Asker, VecDeque<W>>,
    /// Askers with somebody in line, the next one first.
    round: VecDeque<Asker>,
}

impl<W> Turns<W> {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            spacing: Duration::from_secs(1) / per_second.max(1),
            next: now,
            not_before: now,
            breaker: Breaker::default(),
            lines: HashMap::new(),
            round: VecDeque::new(),
        }
    }

    /// Asks for a turn: there is one at once, there will be none, or (`None`)
    /// one must wait in line. `free` says that the rate does not count, though
    /// pauses do.
    pub(super) fn ask(&mut self, free: bool, now: Instant) -> Option<Result<(), Held>> {
        if let Err(held) = self.shut(now) {
            return Some(Err(held));
        }
        if self.not_before > now {
            return None;
        }
        if free {
            return Some(self.pass(now));
        }
        (self.round.is_empty() && self.ready(now) <= now).then(|| self.take(now))
    }

    /// Puts one who waits in its asker's line.
    pub(super) fn wait(&mut self, asker: &Asker, waiter: W) {
        let line = self.lines.entry(Arc::clone(asker)).or_default();
        line.push_back(waiter);
        if line.len() == 1 {
            self.round.push_back(Arc::clone(asker));
        }
    }

    /// Gives the next turn. One for whom `gone` holds takes none.
    pub(super) fn deal(&mut self, now: Instant, gone: impl Fn(&W) -> bool) -> Deal<W> {
        while !self.round.is_empty() {
            let shut = self.shut(now);
            let until = self.ready(now).max(self.not_before);
            if shut.is_ok() && until > now {
                return Deal::NotBefore(until);
            }
            let Some(waiter) = self.first().filter(|w| !gone(w)) else { continue };
            let turn = shut.and_then(|()| self.take(now));
            return Deal::Turn(waiter, turn);
        }
        Deal::Nobody
    }

    /// The host wants to be left alone for that long.
    pub(super) fn pause(&mut self, wait: Duration, now: Instant) {
        self.not_before = self.not_before.max(now + wait.min(LONGEST_PAUSE));
    }

    /// The host answered.
    pub(super) fn answered(&mut self) {
        self.breaker.answered();
    }

    /// The host did not answer; `chance` as for [`Breaker::failed`].
    pub(super) fn failed(&mut self, now: Instant, chance: f64, reason: &str) {
        self.breaker.failed(now, chance, reason);
    }

    /// When the next request may be sent.
    fn ready(&self, now: Instant) -> Instant {
        self.next.checked_sub(self.spacing * (BURST - 1)).unwrap_or(now)
    }

    fn take(&mut self, now: Instant) -> Result<(), Held> {
        self.pass(now)?;
        self.next = self.next.max(now) + self.spacing;
        Ok(())
    }

    /// Whether the host wants a pause that is too long to be waited for.
    fn shut(&self, now: Instant) -> Result<(), Held> {
        let left = self.not_before.saturating_duration_since(now);
        if left > LONGEST_WAIT { Err(Held::Paused(left)) } else { Ok(()) }
    }

    fn pass(&mut self, now: Instant) -> Result<(), Held> {
        self.breaker.pass(now).map_err(|wait| Held::Broken(wait, self.breaker.reason()))
    }

    /// The first in the line of the next asker, who goes to the end of the
    /// round.
    fn first(&mut self) -> Option<W> {
        let asker = self.round.pop_front()?;
        let line = self.lines.get_mut(&asker)?;
        let waiter = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&asker);
        } else {
            self.round.push_back(asker);
        }
        waiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a turn, however long it takes; the clock is turned on.
    fn turn(turns: &mut Turns<()>, now: &mut Instant) -> Result<(), Held> {
        if let Some(turn) = turns.ask(false, *now) {
            return turn;
        }
        turns.wait(&Asker::from("a"), ());
        loop {
            match turns.deal(*now, |()| false) {
                Deal::Turn((), turn) => return turn,
                Deal::NotBefore(until) => *now = until,
                Deal::Nobody => panic!("forgotten"),
            }
        }
    }

    #[test]
    fn ten_at_once_then_one_a_spacing() {
        let start = Instant::now();
        let (mut turns, mut now) = (Turns::new(20, start), start);
        let mut waits = Vec::new();
        for _ in 0..12 {
            turn(&mut turns, &mut now).expect("a turn");
            waits.push((now - start).as_millis());
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 100]);
        // After a rest the bucket is full again, and no fuller.
        let rested = now + Duration::from_secs(60);
        now = rested;
        for _ in 0..11 {
            turn(&mut turns, &mut now).expect("a turn");
        }
        assert_eq!((now - rested).as_millis(), 50);
    }

    /// One asker with 5,000 requests in line, and 249 who send ten each, the
    /// next when the last was answered: all of the 249 are done within twice
    /// their fair share of the time.
    #[test]
    fn nobody_waits_for_the_heaviest() {
        const LIGHT: usize = 249;
        const EACH: usize = 10;
        let start = Instant::now();
        let mut turns: Turns<usize> = Turns::new(20, start);
        let name = |n: usize| Asker::from(n.to_string());
        for _ in 0..5_000 {
            turns.wait(&name(0), 0);
        }
        let mut now = start;
        // The heavy one has been at it for a while.
        for _ in 0..100 {
            while let Deal::NotBefore(until) = turns.deal(now, |_| false) {
                now = until;
            }
        }
        let came = now;
        for n in 1..=LIGHT {
            turns.wait(&name(n), n);
        }
        let mut sent = [0; LIGHT + 1];
        let mut done = Vec::new();
        while done.len() < LIGHT {
            match turns.deal(now, |_| false) {
                Deal::NotBefore(until) => now = until,
                Deal::Turn(0, turn) => assert_eq!(turn, Ok(())),
                Deal::Turn(n, turn) => {
                    assert_eq!(turn, Ok(()));
                    sent[n] += 1;
                    if sent[n] == EACH {
                        done.push(now - came);
                    } else {
                        turns.wait(&name(n), n);
                    }
                }
                Deal::Nobody => panic!("forgotten"),
            }
        }
        let fair = Duration::from_secs_f64(((LIGHT + 1) * EACH) as f64 / 20.0);
        let worst = done.last().expect("one");
        assert!(*worst <= fair * 2, "{worst:?}, the fair share is {fair:?}");
        assert!(*worst >= fair - Duration::from_secs(1), "the rate holds: {worst:?}");
    }

    #[test]
    fn a_short_pause_is_waited_for_and_a_long_one_told() {
        let start = Instant::now();
        let (mut turns, mut now) = (Turns::new(20, start), start);
        turns.pause(Duration::from_secs(7), start);
        turns.pause(Duration::from_secs(3), start);
        assert_eq!(turns.ask(true, now), None, "also for those without a rate");
        turn(&mut turns, &mut now).expect("a turn");
        assert_eq!(now - start, Duration::from_secs(7));
        let thirty = Duration::from_secs(30);
        turns.pause(thirty, now);
        for free in [false, true] {
            assert_eq!(turns.ask(free, now), Some(Err(Held::Paused(thirty))));
        }
        // Who waits already is told too, and all of them.
        for _ in 0..2 {
            turns.wait(&Asker::from("b"), ());
        }
        for _ in 0..2 {
            assert_eq!(turns.deal(now, |()| false), Deal::Turn((), Err(Held::Paused(thirty))));
        }
        assert_eq!(turns.deal(now, |()| false), Deal::Nobody);
        assert_eq!(turns.ask(false, now + thirty), Some(Ok(())));
    }

    #[test]
    fn who_gave_up_takes_no_turn() {
        let now = Instant::now();
        let mut turns = Turns::new(1, now);
        for gone in [true, true, false] {
            turns.wait(&Asker::from(gone.to_string()), gone);
        }
        assert_eq!(turns.deal(now, |gone| *gone), Deal::Turn(false, Ok(())));
        assert_eq!(turns.next, now + Duration::from_secs(1), "one turn was taken");
        assert_eq!(turns.deal(now, |gone| *gone), Deal::Nobody);
    }

    #[test]
    fn a_host_that_fails_is_left_alone() {
        let now = Instant::now();
        let mut turns: Turns<()> = Turns::new(20, now);
        for _ in 0..5 {
            assert_eq!(turns.ask(true, now), Some(Ok(())));
            turns.failed(now, 0.0, "connection refused");
        }
        let Some(Err(Held::Broken(wait, reason))) = turns.ask(true, now) else {
            panic!("asked again");
        };
        assert_eq!(reason, "the last 5 requests failed (connection refused)");
        let later = now + wait;
        assert_eq!(turns.ask(false, later), Some(Ok(())), "a trial");
        assert!(matches!(turns.ask(true, later), Some(Err(_))), "one at a time");
        turns.answered();
        assert_eq!(turns.ask(false, later), Some(Ok(())));
    }
}
