//! What Stages and Projects do when the API server says no.
#![allow(clippy::unwrap_used)]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::*;
use controllers::store::Key;
use sandbox::kubernetes::{Failure, Request};
use serde_json::json;

/// Answers requests that `which` picks with a failure while the switch is on.
fn refuse(
    cluster: &Cluster,
    code: u16,
    reason: &'static str,
    which: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Arc<AtomicBool> {
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    cluster.api.set_hook(Some(Arc::new(move |request| {
        let hit = switch.load(Ordering::SeqCst) && which(request);
        hit.then(|| Failure::new(code, reason, "the server says no"))
    })));
    on
}

fn is(request: &Request, verb: &str, resource: &str, subresource: &str) -> bool {
    request.verb == verb && request.resource == resource && request.subresource == subresource
}

async fn wait(seconds: u64) {
    // The runtime's clock jumps.
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn freight_that_cannot_be_written_is_said_and_tried_again() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    let on = refuse(&cluster, 500, "InternalError", |r| is(r, "patch", "freights", "status"));
    cluster.succeed(&promotion).await;
    let failed = |s: &api::Stage| stage_said(s, "Ready").starts_with("False/ReconcileError");
    let stage = cluster.stage("test", "the error", failed).await;
    let ready = stage_said(&stage, "Ready");
    assert!(
        ready.contains(
            "failed to sync Freight: error patching status of Freight \"f1\" in namespace \"p\""
        ),
        "{ready}"
    );
    assert!(stage_said(&stage, "Reconciling").starts_with("True/RetryAfterError"), "stages/22.1-7");
    // What the Promotion changed is there all the same.
    let status = stage.status.as_ref().unwrap();
    assert!(status.last_promotion.is_some() && status.freight_history.len() == 1);
    on.store(false, Ordering::SeqCst);
    let stage = cluster.stage("test", "Ready", is_ready).await;
    assert_eq!(stage_said(&stage, "Reconciling"), "", "stages/22.1-11");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_cannot_be_written_does_not_stop_the_pass() {
    let case = "stages/22.1-12";
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    let current = |s: &api::Stage| s.status.as_ref().is_some_and(|s| s.current_promotion.is_some());
    cluster.stage("test", "the Promotion as the current one", current).await;
    let on = refuse(&cluster, 500, "InternalError", |r| is(r, "patch", "stages", "status"));
    cluster.succeed(&promotion).await;
    cluster
        .until("Freight to be marked", |c| {
            let freight = c.stores.freight.get(&Key::new("p", "f1"))?;
            freight.is_verified_in("test").then_some(())
        })
        .await;
    let stage = cluster.context.stores.stages.get(&Key::new("p", "test")).unwrap();
    assert!(stage.status.as_ref().unwrap().last_promotion.is_none(), "{case}");
    on.store(false, Ordering::SeqCst);
    cluster.stage("test", "Ready", is_ready).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_may_not_be_created() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let on = refuse(&cluster, 403, "Forbidden", |r| is(r, "create", "promotions", ""));
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let settled = |s: &api::Stage| stage_said(s, "Ready").starts_with("False/NoFreight");
    cluster.stage("test", "no error", settled).await;
    assert!(cluster.context.stores.promotions.is_empty(), "stages/22.8-23");
    // It is tried again at the next pass, which nothing wakes but the timer.
    on.store(false, Ordering::SeqCst);
    wait(301).await;
    cluster.promotion_of("test", "f1").await;

    // Any other refusal is an error.
    let on = refuse(&cluster, 500, "InternalError", |r| is(r, "create", "promotions", ""));
    cluster.create::<api::Stage>(stage_from("prod", json!({"direct": true}))).await;
    cluster
        .create::<api::ProjectConfig>(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig",
            "metadata": {"namespace": "p", "name": "p"},
            "spec": {"promotionPolicies": [{"stage": "prod", "autoPromotionEnabled": true}]},
        }))
        .await;
    let failed = |s: &api::Stage| {
        stage_said(s, "Ready").contains(
            "failed to auto-promote Freight: error creating Promotion for Freight \"f1\" in namespace \"p\": ",
        )
    };
    cluster.stage("prod", "the error (stages/22.8-23)", failed).await;
    on.store(false, Ordering::SeqCst);
    cluster.promotion_of("prod", "f1").await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_policy_is_an_error_and_ready_stays() {
    let case = "stages/22.1-13";
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let settled = |s: &api::Stage| stage_said(s, "Ready").starts_with("False/NoFreight");
    cluster.stage("test", "no Freight", settled).await;
    cluster
        .create::<api::ProjectConfig>(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig",
            "metadata": {"namespace": "p", "name": "p"},
            "spec": {"promotionPolicies": [
                {"stageSelector": {"name": "regex:("}, "autoPromotionEnabled": true},
            ]},
        }))
        .await;
    let reconciling = |s: &api::Stage| stage_said(s, "Reconciling").starts_with("True/Reconciling");
    let stage = cluster.stage("test", "Reconciling", reconciling).await;
    assert!(stage_said(&stage, "Ready").starts_with("False/NoFreight"), "{case}");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_read_is_no_stall() {
    let case = "projects/P15";
    let cluster = Cluster::start().await;
    let on = refuse(&cluster, 500, "InternalError", |r| is(r, "get", "namespaces", ""));
    cluster.create_global::<api::Project>(project_with(&[])).await;
    let conditions = |cluster: &Cluster| {
        let project = cluster.context.stores.projects.get(&Key::cluster("p")).unwrap();
        project.status.clone().unwrap_or_default().conditions
    };
    cluster
        .until("the error", |c| {
            let project = c.stores.projects.get(&Key::cluster("p"))?;
            let ready = said(&project.status.as_ref()?.conditions, "Ready");
            ready.starts_with("False/EnsuringNamespaceFailed").then_some(())
        })
        .await;
    assert_eq!(said(&conditions(&cluster), "Stalled"), "", "{case}");
    on.store(false, Ordering::SeqCst);
    cluster
        .until("the Project to be ready", |c| {
            let project = c.stores.projects.get(&Key::cluster("p"))?;
            is_true(&project.status.as_ref()?.conditions, "Ready").then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_role_that_cannot_be_deleted_keeps_the_project() {
    let case = "projects/P5";
    let cluster = Cluster::start().await;
    cluster.quick_start(&[]).await;
    let on = refuse(&cluster, 500, "InternalError", |r| is(r, "delete", "clusterrolebindings", ""));
    let projects: kube::Api<api::Project> = kube::Api::all(cluster.client.clone());
    projects.delete("p", &Default::default()).await.unwrap();
    wait(5).await;
    let before = cluster.api.requests();
    assert_eq!(before.of("delete", "clusterroles"), 0, "{case}");
    assert!(before.of("delete", "clusterrolebindings") > 1, "{case}: it is tried again");
    assert!(projects.get_opt("p").await.unwrap().is_some(), "{case}");
    on.store(false, Ordering::SeqCst);
    cluster.until("the Project to be gone", |c| c.stores.projects.is_empty().then_some(())).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_break_lose_nothing() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    for n in 1..=3 {
        cluster.api.close_watches();
        cluster.create::<api::Freight>(freight_at(&format!("f{n}"), n)).await;
        let promotion = cluster.promotion_of("test", &format!("f{n}")).await;
        cluster.api.close_watches();
        cluster.succeed(&promotion).await;
        let has = |s: &api::Stage| {
            is_ready(s) && s.status.as_ref().is_some_and(|s| s.freight_summary == format!("f{n}"))
        };
        cluster.stage("test", "the new Freight", has).await;
    }
    assert_eq!(cluster.context.stores.promotions.len(), 3);
    cluster.stop().await;
}
