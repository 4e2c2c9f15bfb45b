//! Lists and the beginning of watches.

use super::Api;
use super::convert;
use super::failure::Failure;
use super::negotiate::Form;
use super::query::Place;
use super::resource::Resource;
use super::selector::{Fields, Labels};
use super::service::{Answer, Call};
use super::store::{Change, Key, Seen, Selection};
use super::table::{self, Include};
use super::watch::{self, Flow, Shape};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn include(call: &Call<'_>) -> Include {
    match call.query.include_object.as_str() {
        "Object" => Include::Object,
        "None" => Include::None,
        _ => Include::Metadata,
    }
}

pub(super) fn selection(
    resource: &Resource,
    place: &Place,
    call: &Call<'_>,
) -> Result<Selection, Failure> {
    let fields = Fields::parse(&call.query.fields, &resource.storage, &resource.kind)?;
    Ok(Selection {
        namespace: place.namespace.clone().filter(|_| resource.namespaced),
        name: fields.name().map(str::to_owned),
        labels: Labels::parse(&call.query.labels)?,
        fields,
    })
}

fn token(version: u64, key: &Key) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": version, "s": [key.0, key.1]}).to_string())
}

fn read_token(text: &str) -> Result<(u64, Key), Failure> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        let part = |at: usize| {
            value.pointer(&format!("/s/{at}")).and_then(Value::as_str).map(str::to_owned)
        };
        Some((value.get("v")?.as_u64()?, (part(0)?, part(1)?)))
    };
    read().ok_or_else(|| Failure::bad_request("continue key is not valid: begin the list anew"))
}

fn too_new(wanted: u64, version: u64) -> Failure {
    let mut failure = Failure::new(
        504,
        "Timeout",
        format!("Too large resource version: {wanted}, current: {version}"),
    );
    failure.details = Some(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }));
    failure
}

fn number(call: &Call<'_>) -> Result<u64, Failure> {
    match call.query.version.as_str() {
        "" => Ok(0),
        text => text.parse().map_err(|_| {
            Failure::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: must be a whole number that the API gave out"
            ))
        }),
    }
}

/// Which versions a list may ask for, and how (`resourceVersionMatch`).
fn check_match(call: &Call<'_>) -> Result<(), Failure> {
    let (wanted, version) = (call.query.version_match.as_str(), call.query.version.as_str());
    let forbidden = |why: &str| {
        let message = format!(
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: {why}"
        );
        Err(Failure::new(422, "Invalid", message))
    };
    match wanted {
        "" => Ok(()),
        _ if !call.query.token.is_empty() => {
            forbidden("resourceVersionMatch is forbidden when continue is provided")
        }
        _ if version.is_empty() => {
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        "Exact" if version == "0" => {
            forbidden("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
        }
        "Exact" | "NotOlderThan" => Ok(()),
        other => Err(Failure::new(
            422,
            "Invalid",
            format!(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
            ),
        )),
    }
}

pub(super) fn list(
    api: &Api,
    resource: &Resource,
    place: &Place,
    call: &Call<'_>,
) -> Result<Answer, Failure> {
    let selection = selection(resource, place, call)?;
    check_match(call)?;
    let wanted = number(call)?;
    let store = api.shared.store();
    if wanted > store.version() {
        return Err(too_new(wanted, store.version()));
    }
    let (version, from) = if call.query.token.is_empty() {
        (store.version(), None)
    } else {
        let (version, key) = read_token(&call.query.token)?;
        if !store.reaches(&resource.storage, version) {
            return Err(Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
            ));
        }
        (version, Some(key))
    };
    let page = store.list(&resource.storage, &selection, call.query.limit, from.as_ref());
    drop(store);
    let next = page.next.as_ref().map(|key| token(version, key));
    if call.accept.form == Form::Table {
        let now = jiff::Timestamp::now();
        let rows = page
            .items
            .iter()
            .map(|object| table::row(resource, object, include(call), now))
            .collect();
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let Some(next) = next {
            metadata["continue"] = json!(next);
            metadata["remainingItemCount"] = json!(page.remaining);
        }
        return Ok(Answer::Value(
            200,
            table::table(metadata, table::headings(resource), rows),
            Vec::new(),
        ));
    }
    let bytes = list_bytes(resource, &page.items, version, next, page.remaining, call.accept.form);
    Ok(Answer::Bytes("application/json", bytes))
}

pub(super) fn list_bytes(
    resource: &Resource,
    items: &[Arc<Value>],
    version: u64,
    next: Option<String>,
    remaining: usize,
    form: Form,
) -> Vec<u8> {
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(next) = next {
        metadata["continue"] = json!(next);
        metadata["remainingItemCount"] = json!(remaining);
    }
    let (kind, group) = match form {
        Form::Partial => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        _ => (resource.list_kind.clone(), resource.api_version()),
    };
    let mut out = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
        json!(kind),
        json!(group)
    )
    .into_bytes();
    for (at, object) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Writing a value into memory cannot fail.
        let _ = if form == Form::Partial {
            serde_json::to_writer(&mut out, &table::partial(object))
        } else if convert::differs(resource, object) {
            serde_json::to_writer(&mut out, &convert::from_storage(resource, object))
        } else {
            serde_json::to_writer(&mut out, &**object)
        };
    }
    out.extend_from_slice(b"]}");
    out
}

pub(super) fn start_watch(
    api: &Api,
    resource: &Arc<Resource>,
    place: &Place,
    call: &Call<'_>,
) -> Result<Answer, Failure> {
    let selection = selection(resource, place, call)?;
    let after = number(call)?;
    if call.query.initial && call.query.version_match != "NotOlderThan" {
        return Err(Failure::new(
            422,
            "Invalid",
            format!(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, got {:?}",
                call.query.version_match
            ),
        ));
    }
    let mut store = api.shared.store();
    let shape = Shape {
        resource: resource.clone(),
        form: call.accept.form,
        include: include(call),
        bookmarks: call.query.bookmarks,
        timeout: call.query.timeout,
    };
    let initial = call.query.initial || after == 0;
    let (backlog, begun) = if initial {
        if after > store.version() {
            return Err(too_new(after, store.version()));
        }
        let page = store.list(&resource.storage, &selection, 0, None);
        let seen =
            page.items.into_iter().map(|object| Seen { change: Change::Added, object }).collect();
        let version = store.version();
        (seen, store.watch(&resource.storage, selection, version)?)
    } else {
        match store.watch(&resource.storage, selection, after) {
            Ok(mut begun) => (std::mem::take(&mut begun.backlog), begun),
            // A watch that asks for what is forgotten begins, and then says so.
            Err(failure) if failure.code == 410 => {
                return Ok(Answer::Refusal(watch::refusal(&failure.to_status())));
            }
            Err(failure) => return Err(failure),
        }
    };
    drop(store);
    let version = begun.version;
    let mut flow = Flow::new(api.shared.clone(), shape, backlog, begun.receiver);
    if call.query.initial && call.query.bookmarks {
        flow.initial_end(version);
    }
    Ok(Answer::Watch(Box::new(flow)))
}
