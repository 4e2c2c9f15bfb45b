//! The parts of the sandbox, started together and joined: the in-memory
//! Kubernetes API with the definitions, the registry, the Git host and the
//! simulated Argo CD.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::sandbox::argocd::{ArgoCd, ArgoCdOptions, GitHostResolver};
use ::sandbox::git_host::{GitHost, GitHostOptions};
use ::sandbox::kubernetes::{ARGOCD_DEFINITIONS, Api, Server};
use ::sandbox::registry::{Registry, RegistryOptions};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use crate::cli::ControllerArgs;
use crate::mapping::{GitRewrite, RegistryMirror};

/// The registries whose names the sandbox's registry stands in for.
pub const REGISTRIES: [&str; 2] = ["docker.io", "ghcr.io"];

/// The beginnings of Git URLs that the sandbox's host stands in for.
pub const GIT_HOSTS: [&str; 2] = ["https://your.git/", "https://git.example.com/"];

/// Where the parts of a running sandbox are, for other processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The Kubernetes API.
    pub kubernetes: String,
    /// The registry.
    pub registry: String,
    /// The Git host.
    pub git: String,
    /// What `supercargo sandbox push-tag` talks to.
    pub control: String,
}

/// The parts beside the Kubernetes API, which may be any.
pub struct Peers {
    /// The registry.
    pub registry: Arc<Registry>,
    /// The Git host.
    pub git: Arc<GitHost>,
    /// The simulated Argo CD.
    pub argocd: ArgoCd,
}

impl Peers {
    /// Starts them on free ports of that address; Argo CD acts on the
    /// Applications that `client` sees.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(dir: &Path, client: kube::Client, address: IpAddr) -> Result<Self, String> {
        let listen = SocketAddr::from((address, 0));
        let options = RegistryOptions { listen, ..RegistryOptions::default() };
        let registry = Registry::start(options).await.map_err(|e| e.to_string())?;
        let root = Some(dir.join("git"));
        let options = GitHostOptions { listen, root, ..GitHostOptions::default() };
        let git = Arc::new(GitHost::start(options).await.map_err(|e| e.to_string())?);
        let mut resolver = GitHostResolver::new(Arc::clone(&git));
        for host in GIT_HOSTS {
            resolver = resolver.with_rewrite(host, &format!("{}/", git.url()));
        }
        let argocd = ArgoCd::start(client, Arc::new(resolver), ArgoCdOptions::default());
        Ok(Self { registry: Arc::new(registry), git, argocd })
    }
}

/// The controllers' settings by which public names lead to this registry and
/// this Git host; their data goes to `dir`.
pub fn map_names(args: &mut ControllerArgs, registry: &str, git: &str, dir: &Path) {
    args.registry_mirrors = REGISTRIES
        .iter()
        .map(|host| RegistryMirror { host: (*host).to_owned(), url: registry.to_owned() })
        .collect();
    args.git_instead_of = GIT_HOSTS
        .iter()
        .map(|prefix| GitRewrite { prefix: (*prefix).to_owned(), replacement: format!("{git}/") })
        .collect();
    // The Git host has pull requests, too.
    args.forge_instead_of = args.git_instead_of.clone();
    args.data_dir = Some(dir.join("data"));
}

/// The namespaces that an installation has.
pub const NAMESPACES: [&str; 4] =
    ["argocd", "kargo", "kargo-shared-resources", "kargo-system-resources"];

/// The in-memory Kubernetes API with the definitions and [`NAMESPACES`].
///
/// # Errors
/// What it refuses.
pub fn kubernetes() -> Result<Api, String> {
    let api = Api::new();
    api.load(ARGOCD_DEFINITIONS).map_err(|e| e.message)?;
    for (_, definition) in api::crd::definitions() {
        api.load_value(definition).map_err(|e| e.message)?;
    }
    for namespace in NAMESPACES {
        api.load(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"))
            .map_err(|e| e.message)?;
    }
    Ok(api)
}

/// The running parts.
pub struct World {
    /// The Kubernetes API.
    pub api: Api,
    /// Where it is served.
    pub server: Server,
    /// Registry, Git host and Argo CD.
    pub peers: Peers,
    /// Where everything is.
    pub addresses: Addresses,
    /// Where kubeconfig, addresses and repositories are.
    pub dir: PathBuf,
    control: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.control.abort();
    }
}

