//! An API server that is away, refuses, is slow, forgets or does not answer:
//! every Promotion ends well all the same, and nothing happens twice.

use std::time::{Duration, Instant};

use api::PromotionPhase;
use e2e::controller_process::ControllerProcess;
use e2e::examples::text;
use e2e::unreliable::{Fault, Unreliable};
use e2e::{Pipeline, await_that};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const STAGE: &str = "frontend-dev-stage";

async fn quickstart() -> (Pipeline, Unreliable) {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let unreliable = Unreliable::before(&pipeline.world.cluster.controllers_kubeconfig()).await;
    (pipeline, unreliable)
}

async fn apply(pipeline: &Pipeline) {
    for file in ["project.yaml", "application.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
}

/// The Promotion of that tag has succeeded, and each of `all` so far brought
/// one commit and one sync.
async fn once_each(pipeline: &Pipeline, tag: &str, all: usize) {
    let promotion = pipeline.promoted("develop", STAGE, tag).await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{tag}: {}", status.message);
    let commits = pipeline.commits("repo.git").await;
    assert_eq!(commits.len(), 1 + all, "{tag}: {commits:#?}");
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "wsp-web");
    assert_eq!(syncs, all as u64, "{tag}: Argo CD was asked to sync {syncs} times");
}

/// The Stage has taken the Promotion in, so that the next one may begin.
async fn settled(pipeline: &Pipeline, tag: &str) {
    await_that::object(pipeline.of::<api::Stage>("develop"), "a Stage that has it", |s| {
        let status = s.status.clone().unwrap_or_default();
        let has = status.freight_history.first().is_some_and(|freight| {
            freight.items.values().any(|f| f.images.iter().any(|image| image.tag == tag))
        });
        status.current_promotion.is_none() && has
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_in_turn() {
    let (pipeline, unreliable) = quickstart().await;
    let kubeconfig = unreliable.kubeconfig().to_owned();
    let _process = ControllerProcess::through(BINARY, &pipeline, &kubeconfig);
    apply(&pipeline).await;
    once_each(&pipeline, "v1.0.0", 1).await;
    settled(&pipeline, "v1.0.0").await;
    let faults = [
        Fault::Forgets,
        Fault::Refuses(429),
        Fault::Refuses(500),
        Fault::Refuses(503),
        Fault::LosesAnswers,
        Fault::Slow(Duration::from_millis(300)),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let tag = format!("v1.{}.0", n + 1);
        unreliable.set(fault);
        // Watches that end are opened again, under the fault.
        unreliable.close_watches();
        pipeline.push_tag(IMAGE, &tag);
        pipeline.refresh("develop", "frontend-dev-image", &tag).await;
        once_each(&pipeline, &tag, n + 2).await;
        settled(&pipeline, &tag).await;
        assert!(unreliable.met() > 0, "{fault:?} was not met");
        unreliable.set(Fault::Nothing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn away_for_half_a_minute_in_the_middle_of_a_promotion() {
    let (pipeline, unreliable) = quickstart().await;
    let kubeconfig = unreliable.kubeconfig().to_owned();
    let replica = ControllerProcess::replica_through(BINARY, &pipeline, "first", &kubeconfig);
    // Argo CD takes its time, so that the Promotion is under way.
    pipeline.world.argocd.knobs().pause();
    apply(&pipeline).await;
    await_that::answer("a sync that is asked for", || async {
        let application = pipeline.application("wsp-web").await;
        application.data.get("operation").map(drop)
    })
    .await;
    let back = Instant::now() + Duration::from_secs(30);
    unreliable.set(Fault::Down);
    // Who cannot renew its Lease ends, and is started again, as a pod is.
    assert_ne!(replica.ended().await, Some(0), "it says that it lost its Lease");
    pipeline.world.argocd.knobs().resume();
    let restarted = ControllerProcess::replica_through(BINARY, &pipeline, "again", &kubeconfig);
    assert_ne!(restarted.ended().await, Some(0), "it says that there is no API server");
    assert!(unreliable.met() > 0, "nobody asked for the API server while it was away");
    // The length of the failure, which nothing but the clock tells.
    tokio::time::sleep_until(back.into()).await;
    unreliable.set(Fault::Nothing);
    let _replica = ControllerProcess::replica_through(BINARY, &pipeline, "last", &kubeconfig);
    once_each(&pipeline, "v1.0.0", 1).await;
}
