//! The crate `forge` against a real Gitea: what steps ask for, one request at
//! a time.

use std::sync::Arc;

use credentials::Secret;
use e2e::reviewed::{self, FILE, FILES};
use forge::{
    ErrorClass, Forge, ForgeError, Forges, HttpForges, Marker, Merge, NewPullRequest, OpenRequest,
    PullRequest, Search, Settings, State,
};
use peers::{Gitea, Repository};
use reqwest::Method;
use serde_json::{Value, json};

fn forge_at(url: &str, token: &str) -> Arc<dyn Forge> {
    // Sixty of one kind are asked for at once here.
    let settings = Settings { requests_per_second: 200, ..Settings::default() };
    let forges = HttpForges::new(settings).expect("HTTP can be set up");
    let request = OpenRequest {
        url: url.to_owned(),
        provider: Some("gitea".into()),
        token: Some(Secret::new(token)),
        source: Some("Secret orders/gitea".into()),
        ..OpenRequest::default()
    };
    forges.open(&request).expect("the repository is at a provider")
}

fn forge_of(gitea: &Gitea, repository: &Repository) -> Arc<dyn Forge> {
    forge_at(&repository.url(), gitea.admin())
}

fn new(head: &str, key: &str, labels: &[&str]) -> NewPullRequest {
    NewPullRequest {
        title: format!("Promote {head}"),
        description: "What it brings.".into(),
        marker: Some(Marker::new(key)),
        head: head.into(),
        base: "main".into(),
        labels: labels.iter().map(|l| (*l).to_owned()).collect(),
    }
}

/// A repository with a branch `promotion` that is one commit ahead.
async fn ahead(gitea: &'static Gitea) -> Repository {
    let repository = Repository::create(gitea, &FILES).await;
    repository.branch("promotion", &[(FILE, "image: {tag: 1.0.0}\n")]).await;
    repository
}

async fn merged(forge: &dyn Forge, number: i64, method: Option<&str>) -> PullRequest {
    let outcome = forge.merge(number, method).await;
    match outcome {
        Ok(Merge::Merged(pull)) => pull,
        other => panic!("not merged: {other:?}"),
    }
}

#[tokio::test]
async fn opened_found_looked_at_and_merged() {
    let Some(gitea) = reviewed::gitea("pull requests at Gitea") else { return };
    let repository = ahead(gitea).await;
    let forge = forge_of(gitea, &repository);
    let opened = forge.create(&new("promotion", "key", &[])).await.expect("it is opened");
    assert_eq!((opened.number, opened.state), (1, State::Open));
    assert!(opened.url.starts_with(gitea.url()), "{}", opened.url);
    assert!(Marker::new("key").is_in(&opened.body), "{}", opened.body);
    let head = repository.commits("promotion").await.remove(0);
    assert_eq!(opened.head_commit, head);
    assert_eq!(opened.merge_commit, None);
    assert!(opened.created_at.is_some());
    let found = forge.find(&Search::open("promotion", "main")).await.expect("they are listed");
    assert_eq!(found, std::slice::from_ref(&opened));
    assert!(forge.find(&Search::all("other", "main")).await.expect("they are listed").is_empty());
    let again = forge.create(&new("promotion", "key", &[])).await;
    assert!(matches!(again, Err(ForgeError::AlreadyExists { .. })), "{again:?}");

    let done = merged(&*forge, 1, Some("squash")).await;
    assert_eq!(done.state, State::Merged);
    let main = repository.commits("main").await;
    assert_eq!(done.merge_commit.as_deref(), Some(main[0].as_str()));
    assert_eq!(main.len(), 2, "one squashed commit");
    // Merged already is merged.
    assert_eq!(merged(&*forge, 1, Some("squash")).await.merge_commit, done.merge_commit);
    let missing = forge.get(99).await.expect_err("there is none of that number");
    assert_eq!(missing.class(), ErrorClass::NotFound);
}

/// Gitea names a head whose branch is gone by its own reference.
#[tokio::test]
async fn found_again_when_its_branch_is_gone() {
    let Some(gitea) = reviewed::gitea("deleted branches at Gitea") else { return };
    let repository = ahead(gitea).await;
    let forge = forge_of(gitea, &repository);
    let opened = forge.create(&new("promotion", "key", &[])).await.expect("it is opened");
    let how = json!({"Do": "squash", "delete_branch_after_merge": true});
    repository.merge(opened.number, &how).await;
    let shown = repository.get("pulls/1").await;
    assert_eq!(shown["head"]["ref"], "refs/pull/1/head", "else this proves nothing");
    let pull = forge.get(1).await.expect("it is there");
    assert_eq!((pull.head.as_str(), pull.base.as_str()), ("promotion", "main"));
    assert_eq!(pull.head_commit, opened.head_commit);
    let found = forge.find(&Search::all("promotion", "main")).await.expect("they are listed");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state, State::Merged);
}

