//! What a Stage leaves behind when it goes (`stages` 19): nothing on Freight.

use std::sync::Arc;

use api::{Freight, Stage};
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;

use super::freight_marks::forget;
use crate::Context;
use crate::context::{APPROVED_FOR, CURRENTLY_IN, VERIFIED_IN};
use crate::error::{Error, ErrorClass};
use crate::patch;
use crate::project::namespace::{has_finalizer, without_finalizer};
use crate::queue::Outcome;
use crate::store::Key;

/// Takes the Stage's entries off Freight, then its finalizer. Also those of
/// `currentlyIn`, which the reference leaves there.
///
/// # Errors
/// `error handling deletion of Stage: ...`; the finalizer then stays.
pub async fn handle(context: &Context, stage: &Stage) -> Result<Outcome, Error> {
    if !has_finalizer(stage) {
        return Ok(Outcome::Done);
    }
    let key = Key::of(stage);
    let mut failed: Vec<String> = Vec::new();
    for (map, index, what) in [
        ("verifiedIn", VERIFIED_IN, "verification"),
        ("approvedFor", APPROVED_FOR, "approval"),
        ("currentlyIn", CURRENTLY_IN, "current"),
    ] {
        for freight in context.stores.freight.by(index, &key) {
            if let Err(error) = clear(context, &freight, map, what, &key).await {
                failed.push(error.to_string());
            }
        }
    }
    failed.dedup();
    match failed.as_slice() {
        [] => {}
        [one] => return Err(cannot(one)),
        many => return Err(cannot(&format!("[{}]", many.join(", ")))),
    }
    let api: Api<Stage> = Api::namespaced(context.client.clone(), &key.namespace);
    let change = json!({ "finalizers": without_finalizer(stage) });
    match patch::metadata(&api, &key.name, change, &context.metrics).await {
        // The last finalizer is off: the answer is the object as it was.
        Ok(_) => Ok(Outcome::Done),
        Err(e) if crate::error::is_not_found(&e) => Ok(Outcome::Done),
        Err(e) => Err(Error::api("error removing finalizer from Stage", e)),
    }
}

fn cannot(why: &str) -> Error {
    Error::new(ErrorClass::Transient, format!("error handling deletion of Stage: {why}"))
}

async fn clear(
    context: &Context,
    freight: &Arc<Freight>,
    map: &str,
    what: &str,
    stage: &Key,
) -> Result<(), Error> {
    let name = freight.name_any();
    let api: Api<Freight> = Api::namespaced(context.client.clone(), &stage.namespace);
    match patch::status_change(&api, &name, forget(map, &stage.name), None, &context.metrics).await
    {
        Ok(freight) => {
            context.stores.freight.apply(freight);
            Ok(())
        }
        Err(e) if e.class() == ErrorClass::NotFound => Ok(()),
        Err(e) => Err(e.while_(format_args!(
            "error clearing {what} status of Freight {name:?} in namespace {:?}: ",
            stage.namespace
        ))),
    }
}
