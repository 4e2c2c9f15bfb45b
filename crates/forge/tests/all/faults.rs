//! What goes wrong between us and a provider, at every provider: no rights,
//! nothing there, too many requests, a server in trouble, no server.

use std::time::Duration;

use forge::{ErrorClass, ForgeError, Search};
use serde_json::{Value, json};

use crate::fake::{Fake, Is, PLAYED, Reply, TOKEN};
use crate::requests::new;

/// All four calls that begin with a request, one after the other.
async fn each(fake: &Fake, reply: &Reply) -> Vec<(&'static str, ForgeError)> {
    let again = |n: usize| {
        let mut model = fake.model();
        model.replies = std::iter::repeat_n(reply.clone(), n).collect();
    };
    let mut errors = Vec::new();
    again(1);
    errors.push(("create", fake.forge().create(&new(&[])).await.unwrap_err()));
    again(3);
    errors.push(("find", fake.forge().find(&Search::open("h", "b")).await.unwrap_err()));
    again(3);
    errors.push(("get", fake.forge().get(1).await.unwrap_err()));
    again(3);
    errors.push(("merge", fake.forge().merge(1, None).await.unwrap_err()));
    fake.model().replies.clear();
    errors
}

#[tokio::test]
async fn refusals_have_a_class_and_say_what_to_do() {
    for played in PLAYED {
        for (status, message, class, hint) in [
            (401, "Bad credentials", ErrorClass::Auth, "Secret p/repo"),
            (403, "You may not", ErrorClass::Auth, "Secret p/repo"),
            (404, "Not Found", ErrorClass::NotFound, "check repoURL"),
            (422, "Not like this", ErrorClass::Config, "check the step's config"),
            (500, "Oops", ErrorClass::Transient, "has trouble"),
            (502, "Bad gateway", ErrorClass::Transient, "has trouble"),
        ] {
            let fake = Fake::start(played).await;
            fake.model().add("h", "b", Is::Open);
            // A provider that repeats what it was sent.
            let said = format!("{message} {TOKEN}");
            let reply = Reply::new(status, (played.error)(status, &said));
            for (call, error) in each(&fake, &reply).await {
                let text = error.to_string();
                assert_eq!(error.class(), class, "{} {call}: {text}", played.name);
                assert!(
                    text.contains(message) && text.contains(hint),
                    "{} {call}: {text}",
                    played.name
                );
                assert!(text.contains(&status.to_string()), "{} {call}: {text}", played.name);
                assert!(!text.contains("canary"), "{} {call}: {text}", played.name);
                assert!(!format!("{error:?}").contains("canary"), "{} {call}", played.name);
                // The public address, not the one that was asked.
                assert!(!text.contains("127.0.0.1"), "{} {call}: {text}", played.name);
                assert!(text.contains(" https://"), "{} {call}: {text}", played.name);
            }
            fake.check();
        }
    }
}

#[tokio::test]
async fn reads_are_tried_again_and_changes_are_not() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        let trouble = Reply::new(503, Value::Null);
        let ask = |n| {
            let mut model = fake.model();
            model.requests.clear();
            model.replies = std::iter::repeat_n(trouble.clone(), n).collect();
        };
        ask(2);
        assert_eq!(fake.forge().get(1).await.unwrap().number, 1, "{}", played.name);
        ask(9);
        fake.forge().get(1).await.unwrap_err();
        assert_eq!(fake.model().requests.len(), 3, "{}", played.name);
        ask(9);
        fake.forge().create(&new(&[])).await.unwrap_err();
        assert_eq!(fake.model().requests.len(), 1, "{}", played.name);
        fake.check();
    }
}

#[tokio::test]
async fn too_many_requests_pause_the_token() {
    let soon = jiff::Timestamp::now().as_second() + 600;
    for played in PLAYED {
        for (reply, at_least) in [
            (Reply::new(429, (played.error)(429, "Too many")).with("retry-after", "120"), 110),
            (Reply::new(429, (played.error)(429, "Too many")), 50),
            (
                Reply::new(403, (played.error)(403, "API rate limit exceeded"))
                    .with("x-ratelimit-remaining", "0")
                    .with("x-ratelimit-reset", soon.to_string()),
                500,
            ),
            (Reply::new(503, Value::Null).with("retry-after", "120"), 110),
        ] {
            let fake = Fake::start(played).await;
            fake.model().add("h", "b", Is::Open);
            fake.model().replies.push_back(reply);
            let forge = fake.forge();
            let error = forge.get(1).await.unwrap_err();
            let ErrorClass::RateLimited { retry_after } = error.class() else {
                panic!("{}: {error}", played.name)
            };
            assert!(retry_after >= Duration::from_secs(at_least), "{}: {error}", played.name);
            // Nothing is asked until then.
            let error = forge.create(&new(&[])).await.unwrap_err();
            assert!(matches!(error, ForgeError::Paused { .. }), "{}: {error}", played.name);
            assert_eq!(fake.model().requests.len(), 1, "{}", played.name);
        }
    }
}

