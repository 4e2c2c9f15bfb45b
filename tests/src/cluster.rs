//! The Kubernetes API of a test, made ready as an installation makes it:
//! definitions, namespaces, the controllers' ServiceAccount and its rights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use envtest::audit::Entry;
use envtest::{Binaries, Options, Server};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config, ResourceExt};
use sandbox::kubernetes::{ARGOCD_DEFINITIONS, Api as Embedded, Requests, Server as Served};
use serde_json::json;
use supercargo::sandbox::world::{self, NAMESPACES};

use crate::backend::Backend;
use crate::installation::Installation;
use crate::rights::{self, Right};
use crate::{await_that, examples, leftovers};

/// The field manager of everything that the suite makes.
pub const MANAGER: &str = "e2e";

/// The ServiceAccount of the controllers, in [`NAMESPACE`].
pub const ACCOUNT: &str = "supercargo-controller";

/// That and, where the chart splits them off, that of the controllers of
/// Projects.
pub const ACCOUNTS: [&str; 2] = [ACCOUNT, "supercargo-management-controller"];

/// Where the controllers are at home.
pub const NAMESPACE: &str = "kargo";

/// A Kubernetes API with what an installation puts into it.
pub struct Cluster {
    backend: Backend,
    admin: Client,
    controllers: Client,
    dir: PathBuf,
    held: Held,
}

/// What runs behind it.
enum Held {
    Embedded { api: Embedded, _served: Served },
    Own(Box<Server>),
    Named(Option<Log>),
}

/// The audit log of a cluster that is not the test's own, from where it was
/// when the test began.
struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// The one that `E2E_AUDIT_LOG` names, if one is.
    fn named() -> Result<Option<Self>, String> {
        let Some(path) = std::env::var_os("E2E_AUDIT_LOG").map(PathBuf::from) else {
            return Ok(None);
        };
        let length = std::fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Some(Self { path, from: length.len() }))
    }
}

