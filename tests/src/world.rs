//! What surrounds the controllers in a test: a Kubernetes API, a registry, a
//! Git host and Argo CD.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::sandbox::argocd::ArgoCd;
use ::sandbox::git_host::GitHost;
use ::sandbox::registry::Registry;
use supercargo::cli::ControllerArgs;
use supercargo::sandbox::world::{self, Peers};

use crate::backend::Backend;
use crate::cluster::Cluster;

/// The running parts.
pub struct World {
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// The registry.
    pub registry: Arc<Registry>,
    /// The Git host.
    pub git: Arc<GitHost>,
    /// The simulated Argo CD.
    pub argocd: ArgoCd,
    /// Where everything that is kept on disk is.
    pub dir: PathBuf,
}

impl World {
    /// Starts all parts.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(backend: Backend, dir: &Path) -> Result<Self, String> {
        let dir = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
        let cluster = Cluster::start(backend, &dir).await?;
        let Peers { registry, git, argocd } =
            Peers::start(&dir, cluster.admin(), address(backend)?).await?;
        Ok(Self { cluster, registry, git, argocd, dir })
    }

    /// The kubeconfig of a user who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig()
    }

    /// The controllers' settings by which public names lead here.
    pub fn map_names(&self, args: &mut ControllerArgs) {
        world::map_names(args, &self.registry.url(), &self.git.url(), &self.dir);
    }
}

/// Where the controllers reach this machine: on loopback, unless they are pods.
fn address(backend: Backend) -> Result<IpAddr, String> {
    if backend != Backend::Pods {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let given = std::env::var("E2E_ADDRESS").unwrap_or_default();
    given.parse().map_err(|_| {
        format!("E2E_ADDRESS={given:?}: give the address at which pods reach this machine")
    })
}
