//! A Stage whose Promotions open a pull request and wait until somebody merges
//! it: `examples/pull-request` as it stands, through the real controllers.

use std::sync::Arc;

use api::{Promotion, PromotionPhase};
use e2e::controller_process::{ControllerProcess, Death};
use e2e::examples::text;
use e2e::{Pipeline, await_that};
use forge::{Forge, Forges, HttpForges, Merge, OpenRequest, Settings};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use sandbox::git_host::pull_requests::PullState;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const REPOSITORY: &str = "orders/gitops.git";
const IMAGE: &str = "example/orders-web";

async fn example(pipeline: &Pipeline) {
    pipeline.repository(REPOSITORY, "pull-request/repository").await;
    pipeline.world.git.add_label(REPOSITORY, "promotion");
    pipeline.push_tag(IMAGE, "1.0.0");
    for file in ["project", "project-config", "stage", "warehouse"] {
        pipeline.apply(&text(&format!("pull-request/{file}.yaml"))).await;
    }
}

/// The repository by the provider's API, as a reviewer's tools have it.
fn reviewer(pipeline: &Pipeline) -> Arc<dyn Forge> {
    let forges = HttpForges::new(Settings::default()).expect("HTTP can be set up");
    let request = OpenRequest {
        url: pipeline.world.git.repository_url(REPOSITORY),
        provider: Some("gitea".into()),
        ..OpenRequest::default()
    };
    forges.open(&request).expect("the repository is at a provider")
}

/// The Promotion once it waits for its pull request.
async fn waiting(pipeline: &Pipeline) -> Promotion {
    let promotions: Api<Promotion> = pipeline.of("orders");
    await_that::object(promotions, "a Promotion that waits for a pull request", |p| {
        awaited(p).is_some()
    })
    .await
}

fn awaited(promotion: &Promotion) -> Option<Value> {
    let status = promotion.status.as_ref()?;
    status.state.as_ref()?.get("wait-for-pr")?.get("pr").cloned()
}

/// What a webhook receiver does when it hears of the pull request.
async fn wake(pipeline: &Pipeline, promotion: &Promotion) {
    let change = json!({"metadata": {"annotations": {api::annotations::REFRESH: "merged"}}});
    let promotions: Api<Promotion> = pipeline.of("orders");
    promotions
        .patch(&promotion.name_any(), &PatchParams::default(), &Patch::Merge(&change))
        .await
        .expect("the Promotion is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_goes_on_once_its_pull_request_is_merged() {
    let pipeline = Pipeline::start().await;
    example(&pipeline).await;
    let promotion = waiting(&pipeline).await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Running);
    let entry = status.step_execution_metadata.last().expect("the step is at work");
    assert_eq!(entry.alias, "wait-for-pr");
    assert!(entry.message.contains("for pull request 1 (http"), "{}", entry.message);
    assert!(entry.message.starts_with("waiting since 20"), "{}", entry.message);
    // Nothing is in main yet.
    assert!(pipeline.file(REPOSITORY, "prod/values.yaml").await.contains("tag: 0.9.0"));
    let pulls = pipeline.world.git.pull_requests(REPOSITORY);
    assert_eq!(pulls.len(), 1);
    assert_eq!(pulls[0].title, "Promote 1.0.0 to prod");
    assert_eq!(pulls[0].labels, ["promotion"]);
    assert_eq!(pulls[0].head, format!("kargo/promotion/{}", promotion.name_any()));

    let merge = reviewer(&pipeline).merge(1, Some("squash")).await.expect("it is answered");
    let Merge::Merged(merged) = merge else { panic!("not merged: {merge:?}") };
    wake(&pipeline, &promotion).await;
    let promotion = pipeline.promoted("orders", "prod", "1.0.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    let state = status.state.unwrap_or_default();
    assert_eq!(state["wait-for-pr"]["commit"], json!(merged.merge_commit));
    assert_eq!(state["wait-for-pr"]["pr"]["merged"], json!(true));
    assert!(pipeline.file(REPOSITORY, "prod/values.yaml").await.contains("tag: 1.0.0"));
    assert_eq!(pipeline.commits(REPOSITORY).await.len(), 2, "one squashed commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_fails_once_its_pull_request_is_closed() {
    let pipeline = Pipeline::start().await;
    example(&pipeline).await;
    let promotion = waiting(&pipeline).await;
    pipeline.world.git.close_pull_request(REPOSITORY, 1);
    wake(&pipeline, &promotion).await;
    let promotion = pipeline.promoted("orders", "prod", "1.0.0").await;
    assert_eq!(awaited(&promotion).map(|pr| pr["open"].clone()), Some(json!(false)));
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Failed);
    let expected = "step \"wait-for-pr\": pull request 1 was closed without being merged";
    assert_eq!(status.message, expected);
}

/// SIGKILL before the pull request is opened, and between its opening and the
/// write of the status: in each case there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_opens_one_pull_request() {
    for after in [false, true] {
        let pipeline = Pipeline::without_controllers().await;
        pipeline.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: orders\n  labels: {kargo.akuity.io/project: \"true\"}\n").await;
        example(&pipeline).await;
        let step = "git-open-pr";
        let death = if after { Death::after(step) } else { Death::before(step) };
        let mortal = ControllerProcess::start(BINARY, &pipeline, Some(death));
        assert_eq!(mortal.died().await, Some(9), "{death:?}");
        assert_eq!(pipeline.world.git.pull_requests(REPOSITORY).len(), usize::from(after));
        let _next = ControllerProcess::start(BINARY, &pipeline, None);
        let promotion = waiting(&pipeline).await;
        let pulls = pipeline.world.git.pull_requests(REPOSITORY);
        assert_eq!(pulls.len(), 1, "{death:?}: {pulls:#?}");
        reviewer(&pipeline).merge(1, None).await.expect("it is merged");
        wake(&pipeline, &promotion).await;
        let promotion = pipeline.promoted("orders", "prod", "1.0.0").await;
        let status = promotion.status.unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{death:?}: {}", status.message);
        let pulls = pipeline.world.git.pull_requests(REPOSITORY);
        assert_eq!((pulls.len(), pulls[0].state), (1, PullState::Merged), "{death:?}");
    }
}
