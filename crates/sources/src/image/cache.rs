//! What is known of digests and tags. A digest's metadata never changes, so it
//! is kept whoever asked for it; it is used only after the registry has told
//! the present asker that the tag has that digest (or `cacheByTag` says that
//! this may be skipped).

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use super::metadata::Metadata;

/// A map that forgets what was put in first when it is full.
struct Bounded<K, V> {
    most: usize,
    order: VecDeque<K>,
    map: HashMap<K, V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Bounded<K, V> {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), order: VecDeque::new(), map: HashMap::new() }
    }

    fn put(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.map.len() > self.most {
            match self.order.pop_front() {
                Some(oldest) => self.map.remove(&oldest),
                None => break,
            };
        }
    }
}

/// The process's image metadata.
pub(super) struct Cache {
    digests: Mutex<Bounded<String, Arc<Metadata>>>,
    tags: Mutex<Bounded<(String, String), String>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { digests: Mutex::new(Bounded::new(most)), tags: Mutex::new(Bounded::new(most)) }
    }

    pub(super) fn digest(&self, digest: &str) -> Option<Arc<Metadata>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).map.get(digest).cloned()
    }

    pub(super) fn put(&self, metadata: &Arc<Metadata>) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.put(metadata.digest.clone(), Arc::clone(metadata));
    }

    /// The digest that a tag had when it was last read.
    pub(super) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.map.get(&(repository.to_owned(), tag.to_owned())).cloned()
    }

    pub(super) fn put_tag(&self, repository: &str, tag: &str, digest: &str) {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.put((repository.to_owned(), tag.to_owned()), digest.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest() {
        let mut map = Bounded::new(2);
        for key in ["a", "b", "a", "c"] {
            map.put(key, 0);
        }
        let mut keys: Vec<_> = map.map.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!((keys, map.order.len()), (vec!["b", "c"], 2));
    }
}
