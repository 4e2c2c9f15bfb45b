//! Tokens, kept until shortly before they expire; concurrent callers for one
//! key share one load (`credentials` 7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::credential::Login;
use crate::error::{ErrorClass, Unusable};

/// Where the time comes from (house rule 1).
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Now {
    Arc::new(Timestamp::now)
}

/// A token is not used in the last minutes of its life.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How many tokens are kept at most.
const MAX_TOKENS: usize = 2048;

/// How many loads are at work at once; others wait their turn.
const MAX_LOADS: usize = 32;

/// What a load brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Minted {
    /// What to present.
    pub(crate) login: Login,
    /// Until when it is valid, where that is known.
    pub(crate) expires: Option<Timestamp>,
}

/// How a kind of token is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How long a load may take, whoever waits for it.
    pub(crate) limit: Duration,
    /// How long a token of unknown life is kept.
    pub(crate) default_ttl: SignedDuration,
}

/// How long a token is kept: its life less the margin, or the default. Zero or
/// less means not at all.
pub(crate) fn ttl(
    expires: Option<Timestamp>,
    now: Timestamp,
    default: SignedDuration,
) -> SignedDuration {
    expires.map_or(default, |expires| expires.duration_since(now).saturating_sub(MARGIN))
}

/// What a load came to. Nothing is an answer, too: it is not kept.
pub(crate) type Loaded = Result<Option<Minted>, Unusable>;

struct Held {
    login: Login,
    /// Both clocks must allow it: the wall clock may jump, the other stands
    /// still while the machine sleeps.
    until: Timestamp,
    deadline: Instant,
}

#[derive(Default)]
struct Shelf {
    held: HashMap<String, Held>,
    loading: HashMap<String, watch::Receiver<Option<Loaded>>>,
}

/// Tokens by key. A key tells everything that a token depends on.
pub(crate) struct TokenCache {
    now: Now,
    shelf: Mutex<Shelf>,
    loads: Semaphore,
}

impl TokenCache {
    /// Empty.
    pub(crate) fn new(now: Now) -> Arc<Self> {
        Arc::new(Self { now, shelf: Mutex::default(), loads: Semaphore::new(MAX_LOADS) })
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of this key, loaded by `load` unless it is here or being
    /// loaded already. The load goes on when the caller goes away, and its
    /// result is kept all the same.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        key: &str,
        terms: Terms,
        load: F,
    ) -> Result<Option<Login>, Unusable>
    where
        F: Future<Output = Loaded> + Send + 'static,
    {
        let mut result = {
            let mut shelf = self.shelf();
            if let Some(held) = shelf.held.get(key)
                && (self.now)() < held.until
                && Instant::now() < held.deadline
            {
                return Ok(Some(held.login.clone()));
            }
            match shelf.loading.get(key) {
                Some(loading) => loading.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    shelf.loading.insert(key.to_owned(), receiver.clone());
                    let running = Running { cache: Arc::clone(self), key: key.to_owned() };
                    tokio::spawn(running.run(terms, load, sender));
                    receiver
                }
            }
        };
        let loaded = match result.wait_for(Option::is_some).await {
            Ok(loaded) => loaded.clone(),
            Err(_) => None,
        };
        match loaded {
            Some(loaded) => Ok(loaded?.map(|minted| minted.login)),
            // Its task panicked, or the process is about to end.
            None => Err(Unusable::new(ErrorClass::Transient, "the load was broken off")),
        }
    }

    fn keep(&self, key: &str, minted: &Minted, default_ttl: SignedDuration) {
        let now = (self.now)();
        let kept_for = ttl(minted.expires, now, default_ttl);
        let (Ok(wait), Ok(until)) = (Duration::try_from(kept_for), now.checked_add(kept_for))
        else {
            return;
        };
        let Some(deadline) = Instant::now().checked_add(wait) else { return };
        if wait.is_zero() {
            return;
        }
        let mut shelf = self.shelf();
        if shelf.held.len() >= MAX_TOKENS {
            shelf.held.retain(|_, held| now < held.until);
        }
        if shelf.held.len() >= MAX_TOKENS
            && let Some(first) =
                shelf.held.iter().min_by_key(|(_, held)| held.until).map(|(key, _)| key.clone())
        {
            shelf.held.remove(&first);
        }
        shelf.held.insert(key.to_owned(), Held { login: minted.login.clone(), until, deadline });
    }
}

/// A load at work; takes itself off the list when it ends, however it ends.
struct Running {
    cache: Arc<TokenCache>,
    key: String,
}