#[tokio::test]
async fn found_among_sixty() {
    let Some(gitea) = reviewed::gitea("sixty pull requests at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let forge = forge_of(gitea, &repository);
    repository.branch("promotion-0", &[("more.yaml", "a: 1\n")]).await;
    repository.open("promotion-0", "main").await;
    // All at one commit: a branch is known by its name.
    for n in 1..60 {
        let branch = format!("promotion-{n}");
        let wanted = json!({"new_branch_name": branch, "old_branch_name": "promotion-0"});
        repository.done(Method::POST, "branches", &wanted).await;
        repository.open(&branch, "main").await;
    }
    // The newest on the first page and the oldest on the second.
    for (n, number) in [(59, 60), (0, 1), (9, 10), (10, 11)] {
        let search = Search::open(format!("promotion-{n}"), "main");
        let found = forge.find(&search).await.expect("they are listed");
        let numbers: Vec<i64> = found.iter().map(|p| p.number).collect();
        assert_eq!(numbers, [number], "promotion-{n}");
    }
    let again = forge.create(&new("promotion-0", "key", &[])).await;
    assert!(matches!(again, Err(ForgeError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(repository.pulls().await.len(), 60);
}

/// Labels are the repository's, or those that an organisation has for all.
#[tokio::test]
async fn labels_of_the_repository_and_of_its_organisation() {
    let Some(gitea) = reviewed::gitea("labels at Gitea") else { return };
    let repository = Repository::of_organisation(gitea, &FILES).await;
    repository.branch("promotion", &[(FILE, "image: {tag: 1.0.0}\n")]).await;
    let colour = "#00aabb";
    for n in 0..55 {
        let label = json!({"name": format!("label-{n:02}"), "color": colour});
        repository.done(Method::POST, "labels", &label).await;
    }
    let of_all = json!({"name": "of-all", "color": colour});
    gitea.done(Method::POST, &format!("orgs/{}/labels", repository.owner()), &of_all).await;
    let forge = forge_of(gitea, &repository);
    let unknown = forge.create(&new("promotion", "key", &["of-all", "nobody-s"])).await;
    let error = unknown.expect_err("a label that nobody has");
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().ends_with(": nobody-s"), "{error}");
    let labels = ["label-54", "of-all"];
    let opened = forge.create(&new("promotion", "key", &labels)).await.expect("it is opened");
    let shown = repository.get(&format!("pulls/{}", opened.number)).await;
    let mut names: Vec<&str> = shown["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|label| label["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, labels);
}

#[tokio::test]
async fn a_renamed_repository_is_followed_by_every_request() {
    let Some(gitea) = reviewed::gitea("a renamed repository at Gitea") else { return };
    let repository = ahead(gitea).await;
    let renamed = repository.renamed().await;
    let forge = forge_of(gitea, &repository);
    let opened = forge.create(&new("promotion", "key", &[])).await.expect("it is opened");
    let found = forge.find(&Search::open("promotion", "main")).await.expect("they are listed");
    assert_eq!(found.len(), 1);
    renamed.checked(opened.number).await;
    merged(&*forge, opened.number, None).await;
    assert_eq!(renamed.pulls().await.len(), 1);
}

/// What a token may not do is said with the Secret's name and without the
/// token.
#[tokio::test]
async fn tokens_without_rights() {
    let Some(gitea) = reviewed::gitea("tokens without rights at Gitea") else { return };
    let repository = ahead(gitea).await;
    let stranger = gitea.user("stranger").await;
    let member = gitea.user("member").await;
    let access = json!({"permission": "read"});
    repository.done(Method::PUT, &format!("collaborators/{member}"), &access).await;
    repository.open("promotion", "main").await;
    repository.branch("second", &[("second.yaml", "a: 1\n")]).await;
    let unseen = forge_at(&repository.url(), &gitea.token(&stranger, &["all"]).await);
    let reads = forge_at(&repository.url(), &gitea.token(&member, &["all"]).await);
    let narrow = gitea.token(&member, &["read:repository"]).await;
    let narrow_forge = forge_at(&repository.url(), &narrow);
    let invalid = forge_at(&repository.url(), &"0".repeat(40));
    for (case, forge, looked) in [
        ("a stranger", &unseen, Some(ErrorClass::NotFound)),
        ("a token that is none", &invalid, Some(ErrorClass::Auth)),
        ("a reader", &reads, None),
        ("a reading token", &narrow_forge, None),
    ] {
        let pull = forge.get(1).await;
        assert_eq!(pull.as_ref().err().map(ForgeError::class), looked, "{case}: {pull:?}");
        repository.checked(1).await;
        let merge = forge.merge(1, None).await.expect_err(case);
        let class = looked.unwrap_or(ErrorClass::Auth);
        assert_eq!(merge.class(), class, "{case}: {merge}");
        for text in [merge.to_string(), pull.err().map(|e| e.to_string()).unwrap_or_default()] {
            assert!(!text.contains(&narrow), "{case}: {text}");
        }
        assert!(merge.to_string().contains("Secret orders/gitea"), "{case}: {merge}");
    }
    let opening = narrow_forge.create(&new("second", "key", &[])).await;
    let error = opening.expect_err("a token that may only read");
    assert_eq!(error.class(), ErrorClass::Auth, "{error}");
    assert_eq!(repository.pulls().await.len(), 1);
}

/// A token with the scopes that the step's documentation names does all of it;
/// without the one for labels, a refusal says so.
#[tokio::test]
async fn the_least_token_that_will_do() {
    let Some(gitea) = reviewed::gitea("tokens with few rights at Gitea") else { return };
    let repository = ahead(gitea).await;
    let label = json!({"name": "promotion", "color": "#00aabb"});
    repository.done(Method::POST, "labels", &label).await;
    let labelled = new("promotion", "key", &["promotion"]);
    let token = gitea.token(peers::gitea::ADMIN, &["write:repository"]).await;
    let forge = forge_at(&repository.url(), &token);
    let refused = forge.create(&labelled).await.expect_err("it may not read labels");
    assert_eq!(refused.class(), ErrorClass::Auth, "{refused}");
    assert!(refused.to_string().contains("read:issue"), "{refused}");

    let token = gitea.token(peers::gitea::ADMIN, &["write:repository", "read:issue"]).await;
    let forge = forge_at(&repository.url(), &token);
    let opened = forge.create(&labelled).await.expect("it is opened");
    let shown = repository.get(&format!("pulls/{}", opened.number)).await;
    assert_eq!(shown["labels"][0]["name"], "promotion");
    repository.checked(opened.number).await;
    merged(&*forge, opened.number, None).await;
}

/// What is not ready yet, what will never be, and what each is told as.
#[tokio::test]
async fn refusals_to_merge() {
    let Some(gitea) = reviewed::gitea("refusals to merge at Gitea") else { return };
    // Draft by its title.
    let repository = ahead(gitea).await;
    let forge = forge_of(gitea, &repository);
    let draft = NewPullRequest { title: "WIP: not yet".into(), ..new("promotion", "key", &[]) };
    forge.create(&draft).await.expect("it is opened");
    let waits = forge.merge(1, None).await;
    assert!(
        matches!(&waits, Ok(Merge::NotReady { why, .. }) if why.contains("draft")),
        "{waits:?}"
    );
    repository.close(1).await;
    let closed = forge.merge(1, None).await.expect_err("it is closed");
    assert_eq!(closed.to_string(), "pull request 1 is closed but not merged");

    // A rule that is not fulfilled yet.
    let repository = ahead(gitea).await;
    repository.protect(&json!({"required_approvals": 1})).await;
    let forge = forge_of(gitea, &repository);
    forge.create(&new("promotion", "key", &[])).await.expect("it is opened");
    repository.checked(1).await;
    let waits = forge.merge(1, None).await;
    assert!(
        matches!(&waits, Ok(Merge::NotReady { why, .. }) if why.contains("approvals")),
        "{waits:?}"
    );

    // A method that the repository does not allow, and one that nobody knows.
    let repository = ahead(gitea).await;
    repository.set(&json!({"has_pull_requests": true, "allow_squash_merge": false})).await;
    let forge = forge_of(gitea, &repository);
    forge.create(&new("promotion", "key", &[])).await.expect("it is opened");
    repository.checked(1).await;
    let refused = forge.merge(1, Some("squash")).await.expect_err("it is not allowed");
    assert_eq!(refused.class(), ErrorClass::Conflict, "{refused}");
    assert!(refused.to_string().contains("squash"), "{refused}");
    let unknown = forge.merge(1, Some("octopus")).await.expect_err("nobody knows it");
    assert_eq!(unknown.class(), ErrorClass::Config, "{unknown}");

    // Not to be fast-forwarded any more.
    repository.write("main", &[("README.md", "other words\n")]).await;
    repository.checked(1).await;
    let behind = forge.merge(1, Some("fast-forward-only")).await;
    assert!(!matches!(behind, Ok(Merge::Merged(_))), "{behind:?}");
    // A conflict.
    repository.write("main", &[(FILE, "image: {}\n")]).await;
    let conflict = forge.merge(1, None).await;
    let told = match &conflict {
        Ok(Merge::NotReady { why, .. }) => why.clone(),
        Err(error) => error.to_string(),
        Ok(Merge::Merged(_)) => String::new(),
    };
    assert!(told.contains("conflict"), "{conflict:?}");
    let state: Value = repository.get("pulls/1").await;
    assert_eq!(state["merged"], false);
}
