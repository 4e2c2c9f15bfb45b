//! Hosts that are absent, refuse or are overloaded, and repositories that
//! change under a Warehouse: what is told names host and cause, the last good
//! artifacts stay, no Freight is lost, and all recovers by itself.

use std::sync::Arc;

use api::Warehouse;
use sandbox::git_host::{FileChange, GitService};
use sandbox::registry::Fault;
use serde_json::{Value, json};

use crate::bench::*;

const REPOSITORY: &str = "https://git.example.com/team/app";

/// A spec that is looked at every second, so that nothing need ask for it.
fn often(subscription: Value) -> Value {
    let mut spec = spec(json!([subscription]));
    spec["interval"] = json!("1s");
    spec
}

/// The Warehouse, once it tells of a failed discovery in these words.
async fn failing(bench: &Bench, words: &[&str]) -> Arc<Warehouse> {
    let key = controllers::store::Key::new(PROJECT, "w");
    bench
        .until(&format!("a failure that says {words:?}"), |c| {
            let warehouse = c.stores.warehouses.get(&key)?;
            let ready = said(&warehouse, "Ready");
            let fits = ready.starts_with("False/DiscoveryFailure: Artifact discovery failed: ")
                && words.iter().all(|word| ready.contains(word));
            fits.then_some(warehouse)
        })
        .await
}

/// The Warehouse is well and has made one piece of Freight: what it found.
async fn well(bench: &Bench) -> Option<api::DiscoveredArtifacts> {
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    assert_eq!(bench.freight().await.len(), 1);
    warehouse.status.clone().unwrap().discovered_artifacts
}

/// The failure left everything as it was.
async fn kept(bench: &Bench, warehouse: Arc<Warehouse>, good: &Option<api::DiscoveredArtifacts>) {
    let now = warehouse.status.clone().unwrap().discovered_artifacts;
    assert_eq!(&now, good, "the last good artifacts stay");
    assert!(said(&warehouse, "Healthy").starts_with("False/DiscoveryFailed: "));
    assert!(said(&warehouse, "Reconciling").starts_with("True/ScheduledDiscovery: "));
    assert_eq!(bench.freight().await.len(), 1, "no Freight is lost");
}

