//! A real Gitea that is away for twenty seconds, answers with errors, or does
//! what it was asked and loses the answer: each Promotion has one pull request
//! and ends well.

use std::time::Duration;

use api::PromotionPhase;
use e2e::peers::front::{Front, Trouble};
use e2e::reviewed::{self, FILES, Then};
use e2e::{Pipeline, await_that};
use peers::{Gitea, Repository};
use serde_json::json;

/// For how long Gitea is in trouble.
const TIME: Duration = Duration::from_secs(20);

/// A Promotion that merges its own pull request, behind the proxy.
async fn begun(gitea: &'static Gitea, front: &Front, then: &Then) -> (Pipeline, Repository) {
    let repository = Repository::create(gitea, &FILES).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    reviewed::apply(&pipeline, &repository.url_at(front.url()), gitea.admin(), then).await;
    (pipeline, repository)
}

async fn ends_well(pipeline: &Pipeline, repository: &Repository, case: &str) {
    let (phase, message, output) = reviewed::ended_by_itself(pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{case}: {message}");
    reviewed::merged_once(repository, &output).await;
}

const MERGES: Then = Then::Merge { method: "squash", wait: true };

#[tokio::test(flavor = "multi_thread")]
async fn away_from_the_start() {
    let Some(gitea) = reviewed::gitea("a Gitea that is away") else { return };
    let front = Front::before(gitea.url()).await;
    front.down_for(TIME);
    let (pipeline, repository) = begun(gitea, &front, &MERGES).await;
    ends_well(&pipeline, &repository, "away").await;
    assert!(front.met() > 0, "it was away and nobody has noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn away_while_a_promotion_waits() {
    let Some(gitea) = reviewed::gitea("a Gitea that goes away") else { return };
    let front = Front::before(gitea.url()).await;
    let (pipeline, repository) = begun(gitea, &front, &Then::Wait).await;
    let number = reviewed::opened(&pipeline).await;
    front.down_for(TIME);
    reviewed::saying(&pipeline, "a Promotion that tells of it", "the last look failed").await;
    repository.merge(number, &json!({"Do": "squash"})).await;
    ends_well(&pipeline, &repository, "away while it waits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_refusals_pass() {
    let Some(gitea) = reviewed::gitea("a Gitea in trouble") else { return };
    for (status, retry_after) in [(500, None), (429, Some(2))] {
        let front = Front::before(gitea.url()).await;
        front.answers_for(status, retry_after, Duration::from_secs(6));
        let (pipeline, repository) = begun(gitea, &front, &MERGES).await;
        await_that::answer("a request that is refused", || {
            std::future::ready((front.met() > 0).then_some(()))
        })
        .await;
        ends_well(&pipeline, &repository, &status.to_string()).await;
    }
}

/// Gitea has opened or merged, and nobody has heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_no_second_pull_request() {
    let Some(gitea) = reviewed::gitea("a Gitea whose answers are lost") else { return };
    for end in ["/pulls", "/merge"] {
        let front = Front::before(gitea.url()).await;
        front.set(Trouble::Loses("POST", end));
        let (pipeline, repository) = begun(gitea, &front, &MERGES).await;
        ends_well(&pipeline, &repository, end).await;
        let posts = front.handed();
        let done = posts.iter().filter(|(m, p, s)| m == "POST" && p.ends_with(end) && *s < 300);
        assert_eq!(done.count(), 1, "{end}: {posts:#?}");
    }
}
