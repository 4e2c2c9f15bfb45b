//! The chart installed on a cluster by the real helm, as a user does it. Where
//! the cluster has nodes its pods are the controllers.

use std::path::{Path, PathBuf};
use std::process::Output;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use supercargo::cli::ControllerArgs;
use tokio::process::Command;

use crate::cluster::NAMESPACE;
use crate::{await_that, chart, helm};

/// What the release is called.
pub const RELEASE: &str = "supercargo";

/// How long helm may wait for pods.
const WAIT: [&str; 3] = ["--wait", "--timeout", "120s"];

/// A release of the chart in [`NAMESPACE`].
pub struct Installation {
    kubeconfig: PathBuf,
    folder: PathBuf,
    /// Whether there are nodes, so that Deployments become ready.
    waits: bool,
}

impl Installation {
    /// The one on the cluster of that kubeconfig; `base` are values that all
    /// its revisions have. Files go to `folder`. `None` without helm.
    ///
    /// # Panics
    /// When the values cannot be written.
    pub fn new(kubeconfig: &Path, folder: &Path, base: &Value, waits: bool) -> Option<Self> {
        helm::program()?;
        let installation =
            Self { kubeconfig: kubeconfig.to_owned(), folder: folder.to_owned(), waits };
        installation.write("base.yaml", base);
        Some(installation)
    }

    /// `helm install`, with more values; waits until the pods are ready.
    ///
    /// # Panics
    /// With what helm says, and what the pods say.
    pub async fn install(&self, values: &Value) {
        self.revise("install", values).await;
    }

    /// `helm upgrade`, likewise.
    ///
    /// # Panics
    /// As [`Installation::install`].
    pub async fn upgrade(&self, values: &Value) {
        self.revise("upgrade", values).await;
    }

    /// `helm rollback` to a revision, likewise.
    ///
    /// # Panics
    /// As [`Installation::install`].
    pub async fn rollback(&self, revision: u32) {
        let revision = revision.to_string();
        let mut arguments = vec!["rollback", RELEASE, &revision];
        arguments.extend(self.waiting());
        self.helm(&arguments).await;
    }

    /// `helm uninstall`, if it is installed; waits until its pods are gone.
    ///
    /// # Panics
    /// As [`Installation::install`].
    pub async fn uninstall(&self) {
        self.helm(&["uninstall", RELEASE, "--ignore-not-found"]).await;
        if self.waits {
            let client = crate::cluster::client(&self.kubeconfig).await.expect("a client");
            await_that::answer("the end of all pods", || async {
                pods(&client).await.is_empty().then_some(())
            })
            .await;
        }
    }

    fn waiting(&self) -> &'static [&'static str] {
        if self.waits { &WAIT } else { &[] }
    }

    fn write(&self, file: &str, values: &Value) -> String {
        let path = self.folder.join(file);
        // JSON is YAML.
        std::fs::write(&path, values.to_string()).expect("the values can be written");
        path.display().to_string()
    }

    async fn revise(&self, verb: &str, values: &Value) {
        let (base, more) = (self.folder.join("base.yaml"), self.write("values.yaml", values));
        let (base, chart) = (base.display().to_string(), chart::folder().display().to_string());
        let mut arguments = vec![verb, RELEASE, &chart, "--values", &base, "--values", &more];
        if verb == "upgrade" {
            // Else no values at all would mean those of before.
            arguments.push("--reset-values");
        }
        arguments.extend(self.waiting());
        self.helm(&arguments).await;
    }

    /// Runs helm in the release's namespace and returns what it printed.
    ///
    /// # Panics
    /// As [`Installation::install`].
    pub async fn helm(&self, arguments: &[&str]) -> String {
        let output = self.try_helm(arguments).await;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let pods = self.explained().await;
            panic!("helm {arguments:?}: {said}\n{pods}");
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn try_helm(&self, arguments: &[&str]) -> Output {
        let program = helm::program().expect("there is helm");
        let mut command = Command::new(program);
        command.args(arguments).args(["--namespace", NAMESPACE, "--kubeconfig"]);
        command.arg(&self.kubeconfig).output().await.expect("helm starts")
    }

    /// What the pods' statuses and logs say.
    pub async fn explained(&self) -> String {
        let Ok(client) = crate::cluster::client(&self.kubeconfig).await else {
            return String::new();
        };
        let mut text = String::new();
        for pod in pods(&client).await {
            let status = serde_json::to_string_pretty(&pod.status).unwrap_or_default();
            text.push_str(&format!("pod {}: {status}\n", pod.name_any()));
            let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
            let tail = LogParams { tail_lines: Some(40), ..LogParams::default() };
            match api.logs(&pod.name_any(), &tail).await {
                Ok(log) => text.push_str(&log),
                Err(error) => text.push_str(&format!("(no log: {error})\n")),
            }
        }
        text
    }
}

/// The release's pods.
///
/// # Panics
/// When they cannot be listed.
pub async fn pods(client: &Client) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={RELEASE}"));
    api.list(&ours).await.expect("pods can be listed").items
}

/// The chart's values by which public names lead where these settings say.
pub fn values(args: &ControllerArgs) -> Value {
    let mirrors: Vec<String> =
        args.registry_mirrors.iter().map(|m| format!("{}={}", m.host, m.url)).collect();
    let rewrites: Vec<String> =
        args.git_instead_of.iter().map(|r| format!("{}={}", r.prefix, r.replacement)).collect();
    let rewrites = rewrites.join(",");
    json!({"controller": {
        "images": {"registries": {"mirrors": mirrors}},
        "reconcilers": {"warehouses": {"minReconciliationInterval": "0s"}},
        "env": [
            {"name": "SUPERCARGO_GIT_INSTEAD_OF", "value": rewrites},
            {"name": "SUPERCARGO_FORGE_INSTEAD_OF", "value": rewrites},
        ],
    }})
}
