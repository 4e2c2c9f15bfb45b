//! Stages end to end in a cluster in memory: who is promoted when, and what
//! Stages and Freight say about it.
#![allow(clippy::unwrap_used)]

mod cluster;

use cluster::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn freight_goes_through_two_stages_by_itself() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test", "prod"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Stage>(stage_from("prod", json!({"stages": ["test"]}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;

    let first = cluster.promotion_of("test", "f1").await;
    let name = first.metadata.name.clone().unwrap();
    assert!(name.starts_with("test."), "{name}");
    let stage = cluster
        .stage("test", "a current Promotion", |s| {
            s.status.as_ref().is_some_and(|s| s.current_promotion.is_some())
        })
        .await;
    assert!(stage_said(&stage, "Promoting").starts_with("True/ActivePromotion"), "stages/22.2-3");
    cluster.succeed(&first).await;

    let stage = cluster.stage("test", "Ready", is_ready).await;
    let status = stage.status.clone().unwrap();
    assert_eq!(status.freight_summary, "f1", "stages/22.11-6");
    assert!(stage_said(&stage, "Verified").starts_with("True/Verified"), "stages/22.6-3");
    assert_eq!(stage_said(&stage, "FreightWaiting"), "");
    assert!(status.auto_promotion_enabled);

    // Verified in test, it is available to prod (stages/22.8-17).
    let second = cluster.promotion_of("prod", "f1").await;
    cluster.succeed(&second).await;
    cluster.stage("prod", "Ready", is_ready).await;
    let freight = cluster
        .until("Freight in both", |c| {
            let freight = c.stores.freight.get(&controllers::store::Key::new("p", "f1"))?;
            let status = freight.status.clone()?;
            (status.currently_in.len() == 2 && status.verified_in.len() == 2).then_some(status)
        })
        .await;
    assert!(freight.currently_in.contains_key("prod"), "stages/22.4-2");
    let made = cluster.context.stores.promotions.len();
    assert_eq!(made, 2, "one Promotion a Stage");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_is_never_written_to() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Stage>(stage_from("prod", json!({"stages": ["test"]}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    cluster.succeed(&promotion).await;
    cluster.stage("test", "Ready", is_ready).await;
    let waiting = |s: &api::Stage| !stage_said(s, "FreightWaiting").is_empty();
    cluster.stage("prod", "why Freight waits", waiting).await;
    // The runtime's clock jumps: these are timers, not waits.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let (before, earlier) = (cluster.writes(), cluster.api.requests());
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    let since = cluster.api.requests().since(&earlier);
    assert_eq!(cluster.writes(), before, "an hour of passes wrote something: {since:?}");
    assert!(since.of("get", "namespaces") >= 10, "passes were made: {since:?}");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_project_nothing_promotes_and_the_stage_says_so() {
    let cluster = Cluster::start().await;
    cluster
        .create_global::<k8s_openapi::api::core::v1::Namespace>(json!({"metadata": {"name": "p"}}))
        .await;
    cluster.create::<api::Warehouse>(warehouse()).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let says = |s: &api::Stage| stage_said(s, "Ready").contains("there is no Project \"p\"");
    let stage = cluster.stage("test", "that there is no Project", says).await;
    assert!(stage_said(&stage, "Ready").starts_with("False/NoProject"));
    let waiting = stage_said(&stage, "FreightWaiting");
    assert!(waiting.contains("Freight \"f1\"") || waiting.contains("f1 (f1)"), "{waiting}");
    assert!(cluster.context.stores.promotions.is_empty());

    // A Promotion by hand is not let start either; a Project lets it.
    cluster
        .create::<api::Promotion>(by_hand("test", "test.01j00000000000000000000000.f1", "f1"))
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let key = controllers::store::Key::new("p", "test");
    let stage = cluster.context.stores.stages.get(&key).unwrap();
    assert!(stage.status.as_ref().unwrap().current_promotion.is_none());
    // The namespace is somebody else's until it is labelled.
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(cluster.client.clone());
    let label = json!({"metadata": {"labels": {"kargo.akuity.io/project": "true"}}});
    let params = kube::api::PatchParams::default();
    namespaces.patch("p", &params, &kube::api::Patch::Merge(&label)).await.unwrap();
    cluster.create_global::<api::Project>(project_with(&[])).await;
    cluster
        .stage("test", "the Promotion by hand as the current one", |s| {
            s.status.as_ref().and_then(|s| s.current_promotion.as_ref()).is_some()
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_the_stage_says_why_freight_waits() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&[]).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let waiting = |s: &api::Stage| stage_said(s, "FreightWaiting").contains("NoPolicy");
    let stage = cluster.stage("test", "why Freight waits", waiting).await;
    let text = stage_said(&stage, "FreightWaiting");
    assert!(text.contains("Project \"p\" has no ProjectConfig"), "{text}");
    assert!(cluster.context.stores.promotions.is_empty(), "stages/22.8-10");
    assert!(!stage.status.as_ref().unwrap().auto_promotion_enabled, "stages/22.8-10");

    // A ProjectConfig is noticed at once.
    cluster
        .create::<api::ProjectConfig>(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig",
            "metadata": {"namespace": "p", "name": "p"},
            "spec": {"promotionPolicies": [
                {"stageSelector": {"name": "glob:te*"}, "autoPromotionEnabled": true},
            ]},
        }))
        .await;
    cluster.promotion_of("test", "f1").await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_exist_is_named() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::PromotionTask>(task("promote-image")).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let mut stage = stage_from("test", json!({"direct": true}));
    stage["spec"]["promotionTemplate"]["spec"]["steps"] =
        json!([{"task": {"name": "promote-kro-instance"}}]);
    cluster.create::<api::Stage>(stage).await;
    let says = |s: &api::Stage| stage_said(s, "Ready").contains("promote-kro-instance");
    let stage = cluster.stage("test", "the missing task", says).await;
    for said in [stage_said(&stage, "Ready"), stage_said(&stage, "TasksFound")] {
        assert!(said.contains("promote-kro-instance"), "{said}");
        assert!(said.contains("promote-image"), "{said}");
    }
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(cluster.client.clone(), "p");
    // Events are written beside the pass.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let events = events.list(&Default::default()).await.unwrap();
    let warned = events.iter().filter(|e| e.reason.as_deref() == Some("TaskNotFound")).count();
    assert_eq!(warned, 1, "one Event however often it is tried");
    cluster.create::<api::PromotionTask>(task("promote-kro-instance")).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    assert_eq!(promotion.spec.steps.len(), 1);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_failed_is_not_repeated_but_newer_freight_is_promoted() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let first = cluster.promotion_of("test", "f1").await;
    let failed = json!({"phase": "Failed", "message": "no", "startedAt": "2026-01-01T00:00:00Z"});
    cluster.patch_status::<api::Promotion>(first.metadata.name.as_ref().unwrap(), failed).await;
    let waiting =
        |s: &api::Stage| stage_said(s, "FreightWaiting").contains("LastPromotionUnsuccessful");
    let stage = cluster.stage("test", "that it is not repeated", waiting).await;
    assert!(
        stage_said(&stage, "Ready").starts_with("False/LastPromotionFailed: no"),
        "stages/22.2-6"
    );
    cluster.create::<api::Freight>(freight_at("f2", 2)).await;
    cluster.promotion_of("test", "f2").await;
    assert_eq!(cluster.context.stores.promotions.len(), 2, "stages/22.8-16");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_goes_leaves_nothing_on_freight() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    cluster.succeed(&promotion).await;
    cluster.stage("test", "Ready", is_ready).await;
    let stages: kube::Api<api::Stage> = kube::Api::namespaced(cluster.client.clone(), "p");
    stages.delete("test", &Default::default()).await.unwrap();
    cluster
        .until("the Stage to be gone from Freight", |c| {
            let freight = c.stores.freight.get(&controllers::store::Key::new("p", "f1"))?;
            let status = freight.status.clone().unwrap_or_default();
            let is_gone = c.stores.stages.is_empty();
            (is_gone && status.verified_in.is_empty() && status.currently_in.is_empty())
                .then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_steps_passes_freight_on() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["prod"]).await;
    let mut gate = stage_from("gate", json!({"direct": true}));
    gate["spec"].as_object_mut().unwrap().remove("promotionTemplate");
    cluster.create::<api::Stage>(gate).await;
    cluster.create::<api::Stage>(stage_from("prod", json!({"stages": ["gate"]}))).await;
    let stage = cluster.stage("gate", "Ready", is_ready).await;
    assert_eq!(stage.status.as_ref().unwrap().conditions.len(), 1, "stages/22.10-1");
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    cluster.promotion_of("prod", "f1").await;
    let freight = cluster.context.stores.freight.get(&controllers::store::Key::new("p", "f1"));
    let status = freight.unwrap().status.clone().unwrap();
    assert!(status.verified_in.contains_key("gate"), "stages/22.10-2");
    assert!(!status.currently_in.contains_key("gate"), "stages/22.10-2");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn freight_that_has_not_soaked_waits_and_a_refresh_looks_again() {
    let cluster = Cluster::start().await;
    cluster.quick_start(&["test", "prod"]).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let soak = json!({"stages": ["test"], "requiredSoakTime": "1h"});
    cluster.create::<api::Stage>(stage_from("prod", soak)).await;
    let mut freight = freight_at("f1", 1);
    let long_ago = json!({"test": {"verifiedAt": "2026-01-01T00:00:00Z", "longestSoak": "2h0m0s"}});
    freight["status"] = json!({});
    cluster.create::<api::Freight>(freight).await;
    let promotion = cluster.promotion_of("test", "f1").await;
    cluster.succeed(&promotion).await;
    cluster.stage("test", "Ready", is_ready).await;
    let key = controllers::store::Key::new("p", "prod");
    assert!(cluster.context.stores.promotions_of(&key).is_empty(), "stages/22.8-2");
    cluster.patch_status::<api::Freight>("f1", json!({"verifiedIn": long_ago})).await;
    cluster
        .patch::<api::Stage>(
            "prod",
            json!({"metadata": {"annotations": {"kargo.akuity.io/refresh": "1"}}}),
        )
        .await;
    cluster.promotion_of("prod", "f1").await;
    let stage = cluster
        .stage("prod", "the refresh to be handled", |s| {
            s.status.as_ref().is_some_and(|s| s.last_handled_refresh == "1")
        })
        .await;
    assert!(stage.status.is_some(), "stages/22.10-6");
    cluster.stop().await;
}

fn by_hand(stage: &str, name: &str, freight: &str) -> serde_json::Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Promotion",
        "metadata": {"namespace": "p", "name": name},
        "spec": {"stage": stage, "freight": freight, "steps": [{"uses": "fake", "as": "step"}]},
    })
}

fn task(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "PromotionTask",
        "metadata": {"namespace": "p", "name": name},
        "spec": {"steps": [{"uses": "fake"}]},
    })
}
