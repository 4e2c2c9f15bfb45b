//! What was asked of the Git host, and the knobs that make it go wrong.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many requests are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GitService {
    /// `git-upload-pack`: listing references for a fetch, and fetching.
    Fetch,
    /// `git-receive-pack`: listing references for a push, and pushing.
    Push,
    /// Anything else.
    Other,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRequest {
    /// When it came in.
    pub at: jiff::Timestamp,
    /// `GET` or `POST`.
    pub method: String,
    /// The path as asked for, without the query.
    pub path: String,
    /// What it belongs to.
    pub service: GitService,
    /// Whether it lists references (`info/refs`).
    pub lists_refs: bool,
    /// The user that it was let in as, if it gave one.
    pub user: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
}

type Interlude = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Requests that are to fail.
#[derive(Clone, Copy)]
struct Failure {
    /// How many are answered before.
    spare: usize,
    left: usize,
    status: u16,
    only: Option<GitService>,
}

#[derive(Default)]
struct State {
    auth: Option<(String, String)>,
    auth_of: HashMap<String, Option<(String, String)>>,
    /// The token of each repository that may only read.
    readers: HashMap<String, String>,
    requests: VecDeque<GitRequest>,
    total: u64,
    reject_pushes: Option<String>,
    fail: Option<Failure>,
    delay: Duration,
    redirects: Vec<(String, String)>,
    before_push: VecDeque<Interlude>,
}

/// What a request is to be met with.
pub(crate) enum Verdict {
    Serve,
    Fail(u16),
    Redirect(String),
}

/// The request log and the knobs.
#[derive(Default)]
pub struct Traffic(Mutex<State>);

impl Traffic {
    pub(crate) fn new(auth: Option<(String, String)>) -> Self {
        Self(Mutex::new(State { auth, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest requests (up to 10,000), oldest first.
    pub fn requests(&self) -> Vec<GitRequest> {
        self.state().requests.iter().cloned().collect()
    }

    /// How many requests there were in all.
    pub fn total(&self) -> u64 {
        self.state().total
    }

    /// How many of the remembered requests are such ones.
    pub fn count(&self, such: impl Fn(&GitRequest) -> bool) -> usize {
        self.state().requests.iter().filter(|r| such(r)).count()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.total = 0;
    }

    /// Refuses every push with this message, as a server-side hook does;
    /// `None` takes them again.
    pub fn reject_pushes(&self, message: Option<&str>) {
        self.state().reject_pushes = message.map(str::to_owned);
    }

    /// Answers the next `n` requests of a service (or of any) with an HTTP
    /// status and does nothing else.
    pub fn fail_next(&self, n: usize, status: u16, service: Option<GitService>) {
        self.fail_after(0, n, status, service);
    }

    /// The same, once `spare` such requests were answered. A push is two
    /// requests: it lists the references, then it pushes.
    pub fn fail_after(&self, spare: usize, n: usize, status: u16, service: Option<GitService>) {
        let failure = Failure { spare, left: n, status, only: service };
        self.state().fail = (n > 0).then_some(failure);
    }

    /// Waits this long before each answer.
    pub fn delay(&self, by: Duration) {
        self.state().delay = by;
    }

    /// Answers requests whose path starts with `prefix` with a redirect (301)
    /// to `to` and the rest of the path. `to` may be a path or a whole URL.
    pub fn redirect(&self, prefix: &str, to: &str) {
        self.state().redirects.push((prefix.to_owned(), to.to_owned()));
    }

    /// Does something once between a push's listing of references and the push
    /// itself: what another writer does to win the race. Several are done one
    /// push each.
    pub fn before_next_push<F>(&self, interlude: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.state().before_push.push_back(Box::new(move || Box::pin(interlude())));
    }

    pub(crate) fn set_auth(&self, repository: String, auth: Option<(String, String)>) {
        self.state().auth_of.insert(repository, auth);
    }

    pub(crate) fn auth_of(&self, repository: &str) -> Option<(String, String)> {
        let state = self.state();
        state.auth_of.get(repository).unwrap_or(&state.auth).clone()
    }

    pub(crate) fn set_reader(&self, repository: String, token: String) {
        self.state().readers.insert(repository, token);
    }

    /// Whether this token may read the repository and no more.
    pub(crate) fn only_reads(&self, repository: &str, token: &str) -> bool {
        self.state().readers.get(repository).is_some_and(|reader| reader == token)
    }

    pub(crate) fn rejection(&self) -> Option<String> {
        self.state().reject_pushes.clone()
    }

    pub(crate) fn current_delay(&self) -> Duration {
        self.state().delay
    }

    pub(crate) fn take_before_push(&self) -> Option<Interlude> {
        self.state().before_push.pop_front()
    }

    pub(crate) fn verdict(&self, path_and_query: &str, service: GitService) -> Verdict {
        let mut state = self.state();
        if let Some(failure) = &mut state.fail
            && failure.only.is_none_or(|only| only == service)
        {
            if failure.spare > 0 {
                failure.spare -= 1;
            } else {
                let status = failure.status;
                failure.left -= 1;
                if failure.left == 0 {
                    state.fail = None;
                }
                return Verdict::Fail(status);
            }
        }
        for (prefix, to) in &state.redirects {
            if let Some(rest) = path_and_query.strip_prefix(prefix.as_str()) {
                return Verdict::Redirect(format!("{to}{rest}"));
            }
        }
        Verdict::Serve
    }

    pub(crate) fn record(&self, request: GitRequest) {
        let mut state = self.state();
        state.total += 1;
        if state.requests.len() >= MAX_REMEMBERED {
            state.requests.pop_front();
        }
        state.requests.push_back(request);
    }
}
