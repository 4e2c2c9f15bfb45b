//! A controller's work queue: which objects are to be looked at, and when.
//!
//! A key is in the queue at most once and worked on by at most one worker; a
//! key that is added while it is being worked on is worked on once more. A
//! pass that fails is tried again after a delay that doubles from 5 ms to
//! 1000 s (`stages` 2 rule 4); a panic counts as a failure and never takes the
//! process down (house rule 7).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::error::{Error, ErrorClass};
use crate::metrics::Metrics;
use crate::store::Key;
use crate::trace;

/// The first delay after a failed pass.
const FIRST_DELAY: Duration = Duration::from_millis(5);
/// The longest delay after failed passes.
const LONGEST_DELAY: Duration = Duration::from_secs(1000);
/// How long passes that are under way may take when the process ends.
const GRACE: Duration = Duration::from_secs(20);

/// How a pass ended, if it did not end in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until the next event.
    Done,
    /// Look again after that time, or at the next event if it is sooner.
    After(Duration),
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Key>,
    queued: HashSet<Key>,
    working: HashSet<Key>,
    /// Keys that were added while they were worked on.
    again: HashSet<Key>,
    timers: BTreeSet<(Instant, Key)>,
    timer_of: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

/// A queue of keys. Clones share it.
#[derive(Clone, Default)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a pass over `key` now.
    pub fn add(&self, key: Key) {
        self.with(|s| s.add(key));
        self.changed.notify_one();
    }

    /// Asks for a pass over `key` after `delay` at the latest.
    pub fn add_after(&self, key: Key, delay: Duration) {
        self.with(|s| s.add_at(key, Instant::now() + delay));
        self.changed.notify_one();
    }

    /// How many keys wait for a worker now, timers not counted.
    pub fn len(&self) -> usize {
        self.with(|s| s.waiting.len())
    }

    /// Whether no key waits for a worker now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Works on the queue with at most `workers` passes at a time, until
    /// `shutdown`; passes under way then have 20 seconds to end.
    pub async fn run<F, Pass>(
        &self,
        controller: &'static str,
        workers: usize,
        metrics: Metrics,
        shutdown: CancellationToken,
        reconcile: F,
    ) where
        F: Fn(Key) -> Pass,
        Pass: Future<Output = Result<Outcome, Error>> + Send + 'static,
    {
        let mut passes = JoinSet::new();
        loop {
            let next_timer = self.with(|s| s.wake(Instant::now()));
            while passes.len() < workers.max(1) {
                let Some(key) = self.with(State::take) else { break };
                let pass = AssertUnwindSafe(reconcile(key.clone())).catch_unwind();
                let queue = self.clone();
                let metrics = metrics.clone();
                let span = trace::pass(controller, &key);
                let pass = async move {
                    let started = Instant::now();
                    let result = pass.await;
                    queue.ended(controller, &key, result, started.elapsed(), &metrics);
                };
                passes.spawn(pass.instrument(span));
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.changed.notified() => {}
                Some(_) = passes.join_next(), if !passes.is_empty() => {}
                () = sleep_until(next_timer) => {}
            }
        }
        let ended = async { while passes.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!(controller, "passes did not end in time; leaving them");
        }
    }

    fn ended(
        &self,
        controller: &'static str,
        key: &Key,
        result: std::thread::Result<Result<Outcome, Error>>,
        took: Duration,
        metrics: &Metrics,
    ) {
        let delay = match result {
            Ok(Ok(outcome)) => {
                metrics.reconciled(controller, "success", took);
                self.with(|s| s.failures.remove(key));
                match outcome {
                    Outcome::Done => None,
                    Outcome::After(delay) => Some(delay),
                }
            }
            Ok(Err(error)) => {
                metrics.reconciled(controller, class_label(error.class()), took);
                let delay = self.with(|s| s.failed(key));
                let delay = match error.class() {
                    ErrorClass::RateLimited { retry_after } => delay.max(retry_after),
                    _ => delay,
                };
                match error.class() {
                    ErrorClass::Internal => {
                        tracing::error!(%error, "reconcile failed");
                    }
                    ErrorClass::Conflict => {
                        tracing::debug!(%error, "reconcile failed");
                    }
                    _ => tracing::warn!(%error, "reconcile failed"),
                }
                Some(delay)
            }
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                metrics.reconciled(controller, "panic", took);
                tracing::error!(panic = text, "reconcile panicked");
                Some(self.with(|s| s.failed(key)))
            }
        };
        self.with(|s| {
            s.working.remove(key);
            if s.again.remove(key) {
                s.add(key.clone());
            } else if let Some(delay) = delay {
                s.add_at(key.clone(), Instant::now() + delay);
            }
        });
        self.changed.notify_one();
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn add(&mut self, key: Key) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.waiting.push_back(key);
        }
    }

    fn add_at(&mut self, key: Key, at: Instant) {
        if let Some(&earlier) = self.timer_of.get(&key) {
            if earlier <= at {
                return;
            }
            self.timers.remove(&(earlier, key.clone()));
        }
        self.timers.insert((at, key.clone()));
        self.timer_of.insert(key, at);
    }

    /// Moves what is due to the waiting keys; returns when the next is due.
    fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return Some(at);
            }
            self.timers.pop_first();
            self.timer_of.remove(&key);
            self.add(key);
        }
        None
    }

    fn take(&mut self) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        self.queued.remove(&key);
        self.working.insert(key.clone());
        // The pass decides anew when to look again.
        if let Some(at) = self.timer_of.remove(&key) {
            self.timers.remove(&(at, key.clone()));
        }
        Some(key)
    }

    fn failed(&mut self, key: &Key) -> Duration {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let delay = FIRST_DELAY.saturating_mul(1u32 << (*failures).min(20)).min(LONGEST_DELAY);
        *failures = failures.saturating_add(1);
        delay
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn class_label(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => "transient",
        ErrorClass::RateLimited { .. } => "rate_limited",
        ErrorClass::Auth => "auth",
        ErrorClass::Config => "config",
        ErrorClass::Conflict => "conflict",
        ErrorClass::NotFound => "not_found",
        ErrorClass::Internal => "internal",
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    /// Runs the queue until `passes` passes were made.
    async fn run_for<F, P>(queue: &Queue, workers: usize, passes: usize, reconcile: F)
    where
        F: Fn(Key, usize) -> P,
        P: Future<Output = Result<Outcome, Error>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let made = Arc::new(AtomicUsize::new(0));
        queue
            .run("test", workers, Metrics::default(), stop.clone(), |key| {
                let n = made.fetch_add(1, Ordering::SeqCst);
                let pass = reconcile(key, n);
                let stop = stop.clone();
                async move {
                    let result = AssertUnwindSafe(pass).catch_unwind().await;
                    if n + 1 == passes {
                        stop.cancel();
                    }
                    match result {
                        Ok(result) => result,
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            })
            .await;
        assert_eq!(made.load(Ordering::SeqCst), passes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_failures_back_off() {
        let queue = Queue::new();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.len(), 1);
        let start = Instant::now();
        run_for(&queue, 1, 4, |_, n| async move {
            if n < 3 { Err(Error::new(ErrorClass::Transient, "no")) } else { Ok(Outcome::Done) }
        })
        .await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(35), "5 + 10 + 20 ms, took {took:?}");
        assert!(took < Duration::from_millis(60), "took {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failed_pass() {
        let queue = Queue::new();
        queue.add(key("a"));
        run_for(&queue, 1, 2, |_, n| async move {
            assert!(n > 0, "the first pass panics");
            Ok(Outcome::Done)
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_during_its_pass_is_worked_on_again_but_never_twice_at_once() {
        let queue = Queue::new();
        queue.add(key("a"));
        let inside = Arc::new(AtomicUsize::new(0));
        let again = queue.clone();
        run_for(&queue, 4, 2, |k, n| {
            let inside = Arc::clone(&inside);
            let again = again.clone();
            async move {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                if n == 0 {
                    again.add(k);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::Done)
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_and_an_event_replaces_it() {
        let queue = Queue::new();
        queue.add(key("a"));
        let start = Instant::now();
        run_for(&queue, 1, 2, |_, n| async move {
            Ok(if n == 0 { Outcome::After(Duration::from_secs(300)) } else { Outcome::Done })
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 300);
        queue.add_after(key("b"), Duration::from_secs(300));
        queue.add(key("b"));
        let start = Instant::now();
        run_for(&queue, 1, 1, |_, _| async { Ok(Outcome::Done) }).await;
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(queue.with(|s| s.timers.len()), 0);
    }
}
