//! A running Argo CD beside an API server: what acts on Applications, what
//! makes them of ApplicationSets, and what reads repositories for both. Nobody
//! logs in, so its own server is not among them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use envtest::process::Process;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::Program;

/// Where it is at home.
pub const NAMESPACE: &str = "argocd";

/// How long a part may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Argo CD; its parts end when it is dropped.
pub struct ArgoCd {
    built: PathBuf,
    kubeconfig: PathBuf,
    /// Folders with `helm` and `kustomize`.
    tools: Vec<PathBuf>,
    redis: u16,
    repositories: u16,
    options: Options,
    controller: Option<Process>,
    repo_server: Option<Process>,
    applicationsets: Option<Process>,
    _redis: Process,
    dir: tempfile::TempDir,
}

/// How it is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further namespaces whose Applications it takes, joined by commas.
    pub namespaces: String,
}

impl ArgoCd {
    /// What it lacks to be started here, in words; nothing where all is there.
    pub fn lacks() -> Option<&'static str> {
        if Program::ArgoCd.present().is_none() {
            return Some("Argo CD was not built; `make peers` builds it where Go is installed");
        }
        if redis().is_none() {
            return Some("redis-server is not on this machine; `make test-deps` installs it");
        }
        None
    }

    /// The definitions of its kinds, as YAML.
    ///
    /// # Errors
    /// Where it was not built.
    pub fn definitions() -> Result<Vec<String>, String> {
        let built = Program::ArgoCd.present().ok_or("Argo CD was not built: run `make peers`")?;
        let file = |kind: &str| {
            let path = built.join("definitions").join(format!("{kind}-crd.yaml"));
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        ["application", "applicationset", "appproject"].into_iter().map(file).collect()
    }

    /// Starts it beside the API server of a kubeconfig, which knows its
    /// [definitions](ArgoCd::definitions) and has its namespace; `tools` are
    /// folders with `helm` and `kustomize`.
    ///
    /// # Errors
    /// What cannot be started, with its last words.
    pub async fn start(
        client: &Client,
        kubeconfig: &Path,
        tools: Vec<PathBuf>,
        options: Options,
    ) -> Result<Self, String> {
        let built = Program::ArgoCd.present().ok_or("Argo CD was not built: run `make peers`")?;
        let dir = tempfile::Builder::new().prefix("argocd-").tempdir();
        let dir = dir.map_err(|e| format!("a temporary directory: {e}"))?;
        prepare(client).await?;
        let (redis_port, repositories) = (crate::free_port()?, crate::free_port()?);
        let mut command = Command::new(redis().ok_or("redis-server is missing")?);
        command
            .args(["--port", &redis_port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path());
        // It ends last, and takes with it what a test that died has left.
        let mut redis = Process::start("redis", &command, dir.path(), Some(dir.path()))?;
        listens(&mut redis, redis_port).await?;
        let ports = [crate::free_port()?, crate::free_port()?, crate::free_port()?];
        let mut argocd = Self {
            built,
            kubeconfig: kubeconfig.to_owned(),
            tools,
            redis: redis_port,
            repositories,
            options,
            controller: None,
            repo_server: None,
            applicationsets: None,
            _redis: redis,
            dir,
        };
        argocd.start_repo_server().await?;
        let mut command = argocd.part("argocd-applicationset-controller");
        command
            .args(["--namespace", NAMESPACE, "--repo-server-plaintext", "--argocd-repo-server"])
            .arg(argocd.repositories_at());
        for (flag, port) in ["--metrics-addr", "--probe-addr", "--webhook-addr"].iter().zip(ports) {
            command.arg(flag).arg(format!("127.0.0.1:{port}"));
        }
        let name = "argocd-applicationset-controller";
        argocd.applicationsets = Some(Process::start(name, &command, argocd.dir.path(), None)?);
        argocd.start_controller().await?;
        Ok(argocd)
    }

    fn repositories_at(&self) -> String {
        format!("127.0.0.1:{}", self.repositories)
    }

    fn part(&self, name: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.built.clone()).chain(self.tools.clone());
        let folders = folders.chain(std::env::split_paths(&path));
        let own = self.dir.path();
        let mut command = Command::new(self.built.join("argocd"));
        command
            .env("ARGOCD_BINARY_NAME", name)
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_ASK_PASS_SOCK", own.join("ask-pass.sock"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", std::env::join_paths(folders).unwrap_or(path))
            .env("TMPDIR", own)
            .env("HOME", own);
        command
    }

    /// Starts what reads repositories, where it does not run; waits until it
    /// listens.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn start_repo_server(&mut self) -> Result<(), String> {
        if self.repo_server.is_some() {
            return Ok(());
        }
        let mut command = self.part("argocd-repo-server");
        command
            .args(["--address", "127.0.0.1", "--port", &self.repositories.to_string()])
            .args(["--metrics-address", "127.0.0.1"])
            .args(["--metrics-port", &crate::free_port()?.to_string(), "--disable-tls"])
            .args(["--redis", &format!("127.0.0.1:{}", self.redis)]);
        let mut process = Process::start("argocd-repo-server", &command, self.dir.path(), None)?;
        listens(&mut process, self.repositories).await?;
        self.repo_server = Some(process);
        Ok(())
    }

    /// Kills what reads repositories.
    pub fn kill_repo_server(&mut self) {
        self.repo_server = None;
    }

    /// Starts what acts on Applications, where it does not run; waits until it
    /// listens.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn start_controller(&mut self) -> Result<(), String> {
        if self.controller.is_some() {
            return Ok(());
        }
        let port = crate::free_port()?;
        let mut command = self.part("argocd-application-controller");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", NAMESPACE, "--repo-server-plaintext", "--repo-server"])
            .arg(self.repositories_at())
            .args(["--redis", &format!("127.0.0.1:{}", self.redis)])
            .args(["--metrics-port", &port.to_string()])
            .args(["--status-processors", "20", "--operation-processors", "10"]);
        if !self.options.namespaces.is_empty() {
            command.args(["--application-namespaces", &self.options.namespaces]);
        }
        let mut process =
            Process::start("argocd-application-controller", &command, self.dir.path(), None)?;
        listens(&mut process, port).await?;
        self.controller = Some(process);
        Ok(())
    }

    /// Kills what acts on Applications, as a failing node does.
    pub fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// What its parts have said last, for messages.
    pub fn last_words(&self) -> String {
        let parts = [&self.controller, &self.repo_server, &self.applicationsets];
        parts.into_iter().flatten().map(Process::last_words).collect::<Vec<_>>().join("\n")
    }
}

