//! Deleting objects.

use super::super::admit::meta;
use super::super::collect::{self, Deletion, Propagation};
use super::super::failure::Failure;
use super::super::resource::Resource;
use super::super::store::Selection;
use super::Write;
use serde_json::Value;
use std::sync::Arc;

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

/// 409 for a precondition; the kind stands where the resource stands otherwise.
fn unmet(resource: &Resource, name: &str, why: &str) -> Failure {
    let mut failure = Failure::conflict(resource, name, why);
    let kind = if resource.group.is_empty() {
        resource.kind.clone()
    } else {
        format!("{}.{}", resource.kind, resource.group)
    };
    failure.message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
    failure
}

impl Write<'_> {
    /// Deletes an object.
    ///
    /// # Errors
    /// 404, 409 as the real API.
    pub fn delete(&mut self, name: &str, options: &DeleteOptions) -> Result<Deletion, Failure> {
        let resource = self.resource.clone();
        let current = self.current(name)?;
        if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta(&current, "uid")) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                meta(&current, "uid")
            );
            return Err(unmet(&resource, name, &why));
        }
        let known = meta(&current, "resourceVersion");
        if let Some(version) = options.version.as_deref().filter(|version| *version != known) {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({known}). The object might have been modified"
            );
            return Err(unmet(&resource, name, &why));
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
