//! Changing objects by patches, and server-side apply.

use super::super::admit::{self, meta};
use super::super::convert;
use super::super::failure::{Cause, Failure};
use super::super::managed;
use super::super::patch;
use super::super::query::FieldValidation;
use super::super::shape;
use super::super::strategic;
use super::Write;
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

impl Write<'_> {
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

    pub(super) fn apply(
        &mut self,
        name: &str,
        configuration: &Value,
    ) -> Result<(Arc<Value>, bool), Failure> {
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
            if !self.subresource.is_empty() {
                return Err(Failure::not_found(&resource, name));
            }
            // A version of nothing is passed over.
            admit::metadata(&mut configuration).remove("resourceVersion");
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
}