impl Cluster {
    /// Starts or finds the one of that back end. Files go to `dir`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn start(backend: Backend, dir: &Path) -> Result<Self, String> {
        match backend {
            Backend::Sandbox => Self::embedded(dir).await,
            Backend::Envtest => {
                let binaries = Binaries::present().ok_or(
                    "the API server has not been built: run `make envtest`, or set KUBEBUILDER_ASSETS",
                )?;
                let options = Options { audit: true, ..Options::default() };
                let server = Server::start(&binaries, options).await?;
                server.write_kubeconfig(&dir.join("kubeconfig"), server.admin())?;
                Self::real(backend, dir, Held::Own(Box::new(server))).await
            }
            Backend::Cluster | Backend::Pods => {
                let file = Kubeconfig::read().map_err(|e| format!("KUBECONFIG: {e}"))?;
                let text = serde_json::to_string(&file).map_err(|e| e.to_string())?;
                std::fs::write(dir.join("kubeconfig"), text).map_err(|e| e.to_string())?;
                Self::real(backend, dir, Held::Named(Log::named()?)).await
            }
        }
    }

    async fn embedded(dir: &Path) -> Result<Self, String> {
        let api = world::kubernetes()?;
        let served = api.serve(([127, 0, 0, 1], 0).into()).await.map_err(|e| e.to_string())?;
        for file in ["kubeconfig", "controllers.kubeconfig"] {
            served.write_kubeconfig(&dir.join(file)).map_err(|e| e.to_string())?;
        }
        Ok(Self {
            backend: Backend::Sandbox,
            admin: api.client(),
            controllers: api.client(),
            dir: dir.to_owned(),
            held: Held::Embedded { api, _served: served },
        })
    }

    async fn real(backend: Backend, dir: &Path, held: Held) -> Result<Self, String> {
        let admin = client(&dir.join("kubeconfig")).await?;
        if backend == Backend::Pods {
            // The chart brings the rest, and the pods have their own accounts.
            if let Some(left) = Installation::new(&dir.join("kubeconfig"), dir, &json!({}), true) {
                left.uninstall().await;
            }
            leftovers::remove(&admin).await?;
            define(&admin, &examples::objects(ARGOCD_DEFINITIONS)).await?;
            prepare_for_pods(&admin).await?;
            let controllers = admin.clone();
            std::fs::copy(dir.join("kubeconfig"), dir.join("controllers.kubeconfig"))
                .map_err(|e| e.to_string())?;
            return Ok(Self { backend, admin, controllers, dir: dir.to_owned(), held });
        }
        if backend == Backend::Cluster {
            leftovers::remove(&admin).await?;
        }
        install(&admin).await?;
        let token = envtest::server::token(&admin, NAMESPACE, ACCOUNT).await?;
        let text = std::fs::read_to_string(dir.join("kubeconfig")).map_err(|e| e.to_string())?;
        let mut file: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        for user in file["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token });
        }
        let path = dir.join("controllers.kubeconfig");
        std::fs::write(&path, file.to_string()).map_err(|e| e.to_string())?;
        let controllers = client(&path).await?;
        Ok(Self { backend, admin, controllers, dir: dir.to_owned(), held })
    }

    /// Which one it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// A client that may do everything.
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// A client with the controllers' rights.
    pub fn controllers(&self) -> Client {
        self.controllers.clone()
    }

    /// The kubeconfig of a user who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The kubeconfig of the controllers.
    pub fn controllers_kubeconfig(&self) -> PathBuf {
        self.dir.join("controllers.kubeconfig")
    }

    /// The real API server, where it is this test's own.
    pub fn server(&mut self) -> Option<&mut Server> {
        match &mut self.held {
            Held::Own(server) => Some(server),
            _ => None,
        }
    }

    /// Sees to it that deleted namespaces go, and what has lost its owner, which
    /// most tests do without; says whether it can.
    ///
    /// # Panics
    /// When what does it cannot be started.
    pub fn collects(&mut self) -> bool {
        match &mut self.held {
            Held::Own(server) => server.start_controllers().unwrap_or_else(|e| panic!("{e}")),
            Held::Embedded { .. } | Held::Named(_) => true,
        }
    }

    /// What a real API server was asked so far, where it tells.
    fn audit(&self) -> Option<Vec<Entry>> {
        let read = match &self.held {
            Held::Embedded { .. } | Held::Named(None) => return None,
            Held::Own(server) => server.audit(0),
            Held::Named(Some(log)) => {
                envtest::audit::read(&log.path, log.from).map_err(|e| e.to_string())
            }
        };
        let (entries, _) = read.expect("the audit log can be read");
        Some(entries)
    }

    /// The same, of the controllers alone.
    fn asked_by_controllers(&self) -> Option<Vec<Entry>> {
        let entries = self.audit()?.into_iter();
        Some(entries.filter(|e| is_controllers(&e.user)).collect())
    }

    /// The requests so far: the controllers' on a real API server, everybody's
    /// on the sandbox. `None` where they cannot be told.
    ///
    /// # Panics
    /// When the audit log cannot be read.
    pub fn requests(&self) -> Option<Requests> {
        if let Held::Embedded { api, .. } = &self.held {
            return Some(api.requests());
        }
        let own = self.asked_by_controllers()?.into_iter();
        let of_objects = own.filter(|e| !e.resource.starts_with('/'));
        Some(of_objects.map(|e| (e.verb, e.resource)).collect())
    }

    /// The rights that the controllers have used on a real API server.
    ///
    /// # Panics
    /// When the audit log cannot be read.
    pub fn used(&self) -> BTreeSet<Right> {
        let own = self.asked_by_controllers().unwrap_or_default().into_iter();
        own.filter(|e| e.code != 403)
            .map(|e| Right { group: e.group, resource: e.resource, verb: e.verb })
            .collect()
    }

    /// What the controllers asked for and were forbidden.
    ///
    /// A namespace's Secrets are opened to them by a binding that they make with
    /// the Project: to ask before it holds is no lack of rights.
    ///
    /// # Panics
    /// When the audit log cannot be read.
    pub fn forbidden(&self) -> Vec<String> {
        let own = while_installed(self.audit().unwrap_or_default());
        let opened_before = |at: usize, namespace: &str| {
            own.iter().take(at).any(|e| {
                e.resource == "rolebindings" && e.verb == "create" && e.namespace == namespace
            })
        };
        let read_after = |at: usize, namespace: &str| {
            own.iter()
                .skip(at)
                .any(|e| e.resource == "secrets" && e.code == 200 && e.namespace == namespace)
        };
        let early = |at: usize, e: &Entry| {
            e.resource == "secrets"
                && (!opened_before(at, &e.namespace) || read_after(at, &e.namespace))
        };
        let refused = own.iter().enumerate().filter(|(at, e)| e.code == 403 && !early(*at, e));
        let mut told: Vec<String> = refused
            .map(|(_, e)| {
                let (verb, group, resource) = (&e.verb, &e.group, &e.resource);
                format!("{verb} {group}/{resource} {}/{}: {}", e.namespace, e.name, e.message)
            })
            .collect();
        told.sort();
        told.dedup();
        told
    }
}