/// Where Redis is.
fn redis() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into(), "/usr/sbin".into()])
        .map(|folder| folder.join("redis-server"))
        .find(|file| file.is_file())
}

/// What it looks for in its namespace before it does anything.
async fn prepare(client: &Client) -> Result<(), String> {
    let part = json!({"app.kubernetes.io/part-of": "argocd"});
    let object = |kind: &str, name: &str| {
        json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": part},
        })
    };
    let mut secret = object("Secret", "argocd-secret");
    secret["stringData"] = json!({"server.secretkey": "k".repeat(32)});
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "sourceNamespaces": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    });
    let mut settings = object("ConfigMap", "argocd-cm");
    // Nothing but a request or a change makes it look.
    settings["data"] = json!({"timeout.reconciliation": "180s"});
    for object in [settings, object("ConfigMap", "argocd-rbac-cm"), secret, project] {
        apply(client, &object).await?;
    }
    Ok(())
}

/// The Secret by which it reads a repository with a token.
///
/// # Errors
/// What the API says.
pub async fn open_repository(client: &Client, url: &str, token: &str) -> Result<(), String> {
    let name: String =
        url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": format!("repository-{name}"), "namespace": NAMESPACE,
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "stringData": {"type": "git", "url": url, "username": "robot", "password": token},
    });
    apply(client, &secret).await
}

async fn apply(client: &Client, object: &Value) -> Result<(), String> {
    let object: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|e| e.to_string())?;
    let types = object.types.clone().ok_or("an object without a kind")?;
    let gvk = GroupVersionKind::try_from(&types).map_err(|e| e.to_string())?;
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let name = object.metadata.name.clone().unwrap_or_default();
    let params = PatchParams::apply("peers").force();
    let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
    applied.map(drop).map_err(|e| format!("{} {name}: {e}", types.kind))
}

/// Waits until something listens at the port.
async fn listens(process: &mut Process, port: u16) -> Result<(), String> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    loop {
        pause.tick().await;
        if !process.runs() {
            return Err(format!("it has ended; {}", process.last_words()));
        }
        let at = (std::net::Ipv4Addr::LOCALHOST, port);
        if tokio::net::TcpStream::connect(at).await.is_ok() {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(format!("it does not listen; {}", process.last_words()));
        }
    }
}
