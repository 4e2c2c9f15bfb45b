//! What a Promotion changes in an Application's sources, as a real Argo CD
//! deploys it: seen in the cluster. And Applications that are elsewhere, that
//! Argo CD syncs by itself, or that nobody promotes to.

use e2e::deployed::Deployed;
use e2e::ships::{self, Ships, TARGET, config_map};
use peers::argocd::Options;
use serde_json::{Value, json};

const IMAGE: &str = "ghcr.io/example/web";

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 0.1.0\n";

const VALUES: &str = "image: {tag: '1.0.0'}\nowner: nobody\n";

const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: chart}
data: {value: '{{ .Values.image.tag }} of {{ .Values.owner }}'}
";

fn app(name: &str) -> Value {
    json!([{"name": name}])
}

async fn read(deployed: &Deployed, kind: (&str, &str), name: &str, path: &str) -> Option<String> {
    let objects = deployed.objects(kind.0, kind.1, TARGET);
    let found = objects.get_opt(name).await.expect("the cluster answers")?;
    found.data.pointer(path).and_then(Value::as_str).map(str::to_owned)
}

async fn value_of(deployed: &Deployed, name: &str) -> Option<String> {
    read(deployed, ("v1", "ConfigMap"), name, "/data/value").await
}

/// Parameters of a chart and images of a kustomization, set by the step.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_images_reach_the_cluster() {
    let test = "helm and kustomize sources with a real Argo CD";
    let Some(mut deployed) = Deployed::start(test).await else { return };
    if e2e::helm::program().is_none() {
        return;
    }
    if peers::Program::Kustomize.present().is_none() {
        e2e::skipped::loudly(test, "kustomize was not built; `make peers` builds it");
        return;
    }
    let files = [
        ("chart/Chart.yaml", CHART),
        ("chart/values.yaml", VALUES),
        ("chart/templates/config.yaml", TEMPLATE),
        ("custom/kustomization.yaml", "resources: [deployment.yaml]\n"),
        ("custom/deployment.yaml", &*ships::deployment("custom")),
    ];
    let url = deployed.repository(&files).await.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    let chart = |tag: &str| {
        json!([{"name": "chart", "sources": [
            {"repoURL": url, "helm": {"images": [{"key": "image.tag", "value": tag}]}},
        ]}])
    };
    let mut spec = json!({"source": {"repoURL": url, "path": "chart", "targetRevision": "main"}});
    spec["source"]["helm"] = json!({"parameters": [{"name": "owner", "value": "somebody"}]});
    ships.stage("chart", &chart("2.0.0")).await;
    ships.application("chart", &spec).await;
    ships.succeeds_promptly("chart").await;
    assert_eq!(value_of(&deployed, "chart").await.as_deref(), Some("2.0.0 of somebody"));
    ships.stage("chart", &chart("2.1.0")).await;
    ships.succeeds_promptly("chart").await;
    assert_eq!(value_of(&deployed, "chart").await.as_deref(), Some("2.1.0 of somebody"));

    let image = async || {
        let path = "/spec/template/spec/containers/0/image";
        read(&deployed, ("apps/v1", "Deployment"), "custom", path).await
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let spec = json!({"source": {"repoURL": url, "path": "custom", "targetRevision": "main"}});
    for (name, wanted) in [("tag", "2.0.0"), ("digest", &*digest)] {
        ships
            .stage(
                "custom",
                &json!([{"name": "custom", "sources": [
                    {"repoURL": url, "kustomize": {"images": [{"repoURL": IMAGE, name: wanted}]}},
                ]}]),
            )
            .await;
        if name == "tag" {
            ships.application("custom", &spec).await;
        }
        ships.succeeds_promptly("custom").await;
        let separator = if name == "tag" { ":" } else { "@" };
        assert_eq!(image().await, Some(format!("{IMAGE}{separator}{wanted}")));
    }
    assert_eq!(deployed.sync_requests("chart"), 2);
    assert_eq!(deployed.sync_requests("custom"), 2);
}

