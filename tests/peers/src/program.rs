//! The programs: each is what Go makes of a module of ours, built once and
//! kept in `target/peers/` under the module's hash, with those files of the
//! peer's own module that it needs when it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// A program that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The Git host.
    Gitea,
    /// Argo CD's controllers and its repo-server, in one.
    ArgoCd,
    /// What Argo CD renders Kustomize's sources with.
    Kustomize,
}

/// How one is built.
struct Recipe {
    /// Its folder here, and its name.
    name: &'static str,
    /// What is built, as `go build` takes it.
    package: &'static str,
    /// Whether it is linked with C.
    cgo: &'static str,
    tags: &'static str,
    /// The module whose files it needs, and which: a folder there, and its
    /// name here.
    files: Option<(&'static str, &'static [(&'static str, &'static str)])>,
}

impl Program {
    /// All of them; the quickest to build comes first.
    pub const ALL: [Self; 3] = [Self::Kustomize, Self::Gitea, Self::ArgoCd];

    fn recipe(self) -> Recipe {
        match self {
            Self::Gitea => Recipe {
                name: "gitea",
                package: ".",
                cgo: "1",
                tags: "sqlite sqlite_unlock_notify",
                files: Some((
                    "code.gitea.io/gitea",
                    &[
                        ("templates", "static/templates"),
                        ("options", "static/options"),
                        ("public", "static/public"),
                    ],
                )),
            },
            Self::ArgoCd => Recipe {
                name: "argocd",
                package: ".",
                cgo: "0",
                tags: "",
                files: Some((
                    "github.com/argoproj/argo-cd/v3",
                    &[("manifests/crds", "definitions")],
                )),
            },
            Self::Kustomize => Recipe {
                name: "kustomize",
                package: "sigs.k8s.io/kustomize/kustomize/v5",
                cgo: "0",
                tags: "",
                files: None,
            },
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        self.recipe().name
    }

    /// The folder that has it, under its [name](Program::name), and its files;
    /// `None` where it was not built.
    pub fn present(self) -> Option<PathBuf> {
        let folder = cache(self.name());
        folder.join(self.name()).is_file().then_some(folder)
    }

    /// Builds it where it is not there yet, which takes minutes, and returns
    /// its folder. It is moved into place once it is whole, so that builds at
    /// the same time do no harm.
    ///
    /// # Errors
    /// Where Go is missing or what it says.
    pub fn build(self) -> Result<PathBuf, String> {
        if let Some(folder) = self.present() {
            return Ok(folder);
        }
        let Recipe { name, package, cgo, tags, files } = self.recipe();
        let folder = cache(name);
        let partial = folder.with_extension(format!("partial-{}", std::process::id()));
        std::fs::create_dir_all(&partial).map_err(|e| format!("{}: {e}", partial.display()))?;
        let status = go(name)
            .env("CGO_ENABLED", cgo)
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", tags])
            .arg("-o")
            .arg(partial.join(name))
            .arg(package)
            .status()
            .map_err(|e| format!("go: {e}; install Go 1.26"))?;
        if !status.success() {
            return Err(format!("go build of {name}: {status}"));
        }
        if let Some((module, wanted)) = files {
            let from = source(name, module)?;
            for (there, here) in wanted {
                copy(&from.join(there), &partial.join(here))?;
            }
        }
        match std::fs::rename(&partial, &folder) {
            Ok(()) => Ok(folder),
            // Another build was first.
            Err(_) if self.present().is_some() => {
                let _ = std::fs::remove_dir_all(&partial);
                Ok(folder)
            }
            Err(e) => Err(format!("{}: {e}", folder.display())),
        }
    }
}

fn go(name: &str) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module(name)).env("GOFLAGS", "-mod=readonly");
    command
}

/// Our module of that name.
fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where what is built of our module as it is now is kept.
fn cache(name: &str) -> PathBuf {
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        hash.update(file);
        hash.update(std::fs::read(module(name).join(file)).unwrap_or_default());
    }
    let key = hex::encode(hash.finalize());
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let target = target.unwrap_or_else(own);
    target.join("peers").join(format!("{name}-{}", key.get(..16).unwrap_or_default()))
}

/// Where Go has put the source of a module that ours needs.
fn source(name: &str, module: &str) -> Result<PathBuf, String> {
    let output = go(name).args(["list", "-m", "-f", "{{.Dir}}", module]).output();
    let output = output.map_err(|e| format!("go list: {e}"))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if folder.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("go list of {module}: {said}"));
    }
    Ok(folder.into())
}

/// Copies a folder; what is read-only there can be written here.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let said = |e: std::io::Error| format!("{} to {}: {e}", from.display(), to.display());
    std::fs::create_dir_all(to).map_err(said)?;
    for entry in std::fs::read_dir(from).map_err(said)? {
        let entry = entry.map_err(said)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(said)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            let bytes = std::fs::read(entry.path()).map_err(said)?;
            std::fs::write(&target, bytes).map_err(said)?;
        }
    }
    Ok(())
}
