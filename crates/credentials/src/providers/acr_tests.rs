//! Azure's registries, against a service that answers as Azure's directory and
//! the registry do.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fake::{Service, field, get, minting, secret, shown};
use crate::providers::{Ambient, choose};
use crate::select::Asked;
use crate::{Credential, CredentialError, CredentialKind, Minting, Provider};
use CredentialKind::{Git, Helm, Image};

const URL: &str = "myregistry.azurecr.io/repo";

#[test]
fn a_registry_is_told_by_its_host() {
    for (case, url, registry) in [
        ("credentials/K90", "myregistry.azurecr.io/repo", Some("myregistry")),
        ("credentials/K90", "my-registry-123.azurecr.io/ns/repo", Some("my-registry-123")),
        ("no path", "myregistry.azurecr.io", None),
        ("a path that looks so", "evil.io/x.azurecr.io/repo", None),
    ] {
        assert_eq!(Registry::of(url), registry.map(|name| Registry(name.to_owned())), "{case}");
    }
    let oci = format!("oci://{URL}");
    let git = format!("https://{URL}");
    for (case, kind, url, ambient, expected) in [
        ("image", Image, URL, Ambient::ALL, true),
        ("chart", Helm, oci.as_str(), Ambient::ALL, true),
        ("credentials/K91", Git, git.as_str(), Ambient::ALL, false),
        ("no identity", Image, URL, Ambient::default(), false),
    ] {
        let chosen = choose(&Asked::new(kind, url), None, ambient);
        assert_eq!(chosen == Some(Provider::AcrWorkloadIdentity), expected, "{case}");
    }
    let own = secret("own", "image", &[("username", "u"), ("password", "p")]);
    let chosen = choose(&Asked::new(Image, URL), Some(&own), Ambient::ALL);
    assert_eq!(chosen, Some(Provider::Basic), "a Secret goes first");
}

fn pod(service: &Arc<Service>, file: &str) -> Arc<Minting> {
    minting(
        service,
        &[
            ("AZURE_TENANT_ID", "tenant-1"),
            ("AZURE_CLIENT_ID", "client-1"),
            ("AZURE_FEDERATED_TOKEN_FILE", file),
        ],
    )
}

async fn ask(
    directory: (u16, &'static str),
    exchange: (u16, &'static str),
) -> (Arc<Service>, Result<Option<Credential>, CredentialError>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "pod-token").unwrap();
    let azure = Service::new(move |request| {
        let (status, body) = if request.url.contains("azurecr.io") { exchange } else { directory };
        (status, body.to_owned())
    });
    let minting = pod(&azure, &file.path().display().to_string());
    let first = get(&[], &minting, Image, URL).await;
    let second = get(&[], &minting, Image, URL).await;
    assert_eq!(first.is_ok(), second.is_ok());
    (azure, first)
}

const DIRECTORY: (u16, &str) = (200, r#"{"access_token":"aad","expires_in":3599}"#);

#[tokio::test]
async fn the_pods_token_becomes_the_registrys() {
    let (azure, found) = ask(DIRECTORY, (200, r#"{"refresh_token":"word"}"#)).await;
    let user = "00000000-0000-0000-0000-000000000000".to_owned();
    assert_eq!(shown(&found.unwrap()), Some((user, "word".into())));
    let asked = azure.asked();
    let [directory, exchange] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(
        format!("{directory:?}"),
        "POST https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token"
    );
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "client-1"),
        ("scope", "https://containerregistry.azure.net/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "pod-token"),
    ] {
        assert_eq!(field(directory, name), value, "{name}");
    }
    assert_eq!(format!("{exchange:?}"), "POST https://myregistry.azurecr.io/oauth2/exchange");
    for (name, value) in [
        ("grant_type", "access_token"),
        ("service", "myregistry.azurecr.io"),
        ("access_token", "aad"),
    ] {
        assert_eq!(field(exchange, name), value, "{name}");
    }
}

#[tokio::test]
async fn what_azure_says_is_told() {
    // credentials/K92: an empty token is none, and is not kept.
    let (azure, found) = ask(DIRECTORY, (200, r#"{"refresh_token":""}"#)).await;
    assert_eq!(found.unwrap(), None, "credentials/K92");
    assert_eq!(azure.count("/exchange"), 2, "credentials/K92");
    let exchange = "failed to exchange Azure AD token for ACR refresh token";
    let cases = [
        ("credentials/K92", DIRECTORY, (200, "{}"), "received empty ACR refresh token".to_owned()),
        (
            "a directory that refuses",
            (401, r#"{"error":"invalid_client","error_description":"AADSTS700213"}"#),
            (200, "{}"),
            "failed to get Azure AD access token for ACR: Azure's directory answered 401: invalid_client: AADSTS700213".to_owned(),
        ),
        (
            "a registry that refuses",
            DIRECTORY,
            (403, ""),
            format!("{exchange}: myregistry.azurecr.io answered 403: "),
        ),
        (
            "a registry that is none",
            DIRECTORY,
            (200, "<html>"),
            format!("{exchange}: myregistry.azurecr.io answered with something else"),
        ),
    ];
    for (case, directory, exchange, said) in cases {
        let error = ask(directory, exchange).await.1.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "failed to get image creds for {URL} from the controller's Azure workload identity for Project p: error getting ACR access token: {said}"
            ),
            "{case}"
        );
    }
    let nobody = Service::new(|_| (200, String::new()));
    let error = get(&[], &pod(&nobody, "/nonexistent"), Image, URL).await.unwrap_err();
    assert!(error.to_string().contains("cannot read the pod's token /nonexistent: "), "{error}");
    assert_eq!(nobody.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_for_two_hours_and_a_half() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "pod-token").unwrap();
    let count = AtomicUsize::new(0);
    let azure = Service::new(move |request| {
        if request.url.contains("azurecr.io") {
            let n = count.fetch_add(1, Ordering::SeqCst);
            return (200, format!(r#"{{"refresh_token":"word-{n}"}}"#));
        }
        (DIRECTORY.0, DIRECTORY.1.to_owned())
    });
    let minting = pod(&azure, &file.path().display().to_string());
    // Reading the file takes a thread: the clock stands while it does.
    let token = async || shown(&get(&[], &minting, Image, URL).await.unwrap()).unwrap().1;
    assert_eq!(token().await, "word-0");
    tokio::time::advance(Duration::from_secs(150 * 60 - 1)).await;
    assert_eq!(token().await, "word-0");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(token().await, "word-1");
}

#[test]
fn an_environment_that_cannot_be_used_is_told_by_its_variable() {
    let read = |host: &'static str| {
        let read = move |name: &str| match name {
            "AZURE_AUTHORITY_HOST" => Some(host.to_owned()),
            "AZURE_TENANT_ID" | "AZURE_CLIENT_ID" | "AZURE_FEDERATED_TOKEN_FILE" => {
                Some("x".into())
            }
            _ => None,
        };
        WorkloadIdentity::from_environment(&read)
    };
    let found = read("https://login.microsoftonline.us/").unwrap().unwrap();
    assert_eq!(found.authority, "https://login.microsoftonline.us");
    assert!(read("http://login.example.com").unwrap_err().starts_with("AZURE_AUTHORITY_HOST: "));
}
