//! One HTTP request of the distribution protocol.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Shared;
use super::content::{LARGEST, Manifest, digest_of};
use super::traffic::{Fault, RegistryRequest, Trouble};

/// What a path names.
enum Route<'a> {
    Base,
    Token,
    Catalog,
    Tags(&'a str),
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Nothing,
}

/// Whether a repository may be called that.
pub(super) fn is_repository(name: &str) -> bool {
    let part = |p: &str| {
        let inside = |c: char| matches!(c, '-' | '_' | '.');
        !p.is_empty()
            && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || inside(c))
            && !p.starts_with(inside)
            && !p.ends_with(inside)
    };
    name.len() <= 255 && name.split('/').all(part)
}

/// Whether a tag may be called that.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&tag.len())
        && tag.starts_with(word)
        && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn route(path: &str) -> Route<'_> {
    let Some(rest) = path.strip_prefix("/v2") else {
        return if path == "/token" { Route::Token } else { Route::Nothing };
    };
    if rest.is_empty() || rest == "/" {
        return Route::Base;
    }
    let Some(rest) = rest.strip_prefix('/') else { return Route::Nothing };
    if rest == "_catalog" {
        return Route::Catalog;
    }
    let route = if let Some(name) = rest.strip_suffix("/tags/list") {
        (name, Route::Tags(name))
    } else if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
        (name, if id.is_empty() { Route::Uploads(name) } else { Route::Upload(name, id) })
    } else if let Some(name) = rest.strip_suffix("/blobs/uploads") {
        (name, Route::Uploads(name))
    } else if let Some((name, reference)) = rest.rsplit_once("/manifests/") {
        (name, Route::Manifest(name, reference))
    } else if let Some((name, digest)) = rest.rsplit_once("/blobs/") {
        (name, Route::Blob(name, digest))
    } else {
        return Route::Nothing;
    };
    if is_repository(route.0) { route.1 } else { Route::Nothing }
}

/// Answers a request and writes it down.
pub(super) async fn answer(shared: &Shared, request: Request) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let authorized = request.headers().contains_key(header::AUTHORIZATION);
    let delay = shared.traffic.current_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let http2 = request.version() == http::Version::HTTP_2;
    let mut response = match shared.traffic.fault(&path) {
        Some(fault) => {
            let mut response = fail(shared, &fault, request, &path, &query).await;
            set(&mut response, "retry-after", fault.retry_after.as_deref().unwrap_or_default());
            response
        }
        None => serve(shared, request, &path, &query).await,
    };
    set(&mut response, "docker-distribution-api-version", "registry/2.0");
    let status = response.status().as_u16();
    shared.traffic.log(RegistryRequest { method, path, query, authorized, status, http2 });
    response
}

