//! The chart's pods on a node, through what happens to pods: they are killed,
//! evicted, upgraded and rolled back in the middle of Promotions, and none is
//! lost and nothing happens twice. They need a cluster whose nodes run pods
//! (`make e2e-node`, `make e2e-kind`); elsewhere the tests say that they were
//! skipped.

use std::time::Duration;

use api::PromotionPhase;
use e2e::cluster::NAMESPACE;
use e2e::examples::text;
use e2e::installation::pods;
use e2e::{Backend, Pipeline, await_that, fleet, skipped};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, PostParams};
use sandbox::argocd::Delays;
use serde_json::{Value, json};

/// How many Promotions a tag starts.
const STAGES: usize = 6;

/// The image's second name: the same program as another version.
const NEXT: &str = "next";

/// Says so and ends the test where the controllers are no pods.
macro_rules! only_with_pods {
    () => {
        if Backend::chosen() != Backend::Pods {
            skipped::loudly("pods of the chart", "`make e2e-node` runs these, as root");
            return;
        }
    };
}

/// The fleet with the chart installed, and an Argo CD that takes its time.
async fn installed(values: &Value) -> Pipeline {
    let mut pipeline = Pipeline::without_controllers().await;
    let slow = Delays { sync: Duration::from_millis(700), ..Delays::default() };
    pipeline.world.argocd.knobs().set_delays(slow);
    fleet::repository(&pipeline, STAGES).await;
    pipeline.push_tag(fleet::IMAGE, "1.0.0");
    pipeline.install(values).await;
    pipeline
}

