//! A Stage's health from the Argo CD Applications that its Promotion updated.
#![allow(clippy::unwrap_used)]

mod cluster;

use ::promotion::argocd::Application;
use cluster::*;
use controllers::store::Key;
use serde_json::{Value, json};

/// An Application of Stage `test` at revision `abc`, well since its last sync.
fn application() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {
            "namespace": "p", "name": "a",
            "annotations": {"kargo.akuity.io/authorized-stage": "p:test"},
        },
        "spec": {"source": {"repoURL": "https://example.com/repo.git"}},
        "status": {
            "health": {"status": "Healthy"},
            "sync": {"status": "Synced", "revision": "abc"},
            "operationState": {
                "phase": "Succeeded", "operation": {}, "finishedAt": "2026-01-01T00:00:00Z",
            },
            "reconciledAt": "2026-01-01T00:00:05Z",
        },
    })
}

async fn with_application() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<Application>(application()).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    let apps = json!([{"name": "a", "namespace": "p", "desiredRevisions": ["abc"]}]);
    let checks = json!([{"uses": "argocd-update", "config": {"apps": apps}}]);
    cluster.succeed_with(&promotion, checks).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_application_without_a_timer() {
    let cluster = with_application().await;
    let stage = cluster.stage("test", "Ready", is_ready).await;
    assert_eq!(
        stage_said(&stage, "Healthy"),
        "True/Healthy: Stage is healthy (performed 1 health checks)"
    );
    let output = stage.status.as_ref().unwrap().health.as_ref().unwrap().output.clone();
    let name = output.unwrap()[0]["applicationStatuses"][0]["Name"].clone();
    assert_eq!(name, "a");
    let context = stage.metadata.annotations.clone().unwrap_or_default();
    assert_eq!(
        context.get("kargo.akuity.io/argocd-context").map(String::as_str),
        Some(r#"[{"name":"a","namespace":"p"}]"#)
    );

    let degraded = json!({"status": {"health": {"status": "Degraded"}}});
    cluster.patch::<Application>("a", degraded).await;
    let unwell = |s: &api::Stage| stage_said(s, "Healthy").starts_with("False/Unhealthy");
    let stage = cluster.stage("test", "Unhealthy", unwell).await;
    let issues = stage.status.as_ref().unwrap().health.clone().unwrap().issues;
    let expected = "Argo CD Application \"a\" in namespace \"p\" has health state \"Degraded\"";
    assert_eq!(issues, [expected], "stages/22.5-13");
    assert!(stage_said(&stage, "Ready").starts_with("False/Unhealthy"));

    cluster.patch::<Application>("a", json!({"status": {"health": {"status": "Healthy"}}})).await;
    cluster.stage("test", "Ready again", is_ready).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_application_that_was_not_compared_since_its_sync_is_asked_to_once() {
    let case = "stages/22.5-10";
    let cluster = with_application().await;
    cluster.stage("test", "Ready", is_ready).await;
    let synced = json!({"status": {"operationState": {
        "phase": "Failed", "finishedAt": "2026-01-01T00:01:00Z",
    }}});
    cluster.patch::<Application>("a", synced).await;
    let unknown = |s: &api::Stage| stage_said(s, "Healthy").starts_with("Unknown/Unknown");
    cluster.stage("test", "that its health is unknown", unknown).await;
    let refresh = "argocd.argoproj.io/refresh";
    let asked = cluster
        .until("the request to compare", |c| {
            let app = c.stores.applications.get(&Key::new("p", "a"))?;
            app.metadata.annotations.as_ref()?.get(refresh).cloned()
        })
        .await;
    assert_eq!(asked, "hard", "{case}");
    tokio::time::sleep(std::time::Duration::from_secs(1000)).await;
    // One is the test's own, the other is the request.
    assert_eq!(cluster.api.requests().of("patch", "applications"), 2, "{case}");

    let compared = json!({
        "metadata": {"annotations": {refresh: null}},
        "status": {"reconciledAt": "2026-01-01T00:01:05Z"},
    });
    cluster.patch::<Application>("a", compared).await;
    cluster.stage("test", "Ready again", is_ready).await;
    cluster.stop().await;
}
