//! What each stage of the work writes, as JSON merge patches. Pure.

use serde_json::{Value, json};

use super::Release;
use super::knobs::Health;
use super::work;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The revision of each source.
    At(Vec<String>),
    /// Why the sources cannot be read, and the target revisions instead.
    Unreadable {
        /// In Argo CD's words.
        message: String,
        /// As the sources name them.
        targets: Vec<String>,
    },
}

impl Compared {
    /// The condition's message where the sources cannot be read.
    pub(super) fn error(index: usize, count: usize, why: &str) -> String {
        format!(
            "Failed to load target state: failed to generate manifest for source {} of {count}: \
             rpc error: code = Unknown desc = {why}",
            index + 1
        )
    }
}

/// A merge patch that makes `new` of `old`, whatever `old` has besides.
fn replacing(old: &Value, new: Value) -> Value {
    let (Some(was), Value::Object(mut is)) = (old.as_object(), new.clone()) else { return new };
    for (key, value) in was {
        let new = is.remove(key).unwrap_or_default();
        is.insert(key.clone(), replacing(value, new));
    }
    Value::Object(is)
}

/// Puts revisions where Argo CD has them: one in `revision`, several in
/// `revisions`.
fn put_revisions(into: &mut Value, app: &Value, revisions: &[String]) {
    if work::has_several(app) {
        into["revisions"] = json!(revisions);
    } else {
        into["revision"] = json!(revisions.first().cloned().unwrap_or_default());
    }
}

fn put_sources(into: &mut Value, app: &Value) {
    if work::has_several(app) {
        into["sources"] = app["spec"]["sources"].clone();
    } else {
        into["source"] = app["spec"]["source"].clone();
    }
}

/// What a sync has brought so far: its revisions and sources.
fn sync_result(app: &Value, revisions: &[String]) -> Value {
    let mut result = json!({});
    put_revisions(&mut result, app, revisions);
    put_sources(&mut result, app);
    result
}

/// The revisions of the last sync that succeeded.
pub(super) fn deployed(app: &Value) -> Option<Vec<String>> {
    let last = app["status"]["history"].as_array()?.last()?;
    match last["revisions"].as_array() {
        Some(list) => list.iter().map(|r| r.as_str().map(str::to_owned)).collect(),
        None => Some(vec![last["revision"].as_str()?.to_owned()]),
    }
}

/// The outcome of a comparison (row 2 of `steps-argocd` 13).
pub(super) fn comparison(
    app: &Value,
    compared: &Compared,
    health: Option<&Health>,
    now: &str,
) -> Value {
    let (status, sync_status, revisions, conditions) = match compared {
        Compared::At(revisions) => {
            let synced = deployed(app).as_ref() == Some(revisions);
            let usual = if deployed(app).is_some() { "Healthy" } else { "Missing" };
            (usual, if synced { "Synced" } else { "OutOfSync" }, revisions, Value::Null)
        }
        Compared::Unreadable { message, targets } => {
            let condition = json!([{
                "type": "ComparisonError", "message": message, "lastTransitionTime": now,
            }]);
            ("Healthy", "Unknown", targets, condition)
        }
    };
    let mut sync = json!({"comparedTo": work::compared_to(app), "status": sync_status});
    put_revisions(&mut sync, app, revisions);
    let sync = replacing(&app["status"]["sync"], sync);
    let mut patch = json!({"status": {
        "controllerNamespace": app["metadata"]["namespace"],
        "reconciledAt": now,
        "health": self::health(app, status, health, now),
        "sync": sync,
    }});
    if !same_conditions(&app["status"]["conditions"], &conditions) {
        patch["status"]["conditions"] = conditions;
    }
    patch
}

fn same_conditions(old: &Value, new: &Value) -> bool {
    let texts = |v: &Value| -> Vec<String> {
        let list = v.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|c| format!("{} {}", c["type"], c["message"])).collect()
    };
    texts(old) == texts(new)
}

fn health(app: &Value, usual: &str, ordered: Option<&Health>, now: &str) -> Value {
    let status = ordered.map_or(usual, |h| h.status.as_str());
    let message = ordered.map(|h| h.message.as_str()).filter(|m| !m.is_empty());
    let old = &app["status"]["health"];
    let since = if old["status"] == json!(status) && old["lastTransitionTime"].is_string() {
        old["lastTransitionTime"].clone()
    } else {
        json!(now)
    };
    json!({"status": status, "message": message, "lastTransitionTime": since})
}

/// Takes the refresh annotation away (row 3).
pub(super) fn refreshed() -> Value {
    json!({"metadata": {"annotations": {work::REFRESH: null}}})
}

/// The operation has begun (row 1).
pub(super) fn running(app: &Value, operation: &Value, now: &str) -> Value {
    let state = json!({"operation": operation, "phase": "Running", "startedAt": now});
    json!({"status": {"operationState": replacing(&app["status"]["operationState"], state)}})
}