/// Answers wrongly, as was asked for.
async fn fail(
    shared: &Shared,
    fault: &Fault,
    request: Request,
    path: &str,
    query: &str,
) -> Response {
    let status = match fault.status {
        0 => StatusCode::OK,
        other => StatusCode::from_u16(other).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let stream = |chunks: BoxStream<'static, Result<Bytes, io::Error>>| {
        let mut response = Response::new(Body::from_stream(chunks));
        set(&mut response, "content-type", "application/json");
        response
    };
    match &fault.trouble {
        Trouble::Status => refuse(status, "UNAVAILABLE", "this failure was asked for"),
        Trouble::Altered => {
            let (mut parts, body) = serve(shared, request, path, query).await.into_parts();
            let body = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from([&body[..], b" "].concat()))
        }
        Trouble::Body(text) => {
            let mut response = Response::new(Body::from(text.clone()));
            *response.status_mut() = status;
            set(&mut response, "content-type", "application/json");
            response
        }
        Trouble::Endless => {
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            stream(futures::stream::repeat_with(move || Ok(chunk.clone())).boxed())
        }
        Trouble::Drip(interval) => {
            let interval = *interval;
            let drops = futures::stream::unfold((), move |()| async move {
                tokio::time::sleep(interval).await;
                Some((Ok(Bytes::from_static(b" ")), ()))
            });
            stream(drops.boxed())
        }
        Trouble::Cut => {
            let begun = futures::stream::iter([
                Ok(Bytes::from_static(b"{")),
                Err(io::Error::other("this failure was asked for")),
            ]);
            stream(begun.boxed())
        }
        Trouble::Hang => {
            shared.traffic.hangs();
            std::future::pending().await
        }
        Trouble::Redirect(to) => {
            let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
            set(&mut response, "location", to);
            response
        }
        Trouble::Tags(count) => {
            let name = |n: &usize| format!("t{n:08}");
            let query = parse_query(query);
            let last = value(&query, "last").and_then(|l| l.get(1..)?.parse::<usize>().ok());
            let first = last.map_or(0, |l| l + 1).min(*count);
            let end = first.saturating_add(shared.page).min(*count);
            let tags: Vec<String> = (first..end).map(|n| name(&n)).collect();
            let mut response = json_body(StatusCode::OK, &json!({ "tags": tags }));
            if end < *count
                && let Some(last) = tags.last()
            {
                set(
                    &mut response,
                    "link",
                    &format!("<{path}?last={last}&n={}>; rel=\"next\"", shared.page),
                );
            }
            response
        }
    }
}

async fn serve(shared: &Shared, request: Request, path: &str, query: &str) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the body is too large");
    };
    let route = route(path);
    let query: Vec<(String, String)> = parse_query(query);
    let sent = text(&parts.headers, header::AUTHORIZATION);
    if let Route::Token = route {
        return token(shared, &parts.method, sent, &query);
    }
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let action = if reads { "pull" } else { "push" };
    let wanted = match &route {
        Route::Tags(name)
        | Route::Manifest(name, _)
        | Route::Blob(name, _)
        | Route::Uploads(name)
        | Route::Upload(name, _) => Some((*name, action)),
        _ => None,
    };
    let host = text(&parts.headers, header::HOST).unwrap_or("127.0.0.1");
    if let Err(challenge) = shared.tokens.check(sent, wanted, host) {
        let mut response =
            refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        set(&mut response, "www-authenticate", &challenge);
        return response;
    }
    match route {
        Route::Base if reads => json_body(StatusCode::OK, &json!({})),
        Route::Catalog if reads => {
            let names = shared.content(|c| c.repositories());
            json_body(StatusCode::OK, &json!({ "repositories": names }))
        }
        Route::Tags(name) if reads => tags(shared, name, &query),
        Route::Manifest(name, reference) if reads => get_manifest(shared, name, reference),
        Route::Manifest(name, reference) if parts.method == Method::PUT => {
            let content_type = text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default();
            put_manifest(shared, name, reference, content_type, body)
        }
        Route::Manifest(name, reference) if parts.method == Method::DELETE => {
            let gone = shared
                .content(|c| c.remove_tag(name, reference) || c.remove_manifest(name, reference));
            if gone { empty(StatusCode::ACCEPTED) } else { manifest_unknown(name, reference) }
        }
        Route::Blob(name, digest) if reads => match shared.content(|c| c.blob(name, digest)) {
            Some(bytes) => object("application/octet-stream", digest, bytes),
            None => refuse(
                StatusCode::NOT_FOUND,
                "BLOB_UNKNOWN",
                &format!("blob unknown to registry: {digest}"),
            ),
        },
        Route::Uploads(name) if parts.method == Method::POST => begin(shared, name, &query, body),
        Route::Upload(name, id) => upload(shared, &parts.method, name, id, &query, &body),
        Route::Nothing if reads && shared.content(|c| c.file(path)).is_some() => {
            file(shared, path, &parts.headers)
        }
        Route::Nothing | Route::Token => {
            refuse(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such page")
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "not supported"),
    }
}