impl Running {
    async fn run(
        self,
        terms: Terms,
        load: impl Future<Output = Loaded> + Send,
        sender: watch::Sender<Option<Loaded>>,
    ) {
        let work = async {
            let _turn = self.cache.loads.acquire().await;
            load.await
        };
        let loaded = match tokio::time::timeout(terms.limit, work).await {
            Ok(loaded) => loaded,
            Err(_) => Err(Unusable::new(
                ErrorClass::Transient,
                format!("no token after {} s", terms.limit.as_secs()),
            )),
        };
        if let Ok(Some(minted)) = &loaded
            && !is_empty(&minted.login)
        {
            self.cache.keep(&self.key, minted, terms.default_ttl);
        }
        // Off the list first: who comes now finds the token on the shelf.
        drop(self);
        let _ = sender.send(Some(loaded));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cache.shelf().loading.remove(&self.key);
    }
}

fn is_empty(login: &Login) -> bool {
    match login {
        Login::Basic { password, .. } => password.is_empty(),
        Login::SshKey(key) => key.private_key.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{clock, start};
    use crate::secret::Secret;

    const TERMS: Terms =
        Terms { limit: Duration::from_secs(30), default_ttl: SignedDuration::from_mins(40) };

    fn minted(expires: Option<Timestamp>) -> Minted {
        let login = Login::Basic { username: "u".into(), password: Secret::new("token") };
        Minted { login, expires }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let min = |minutes: i64| Some(start() + SignedDuration::from_mins(minutes));
        // Case, when it expires, how many minutes it is kept.
        let cases = [
            ("credentials/K50", min(4), None),
            ("credentials/K51", min(5), None),
            ("credentials/K51", min(-1), None),
            ("credentials/K52", min(60), Some(55)),
            ("credentials/K53", None, Some(40)),
        ];
        for (case, expires, kept) in cases {
            let kept_for = ttl(expires, start(), TERMS.default_ttl);
            assert_eq!(kept_for.is_positive().then(|| kept_for.as_mins()), kept, "{case}");
            // The same through the cache: a second load would bring nothing.
            let cache = TokenCache::new(clock());
            let shift = (cache.now)().duration_since(start());
            let expires = expires.map(|at| at.checked_add(shift).unwrap());
            let first = cache.get("k", TERMS, async move { Ok(Some(minted(expires))) }).await;
            assert!(first.unwrap().is_some(), "{case}: the token is returned");
            let again = async || cache.get("k", TERMS, async { Ok(None) }).await.unwrap().is_some();
            assert_eq!(again().await, kept.is_some(), "{case}");
            if let Some(minutes) = kept {
                tokio::time::advance(Duration::from_secs(minutes.unsigned_abs() * 60 - 1)).await;
                assert!(again().await, "{case}: still there");
                tokio::time::advance(Duration::from_secs(1)).await;
                assert!(!again().await, "{case}: gone");
            }
        }
    }

    #[tokio::test]
    async fn errors_and_nothing_are_not_kept() {
        let cache = TokenCache::new(clock());
        let wrong = || Unusable::config("wrong");
        let load = async move { Err(wrong()) };
        assert_eq!(cache.get("k", TERMS, load).await, Err(wrong()));
        assert_eq!(cache.get("k", TERMS, async { Ok(None) }).await, Ok(None));
        assert!(cache.get("k", TERMS, async { Ok(Some(minted(None))) }).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_load_that_panics_is_an_error_and_the_next_one_begins_anew() {
        let cache = TokenCache::new(clock());
        let load = async { if true { panic!("a defect") } else { Ok(None) } };
        let error = cache.get("k", TERMS, load).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
        assert!(cache.get("k", TERMS, async { Ok(Some(minted(None))) }).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn different_keys_load_side_by_side() {
        let cache = TokenCache::new(clock());
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let load = |barrier: Arc<tokio::sync::Barrier>| async move {
            // Ends only when both are at work.
            barrier.wait().await;
            Ok(Some(minted(None)))
        };
        let (x, y) = tokio::join!(
            cache.get("x", TERMS, load(Arc::clone(&barrier))),
            cache.get("y", TERMS, load(barrier)),
        );
        assert!(x.unwrap().is_some() && y.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_shelf_is_bounded() {
        let cache = TokenCache::new(clock());
        for n in 0..MAX_TOKENS + 10 {
            cache.keep(&n.to_string(), &minted(None), TERMS.default_ttl);
        }
        assert_eq!(cache.shelf().held.len(), MAX_TOKENS);
    }
}
