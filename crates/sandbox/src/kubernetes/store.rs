//! The objects, their history and those who watch: everything that the API remembers, in memory.
//!
//! All of it stands behind one lock. A write takes microseconds, tells the watchers before it is
//! answered, and is seen by every later read.

use super::failure::Failure;
use super::resource::Resource;
use super::selector::{Fields, Labels};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Namespace (empty for cluster-scoped objects) and name.
pub type Key = (String, String);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came to be, or came into the selection.
    Added,
    /// It changed.
    Modified,
    /// It is gone, or went out of the selection.
    Deleted,
}

/// One change, as it is kept in the history.
#[derive(Debug)]
struct Event {
    version: u64,
    change: Change,
    object: Arc<Value>,
    previous: Option<Arc<Value>>,
}

/// One change, as a watcher gets it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What happened, from the watcher's point of view.
    pub change: Change,
    /// The object after the change.
    pub object: Arc<Value>,
}

/// What a list or watch is about.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only these labels.
    pub labels: Labels,
    /// Only these fields.
    pub fields: Fields,
}

impl Selection {
    /// Whether the object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let metadata = |field: &str| {
            object.pointer("/metadata").and_then(|m| m.get(field)).and_then(Value::as_str)
        };
        self.namespace.as_deref().is_none_or(|wanted| metadata("namespace") == Some(wanted))
            && self.name.as_deref().is_none_or(|wanted| metadata("name") == Some(wanted))
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    fn translate(&self, event: &Event) -> Option<Seen> {
        let before = event.previous.as_deref().is_some_and(|object| self.matches(object));
        let after = event.change != Change::Deleted && self.matches(&event.object);
        match (before, after) {
            (false, false) => (event.change == Change::Deleted && self.matches(&event.object))
                .then(|| Seen { change: Change::Deleted, object: event.object.clone() }),
            (false, true) => Some(Seen { change: Change::Added, object: event.object.clone() }),
            (true, true) => Some(Seen { change: Change::Modified, object: event.object.clone() }),
            (true, false) if event.change == Change::Deleted => {
                Some(Seen { change: Change::Deleted, object: event.object.clone() })
            }
            (true, false) => {
                // It left the selection: the watcher gets it as it knew it, at the version of the change.
                let mut object = event.previous.as_deref()?.clone();
                set_version(&mut object, event.version);
                Some(Seen { change: Change::Deleted, object: Arc::new(object) })
            }
        }
    }
}

#[derive(Debug)]
struct Watcher {
    selection: Selection,
    sender: mpsc::Sender<Seen>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Collection {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Event>,
    /// The newest version that the history has forgotten.
    forgotten: u64,
    watchers: Vec<Watcher>,
}

/// How much the API keeps and takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes of each kind that a watch can still start before.
    pub history: usize,
    /// Changes that may wait for a slow watcher before its watch is closed.
    pub watch_buffer: usize,
    /// Watches at a time for each kind; further ones are answered 429.
    pub watchers: usize,
    /// Bytes of a request body.
    pub body: usize,
    /// Bytes of one object as JSON; greater ones are answered 413.
    pub object: usize,
    /// Objects of each kind; further ones are answered 507.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history: 2048,
            watch_buffer: 1024,
            watchers: 1024,
            body: 3 * 1024 * 1024,
            object: 1_572_864,
            objects: 100_000,
        }
    }
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects, in the order of their keys.
    pub items: Vec<Arc<Value>>,
    /// Where the next page starts, if there is one.
    pub next: Option<Key>,
    /// How many objects come after this page.
    pub remaining: usize,
}

/// A watch that has begun.
#[derive(Debug)]
pub struct Watch {
    /// What happened since the version that was asked for, oldest first.
    pub backlog: Vec<Seen>,
    /// What happens from now on.
    pub receiver: mpsc::Receiver<Seen>,
    /// The version that the backlog reaches.
    pub version: u64,
}

