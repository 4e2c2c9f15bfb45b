//! Single passes over Stages and Projects, made by the test.
#![allow(clippy::unwrap_used)]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::*;
use controllers::Error;
use controllers::context::Context;
use controllers::project;
use controllers::queue::Outcome;
use controllers::stage::{control_flow, reconcile};
use controllers::store::Key;
use k8s_openapi::api::core::v1::{Event, Namespace};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use sandbox::kubernetes::{Failure, Request};
use serde_json::{Value, json};

const FINALIZER: &str = "kargo.akuity.io/finalizer";

struct Rig(Cluster);

impl Rig {
    /// A quiet cluster with namespace `p`, a Project and a Warehouse `w`.
    async fn new() -> Self {
        Self::over(Cluster::quiet().await).await
    }

    async fn over(cluster: Cluster) -> Self {
        cluster
            .create_global::<Namespace>(json!({"metadata": {
                "name": "p", "labels": {"kargo.akuity.io/project": "true"}, "finalizers": [FINALIZER],
            }}))
            .await;
        cluster.create_global::<api::Project>(project_with(&["s"])).await;
        cluster.create::<api::Warehouse>(warehouse()).await;
        Self(cluster)
    }

    fn context(&self) -> &Context {
        &self.0.context
    }

    async fn regular(&self, name: &str) -> Result<Outcome, Error> {
        self.settle().await;
        reconcile::reconcile(self.context(), &Key::new("p", name)).await
    }

    async fn control_flow(&self, name: &str) -> Result<Outcome, Error> {
        self.settle().await;
        control_flow::reconcile(self.context(), &Key::new("p", name)).await
    }

    /// Lets the watches bring what was written.
    async fn settle(&self) {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }

    async fn stage(&self, name: &str) -> api::Stage {
        let stages: Api<api::Stage> = Api::namespaced(self.0.client.clone(), "p");
        stages.get(name).await.unwrap()
    }

    async fn freight(&self, name: &str) -> api::Freight {
        let freights: Api<api::Freight> = Api::namespaced(self.0.client.clone(), "p");
        freights.get(name).await.unwrap()
    }

    async fn events(&self, reason: &str) -> Vec<Event> {
        self.settle().await;
        let events: Api<Event> = Api::namespaced(self.0.client.clone(), "p");
        let listed = events.list(&Default::default()).await.unwrap();
        listed.items.into_iter().filter(|e| e.reason.as_deref() == Some(reason)).collect()
    }

    /// Answers requests that `which` picks with a failure.
    fn refuse(&self, which: impl Fn(&Request) -> bool + Send + Sync + 'static) {
        self.0.api.set_hook(Some(Arc::new(move |request| {
            which(request).then(|| Failure::new(500, "InternalError", "the server says no"))
        })));
    }

    fn writes(&self) -> u64 {
        self.0.writes()
    }
}

fn is(request: &Request, verb: &str, resource: &str, subresource: &str) -> bool {
    request.verb == verb && request.resource == resource && request.subresource == subresource
}

/// A Stage that has its finalizer.
fn known(name: &str, sources: Value) -> Value {
    let mut stage = stage_from(name, sources);
    stage["metadata"]["finalizers"] = json!([FINALIZER]);
    stage
}

fn gate(name: &str) -> Value {
    let mut stage = known(name, json!({"direct": true}));
    stage["spec"].as_object_mut().unwrap().remove("promotionTemplate");
    stage
}

