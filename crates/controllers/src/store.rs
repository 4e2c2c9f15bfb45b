//! What the process knows of one kind: the objects, indexes over them, and
//! whoever wants to hear of changes.
//!
//! There is one store a kind and process, fed by one watch ([`crate::watch`]),
//! and all controllers read it (house rule 2). A subscriber is a plain
//! function that turns a change into queue keys; it runs on the watch's task
//! and must not block.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kube::Resource;
use tokio::sync::watch;

/// An object's namespace and name. Cluster-scoped objects have no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of `namespace`/`name`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self::new("", name)
    }

    /// The key of that object.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened to an object.
#[derive(Debug)]
pub enum Change<K> {
    /// It is new, or new to this process (the first listing, a subscriber
    /// that joins later).
    Added(Arc<K>),
    /// It was written.
    Updated {
        /// As it was known before.
        old: Arc<K>,
        /// As it is.
        new: Arc<K>,
    },
    /// It is gone.
    Deleted(Arc<K>),
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(new) => Self::Added(Arc::clone(new)),
            Self::Updated { old, new } => {
                Self::Updated { old: Arc::clone(old), new: Arc::clone(new) }
            }
            Self::Deleted(old) => Self::Deleted(Arc::clone(old)),
        }
    }
}

impl<K> Change<K> {
    /// The object as it is, or as it last was.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Deleted(object) => object,
            Self::Updated { new, .. } => new,
        }
    }
}

/// An index: which keys an object is found under, usually those of other
/// objects (a Freight under its Warehouse).
pub struct Index<K> {
    /// Its name.
    pub name: &'static str,
    /// The keys of an object.
    pub keys: fn(&K) -> Vec<Key>,
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// How many objects that went away are remembered, so that the answer to a
/// write that was under way does not bring one back.
const REMEMBERED_GONE: usize = 1024;

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    indexes: BTreeMap<&'static str, BTreeMap<Key, BTreeSet<Key>>>,
    /// UIDs of objects that are gone, the oldest first.
    gone: VecDeque<String>,
}

/// The objects of one kind.
pub struct Store<K> {
    definitions: Vec<Index<K>>,
    state: RwLock<State<K>>,
    /// Also serialises changes, so that every subscriber sees them in order
    /// and none is missed while it joins.
    handlers: Mutex<Vec<Handler<K>>>,
    ready: watch::Sender<bool>,
    available: watch::Sender<bool>,
    /// Why the last listing did not succeed.
    trouble: Mutex<Option<String>>,
}

