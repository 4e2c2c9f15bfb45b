//! The controllers die by SIGKILL at every step, before it works and after,
//! and start again: one commit, and a Promotion that Succeeded.

use api::PromotionPhase;
use e2e::Pipeline;
use e2e::controller_process::{ControllerProcess, Death};
use e2e::examples::text;

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const KINDS: [&str; 6] =
    ["git-clone", "yaml-parse", "yaml-update", "git-commit", "git-push", "argocd-update"];

async fn quickstart(stage: &str) -> Pipeline {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    pipeline.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: develop\n  labels: {kargo.akuity.io/project: \"true\"}\n").await;
    for file in ["project.yaml", "application.yaml", "promotion-task.yaml", stage, "warehouse.yaml"]
    {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    pipeline
}

/// What must hold in the end, whatever happened on the way.
async fn exactly_once(pipeline: &Pipeline, case: &str) {
    let promotion = pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{case}: {}", status.message);
    let commits = pipeline.commits("repo.git").await;
    assert_eq!(commits.len(), 2, "{case}: {commits:#?}");
    let promotions = pipeline.of::<api::Promotion>("develop").list(&Default::default()).await;
    assert_eq!(promotions.expect("they can be listed").items.len(), 1, "{case}");
    let file = pipeline.file("repo.git", "develop/frontend/wsp-web-instance.yaml").await;
    assert!(file.contains("tag:    v1.0.0 "), "{case}: {file}");
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "wsp-web");
    assert_eq!(syncs, 1, "{case}: Argo CD was asked to sync {syncs} times");
}

async fn dies_at(death: Death, stage: &str) {
    let case = format!("{death:?} with {stage}");
    let pipeline = quickstart(stage).await;
    let mortal = ControllerProcess::start(BINARY, &pipeline, Some(death));
    assert_eq!(mortal.died().await, Some(9), "{case}");
    let _next = ControllerProcess::start(BINARY, &pipeline, None);
    exactly_once(&pipeline, &case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_each_step() {
    for kind in KINDS {
        dies_at(Death { kind, after: false }, "stage.yaml").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_step() {
    for kind in KINDS {
        dies_at(Death { kind, after: true }, "stage.yaml").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_step_of_a_task() {
    for kind in KINDS {
        dies_at(Death { kind, after: true }, "with-task/stage.yaml").await;
    }
}

/// The same, and whatever the process had on disk is gone too.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_disk() {
    for kind in KINDS {
        for after in [false, true] {
            let death = Death { kind, after };
            let pipeline = quickstart("stage.yaml").await;
            let mortal = ControllerProcess::start(BINARY, &pipeline, Some(death));
            assert_eq!(mortal.died().await, Some(9), "{death:?}");
            std::fs::remove_dir_all(pipeline.world.dir.join("process")).expect("the disk is lost");
            let _next = ControllerProcess::start(BINARY, &pipeline, None);
            exactly_once(&pipeline, &format!("{death:?} with the disk lost")).await;
        }
    }
}