fn token(
    shared: &Shared,
    method: &Method,
    sent: Option<&str>,
    query: &[(String, String)],
) -> Response {
    if method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "ask with GET");
    }
    let scopes: Vec<String> =
        query.iter().filter(|(k, _)| k == "scope").map(|(_, v)| v.clone()).collect();
    match shared.tokens.issue(sent, &scopes) {
        Some(token) => json_body(StatusCode::OK, &token),
        None => refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "incorrect username or password"),
    }
}

fn tags(shared: &Shared, name: &str, query: &[(String, String)]) -> Response {
    let Some(tags) = shared.content(|c| c.tags(name)) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    let n = value(query, "n").and_then(|n| n.parse().ok()).unwrap_or(shared.page);
    let n: usize = n.min(shared.page);
    let last = value(query, "last").unwrap_or_default();
    let rest: Vec<&String> = tags.iter().filter(|tag| tag.as_str() > last).collect();
    let page: Vec<&String> = rest.iter().take(n).copied().collect();
    let mut response = json_body(StatusCode::OK, &json!({ "name": name, "tags": page }));
    if page.len() < rest.len()
        && let Some(last) = page.last()
    {
        let link = format!("</v2/{name}/tags/list?last={last}&n={n}>; rel=\"next\"");
        set(&mut response, "link", &link);
    }
    response
}

fn get_manifest(shared: &Shared, name: &str, reference: &str) -> Response {
    match shared.content(|c| c.manifest(name, reference)) {
        Some((digest, manifest)) => object(&manifest.content_type, &digest, manifest.bytes),
        None => manifest_unknown(name, reference),
    }
}

fn put_manifest(
    shared: &Shared,
    name: &str,
    reference: &str,
    content_type: &str,
    bytes: Bytes,
) -> Response {
    let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
        return refuse(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "the manifest is no JSON");
    };
    let digest = digest_of(&bytes);
    let tag = if reference.contains(':') {
        if reference != digest {
            return refuse(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                &format!("the manifest's digest is {digest}"),
            );
        }
        None
    } else if is_tag(reference) {
        Some(reference)
    } else {
        return refuse(StatusCode::BAD_REQUEST, "TAG_INVALID", "no tag may be called that");
    };
    let media_type = document["mediaType"].as_str().unwrap_or_default();
    let content_type = if content_type.is_empty() { media_type } else { content_type };
    let missing = shared.content(|c| {
        let layers = document["layers"].as_array().into_iter().flatten();
        let mut blobs = std::iter::once(&document["config"]).chain(layers);
        let blob = blobs.find_map(|entry| {
            let digest = entry["digest"].as_str()?;
            c.blob(name, digest).is_none().then(|| digest.to_owned())
        });
        blob.or_else(|| {
            document["manifests"].as_array().into_iter().flatten().find_map(|entry| {
                let digest = entry["digest"].as_str()?;
                c.manifest(name, digest).is_none().then(|| digest.to_owned())
            })
        })
    });
    if let Some(missing) = missing {
        return refuse(
            StatusCode::NOT_FOUND,
            "MANIFEST_BLOB_UNKNOWN",
            &format!("the manifest names {missing}, which was not pushed"),
        );
    }
    let manifest = Manifest { content_type: content_type.to_owned(), bytes };
    shared.content(|c| c.put_manifest(name, tag, manifest));
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, "location", &format!("/v2/{name}/manifests/{digest}"));
    set(&mut response, "docker-content-digest", &digest);
    response
}

/// `POST …/blobs/uploads/`: begins an upload, mounts a blob of another
/// repository, or takes a whole blob at once.
fn begin(shared: &Shared, name: &str, query: &[(String, String)], body: Bytes) -> Response {
    if let (Some(digest), Some(from)) = (value(query, "mount"), value(query, "from"))
        && shared.content(|c| c.mount(name, from, digest))
    {
        return blob_created(name, digest);
    }
    if let Some(digest) = value(query, "digest") {
        return keep(shared, name, digest, body);
    }
    let id = shared.content(|c| c.begin(name));
    upload_state(StatusCode::ACCEPTED, name, &id, 0)
}

