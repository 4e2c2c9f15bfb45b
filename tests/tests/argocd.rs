//! The quick start and three Stages in a row with a real Argo CD, whose
//! ApplicationSet controller makes the Applications, and a real Gitea.

use api::PromotionPhase;
use e2e::deployed::Deployed;
use e2e::examples::text;
use e2e::reviewed;
use serde_json::{Value, json};

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const STAGE: &str = "frontend-dev-stage";
const INSTANCE: &str = "develop/frontend/wsp-web-instance.yaml";

/// The quick start as it stands but for the repository's address, with both
/// forms of the Stage: a tag ends in the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_ends_in_the_cluster() {
    let Some(mut deployed) = Deployed::start("the quick start with a real Argo CD").await else {
        return;
    };
    let repository = deployed.repository_of("quickstart/repository", &[]).await;
    let url = repository.url();
    deployed.start_controllers();
    let manifest =
        |file: &str| text(&format!("quickstart/{file}")).replace("https://your.git/repo.git", &url);
    let pipeline = &deployed.pipeline;
    pipeline.push_tag(IMAGE, "v1.0.0");
    pipeline.apply(&text("quickstart/project.yaml")).await;
    pipeline
        .apply(
            &reviewed::secret("gitea", &url, deployed.gitea.admin())
                .replace(reviewed::PROJECT, "develop"),
        )
        .await;
    for file in ["applicationset.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&manifest(file)).await;
    }
    let made = deployed.application("wsp-web", "the making", |_| true).await;
    let owner = &made.metadata.owner_references.as_ref().expect("it has an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ApplicationSet", "develop-frontend"));
    for (tag, commits) in [("v1.0.0", 2), ("v1.1.0", 3), ("v1.2.0", 4)] {
        if tag == "v1.2.0" {
            pipeline.apply(&manifest("with-task/stage.yaml")).await;
        }
        if tag != "v1.0.0" {
            pipeline.push_tag(IMAGE, tag);
            pipeline.refresh("develop", "frontend-dev-image", tag).await;
        }
        let promotion = pipeline.promoted("develop", STAGE, tag).await;
        let status = promotion.status.clone().unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{tag}: {}", status.message);
        let log = repository.commits("main").await;
        assert_eq!(log.len(), commits, "{tag}");
        let application = deployed.is_well("wsp-web", &log[0]).await;
        let name = promotion.metadata.name.unwrap_or_default();
        assert_eq!(Deployed::synced_for(&application), [name], "{tag}");
        let instances = deployed.objects("kro.run/v1alpha1", "WebService", "develop");
        let instance = instances.get("wsp-web").await.expect("the instance is in the cluster");
        let deployment = &instance.data["spec"]["values"]["deployment"];
        assert_eq!(deployment["tag"], json!(tag));
        assert!(repository.file("main", INSTANCE).await.contains(tag));
    }
    let stage =
        e2e::await_that::object(pipeline.of::<api::Stage>("develop"), "a healthy Stage", |s| {
            let health = s.status.as_ref().and_then(|s| s.health.as_ref());
            health.is_some_and(|h| h.status == api::HealthState::Healthy)
        });
    stage.await;
    assert_eq!(deployed.sync_requests("wsp-web"), 3, "one for each Promotion");
}

/// Each environment is a small chart, as Argo CD deploys values with helm.
const CHART: &str = "apiVersion: v2\nname: shop\nversion: 0.1.0\n";

const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data:
  image: '{{ .Values.image.repository }}:{{ .Values.image.tag }}'
";

#[tokio::test(flavor = "multi_thread")]
async fn three_stages_in_a_row_deploy_charts() {
    let test = "three Stages with a real Argo CD";
    let Some(mut deployed) = Deployed::start(test).await else { return };
    if e2e::helm::program().is_none() {
        return;
    }
    const ENVS: [&str; 3] = ["dev", "staging", "prod"];
    let mut more = Vec::new();
    for env in ENVS {
        more.push((format!("envs/{env}/Chart.yaml"), CHART));
        more.push((format!("envs/{env}/templates/config.yaml"), TEMPLATE));
        deployed.namespace(&format!("shop-{env}")).await;
    }
    let more: Vec<(&str, &str)> = more.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let repository = deployed.repository_of("three-stages/repository", &more).await;
    let url = repository.url();
    deployed.start_controllers();
    let pipeline = &deployed.pipeline;
    pipeline.push_tag("example/shop-web", "1.0.0");
    for file in
        ["project", "project-config", "applications", "promotion-task", "stages", "warehouse"]
    {
        let manifest = text(&format!("three-stages/{file}.yaml"));
        pipeline.apply(&manifest.replace("https://git.example.com/shop/gitops.git", &url)).await;
        if file == "project" {
            let secret = reviewed::secret("gitea", &url, deployed.gitea.admin());
            pipeline.apply(&secret.replace(reviewed::PROJECT, "shop")).await;
        }
    }
    for tag in ["1.0.0", "1.1.0"] {
        if tag != "1.0.0" {
            pipeline.push_tag("example/shop-web", tag);
            pipeline.refresh("shop", "web", tag).await;
        }
        for env in ENVS {
            let promotion = pipeline.promoted("shop", env, tag).await;
            let status = promotion.status.unwrap_or_default();
            assert_eq!(status.phase, PromotionPhase::Succeeded, "{env}: {}", status.message);
            let namespace = format!("shop-{env}");
            let configs = deployed.objects("v1", "ConfigMap", &namespace);
            let config = configs.get("shop").await.expect("the chart is deployed");
            let image = config.data.pointer("/data/image").and_then(Value::as_str);
            assert_eq!(image, Some(&*format!("ghcr.io/example/shop-web:{tag}")), "{env}");
        }
    }
    assert_eq!(repository.commits("main").await.len(), 7);
    for env in ENVS {
        assert_eq!(deployed.sync_requests(&format!("shop-{env}")), 2, "{env}");
    }
}