impl World {
    /// Starts all parts; `dir` is emptied of what an earlier sandbox left.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(dir: &Path) -> Result<Self, String> {
        let dir = prepare(dir)?;
        let api = kubernetes()?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = api.serve(loopback).await.map_err(|e| format!("Kubernetes API: {e}"))?;
        let peers = Peers::start(&dir, api.client(), loopback.ip()).await?;
        let listener = tokio::net::TcpListener::bind(loopback)
            .await
            .map_err(|e| format!("control address: {e}"))?;
        let control = listener.local_addr().map_err(|e| e.to_string())?;
        let addresses = Addresses {
            kubernetes: server.url().to_owned(),
            registry: peers.registry.url(),
            git: peers.git.url(),
            control: format!("http://{control}"),
        };
        let router = control_routes(Arc::clone(&peers.registry), Arc::clone(&peers.git));
        let control = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the control address stopped");
            }
        });
        let world = Self { api, server, peers, addresses, dir, control };
        world.write_files()?;
        Ok(world)
    }

    fn write_files(&self) -> Result<(), String> {
        self.server
            .write_kubeconfig(&self.kubeconfig())
            .map_err(|e| format!("{}: {e}", self.kubeconfig().display()))?;
        let text = serde_json::to_string_pretty(&self.addresses).map_err(|e| e.to_string())?;
        let path = self.dir.join(ADDRESSES);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The controllers' settings by which public names lead here.
    pub fn map_names(&self, args: &mut ControllerArgs) {
        map_names(args, &self.addresses.registry, &self.addresses.git, &self.dir);
    }
}

/// The file that tells other processes where the parts are.
pub const ADDRESSES: &str = "addresses.json";

fn prepare(dir: &Path) -> Result<PathBuf, String> {
    let said = |e: std::io::Error| format!("{}: {e}", dir.display());
    std::fs::create_dir_all(dir).map_err(said)?;
    let dir = dir.canonicalize().map_err(said)?;
    for left in ["git", "data"] {
        match std::fs::remove_dir_all(dir.join(left)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(said(e)),
            _ => {}
        }
    }
    Ok(dir)
}

struct Control {
    registry: Arc<Registry>,
    git: Arc<GitHost>,
}

fn control_routes(registry: Arc<Registry>, git: Arc<GitHost>) -> Router {
    Router::new()
        .route("/tags/{*repository}", get(list_tags))
        .route("/push/{tag}/{*repository}", post(push_tag))
        .route("/log/{number}/{*repository}", get(log))
        .with_state(Arc::new(Control { registry, git }))
}

async fn list_tags(
    State(control): State<Arc<Control>>,
    UrlPath(repository): UrlPath<String>,
) -> String {
    control.registry.tags(&repository).join("\n")
}

async fn push_tag(
    State(control): State<Arc<Control>>,
    UrlPath((tag, repository)): UrlPath<(String, String)>,
) -> Result<String, (axum::http::StatusCode, String)> {
    let image = ::sandbox::registry::NewImage {
        content: tag.clone(),
        ..::sandbox::registry::NewImage::created(jiff::Timestamp::now())
    };
    control
        .registry
        .push_tag(&repository, &tag, &image)
        .map_err(|e| (axum::http::StatusCode::BAD_REQUEST, e.to_string()))
}

async fn log(
    State(control): State<Arc<Control>>,
    UrlPath((number, repository)): UrlPath<(usize, String)>,
) -> Result<String, (axum::http::StatusCode, String)> {
    let failed =
        |e: ::sandbox::git_host::GitHostError| (axum::http::StatusCode::NOT_FOUND, e.to_string());
    let commits = control.git.log(&repository, "main").await.map_err(failed)?;
    let mut text = String::new();
    for commit in commits.iter().take(number.min(100)) {
        let diff = control.git.diff(&repository, &commit.id).await.map_err(failed)?;
        text.push_str(&format!("commit {}\n{}\n{diff}\n", commit.id, commit.message.trim_end()));
    }
    Ok(text)
}
