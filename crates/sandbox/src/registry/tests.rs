use super::*;
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn ask(
    registry: &Registry,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request =
        http::Request::builder().method(method).uri(format!("{}{path}", registry.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
    let response = client.request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(registry: &Registry, path: &str) -> Answer {
    ask(registry, "GET", path, &[], b"").await
}

async fn open() -> Registry {
    Registry::start(RegistryOptions { page: 2, ..RegistryOptions::default() })
        .await
        .expect("starts")
}

#[tokio::test]
async fn a_published_tag_is_a_whole_image() {
    let registry = open().await;
    let at = "2024-01-02T03:04:05Z".parse().expect("a time");
    let image = NewImage {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        annotations: [("c".to_owned(), "d".to_owned())].into(),
        ..NewImage::created(at)
    };
    let digest = registry.push_tag("a/b", "v1", &image).expect("published");
    let manifest = get(&registry, "/v2/a/b/manifests/v1").await;
    assert_eq!(manifest.status, 200);
    assert_eq!(manifest.header("docker-content-digest"), digest);
    assert_eq!(content::digest_of(&manifest.body), digest);
    assert_eq!(manifest.header("content-type"), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest.json()["annotations"]["c"], "d");
    let head = ask(&registry, "HEAD", &format!("/v2/a/b/manifests/{digest}"), &[], b"").await;
    assert_eq!((head.status, head.header("docker-content-digest")), (200, digest.as_str()));
    assert_eq!(head.header("content-length"), manifest.body.len().to_string());
    assert!(head.body.is_empty());
    let config = manifest.json()["config"]["digest"].as_str().map(str::to_owned).expect("a config");
    let config = get(&registry, &format!("/v2/a/b/blobs/{config}")).await;
    assert_eq!(config.json()["created"], "2024-01-02T03:04:05Z");
    assert_eq!(config.json()["config"]["Labels"]["a"], "b");
    // A blob belongs to the repositories that it was pushed to.
    let other = get(&registry, &format!("/v2/other/blobs/{digest}")).await;
    assert_eq!(
        (other.status, other.json()["errors"][0]["code"].as_str()),
        (404, Some("BLOB_UNKNOWN"))
    );
}

#[tokio::test]
async fn platforms_make_an_index() {
    let registry = open().await;
    let platforms = vec!["linux/amd64".to_owned(), "linux/arm/v7".to_owned()];
    let image = NewImage { platforms, ..NewImage::default() };
    registry.push_tag("a", "v1", &image).expect("published");
    let index = get(&registry, "/v2/a/manifests/v1").await;
    assert_eq!(index.header("content-type"), "application/vnd.oci.image.index.v1+json");
    let entries = index.json()["manifests"].clone();
    assert_eq!(
        entries[1]["platform"],
        json!({"os": "linux", "architecture": "arm", "variant": "v7"})
    );
    for entry in entries.as_array().expect("entries") {
        let digest = entry["digest"].as_str().expect("a digest");
        assert_eq!(get(&registry, &format!("/v2/a/manifests/{digest}")).await.status, 200);
    }
}

#[tokio::test]
async fn tags_come_in_pages() {
    let registry = open().await;
    assert_eq!(get(&registry, "/v2/a/tags/list").await.status, 404);
    for tag in ["c", "a", "b"] {
        registry.push_tag("a", tag, &NewImage::default()).expect("published");
    }
    let first = get(&registry, "/v2/a/tags/list?n=1000").await;
    assert_eq!(first.json(), json!({"name": "a", "tags": ["a", "b"]}));
    assert_eq!(first.header("link"), "</v2/a/tags/list?last=b&n=2>; rel=\"next\"");
    let second = get(&registry, "/v2/a/tags/list?last=b&n=2").await;
    assert_eq!((second.json()["tags"].clone(), second.header("link")), (json!(["c"]), ""));
    assert!(registry.delete_tag("a", "b"));
    assert!(!registry.delete_tag("a", "b"));
    assert_eq!(registry.tags("a"), ["a", "c"]);
    assert_eq!(get(&registry, "/v2/a/manifests/b").await.status, 404);
    assert!(registry.push_tag("A", "x", &NewImage::default()).is_err());
    assert!(registry.push_tag("a", ".x", &NewImage::default()).is_err());
}

#[tokio::test]
async fn a_client_can_push() {
    let registry = open().await;
    let config = b"{}";
    let digest = content::digest_of(config);
    let begun = ask(&registry, "POST", "/v2/a/b/blobs/uploads/", &[], b"").await;
    assert_eq!(begun.status, 202);
    let location = begun.header("location").to_owned();
    let patched = ask(&registry, "PATCH", &location, &[], b"{").await;
    assert_eq!((patched.status, patched.header("range")), (202, "0-0"));
    let wrong = ask(&registry, "PUT", "/v2/a/b/blobs/uploads/nope?digest=x", &[], b"").await;
    assert_eq!(wrong.status, 404);
    let digest_query = digest.replace(':', "%3A");
    let put = ask(&registry, "PUT", &format!("{location}?digest={digest_query}"), &[], b"}").await;
    assert_eq!((put.status, put.header("docker-content-digest")), (201, digest.as_str()));
    let type_ = "application/vnd.docker.distribution.manifest.v2+json";
    let missing = json!({"config": {"digest": "sha256:00"}}).to_string();
    let headers = [("content-type", type_)];
    let refused = ask(&registry, "PUT", "/v2/a/b/manifests/v1", &headers, missing.as_bytes()).await;
    assert_eq!(refused.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    let manifest = json!({"config": {"digest": digest}}).to_string();
    let put = ask(&registry, "PUT", "/v2/a/b/manifests/v1", &headers, manifest.as_bytes()).await;
    assert_eq!(put.status, 201);
    let got = get(&registry, "/v2/a/b/manifests/v1").await;
    assert_eq!((got.header("content-type"), &got.body[..]), (type_, manifest.as_bytes()));
    let mounted = format!("/v2/c/blobs/uploads/?mount={digest}&from=a/b");
    assert_eq!(ask(&registry, "POST", &mounted, &[], b"").await.status, 201);
    let deleted = ask(&registry, "DELETE", "/v2/a/b/manifests/v1", &[], b"").await;
    assert_eq!((deleted.status, registry.tags("a/b")), (202, vec![]));
}

fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[tokio::test]
async fn tokens_are_for_one_repository() {
    let access = Access::Token {
        username: "me".to_owned(),
        password: "pw".to_owned(),
        anonymous_pull: false,
    };
    let options = RegistryOptions { access, ..RegistryOptions::default() };
    let registry = Registry::start(options).await.expect("starts");
    registry.push_tag("a/b", "v1", &NewImage::default()).expect("published");
    let refused = get(&registry, "/v2/a/b/tags/list").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        format!(
            "Bearer realm=\"{}/token\",service=\"supercargo-sandbox\",scope=\"repository:a/b:pull\"",
            registry.url()
        )
    );
    let path = "/token?service=supercargo-sandbox&scope=repository%3Aa%2Fb%3Apull";
    assert_eq!(get(&registry, path).await.status, 401);
    let wrong = basic("me", "no");
    assert_eq!(ask(&registry, "GET", path, &[("authorization", &wrong)], b"").await.status, 401);
    let right = basic("me", "pw");
    let token = ask(&registry, "GET", path, &[("authorization", &right)], b"").await.json();
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    let with = [("authorization", bearer.as_str())];
    for (path, status) in [("/v2/", 200), ("/v2/a/b/tags/list", 200), ("/v2/other/tags/list", 401)]
    {
        assert_eq!(ask(&registry, "GET", path, &with, b"").await.status, status, "{path}");
    }
    let push = ask(&registry, "POST", "/v2/a/b/blobs/uploads/", &with, b"").await;
    assert_eq!(push.status, 401, "the token is for pulling");
    registry.revoke_tokens();
    assert_eq!(ask(&registry, "GET", "/v2/", &with, b"").await.status, 401);
}

#[tokio::test]
async fn it_fails_when_asked_to_and_writes_down_what_it_heard() {
    let registry = open().await;
    registry.push_tag("a", "v1", &NewImage::default()).expect("published");
    registry.traffic().fail(Fault {
        status: 429,
        retry_after: Some("7".to_owned()),
        path_contains: "/manifests/".to_owned(),
        times: 1,
        ..Fault::default()
    });
    assert_eq!(get(&registry, "/v2/a/tags/list").await.status, 200);
    let failed = get(&registry, "/v2/a/manifests/v1").await;
    assert_eq!((failed.status, failed.header("retry-after")), (429, "7"));
    assert_eq!(get(&registry, "/v2/a/manifests/v1").await.status, 200);
    assert_eq!(registry.traffic().count("GET", "/manifests/"), 2);
    assert_eq!(registry.traffic().total(), 3);
    let statuses: Vec<u16> = registry.traffic().requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [200, 429, 200]);
}

#[tokio::test]
async fn charts_are_tags_or_lines_of_an_index() {
    let registry = open().await;
    registry.push_chart("charts/app", "1.0.0+build.1").expect("published");
    assert_eq!(registry.tags("charts/app"), ["1.0.0_build.1"]);
    registry.push_index("stable", &[("app", &["1.0.0", "1.1.0"]), ("db", &["2.0.0"])]);
    let index = get(&registry, "/stable/index.yaml").await;
    assert_eq!(
        String::from_utf8_lossy(&index.body),
        "apiVersion: v1\nentries:\n  app:\n  - name: app\n    version: 1.0.0\n  - name: app\n    version: 1.1.0\n  db:\n  - name: db\n    version: 2.0.0\n"
    );
    let known = [("if-none-match", index.header("etag"))];
    let same = ask(&registry, "GET", "/stable/index.yaml", &known, b"").await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let known = [("if-modified-since", index.header("last-modified"))];
    assert_eq!(ask(&registry, "GET", "/stable/index.yaml", &known, b"").await.status, 304);
    registry.push_index("stable", &[("app", &["1.2.0"])]);
    let known = [("if-none-match", index.header("etag"))];
    assert_eq!(ask(&registry, "GET", "/stable/index.yaml", &known, b"").await.status, 200);
    assert_eq!(get(&registry, "/other/index.yaml").await.status, 404);
}
