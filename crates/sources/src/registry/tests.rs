use std::time::Duration;

use credentials::{Credential, CredentialKind, Login, Secret, SecretRef, Source};
use sandbox::registry::{Access, Fault, NewImage, Registry, RegistryOptions};

use super::*;
use crate::error::ErrorClass;

const PUBLIC: &str = "docker.io/owner/app";

async fn sandbox(access: Access, page: usize) -> Registry {
    let options = RegistryOptions { access, page, ..RegistryOptions::default() };
    Registry::start(options).await.expect("a registry")
}

fn client(registry: &Registry) -> Client {
    let mirrors = format!("docker.io={}", registry.url()).parse().expect("a mirror");
    let settings = ClientSettings {
        mirrors,
        retry_delay: Duration::from_millis(1),
        ..ClientSettings::default()
    };
    Client::new(settings).expect("a client")
}

fn repository(client: &Client, credential: Option<&Credential>) -> Repository {
    client.repository(&Address::parse(PUBLIC).expect("an address"), credential, false)
}

fn credential(password: &str) -> Credential {
    Credential {
        kind: CredentialKind::Image,
        login: Login::Basic { username: "me".into(), password: Secret::new(password) },
        source: Source::of_project(
            SecretRef { namespace: "p".into(), name: "creds".into(), uid: "u".into() },
            "",
        ),
    }
}

fn token(anonymous_pull: bool) -> Access {
    Access::Token { username: "me".into(), password: "canary-pw".into(), anonymous_pull }
}

#[test]
fn addresses() {
    for (url, expected) in [
        ("busybox", "index.docker.io/library/busybox"),
        ("docker.io/busybox", "index.docker.io/library/busybox"),
        ("registry-1.docker.io/Example/Repo", "index.docker.io/example/repo"),
        ("ghcr.io/a/b:1.0", "ghcr.io/a/b"),
        ("localhost:5000/ab", "localhost:5000/ab"),
        ("localhost/ab/c", "localhost/ab/c"),
        ("owner/app", "index.docker.io/owner/app"),
    ] {
        assert_eq!(Address::parse(url).map(|a| a.to_string()).unwrap_or_default(), expected);
    }
    for url in
        ["", "invalid url", "localhost:5000/a", "ghcr.io//a", "a/../b", "ghcr.io/a/b:", "a b/c"]
    {
        assert!(Address::parse(url).is_err(), "{url:?}");
    }
}

