//! The quick start's manifests run unchanged: both forms of the Stage, both
//! forms of the Project, and three Stages in a row.

use api::PromotionPhase;
use e2e::examples::text;
use e2e::{Pipeline, await_that};

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const INSTANCE: &str = "develop/frontend/wsp-web-instance.yaml";
const STAGE: &str = "frontend-dev-stage";

/// The quick start with a repository, an image of tag v1.0.0, and these files.
async fn quickstart(project: &[&str], stage: &str) -> Pipeline {
    let pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    for file in project {
        pipeline.apply(&text(file)).await;
    }
    for file in ["application.yaml", "promotion-task.yaml", stage, "warehouse.yaml"] {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    pipeline
}

/// A tag becomes Freight, a Promotion, one commit that changes one line, and a
/// synced Application.
async fn goes_all_the_way(pipeline: &Pipeline) {
    let first = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let status = first.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);

    pipeline.push_tag(IMAGE, "v1.1.0");
    pipeline.refresh("develop", "frontend-dev-image", "again").await;
    let second = pipeline.promoted("develop", STAGE, "v1.1.0").await;
    let status = second.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);

    // The file has the tag, and every other byte as it was.
    let before = text(&format!("quickstart/repository/{INSTANCE}"));
    let after = pipeline.file("repo.git", INSTANCE).await;
    assert_eq!(after, before.replace("tag:    v0.9.0 ", "tag:    v1.1.0 "));

    // One commit a promotion, and its message says what was changed.
    let commits = pipeline.commits("repo.git").await;
    assert_eq!(commits.len(), 3, "{commits:#?}");
    let updated = format!("Updated ./src/{INSTANCE}");
    assert!(commits[0].message.contains(&updated), "{}", commits[0].message);
    assert!(commits[0].message.contains("- spec.values.deployment.tag: v1.1.0"));

    // Freight and status keep the public name.
    let freight = status.freight.unwrap_or_default();
    assert_eq!(freight.images[0].repo_url, format!("docker.io/{IMAGE}"));
    assert!(freight.images[0].digest.starts_with("sha256:"));

    let application = await_that::answer("the synced Application", || async {
        let application = pipeline.application("wsp-web").await;
        let revision = application.data.pointer("/status/sync/revision").cloned();
        let is_at_it = revision.as_ref().and_then(|r| r.as_str()) == Some(&commits[0].id);
        is_at_it.then_some(application)
    })
    .await;
    assert_eq!(application.data["operation"], serde_json::Value::Null);
    let by = "/status/operationState/operation/info/1/value";
    let promotion = application.data.pointer(by).and_then(|v| v.as_str());
    assert_eq!(promotion, second.metadata.name.as_deref());

    // The Stage says what it has, and that it is well.
    let stage = await_that::object(pipeline.of::<api::Stage>("develop"), "a Ready Stage", |s| {
        let status = s.status.clone().unwrap_or_default();
        status.freight_summary == freight.name
            && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
    assert_eq!(stage.status.unwrap_or_default().freight_history.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_inline_with_the_legacy_project() {
    let pipeline = quickstart(&["quickstart/project.yaml"], "stage.yaml").await;
    goes_all_the_way(&pipeline).await;
    let said = e2e::described::everything(&pipeline, "develop").await;
    assert!(said.contains("ProjectConfig"), "nothing tells where the block belongs:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_the_legacy_project() {
    let pipeline = quickstart(&["quickstart/project.yaml"], "with-task/stage.yaml").await;
    goes_all_the_way(&pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_inline_with_a_project_config() {
    let files = ["project-config/project.yaml", "project-config/project-config.yaml"];
    let pipeline = quickstart(&files, "stage.yaml").await;
    goes_all_the_way(&pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_a_project_config() {
    let files = ["project-config/project.yaml", "project-config/project-config.yaml"];
    let pipeline = quickstart(&files, "with-task/stage.yaml").await;
    goes_all_the_way(&pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_stages_in_a_row() {
    let pipeline = Pipeline::start().await;
    pipeline.repository("shop/gitops.git", "three-stages/repository").await;
    pipeline.push_tag("example/shop-web", "1.0.0");
    for file in
        ["project", "project-config", "applications", "promotion-task", "stages", "warehouse"]
    {
        pipeline.apply(&text(&format!("three-stages/{file}.yaml"))).await;
    }
    for tag in ["1.0.0", "1.1.0"] {
        if tag != "1.0.0" {
            pipeline.push_tag("example/shop-web", tag);
            pipeline.refresh("shop", "web", tag).await;
        }
        for stage in ["dev", "staging", "prod"] {
            let promotion = pipeline.promoted("shop", stage, tag).await;
            let status = promotion.status.unwrap_or_default();
            assert_eq!(status.phase, PromotionPhase::Succeeded, "{stage}: {}", status.message);
        }
    }
    for env in ["dev", "staging", "prod"] {
        let values = pipeline.file("shop/gitops.git", &format!("envs/{env}/values.yaml")).await;
        assert!(values.contains("tag: 1.1.0"), "{env}: {values}");
    }
    assert_eq!(pipeline.commits("shop/gitops.git").await.len(), 7);
}