/// A sync has succeeded: the history's new entry (row 4).
pub(super) fn history(
    app: &Value,
    operation: &Value,
    revisions: &[String],
    started: &str,
    now: &str,
) -> Value {
    let mut entries = app["status"]["history"].as_array().cloned().unwrap_or_default();
    let id = entries.last().and_then(|e| e["id"].as_i64()).map_or(0, |id| id + 1);
    let mut entry = json!({
        "id": id, "deployStartedAt": started, "deployedAt": now,
        "initiatedBy": operation["initiatedBy"],
    });
    put_revisions(&mut entry, app, revisions);
    put_sources(&mut entry, app);
    entries.push(entry);
    // As many as Argo CD keeps by default.
    let surplus = entries.len().saturating_sub(10);
    entries.drain(..surplus);
    json!({"status": {"history": entries}})
}

/// How a sync ended.
pub(super) struct Ending<'a> {
    pub(super) phase: &'a str,
    pub(super) message: &'a str,
    pub(super) revisions: &'a [String],
    pub(super) started: &'a str,
    pub(super) retries: u64,
}

/// The operation is over: one write (row 5). Whatever request stands on the
/// object is removed, even one that came later (`steps-argocd` 13.6).
pub(super) fn finished(app: &Value, operation: &Value, ending: &Ending<'_>, now: &str) -> Value {
    let result = sync_result(app, ending.revisions);
    let state = json!({
        "operation": operation, "phase": ending.phase, "message": ending.message,
        "startedAt": ending.started, "finishedAt": now, "syncResult": result,
        "retryCount": (ending.retries > 0).then_some(ending.retries),
    });
    json!({
        "operation": null,
        "status": {"operationState": replacing(&app["status"]["operationState"], state)},
    })
}

/// A sync waits for a hook: what it has done so far.
pub(super) fn waiting(app: &Value, revisions: &[String]) -> Value {
    let result = sync_result(app, revisions);
    let message = "one or more tasks are running";
    json!({"status": {"operationState": {"message": message, "syncResult": result}}})
}

/// An attempt has failed and another will follow: the phase stays Running, yet
/// `finishedAt` is set (`steps-argocd` 13.7).
pub(super) fn attempt_failed(
    app: &Value,
    message: &str,
    retry: u64,
    revisions: &[String],
    now: &str,
) -> Value {
    let result = sync_result(app, revisions);
    json!({"status": {"operationState": {
        "finishedAt": now, "retryCount": retry, "syncResult": result,
        "message": format!("{message}. Retrying attempt #{retry}."),
    }}})
}

/// The next attempt begins. Release 3.2.6 leaves the result of the last one.
pub(super) fn retrying(retry: u64, release: Release) -> Value {
    let message = format!("Retrying operation. Attempt #{retry}");
    let mut state = json!({"finishedAt": null, "message": message});
    if release == Release::Current {
        state["syncResult"] = Value::Null;
    }
    json!({"status": {"operationState": state}})
}

/// The comparison after an operation: its time first (row 6).
pub(super) fn reconciled(now: &str) -> Value {
    json!({"status": {"reconciledAt": now}})
}

/// The same after an operation that failed; with automated sync there is a
/// condition too (`steps-argocd` 13.8).
pub(super) fn reconciled_after_failure(app: &Value, now: &str) -> Value {
    let mut patch = reconciled(now);
    let state = &app["status"]["operationState"];
    if work::is_automated(app) && state["phase"] == json!("Failed") {
        let revision = state["syncResult"]["revision"].as_str().unwrap_or_default();
        let message = state["message"].as_str().unwrap_or_default();
        patch["status"]["conditions"] = json!([{
            "type": "SyncError",
            "message": format!("Failed last sync attempt to [{revision}]: {message}"),
            "lastTransitionTime": now,
        }]);
    }
    patch
}

/// Then its result (row 7).
pub(super) fn settled(app: &Value, usual: &Compared, ordered: Option<&Health>, now: &str) -> Value {
    let mut patch = comparison(app, usual, ordered, now);
    if let Some(status) = patch["status"].as_object_mut() {
        status.remove("reconciledAt");
        status.remove("controllerNamespace");
    }
    patch
}

/// The sync that Argo CD asks of itself. `healing` is set for one that follows
/// a sync of the same revision at once because the live state still differs;
/// it clears the state of the last operation in the same write
/// (`steps-argocd` 13.5).
pub(super) fn own_operation(app: &Value, revisions: &[String], healing: bool) -> Value {
    let policy = &app["spec"]["syncPolicy"];
    let mut sync = json!({});
    if policy["automated"]["prune"] == json!(true) {
        sync["prune"] = json!(true);
    }
    if policy["syncOptions"].is_array() {
        sync["syncOptions"] = policy["syncOptions"].clone();
    }
    put_revisions(&mut sync, app, revisions);
    put_sources(&mut sync, app);
    if healing {
        sync["autoHealAttemptsCount"] = json!(1);
    }
    let retry = if policy["retry"].is_object() { policy["retry"].clone() } else { json!({}) };
    let mut patch = json!({
        "operation": {"initiatedBy": {"automated": true}, "retry": retry, "sync": sync},
    });
    if app["status"]["operationState"].is_object() {
        patch["status"] = json!({"operationState": null});
    }
    if !app["status"].is_object() {
        // Nothing is known yet, and that is written so (`steps-argocd` 13.4).
        patch["status"] = json!({
            "health": {}, "sourceHydrator": {}, "summary": {},
            "sync": {"comparedTo": work::compared_to(app), "status": ""},
        });
    }
    patch
}
