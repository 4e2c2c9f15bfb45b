//! Google's registries, against a service that answers as Google's token
//! service, its metadata server and its IAM do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::fake::{PKCS8, Service, claims, field, get, minting, secret, shown, start};
use crate::providers::{Ambient, choose};
use crate::select::Asked;
use crate::{CredentialKind, Provider};
use CredentialKind::{Git, Helm, Image};

const URL: &str = "us-central1-docker.pkg.dev/my-project/repo";

fn file() -> serde_json::Value {
    json!({
        "type": "service_account", "client_email": "robot@g.iam.gserviceaccount.com",
        "private_key_id": "key-1", "private_key": PKCS8,
        "token_uri": "https://oauth2.googleapis.com/token",
    })
}

fn with_key(value: &str) -> StoredSecret {
    secret("gcp", "image", &[("repoURL", URL), (KEY, value)])
}

#[test]
fn a_registry_is_told_by_its_host() {
    let cases = [
        ("credentials/K80", "us-central1-docker.pkg.dev/p/r", true),
        ("credentials/K80", "gcr.io/p/r", true),
        ("credentials/K80", "eu.gcr.io/p/r", true),
        ("credentials/K80", "docker.io/p/r", false),
        // Other hosts, which upstream's patterns take for Google's and send a token.
        ("a path that looks so", "evil.io/x-docker.pkg.dev/r", false),
        ("a path that looks so", "evil.io/x.gcr.io/r", false),
        ("another's name", "evilgcr.io/p/r", false),
        ("no path", "gcr.io", false),
    ];
    for (case, url, expected) in cases {
        assert_eq!(is_registry(url), expected, "{case}: {url}");
    }
}