/// What the controllers asked for while they were installed: `helm uninstall`
/// takes the roles away before the pods have ended.
fn while_installed(entries: Vec<Entry>) -> Vec<Entry> {
    let mut installed = true;
    let mut own = Vec::new();
    for entry in entries {
        if entry.resource == "clusterrolebindings" && entry.code < 300 {
            installed = match entry.verb.as_str() {
                "create" => true,
                "delete" => false,
                _ => installed,
            };
        }
        if installed && is_controllers(&entry.user) {
            own.push(entry);
        }
    }
    own
}

/// Whether a request of that user is the controllers'.
pub fn is_controllers(user: &str) -> bool {
    let account = user.strip_prefix(&format!("system:serviceaccount:{NAMESPACE}:"));
    account.is_some_and(|a| ACCOUNTS.contains(&a))
}

/// A client of the kubeconfig in a file.
///
/// # Errors
/// What `kube` says.
pub async fn client(path: &Path) -> Result<Client, String> {
    let said = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = Kubeconfig::read_from(path).map_err(|e| said(&e))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|e| said(&e))?;
    Client::try_from(config).map_err(|e| said(&e))
}

/// Applies an object as `kubectl apply --server-side` does. It gets the label
/// [`MANAGER`]: a Project without a spec has no field that anybody manages.
///
/// # Errors
/// What the API says.
///
/// # Panics
/// When the object has no kind.
pub async fn apply(client: &Client, object: &DynamicObject) -> Result<(), kube::Error> {
    let types = object.types.clone().expect("the object has a kind");
    let gvk = GroupVersionKind::try_from(&types).expect("the kind can be read");
    let resource = ApiResource::from_gvk(&gvk);
    let cluster = matches!(gvk.kind.as_str(), "Project" | "ClusterPromotionTask" | "ClusterConfig");
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) if !cluster => Api::namespaced_with(client.clone(), namespace, &resource),
        _ => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    let mut object = object.clone();
    object.labels_mut().insert(MANAGER.to_owned(), String::new());
    api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await.map(drop)
}

/// Makes definitions known, and waits until their kinds are served.
///
/// # Errors
/// What the API says.
pub async fn define(admin: &Client, wanted: &[DynamicObject]) -> Result<(), String> {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for definition in wanted {
        apply(admin, definition).await.map_err(|e| e.to_string())?;
    }
    for definition in wanted {
        let name = definition.metadata.name.clone().unwrap_or_default();
        await_that::object(definitions.clone(), &format!("{name} served"), |d| {
            d.metadata.name.as_deref() == Some(&name)
                && d.status
                    .iter()
                    .flat_map(|s| s.conditions.iter().flatten())
                    .any(|c| c.type_ == "Established" && c.status == "True")
        })
        .await;
    }
    Ok(())
}

async fn apply_all(admin: &Client, yaml: &str) -> Result<(), String> {
    for object in examples::objects(yaml) {
        apply(admin, &object).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

async fn install(admin: &Client) -> Result<(), String> {
    let mut wanted = examples::objects(ARGOCD_DEFINITIONS);
    for (_, definition) in api::crd::definitions() {
        wanted.push(serde_json::from_value(definition).map_err(|e| e.to_string())?);
    }
    define(admin, &wanted).await?;
    for namespace in NAMESPACES {
        let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        apply_all(admin, &text).await?;
    }
    for object in rights::manifest() {
        let object: DynamicObject = serde_json::from_value(object).map_err(|e| e.to_string())?;
        apply(admin, &object).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// What is there before the chart is: Argo CD's namespace, and one for the
/// release that takes only pods of the restricted level.
async fn prepare_for_pods(admin: &Client) -> Result<(), String> {
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: argocd}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  \
         labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
    );
    apply_all(admin, &text).await
}
