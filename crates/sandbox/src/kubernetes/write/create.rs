//! Creating objects.

use super::super::admit::{self, meta};
use super::super::collect::DEFINITIONS;
use super::super::convert;
use super::super::failure::{Cause, Failure};
use super::super::managed;
use super::Write;
use serde_json::{Value, json};
use std::sync::Arc;

impl Write<'_> {
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

    /// Creates an object whose managed fields are known.
    pub(super) fn create_applied(
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
}
