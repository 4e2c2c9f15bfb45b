//! The controllers die by SIGKILL at every step: before it works, after it has
//! recorded what it is about to do, and after it has done it; with their disk
//! kept, and lost. They start again: one commit, one tag, one pull request, one
//! sync, and a Promotion that Succeeded.

use api::PromotionPhase;
use e2e::Pipeline;
use e2e::controller_process::{ControllerProcess, Death};
use e2e::examples::text;
use e2e::release;

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const KINDS: [&str; 6] =
    ["git-clone", "yaml-parse", "yaml-update", "git-commit", "git-push", "argocd-update"];

/// Every death at these steps.
fn around(steps: &[&'static str]) -> impl Iterator<Item = Death> {
    steps.iter().flat_map(|step| [Death::before(step), Death::after(step)])
}

/// Dies, and starts again to live on; with what it had on disk, or without.
async fn dies_at(pipeline: &Pipeline, death: Death, disk_lost: bool) -> ControllerProcess {
    let mortal = ControllerProcess::start(BINARY, pipeline, Some(death));
    assert_eq!(mortal.died().await, Some(9), "{death:?}");
    if disk_lost {
        std::fs::remove_dir_all(pipeline.world.dir.join("process")).expect("the disk is lost");
    }
    ControllerProcess::start(BINARY, pipeline, None)
}

async fn quickstart(stage: &str) -> Pipeline {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: develop\n  labels: {kargo.akuity.io/project: \"true\"}\n").await;
    for file in ["project.yaml", "application.yaml", "promotion-task.yaml", stage, "warehouse.yaml"]
    {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    pipeline
}

/// What must hold after so many rounds, whatever happened on the way.
async fn exactly_once(pipeline: &Pipeline, tag: &str, rounds: usize, case: &str) {
    let promotion = pipeline.promoted("develop", "frontend-dev-stage", tag).await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{case}: {}", status.message);
    let commits = pipeline.commits("repo.git").await;
    assert_eq!(commits.len(), rounds + 1, "{case}: {commits:#?}");
    let promotions = pipeline.of::<api::Promotion>("develop").list(&Default::default()).await;
    assert_eq!(promotions.expect("they can be listed").items.len(), rounds, "{case}");
    let file = pipeline.file("repo.git", "develop/frontend/wsp-web-instance.yaml").await;
    assert!(file.contains(&format!("tag:    {tag} ")), "{case}: {file}");
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "wsp-web");
    assert_eq!(syncs, rounds as u64, "{case}: Argo CD was asked to sync {syncs} times");
}

async fn the_quick_start_survives(stage: &str, deaths: impl Iterator<Item = Death>) {
    let pipeline = quickstart(stage).await;
    for (n, death) in deaths.enumerate() {
        let tag = format!("v1.{n}.0");
        pipeline.push_tag(IMAGE, &tag);
        pipeline.refresh("develop", "frontend-dev-image", &tag).await;
        let lives = dies_at(&pipeline, death, false).await;
        exactly_once(&pipeline, &tag, n + 1, &format!("{death:?} with {stage}")).await;
        lives.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn around_each_step() {
    the_quick_start_survives("stage.yaml", around(&KINDS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_step_of_a_task() {
    let deaths = KINDS.iter().map(|step| Death::after(step));
    the_quick_start_survives("with-task/stage.yaml", deaths).await;
}

/// A pipeline with one of each outside effect.
async fn releases_survive(first_loses_disk: bool) {
    let pipeline = Pipeline::without_controllers().await;
    release::apply(&pipeline).await;
    let pushes = ["push", "push-tag"].map(Death::recorded);
    for (n, death) in around(&release::STEPS).chain(pushes).enumerate() {
        let round = n + 1;
        release::publish(&pipeline, round).await;
        let disk_lost = (n % 2 == 0) == first_loses_disk;
        let case = format!("{death:?}, disk lost: {disk_lost}");
        let lives = dies_at(&pipeline, death, disk_lost).await;
        let promotion = release::promoted(&pipeline, round).await;
        release::exactly_once(&pipeline, &promotion, round, &case).await;
        lives.kill();
    }
}

/// The disk is lost before each step, and after the record of the branch's push.
#[tokio::test(flavor = "multi_thread")]
async fn around_each_outside_effect() {
    releases_survive(true).await;
}

/// The disk is lost after each step, and after the record of the tag's push.
#[tokio::test(flavor = "multi_thread")]
async fn around_each_outside_effect_with_other_disks_lost() {
    releases_survive(false).await;
}
