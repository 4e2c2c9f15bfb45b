//! Many Stages write to one branch, each pinned to its own commit: Argo CD is
//! at the branch's head, which is past most of them, and all succeed.

use e2e::{Pipeline, fleet};

const STAGES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn stages_pinned_to_their_own_commits_all_succeed() {
    let pipeline = Pipeline::start().await;
    fleet::repository(&pipeline, STAGES).await;
    pipeline.push_tag(fleet::IMAGE, "1.0.0");
    pipeline.apply(&fleet::manifests(STAGES)).await;
    fleet::promoted_once(&pipeline, STAGES, "1.0.0", 1).await;
    for n in 0..STAGES {
        // The head that it was synced to contains its commit, so it is well.
        let stage = format!("s{n}");
        let stages = pipeline.of::<api::Stage>(fleet::PROJECT);
        e2e::await_that::object(stages, "a healthy Stage", move |s| {
            let health = s.status.as_ref().and_then(|s| s.health.as_ref());
            s.metadata.name.as_deref() == Some(stage.as_str())
                && health.is_some_and(|h| h.status == api::HealthState::Healthy)
        })
        .await;
    }
}
