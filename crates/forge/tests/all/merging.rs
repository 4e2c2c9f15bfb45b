//! Merging, at every provider.

use forge::{ErrorClass, Merge};
use serde_json::{Value, json};

use crate::fake::{Can, Fake, Is, MERGE_SHA, PLAYED, Reply};

fn merged(merge: Merge) -> String {
    match merge {
        Merge::Merged(pull) => pull.merge_commit.unwrap_or_default(),
        Merge::NotReady { why, .. } => panic!("not ready: {why}"),
    }
}

fn not_ready(merge: Merge) -> String {
    match merge {
        Merge::NotReady { why, .. } => why,
        Merge::Merged(pull) => panic!("merged: {pull:?}"),
    }
}

#[tokio::test]
async fn what_can_be_merged_is_merged_once() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        let forge = fake.forge();
        let (method, _, _) = played.method;
        assert_eq!(
            merged(forge.merge(1, Some(method)).await.unwrap()),
            MERGE_SHA,
            "{}",
            played.name
        );
        // Again, as after a crash: it is found merged.
        assert_eq!(
            merged(forge.merge(1, Some(method)).await.unwrap()),
            MERGE_SHA,
            "{}",
            played.name
        );
        fake.check();
        let model = fake.model();
        assert_eq!(model.merge_calls(), 1, "{}", played.name);
        let call = model.requests.iter().find(|r| r.method != "GET").unwrap();
        let (_, field, value) = played.method;
        let body = call.body.clone().unwrap();
        let at = field.split('.').fold(&body, |body, name| &body[name]);
        let text = at.as_str().map_or_else(|| at.to_string(), str::to_owned);
        assert_eq!(text, value, "{}: {body}", played.name);
    }
}

#[tokio::test]
async fn without_a_method_the_provider_chooses() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        assert_eq!(merged(fake.forge().merge(1, None).await.unwrap()), MERGE_SHA);
        fake.check();
        let model = fake.model();
        let body = model.requests.iter().find(|r| r.method != "GET").unwrap().body.clone().unwrap();
        if played.name == "gitea" {
            assert_eq!(body, json!({"Do": "merge"}));
        } else {
            let (_, field, _) = played.method;
            let at = field.split('.').fold(&body, |body, name| &body[name]);
            assert_eq!(*at, Value::Null, "{}: {body}", played.name);
        }
    }
}

#[tokio::test]
async fn what_was_merged_by_somebody_else_counts() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Merged);
        assert_eq!(
            merged(fake.forge().merge(1, None).await.unwrap()),
            MERGE_SHA,
            "{}",
            played.name
        );
        fake.check();
        assert_eq!(fake.model().merge_calls(), 0, "{}", played.name);
    }
}

#[tokio::test]
async fn what_was_closed_is_an_error() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Closed);
        let error = fake.forge().merge(1, None).await.unwrap_err();
        fake.check();
        assert_eq!(error.to_string(), played.closed_text, "{}", played.name);
        assert_eq!(error.class(), ErrorClass::Conflict);
        assert_eq!(fake.model().merge_calls(), 0, "{}", played.name);
    }
}

#[tokio::test]
async fn drafts_and_what_is_not_ready_wait() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open).draft = true;
        fake.model().add("h", "c", Is::Open).can = Can::NotYet;
        let forge = fake.forge();
        let why = not_ready(forge.merge(1, None).await.unwrap());
        assert!(why.contains("draft"), "{}: {why}", played.name);
        // Bitbucket Cloud does not say; it is merged or refused.
        if played.name != "bitbucket cloud" {
            let why = not_ready(forge.merge(2, None).await.unwrap());
            assert!(!why.is_empty(), "{}", played.name);
            assert_eq!(fake.model().merge_calls(), 0, "{}", played.name);
        }
        fake.check();
    }
}

#[tokio::test]
async fn a_conflict_is_seen_before_the_merge_or_refused() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open).can = Can::Conflict;
        let text = match fake.forge().merge(1, None).await {
            Ok(merge) => not_ready(merge),
            Err(error) => error.to_string(),
        };
        fake.check();
        assert!(text.contains("conflict"), "{}: {text}", played.name);
        assert_eq!(fake.model().pulls[0].is, Is::Open, "{}", played.name);
    }
}

#[tokio::test]
async fn a_method_that_there_is_not_is_said_before_the_merge() {
    for played in PLAYED.into_iter().filter(|p| p.checks_methods) {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        let error = fake.forge().merge(1, Some("teleport")).await.unwrap_err();
        fake.check();
        let what = if played.name == "bitbucket cloud" { "strategy" } else { "method" };
        let expected = format!("unsupported merge {what} \"teleport\"");
        assert!(error.to_string().starts_with(&expected), "{}: {error}", played.name);
        assert_eq!(error.class(), ErrorClass::Config);
        assert_eq!(fake.model().merge_calls(), 0, "{}", played.name);
        // Only what could be merged is looked at so closely.
        fake.model().pulls[0].draft = true;
        not_ready(fake.forge().merge(1, Some("teleport")).await.unwrap());
    }
}

