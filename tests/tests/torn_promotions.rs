//! What breaks between a promotion's act and the word of it: the API server does
//! not take the status, somebody else pushes in between. Nothing happens twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Pipeline, release};
use sandbox::git_host::GitService;

/// Status writes that are refused in a row.
const REFUSED: usize = 2;

/// The API server refuses the writes of the status that follow each of the two
/// pushes, the opening and the merge of the pull request, and the sync.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_refused_after_an_act() {
    let mut pipeline = Pipeline::without_controllers().await;
    release::apply(&pipeline).await;
    let git = pipeline.world.git.clone();
    let knobs = pipeline.world.argocd.knobs().clone();
    // What was done outside so far: each act makes it another.
    let acts = move || {
        let pushes = git.traffic().count(|r| r.service == GitService::Push && !r.lists_refs);
        let pulls = git.pull_requests(release::REPOSITORY);
        let merged = pulls.iter().filter(|p| p.merge_commit.is_some()).count();
        pushes + pulls.len() + merged + knobs.operations("argocd", "release") as usize
    };
    let (seen, left, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), Arc::default());
    let count: Arc<AtomicUsize> = Arc::clone(&refused);
    pipeline.start_controllers_refused(move |method, path| {
        if method != "PATCH" || !path.contains("/promotions/") || !path.ends_with("/status") {
            return false;
        }
        let now = acts();
        if seen.swap(now, Ordering::SeqCst) != now {
            left.store(REFUSED, Ordering::SeqCst);
        }
        let refuses = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if refuses.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
        refuses.is_ok()
    });
    release::publish(&pipeline, 1).await;
    let promotion = release::promoted(&pipeline, 1).await;
    release::exactly_once(&pipeline, &promotion, 1, "status refused").await;
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused >= 5 * REFUSED, "after each act: {refused}");
    pipeline.stop_controllers().await;
}

/// Others push to the branch between the record and the push, and once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moves_between_commit_and_push() {
    const QUICKSTART: &str = "develop/frontend/wsp-web-instance.yaml";
    let pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    for file in ["project.yaml", "application.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&e2e::examples::text(&format!("quickstart/{file}"))).await;
    }
    let git = pipeline.world.git.clone();
    let rival = git.clone();
    for n in 1..=2 {
        let (rival, text) = (rival.clone(), n.to_string());
        git.traffic().before_next_push(move || async move {
            rival.commit_file("repo.git", "main", "rival", &text, "rival").await.expect("it is");
        });
    }
    pipeline.push_tag("zxc204fghasd/wsp-web-server-v2", "v1.0.0");
    pipeline.refresh("develop", "frontend-dev-image", "v1.0.0").await;
    let promotion = pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, api::PromotionPhase::Succeeded, "{}", status.message);
    let commits = pipeline.commits("repo.git").await;
    let theirs = commits.iter().filter(|c| c.message.trim() == "rival").count();
    assert_eq!((commits.len(), theirs), (4, 2), "ours once, theirs as they are: {commits:#?}");
    assert_eq!(commits[1].message.trim(), "rival", "ours is on top");
    let pushed = &status.state.expect("it has outputs")["step-5"]["commit"];
    assert_eq!(pushed, &serde_json::json!(commits[0].id));
    assert!(pipeline.file("repo.git", QUICKSTART).await.contains("tag:    v1.0.0 "));
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "wsp-web");
    assert_eq!(syncs, 1, "Argo CD was asked to sync {syncs} times");
}