#[test]
fn a_key_serves_images_and_charts() {
    let key = with_key(&STANDARD.encode(file().to_string()));
    let oci = format!("oci://{URL}");
    let git = format!("https://{URL}");
    for (case, kind, url, expected) in [
        ("image", Image, URL, true),
        ("chart", Helm, oci.as_str(), true),
        ("credentials/K81", Git, git.as_str(), false),
    ] {
        let chosen = choose(&Asked::new(kind, url), Some(&key), Ambient::default());
        assert_eq!(chosen == Some(Provider::GarServiceAccountKey), expected, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_exchanged_for_a_token_that_is_kept() {
    let google = Service::new(|_| {
        (200, r#"{"access_token":"ya29","expires_in":3600,"token_type":"Bearer"}"#.to_owned())
    });
    let minting = minting(&google, &[]);
    let encoded = STANDARD.encode(file().to_string());
    let (head, tail) = encoded.split_at(76);
    let key = with_key(&format!("{head}\r\n{tail}\n"));
    for _ in 0..2 {
        let found = get(std::slice::from_ref(&key), &minting, Image, URL).await.unwrap();
        assert_eq!(shown(&found), Some(("oauth2accesstoken".into(), "ya29".into())));
    }
    let asked = google.asked();
    let [request] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(format!("{request:?}"), "POST https://oauth2.googleapis.com/token");
    assert_eq!(field(request, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (header, payload) = claims(&field(request, "assertion"));
    assert_eq!(header, json!({"alg": "RS256", "kid": "key-1", "typ": "JWT"}));
    let now = start().as_second();
    assert_eq!(
        payload,
        json!({
            "iss": "robot@g.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/devstorage.read_only",
            "aud": "https://oauth2.googleapis.com/token", "iat": now, "exp": now + 3600,
        })
    );
    tokio::time::advance(Duration::from_secs(3300)).await;
    get(&[key], &minting, Image, URL).await.unwrap().unwrap();
    assert_eq!(google.asked().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_wrong_is_told_without_it() {
    let changed = |key: &str, value: &str| {
        let mut file = file();
        file[key] = value.into();
        STANDARD.encode(file.to_string())
    };
    let cases = [
        (file().to_string(), "error decoding service account key: "),
        (STANDARD.encode("canary"), "error parsing service account key: "),
        (changed("type", "authorized_user"), "error parsing service account key: "),
        (
            changed("private_key", "canary"),
            "error parsing service account key: its private_key is no RSA private key",
        ),
        (
            changed("token_uri", "http://169.254.169.254/"),
            "error parsing service account key: its token_uri is not https",
        ),
    ];
    let google = Service::new(|_| (500, String::new()));
    for (key, start) in cases {
        let error = get(&[with_key(&key)], &minting(&google, &[]), Image, URL).await.unwrap_err();
        let said = error.to_string();
        let words = "failed to get image creds for us-central1-docker.pkg.dev/my-project/repo from Secret p/gcp: error getting GCP access token: ";
        assert!(said.starts_with(&format!("{words}{start}")), "{said}");
        assert!(!said.contains("canary"), "{said}");
        assert_eq!(error.class(), ErrorClass::Config);
    }
    assert_eq!(google.asked().len(), 0);
    let refusing = Service::new(|_| {
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#.to_owned(),
        )
    });
    let key = STANDARD.encode(file().to_string());
    let error = get(&[with_key(&key)], &minting(&refusing, &[]), Image, URL).await.unwrap_err();
    assert!(
        error.to_string().ends_with("error getting GCP access token: Google's token service answered 400: invalid_grant: Invalid JWT Signature."),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Auth);
    assert_eq!(get(&[with_key("")], &minting(&refusing, &[]), Image, URL).await.unwrap(), None);
}

/// Google's cluster: the metadata server, and IAM that answers with a status.
fn cluster(iam: Arc<AtomicU16>, own: u16) -> Arc<Service> {
    let tokens = AtomicUsize::new(0);
    Service::slow(move |request| {
        let (status, body) = if request.url.ends_with("/project/project-id") {
            (200, "my-project".to_owned())
        } else if request.url.contains("/service-accounts/default/token") {
            let n = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            (own, format!(r#"{{"access_token":"own-{n}","expires_in":3599}}"#))
        } else {
            let body = r#"{"accessToken":"projects","expireTime":"2026-03-01T13:00:00Z"}"#;
            (iam.load(Ordering::SeqCst), body.to_owned())
        };
        let headers = vec![("metadata-flavor".to_owned(), "Google".to_owned())];
        async move { Ok(TokenAnswer { status, headers, body: body.into_bytes() }) }
    })
}

const METADATA: (&str, &str) = ("GCE_METADATA_HOST", "metadata.test");

#[tokio::test(start_paused = true)]
async fn the_projects_own_account_serves_where_it_has_one() {
    let google = cluster(Arc::new(AtomicU16::new(200)), 200);
    let found = get(&[], &minting(&google, &[METADATA]), Image, URL).await.unwrap();
    assert_eq!(shown(&found), Some(("oauth2accesstoken".into(), "projects".into())));
    let asked = google.asked();
    let [project, own, iam] = &asked[..] else { panic!("{asked:?}") };
    for (request, url) in [
        (project, "http://metadata.test/computeMetadata/v1/project/project-id"),
        (
            own,
            "http://metadata.test/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform",
        ),
    ] {
        assert_eq!(request.url, url);
        assert_eq!(request.header_value("metadata-flavor"), Some("Google"));
        assert!(request.direct);
    }
    assert_eq!(
        format!("{iam:?}"),
        "POST https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/kargo-project-p@my-project.iam.gserviceaccount.com:generateAccessToken"
    );
    assert_eq!(
        iam.body.expose(),
        r#"{"scope":["https://www.googleapis.com/auth/cloud-platform"]}"#
    );
    assert_eq!(iam.header_value("authorization"), Some("Bearer own-1"));
}

#[tokio::test(start_paused = true)]
async fn a_project_without_an_account_uses_the_controllers_for_twelve_hours() {
    let status = Arc::new(AtomicU16::new(404));
    let google = cluster(Arc::clone(&status), 200);
    let minting = minting(&google, &[METADATA]);
    let token = async || shown(&get(&[], &minting, Image, URL).await.unwrap()).unwrap().1;
    // credentials/K82
    assert_eq!(token().await, "own-1", "credentials/K82");
    status.store(200, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    assert_eq!(token().await, "own-2", "credentials/K82");
    assert_eq!(google.count("iamcredentials"), 1, "credentials/K82: the decision is remembered");
    tokio::time::advance(Duration::from_secs(10 * 3600 + 1)).await;
    assert_eq!(token().await, "projects", "credentials/K82: for twelve hours");

    // What may pass by is not remembered.
    let status = Arc::new(AtomicU16::new(503));
    let google = cluster(Arc::clone(&status), 200);
    let minting = crate::fake::minting(&google, &[METADATA]);
    let token = async || shown(&get(&[], &minting, Image, URL).await.unwrap()).unwrap().1;
    assert_eq!(token().await, "own-1");
    status.store(200, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(token().await, "projects");
}

#[tokio::test(start_paused = true)]
async fn without_the_controllers_token_there_is_an_error() {
    // credentials/K83
    let google = cluster(Arc::new(AtomicU16::new(200)), 500);
    let minting = minting(&google, &[METADATA]);
    let error = get(&[], &minting, Image, URL).await.unwrap_err();
    assert!(
        error.to_string().contains(
            "from the controller's Google workload identity for Project p: error getting GCP access token: the metadata server answered 500: "
        ),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn elsewhere_than_at_google_there_is_no_identity_and_few_questions() {
    let nothing = Service::slow(|_| async { Err("no route to host".to_owned()) });
    let minting = minting(&nothing, &[]);
    for _ in 0..5 {
        assert_eq!(get(&[], &minting, Image, URL).await.unwrap(), None);
    }
    assert_eq!(nothing.asked().len(), 1);
    assert_eq!(
        nothing.asked()[0].url,
        "http://169.254.169.254/computeMetadata/v1/project/project-id"
    );
    assert_eq!(nothing.asked()[0].limit, Duration::from_secs(2));
    // Another cloud's server at this address answers without Google's mark.
    tokio::time::advance(ABSENT).await;
    let other = Service::new(|_| (200, "my-project".to_owned()));
    let minting = crate::fake::minting(&other, &[]);
    assert_eq!(get(&[], &minting, Image, URL).await.unwrap(), None);
    assert_eq!(other.asked().len(), 1);
}
