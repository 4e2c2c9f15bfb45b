//! What is known of digests and tags, in memory and, where a folder is set,
//! on disk. A digest's metadata never changes, so it is kept whoever asked for
//! it; it is used only after the registry has told the present asker that the
//! tag has that digest (or `cacheByTag` says that this may be skipped).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metadata::Metadata;
use crate::disk_cache::DiskCache;

/// A map that forgets what was used longest ago when it is full.
struct Recent<K, V> {
    most: usize,
    uses: u64,
    map: HashMap<K, (V, u64)>,
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), uses: 0, map: HashMap::new(), order: BTreeMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.uses += 1;
        let (value, used) = self.map.get_mut(key)?;
        if let Some(key) = self.order.remove(used) {
            self.order.insert(self.uses, key);
        }
        *used = self.uses;
        Some(value.clone())
    }

    fn put(&mut self, key: K, value: V) {
        self.uses += 1;
        if let Some((_, used)) = self.map.insert(key.clone(), (value, self.uses)) {
            self.order.remove(&used);
        }
        self.order.insert(self.uses, key);
        while self.map.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.map.remove(&oldest);
        }
    }
}

type Tags = BTreeMap<String, String>;

/// The tags of the repositories, and the digests that they had when they were
/// last read.
struct Repositories {
    most: usize,
    total: usize,
    uses: u64,
    map: HashMap<String, Known>,
}

#[derive(Default)]
struct Known {
    tags: Tags,
    used: u64,
    /// Whether the disk has something else.
    changed: bool,
}

impl Repositories {
    fn of(&mut self, repository: &str) -> &mut Known {
        self.uses += 1;
        let known = self.map.entry(repository.to_owned()).or_default();
        known.used = self.uses;
        known
    }

    fn put(&mut self, repository: &str, tag: &str, digest: &str) {
        let known = self.of(repository);
        match known.tags.get_mut(tag) {
            Some(old) if old == digest => return,
            Some(old) => digest.clone_into(old),
            None => {
                known.tags.insert(tag.to_owned(), digest.to_owned());
                known.changed = true;
                self.total += 1;
                self.shrink(repository);
                return;
            }
        }
        known.changed = true;
    }

    /// Lets whole repositories go, the least recently used first; the one in
    /// use stays, however large.
    fn shrink(&mut self, but: &str) {
        while self.total > self.most {
            let others = self.map.iter().filter(|(name, _)| name.as_str() != but);
            let Some(oldest) = others.min_by_key(|(_, k)| k.used).map(|(n, _)| n.clone()) else {
                return;
            };
            if let Some(known) = self.map.remove(&oldest) {
                self.total -= known.tags.len();
            }
        }
    }
}

/// The process's image metadata.
pub(super) struct Cache {
    digests: Mutex<Recent<String, Arc<Metadata>>>,
    repositories: Mutex<Repositories>,
    disk: Option<Arc<DiskCache>>,
}

impl Cache {
    /// Room for so many digests, and as many tags.
    pub(super) fn new(most: usize, disk: Option<DiskCache>) -> Self {
        let most = most.max(1);
        Self {
            digests: Mutex::new(Recent::new(most)),
            repositories: Mutex::new(Repositories { most, total: 0, uses: 0, map: HashMap::new() }),
            disk: disk.map(Arc::new),
        }
    }

    /// What is known of a digest.
    pub(super) async fn digest(&self, digest: &str) -> Option<Arc<Metadata>> {
        if let Some(known) = lock(&self.digests).get(&digest.to_owned()) {
            return Some(known);
        }
        let bytes = self.read(format!("digest:{digest}")).await?;
        let metadata: Metadata = serde_json::from_slice(&bytes).ok()?;
        if metadata.digest != digest {
            return None;
        }
        let metadata = Arc::new(metadata);
        lock(&self.digests).put(digest.to_owned(), Arc::clone(&metadata));
        Some(metadata)
    }

    pub(super) async fn put(&self, metadata: &Arc<Metadata>) {
        lock(&self.digests).put(metadata.digest.clone(), Arc::clone(metadata));
        if let Ok(bytes) = serde_json::to_vec(&**metadata) {
            self.write(format!("digest:{}", metadata.digest), bytes).await;
        }
    }

    /// Gets ready what was known of a repository before a restart.
    pub(super) async fn open(&self, repository: &str) {
        if self.disk.is_none() || lock(&self.repositories).map.contains_key(repository) {
            return;
        }
        let Some(bytes) = self.read(format!("tags:{repository}")).await else { return };
        let Ok(tags) = serde_json::from_slice::<Tags>(&bytes) else { return };
        let mut repositories = lock(&self.repositories);
        for (tag, digest) in &tags {
            repositories.put(repository, tag, digest);
        }
        repositories.of(repository).changed = false;
    }

    /// The digest that a tag had when it was last read.
    pub(super) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        lock(&self.repositories).map.get(repository)?.tags.get(tag).cloned()
    }

    pub(super) fn put_tag(&self, repository: &str, tag: &str, digest: &str) {
        lock(&self.repositories).put(repository, tag, digest);
    }

    /// Forgets tags that are not there any more, and has the disk keep the
    /// others. `present` is none where the tags were not listed.
    pub(super) async fn close(&self, repository: &str, present: Option<&BTreeSet<String>>) {
        let bytes = {
            let mut repositories = lock(&self.repositories);
            let known = repositories.of(repository);
            let before = known.tags.len();
            if let Some(present) = present {
                known.tags.retain(|tag, _| present.contains(tag));
            }
            let gone = before - known.tags.len();
            let changed = std::mem::take(&mut known.changed) || gone > 0;
            let bytes = match (changed, &self.disk) {
                (true, Some(_)) => serde_json::to_vec(&known.tags).ok(),
                _ => None,
            };
            repositories.total -= gone;
            bytes
        };
        if let Some(bytes) = bytes {
            self.write(format!("tags:{repository}"), bytes).await;
        }
    }

    async fn read(&self, key: String) -> Option<Vec<u8>> {
        let disk = Arc::clone(self.disk.as_ref()?);
        tokio::task::spawn_blocking(move || disk.get(&key)).await.ok().flatten()
    }

    async fn write(&self, key: String, bytes: Vec<u8>) {
        let Some(disk) = self.disk.clone() else { return };
        let _ = tokio::task::spawn_blocking(move || disk.put(&key, &bytes)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_what_was_used_longest_ago() {
        let mut map = Recent::new(2);
        for key in ["a", "b"] {
            map.put(key, 0);
        }
        assert_eq!(map.get(&"a"), Some(0));
        map.put("c", 1);
        assert_eq!((map.get(&"a"), map.get(&"b"), map.get(&"c")), (Some(0), None, Some(1)));
        assert_eq!((map.map.len(), map.order.len()), (2, 2));
    }

    #[tokio::test]
    async fn whole_repositories_go() {
        let cache = Cache::new(3, None);
        for (repository, tag) in [("r1", "a"), ("r1", "b"), ("r2", "a"), ("r3", "a")] {
            cache.put_tag(repository, tag, "d");
        }
        let known = |r: &str, t: &str| cache.tag(r, t).is_some();
        assert!(!known("r1", "a") && !known("r1", "b") && known("r2", "a") && known("r3", "a"));
        // Tags that vanished are forgotten.
        cache.put_tag("r2", "b", "d");
        cache.close("r2", Some(&["b".to_owned()].into())).await;
        assert!(!known("r2", "a") && known("r2", "b"));
        assert_eq!(lock(&cache.repositories).total, 2);
    }
}
