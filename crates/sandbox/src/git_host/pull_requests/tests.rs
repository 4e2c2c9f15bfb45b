//! The API as a client has it, and what merges make of the branches.

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{MergeMethod, PullState, answer};
use crate::git_host::{GitHost, GitHostOptions};

const REPO: &str = "team/app";

async fn host() -> GitHost {
    let host = GitHost::start(GitHostOptions::default()).await.unwrap();
    host.create_repository(REPO, &[("a", "1\n")]).await.unwrap();
    host
}

/// A branch of two commits that `main` lacks.
async fn branch(host: &GitHost, name: &str, file: &str) {
    host.set_branch(REPO, name, "main").await.unwrap();
    for n in 1..=2 {
        let message = format!("{name} {n}");
        host.commit_file(REPO, name, &format!("{file}{n}"), name, &message).await.unwrap();
    }
}

async fn ask(host: &GitHost, method: &str, path: &str, body: Value) -> (StatusCode, Value, bool) {
    ask_as(host, method, path, body, None).await
}

async fn ask_as(
    host: &GitHost,
    method: &str,
    path: &str,
    body: Value,
    authorization: Option<&str>,
) -> (StatusCode, Value, bool) {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let mut request = Request::builder().method(method).uri(format!("/api/v1/{path}"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let response = answer(host.shared.clone(), request.body(body).unwrap()).await;
    let status = response.status();
    let has_next = response
        .headers()
        .get("link")
        .is_some_and(|v| v.to_str().unwrap().contains("rel=\"next\""));
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default(), has_next)
}

async fn open(host: &GitHost, head: &str) -> i64 {
    let body = json!({"title": head, "head": head, "base": "main", "body": "text"});
    let (status, pull, _) = ask(host, "POST", "repos/team/app/pulls", body).await;
    assert_eq!(status, StatusCode::CREATED, "{pull}");
    pull["number"].as_i64().unwrap()
}

/// What each method makes of a target that has moved on.
#[tokio::test]
async fn each_method_merges_in_its_way() {
    let messages = |log: Vec<crate::git_host::CommitInfo>| -> Vec<String> {
        log.into_iter().map(|c| c.message.trim().to_owned()).collect()
    };
    for (method, name, expected) in [
        (MergeMethod::Squash, "squash", &["x (#1)", "moved on"][..]),
        (MergeMethod::Rebase, "rebase", &["x 2", "x 1", "moved on"]),
        (MergeMethod::Merge, "merge", &["Merge pull request 'x' (#1) from x into main"]),
        (
            MergeMethod::RebaseMerge,
            "rebase-merge",
            &["Merge pull request 'x' (#1) from x into main"],
        ),
    ] {
        let host = host().await;
        branch(&host, "x", "f").await;
        host.commit_file(REPO, "main", "other", "2", "moved on").await.unwrap();
        open(&host, "x").await;
        let body = json!({"Do": name});
        let (status, said, _) = ask(&host, "POST", "repos/team/app/pulls/1/merge", body).await;
        assert_eq!(status, StatusCode::OK, "{method:?}: {said}");
        let log = host.log(REPO, "main").await.unwrap();
        let pull = host.pull_requests(REPO).remove(0);
        assert_eq!(pull.state, PullState::Merged, "{method:?}");
        assert_eq!(pull.merge_commit.as_ref(), Some(&log[0].id), "{method:?}");
        let is_merge = name.contains("merge");
        assert_eq!(log[0].parents.len(), if is_merge { 2 } else { 1 }, "{method:?}");
        assert_eq!(messages(log)[..expected.len()], *expected, "{method:?}");
        for file in ["f1", "f2", "other"] {
            assert!(host.read_file(REPO, "main", file).await.unwrap().is_some(), "{method:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_merged_is_refused() {
    let host = host().await;
    branch(&host, "x", "f").await;
    branch(&host, "conflict", "other").await;
    host.commit_file(REPO, "main", "other1", "another", "moved on").await.unwrap();
    open(&host, "x").await;
    open(&host, "conflict").await;
    let get = |n: i64| format!("repos/team/app/pulls/{n}");
    assert_eq!(ask(&host, "GET", &get(1), Value::Null).await.1["mergeable"], json!(true));
    assert_eq!(ask(&host, "GET", &get(2), Value::Null).await.1["mergeable"], json!(false));
    for (number, method, status) in [
        (1, "fast-forward-only", StatusCode::METHOD_NOT_ALLOWED),
        (2, "merge", StatusCode::METHOD_NOT_ALLOWED),
        (2, "rebase", StatusCode::METHOD_NOT_ALLOWED),
        (1, "teleport", StatusCode::UNPROCESSABLE_ENTITY),
        (9, "merge", StatusCode::NOT_FOUND),
    ] {
        let path = format!("repos/team/app/pulls/{number}/merge");
        let (got, said, _) = ask(&host, "POST", &path, json!({"Do": method})).await;
        assert_eq!(got, status, "{number} {method}: {said}");
    }
    let (status, closed, _) = ask(&host, "PATCH", &get(1), json!({"state": "closed"})).await;
    assert_eq!((status, closed["state"].clone()), (StatusCode::CREATED, json!("closed")));
    let path = "repos/team/app/pulls/1/merge";
    assert_eq!(ask(&host, "GET", path, Value::Null).await.0, StatusCode::NOT_FOUND);
    let (status, _, _) = ask(&host, "POST", path, json!({"Do": "merge"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // The repository is as it was, with nothing left of the attempts.
    assert_eq!(host.log(REPO, "main").await.unwrap().len(), 2);
}

#[tokio::test]
async fn lists_labels_and_refusals() {
    let host = host().await;
    let pulls = "repos/team/app/pulls";
    for (body, status) in [
        (json!({"title": "t", "head": "gone", "base": "main"}), StatusCode::NOT_FOUND),
        (json!({"title": "t", "head": "main"}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(ask(&host, "POST", pulls, body.clone()).await.0, status, "{body}");
    }
    for n in 0..3 {
        branch(&host, &format!("b{n}"), &format!("f{n}-")).await;
        open(&host, &format!("b{n}")).await;
    }
    let again = json!({"title": "t", "head": "b0", "base": "main"});
    let (status, said, _) = ask(&host, "POST", pulls, again).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(said["message"].as_str().unwrap().starts_with("pull request already exists"));
    host.close_pull_request(REPO, 2);
    for (query, expected, next) in [
        ("state=all&limit=2", json!([3, 2]), true),
        ("state=all&limit=2&page=2", json!([1]), false),
        ("state=open", json!([3, 1]), false),
        ("state=closed", json!([2]), false),
        ("state=all&sort=oldest", json!([1, 2, 3]), false),
    ] {
        let (_, list, has_next) = ask(&host, "GET", &format!("{pulls}?{query}"), Value::Null).await;
        let numbers: Vec<Value> =
            list.as_array().unwrap().iter().map(|p| p["number"].clone()).collect();
        assert_eq!((json!(numbers), has_next), (expected, next), "{query}");
    }
    let label = json!({"name": "promotion", "color": "#00aabb"});
    let (_, label, _) = ask(&host, "POST", "repos/team/app/labels", label).await;
    let body = json!({"labels": [label["id"]]});
    let (status, _, _) = ask(&host, "POST", "repos/team/app/issues/1/labels", body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(host.pull_requests(REPO)[0].labels, ["promotion"]);
    assert_eq!(ask(&host, "GET", "version", Value::Null).await.0, StatusCode::OK);
    let elsewhere = ask(&host, "GET", "repos/team/gone/pulls", Value::Null).await.0;
    assert_eq!(elsewhere, StatusCode::NOT_FOUND);
    assert_eq!(ask(&host, "GET", "repos/../x/pulls", Value::Null).await.0, StatusCode::NOT_FOUND);

    host.set_auth(REPO, Some(("robot".into(), "secret".into())));
    host.let_read(REPO, "looker");
    let label = json!({"name": "other"});
    let labelled =
        ask_as(&host, "POST", "repos/team/app/labels", label, Some("token looker")).await.0;
    assert_eq!(labelled, StatusCode::FORBIDDEN);
    for (authorization, status) in [
        (Some("token looker"), StatusCode::OK),
        (None, StatusCode::NOT_FOUND),
        (Some("token other"), StatusCode::UNAUTHORIZED),
        (Some("token secret"), StatusCode::OK),
        (Some("Basic cm9ib3Q6c2VjcmV0"), StatusCode::OK),
    ] {
        let got = ask_as(&host, "GET", pulls, Value::Null, authorization).await.0;
        assert_eq!(got, status, "{authorization:?}");
    }
}

#[tokio::test]
async fn a_draft_waits_and_a_merge_may_delete_its_branch() {
    let host = host().await;
    branch(&host, "x", "f").await;
    let body = json!({"title": "WIP: x", "head": "x", "base": "main"});
    let (_, draft, _) = ask(&host, "POST", "repos/team/app/pulls", body).await;
    assert_eq!(draft["draft"], json!(true));
    let (path, merge) = ("repos/team/app/pulls/1", "repos/team/app/pulls/1/merge");
    let how = json!({"Do": "squash", "delete_branch_after_merge": true});
    let (status, _, _) = ask(&host, "POST", merge, how.clone()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    ask(&host, "PATCH", path, json!({"title": "x"})).await;
    assert_eq!(ask(&host, "POST", merge, how).await.0, StatusCode::OK);
    assert_eq!(host.id(REPO, "refs/heads/x").await.unwrap(), None);
    let (_, pull, _) = ask(&host, "GET", path, Value::Null).await;
    assert_eq!(pull["head"]["ref"], json!("refs/pull/1/head"));
    assert_eq!(pull["head"]["label"], json!("x"));
}
