//! What was asked of the registry, and the knobs that make it go wrong.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Requests that are remembered; the oldest goes first.
const REMEMBERED: usize = 10_000;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRequest {
    /// The method, for example `GET`.
    pub method: String,
    /// The path, for example `/v2/a/b/tags/list`.
    pub path: String,
    /// The query without `?`, empty where there is none.
    pub query: String,
    /// Whether it had an `Authorization` header.
    pub authorized: bool,
    /// The status that it was answered with.
    pub status: u16,
    /// Whether it came over HTTP/2.
    pub http2: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// The fault's status, with an error of the protocol.
    #[default]
    Status,
    /// The right answer with a byte too many: another digest.
    Altered,
    /// The fault's status (200 if 0) with that body.
    Body(String),
    /// A body that never ends.
    Endless,
    /// A body of which a byte comes at such intervals.
    Drip(Duration),
    /// A body that breaks off.
    Cut,
    /// No answer, ever.
    Hang,
    /// A redirect to that address.
    Redirect(String),
    /// A list of so many tags, `t00000000` and so on, in pages.
    Tags(usize),
}

/// A failure to answer with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The status, for example 503.
    pub status: u16,
    /// The value of `Retry-After`.
    pub retry_after: Option<String>,
    /// Only requests whose path holds this text; all if empty.
    pub path_contains: String,
    /// How many requests are answered well before.
    pub after: usize,
    /// How many requests fail; after that all is well again.
    pub times: usize,
    /// What goes wrong.
    pub trouble: Trouble,
}

#[derive(Default)]
struct State {
    requests: VecDeque<RegistryRequest>,
    total: u64,
    faults: Vec<Fault>,
    delay: Duration,
    no_etags: bool,
    hanging: usize,
}

/// The registry's log and its knobs.
#[derive(Default)]
pub struct RegistryTraffic {
    state: Mutex<State>,
    logged: tokio::sync::Notify,
}

impl RegistryTraffic {
    /// Makes requests fail, beside the failures that are set already.
    pub fn fail(&self, fault: Fault) {
        self.with(|s| s.faults.push(fault));
    }

    /// Makes the next `times` requests fail with that status.
    pub fn fail_next(&self, times: usize, status: u16) {
        self.fail(Fault { status, times, ..Fault::default() });
    }

    /// Ends all failures.
    pub fn heal(&self) {
        self.with(|s| s.faults.clear());
    }

    /// Answers every request only after that time.
    pub fn delay(&self, delay: Duration) {
        self.with(|s| s.delay = delay);
    }

    /// Leaves `ETag` out of the answers for files.
    pub fn without_etags(&self) {
        self.with(|s| s.no_etags = true);
    }

    /// How many requests got no answer because of [`Trouble::Hang`].
    pub fn hanging(&self) -> usize {
        self.with(|s| s.hanging)
    }

    pub(super) fn hangs(&self) {
        self.with(|s| s.hanging += 1);
    }

    pub(super) fn etags(&self) -> bool {
        self.with(|s| !s.no_etags)
    }

    /// The requests since the start or the last [`RegistryTraffic::clear`],
    /// the newest last; 10,000 at most.
    pub fn requests(&self) -> Vec<RegistryRequest> {
        self.with(|s| s.requests.iter().cloned().collect())
    }

    /// How many requests with that method (any if empty) there were whose
    /// path holds that text.
    pub fn count(&self, method: &str, path_contains: &str) -> usize {
        self.with(|s| {
            let right = |r: &&RegistryRequest| {
                (method.is_empty() || r.method == method) && r.path.contains(path_contains)
            };
            s.requests.iter().filter(right).count()
        })
    }

    /// How many requests there were since the start.
    pub fn total(&self) -> u64 {
        self.with(|s| s.total)
    }

    /// Waits until there were so many requests with that method (any if empty)
    /// whose path holds that text.
    pub async fn until(&self, times: usize, method: &str, path_contains: &str) {
        loop {
            let logged = self.logged.notified();
            tokio::pin!(logged);
            logged.as_mut().enable();
            if self.count(method, path_contains) >= times {
                return;
            }
            logged.await;
        }
    }

    /// Forgets the requests, not the total.
    pub fn clear(&self) {
        self.with(|s| s.requests.clear());
    }

    pub(super) fn current_delay(&self) -> Duration {
        self.with(|s| s.delay)
    }

    pub(super) fn fault(&self, path: &str) -> Option<Fault> {
        self.with(|s| {
            let fault = s
                .faults
                .iter_mut()
                .find(|f| f.times > 0 && path.contains(f.path_contains.as_str()))?;
            if fault.after > 0 {
                fault.after -= 1;
                return None;
            }
            fault.times -= 1;
            Some(fault.clone())
        })
    }

    pub(super) fn log(&self, request: RegistryRequest) {
        self.with(|s| {
            s.total += 1;
            if s.requests.len() >= REMEMBERED {
                s.requests.pop_front();
            }
            s.requests.push_back(request);
        });
        self.logged.notify_waiters();
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
