//! Where the programs are: in the folder that `KUBEBUILDER_ASSETS` names, else
//! in `target/envtest/`, where [`build`] puts what Go makes of this folder's
//! module. The cache is keyed by the module, so that another version is
//! another folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The environment variable that names a folder with the programs, as the
/// test tools of other operators use it.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The programs that the module holds, each in the folder of its name. The
/// last is optional among [`ASSETS`].
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// What a node needs beside them; built only when one is wanted.
const OF_A_NODE: [&str; 2] = ["kube-scheduler", "kubelet"];

/// The files that decide what is built.
const MODULE: [&str; 7] = [
    "go.mod",
    "go.sum",
    "etcd/main.go",
    "kube-apiserver/main.go",
    "kube-controller-manager/main.go",
    "kube-scheduler/main.go",
    "kubelet/main.go",
];

/// A folder with the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The programs that are there already; `None` where none were built.
    ///
    /// # Panics
    /// When [`ASSETS`] names a folder that does not have them: a wish that
    /// cannot be met is not passed over.
    pub fn present() -> Option<Self> {
        if let Some(folder) = std::env::var_os(ASSETS).filter(|v| !v.is_empty()) {
            let found = Self { folder: PathBuf::from(folder) };
            assert!(
                found.complete(),
                "{ASSETS} names {}, which has no etcd and kube-apiserver",
                found.folder.display()
            );
            return Some(found);
        }
        let found = Self { folder: cache() };
        found.complete().then_some(found)
    }

    fn complete(&self) -> bool {
        self.etcd().is_file() && self.api_server().is_file()
    }

    /// The store.
    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// The API server.
    pub fn api_server(&self) -> PathBuf {
        self.folder.join("kube-apiserver")
    }

    /// The controllers of Kubernetes itself, where they are.
    pub fn controller_manager(&self) -> Option<PathBuf> {
        self.optional("kube-controller-manager")
    }

    /// What assigns pods to nodes, where it is.
    pub fn scheduler(&self) -> Option<PathBuf> {
        self.optional("kube-scheduler")
    }

    /// What runs pods, where it is.
    pub fn kubelet(&self) -> Option<PathBuf> {
        self.optional("kubelet")
    }

    fn optional(&self, program: &str) -> Option<PathBuf> {
        let path = self.folder.join(program);
        path.is_file().then_some(path)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The module's folder.
fn module() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where what is built of the module as it is now is kept.
fn cache() -> PathBuf {
    let mut hash = Sha256::new();
    for file in MODULE {
        hash.update(file);
        hash.update(std::fs::read(module().join(file)).unwrap_or_default());
    }
    let key = hex::encode(hash.finalize());
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| module().join("../../target"));
    target.join("envtest").join(key.get(..16).unwrap_or_default())
}

/// The version of the API server's module.
fn kubernetes_version() -> Result<String, String> {
    let text = std::fs::read_to_string(module().join("go.mod")).map_err(|e| e.to_string())?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .map(str::to_owned)
        .ok_or_else(|| "go.mod does not name k8s.io/kubernetes".to_owned())
}

/// Builds the programs where they are not there yet. The first build takes
/// minutes; each program is moved into place once it is whole, so that builds
/// at the same time do no harm.
///
/// # Errors
/// Where Go is missing or what it says.
pub fn build() -> Result<Binaries, String> {
    if let Some(found) = Binaries::present() {
        return Ok(found);
    }
    build_programs(&PROGRAMS)
}

/// Builds them and what a node needs beside them, all from our own module
/// whatever [`ASSETS`] names: a node's parts must fit each other.
///
/// # Errors
/// As [`build`].
pub fn build_for_node() -> Result<Binaries, String> {
    build_programs(&PROGRAMS)?;
    build_programs(&OF_A_NODE)
}

fn build_programs(programs: &[&str]) -> Result<Binaries, String> {
    let folder = cache();
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let version = kubernetes_version()?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    );
    for program in programs {
        if folder.join(program).is_file() {
            continue;
        }
        let partial = folder.join(format!(".{program}.{}", std::process::id()));
        let status = Command::new("go")
            .current_dir(module())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-o"])
            .arg(&partial)
            .arg(format!("./{program}"))
            .status()
            .map_err(|e| format!("go: {e}; install Go 1.26, or set {ASSETS}"))?;
        if !status.success() {
            return Err(format!("go build of {program}: {status}"));
        }
        std::fs::rename(&partial, folder.join(program)).map_err(|e| format!("{program}: {e}"))?;
    }
    Ok(Binaries { folder })
}
