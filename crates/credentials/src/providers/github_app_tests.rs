//! GitHub Apps, against a service that answers as GitHub does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::*;
use crate::fake::{PKCS1, PKCS8, Service, claims, get, minting, secret, shown, start};
use crate::providers::{Ambient, choose};
use crate::{CredentialStore, FixedCredentials, LookupOptions, Provider};
use CredentialKind::{Git, Image};

const URL: &str = "https://github.com/example/repo";

fn app(changes: &[(&str, &str)]) -> StoredSecret {
    let mut app = secret(
        "app",
        "git",
        &[
            ("repoURL", "^.*$"),
            ("repoURLIsRegex", "true"),
            ("githubAppClientID", "Iv1.abc"),
            ("githubAppInstallationID", "77"),
            ("githubAppPrivateKey", PKCS1),
        ],
    );
    for (key, value) in changes {
        app.data.insert((*key).to_owned(), Secret::new(*value));
    }
    app
}

fn scoped(scopes: &str) -> StoredSecret {
    let mut app = app(&[]);
    app.annotations.insert(SCOPES.to_owned(), scopes.to_owned());
    app
}

/// Mints `token-1`, `token-2`, …, good for an hour, and takes them at once.
fn github() -> Arc<Service> {
    let minted = AtomicUsize::new(0);
    Service::new(move |request| {
        if request.method == "POST" {
            let n = minted.fetch_add(1, Ordering::SeqCst) + 1;
            (201, format!(r#"{{"token":"token-{n}","expires_at":"2026-03-01T13:00:00Z"}}"#))
        } else {
            (200, "{}".to_owned())
        }
    })
}

#[test]
fn an_app_serves_git_by_http_where_it_is_whole() {
    let cases = [
        ("a whole App", Git, URL, app(&[]), true),
        ("credentials/K30", Image, URL, app(&[]), false),
        ("credentials/K31", Git, "git@github.com:a/b", app(&[]), false),
        ("credentials/K32", Git, URL, app(&[("githubAppClientID", "")]), false),
        (
            "credentials/K33",
            Git,
            URL,
            app(&[("githubAppClientID", ""), ("githubAppID", "123")]),
            true,
        ),
        ("no installation", Git, URL, app(&[("githubAppInstallationID", "")]), false),
        ("no key", Git, URL, app(&[("githubAppPrivateKey", "")]), false),
    ];
    for (case, kind, url, secret, expected) in cases {
        let chosen = choose(&Asked::new(kind, url), Some(&secret), Ambient::ALL);
        assert_eq!(chosen == Some(Provider::GithubApp), expected, "{case}");
        assert!(chosen.is_none_or(|p| p == Provider::GithubApp), "{case}");
    }
}

/// Case, URL, Secret, the repository and the API asked; or the reason why none is.
type Planned = (&'static str, &'static str, StoredSecret, Result<[&'static str; 2], &'static str>);

#[test]
fn what_is_minted_follows_from_url_and_secret() {
    let corrupt = {
        let mut encoded = STANDARD.encode(PKCS1);
        encoded.pop();
        encoded.truncate(encoded.len() - 2);
        encoded
    };
    let broken_lines = STANDARD
        .encode(PKCS1)
        .as_bytes()
        .chunks(76)
        .fold(String::new(), |all, c| all + std::str::from_utf8(c).unwrap() + "\r\n");
    let wrong_key = "probable corrupt base64 encoding of private key; base64 encoding this key is no longer required and is discouraged: ";
    let cases: Vec<Planned> = vec![
        ("github.com", URL, app(&[]), Ok(["repo", "https://api.github.com"])),
        (
            "credentials/K34",
            "https://github.com/akuity",
            app(&[]),
            Err("nothing: its GitHub App serves repositories"),
        ),
        (
            "credentials/K35",
            "https://example.com/github/example/repo",
            app(&[]),
            Ok(["repo", "https://example.com/api/v3"]),
        ),
        (
            "credentials/K36",
            "https://github.example.com:8443/example/repo",
            app(&[]),
            Ok(["repo", "https://github.example.com:8443/api/v3"]),
        ),
        (
            "api. hosts",
            "https://api.example.com/a/b",
            app(&[]),
            Ok(["b", "https://api.example.com"]),
        ),
        (".api. hosts", "https://x.api.y/a/b", app(&[]), Ok(["b", "https://x.api.y"])),
        ("plain HTTP, where allowed", "http://h/a/b", app(&[]), Ok(["b", "http://h/api/v3"])),
        ("credentials/K37", URL, scoped("{"), Err("error unmarshaling scope map: ")),
        ("credentials/K38", URL, scoped(r#"{"q":["repo"]}"#), Err("nothing: its annotation")),
        ("credentials/K38", URL, scoped("null"), Err("nothing: its annotation")),
        ("credentials/K38", URL, scoped(r#"{"p":[]}"#), Err("nothing: its annotation")),
        ("credentials/K38", URL, scoped(r#"{"p":null}"#), Err("nothing: its annotation")),
        (
            "entries are compared as they are",
            URL,
            scoped(r#"{"p":["Repo"]}"#),
            Err("nothing: its annotation"),
        ),
        (
            "credentials/K39",
            URL,
            scoped(r#"{"p":["repo"]}"#),
            Ok(["repo", "https://api.github.com"]),
        ),
        (
            "credentials/K40",
            URL,
            app(&[("githubAppInstallationID", "abc")]),
            Err("error parsing installation ID: \"abc\" "),
        ),
        (
            "credentials/K41",
            URL,
            app(&[("githubAppPrivateKey", PKCS8)]),
            Ok(["repo", "https://api.github.com"]),
        ),
        (
            "credentials/K42",
            URL,
            app(&[("githubAppPrivateKey", &STANDARD.encode(PKCS1))]),
            Ok(["repo", "https://api.github.com"]),
        ),
        (
            "credentials/K42 in lines",
            URL,
            app(&[("githubAppPrivateKey", &broken_lines)]),
            Ok(["repo", "https://api.github.com"]),
        ),
        ("credentials/K43", URL, app(&[("githubAppPrivateKey", &corrupt)]), Err(wrong_key)),
        (
            "text that is no key",
            URL,
            app(&[("githubAppPrivateKey", "my key: canary")]),
            Err("its githubAppPrivateKey is no RSA private key in PEM"),
        ),
    ];
    for (case, url, secret, expected) in cases {
        let planned = plan("p", &Asked::new(Git, url).normalized, &secret);
        match (planned, expected) {
            (Ok(Plan::Mint(Mint::Github(app))), Ok([repository, api])) => {
                assert_eq!(
                    [app.repository.as_str(), app.api.as_str()],
                    [repository, api],
                    "{case}"
                );
                assert!(app.key.expose().starts_with("-----BEGIN"), "{case}");
            }
            (Ok(Plan::Nothing(reason)), Err(start)) => {
                assert!(format!("nothing: {reason}").starts_with(start), "{case}: {reason}");
            }
            (Err(wrong), Err(start)) => {
                assert!(wrong.message.starts_with(start), "{case}: {wrong}");
                assert_eq!(wrong.class, ErrorClass::Config, "{case}");
                assert!(!wrong.message.contains("canary"), "{case}: {wrong}");
            }
            (planned, _) => panic!("{case}: {planned:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_app_signs_for_itself_and_asks_for_one_repository() {
    for (case, changes, issuer) in [
        ("client ID", vec![], "Iv1.abc"),
        ("both IDs", vec![("githubAppID", "123")], "Iv1.abc"),
        ("credentials/K33", vec![("githubAppClientID", ""), ("githubAppID", "123")], "123"),
    ] {
        let github = github();
        let minting = minting(&github, &[]);
        let found =
            get(&[app(&changes)], &minting, Git, "https://GitHub.com/Example/Repo.git").await;
        let found = found.unwrap();
        assert_eq!(shown(&found), Some(("kargo".into(), "token-1".into())), "{case}");
        let source = found.unwrap().source;
        assert_eq!(source.to_string(), "Secret p/app", "{case}");
        assert_eq!(source.provider(), Provider::GithubApp, "{case}");

        let asked = github.asked();
        let [mint, look] = &asked[..] else { panic!("{case}: {asked:?}") };
        assert_eq!(
            format!("{mint:?}"),
            "POST https://api.github.com/app/installations/77/access_tokens"
        );
        assert_eq!(mint.body.expose(), r#"{"repositories":["repo"]}"#);
        assert_eq!(mint.header_value("accept"), Some("application/vnd.github+json"));
        let bearer = mint.header_value("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        let (header, payload) = claims(bearer);
        assert_eq!(header["alg"], "RS256", "{case}");
        let now = start().as_second();
        assert_eq!(payload["iss"], issuer, "{case}");
        assert_eq!(payload["iat"], now - 60, "{case}");
        assert_eq!(payload["exp"], now - 60 + 600, "{case}");
        // credentials/K44
        assert_eq!(format!("{look:?}"), "GET https://api.github.com/repos/example/repo");
        assert_eq!(look.header_value("authorization"), Some("Bearer token-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_used_once_github_takes_it() {
    // Case, what the looks are answered with, how long that takes, how many looks.
    let cases: Vec<(&str, Vec<u16>, u64, usize)> = vec![
        ("credentials/K44", vec![200], 0, 1),
        ("a repository with a new name", vec![301], 0, 1),
        ("credentials/K45", vec![404, 404, 200], 13, 3),
        ("credentials/K46", vec![401, 403, 404, 500], 43, 4),
    ];
    for (case, statuses, seconds, looks) in cases {
        let looked = AtomicUsize::new(0);
        let github = Service::new(move |request| match request.method {
            "POST" => (201, r#"{"token":"t","expires_at":"2026-03-01T13:00:00Z"}"#.to_owned()),
            _ => {
                let n = looked.fetch_add(1, Ordering::SeqCst);
                (statuses.get(n).copied().unwrap_or(500), "{}".to_owned())
            }
        });
        let minting = minting(&github, &[]);
        let begun = Instant::now();
        let found = get(&[app(&[])], &minting, Git, URL).await.unwrap();
        assert_eq!(shown(&found), Some(("kargo".into(), "t".into())), "{case}");
        assert_eq!(begun.elapsed().as_secs(), seconds, "{case}");
        assert_eq!(github.count("/repos/"), looks, "{case}");
        // Also where it did not work at once, it is kept.
        get(&[app(&[])], &minting, Git, URL).await.unwrap().unwrap();
        assert_eq!(github.count("access_tokens"), 1, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_is_not_owner_and_name_is_not_waited_for() {
    let github = github();
    let begun = Instant::now();
    let url = "https://example.com/github/example/repo";
    let found = get(&[app(&[])], &minting(&github, &[]), Git, url).await.unwrap();
    assert!(found.is_some());
    assert_eq!(begun.elapsed().as_secs(), 0);
    assert_eq!(github.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_fails_and_is_not_kept() {
    // credentials/K47: the load's own time ends while the token is looked at.
    let github = Service::slow(|request| async move {
        if request.method == "POST" {
            // As where GitHub asked to wait before it minted.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let body = br#"{"token":"t","expires_at":"2026-03-01T13:00:00Z"}"#.to_vec();
            return Ok(TokenAnswer { status: 201, body, headers: Vec::new() });
        }
        Ok(TokenAnswer { status: 404, ..TokenAnswer::default() })
    });
    let minting = minting(&github, &[]);
    for asked in 1..=2 {
        let begun = Instant::now();
        let error = get(&[app(&[])], &minting, Git, URL).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 93);
        assert_eq!(
            error.to_string(),
            "failed to get git creds for https://github.com/example/repo from Secret p/app: no token after 93 s"
        );
        assert_eq!(error.class(), ErrorClass::Transient);
        assert_eq!(github.count("access_tokens"), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_end_the_load() {
    // credentials/K47, its second half.
    let github = Service::slow(|request| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let body = match request.method {
            "POST" => br#"{"token":"t","expires_at":"2026-03-01T13:00:00Z"}"#.to_vec(),
            _ => b"{}".to_vec(),
        };
        Ok(TokenAnswer { status: 200, body, headers: Vec::new() })
    });
    let minting = minting(&github, &[]);
    let secrets = [app(&[])];
    let gone =
        tokio::time::timeout(Duration::from_secs(1), get(&secrets, &minting, Git, URL)).await;
    assert!(gone.is_err(), "the caller went away");
    let found = get(&secrets, &minting, Git, URL).await.unwrap();
    assert_eq!(shown(&found), Some(("kargo".into(), "t".into())));
    assert_eq!(github.count("access_tokens"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_token_serves_one_repository_and_all_who_ask_at_once() {
    let github = github();
    let minting = minting(&github, &[]);
    let store = Arc::new(
        FixedCredentials::new(vec![app(&[])], LookupOptions::default())
            .with_minting(Arc::clone(&minting)),
    );
    let ask = |url: &'static str| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { shown(&store.get("p", Git, url).await.unwrap()).unwrap().1 })
    };
    let asked: Vec<_> = (0..10).map(|_| ask(URL)).collect();
    for token in asked {
        assert_eq!(token.await.unwrap(), "token-1", "credentials/K48");
    }
    assert_eq!(github.count("access_tokens"), 1, "credentials/K48");
    assert_eq!(
        ask("https://github.com/example/other").await.unwrap(),
        "token-2",
        "credentials/K49"
    );
    assert_eq!(github.count("access_tokens"), 2, "credentials/K49");
    // A Secret that was changed is used at once.
    let changed = app(&[("githubAppInstallationID", "78")]);
    let found = get(&[changed], &minting, Git, URL).await.unwrap();
    assert_eq!(shown(&found).unwrap().1, "token-3");
}

#[tokio::test(start_paused = true)]
async fn an_empty_token_is_an_empty_password_and_not_kept() {
    let github = Service::new(|_| (201, r#"{"token":""}"#.to_owned()));
    let minting = minting(&github, &[]);
    for asked in 1..=2 {
        let found = get(&[app(&[])], &minting, Git, URL).await.unwrap();
        assert_eq!(shown(&found), Some(("kargo".into(), String::new())));
        assert_eq!(github.asked().len(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_to_check_and_no_secret() {
    let cases = [
        (
            401,
            ErrorClass::Auth,
            "check that githubAppClientID and githubAppPrivateKey are of one App",
        ),
        (404, ErrorClass::Auth, "check githubAppInstallationID"),
        (422, ErrorClass::Auth, "check that the App is installed for this repository"),
        (502, ErrorClass::Transient, "it is asked again later"),
    ];
    for (status, class, check) in cases {
        let github = Service::new(move |request| {
            let bearer = request.header_value("authorization").unwrap().to_owned();
            (status, json!({"message": format!("no {bearer}")}).to_string())
        });
        let error = get(&[app(&[])], &minting(&github, &[]), Git, URL).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with(
                "failed to get git creds for https://github.com/example/repo from Secret p/app: error minting installation access token: https://api.github.com/app/installations/77/access_tokens answered "
            ),
            "{said}"
        );
        assert!(said.contains(check) && said.contains("no Bearer ***"), "{said}");
        assert!(!said.contains("eyJ"), "{said}");
        assert_eq!(error.class(), class, "{said}");
    }
    let dead = Service::slow(|_| async { Err("connection refused".to_owned()) });
    let error = get(&[app(&[])], &minting(&dead, &[]), Git, URL).await.unwrap_err();
    assert!(error.to_string().ends_with("access_tokens: connection refused"), "{error}");
    assert_eq!(error.class(), ErrorClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn github_is_asked_once_more_where_it_asks_to_wait() {
    let later = start().as_second() + 20;
    // Status, headers, how long is waited; none where it is not asked again.
    type Case<'a> = (u16, Vec<(&'a str, String)>, Option<u64>);
    let cases: Vec<Case<'_>> = vec![
        (429, vec![], Some(1)),
        (429, vec![("retry-after", "7".into())], Some(7)),
        (429, vec![("retry-after", "Sun, 01 Mar 2026 12:00:30 GMT".into())], Some(30)),
        (429, vec![("retry-after", "3600".into())], Some(60)),
        (429, vec![("retry-after", "soon".into())], Some(1)),
        (403, vec![("retry-after", "7".into())], Some(7)),
        (403, vec![("x-ratelimit-reset", later.to_string())], Some(20)),
        (
            403,
            vec![("x-ratelimit-reset", later.to_string()), ("x-ratelimit-remaining", "9".into())],
            None,
        ),
        (403, vec![], None),
        (500, vec![("retry-after", "7".into())], None),
    ];
    for (status, headers, waited) in cases {
        let case = format!("{status} {headers:?}");
        let asked = Arc::new(AtomicUsize::new(0));
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        let github = Service::slow(move |request| {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            let headers = headers.clone();
            async move {
                if n == 0 {
                    return Ok(TokenAnswer { status, headers, body: b"{}".to_vec() });
                }
                let body = match request.method {
                    "POST" => br#"{"token":"t"}"#.to_vec(),
                    _ => b"{}".to_vec(),
                };
                Ok(TokenAnswer { status: 200, headers: Vec::new(), body })
            }
        });
        let begun = Instant::now();
        let found = get(&[app(&[])], &minting(&github, &[]), Git, URL).await;
        assert_eq!(found.is_ok(), waited.is_some(), "{case}");
        assert_eq!(begun.elapsed().as_secs(), waited.unwrap_or_default(), "{case}");
    }
    let busy = Service::new(|_| (429, "{}".to_owned()));
    let error = get(&[app(&[])], &minting(&busy, &[]), Git, URL).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::RateLimited { retry_after: Duration::from_secs(1) });
    assert_eq!(busy.asked().len(), 2);
}

#[tokio::test]
async fn without_anybody_to_mint_there_is_no_token() {
    let store = FixedCredentials::new(vec![app(&[])], LookupOptions::default());
    assert_eq!(store.get("p", Git, URL).await.unwrap(), None);
}
