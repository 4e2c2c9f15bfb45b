//! Deletion and what follows from it: finalizers, owners and their dependents, namespaces and
//! CustomResourceDefinitions that take their contents along.
//!
//! The real API server does this with controllers, a moment later. Here it is done before the request
//! that caused it is answered, so that tests need not wait.

use super::admit;
use super::store::{Key, Store, owners};
use serde_json::{Value, json};
use std::sync::Arc;

/// Finalizer of an owner that waits for its dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// Collection of CustomResourceDefinitions.
pub const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after their owner.
    #[default]
    Background,
    /// They are deleted before their owner.
    Foreground,
    /// They stay.
    Orphan,
}

/// What a deletion came to.
#[derive(Debug)]
pub enum Deletion {
    /// The object is gone.
    Removed(Arc<Value>),
    /// The object is marked and waits for finalizers or contents.
    Marked(Arc<Value>),
}

fn finalizers(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names = list.map(Vec::as_slice).unwrap_or_default().iter();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether the object is being deleted.
pub fn deleting(object: &Value) -> bool {
    !admit::meta(object, "deletionTimestamp").is_empty()
}

/// Deletes one object, or marks it so. Dependents are for [`settle`].
pub fn delete(
    store: &mut Store,
    storage: &str,
    key: &Key,
    policy: Propagation,
    now: &str,
) -> Option<Deletion> {
    let current = store.get(storage, key)?;
    let mut object = (*current).clone();
    let uid = admit::meta(&object, "uid").to_owned();
    if policy == Propagation::Orphan {
        orphan(store, &uid);
    }
    let foreground = policy == Propagation::Foreground && !store.dependents(&uid).is_empty();
    if foreground && !finalizers(&object).iter().any(|name| name == FOREGROUND) {
        let mut all = finalizers(&object);
        all.push(FOREGROUND.to_owned());
        admit::metadata(&mut object).insert("finalizers".to_owned(), json!(all));
    }
    let container = matches!(storage, "namespaces" | DEFINITIONS);
    if !container && finalizers(&object).is_empty() {
        return store.remove(storage, key).map(Deletion::Removed);
    }
    if !deleting(&object) {
        let metadata = admit::metadata(&mut object);
        metadata.insert("deletionTimestamp".to_owned(), json!(now));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".to_owned(), json!(generation.saturating_add(1)));
        }
        if storage == "namespaces" {
            object["status"] = json!({"phase": "Terminating"});
        }
    }
    if container || foreground {
        store.ending.insert((storage.to_owned(), key.clone()));
    }
    if object == *current {
        return Some(Deletion::Marked(current));
    }
    Some(Deletion::Marked(store.put(storage, key.clone(), object)))
}

/// Takes an owner out of its dependents.
fn orphan(store: &mut Store, uid: &str) {
    for (storage, key) in store.dependents(uid) {
        let Some(object) = store.get(&storage, &key) else { continue };
        let mut object = (*object).clone();
        let metadata = admit::metadata(&mut object);
        if let Some(references) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut)
        {
            references
                .retain(|reference| reference.get("uid").and_then(Value::as_str) != Some(uid));
            if references.is_empty() {
                metadata.remove("ownerReferences");
            }
        }
        store.put(&storage, key, object);
    }
}

/// Does everything that deletions have left to do.
pub fn settle(store: &mut Store, now: &str) {
    loop {
        let before = store.version();
        while let Some(uid) = store.gone.pop() {
            for (storage, key) in store.dependents(&uid) {
                let Some(object) = store.get(&storage, &key) else { continue };
                let alive = owners(&object).iter().any(|owner| store.locate(owner).is_some());
                if !alive && !deleting(&object) {
                    delete(store, &storage, &key, Propagation::Background, now);
                }
            }
        }
        for (storage, key) in store.ending.clone() {
            end(store, &storage, &key, now);
        }
        if store.version() == before && store.gone.is_empty() {
            break;
        }
    }
}

/// Moves one object that waits for others a step further.
fn end(store: &mut Store, storage: &str, key: &Key, now: &str) {
    let Some(object) = store.get(storage, key) else {
        store.ending.remove(&(storage.to_owned(), key.clone()));
        return;
    };
    let contents = match storage {
        "namespaces" => store.contents(&key.1),
        DEFINITIONS => {
            let held = key.1.clone();
            store.keys(&held).into_iter().map(|inner| (held.clone(), inner)).collect()
        }
        _ => store.dependents(admit::meta(&object, "uid")),
    };
    for (held, inner) in &contents {
        let policy = if matches!(storage, "namespaces" | DEFINITIONS) {
            Propagation::Background
        } else {
            Propagation::Foreground
        };
        if store.get(held, inner).is_some_and(|object| !deleting(&object)) {
            delete(store, held, inner, policy, now);
        }
    }
    if contents.iter().any(|(held, inner)| store.get(held, inner).is_some()) {
        return;
    }
    let mut object = (*object).clone();
    let left: Vec<String> =
        finalizers(&object).into_iter().filter(|name| name != FOREGROUND).collect();
    if left.is_empty() {
        store.ending.remove(&(storage.to_owned(), key.clone()));
        store.remove(storage, key);
        if storage == DEFINITIONS
            && let Some((plural, group)) = key.1.split_once('.')
        {
            store.withdraw(group, plural, |_| false);
        }
    } else if left.len() != finalizers(&object).len() {
        admit::metadata(&mut object).insert("finalizers".to_owned(), json!(left));
        store.put(storage, key.clone(), object);
    }
}