fn upload(
    shared: &Shared,
    method: &Method,
    name: &str,
    id: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Response {
    let unknown = || refuse(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload");
    if method == Method::PATCH {
        return match shared.content(|c| c.append(name, id, body)) {
            Some(length) => upload_state(StatusCode::ACCEPTED, name, id, length),
            None => unknown(),
        };
    }
    if method == Method::PUT {
        let Some(digest) = value(query, "digest") else {
            return refuse(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the digest is missing");
        };
        let bytes = shared.content(|c| {
            c.append(name, id, body)?;
            c.take(name, id)
        });
        return match bytes {
            Some(bytes) => keep(shared, name, digest, bytes),
            None => unknown(),
        };
    }
    if method == Method::DELETE {
        return match shared.content(|c| c.take(name, id)) {
            Some(_) => empty(StatusCode::NO_CONTENT),
            None => unknown(),
        };
    }
    match shared.content(|c| c.uploaded(name, id)) {
        Some(length) => upload_state(StatusCode::NO_CONTENT, name, id, length),
        None => unknown(),
    }
}

fn keep(shared: &Shared, name: &str, digest: &str, bytes: Bytes) -> Response {
    if digest_of(&bytes) != digest {
        return refuse(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    shared.content(|c| c.put_blob(name, bytes));
    blob_created(name, digest)
}

fn blob_created(name: &str, digest: &str) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, "location", &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, "docker-content-digest", digest);
    response
}

fn upload_state(status: StatusCode, name: &str, id: &str, length: usize) -> Response {
    let mut response = empty(status);
    set(&mut response, "location", &format!("/v2/{name}/blobs/uploads/{id}"));
    set(&mut response, "docker-upload-uuid", id);
    set(&mut response, "range", &format!("0-{}", length.saturating_sub(1)));
    response
}

/// A file of a classic chart repository, or that it did not change.
fn file(shared: &Shared, path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = shared.content(|c| c.file(path)) else {
        return refuse(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such page");
    };
    let etag = format!("\"{}\"", digest_of(&file.bytes));
    let same = match text(headers, header::IF_NONE_MATCH) {
        Some(known) => known == etag,
        None => text(headers, header::IF_MODIFIED_SINCE) == Some(file.modified.as_str()),
    };
    let mut response =
        if same { empty(StatusCode::NOT_MODIFIED) } else { Response::new(Body::from(file.bytes)) };
    set(&mut response, "content-type", "text/yaml");
    if shared.traffic.etags() {
        set(&mut response, "etag", &etag);
    }
    set(&mut response, "last-modified", &file.modified);
    response
}

fn manifest_unknown(name: &str, reference: &str) -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        "MANIFEST_UNKNOWN",
        &format!("manifest unknown: {name} has no {reference}"),
    )
}

fn object(content_type: &str, digest: &str, bytes: Bytes) -> Response {
    let length = bytes.len().to_string();
    let mut response = Response::new(Body::from(bytes));
    set(&mut response, "content-type", content_type);
    set(&mut response, "content-length", &length);
    set(&mut response, "docker-content-digest", digest);
    set(&mut response, "etag", &format!("\"{digest}\""));
    response
}

fn json_body(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    set(&mut response, "content-type", "application/json");
    response
}

/// An error in the protocol's own form.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    json_body(status, &json!({ "errors": [{ "code": code, "message": message }] }))
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header; an empty value, or one that is no header value, sets none.
fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = http::HeaderValue::from_str(value)
        && !value.is_empty()
    {
        response.headers_mut().insert(name, value);
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn value<'a>(query: &'a [(String, String)], key: &str) -> Option<&'a str> {
    query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .take(32)
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match (*first, hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