impl<K> Store<K>
where
    K: Resource + Clone,
{
    /// An empty store with these indexes.
    pub fn new(definitions: Vec<Index<K>>) -> Self {
        let indexes = definitions.iter().map(|i| (i.name, BTreeMap::new())).collect();
        Self {
            definitions,
            state: RwLock::new(State { objects: BTreeMap::new(), indexes, gone: VecDeque::new() }),
            handlers: Mutex::new(Vec::new()),
            ready: watch::Sender::new(false),
            available: watch::Sender::new(true),
            trouble: Mutex::new(None),
        }
    }

    /// The object of that key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read(|s| s.objects.get(key).cloned())
    }

    /// All objects in a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = Key::new(namespace, "");
        self.read(|s| {
            s.objects
                .range(from..)
                .take_while(|(k, _)| k.namespace == namespace)
                .map(|(_, v)| Arc::clone(v))
                .collect()
        })
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read(|s| s.objects.values().cloned().collect())
    }

    /// The objects that index `name` has under `key`, by namespace and name.
    /// None if there is no such index.
    pub fn by(&self, name: &str, key: &Key) -> Vec<Arc<K>> {
        self.read(|s| {
            s.indexes
                .get(name)
                .and_then(|index| index.get(key))
                .into_iter()
                .flatten()
                .filter_map(|k| s.objects.get(k).cloned())
                .collect()
        })
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(|s| s.objects.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for every object that is there, as added, and for every
    /// change from then on, in order. It must not block and must not change
    /// the store.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let handler: Handler<K> = Box::new(handler);
        for object in self.all() {
            call(&handler, &Change::Added(object));
        }
        handlers.push(handler);
    }

    /// Waits until the first listing is complete.
    pub async fn wait_ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives in self, so this cannot fail.
        let _ = ready.wait_for(|r| *r).await;
    }

    /// Whether the first listing is complete.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Why the last listing did not succeed, if it did not.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes why a listing did not succeed; forgotten with the next that does.
    pub fn set_trouble(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// Whether the API server has the kind. True until the watch found out
    /// otherwise.
    pub fn is_available(&self) -> bool {
        *self.available.borrow()
    }

    /// The kind does not exist on this server: nothing will come.
    pub fn set_unavailable(&self) {
        self.take(Vec::new(), None);
        self.available.send_replace(false);
        self.ready.send_replace(true);
    }

    /// Takes all objects that there are: what is missing from them is gone.
    pub fn replace(&self, objects: Vec<K>) {
        self.replace_at(objects, "");
    }

    /// Takes the outcome of a listing of that resourceVersion: what is missing
    /// from it is gone, unless it is known to have been written later.
    pub fn replace_at(&self, objects: Vec<K>, version: &str) {
        self.take(objects, version.parse().ok());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.available.send_replace(true);
        self.ready.send_replace(true);
    }

    fn take(&self, objects: Vec<K>, version: Option<u64>) {
        let listed: BTreeSet<Key> = objects.iter().map(Key::of).collect();
        let is_later = |object: &K| {
            let written = object.meta().resource_version.as_ref().and_then(|v| v.parse().ok());
            version.zip(written).is_some_and(|(listed, written): (u64, u64)| written > listed)
        };
        let gone: Vec<Key> = self.read(|s| {
            let missing = s.objects.iter().filter(|(k, o)| !listed.contains(k) && !is_later(o));
            missing.map(|(k, _)| k.clone()).collect()
        });
        for key in gone {
            self.remove(&key);
        }
        for object in objects {
            self.apply(object);
        }
    }

    /// Takes an object that is new or was written, from the watch or from the
    /// answer to a write of our own: so a controller reads what it has written,
    /// and whoever waits for it is woken without the way through the watch.
    /// What is not newer than what is known changes nothing, nor does an object
    /// that is known to be gone.
    pub fn apply(&self, mut object: K) {
        // Never read here, and often half of an object's bytes.
        object.meta_mut().managed_fields = None;
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::of(&object);
        let new = Arc::new(object);
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(uid) = &new.meta().uid
                && state.gone.contains(uid)
            {
                return;
            }
            if let Some(old) = state.objects.get(&key)
                && !is_newer(&*new, old)
            {
                return;
            }
            let old = state.objects.insert(key.clone(), Arc::clone(&new));
            if let Some(old) = &old {
                self.unindex(&mut state, &key, old);
            }
            self.index(&mut state, &key, &new);
            old
        };
        // A name that was deleted and taken again between two listings is two objects.
        let change = match old {
            Some(old) if old.meta().uid == new.meta().uid => Change::Updated { old, new },
            Some(old) => {
                for handler in handlers.iter() {
                    call(handler, &Change::Deleted(Arc::clone(&old)));
                }
                Change::Added(new)
            }
            None => Change::Added(new),
        };
        for handler in handlers.iter() {
            call(handler, &change);
        }
    }

    /// Takes note that an object is gone.
    pub fn remove(&self, key: &Key) {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let Some(old) = state.objects.remove(key) else { return };
            self.unindex(&mut state, key, &old);
            if let Some(uid) = &old.meta().uid {
                if state.gone.len() == REMEMBERED_GONE {
                    state.gone.pop_front();
                }
                state.gone.push_back(uid.clone());
            }
            old
        };
        for handler in handlers.iter() {
            call(handler, &Change::Deleted(Arc::clone(&old)));
        }
    }

    fn index(&self, state: &mut State<K>, key: &Key, object: &K) {
        for definition in &self.definitions {
            let entries = state.indexes.entry(definition.name).or_default();
            for under in (definition.keys)(object) {
                entries.entry(under).or_default().insert(key.clone());
            }
        }
    }

    fn unindex(&self, state: &mut State<K>, key: &Key, object: &K) {
        for definition in &self.definitions {
            let entries = state.indexes.entry(definition.name).or_default();
            for under in (definition.keys)(object) {
                if let Some(keys) = entries.get_mut(&under) {
                    keys.remove(key);
                    if keys.is_empty() {
                        entries.remove(&under);
                    }
                }
            }
        }
    }

    fn read<T>(&self, f: impl FnOnce(&State<K>) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether `new` was written after `old`. resourceVersions of one object are
/// compared as numbers, as Kubernetes allows; where they are none, any other
/// version counts as newer.
fn is_newer<K: Resource>(new: &K, old: &K) -> bool {
    let (new, old) = (new.meta(), old.meta());
    if new.uid != old.uid {
        return true;
    }
    match (&new.resource_version, &old.resource_version) {
        (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a > b,
            _ => a != b,
        },
        _ => true,
    }
}

/// A subscriber that panics loses this one change; the watch goes on.
fn call<K>(handler: &Handler<K>, change: &Change<K>) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| handler(change))).is_err() {
        tracing::error!("a subscriber panicked; this change did not reach it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    fn object(name: &str, version: &str, owner: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version},
            "data": {"owner": owner},
        }))
        .expect("a ConfigMap")
    }

    fn store() -> Store<ConfigMap> {
        Store::new(vec![Index {
            name: "owner",
            keys: |o| {
                o.data
                    .iter()
                    .flat_map(|d| d.get("owner"))
                    .map(|name| Key::new("ns", name))
                    .collect()
            },
        }])
    }

    fn names(objects: &[Arc<ConfigMap>]) -> Vec<&str> {
        objects.iter().filter_map(|o| o.metadata.name.as_deref()).collect()
    }

    #[test]
    fn indexes_follow_the_objects() {
        let store = store();
        store.replace(vec![object("a", "1", "x"), object("b", "1", "x")]);
        assert_eq!(names(&store.by("owner", &Key::new("ns", "x"))), ["a", "b"]);
        store.apply(object("a", "2", "y"));
        assert_eq!(names(&store.by("owner", &Key::new("ns", "x"))), ["b"]);
        assert_eq!(names(&store.by("owner", &Key::new("ns", "y"))), ["a"]);
        store.remove(&Key::new("ns", "a"));
        assert!(store.by("owner", &Key::new("ns", "y")).is_empty());
        assert!(store.by("other", &Key::new("ns", "y")).is_empty());
    }

    #[test]
    fn subscribers_hear_every_change_once_and_in_order() {
        let store = store();
        store.apply(object("a", "1", "x"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&heard);
        store.subscribe(move |change| {
            let name = change.object().metadata.name.clone().unwrap_or_default();
            let what = match change {
                Change::Added(_) => "added",
                Change::Updated { .. } => "updated",
                Change::Deleted(_) => "deleted",
            };
            to.lock().expect("not poisoned").push(format!("{what} {name}"));
        });
        store.subscribe(|_| panic!("a bad subscriber"));
        store.apply(object("a", "1", "x")); // the same version again
        store.apply(object("a", "2", "x"));
        store.replace(vec![object("b", "3", "x")]);
        assert_eq!(
            *heard.lock().expect("not poisoned"),
            ["added a", "updated a", "deleted a", "added b"]
        );
        assert!(store.is_ready());
    }

    #[test]
    fn an_answer_of_our_own_write_never_takes_the_store_back() {
        let store = store();
        store.apply(object("a", "9", "x"));
        store.apply(object("a", "10", "y"));
        store.apply(object("a", "9", "x")); // the watch is behind
        assert_eq!(names(&store.by("owner", &Key::new("ns", "y"))), ["a"]);
        store.remove(&Key::new("ns", "a"));
        store.apply(object("a", "11", "y")); // the write was under way
        assert!(store.is_empty());
    }

    #[test]
    fn what_was_written_after_a_listing_outlives_it() {
        let store = store();
        store.apply(object("old", "5", "x"));
        store.apply(object("new", "11", "x"));
        store.replace_at(vec![object("listed", "7", "x")], "10");
        assert_eq!(names(&store.all()), ["listed", "new"]);
    }

    #[test]
    fn a_namespace_is_listed_alone() {
        let store = store();
        let mut other = object("z", "1", "x");
        other.metadata.namespace = Some("ns2".into());
        store.replace(vec![object("a", "1", "x"), other]);
        assert_eq!(names(&store.in_namespace("ns")), ["a"]);
        assert_eq!(names(&store.in_namespace("ns2")), ["z"]);
        assert_eq!(store.len(), 2);
    }
}
