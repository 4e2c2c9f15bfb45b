//! Two replicas, of which one acts: it is killed or told to end in the middle of
//! a Promotion, and the other goes on with it. Nothing happens twice.

use api::PromotionPhase;
use e2e::controller_process::{ControllerProcess, Death};
use e2e::examples::text;
use e2e::{Pipeline, await_that};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const LEASE: &str = "supercargo-controller";

async fn quickstart() -> Pipeline {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kargo}\n---\n\
        apiVersion: v1\nkind: Namespace\nmetadata:\n  name: develop\n  \
        labels: {kargo.akuity.io/project: \"true\"}\n";
    pipeline.apply(namespaces).await;
    pipeline
}

async fn apply(pipeline: &Pipeline) {
    for file in ["project.yaml", "application.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
}

async fn leads(pipeline: &Pipeline, replica: &str) {
    let leases: Api<Lease> = Api::namespaced(pipeline.client(), "kargo");
    await_that::object(leases, &format!("{replica} leads"), |lease: &Lease| {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref());
        lease.metadata.name.as_deref() == Some(LEASE)
            && holder.is_some_and(|h| h.starts_with(&format!("{replica}_")))
    })
    .await;
}

async fn exactly_once(pipeline: &Pipeline, case: &str) {
    let promotion = pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{case}: {}", status.message);
    let commits = pipeline.commits("repo.git").await;
    assert_eq!(commits.len(), 2, "{case}: {commits:#?}");
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "wsp-web");
    assert_eq!(syncs, 1, "{case}: Argo CD was asked to sync {syncs} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_goes_on_where_a_killed_leader_was() {
    for after in [false, true] {
        let death = if after { Death::after("git-push") } else { Death::before("git-push") };
        let pipeline = quickstart().await;
        let mortal = ControllerProcess::replica(BINARY, &pipeline, "first", Some(death));
        leads(&pipeline, "first").await;
        let _standby = ControllerProcess::replica(BINARY, &pipeline, "second", None);
        apply(&pipeline).await;
        assert_eq!(mortal.died().await, Some(9), "{death:?}");
        leads(&pipeline, "second").await;
        exactly_once(&pipeline, &format!("{death:?}")).await;
    }
}

/// A standby whose clock is ahead does not take a Lease that is kept up; it
/// takes over when its holder is gone.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_ten_minutes() {
    for offset in ["+600s", "-600s"] {
        let pipeline = quickstart().await;
        let first = ControllerProcess::replica(BINARY, &pipeline, "first", None);
        leads(&pipeline, "first").await;
        let standby = ControllerProcess::replica_with_clock(BINARY, &pipeline, "second", offset);
        let Some(_standby) = standby else {
            e2e::skipped::loudly(
                "clocks that differ",
                "libfaketime is not on this machine; `make test-deps` installs it",
            );
            return;
        };
        apply(&pipeline).await;
        exactly_once(&pipeline, offset).await;
        renewed(&pipeline, "first", 6).await;
        first.kill();
        leads(&pipeline, "second").await;
        pipeline.push_tag(IMAGE, "v1.1.0");
        pipeline.refresh("develop", "frontend-dev-image", offset).await;
        let next = pipeline.promoted("develop", "frontend-dev-stage", "v1.1.0").await;
        let status = next.status.unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{offset}: {}", status.message);
        assert_eq!(pipeline.commits("repo.git").await.len(), 3, "{offset}");
    }
}

/// Waits until the replica has renewed its Lease so often, and nobody else had
/// it meanwhile.
async fn renewed(pipeline: &Pipeline, replica: &str, times: usize) {
    let leases: Api<Lease> = Api::namespaced(pipeline.client(), "kargo");
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    await_that::object(leases, "a Lease that is renewed", |lease: &Lease| {
        let Some(spec) =
            lease.spec.as_ref().filter(|_| lease.metadata.name.as_deref() == Some(LEASE))
        else {
            return false;
        };
        let holder = spec.holder_identity.clone().unwrap_or_default();
        assert!(holder.starts_with(&format!("{replica}_")), "{holder} took the Lease");
        let mut seen = seen.lock().expect("the times");
        seen.insert(spec.renew_time.as_ref().map(|t| t.0));
        seen.len() > times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_end_hands_over() {
    let pipeline = quickstart().await;
    let first = ControllerProcess::replica(BINARY, &pipeline, "first", None);
    leads(&pipeline, "first").await;
    let _standby = ControllerProcess::replica(BINARY, &pipeline, "second", None);
    apply(&pipeline).await;
    // In the middle: the Promotion runs.
    await_that::object(
        pipeline.of::<api::Promotion>("develop"),
        "a Promotion that runs",
        |p: &api::Promotion| {
            p.status.as_ref().is_some_and(|s| s.phase != PromotionPhase::default())
        },
    )
    .await;
    assert!(first.terminate().await, "it ended well");
    leads(&pipeline, "second").await;
    exactly_once(&pipeline, "SIGTERM").await;
}
