//! What one promotion asks of the Kubernetes API (`docs/performance.md`).

use e2e::Pipeline;
use e2e::examples::text;

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const STAGE: &str = "frontend-dev-stage";

/// Waits until the Stage has taken the Promotion in and is well.
async fn settled(pipeline: &Pipeline, promotion: &api::Promotion) {
    let name = promotion.metadata.name.clone().unwrap_or_default();
    e2e::await_that::object(pipeline.of::<api::Stage>("develop"), "a Ready Stage", move |s| {
        let status = s.status.clone().unwrap_or_default();
        status.last_promotion.is_some_and(|last| last.name == name)
            && status.health.is_some_and(|h| h.status == api::HealthState::Healthy)
            && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_writes_little() {
    let pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    for file in
        ["project.yaml", "application.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"]
    {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    let first = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    settled(&pipeline, &first).await;

    // Requests by kind are told by the embedded API alone.
    let Some(before) = pipeline.world.cluster.requests() else { return };
    pipeline.push_tag(IMAGE, "v1.1.0");
    pipeline.refresh("develop", "frontend-dev-image", "again").await;
    let second = pipeline.promoted("develop", STAGE, "v1.1.0").await;
    settled(&pipeline, &second).await;
    let Some(after) = pipeline.world.cluster.requests() else { return };
    let since = after.since(&before);
    let mut shown = String::new();
    let mut counted = std::collections::BTreeMap::new();
    for (verb, resource, count) in since.iter() {
        shown.push_str(&format!("  {verb:<7} {resource:<28} {count}\n"));
        *counted.entry((verb.to_lowercase(), resource.to_lowercase())).or_insert(0) += count;
    }
    println!("{shown}");
    let writes = |resource: &str| -> u64 {
        let of = |((verb, named), count): (&(String, String), &u64)| {
            let is_write = matches!(verb.as_str(), "patch" | "update" | "create" | "post" | "put");
            (is_write && named.starts_with(resource)).then_some(*count)
        };
        counted.iter().filter_map(of).sum()
    };
    // Its creation, two intents, the end; and on a slow machine what the step
    // that waits for Argo CD has found out.
    assert!((3..=5).contains(&writes("promotions")), "{shown}");
    // It is taken, it has ended; and whatever health said late.
    assert!((2..=4).contains(&writes("stages")), "{shown}");
    // The Freight that is made, that enters and is verified, that leaves.
    assert!((2..=5).contains(&writes("freights")), "{shown}");
}
