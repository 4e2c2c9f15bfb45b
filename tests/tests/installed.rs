//! The chart on a real API server, by the real helm: installed, upgraded,
//! rolled back, uninstalled and installed again. There is no node here; what
//! pods do is in `pods.rs`.

use std::process::Command;

use e2e::examples::text;
use e2e::installation::Installation;
use e2e::{chart, cluster, examples, helm, skipped};
use envtest::{Binaries, Options, Server};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A server of the test's own and the chart's way to it.
struct World {
    server: Server,
    client: Client,
    installation: Installation,
    folder: tempfile::TempDir,
}

impl World {
    /// `None`, which is said, where helm or the API server is missing.
    async fn start() -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Some(binaries) = Binaries::present() else {
            let why = "there is no kube-apiserver; `make envtest` builds it where Go is installed";
            skipped::loudly("the chart on a real API server", why);
            return None;
        };
        helm::program()?;
        let options = Options { controllers: true, ..Options::default() };
        let server = Server::start(&binaries, options).await.unwrap_or_else(|e| panic!("{e}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig, server.admin()).expect("a kubeconfig");
        let client = server.client().await.expect("a client");
        let installation = Installation::new(&kubeconfig, folder.path(), &json!({}), false)?;
        let world = Self { server, client, installation, folder };
        world.namespace(cluster::NAMESPACE).await;
        Some(world)
    }

    async fn namespace(&self, name: &str) {
        let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        self.apply(&text).await;
    }

    async fn apply(&self, yaml: &str) {
        for object in examples::objects(yaml) {
            cluster::apply(&self.client, &object).await.unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// Names and uids of what the chart's release has of a kind.
    async fn of<K>(&self) -> Vec<(String, String)>
    where
        K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        self.labelled::<K>("app.kubernetes.io/instance=supercargo").await
    }

    async fn labelled<K>(&self, labels: &str) -> Vec<(String, String)>
    where
        K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let wanted = ListParams::default().labels(labels);
        let listed = api.list(&wanted).await.expect("the kind can be listed");
        listed.iter().map(|o| (o.name_any(), o.uid().unwrap_or_default())).collect()
    }

    async fn definitions(&self) -> Vec<(String, String)> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let listed = api.list(&ListParams::default()).await.expect("definitions can be listed");
        let ours = listed.iter().filter(|d| d.spec.group == "kargo.akuity.io");
        ours.map(|d| (d.name_any(), d.uid().unwrap_or_default())).collect()
    }

    /// What users have made: it must outlive whatever helm does.
    async fn data(&self) -> Vec<(String, String)> {
        let mut all = self.definitions().await;
        all.extend(self.labelled::<api::Project>("").await);
        all.extend(self.labelled::<api::Warehouse>("").await);
        all.extend(self.labelled::<api::Stage>("").await);
        let namespaces = self.labelled::<Namespace>("").await.into_iter();
        all.extend(namespaces.filter(|(name, _)| name == "develop" || name.starts_with("kargo-")));
        all
    }
}

fn names(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

const CONTROLLER: &str = "supercargo-controller";
const MANAGEMENT: &str = "supercargo-management-controller";

#[tokio::test(flavor = "multi_thread")]
async fn installed_upgraded_rolled_back_and_uninstalled() {
    let Some(world) = World::start().await else { return };
    world.installation.install(&json!({})).await;
    let first = world.of::<Deployment>().await;
    assert_eq!(names(&first), [CONTROLLER]);
    assert_eq!(world.definitions().await.len(), 11);
    world.namespace("develop").await;
    for file in ["project.yaml", "stage.yaml", "warehouse.yaml"] {
        world.apply(&text(&format!("quickstart/{file}"))).await;
    }
    let data = world.data().await;
    assert_eq!(data.len(), 11 + 3 + 3, "{data:?}");

    // The Deployment is changed in place: what selects its pods never changes.
    world.installation.upgrade(&json!({"mode": "split", "controller": {"replicas": 2}})).await;
    let second = world.of::<Deployment>().await;
    assert_eq!(names(&second), [CONTROLLER, MANAGEMENT]);
    assert_eq!(second[0], first[0]);
    assert_eq!(names(&world.of::<ServiceAccount>().await), [CONTROLLER, MANAGEMENT]);
    assert_eq!(world.data().await, data);

    world.installation.rollback(1).await;
    assert_eq!(world.of::<Deployment>().await, first);
    assert_eq!(world.data().await, data);

    world.installation.uninstall().await;
    assert_eq!(names(&world.of::<Deployment>().await), [""; 0]);
    assert_eq!(names(&world.of::<ConfigMap>().await), [""; 0]);
    assert_eq!(names(&world.of::<ServiceAccount>().await), [""; 0]);
    assert_eq!(names(&world.of::<ClusterRole>().await), [""; 0]);
    assert_eq!(names(&world.of::<ClusterRoleBinding>().await), [""; 0]);
    assert_eq!(world.data().await, data, "uninstalling takes no data along");

    world.installation.install(&json!({})).await;
    assert_eq!(names(&world.of::<Deployment>().await), [CONTROLLER]);
    assert_eq!(world.data().await, data, "and installing again finds it");
    drop(world.server);
}

/// The definitions by hand, as the chart's README describes it.
#[tokio::test(flavor = "multi_thread")]
async fn with_definitions_that_kubectl_applied() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        skipped::loudly("the chart with definitions by kubectl", "there is no kubectl");
        return;
    }
    let Some(world) = World::start().await else { return };
    let output = tokio::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(world.folder.path().join("kubeconfig"))
        .args(["apply", "--server-side", "-f"])
        .arg(chart::folder().join("../../crds"))
        .output()
        .await
        .expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let before = world.definitions().await;
    assert_eq!(before.len(), 11);
    let by_hand = json!({"crds": {"install": false}});
    world.installation.install(&by_hand).await;
    assert_eq!(names(&world.of::<Deployment>().await), [CONTROLLER]);
    world.installation.uninstall().await;
    assert_eq!(world.definitions().await, before);
}

/// All options at once, on a real API server: what helm renders may still be
/// what no server takes.
#[tokio::test(flavor = "multi_thread")]
async fn every_option_is_accepted() {
    let Some(world) = World::start().await else { return };
    world.namespace("argocd").await;
    let all: Value = json!({
        "mode": "split",
        "networkPolicy": {"enabled": true},
        "grafanaDashboard": {"enabled": true},
        "kubeconfigSecrets": {"kargo": "kargo-kubeconfig", "argocd": "argocd-kubeconfig"},
        "controller": {
            "id": "eu", "shardName": "eu", "replicas": 2,
            "metrics": {"enabled": true},
            "podDisruptionBudget": {"enabled": true},
            "argocd": {"watchArgocdNamespaceOnly": true},
            "gitClient": {"signingKeySecret": {"name": "key"}},
            "images": {"registries": {"mirrors": ["docker.io=https://mirror.example.com"]}},
        },
        "managementController": {
            "metrics": {"enabled": true},
            "podDisruptionBudget": {"enabled": true, "maxUnavailable": 1},
        },
    });
    world.installation.install(&all).await;
    assert_eq!(names(&world.of::<Deployment>().await), ["supercargo-controller-eu", MANAGEMENT]);
    world.installation.upgrade(&json!({})).await;
    assert_eq!(names(&world.of::<Deployment>().await), [CONTROLLER]);
}