fn in_stages(stages: Value) -> Value {
    json!({"verifiedIn": stages})
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_left_alone() {
    let rig = Rig::new().await;
    assert_eq!(rig.regular("missing").await.unwrap(), Outcome::Done, "stages/22.1-1");
    rig.0.create::<api::Stage>(gate("gate")).await;
    let mut other = known("other", json!({"direct": true}));
    other["metadata"]["labels"] = json!({"kargo.akuity.io/shard": "wrong-shard"});
    rig.0.create::<api::Stage>(other).await;
    rig.0.create::<api::Stage>(known("s", json!({"direct": true}))).await;
    let before = rig.writes();
    assert_eq!(rig.regular("gate").await.unwrap(), Outcome::Done, "stages/22.1-2");
    assert_eq!(rig.regular("other").await.unwrap(), Outcome::Done, "stages/22.1-3");
    assert_eq!(rig.control_flow("s").await.unwrap(), Outcome::Done, "stages/22.9-3");
    let stages: Api<api::Stage> = Api::namespaced(rig.0.client.clone(), "p");
    stages.delete("gate", &Default::default()).await.unwrap();
    assert_eq!(rig.regular("gate").await.unwrap(), Outcome::Done, "stages/22.1-4");
    assert_eq!(rig.writes(), before + 1, "nothing but the deletion");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_pass_sets_the_finalizer_and_the_second_says_that_there_is_no_freight() {
    let rig = Rig::new().await;
    rig.0.create::<api::Stage>(stage_from("s", json!({"direct": true}))).await;
    let first = rig.regular("s").await.unwrap();
    assert!(matches!(first, Outcome::After(soon) if soon.as_millis() <= 100), "stages/22.1-6");
    let stage = rig.stage("s").await;
    assert_eq!(stage.metadata.finalizers.clone().unwrap_or_default(), [FINALIZER], "stages/22.1-6");
    assert!(stage.status.is_none_or(|s| s.conditions.is_empty()), "stages/22.1-6");
    let second = rig.regular("s").await.unwrap();
    assert_eq!(second, Outcome::After(std::time::Duration::from_secs(300)), "stages/22.1-10");
    let stage = rig.stage("s").await;
    assert!(stage_said(&stage, "Ready").starts_with("False/NoFreight"), "stages/22.1-10");
    assert!(stage_said(&stage, "Healthy").starts_with("Unknown/NoFreight"), "stages/22.1-10");
    assert!(stage_said(&stage, "Verified").starts_with("Unknown/NoFreight"), "stages/22.1-10");
    let before = rig.writes();
    rig.regular("s").await.unwrap();
    assert_eq!(rig.writes(), before, "a pass that changes nothing writes nothing");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn which_error_is_returned() {
    let rig = Rig::new().await;
    let mut stage = known("s", json!({"direct": true}));
    stage["spec"]["requestedFreight"][0]["origin"]["name"] = json!("nowhere");
    rig.0.create::<api::Stage>(stage).await;
    let error = rig.regular("s").await.unwrap_err().to_string();
    assert!(
        error.contains("Warehouse \"nowhere\" not found in namespace \"p\""),
        "stages/22.8-6 {error}"
    );
    assert!(stage_said(&rig.stage("s").await, "Ready").contains("nowhere"), "stages/22.8-6");
    rig.0.create::<api::Stage>(known("t", json!({"direct": true}))).await;
    rig.refuse(|r| is(r, "patch", "stages", "status"));
    let error = rig.regular("t").await.unwrap_err().to_string();
    assert!(error.contains("failed to update Stage status"), "stages/22.1-9 {error}");
    rig.0.api.set_hook(None);
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_current_freight_that_is_gone_stops_the_pass() {
    let rig = Rig::new().await;
    rig.0.create::<api::Stage>(known("s", json!({"direct": true}))).await;
    let item = json!({"name": "gone", "origin": {"kind": "Warehouse", "name": "w"}});
    rig.0
        .patch_status::<api::Stage>(
            "s",
            json!({"freightHistory": [{"id": "c", "items": {"Warehouse/w": item}}]}),
        )
        .await;
    let error = rig.regular("s").await.unwrap_err().to_string();
    let expected = "failed to sync Freight: Freight \"gone\" not found in namespace \"p\"";
    assert_eq!(error, expected, "stages/22.4-1");
    rig.0.stop().await;
}

/// Promotions that one pass of Stage `s` makes, by Freight.
async fn promoted(rig: &Rig) -> Vec<String> {
    rig.regular("s").await.unwrap();
    let made = rig.context().stores.promotions_of(&Key::new("p", "s"));
    let mut freight: Vec<String> = made.iter().filter_map(|p| p.spec.freight.clone()).collect();
    freight.sort();
    freight
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_may_be_promoted_to() {
    let verified =
        |longest: &str| json!({"verifiedAt": "2026-01-01T00:00:00Z", "longestSoak": longest});
    let approved = json!({"approvedFor": {"s": {"approvedAt": "2026-01-01T00:00:00Z"}}});
    let up = |soak: Option<&str>| match soak {
        None => json!({"stages": ["up"]}),
        Some(time) => json!({"stages": ["up"], "requiredSoakTime": time}),
    };
    let all =
        json!({"stages": ["up", "up2"], "availabilityStrategy": "All", "requiredSoakTime": "1h"});
    let mut both = approved.clone();
    both["verifiedIn"] = json!({"up": verified("2h0m0s")});
    let matching = json!({
        "stages": ["up"], "autoPromotionOptions": {"selectionPolicy": "MatchUpstream"},
    });
    // Freight f2 is newer than f1.
    for (case, sources, f1, f2, expected) in [
        ("stages/22.8-1", json!({"direct": true}), json!({}), json!({}), vec!["f2"]),
        (
            "stages/22.8-18",
            up(Some("1h")),
            in_stages(json!({"up": verified("2h0m0s")})),
            in_stages(json!({"up": verified("30m0s")})),
            vec!["f1"],
        ),
        ("stages/22.8-19", up(None), approved.clone(), json!({}), vec!["f1"]),
        ("stages/22.8-21", up(None), both, json!({}), vec!["f1"]),
        (
            "stages/22.8-3",
            all.clone(),
            in_stages(json!({"up": verified("2h0m0s"), "up2": verified("2h0m0s")})),
            in_stages(json!({"up": verified("2h0m0s"), "up2": verified("30m0s")})),
            vec!["f1"],
        ),
        ("stages/22.8-3", all, in_stages(json!({"up": verified("2h0m0s")})), json!({}), vec![]),
        ("stages/22.8-4", matching, approved, json!({}), vec![]),
        (
            "stages/22.8-28",
            json!({"availabilityStrategy": "All"}),
            json!({}),
            json!({}),
            vec!["f2"],
        ),
        ("stages/22.8-28", json!({}), json!({}), json!({}), vec![]),
    ] {
        let rig = Rig::new().await;
        rig.0.create::<api::Stage>(known("s", sources)).await;
        for (name, minute, status) in [("f1", 1, f1), ("f2", 2, f2)] {
            rig.0.create::<api::Freight>(freight_at(name, minute)).await;
            rig.0.patch_status::<api::Freight>(name, status).await;
        }
        let mut elsewhere = freight_at("f3", 3);
        elsewhere["origin"]["name"] = json!("w2");
        rig.0.create::<api::Freight>(elsewhere).await;
        assert_eq!(promoted(&rig).await, expected, "{case}");
        rig.0.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_automatic_promotion_is_news() {
    let case = "stages/22.8-22";
    let rig = Rig::new().await;
    rig.0.create::<api::Stage>(known("s", json!({"direct": true}))).await;
    rig.0.create::<api::Freight>(freight_at("f1", 1)).await;
    assert_eq!(promoted(&rig).await, ["f1"], "{case}");
    let events = rig.events("PromotionCreated").await;
    assert_eq!(events.len(), 1, "{case}");
    let event = &events[0];
    assert_eq!(event.type_.as_deref(), Some("Normal"), "{case}");
    assert_eq!(
        event.message.as_deref(),
        Some("Automatically promoted Freight from origin \"Warehouse/w\" for Stage \"s\""),
        "{case}"
    );
    let facts = event.metadata.annotations.clone().unwrap();
    let fact = |name: &str| facts.get(&format!("event.kargo.akuity.io/{name}")).map(String::as_str);
    assert_eq!(fact("actor"), Some("controller:stage-controller"), "{case}");
    assert_eq!(fact("stage-name"), Some("s"), "{case}");
    assert_eq!(fact("freight-name"), Some("f1"), "{case}");
    let images = r#"[{"repoURL":"example.com/app","tag":"f1"}]"#;
    assert_eq!(fact("freight-images"), Some(images), "projects/E10");
    assert_eq!(fact("freight-commits"), None, "projects/E12");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_steps_marks_each_freight_once() {
    let rig = Rig::new().await;
    rig.0.create::<api::Stage>(gate("gate")).await;
    for n in 1..=4 {
        rig.0.create::<api::Freight>(freight_at(&format!("f{n}"), n)).await;
    }
    // The second cannot be written, the fourth is gone.
    rig.0.api.set_hook(Some(Arc::new(|request: &Request| {
        if !is(request, "patch", "freights", "status") {
            return None;
        }
        match request.name.as_str() {
            "f2" => Some(Failure::new(500, "InternalError", "no")),
            "f4" => Some(Failure::new(404, "NotFound", "gone")),
            _ => None,
        }
    })));
    let case = "stages/22.10-5";
    let error = rig.control_flow("gate").await.unwrap_err().to_string();
    assert_eq!(error, "failed to verify 1 Freight", "{case}");
    let stage = rig.stage("gate").await;
    let expected = "False/FreightVerificationFailed: failed to verify 1 Freight";
    assert_eq!(stage_said(&stage, "Ready"), expected, "{case}");
    assert!(
        stage_said(&stage, "Reconciling").starts_with("True/RetryAfterVerificationFailed"),
        "{case}"
    );
    for (name, verified) in [("f1", true), ("f2", false), ("f3", true), ("f4", false)] {
        assert_eq!(rig.freight(name).await.is_verified_in("gate"), verified, "{case} {name}");
    }
    assert_eq!(rig.events("FreightVerificationSucceeded").await.len(), 2, "{case}");
    rig.0.api.set_hook(None);
    rig.control_flow("gate").await.unwrap();
    assert!(is_ready(&rig.stage("gate").await));
    let before = rig.writes();
    rig.control_flow("gate").await.unwrap();
    assert_eq!(rig.writes(), before, "stages/22.10-3");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_loses_its_steps_forgets_what_it_had() {
    let rig = Rig::new().await;
    let mut stage = gate("gate");
    stage["metadata"]["annotations"] =
        json!({"kargo.akuity.io/argocd-context": "[]", "kargo.akuity.io/refresh": "now"});
    rig.0.create::<api::Stage>(stage).await;
    let hold = json!({"freightName": "f", "origin": {"kind": "Warehouse", "name": "w"}});
    rig.0
        .patch_status::<api::Stage>(
            "gate",
            json!({
                "conditions": [{
                    "type": "Healthy", "status": "True", "reason": "Healthy", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "freightHistory": [{"id": "c"}], "health": {"status": "Healthy"},
                "lastPromotion": {"name": "x"}, "currentPromotion": {"name": "y"},
                "autoPromotionEnabled": true, "autoPromotionHolds": {"Warehouse/w": hold},
                "metadata": {"kept": 1},
            }),
        )
        .await;
    rig.control_flow("gate").await.unwrap();
    let stage = rig.stage("gate").await;
    let case = "stages/22.10-8";
    let status = stage.status.clone().unwrap();
    let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(types, ["Ready"], "{case}");
    assert_eq!(status.freight_summary, "N/A", "{case}");
    assert!(status.freight_history.is_empty() && status.health.is_none(), "{case}");
    assert!(status.last_promotion.is_none() && status.current_promotion.is_none(), "{case}");
    assert!(!status.auto_promotion_enabled && status.auto_promotion_holds.is_empty(), "{case}");
    let annotations = stage.metadata.annotations.clone().unwrap();
    assert!(!annotations.contains_key("kargo.akuity.io/argocd-context"), "{case}");
    assert_eq!(status.last_handled_refresh, "now", "stages/22.10-6");
    assert_eq!(Some(status.observed_generation), stage.metadata.generation, "stages/22.10-7");
    assert!(status.metadata.contains_key("kept"), "stages 1.2: metadata survives");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_steps_and_its_warehouse() {
    let rig = Rig::new().await;
    let mut stage = gate("gate");
    stage["spec"]["requestedFreight"][0]["origin"]["name"] = json!("nowhere");
    rig.0.create::<api::Stage>(stage).await;
    let error = rig.control_flow("gate").await.unwrap_err().to_string();
    let stage = rig.stage("gate").await;
    let case = "stages/22.10-4";
    assert_eq!(
        stage_said(&stage, "Ready"),
        format!("False/FreightRetrievalFailed: {error}"),
        "{case}"
    );
    assert_eq!(
        stage_said(&stage, "Reconciling"),
        format!("True/RetryAfterFreightRetrievalFailed: {error}"),
        "{case}"
    );
    rig.refuse(|r| is(r, "patch", "stages", "status"));
    let again = rig.control_flow("gate").await.unwrap_err().to_string();
    assert_eq!(again, error, "stages/22.10-10");
    rig.0.create::<api::Stage>(gate("gate2")).await;
    let error = rig.control_flow("gate2").await.unwrap_err().to_string();
    assert!(error.contains("failed to update Stage status"), "stages/22.10-10 {error}");
    rig.0.api.set_hook(None);
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_goes_keeps_what_others_wrote() {
    let case = "stages/22.10-9";
    let rig = Rig::new().await;
    rig.0.create::<api::Stage>(known("s", json!({"direct": true}))).await;
    rig.0.create::<api::Freight>(freight_at("f1", 1)).await;
    let both = json!({"verifiedIn": {"s": {}, "t": {}}, "approvedFor": {"s": {}, "t": {}}});
    rig.0.patch_status::<api::Freight>("f1", both).await;
    let stages: Api<api::Stage> = Api::namespaced(rig.0.client.clone(), "p");
    stages.delete("s", &Default::default()).await.unwrap();
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    rig.refuse(move |r| {
        let hit = is(r, "patch", "freights", "status");
        hit && count.fetch_add(1, Ordering::SeqCst) < 10
    });
    let error = rig.regular("s").await.unwrap_err().to_string();
    assert!(error.starts_with("error handling deletion of Stage: ["), "{case} {error}");
    let finalizers = rig.stage("s").await.metadata.finalizers.unwrap_or_default();
    assert_eq!(finalizers, [FINALIZER], "stages/22.1-5");
    rig.0.api.set_hook(None);
    assert_eq!(rig.regular("s").await.unwrap(), Outcome::Done, "{case}");
    assert!(stages.get_opt("s").await.unwrap().is_none(), "{case}");
    let status = rig.freight("f1").await.status.unwrap_or_default();
    assert_eq!(status.verified_in.keys().collect::<Vec<_>>(), ["t"], "{case}");
    assert_eq!(status.approved_for.keys().collect::<Vec<_>>(), ["t"], "{case}");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn projects_that_go() {
    let pass = |rig: &Rig| {
        let context = Arc::clone(&rig.0.context);
        async move {
            let ensured = project::reconcile::Ensured::default();
            project::reconcile::reconcile(&context, &ensured, &Key::cluster("p")).await
        }
    };
    let nobody = Cluster::quiet().await;
    let ensured = project::reconcile::Ensured::default();
    let done = project::reconcile::reconcile(&nobody.context, &ensured, &Key::cluster("p")).await;
    assert_eq!(done.unwrap(), Outcome::Done, "projects/P1");
    nobody.stop().await;

    // The roles are gone already; the namespace says that it is to be kept.
    let rig = Rig::new().await;
    rig.settle().await;
    pass(&rig).await.unwrap();
    let roles: Api<ClusterRole> = Api::all(rig.0.client.clone());
    roles.delete("kargo-project-admin-p", &Default::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(rig.0.client.clone());
    let keep = json!({"metadata": {"annotations": {"kargo.akuity.io/keep-namespace": "true"}}});
    let params = kube::api::PatchParams::default();
    namespaces.patch("p", &params, &kube::api::Patch::Merge(&keep)).await.unwrap();
    let projects: Api<api::Project> = Api::all(rig.0.client.clone());
    projects.delete("p", &Default::default()).await.unwrap();
    rig.settle().await;
    pass(&rig).await.unwrap();
    assert!(projects.get_opt("p").await.unwrap().is_none(), "projects/P4");
    let left = namespaces.get("p").await.unwrap().metadata;
    assert!(left.deletion_timestamp.is_none(), "projects/P7");
    assert!(left.finalizers.unwrap_or_default().is_empty(), "projects/P7");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_config_without_receivers_is_in_force() {
    let rig = Rig::new().await;
    rig.0
        .create::<api::ProjectConfig>(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig",
            "metadata": {
                "namespace": "p", "name": "p", "annotations": {"kargo.akuity.io/refresh": "x"},
            },
        }))
        .await;
    let stale = json!({"webhookReceivers": [{"name": "old", "path": "/x", "url": "http://x"}]});
    rig.0.patch_status::<api::ProjectConfig>("p", stale).await;
    rig.settle().await;
    project::config::reconcile_project(rig.context(), &Key::new("p", "p")).await.unwrap();
    let configs: Api<api::ProjectConfig> = Api::namespaced(rig.0.client.clone(), "p");
    let status = configs.get("p").await.unwrap().status.unwrap();
    assert!(status.webhook_receivers.is_empty(), "projects/C2");
    assert!(is_true(&status.conditions, "Ready"), "projects/C1");
    assert_eq!(status.last_handled_refresh, "x");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn soaking_freight_is_looked_at_when_its_time_has_come() {
    let noon: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(controllers::clock::ManualClock::new(noon));
    let cluster = Cluster::quiet_at(Arc::clone(&clock) as Arc<_>).await;
    let rig = Rig::over(cluster).await;
    let sources = json!({"stages": ["up"], "requiredSoakTime": "22m"});
    rig.0.create::<api::Stage>(known("s", sources)).await;
    rig.0.create::<api::Freight>(freight_at("f1", 1)).await;
    let soaking = json!({
        "currentlyIn": {"up": {"since": "2026-01-01T11:40:00Z"}},
        "verifiedIn": {"up": {"verifiedAt": "2026-01-01T11:40:00Z"}},
    });
    rig.0.patch_status::<api::Freight>("f1", soaking).await;
    let outcome = rig.regular("s").await.unwrap();
    let seconds = std::time::Duration::from_secs;
    assert_eq!(outcome, Outcome::After(seconds(121)), "two minutes are left");
    assert!(rig.context().stores.promotions.is_empty(), "stages/22.8-2");
    clock.set(noon + seconds(121));
    assert_eq!(promoted(&rig).await, ["f1"], "stages/22.8-17");
    rig.0.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_project_that_is_not_ready_keeps_its_numbers() {
    let case = "projects/P18";
    let cluster = Cluster::quiet().await;
    cluster.create_global::<Namespace>(json!({"metadata": {"name": "p"}})).await;
    cluster.create_global::<api::Project>(project_with(&[])).await;
    let projects: Api<api::Project> = Api::all(cluster.client.clone());
    let stats = json!({"status": {"stats": {
        "warehouses": {"count": 7, "health": {}}, "stages": {"count": 8, "health": {}},
    }}});
    let params = kube::api::PatchParams::default();
    projects.patch_status("p", &params, &kube::api::Patch::Merge(&stats)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let ensured = project::reconcile::Ensured::default();
    let key = Key::cluster("p");
    assert!(project::reconcile::reconcile(&cluster.context, &ensured, &key).await.is_err());
    let status = projects.get("p").await.unwrap().status.unwrap();
    assert!(!is_true(&status.conditions, "Ready"), "{case}");
    assert_eq!(status.stats.unwrap().stages.count, 8, "{case}");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_project_whose_namespace_is_gone_already() {
    let cluster = Cluster::quiet().await;
    let mut object = project_with(&[]);
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    cluster.create_global::<api::Project>(object).await;
    let projects: Api<api::Project> = Api::all(cluster.client.clone());
    projects.delete("p", &Default::default()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let ensured = project::reconcile::Ensured::default();
    let key = Key::cluster("p");
    cluster.api.set_hook(Some(Arc::new(|request: &Request| {
        let hit = is(request, "patch", "projects", "");
        hit.then(|| Failure::new(500, "InternalError", "no"))
    })));
    let error = project::reconcile::reconcile(&cluster.context, &ensured, &key).await.unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("failed to remove finalizer from project"), "projects/P10 {error}");
    cluster.api.set_hook(None);
    project::reconcile::reconcile(&cluster.context, &ensured, &key).await.unwrap();
    assert!(projects.get_opt("p").await.unwrap().is_none(), "projects/P10");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn namespaces_that_go() {
    let cluster = Cluster::quiet().await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let (client, metrics) = (&cluster.client, &cluster.context.metrics);
    let pass = |name: &'static str| async move {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = namespaces.get(name).await.unwrap();
        project::namespace::reconcile(client, &namespace, metrics).await
    };
    let project = cluster.create_global::<api::Project>(project_with(&[])).await;
    let owner = json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project", "name": "p",
        "uid": project.metadata.uid,
    });
    cluster
        .create_global::<Namespace>(json!({"metadata": {
            "name": "p", "finalizers": [FINALIZER], "ownerReferences": [owner],
        }}))
        .await;
    let refuse = |verb: &'static str, resource: &'static str| {
        cluster.api.set_hook(Some(Arc::new(move |request: &Request| {
            let hit = is(request, verb, resource, "");
            hit.then(|| Failure::new(500, "InternalError", "no"))
        })));
    };
    refuse("patch", "namespaces");
    assert!(pass("p").await.is_err(), "projects/N7");
    cluster.api.set_hook(None);
    pass("p").await.unwrap();
    let owners = namespaces.get("p").await.unwrap().metadata.owner_references;
    assert!(owners.unwrap_or_default().is_empty());
    pass("p").await.unwrap();
    assert!(namespaces.get("p").await.unwrap().metadata.finalizers.is_some(), "projects/N1");

    namespaces.delete("p", &Default::default()).await.unwrap();
    refuse("delete", "projects");
    assert!(pass("p").await.is_err(), "projects/N5");
    let finalizers = namespaces.get("p").await.unwrap().metadata.finalizers.unwrap_or_default();
    assert!(finalizers.contains(&FINALIZER.to_owned()), "projects/N5");
    cluster.api.set_hook(None);
    pass("p").await.unwrap();
    let projects: Api<api::Project> = Api::all(cluster.client.clone());
    assert!(projects.get_opt("p").await.unwrap().is_none(), "projects/N3");

    cluster
        .create_global::<Namespace>(json!({"metadata": {"name": "q", "finalizers": [FINALIZER]}}))
        .await;
    namespaces.delete("q", &Default::default()).await.unwrap();
    pass("q").await.unwrap();
    for (name, case) in [("p", "projects/N3"), ("q", "projects/N4")] {
        let left = namespaces.get_opt(name).await.unwrap();
        let finalizers = left.and_then(|n| n.metadata.finalizers).unwrap_or_default();
        assert!(!finalizers.contains(&FINALIZER.to_owned()), "{case}");
    }
    cluster.stop().await;
}
