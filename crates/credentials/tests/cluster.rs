//! Look-ups in the sandbox's Kubernetes API, reached by a kubeconfig.

use credentials::CredentialKind::{Git, Image};
use credentials::{CredentialKind, CredentialStore, ErrorClass, KubeCredentials, LookupOptions};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use sandbox::kubernetes::{Failure, Request, Server};
use serde_json::{Value, json};

struct Cluster {
    api: sandbox::kubernetes::Api,
    server: Server,
}

impl Cluster {
    async fn new(namespaces: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api = sandbox::kubernetes::Api::new();
        let server = api.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let all: Api<Namespace> = Api::all(api.client());
        for name in namespaces {
            let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            all.create(&PostParams::default(), &namespace).await.unwrap();
        }
        Self { api, server }
    }

    async fn secret(&self, namespace: &str, name: &str, kind: &str, data: Value) {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"kargo.akuity.io/cred-type": kind}},
            "stringData": data,
        }))
        .unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.api.client(), namespace);
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }

    async fn client(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::from_yaml(&self.server.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    async fn store(&self) -> KubeCredentials {
        let shared_namespace = Some("shared".to_owned());
        let options = LookupOptions { shared_namespace, ..LookupOptions::default() };
        KubeCredentials::new(self.client().await, options)
    }
}

fn basic(url: &str) -> Value {
    json!({"repoURL": url, "username": "bot", "password": "canary"})
}

async fn explained(store: &KubeCredentials, kind: CredentialKind, url: &str) -> String {
    let text = store.explain("shop", kind, url).await.unwrap().to_string();
    assert!(!text.contains("canary"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_and_its_explanation_agree() {
    let cluster = Cluster::new(&["shop", "shared"]).await;
    cluster.secret("shop", "other", "git", basic("https://github.com/shop/other")).await;
    let mut pattern = basic("^https://github.com/shop/");
    pattern["repoURLIsRegex"] = "true".into();
    cluster.secret("shop", "shop", "git", pattern).await;
    cluster.secret("shared", "everybody", "git", basic("https://github.com/shop/web")).await;
    cluster.secret("shared", "hub", "image", basic("shop/web")).await;
    let store = cluster.store().await;

    let url = "https://github.com/shop/web.git";
    assert_eq!(
        explained(&store, Git, url).await,
        "\
git: Secret shop/shop (user name and password) in the Project's namespace: its pattern ^https://github.com/shop/ matches
  Secret shop/other: its repoURL is https://github.com/shop/other, not https://github.com/shop/web
  Secret shop/shop: its pattern ^https://github.com/shop/ matches: chosen
  Secret shared/everybody: its repoURL https://github.com/shop/web is this repository too, but one that was asked before serves it"
    );
    let found = store.get("shop", Git, url).await.unwrap().unwrap();
    assert_eq!((found.username(), found.password().unwrap().expose()), ("bot", "canary"));
    assert_eq!(
        found.source.describe(),
        "Secret shop/shop (user name and password) in the Project's namespace: its pattern ^https://github.com/shop/ matches"
    );
    assert!(found.source.identity().len() > 10, "the UID that the API gave");

    assert_eq!(
        explained(&store, Image, "docker.io/shop/web").await,
        "\
image: Secret shared/hub (user name and password) in the shared namespace: its repoURL shop/web is this repository
  Secret shared/hub: its repoURL shop/web is this repository: chosen"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_forbidden_is_named() {
    let cluster = Cluster::new(&["shop", "shared"]).await;
    cluster.api.set_hook(Some(std::sync::Arc::new(|request: &Request| {
        (request.resource == "secrets" && request.namespace == "shared")
            .then(|| Failure::new(403, "Forbidden", "secrets is forbidden"))
    })));
    let store = cluster.store().await;
    let url = "https://github.com/shop/web";
    for error in [
        store.get("shop", Git, url).await.unwrap_err(),
        store.explain("shop", Git, url).await.unwrap_err(),
    ] {
        assert!(
            error.to_string().starts_with(
                "failed to get git creds for https://github.com/shop/web in shared namespace \"shared\": "
            ),
            "{error}"
        );
        assert_eq!(error.class(), ErrorClass::Auth);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pods_own_cluster_is_searched_after_the_other() {
    let url = "https://github.com/shop/web";
    let plane = Cluster::new(&["shop", "shared"]).await;
    let local = Cluster::new(&["shop", "shared"]).await;
    local.secret("shop", "local", "git", basic(url)).await;
    let store = plane.store().await.with_local_cluster(local.client().await);
    let found = store.get("shop", Git, url).await.unwrap().unwrap();
    assert_eq!(found.source.to_string(), "Secret shop/local");
    // Even a shared Secret of the control plane goes first.
    plane.secret("shared", "plane", "git", basic(url)).await;
    let store = plane.store().await.with_local_cluster(local.client().await);
    let found = store.get("shop", Git, url).await.unwrap().unwrap();
    assert_eq!(found.source.to_string(), "Secret shared/plane");
}