/// It is well again, and goes on: what is new becomes Freight.
async fn recovered(bench: &Bench) {
    bench.warehouse("w", "Ready", "True").await;
    bench.until("the new Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
}

/// A registry that answers so; what the Warehouse says.
async fn registry_answers(status: u16, words: &[&str]) {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", often(json!({"image": with(PUBLIC, json!({}))}))).await;
    let good = well(&bench).await;
    let retry_after = (status == 429).then(|| "1".to_owned());
    let fault = Fault { status, times: usize::MAX, retry_after, ..Fault::default() };
    bench.registry().traffic().fail(fault);
    kept(&bench, failing(&bench, words).await, &good).await;
    bench.registry().traffic().heal();
    bench.push("1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_registry_that_refuses() {
    tokio::join!(
        registry_answers(401, &["index.docker.io", "401 Unauthorized"]),
        registry_answers(403, &["index.docker.io", "403 Forbidden"]),
        registry_answers(404, &["index.docker.io", "404 Not Found", "owner/app"]),
    );
}

#[tokio::test]
async fn a_registry_that_is_overloaded() {
    tokio::join!(
        registry_answers(429, &["index.docker.io", "429"]),
        registry_answers(503, &["index.docker.io", "503"]),
    );
}

#[tokio::test]
async fn a_registry_that_is_absent() {
    let mut bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", often(json!({"image": with(PUBLIC, json!({}))}))).await;
    let good = well(&bench).await;
    bench.registry = None;
    kept(&bench, failing(&bench, &["no answer from index.docker.io"]).await, &good).await;
    bench.registry_back().await;
    bench.push("1.0.0");
    bench.push("1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

/// A chart repository that answers so; what the Warehouse says.
async fn charts_answer(status: u16, words: &[&str]) {
    let bench = Bench::start().await;
    bench.charts.publish("web", "1.0.0");
    let subscription = json!({"chart": with(&bench.charts.url(), json!({"name": "web"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.charts.fail(status, (status == 429).then_some("1"));
    let host = bench.charts.host();
    let words: Vec<&str> = words.iter().copied().chain([host.as_str()]).collect();
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.charts.heal();
    bench.charts.publish("web", "1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_chart_repository_that_refuses() {
    tokio::join!(
        charts_answer(401, &["401"]),
        charts_answer(404, &["404"]),
        charts_answer(429, &["429"]),
        charts_answer(500, &["500"]),
    );
}

#[tokio::test]
async fn a_chart_repository_that_is_absent() {
    let mut bench = Bench::start().await;
    bench.charts.publish("web", "1.0.0");
    let subscription = json!({"chart": with(&bench.charts.url(), json!({"name": "web"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.charts.gone();
    let host = bench.charts.host();
    kept(&bench, failing(&bench, &["error querying repository index", &host]).await, &good).await;
    bench.charts.back().await;
    bench.charts.publish("web", "1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

/// A Git repository with one commit on `main`, and a Warehouse over it.
async fn git_bench(fields: Value) -> Bench {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.create("w", often(json!({"git": with(REPOSITORY, fields)}))).await;
    bench
}

async fn commit(bench: &Bench, text: &str) -> String {
    bench.git().commit_file("team/app.git", "main", "a", text, text).await.unwrap()
}

/// A Git host that answers so; what the Warehouse says.
async fn git_answers(status: u16, words: &[&str]) {
    let bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git().traffic().fail_next(usize::MAX, status, Some(GitService::Fetch));
    kept(&bench, failing(&bench, words).await, &good).await;
    bench.git().traffic().fail_next(0, status, None);
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_git_host_that_refuses() {
    tokio::join!(
        git_answers(403, &["git.example.com", "authentication required"]),
        git_answers(404, &["git.example.com", "was not found"]),
        git_answers(429, &["git.example.com", "429"]),
        git_answers(500, &["git.example.com", "500"]),
    );
}

#[tokio::test]
async fn a_git_host_that_wants_a_login() {
    let bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git().set_auth("team/app.git", Some(("me".into(), "canary".into())));
    let warehouse = failing(&bench, &["git.example.com", "credential"]).await;
    kept(&bench, warehouse, &good).await;
    bench.git().set_auth("team/app.git", None);
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_git_host_that_is_absent() {
    let mut bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git = None;
    kept(&bench, failing(&bench, &["git.example.com"]).await, &good).await;
    bench.git_back().await;
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_repository_that_was_rewritten() {
    let bench = git_bench(json!({})).await;
    well(&bench).await;
    let change = [FileChange::write("b", "other")];
    let other = bench.git().commit("team/app.git", "other", "rewritten", &change).await.unwrap();
    bench.git().set_branch("team/app.git", "main", &other).await.unwrap();
    bench.run_git("team/app.git", &["update-ref", "-d", "refs/heads/other"]);
    recovered(&bench).await;
    let all = bench.freight().await;
    let newest = all.iter().find(|f| f.commits[0].id == other).expect("Freight of what is there");
    assert_eq!(newest.commits[0].message, "rewritten");
    let warehouse = bench.warehouse("w", "Ready", "True").await;
    let found = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    assert_eq!(found.git[0].commits.len(), 1, "nothing of the old history: {found:#?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_branch_that_was_deleted() {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.git().set_branch("team/app.git", "release", "main").await.unwrap();
    let subscription = json!({"git": with(REPOSITORY, json!({"branch": "release"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.run_git("team/app.git", &["update-ref", "-d", "refs/heads/release"]);
    kept(&bench, failing(&bench, &[REPOSITORY, "release"]).await, &good).await;
    commit(&bench, "2").await;
    bench.git().set_branch("team/app.git", "release", "main").await.unwrap();
    recovered(&bench).await;
    bench.stop().await;
}
