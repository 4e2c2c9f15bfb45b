//! The verbs that change things. Each takes the store, already locked, and either changes it whole or
//! not at all. Here is what they share: placing, shaping and keeping an object.

mod change;
mod create;
mod delete;
mod update;

pub use change::PatchKind;
pub use delete::DeleteOptions;

use super::admit::{self, meta};
use super::collect::{self, DEFINITIONS, deleting};
use super::define;
use super::failure::Failure;
use super::managed::Writer;
use super::query::{FieldValidation, Query};
use super::resource::Resource;
use super::shape;
use super::store::{Key, Store};
use super::validate;
use serde_json::{Value, json};
use std::sync::Arc;

/// One writing request.
pub struct Write<'a> {
    /// Where it writes.
    pub store: &'a mut Store,
    /// What it writes.
    pub resource: Arc<Resource>,
    /// In which namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// With which options.
    pub query: &'a Query,
    /// As which field manager.
    pub manager: String,
    /// `status`, `finalize` or empty.
    pub subresource: String,
    /// When: RFC 3339, whole seconds.
    pub now: String,
    /// What the client is to be warned of.
    pub warnings: Vec<String>,
}

impl Write<'_> {
    fn key(&self, name: &str) -> Key {
        (self.namespace.clone(), name.to_owned())
    }

    fn current(&self, name: &str) -> Result<Arc<Value>, Failure> {
        self.store
            .get(&self.resource.storage, &self.key(name))
            .ok_or_else(|| Failure::not_found(&self.resource, name))
    }

    fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.manager, subresource: &self.subresource, now: &self.now }
    }

    /// Sets the namespace and name that the path gives and refuses others.
    fn place(&self, object: &mut Value) -> Result<(), Failure> {
        let found = meta(object, "namespace").to_owned();
        if !self.resource.namespaced {
            admit::metadata(object).remove("namespace");
        } else if found.is_empty() {
            admit::metadata(object).insert("namespace".to_owned(), json!(self.namespace));
        } else if found != self.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    fn namespace_takes(&self, name: &str) -> Result<(), Failure> {
        if !self.resource.namespaced {
            return Ok(());
        }
        let missing = || {
            let mut failure = Failure::new(
                404,
                "NotFound",
                format!("namespaces \"{}\" not found", self.namespace),
            );
            failure.details = Some(json!({"name": self.namespace, "kind": "namespaces"}));
            failure
        };
        let namespace = self
            .store
            .get("namespaces", &(String::new(), self.namespace.clone()))
            .ok_or_else(missing)?;
        if deleting(&namespace) {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                self.namespace
            );
            let mut failure = Failure::forbidden(&self.resource, name, &why);
            if let Some(details) = &mut failure.details {
                details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {} is being terminated", self.namespace),
                    "field": "metadata.namespace",
                }]);
            }
            return Err(failure);
        }
        Ok(())
    }

    /// Brings the object into its schema's shape and checks it.
    fn shape(&mut self, object: &mut Value, old: Option<&Value>) -> Result<(), Failure> {
        let resource = self.resource.clone();
        let name = meta(object, "name").to_owned();
        let mut causes = admit::check_metadata(&resource, object);
        if let Some(schema) = &resource.schema {
            let unknown = shape::prune(object, schema);
            if !unknown.is_empty() {
                let told: Vec<String> =
                    unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
                match self.query.validation {
                    FieldValidation::Strict => {
                        let (kind, version) = (&resource.kind, &resource.version);
                        return Err(Failure::bad_request(format!(
                            "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
                            told.join(", ")
                        )));
                    }
                    FieldValidation::Warn => self.warnings.extend(told),
                    FieldValidation::Ignore => {}
                }
            }
            shape::default(object, schema);
            let mut found = validate::check(object, old, schema);
            // What breaks in `status` is not the fault of a write that cannot touch it.
            if resource.status && self.subresource.is_empty() {
                found.retain(|cause| !cause.field.starts_with("status"));
            }
            causes.extend(found);
        }
        if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&resource, &name, &causes)) }
    }

    /// Writes the object, and does what follows from it.
    fn keep(&mut self, key: Key, mut object: Value) -> Result<Arc<Value>, Failure> {
        let resource = self.resource.clone();
        let served = if resource.storage == DEFINITIONS {
            let found = define::establish(&resource, &mut object, &self.now)?;
            let (of, plural) = (text(&object, "/spec/group"), text(&object, "/spec/names/plural"));
            Some((found, of, plural))
        } else {
            None
        };
        let limit = self.store.limits.object;
        if larger(&object, limit) {
            return Err(Failure::new(
                413,
                "RequestEntityTooLarge",
                format!(
                    "{} \"{}\" would be greater than {limit} bytes",
                    resource.qualified(),
                    key.1
                ),
            ));
        }
        if self.query.dry_run {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
                && let Some(current) = self.store.get(&resource.storage, &key)
            {
                metadata
                    .insert("resourceVersion".to_owned(), json!(meta(&current, "resourceVersion")));
            }
            return Ok(Arc::new(object));
        }
        let waits = matches!(resource.storage.as_str(), "namespaces" | DEFINITIONS);
        let finalized = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|finalizers| !finalizers.is_empty());
        let stored = if deleting(&object) && !finalized && !waits {
            // The last finalizer went: watchers see the deletion alone, of the object as they know it.
            self.store.remove(&resource.storage, &key);
            Arc::new(object)
        } else {
            self.store.put(&resource.storage, key.clone(), object)
        };
        if let Some((found, group, plural)) = served {
            let versions: Vec<String> =
                found.iter().map(|resource| resource.version.clone()).collect();
            for resource in found {
                self.store.serve(resource);
            }
            self.store
                .withdraw(&group, &plural, |version| versions.iter().any(|known| known == version));
        }
        let owners = super::store::owners(&stored);
        if !owners.is_empty() && owners.iter().all(|owner| self.store.locate(owner).is_none()) {
            self.store.gone.push(owners.into_iter().next().unwrap_or_default());
        }
        collect::settle(self.store, &self.now);
        Ok(stored)
    }
}

/// Whether an object is greater than `limit` bytes as JSON.
fn larger(object: &Value, limit: usize) -> bool {
    struct Room(usize);
    impl std::io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(limit), object).is_err()
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn set_field(object: &mut Value, name: &str, value: Option<Value>) {
    if let Value::Object(fields) = object {
        match value {
            Some(value) => drop(fields.insert(name.to_owned(), value)),
            None => drop(fields.remove(name)),
        }
    }
}