#[tokio::test]
async fn a_merge_that_goes_on_by_itself_is_awaited() {
    for (name, reply) in [
        ("azure", None),
        ("azure devops server", None),
        (
            "bitbucket cloud",
            Some(Reply::new(202, Value::Null).with("location", "https://elsewhere.invalid/task")),
        ),
    ] {
        let played = PLAYED.into_iter().find(|p| p.name == name).unwrap();
        for (looks, done) in [(4, true), (1_000, false)] {
            let fake = Fake::start(played).await;
            {
                let mut model = fake.model();
                model.add("h", "b", Is::Open);
                model.merges_after = Some(looks);
                model.merge_replies.extend(reply.clone());
            }
            let merge = fake.forge().merge(1, None).await.unwrap();
            fake.check();
            if done {
                assert_eq!(merged(merge), MERGE_SHA, "{name}");
            } else {
                not_ready(merge);
            }
            assert_eq!(fake.model().merge_calls(), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn words_of_the_others() {
    // GitLab says `locked` while it merges.
    let played = PLAYED.into_iter().find(|p| p.name == "gitlab").unwrap();
    let fake = Fake::start(played).await;
    fake.model().add("h", "b", Is::Open);
    fake.model().words.state = Some("locked");
    let forge = fake.forge();
    assert_eq!(not_ready(forge.merge(1, None).await.unwrap()), "it is being merged");
    assert_eq!(forge.get(1).await.unwrap().state, forge::State::Open);
    let found = forge.find(&forge::Search::open("h", "b")).await.unwrap();
    assert_eq!(found.len(), 1, "what is being merged counts as open");

    // Bitbucket Data Center refuses what has changed since it was looked at.
    let played = PLAYED.into_iter().find(|p| p.name == "bitbucket data center").unwrap();
    let fake = Fake::start(played).await;
    fake.model().add("h", "b", Is::Open);
    let refusal = (played.error)(409, "The pull request has been updated");
    fake.model().merge_replies.push_back(Reply::new(409, refusal));
    let why = not_ready(fake.forge().merge(1, None).await.unwrap());
    assert_eq!(why, "The pull request has been updated");

    // Azure: abandoned while it was being completed.
    let played = PLAYED.into_iter().find(|p| p.name == "azure").unwrap();
    let fake = Fake::start(played).await;
    fake.model().add("h", "b", Is::Open);
    let error = (played.error)(400, "TF401192: The pull request was edited");
    fake.model().merge_replies.push_back(Reply::new(400, error));
    let error = fake.forge().merge(1, None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().contains("TF401192"), "{error}");
}

/// As a real one has answered: 405 is for what must not be, and for what is not
/// yet, and words tell them apart.
#[tokio::test]
async fn what_gitea_refuses() {
    let played = PLAYED.into_iter().find(|p| p.name == "gitea").unwrap();
    let refused = async |status, said: &str| {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open);
        let refusal = (played.error)(status, said);
        fake.model().merge_replies.push_back(Reply::new(status, refusal));
        let outcome = fake.forge().merge(1, None).await;
        fake.check();
        assert_eq!(fake.model().merge_calls(), 1, "{said}");
        outcome
    };
    for (status, said, expected) in [
        (405, "Does not have enough approvals", (false, "Does not have enough approvals")),
        (405, "Please try again later", (true, "conflicts, or they are being looked for")),
        (409, "merge push out of date", (true, "merge push out of date")),
        (409, "head out of date", (true, "head out of date")),
        // What git said stands in fields of its own, without a message.
        (409, "", (true, "there are conflicts")),
    ] {
        match refused(status, said).await {
            Ok(Merge::NotReady { why, unsettled }) => {
                assert!(why.contains(expected.1), "{said}: {why}");
                assert_eq!(unsettled, expected.0, "{said}");
            }
            other => panic!("{said}: {other:?}"),
        }
    }
    for (status, said, class, expected) in [
        (
            405,
            "squash is not allowed an allowed merge style for this repository",
            ErrorClass::Conflict,
            "merge rejected for pull request 1: squash is not allowed",
        ),
        (405, "User not allowed to merge PR", ErrorClass::Auth, "the token of Secret p/repo"),
        (
            409,
            "PushRejected with remote message: no",
            ErrorClass::Conflict,
            "with remote message: no",
        ),
        (422, "[Do]: In", ErrorClass::Conflict, "merge rejected for pull request 1: [Do]: In"),
    ] {
        let error = refused(status, said).await.unwrap_err();
        assert_eq!(error.class(), class, "{said}: {error}");
        assert!(error.to_string().contains(expected), "{said}: {error}");
    }
}

/// Between the look and the merge somebody else closes it, or merges it: Gitea
/// then finds nothing to merge (404), or says that it is merged (405).
#[tokio::test]
async fn what_became_of_it_at_gitea_in_the_meantime() {
    let played = PLAYED.into_iter().find(|p| p.name == "gitea").unwrap();
    for (is, status) in [(Is::Merged, 405), (Is::Closed, 404)] {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open).races = Some(is);
        let refusal = (played.error)(status, "The PR is already merged");
        fake.model().merge_replies.push_back(Reply::new(status, refusal));
        let outcome = fake.forge().merge(1, None).await;
        fake.check();
        match is {
            Is::Merged => assert_eq!(merged(outcome.unwrap()), MERGE_SHA),
            _ => assert_eq!(outcome.unwrap_err().to_string(), played.closed_text),
        }
    }
}
