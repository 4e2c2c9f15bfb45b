//! `supercargo credentials explain`, the program itself, against the sandbox's
//! Kubernetes API by a kubeconfig.

use std::process::Output;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

struct Cluster {
    api: sandbox::kubernetes::Api,
    _server: sandbox::kubernetes::Server,
    dir: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let api = sandbox::kubernetes::Api::new();
        let server = api.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        server.write_kubeconfig(&dir.path().join("kubeconfig")).unwrap();
        let namespaces: Api<Namespace> = Api::all(api.client());
        for name in ["shop", "kargo-shared-resources"] {
            let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        }
        Self { api, _server: server, dir }
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

    async fn explain(&self, words: &[&str]) -> Output {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_supercargo"))
            .args(["credentials", "explain"])
            .args(words)
            .env("KUBECONFIG", self.dir.path().join("kubeconfig"))
            .env_remove("SHARED_RESOURCES_NAMESPACE")
            .env_remove("ALLOW_CREDENTIALS_OVER_HTTP")
            .output()
            .await
            .unwrap()
    }

    async fn said(&self, words: &[&str]) -> String {
        let output = self.explain(words).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("canary"), "{text}");
        text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_repository_is_explained() {
    let cluster = Cluster::new().await;
    let basic = |url: &str| json!({"repoURL": url, "username": "bot", "password": "canary"});
    cluster.secret("shop", "other", "git", basic("https://github.com/shop/other")).await;
    cluster
        .secret(
            "shop",
            "shop",
            "git",
            json!({"repoURL": "^https://github.com/shop/", "repoURLIsRegex": "true", "username": "bot", "password": "canary"}),
        )
        .await;
    cluster
        .secret("kargo-shared-resources", "everybody", "git", basic("https://github.com/shop/web"))
        .await;
    cluster.secret("kargo-shared-resources", "hub", "image", basic("shop/web")).await;

    assert_eq!(
        cluster.said(&["shop", "https://github.com/shop/web.git"]).await,
        "\
git: Secret shop/shop (user name and password) in the Project's namespace: its pattern ^https://github.com/shop/ matches
  Secret shop/other: its repoURL is https://github.com/shop/other, not https://github.com/shop/web
  Secret shop/shop: its pattern ^https://github.com/shop/ matches: chosen
  Secret kargo-shared-resources/everybody: its repoURL https://github.com/shop/web is this repository too, but one that was asked before serves it
image: no credential: no Secret covers it
  Secret kargo-shared-resources/hub: its repoURL is shop/web, not https://github.com/shop/web.git
helm: no credential: no Secret covers it
"
    );
    assert_eq!(
        cluster.said(&["shop", "docker.io/shop/web", "--type", "image"]).await,
        "\
image: Secret kargo-shared-resources/hub (user name and password) in the shared namespace: its repoURL shop/web is this repository
  Secret kargo-shared-resources/hub: its repoURL shop/web is this repository: chosen
"
    );
    let plain = ["shop", "http://github.com/shop/web", "--type", "git"];
    assert!(
        cluster.said(&plain).await.starts_with("git: no credential, since the URL is plain HTTP")
    );
    let allowed = [&plain[..], &["--allow-credentials-over-http"]].concat();
    assert!(cluster.said(&allowed).await.starts_with("git: no credential: no Secret covers it"));
    let elsewhere =
        ["shop", "docker.io/shop/web", "--type", "image", "--shared-resources-namespace", ""];
    assert_eq!(cluster.said(&elsewhere).await, "image: no credential: no Secret covers it\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_refuses_is_told_by_namespace() {
    let cluster = Cluster::new().await;
    cluster.api.set_hook(Some(std::sync::Arc::new(|request: &sandbox::kubernetes::Request| {
        (request.resource == "secrets" && request.namespace == "shop")
            .then(|| sandbox::kubernetes::Failure::new(403, "Forbidden", "secrets is forbidden"))
    })));
    let output = cluster.explain(&["shop", "https://github.com/shop/web"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(
            "supercargo: failed to get git creds for https://github.com/shop/web in namespace \"shop\": "
        ),
        "{said}"
    );
}