async fn publish(pipeline: &Pipeline, tag: &str) {
    pipeline.push_tag(fleet::IMAGE, tag);
    pipeline.refresh(fleet::PROJECT, "web", tag).await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Waits until there is a ready pod that is not `old`.
async fn replaced(pipeline: &Pipeline, old: &Pod) {
    let client = pipeline.client();
    await_that::answer("another pod that is ready", || async {
        let all = pods(&client).await;
        all.iter().any(|p| p.metadata.uid != old.metadata.uid && is_ready(p)).then_some(())
    })
    .await;
}

/// The controllers' pod, where there is one.
async fn only_pod(pipeline: &Pipeline) -> Pod {
    let mut all = pods(&pipeline.client()).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_ready_at_the_restricted_level() {
    only_with_pods!();
    for (values, names) in [
        (json!({}), vec!["supercargo-controller"]),
        (
            json!({"mode": "split"}),
            vec!["supercargo-controller", "supercargo-management-controller"],
        ),
    ] {
        let pipeline = installed(&values).await;
        let mut accounts = Vec::new();
        for pod in pods(&pipeline.client()).await {
            assert!(is_ready(&pod), "{:#?}", pod.status);
            let restarts = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
            assert_eq!(restarts.map(|c| c.restart_count).sum::<i32>(), 0);
            let spec = pod.spec.expect("a pod has a spec");
            let limits = spec.containers[0].resources.as_ref().and_then(|r| r.limits.as_ref());
            assert!(limits.is_some_and(|l| l.contains_key("memory")), "{:?}", spec.containers);
            accounts.extend(spec.service_account_name);
        }
        accounts.sort();
        assert_eq!(accounts, names);
    }
    // The level is enforced: a pod that does not say what the chart's do is refused.
    let pipeline = Pipeline::start().await;
    let lax: Pod = serde_json::from_value(json!({
        "metadata": {"name": "lax"},
        "spec": {"containers": [{"name": "lax", "image": "lax"}]},
    }))
    .expect("a pod");
    let api: Api<Pod> = Api::namespaced(pipeline.client(), NAMESPACE);
    let refused = api.create(&PostParams::default(), &lax).await.expect_err("it is refused");
    assert!(refused.to_string().contains("restricted"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_killed_in_the_middle() {
    only_with_pods!();
    let pipeline = installed(&json!({})).await;
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::in_the_middle(&pipeline, "1.0.0").await;
    let old = only_pod(&pipeline).await;
    let api: Api<Pod> = Api::namespaced(pipeline.client(), NAMESPACE);
    // No time to end: the kubelet kills it, and its disk is lost with it.
    api.delete(&old.name_any(), &DeleteParams::default().grace_period(0))
        .await
        .expect("it is there");
    replaced(&pipeline, &old).await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_is_killed_in_the_middle() {
    only_with_pods!();
    let pipeline = installed(&json!({})).await;
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::in_the_middle(&pipeline, "1.0.0").await;
    if !kill_process() {
        skipped::loudly("SIGKILL of a pod's process", "it is not seen from this machine");
        return;
    }
    let client = pipeline.client();
    await_that::answer("a pod that has started its container again", || async {
        let all = pods(&client).await;
        let statuses = all.iter().flat_map(|p| &p.status).flat_map(|s| &s.container_statuses);
        statuses.flatten().any(|c| c.restart_count == 1 && c.ready).then_some(())
    })
    .await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
}

/// Sends SIGKILL to the controller's process; whether there was one.
fn kill_process() -> bool {
    let processes = std::fs::read_dir("/proc").expect("there is /proc");
    let ours = processes.flatten().find(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"/supercargo\0controller\0")
    });
    ours.is_some_and(|entry| {
        let killed =
            std::process::Command::new("kill").arg("-KILL").arg(entry.file_name()).status();
        killed.is_ok_and(|status| status.success())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_in_the_middle() {
    only_with_pods!();
    let pipeline = installed(&json!({})).await;
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::in_the_middle(&pipeline, "1.0.0").await;
    let old = only_pod(&pipeline).await;
    let nodes: Api<Node> = Api::all(pipeline.client());
    let all = nodes.list(&ListParams::default()).await.expect("nodes can be listed");
    for node in &all {
        nodes.cordon(&node.name_any()).await.expect("the node is there");
    }
    let api: Api<Pod> = Api::namespaced(pipeline.client(), NAMESPACE);
    api.evict(&old.name_any(), &EvictParams::default()).await.expect("the pod may be evicted");
    let client = pipeline.client();
    await_that::answer("the evicted pod's end, and one that waits for a node", || async {
        let all = pods(&client).await;
        let [pod] = all.as_slice() else { return None };
        let pending = pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Pending"));
        (pod.metadata.uid != old.metadata.uid && pending).then_some(())
    })
    .await;
    for node in &all {
        nodes.uncordon(&node.name_any()).await.expect("the node is there");
    }
    replaced(&pipeline, &old).await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_and_rollbacks_in_the_middle() {
    only_with_pods!();
    for mode in ["combined", "split"] {
        let pipeline = installed(&json!({"mode": mode})).await;
        pipeline.apply(&fleet::manifests(STAGES)).await;
        fleet::in_the_middle(&pipeline, "1.0.0").await;
        let upgraded =
            json!({"mode": mode, "image": {"tag": NEXT}, "controller": {"logLevel": "DEBUG"}});
        pipeline.installation().upgrade(&upgraded).await;
        let image = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.containers[0].image.clone());
        assert!(image(&ready(&pipeline).await).is_some_and(|i| i.ends_with(NEXT)), "{mode}");
        fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;

        publish(&pipeline, "1.1.0").await;
        fleet::in_the_middle(&pipeline, "1.1.0").await;
        pipeline.installation().rollback(1).await;
        assert!(image(&ready(&pipeline).await).is_some_and(|i| !i.ends_with(NEXT)), "{mode}");
        fleet::promoted_once(&pipeline, STAGES, "1.1.0", 2).await;
    }
}

/// A pod that is ready and is not about to go.
async fn ready(pipeline: &Pipeline) -> Pod {
    let client = pipeline.client();
    await_that::answer("a ready pod", || async {
        let all = pods(&client).await.into_iter();
        all.into_iter().find(|p| is_ready(p) && p.metadata.deletion_timestamp.is_none())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_hand_over_when_one_is_killed() {
    only_with_pods!();
    let values = json!({"controller": {"replicas": 2, "podDisruptionBudget": {"enabled": true}}});
    let pipeline = installed(&values).await;
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::in_the_middle(&pipeline, "1.0.0").await;
    let api: Api<Pod> = Api::namespaced(pipeline.client(), NAMESPACE);
    // Both are ready, so the budget lets one of them go, and no more.
    let all = pods(&pipeline.client()).await;
    assert_eq!(all.len(), 2);
    api.evict(&all[0].name_any(), &EvictParams::default()).await.expect("one may go");
    replaced(&pipeline, &all[0]).await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_keeps_definitions_and_data() {
    only_with_pods!();
    let mut pipeline = installed(&json!({})).await;
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
    pipeline.installation().uninstall().await;

    let definitions: Api<CustomResourceDefinition> = Api::all(pipeline.client());
    let all = definitions.list(&ListParams::default()).await.expect("definitions").items;
    let ours = all.iter().filter(|d| d.spec.group == "kargo.akuity.io");
    assert_eq!(ours.count(), api::crd::definitions().len());
    let namespaces: Api<Namespace> = Api::all(pipeline.client());
    for name in ["kargo-shared-resources", "kargo-system-resources", fleet::PROJECT] {
        assert!(namespaces.get_opt(name).await.expect("an answer").is_some(), "{name}");
    }
    let stages = pipeline.of::<api::Stage>(fleet::PROJECT).list(&ListParams::default()).await;
    assert_eq!(stages.expect("Stages").items.len(), STAGES);

    // Installed again, it goes on with what is there.
    pipeline.install(&json!({})).await;
    publish(&pipeline, "1.1.0").await;
    fleet::promoted_once(&pipeline, STAGES, "1.1.0", 2).await;
}

/// The quick start of the README, by a pod: what `quickstart.rs` tests runs on
/// pods too; this one is for `mode: split`.
#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_by_two_pods() {
    only_with_pods!();
    let mut pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag("zxc204fghasd/wsp-web-server-v2", "v1.0.0");
    pipeline.install(&json!({"mode": "split"})).await;
    for file in ["project.yaml", "application.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    let promotion = pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    let file = pipeline.file("repo.git", "develop/frontend/wsp-web-instance.yaml").await;
    assert!(file.contains("tag:    v1.0.0 "), "{file}");
}
