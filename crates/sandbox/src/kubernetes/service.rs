//! From an HTTP request to an HTTP response.

use super::collect::{Deletion, Propagation};
use super::failure::Failure;
use super::listing::{include, list, list_bytes, selection, start_watch};
use super::negotiate::{self, Accept, Form};
use super::query::{self, Place, Query, Target};
use super::resource::Resource;
use super::table;
use super::watch::Flow;
use super::write::{DeleteOptions, PatchKind, Write};
use super::{Api, Request, admit, convert, discovery};
use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// An answer before it is written out.
pub(super) enum Answer {
    Value(u16, Value, Vec<String>),
    Object(u16, Arc<Value>, Vec<String>),
    Bytes(&'static str, Vec<u8>),
    Watch(Box<Flow>),
    Refusal(Bytes),
}

pub(super) struct Call<'a> {
    method: &'a Method,
    pub(super) query: Query,
    headers: &'a HeaderMap,
    body: &'a [u8],
    pub(super) accept: Accept,
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Answers one request whose body has been read.
pub(super) fn answer(api: &Api, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
    let accepts: Vec<&str> =
        parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let outcome = Query::parse(parts.uri.query().unwrap_or_default()).and_then(|query| {
        let accept = Accept::parse(&accepts.join(","));
        let call = Call { method: &parts.method, query, headers: &parts.headers, body, accept };
        dispatch(api, &query::target(parts.uri.path()), &call)
    });
    match outcome {
        Ok(answer) => write_out(answer),
        Err(failure) => refuse(&failure),
    }
}

/// A refusal as a response.
pub(super) fn refuse(failure: &Failure) -> Response<Body> {
    if failure.is_plain() {
        let text = format!("{}\n", failure.message);
        return respond(failure.code, "text/plain; charset=utf-8", Body::from(text));
    }
    let bytes = failure.to_status().to_string().into_bytes();
    let mut response = respond(failure.code, "application/json", Body::from(bytes));
    if matches!(failure.code, 429 | 504) {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn respond(code: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn write_out(answer: Answer) -> Response<Body> {
    let warn = |mut response: Response<Body>, warnings: Vec<String>| {
        for warning in warnings.iter().take(32) {
            let text = format!("299 - {}", Value::from(warning.as_str()));
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        response
    };
    match answer {
        Answer::Value(code, value, warnings) => {
            warn(respond(code, "application/json", Body::from(value.to_string())), warnings)
        }
        Answer::Object(code, object, warnings) => {
            warn(respond(code, "application/json", Body::from(object.to_string())), warnings)
        }
        Answer::Bytes(kind, bytes) => respond(200, kind, Body::from(bytes)),
        Answer::Watch(flow) => {
            let stream = futures::stream::unfold(*flow, Flow::next);
            respond(200, "application/json", Body::from_stream(stream))
        }
        Answer::Refusal(line) => respond(200, "application/json", Body::from(line)),
    }
}

fn dispatch(api: &Api, target: &Target, call: &Call<'_>) -> Result<Answer, Failure> {
    if let Target::Objects(place) = target {
        return objects(api, place, call);
    }
    if call.method != Method::GET {
        return Err(Failure::method_not_allowed());
    }
    let store = api.shared.store();
    let value = match target {
        Target::CoreVersions | Target::Groups if call.accept.aggregated => {
            let value = discovery::aggregated(&store, *target == Target::CoreVersions);
            let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            return Ok(Answer::Bytes(kind, value.to_string().into_bytes()));
        }
        Target::CoreVersions => Some(discovery::core_versions()),
        Target::Groups => Some(discovery::groups(&store)),
        Target::Group(group) => discovery::group(&store, group),
        Target::Resources(group, version) => discovery::resources(&store, group, version),
        Target::Version => Some(discovery::version()),
        Target::OpenApi2 if call.accept.protobuf => {
            let kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            return Ok(Answer::Bytes(kind, discovery::openapi2_protobuf()));
        }
        Target::OpenApi2 => Some(discovery::openapi2()),
        Target::OpenApi3 => Some(discovery::openapi3(&store)),
        Target::OpenApi3Of(group, version) => discovery::openapi3_of(&store, group, version),
        Target::Health => return Ok(Answer::Bytes("text/plain", b"ok".to_vec())),
        Target::Objects(_) | Target::Unknown => None,
    };
    value.map(|value| Answer::Value(200, value, Vec::new())).ok_or_else(Failure::no_such_path)
}

fn verb(call: &Call<'_>, place: &Place) -> Result<&'static str, Failure> {
    Ok(match (call.method.as_str(), place.name.is_some()) {
        ("GET", true) => "get",
        ("GET", false) if call.query.watch => "watch",
        ("GET", false) => "list",
        ("POST", false) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(Failure::method_not_allowed()),
    })
}

fn objects(api: &Api, place: &Place, call: &Call<'_>) -> Result<Answer, Failure> {
    let verb = verb(call, place)?;
    let manager = if call.query.manager.is_empty() {
        let agent = header(call.headers, &USER_AGENT).split(['/', ' ']).next().unwrap_or_default();
        if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
    } else {
        call.query.manager.chars().take(128).collect()
    };
    let request = Request {
        verb,
        group: place.group.clone(),
        resource: place.plural.clone(),
        subresource: place.subresource.clone().unwrap_or_default(),
        namespace: place.namespace.clone().unwrap_or_default(),
        name: place.name.clone().unwrap_or_default(),
        manager: manager.clone(),
    };
    api.shared.count(&request);
    if let Some(failure) = api.shared.ask(&request) {
        return Err(failure);
    }
    let resource = api
        .shared
        .store()
        .resource(&place.group, &place.version, &place.plural)
        .ok_or_else(Failure::no_such_path)?;
    if !resource.namespaced && place.namespace.is_some() {
        return Err(Failure::no_such_path());
    }
    if resource.namespaced && place.namespace.is_none() && !matches!(verb, "list" | "watch") {
        return Err(Failure::method_not_allowed());
    }
    match place.subresource.as_deref() {
        None => {}
        Some("status") if resource.status && matches!(verb, "get" | "update" | "patch") => {}
        Some("finalize") if resource.storage == "namespaces" && verb == "update" => {}
        Some(_) => return Err(Failure::no_such_path()),
    }
    if resource.review {
        return if verb == "create" {
            review(&resource, call)
        } else {
            Err(Failure::method_not_allowed())
        };
    }
    let namespace = place.namespace.clone().unwrap_or_default();
    let name = place.name.clone().unwrap_or_default();
    match verb {
        "get" => {
            let key = (namespace, name);
            let found = api.shared.store().get(&resource.storage, &key);
            let object = found.ok_or_else(|| Failure::not_found(&resource, &key.1))?;
            Ok(one(&resource, call, 200, object, Vec::new()))
        }
        "list" => list(api, &resource, place, call),
        "watch" => start_watch(api, &resource, place, call),
        _ => {
            let mut store = api.shared.store();
            let mut write = Write {
                store: &mut store,
                resource: resource.clone(),
                namespace,
                query: &call.query,
                manager,
                subresource: place.subresource.clone().unwrap_or_default(),
                now: now(),
                warnings: Vec::new(),
            };
            change(&mut write, verb, &name, place, call)
        }
    }
}

fn change(
    write: &mut Write<'_>,
    verb: &str,
    name: &str,
    place: &Place,
    call: &Call<'_>,
) -> Result<Answer, Failure> {
    let kind = header(call.headers, &CONTENT_TYPE).to_owned();
    let resource = write.resource.clone();
    match verb {
        "create" => {
            let object = write.create(negotiate::read(&kind, call.body)?)?;
            Ok(one(&resource, call, 201, object, std::mem::take(&mut write.warnings)))
        }
        "update" => {
            let object = write.update(name, negotiate::read(&kind, call.body)?)?;
            Ok(one(&resource, call, 200, object, std::mem::take(&mut write.warnings)))
        }
        "patch" => {
            let written = match kind.split(';').next().unwrap_or_default().trim() {
                "application/json-patch+json" => PatchKind::Json,
                "application/merge-patch+json" => PatchKind::Merge,
                "application/strategic-merge-patch+json" => PatchKind::Strategic,
                "application/apply-patch+yaml" => PatchKind::Apply,
                _ => {
                    return Err(Failure::unsupported_media_type(
                        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                    ));
                }
            };
            let (object, created) =
                write.patch(name, written, &negotiate::read(&kind, call.body)?)?;
            let code = if created { 201 } else { 200 };
            Ok(one(&resource, call, code, object, std::mem::take(&mut write.warnings)))
        }
        "delete" => match write.delete(name, &delete_options(call)?)? {
            Deletion::Marked(object) => Ok(one(&resource, call, 200, object, Vec::new())),
            Deletion::Removed(object) => {
                let mut details = json!({"name": name, "kind": resource.plural, "uid": admit::meta(&object, "uid")});
                if !resource.group.is_empty() {
                    details["group"] = json!(resource.group);
                }
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                });
                Ok(Answer::Value(200, status, Vec::new()))
            }
        },
        _ => {
            let selection = selection(&resource, place, call)?;
            let gone = write.delete_collection(&selection, &delete_options(call)?)?;
            let version = write.store.version();
            Ok(Answer::Bytes(
                "application/json",
                list_bytes(&resource, &gone, version, None, 0, Form::Plain),
            ))
        }
    }
}

fn delete_options(call: &Call<'_>) -> Result<DeleteOptions, Failure> {
    let body = if call.body.is_empty() {
        Value::Null
    } else {
        negotiate::read(header(call.headers, &CONTENT_TYPE), call.body)?
    };
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let orphan = body.get("orphanDependents").and_then(Value::as_bool).unwrap_or_default();
    let policy = text("/propagationPolicy").or_else(|| call.query.propagation.clone());
    Ok(DeleteOptions {
        propagation: match policy.as_deref() {
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            None if orphan => Propagation::Orphan,
            Some("Background") | None => Propagation::Background,
            Some(other) => {
                return Err(Failure::new(
                    422,
                    "Invalid",
                    format!(
                        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                    ),
                ));
            }
        },
        uid: text("/preconditions/uid"),
        version: text("/preconditions/resourceVersion"),
        dry_run: call.query.dry_run
            || body.get("dryRun").and_then(Value::as_array).is_some_and(|all| !all.is_empty()),
    })
}

/// One object in the wanted form.
fn one(
    resource: &Resource,
    call: &Call<'_>,
    code: u16,
    object: Arc<Value>,
    warnings: Vec<String>,
) -> Answer {
    let turned =
        convert::differs(resource, &object).then(|| convert::from_storage(resource, &object));
    match call.accept.form {
        Form::Plain => match turned {
            Some(turned) => Answer::Value(code, turned, warnings),
            None => Answer::Object(code, object, warnings),
        },
        Form::Partial => Answer::Value(code, table::partial(&object), warnings),
        Form::Table => {
            let row = table::row(resource, &object, include(call), jiff::Timestamp::now());
            let version = json!({"resourceVersion": admit::meta(&object, "resourceVersion")});
            Answer::Value(
                code,
                table::table(version, table::headings(resource), vec![row]),
                warnings,
            )
        }
    }
}

fn review(resource: &Resource, call: &Call<'_>) -> Result<Answer, Failure> {
    let mut object = negotiate::read(header(call.headers, &CONTENT_TYPE), call.body)?;
    admit::body(resource, &mut object)?;
    object["status"] = match resource.kind.as_str() {
        "TokenReview" => {
            json!({"authenticated": true, "user": {"username": "sandbox", "groups": ["system:authenticated"]}})
        }
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": "sandbox", "groups": ["system:authenticated"]}})
        }
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false,
        }),
        _ => json!({"allowed": true, "reason": "the sandbox allows everything"}),
    };
    Ok(Answer::Value(201, object, Vec::new()))
}
