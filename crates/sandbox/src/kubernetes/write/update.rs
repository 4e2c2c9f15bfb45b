//! Replacing objects, which every change of one ends in.

use super::super::admit::{self, meta};
use super::super::collect::{DEFINITIONS, deleting};
use super::super::convert;
use super::super::define;
use super::super::failure::{Cause, Failure};
use super::super::managed::{self, Writer};
use super::{Write, set_field};
use serde_json::{Value, json};
use std::sync::Arc;

impl Write<'_> {
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
        let uid = meta(&object, "uid");
        if !uid.is_empty() && uid != meta(&current, "uid") {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta(&current, "uid")
            );
            return Err(Failure::conflict(&resource, name, &why));
        }
        convert::to_storage(&resource, &mut object);
        self.replace(&current, object, true)
    }

    /// Puts `object` in the place of `current`, with all that belongs to an update.
    pub(super) fn replace(
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
        for field in ["uid", "deletionTimestamp"] {
            let wanted = meta(&object, field);
            if !wanted.is_empty() && wanted != meta(current, field) {
                let path = format!("metadata.{field}");
                let cause = Cause::invalid(&path, &json!(wanted), "field is immutable");
                return Err(Failure::invalid(&resource, &name, &[cause]));
            }
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
    pub(super) fn separate(&self, current: &Value, object: &mut Value) {
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

    pub(super) fn changes_spec(&self, current: &Value, object: &Value) -> bool {
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

    pub(super) fn finalizers_may_change(
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