/// An Application that is not in Argo CD's own namespace.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_another_namespace() {
    let options = Options { namespaces: "team-one".to_owned() };
    let test = "a real Argo CD with Applications in two namespaces";
    let Some(mut deployed) = Deployed::start_with(test, options).await else { return };
    let repository = deployed.repository(&[("plain/a.yaml", &config_map("far", "one"))]).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    deployed.namespace("team-one").await;
    let spec = json!({"source": {"repoURL": url, "path": "plain", "targetRevision": "main"}});
    ships.stage("far", &json!([{"name": "far", "namespace": "team-one"}])).await;
    ships.apply_application_in("team-one", "far", "far", &spec).await;
    deployed
        .application_in("team-one", "far", "the first look", |a| {
            a["status"]["sync"]["status"] == "OutOfSync"
        })
        .await;
    ships.succeeds("far").await;
    assert_eq!(value_of(&deployed, "far").await.as_deref(), Some("one"));
    assert_eq!(deployed.sync_requests("far"), 1);
}

/// Argo CD syncs by itself, removes what is no longer wanted, and undoes what
/// somebody changes.
#[tokio::test(flavor = "multi_thread")]
async fn automated_syncs_prune_and_heal() {
    let Some(mut deployed) = Deployed::start("automated syncs by a real Argo CD").await else {
        return;
    };
    // What is pruned goes once nothing depends on it, which this finds out.
    assert!(deployed.pipeline.world.cluster.collects(), "nothing is ever removed here");
    let repository = deployed.repository(&[("auto/a.yaml", &config_map("first", "one"))]).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    let spec = json!({
        "source": {"repoURL": url, "path": "auto", "targetRevision": "main"},
        "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
    });
    ships.stage("auto", &app("auto")).await;
    ships.application("auto", &spec).await;
    let head = repository.commits("main").await.remove(0);
    deployed.is_well("auto", &head).await;

    repository.write("main", &[("auto/a.yaml", &config_map("second", "two"))]).await;
    let head = repository.commits("main").await.remove(0);
    ships.succeeds_promptly("auto").await;
    assert_eq!(value_of(&deployed, "second").await.as_deref(), Some("two"));
    // The step asks for no pruning, Argo CD's own sync does it.
    deployed.is_well("auto", &head).await;
    assert_eq!(value_of(&deployed, "first").await, None);

    let configs = deployed.objects("v1", "ConfigMap", TARGET);
    let odd = kube::api::Patch::Merge(json!({"data": {"value": "odd"}}));
    configs.patch("second", &Default::default(), &odd).await.expect("it is changed");
    ships.succeeds_promptly("auto").await;
    e2e::await_that::answer("what was undone", || async {
        (value_of(&deployed, "second").await.as_deref() == Some("two")).then_some(())
    })
    .await;
    assert_eq!(deployed.sync_requests("auto"), 2, "one for each Promotion");
}

/// Cases 5 and 6 of the traces: somebody asks Argo CD to look again, with
/// nothing and with something new. No Promotion, no request.
#[tokio::test(flavor = "multi_thread")]
async fn looks_without_a_promotion() {
    let Some(mut deployed) = Deployed::start("looks by a real Argo CD").await else { return };
    let repository = deployed.repository(&[("plain/a.yaml", &config_map("plain", "one"))]).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    ships.stage("plain", &app("plain")).await;
    let spec = json!({"source": {"repoURL": url, "path": "plain", "targetRevision": "main"}});
    ships.application("plain", &spec).await;
    ships.succeeds_promptly("plain").await;
    let healthy = async || {
        let stages = deployed.pipeline.of::<api::Stage>(ships::PROJECT);
        e2e::await_that::object(stages, "a healthy Stage", |s| {
            let health = s.status.as_ref().and_then(|s| s.health.as_ref());
            health.is_some_and(|h| h.status == api::HealthState::Healthy)
        })
        .await
    };
    healthy().await;
    let before = repository.commits("main").await.remove(0);
    deployed.refresh("plain").await;
    deployed.is_well("plain", &before).await;
    healthy().await;

    repository.write("main", &[("plain/a.yaml", &config_map("plain", "two"))]).await;
    let head = repository.commits("main").await.remove(0);
    deployed.refresh("plain").await;
    let late = deployed
        .application("plain", "what somebody has changed", |a| {
            a["status"]["sync"]["status"] == "OutOfSync"
        })
        .await;
    assert_eq!(late.data["status"]["sync"]["revision"], json!(head));
    // What runs is what was promoted: the Stage is as well as before.
    healthy().await;
    assert_eq!(value_of(&deployed, "plain").await.as_deref(), Some("one"));
    assert_eq!(deployed.sync_requests("plain"), 1);
}
