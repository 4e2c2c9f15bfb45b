//! The verbs that change things. Each takes the store, already locked, and either changes it whole or
//! not at all.

use super::admit::{self, meta};
use super::collect::{self, DEFINITIONS, Deletion, Propagation, deleting};
use super::convert;
use super::define;
use super::failure::{Cause, Failure};
use super::managed::{self, Writer};
use super::patch;
use super::query::{FieldValidation, Query};
use super::resource::Resource;
use super::shape;
use super::store::{Key, Selection, Store};
use super::strategic;
use super::validate;
use serde_json::{Value, json};
use std::sync::Arc;

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, for built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// What becomes of dependents.
    pub propagation: Propagation,
    /// The UID that the object must have.
    pub uid: Option<String>,
    /// The version that the object must have.
    pub version: Option<String>,
    /// Whether nothing is to happen.
    pub dry_run: bool,
}

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

    /// Creates an object.
    ///
    /// # Errors
    /// 400, 403, 404 (namespace), 409, 422 as the real API.
    pub fn create(&mut self, mut object: Value) -> Result<Arc<Value>, Failure> {
        let resource = self.resource.clone();
        admit::body(&resource, &mut object)?;
        if meta(&object, "name").is_empty() && !meta(&object, "generateName").is_empty() {
            let name = admit::generated(meta(&object, "generateName"));
            admit::metadata(&mut object).insert("name".to_owned(), json!(name));
        }
        let name = meta(&object, "name").to_owned();
        if name.is_empty() {
            let cause = Cause::new(
                "FieldValueRequired",
                "metadata.name",
                "Required value: name or generateName is required",
            );
            return Err(Failure::invalid(&resource, "", &[cause]));
        }
        if !meta(&object, "resourceVersion").is_empty()
            && !matches!(meta(&object, "resourceVersion"), "0")
        {
            return Err(Failure::new(
                500,
                "InternalError",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.place(&mut object)?;
        self.namespace_takes(&name)?;
        let metadata = admit::metadata(&mut object);
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
            "generation",
        ] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
        metadata.insert("creationTimestamp".to_owned(), json!(self.now));
        if resource.custom || resource.storage == DEFINITIONS {
            metadata.insert("generation".to_owned(), json!(1));
        }
        convert::to_storage(&resource, &mut object);
        admit::builtin(&resource, &mut object, true)?;
        if resource.status
            && resource.custom
            && let Value::Object(fields) = &mut object
        {
            fields.remove("status");
        }
        self.shape(&mut object, None)?;
        let key = self.key(&name);
        if self.store.get(&resource.storage, &key).is_some() {
            return Err(Failure::already_exists(&resource, &name));
        }
        if self.store.count(&resource.storage) >= self.store.limits.objects {
            return Err(Failure::new(
                507,
                "InsufficientStorage",
                format!("{} are full: delete some first", resource.qualified()),
            ));
        }
        managed::record_update(None, &mut object, &resource, &self.writer());
        self.keep(key, object)
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
            let put = self.store.put(&resource.storage, key.clone(), object);
            self.store.remove(&resource.storage, &key).unwrap_or(put)
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

    /// Replaces an object (or its status).
    ///
    /// # Errors
    /// 400, 404, 409, 422 as the real API.
    pub fn update(&mut self, name: &str, mut object: Value) -> Result<Arc<Value>, Failure> {
        let resource = self.resource.clone();
        admit::body(&resource, &mut object)?;
        let found = meta(&object, "name");
        if found.is_empty() {
            return Err(Failure::bad_request(
                "name of the provided object is missing: set metadata.name",
            ));
        }
        if found != name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
        self.place(&mut object)?;
        let current = self.current(name)?;
        if resource.custom && meta(&object, "resourceVersion").is_empty() {
            let cause = Cause::new(
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0x0: must be specified for an update",
            );
            return Err(Failure::invalid(&resource, name, &[cause]));
        }
        convert::to_storage(&resource, &mut object);
        self.replace(&current, object, true)
    }

    /// Changes an object by a patch; server-side apply also creates it.
    ///
    /// # Errors
    /// 400, 404, 409, 415, 422 as the real API.
    pub fn patch(
        &mut self,
        name: &str,
        kind: PatchKind,
        change: &Value,
    ) -> Result<(Arc<Value>, bool), Failure> {
        let resource = self.resource.clone();
        if kind == PatchKind::Strategic && resource.custom {
            return Err(Failure::unsupported_media_type(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        if kind == PatchKind::Apply {
            return self.apply(name, change);
        }
        let current = self.current(name)?;
        let mut object = if convert::differs(&resource, &current) {
            convert::from_storage(&resource, &current)
        } else {
            (*current).clone()
        };
        match kind {
            PatchKind::Json => patch::json_patch(&mut object, change)?,
            PatchKind::Strategic => strategic::merge(&mut object, change)?,
            PatchKind::Merge | PatchKind::Apply => {
                if !change.is_object() {
                    return Err(Failure::bad_request(
                        "error decoding patch: the merge patch is not a JSON object",
                    ));
                }
                patch::merge(&mut object, change);
            }
        }
        admit::body(&resource, &mut object)?;
        if meta(&object, "name") != name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                meta(&object, "name")
            )));
        }
        self.place(&mut object)?;
        convert::to_storage(&resource, &mut object);
        Ok((self.replace(&current, object, true)?, false))
    }

    fn apply(&mut self, name: &str, configuration: &Value) -> Result<(Arc<Value>, bool), Failure> {
        let resource = self.resource.clone();
        if self.query.manager.is_empty() {
            let cause = Cause::new(
                "FieldValueRequired",
                "fieldManager",
                "Required value: is required for apply patch",
            );
            let mut failure = Failure::invalid(&resource, "", &[cause]);
            failure.message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch".to_owned();
            return Err(failure);
        }
        let mut configuration = configuration.clone();
        if configuration.get("apiVersion").is_none() || configuration.get("kind").is_none() {
            return Err(Failure::bad_request(
                "apiVersion and kind must be set in an applied configuration",
            ));
        }
        admit::body(&resource, &mut configuration)?;
        if meta(&configuration, "name").is_empty() {
            admit::metadata(&mut configuration).insert("name".to_owned(), json!(name));
        }
        if meta(&configuration, "name") != name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                meta(&configuration, "name")
            )));
        }
        if admit::metadata(&mut configuration)
            .get("managedFields")
            .is_some_and(|fields| fields.as_array().is_some_and(|fields| !fields.is_empty()))
        {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        admit::metadata(&mut configuration).remove("managedFields");
        self.place(&mut configuration)?;
        convert::to_storage(&resource, &mut configuration);
        if resource.storage == "secrets" {
            admit::builtin(&resource, &mut configuration, false)?;
        }
        let current = self.store.get(&resource.storage, &self.key(name));
        let live = current.as_deref();
        if live.is_none() {
            let version = meta(&configuration, "resourceVersion");
            if !version.is_empty() {
                return Err(Failure::not_found(&resource, name));
            }
            if !self.subresource.is_empty() {
                return Err(Failure::not_found(&resource, name));
            }
        }
        if self.subresource.is_empty()
            && resource.status
            && resource.custom
            && let Value::Object(fields) = &mut configuration
        {
            fields.remove("status");
        }
        if let Some(schema) = &resource.schema {
            let mut probe = configuration.clone();
            let unknown = shape::prune(&mut probe, schema);
            if !unknown.is_empty() && self.query.validation == FieldValidation::Strict {
                let told: Vec<String> =
                    unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
                return Err(Failure::bad_request(format!(
                    "strict decoding error: {}",
                    told.join(", ")
                )));
            }
            configuration = probe;
            self.warnings.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
        }
        let merged =
            managed::apply(live, &configuration, &resource, &self.writer(), self.query.force)?;
        match current {
            Some(current) => Ok((self.replace(&current, merged, false)?, false)),
            None => {
                let fields = merged.pointer("/metadata/managedFields").cloned();
                let created = self.create_applied(merged, fields)?;
                Ok((created, true))
            }
        }
    }

    /// Creates an object whose managed fields are known.
    fn create_applied(
        &mut self,
        object: Value,
        fields: Option<Value>,
    ) -> Result<Arc<Value>, Failure> {
        let name = meta(&object, "name").to_owned();
        let resource = self.resource.clone();
        let mut object = object;
        admit::metadata(&mut object).remove("managedFields");
        self.namespace_takes(&name)?;
        let metadata = admit::metadata(&mut object);
        metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
        metadata.insert("creationTimestamp".to_owned(), json!(self.now));
        if resource.custom || resource.storage == DEFINITIONS {
            metadata.insert("generation".to_owned(), json!(1));
        }
        admit::builtin(&resource, &mut object, true)?;
        self.shape(&mut object, None)?;
        if let Some(fields) = fields {
            admit::metadata(&mut object).insert("managedFields".to_owned(), fields);
        }
        let key = self.key(&name);
        self.keep(key, object)
    }

    /// Puts `object` in the place of `current`, with all that belongs to an update.
    fn replace(
        &mut self,
        current: &Arc<Value>,
        mut object: Value,
        record: bool,
    ) -> Result<Arc<Value>, Failure> {
        let resource = self.resource.clone();
        let name = meta(current, "name").to_owned();
        let version = meta(&object, "resourceVersion");
        if !version.is_empty() && version != "0" && version != meta(current, "resourceVersion") {
            return Err(Failure::modified(&resource, &name));
        }
        let uid = meta(&object, "uid");
        if !uid.is_empty() && uid != meta(current, "uid") {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta(current, "uid")
            );
            return Err(Failure::conflict(&resource, &name, &why));
        }
        self.separate(current, &mut object);
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "resourceVersion",
        ] {
            let former =
                current.pointer("/metadata").and_then(|metadata| metadata.get(field)).cloned();
            let metadata = admit::metadata(&mut object);
            match former {
                Some(former) => drop(metadata.insert(field.to_owned(), former)),
                None => drop(metadata.remove(field)),
            }
        }
        if record {
            let former = current.pointer("/metadata/managedFields").cloned();
            let metadata = admit::metadata(&mut object);
            if let (None, Some(former)) = (metadata.get("managedFields"), former) {
                metadata.insert("managedFields".to_owned(), former);
            }
        }
        admit::builtin(&resource, &mut object, false)?;
        self.shape(&mut object, Some(current))?;
        self.finalizers_may_change(current, &object, &name)?;
        if resource.storage == DEFINITIONS {
            define::establish(&resource, &mut object, &self.now)?;
        }
        if same(current, &object) && !(record && managed_reset(current, &object)) {
            return Ok(current.clone());
        }
        if self.changes_spec(current, &object)
            && let Some(generation) =
                current.pointer("/metadata/generation").and_then(Value::as_i64)
        {
            admit::metadata(&mut object)
                .insert("generation".to_owned(), json!(generation.saturating_add(1)));
        }
        if record {
            let manager = self.manager.clone();
            let writer =
                Writer { manager: &manager, subresource: &self.subresource, now: &self.now };
            managed::record_update(Some(current), &mut object, &resource, &writer);
        }
        let key = self.key(&name);
        self.keep(key, object)
    }

    /// A write through `status` changes the status alone, any other write everything else.
    fn separate(&self, current: &Value, object: &mut Value) {
        if !self.resource.status {
            return;
        }
        let theirs = object.get("status").cloned();
        if self.subresource == "status" {
            let managed = object.pointer("/metadata/managedFields").cloned();
            *object = current.clone();
            if let Some(managed) = managed {
                admit::metadata(object).insert("managedFields".to_owned(), managed);
            }
            set_field(object, "status", theirs);
        } else {
            set_field(object, "status", current.get("status").cloned());
        }
    }

    fn changes_spec(&self, current: &Value, object: &Value) -> bool {
        if self.subresource == "status" {
            return false;
        }
        let rest = |value: &Value| -> Vec<(String, Value)> {
            value
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| {
                    *name != "metadata" && !(self.resource.status && *name == "status")
                })
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        let (mut old, mut new) = (rest(current), rest(object));
        old.sort_by(|one, other| one.0.cmp(&other.0));
        new.sort_by(|one, other| one.0.cmp(&other.0));
        old != new
    }

    fn finalizers_may_change(
        &self,
        current: &Value,
        object: &Value,
        name: &str,
    ) -> Result<(), Failure> {
        if !deleting(current) {
            return Ok(());
        }
        let list = |value: &Value| -> Vec<String> {
            let raw = value
                .pointer("/metadata/finalizers")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            raw.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let former = list(current);
        let new: Vec<String> =
            list(object).into_iter().filter(|name| !former.contains(name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let shown: Vec<String> = new.iter().map(|name| format!("{name:?}")).collect();
        let cause = Cause::new(
            "FieldValueForbidden",
            "metadata.finalizers",
            format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            ),
        );
        Err(Failure::invalid(&self.resource, name, &[cause]))
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// 404, 409 as the real API.
    pub fn delete(&mut self, name: &str, options: &DeleteOptions) -> Result<Deletion, Failure> {
        let resource = self.resource.clone();
        let current = self.current(name)?;
        if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta(&current, "uid")) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta(&current, "uid")
            );
            return Err(Failure::conflict(&resource, name, &why));
        }
        let known = meta(&current, "resourceVersion");
        if let Some(version) = options.version.as_deref().filter(|version| *version != known) {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {known}"
            );
            return Err(Failure::conflict(&resource, name, &why));
        }
        if options.dry_run {
            return Ok(Deletion::Removed(current));
        }
        let key = self.key(name);
        let deletion =
            collect::delete(self.store, &resource.storage, &key, options.propagation, &self.now)
                .ok_or_else(|| Failure::not_found(&resource, name))?;
        collect::settle(self.store, &self.now);
        Ok(deletion)
    }

    /// Deletes what a selection means and returns it.
    ///
    /// # Errors
    /// As [`Write::delete`], but not for objects that went in the meantime.
    pub fn delete_collection(
        &mut self,
        selection: &Selection,
        options: &DeleteOptions,
    ) -> Result<Vec<Arc<Value>>, Failure> {
        let page = self.store.list(&self.resource.storage, selection, 0, None);
        for object in &page.items {
            self.namespace = meta(object, "namespace").to_owned();
            match self.delete(meta(object, "name"), options) {
                Ok(_) => {}
                Err(failure) if failure.code == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(page.items)
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

/// Whether two objects are the same but for the times of their managers.
fn same(one: &Value, other: &Value) -> bool {
    let plain = |object: &Value| {
        let mut object = object.clone();
        let metadata = admit::metadata(&mut object);
        metadata.remove("resourceVersion");
        if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
            for entry in entries {
                set_field(entry, "time", None);
            }
        }
        object
    };
    plain(one) == plain(other)
}

/// Whether the client has put other managers in place of the known ones.
fn managed_reset(current: &Value, object: &Value) -> bool {
    current.pointer("/metadata/managedFields") != object.pointer("/metadata/managedFields")
}
