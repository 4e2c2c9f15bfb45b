//! A fleet that has nothing to do writes nothing.

use e2e::examples::text;
use e2e::{Pipeline, await_that};

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";

/// Discovery after discovery finds nothing new, and none of them leads to a
/// write, nor do the Stage's and the Application's state.
#[tokio::test(flavor = "multi_thread")]
async fn discoveries_that_find_nothing_new_write_nothing() {
    let pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let often = text("quickstart/warehouse.yaml").replace("interval: 5m0s", "interval: 1s");
    for manifest in ["project", "application", "promotion-task", "stage"] {
        pipeline.apply(&text(&format!("quickstart/{manifest}.yaml"))).await;
    }
    pipeline.apply(&often).await;
    pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    await_that::object(pipeline.of::<api::Stage>("develop"), "a Ready Stage", |s| {
        s.status
            .iter()
            .flat_map(|s| &s.conditions)
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;

    let projects = kube::Api::<api::Project>::all(pipeline.client());
    await_that::object(projects, "a Project that counts its healthy parts", |p| {
        let stats = p.status.clone().unwrap_or_default().stats.unwrap_or_default();
        stats.stages.health.healthy == 1 && stats.warehouses.health.healthy == 1
    })
    .await;

    let listings = || pipeline.world.registry.traffic().requests().len();
    // Two discoveries for what is still under way to settle.
    let settled = listings() + 2;
    await_that::answer("two discoveries", || async { (listings() >= settled).then_some(()) }).await;

    let Some(before) = pipeline.world.cluster.requests() else {
        println!("skipped on {:?}: it does not tell who wrote", pipeline.backend());
        return;
    };
    let enough = listings() + 5;
    await_that::answer("five discoveries", || async { (listings() >= enough).then_some(()) }).await;
    let since = pipeline.world.cluster.requests().expect("requests").since(&before);
    let writes: Vec<String> = since
        .iter()
        .filter(|(verb, _, _)| !matches!(*verb, "get" | "list" | "watch"))
        .map(|(verb, resource, count)| format!("{verb} {resource}: {count}"))
        .collect();
    assert_eq!(since.writes(), 0, "an idle fleet wrote: {writes:?}");
}