/// Everything that the API remembers.
#[derive(Debug)]
pub struct Store {
    version: u64,
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
    collections: HashMap<String, Collection>,
    by_uid: HashMap<String, (String, Key)>,
    dependents: HashMap<String, BTreeSet<(String, Key)>>,
    /// How much is kept.
    pub limits: Limits,
    /// UIDs of objects that are gone and may have left dependents behind.
    pub gone: Vec<String>,
    /// Objects that are being deleted and wait for others to go first: namespaces,
    /// CustomResourceDefinitions, owners in the foreground.
    pub ending: BTreeSet<(String, Key)>,
}

/// The owners' UIDs of an object.
pub fn owners(object: &Value) -> Vec<String> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(|reference| reference.get("uid").and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

fn uid(object: &Value) -> String {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
}

impl Store {
    /// An empty store that knows these resources.
    pub fn new(resources: Vec<Resource>, limits: Limits) -> Self {
        let mut store = Self {
            version: 1,
            resources: BTreeMap::new(),
            collections: HashMap::new(),
            by_uid: HashMap::new(),
            dependents: HashMap::new(),
            limits,
            gone: Vec::new(),
            ending: BTreeSet::new(),
        };
        for resource in resources {
            store.serve(resource);
        }
        store
    }

    /// Serves a resource from now on.
    pub fn serve(&mut self, resource: Resource) {
        // Nothing is known of the time before a kind: a watch from there is expired.
        let forgotten = if resource.custom { self.version } else { 0 };
        self.collections
            .entry(resource.storage.clone())
            .or_insert_with(|| Collection { forgotten, ..Collection::default() });
        let key = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        self.resources.insert(key, Arc::new(resource));
    }

    /// No longer serves the versions of a custom resource for which `keep` says no.
    pub fn withdraw(&mut self, group: &str, plural: &str, keep: impl Fn(&str) -> bool) {
        self.resources
            .retain(|(of, version, name), _| of != group || name != plural || keep(version));
    }

    /// The resource at a path.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// All resources that are served.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// One object.
    pub fn get(&self, storage: &str, key: &Key) -> Option<Arc<Value>> {
        self.collections.get(storage)?.objects.get(key).cloned()
    }

    /// How many objects of a kind there are.
    pub fn count(&self, storage: &str) -> usize {
        self.collections.get(storage).map_or(0, |collection| collection.objects.len())
    }

    /// Where the object with this UID stands.
    pub fn locate(&self, uid: &str) -> Option<(String, Key)> {
        self.by_uid.get(uid).cloned()
    }

    /// Where the objects stand that name this UID as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<(String, Key)> {
        self.dependents.get(uid).map(|found| found.iter().cloned().collect()).unwrap_or_default()
    }

    /// Where the objects of a namespace stand.
    pub fn contents(&self, namespace: &str) -> Vec<(String, Key)> {
        let mut found = Vec::new();
        for (storage, collection) in &self.collections {
            for key in collection.objects.keys().filter(|key| key.0 == namespace) {
                found.push((storage.clone(), key.clone()));
            }
        }
        found.sort();
        found
    }

    /// All keys of a kind.
    pub fn keys(&self, storage: &str) -> Vec<Key> {
        self.collections
            .get(storage)
            .map(|found| found.objects.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// A page of a list.
    pub fn list(
        &self,
        storage: &str,
        selection: &Selection,
        limit: usize,
        from: Option<&Key>,
    ) -> Page {
        use std::ops::Bound;
        let mut page = Page { items: Vec::new(), next: None, remaining: 0 };
        let Some(collection) = self.collections.get(storage) else { return page };
        let first = selection.namespace.clone().map(|namespace| (namespace, String::new()));
        let start = match (from, &first) {
            (Some(from), _) => Bound::Included(from),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        for (key, object) in collection.objects.range::<Key, _>((start, Bound::Unbounded)) {
            if selection.namespace.as_ref().is_some_and(|namespace| key.0 != *namespace) {
                break;
            }
            if !selection.matches(object) {
                continue;
            }
            if limit > 0 && page.items.len() >= limit {
                page.next.get_or_insert_with(|| key.clone());
                page.remaining += 1;
            } else {
                page.items.push(object.clone());
            }
        }
        page
    }

    /// Begins a watch after a version.
    ///
    /// # Errors
    /// 410 when the history no longer reaches back so far, 429 when there are too many watches.
    pub fn watch(
        &mut self,
        storage: &str,
        selection: Selection,
        after: u64,
    ) -> Result<Watch, Failure> {
        let limits = self.limits;
        let version = self.version;
        let collection = self.collections.entry(storage.to_owned()).or_default();
        if after < collection.forgotten {
            return Err(Failure::expired(format!(
                "too old resource version: {after} ({})",
                collection.forgotten
            )));
        }
        collection.watchers.retain(|watcher| !watcher.sender.is_closed());
        if collection.watchers.len() >= limits.watchers {
            return Err(Failure::new(
                429,
                "TooManyRequests",
                "too many watches of this resource; close some first",
            ));
        }
        let backlog = collection
            .history
            .iter()
            .filter(|event| event.version > after)
            .filter_map(|event| selection.translate(event))
            .collect();
        let (sender, receiver) = mpsc::channel(limits.watch_buffer.max(1));
        collection.watchers.push(Watcher { selection, sender });
        Ok(Watch { backlog, receiver, version })
    }

    /// Whether the history of a kind reaches back to a version.
    pub fn reaches(&self, storage: &str, version: u64) -> bool {
        self.collections.get(storage).is_none_or(|collection| version >= collection.forgotten)
    }

    /// Forgets the history, so that watches from before now are answered 410.
    pub fn compact(&mut self) {
        for collection in self.collections.values_mut() {
            collection.history.clear();
            collection.forgotten = self.version;
        }
    }

    /// Closes every watch; clients begin again where they were.
    pub fn close_watches(&mut self) {
        for collection in self.collections.values_mut() {
            collection.watchers.clear();
        }
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        let open = |collection: &Collection| {
            collection.watchers.iter().filter(|watcher| !watcher.sender.is_closed()).count()
        };
        self.collections.values().map(open).sum()
    }

    /// Writes an object under a new version and tells the watchers.
    pub fn put(&mut self, storage: &str, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        set_version(&mut object, self.version);
        let object = Arc::new(object);
        let collection = self.collections.entry(storage.to_owned()).or_default();
        let previous = collection.objects.insert(key.clone(), object.clone());
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        let place = (storage.to_owned(), key);
        if let Some(previous) = &previous {
            self.forget(previous, &place);
        }
        self.by_uid.insert(uid(&object), place.clone());
        for owner in owners(&object) {
            self.dependents.entry(owner).or_default().insert(place.clone());
        }
        self.tell(
            storage,
            Event { version: self.version, change, object: object.clone(), previous },
        );
        object
    }

    /// Removes an object and tells the watchers; returns it at the version of its removal.
    pub fn remove(&mut self, storage: &str, key: &Key) -> Option<Arc<Value>> {
        let previous = self.collections.get_mut(storage)?.objects.remove(key)?;
        self.version += 1;
        self.forget(&previous, &(storage.to_owned(), key.clone()));
        let mut object = (*previous).clone();
        set_version(&mut object, self.version);
        let object = Arc::new(object);
        self.gone.push(uid(&object));
        let event = Event {
            version: self.version,
            change: Change::Deleted,
            object: object.clone(),
            previous: Some(previous),
        };
        self.tell(storage, event);
        Some(object)
    }

    fn forget(&mut self, previous: &Value, place: &(String, Key)) {
        self.by_uid.remove(&uid(previous));
        for owner in owners(previous) {
            if let Some(found) = self.dependents.get_mut(&owner) {
                found.remove(place);
                if found.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }

    fn tell(&mut self, storage: &str, event: Event) {
        let keep = self.limits.history;
        let Some(collection) = self.collections.get_mut(storage) else { return };
        // A watcher that is full or gone loses its sender, which ends its stream.
        collection.watchers.retain(|watcher| match watcher.selection.translate(&event) {
            Some(seen) => watcher.sender.try_send(seen).is_ok(),
            None => !watcher.sender.is_closed(),
        });
        collection.history.push_back(event);
        while collection.history.len() > keep {
            if let Some(oldest) = collection.history.pop_front() {
                collection.forgotten = oldest.version;
            }
        }
    }
}