#[test]
fn mirrors_are_read() {
    let mirrors: Mirrors = "docker.io=http://127.0.0.1:5000, ghcr.io=https://m/x".parse().unwrap();
    assert_eq!(mirrors.of("index.docker.io").map(url::Url::as_str), Some("http://127.0.0.1:5000/"));
    assert_eq!(mirrors.of("quay.io"), None);
    for wrong in ["docker.io", "docker.io=127.0.0.1:5000", "=http://x", "a=http://u:p@x"] {
        assert!(wrong.parse::<Mirrors>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn pages_are_followed_and_content_is_checked() {
    let registry = sandbox(Access::Open, 2).await;
    for tag in ["1", "2", "3", "4", "5"] {
        registry.push_tag("owner/app", tag, &NewImage::default()).unwrap();
    }
    let repository = repository(&client(&registry), None);
    assert_eq!(repository.tags().await.unwrap(), ["1", "2", "3", "4", "5"]);
    assert_eq!(registry.traffic().count("GET", "/tags/list"), 3);
    let manifest = repository.manifest("1").await.unwrap();
    assert_eq!(repository.digest("1").await.unwrap().as_ref(), Some(&manifest.digest));
    assert_eq!(manifest.content_type, "application/vnd.oci.image.manifest.v1+json");
    let missing = repository.blob(&format!("sha256:{}", "0".repeat(64))).await.unwrap_err();
    assert!(missing.is_not_found());
}

#[tokio::test]
async fn a_token_serves_many_requests_and_is_renewed() {
    let registry = sandbox(token(true), 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let client = client(&registry);
    let repository = repository(&client, None);
    for _ in 0..5 {
        repository.tags().await.unwrap();
    }
    assert_eq!(registry.traffic().count("", "/token"), 1);
    assert_eq!(registry.traffic().total(), 5 + 2, "one refusal, one token");
    registry.revoke_tokens();
    repository.tags().await.unwrap();
    assert_eq!(registry.traffic().count("", "/token"), 2);
}

#[tokio::test]
async fn a_credential_is_shown_and_never_told() {
    let registry = sandbox(token(false), 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let client = client(&registry);
    let good = repository(&client, Some(&credential("canary-pw")));
    assert_eq!(good.tags().await.unwrap(), ["1"]);
    let error = repository(&client, Some(&credential("canary-wrong"))).tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
    let text = error.to_string();
    assert_eq!(
        text,
        "GET https://index.docker.io/token: 401 Unauthorized: UNAUTHORIZED: incorrect username or password; index.docker.io refused the credential of Secret p/creds: check its username and password, and that they may pull owner/app"
    );
    assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"));
    let error = repository(&client, None).tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
    assert!(error.to_string().contains("no credential was found"), "{error}");
}

#[tokio::test]
async fn basic_access() {
    let access = Access::Basic { username: "me".into(), password: "canary-pw".into() };
    let registry = sandbox(access, 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let client = client(&registry);
    assert_eq!(repository(&client, Some(&credential("canary-pw"))).tags().await.unwrap(), ["1"]);
    let error = repository(&client, Some(&credential("canary-no"))).tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
    let error = repository(&client, None).tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
}

#[tokio::test]
async fn what_a_missing_repository_says() {
    let registry = sandbox(Access::Open, 1000).await;
    let error = repository(&client(&registry), None).tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert_eq!(
        error.to_string(),
        "GET https://index.docker.io/v2/owner/app/tags/list?n=1000: 404 Not Found: NAME_UNKNOWN: repository name not known to registry; check that the repository owner/app exists at index.docker.io and holds what was asked for; some registries answer so for a private repository that is asked for without a credential"
    );
}

#[tokio::test]
async fn what_silence_says() {
    let registry = sandbox(Access::Open, 1000).await;
    let client = client(&registry);
    let url = registry.url();
    drop(registry);
    // The listener closes with the server's task.
    tokio::task::yield_now().await;
    let error = repository(&client, None).tags().await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(text.contains("no answer from index.docker.io"), "{text}");
    assert!(text.contains("check that index.docker.io is the right registry"), "{text}");
    assert!(!text.contains(&url), "the mirror's address stays out: {text}");
}

#[tokio::test]
async fn trouble_passes_and_pauses_are_kept() {
    let registry = sandbox(Access::Open, 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let client = client(&registry);
    let repository = repository(&client, None);
    registry.traffic().fail_next(2, 503);
    repository.tags().await.unwrap();
    assert_eq!(registry.traffic().total(), 3);
    registry.traffic().fail_next(3, 500);
    let error = repository.tags().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.to_string().contains("500 Internal Server Error"), "{error}");
    registry.traffic().fail(Fault {
        status: 429,
        retry_after: Some("60".into()),
        times: 1,
        ..Fault::default()
    });
    let before = registry.traffic().total();
    for _ in 0..2 {
        let ErrorClass::RateLimited { retry_after } = repository.tags().await.unwrap_err().class()
        else {
            panic!("not told to wait");
        };
        assert!(retry_after > Duration::from_secs(50), "{retry_after:?}");
    }
    assert_eq!(registry.traffic().total(), before + 1, "the pause is kept for all");
}

#[tokio::test]
async fn a_registry_on_this_machine_may_speak_http() {
    let registry = sandbox(Access::Open, 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let client = Client::new(ClientSettings::default()).unwrap();
    let address = Address::parse(&format!("{}/owner/app", registry.addr)).unwrap();
    assert_eq!(client.repository(&address, None, false).tags().await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_mirror_on_this_machine_is_asked_without_a_limit() {
    let registry = sandbox(Access::Open, 1000).await;
    registry.push_tag("owner/app", "1", &NewImage::default()).unwrap();
    let repository = repository(&client(&registry), None);
    let start = tokio::time::Instant::now();
    for _ in 0..100 {
        repository.tags().await.unwrap();
    }
    assert_eq!(registry.traffic().total(), 100);
    assert!(start.elapsed() < Duration::from_secs(4), "20 a second would take 4.5 s");
}
