//! What the simulated Argo CD is told to do otherwise than usual.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How long the stages of a sync take. The defaults are short; a real Argo CD
/// takes about five times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Until a request is begun.
    pub begin: Duration,
    /// A comparison.
    pub compare: Duration,
    /// The sync itself.
    pub sync: Duration,
    /// From the operation's end until sync status and health say so.
    pub settle: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            begin: Duration::from_millis(5),
            compare: Duration::from_millis(10),
            sync: Duration::from_millis(30),
            settle: Duration::from_millis(15),
        }
    }
}

impl Delays {
    /// Nothing takes any time.
    pub const NONE: Self = Self {
        begin: Duration::ZERO,
        compare: Duration::ZERO,
        sync: Duration::ZERO,
        settle: Duration::ZERO,
    };
}

/// A health to order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// For example `Degraded`.
    pub status: String,
    /// For example `Caused by apps/Deployment:default/web`.
    pub message: String,
}

#[derive(Debug, Default)]
struct Orders {
    failures: Vec<String>,
    health: Option<Health>,
    operations: u64,
}

#[derive(Debug)]
struct State {
    delays: Delays,
    orders: HashMap<(String, String), Orders>,
}

/// The knobs. Applications are named as (namespace, name).
#[derive(Debug)]
pub struct Knobs {
    state: Mutex<State>,
    paused: watch::Sender<bool>,
    /// The Applications whose hooks do not end.
    held: watch::Sender<HashSet<(String, String)>>,
}

impl Knobs {
    pub(super) fn new(delays: Delays) -> Self {
        Self {
            state: Mutex::new(State { delays, orders: HashMap::new() }),
            paused: watch::Sender::new(false),
            held: watch::Sender::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, namespace: &str, name: &str, f: impl FnOnce(&mut Orders) -> T) -> T {
        let key = (namespace.to_owned(), name.to_owned());
        f(self.state().orders.entry(key).or_default())
    }

    /// How long things take from now on.
    pub fn set_delays(&self, delays: Delays) {
        self.state().delays = delays;
    }

    pub(super) fn delays(&self) -> Delays {
        self.state().delays
    }

    /// Lets the Application's next sync attempt fail as if the API server had
    /// refused a manifest for this reason. Called again, the one after it too;
    /// with a retry limit on the Application each attempt counts.
    pub fn fail_next_sync(&self, namespace: &str, name: &str, reason: &str) {
        self.with(namespace, name, |orders| orders.failures.push(reason.to_owned()));
    }

    pub(super) fn take_failure(&self, namespace: &str, name: &str) -> Option<String> {
        self.with(namespace, name, |orders| {
            (!orders.failures.is_empty()).then(|| orders.failures.remove(0))
        })
    }

    /// The health that the Application is to have from its next comparison or
    /// sync on; none lets it be healthy once it is synced.
    pub fn set_health(&self, namespace: &str, name: &str, health: Option<Health>) {
        self.with(namespace, name, |orders| orders.health = health);
    }

    pub(super) fn health(&self, namespace: &str, name: &str) -> Option<Health> {
        self.with(namespace, name, |orders| orders.health.clone())
    }

    /// How many operations of the Application were begun, Argo CD's own ones
    /// included.
    pub fn operations(&self, namespace: &str, name: &str) -> u64 {
        self.with(namespace, name, |orders| orders.operations)
    }

    pub(super) fn count_operation(&self, namespace: &str, name: &str) {
        self.with(namespace, name, |orders| orders.operations += 1);
    }

    /// Lets the Application's syncs run, from the next one on, until
    /// [`Knobs::let_go`], as if they waited for a hook.
    pub fn hold(&self, namespace: &str, name: &str) {
        self.held.send_modify(|held| {
            held.insert((namespace.to_owned(), name.to_owned()));
        });
    }

    /// Lets its hook end, and with it the sync that waits.
    pub fn let_go(&self, namespace: &str, name: &str) {
        self.held.send_modify(|held| {
            held.remove(&(namespace.to_owned(), name.to_owned()));
        });
    }

    pub(super) fn is_held(&self, namespace: &str, name: &str) -> bool {
        self.held.borrow().contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// Returns at once unless held.
    pub(super) async fn not_held(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut held = self.held.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = held.wait_for(|held| !held.contains(&key)).await;
    }

    /// Lets Argo CD write nothing until [`Knobs::resume`], as if it were down.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// Returns at once unless paused.
    pub(super) async fn not_paused(&self) {
        let mut paused = self.paused.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = paused.wait_for(|paused| !paused).await;
    }
}