#[tokio::test]
async fn the_last_request_of_a_budget_pauses_too() {
    let played = PLAYED[0];
    let fake = Fake::start(played).await;
    let soon = jiff::Timestamp::now().as_second() + 600;
    let reply = Reply::new(200, json!([]))
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", soon.to_string());
    fake.model().replies.push_back(reply);
    let forge = fake.forge();
    assert!(forge.find(&Search::open("h", "b")).await.unwrap().is_empty());
    let error = forge.get(1).await.unwrap_err();
    assert!(matches!(error.class(), ErrorClass::RateLimited { .. }), "{error}");
}

#[tokio::test]
async fn no_token_goes_to_another_host() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        let stranger = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        stranger.model().add("h", "b", Is::Open);
        for status in [301, 302, 303, 307, 308] {
            let to = format!("{}/base/x", stranger.address());
            fake.model().replies.push_back(Reply::new(status, Value::Null).with("location", to));
            let error = fake.forge().get(1).await.unwrap_err();
            assert!(
                error.to_string().contains("redirects to 127.0.0.1"),
                "{}: {error}",
                played.name
            );
            assert_eq!(error.class(), ErrorClass::Config);
        }
        assert!(stranger.model().requests.is_empty(), "{}", played.name);
        // At the same host it is followed, as for a repository that was renamed.
        let own = {
            let fake_path = |path: &str| format!("{}{path}", fake.address());
            fake.forge().get(1).await.unwrap();
            let model = fake.model();
            let last = model.requests.last().unwrap();
            let query =
                last.query.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&");
            fake_path(&format!("{}?{query}", last.path))
        };
        for status in [301, 307] {
            let moved = Reply::new(status, Value::Null).with("location", own.clone());
            fake.model().replies.push_back(moved);
            assert_eq!(fake.forge().get(1).await.unwrap().number, 1, "{}", played.name);
        }
        // In a circle it is not.
        let circle = Reply::new(307, Value::Null).with("location", own.clone());
        fake.model().replies = std::iter::repeat_n(circle, 100).collect();
        fake.forge().get(1).await.unwrap_err();
        fake.model().replies.clear();
        // And a change is not made a read of.
        let moved = Reply::new(302, Value::Null).with("location", own);
        fake.model().replies.push_back(moved);
        fake.forge().create(&new(&[])).await.unwrap_err();
        fake.check();
    }
}

/// Gitea and GitHub redirect everything below a repository that has another
/// name now; a pull request is opened there as well.
#[tokio::test]
async fn changes_follow_a_renamed_repository_as_they_are() {
    for played in PLAYED.into_iter().filter(|p| ["gitea", "github"].contains(&p.name)) {
        for status in [301, 307, 308] {
            let fake = Fake::start(played).await;
            let to = format!("{}/base/repos/octo/deploy/pulls", fake.address());
            fake.model().replies.push_back(Reply::new(status, Value::Null).with("location", to));
            let pull = fake.forge().create(&new(&[])).await.unwrap();
            fake.check();
            let model = fake.model();
            assert_eq!((pull.number, model.pulls.len()), (1, 1), "{} {status}", played.name);
            let methods: Vec<&str> = model.requests.iter().map(|r| r.method.as_str()).collect();
            assert_eq!(methods, ["POST", "POST"], "{} {status}", played.name);
            assert_eq!(model.requests[0].body, model.requests[1].body, "{status}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_none_are_errors() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        for reply in [
            Reply::new(200, Value::String("<html>hello</html>".into())),
            Reply::new(200, json!({"number": "seven"})),
            Reply::new(200, json!([[[]]])),
            Reply::new(200, Value::Null),
            // Azure's sign-in page.
            Reply::new(203, Value::String("<html>sign in</html>".into())),
            Reply::new(302, Value::Null),
            Reply::new(200, Value::String("x".repeat((16 << 20) + 1))),
        ] {
            fake.model().replies = std::iter::repeat_n(reply.clone(), 3).collect();
            let error = fake.forge().get(1).await.unwrap_err();
            assert!(error.to_string().len() < 1_000, "{}: {error}", played.name);
            fake.model().replies.clear();
        }
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_public_name() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        let forge = fake.forge();
        drop(fake);
        // The server is told to stop; its port closes by and by.
        let error = loop {
            match forge.get(1).await {
                Err(error @ ForgeError::NoAnswer { .. }) => break error,
                _ => tokio::task::yield_now().await,
            }
        };
        assert_eq!(error.class(), ErrorClass::Transient);
        let text = error.to_string();
        assert!(text.contains("no answer from") && !text.contains("127.0.0.1"), "{text}");
    }
}
