//! What is known of a Warehouse from one pass to the next and is not written
//! to its status: writing it would make an idle fleet write. A restarted
//! controller looks once more, which costs reads only.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sources::ErrorClass;
use tokio_util::sync::CancellationToken;

use crate::store::Key;

/// The first delay after a look that failed by chance.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The first delay where a remote refused: somebody has to mend that first.
const FIRST_DELAY_REFUSED: Duration = Duration::from_secs(10);

/// What is known of one Warehouse.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The object that it is about.
    pub uid: String,
    /// When the repositories were looked at last.
    pub looked_at: Option<Timestamp>,
    /// How many looks in a row failed.
    pub failures: u32,
}

/// What is known of all Warehouses.
#[derive(Debug, Default)]
pub struct Memories {
    known: Mutex<HashMap<Key, Memory>>,
    /// Looks that are under way.
    looks: Mutex<HashMap<Key, CancellationToken>>,
}

impl Memories {
    /// What is known of that Warehouse; nothing if the name is another object's.
    pub fn get(&self, key: &Key, uid: &str) -> Memory {
        match self.known().get(key) {
            Some(memory) if memory.uid == uid => memory.clone(),
            _ => Memory { uid: uid.to_owned(), ..Memory::default() },
        }
    }

    /// Keeps what is known now.
    pub fn set(&self, key: &Key, memory: Memory) {
        self.known().insert(key.clone(), memory);
    }

    /// Forgets a Warehouse that is gone, and gives up a look at it.
    pub fn remove(&self, key: &Key) {
        self.give_up(key);
        self.known().remove(key);
    }

    /// The least recent of all last looks.
    pub fn oldest_look(&self) -> Option<Timestamp> {
        self.known().values().filter_map(|memory| memory.looked_at).min()
    }

    /// A look at that Warehouse begins; the token says when to give it up.
    pub fn begin(&self, key: &Key, shutdown: &CancellationToken) -> CancellationToken {
        let token = shutdown.child_token();
        self.looks().insert(key.clone(), token.clone());
        token
    }

    /// The look at that Warehouse is over.
    pub fn end(&self, key: &Key) {
        self.looks().remove(key);
    }

    /// Gives up a look that is under way: its spec is no longer wanted.
    pub fn give_up(&self, key: &Key) {
        if let Some(token) = self.looks().remove(key) {
            token.cancel();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> MutexGuard<'_, HashMap<Key, CancellationToken>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after the `failures`th failed look in a row, never longer
/// than the Warehouse's own interval unless the remote asked for it.
pub fn delay_after(class: ErrorClass, failures: u32, interval: Duration) -> Duration {
    let doubled = |first: Duration| {
        first.saturating_mul(1u32 << failures.saturating_sub(1).min(16)).min(interval)
    };
    match class {
        ErrorClass::RateLimited { retry_after } => retry_after.max(FIRST_DELAY),
        ErrorClass::Transient | ErrorClass::Internal => doubled(FIRST_DELAY),
        ErrorClass::Auth | ErrorClass::NotFound => doubled(FIRST_DELAY_REFUSED),
        ErrorClass::Config => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_up_to_the_interval() {
        let interval = Duration::from_secs(300);
        let seconds = |class, failures| delay_after(class, failures, interval).as_secs();
        assert_eq!([1, 2, 3, 20].map(|n| seconds(ErrorClass::Transient, n)), [1, 2, 4, 300]);
        assert_eq!([1, 2, 9].map(|n| seconds(ErrorClass::Auth, n)), [10, 20, 300]);
        assert_eq!(seconds(ErrorClass::Config, 1), 300);
        let retry_after = Duration::from_secs(900);
        assert_eq!(seconds(ErrorClass::RateLimited { retry_after }, 1), 900);
    }

    #[test]
    fn a_name_that_was_taken_again_is_another_warehouse() {
        let memories = Memories::default();
        let key = Key::new("ns", "w");
        memories.set(&key, Memory { uid: "a".into(), failures: 3, ..Memory::default() });
        assert_eq!(memories.get(&key, "a").failures, 3);
        assert_eq!(memories.get(&key, "b").failures, 0);
        memories.remove(&key);
        assert_eq!(memories.get(&key, "a").failures, 0);
    }

    #[test]
    fn a_look_is_given_up_when_its_warehouse_goes_or_the_process_ends() {
        let memories = Memories::default();
        let (key, other, shutdown) =
            (Key::new("ns", "w"), Key::new("ns", "o"), CancellationToken::new());
        let look = memories.begin(&key, &shutdown);
        let ended = memories.begin(&other, &shutdown);
        memories.end(&other);
        memories.give_up(&other);
        assert!(!look.is_cancelled() && !ended.is_cancelled());
        memories.remove(&key);
        assert!(look.is_cancelled() && !ended.is_cancelled());
        let again = memories.begin(&key, &shutdown);
        shutdown.cancel();
        assert!(again.is_cancelled());
    }

    #[test]
    fn the_oldest_look_of_all() {
        let memories = Memories::default();
        let at = |n| Timestamp::from_second(n).ok();
        assert_eq!(memories.oldest_look(), None);
        for (name, looked_at) in [("a", at(30)), ("b", at(10)), ("c", None)] {
            memories.set(&Key::new("ns", name), Memory { looked_at, ..Memory::default() });
        }
        assert_eq!(memories.oldest_look(), at(10));
    }
}
