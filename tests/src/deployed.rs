//! A pipeline beside a real Argo CD on a real API server: Applications are
//! judged by what Argo CD writes, and what they deploy is looked at in the
//! cluster.

use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use peers::{ArgoCd, Gitea, Program, Repository, argocd};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::{Pipeline, await_that, cluster, examples, reviewed};

/// The definition of what the quick start's file is an instance of; in a
/// cluster that has Kro, Kro makes it.
const WEB_SERVICES: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: webservices.kro.run}
spec:
  group: kro.run
  scope: Namespaced
  names: {kind: WebService, plural: webservices, singular: webservice, listKind: WebServiceList}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

/// The parts.
pub struct Deployed {
    /// The controllers and the API server.
    pub pipeline: Pipeline,
    /// What deploys.
    pub argocd: ArgoCd,
    /// The Git host.
    pub gitea: &'static Gitea,
}

/// Says loudly that a test is passed over where something is missing.
fn can_run(test: &str) -> Option<&'static Gitea> {
    if Backend::chosen() != Backend::Envtest {
        let why = "a real Argo CD wants a real API server of the test's own (E2E_BACKEND=envtest)";
        crate::skipped::loudly(test, why);
        return None;
    }
    if let Some(why) = ArgoCd::lacks() {
        crate::skipped::loudly(test, why);
        return None;
    }
    reviewed::gitea(test)
}

impl Deployed {
    /// Starts them, without the controllers; `None` where something is missing,
    /// which is said.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, argocd::Options::default()).await
    }

    /// The same with an Argo CD that is set up so.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start_with(test: &str, options: argocd::Options) -> Option<Self> {
        let gitea = can_run(test)?;
        let pipeline = reviewed::pipeline().await;
        pipeline.world.argocd.stop();
        let client = pipeline.client();
        let mut wanted = examples::objects(WEB_SERVICES);
        for definition in ArgoCd::definitions().expect("Argo CD was built") {
            wanted.extend(examples::objects(&definition));
        }
        cluster::define(&client, &wanted).await.unwrap_or_else(|e| panic!("{e}"));
        let kubeconfig = pipeline.world.kubeconfig();
        let helm = crate::helm::program().and_then(|p| p.parent()).map(std::path::Path::to_owned);
        let tools = [helm, Program::Kustomize.present()].into_iter().flatten().collect();
        let argocd = ArgoCd::start(&client, &kubeconfig, tools, options).await;
        let argocd = argocd.unwrap_or_else(|e| panic!("Argo CD: {e}"));
        Some(Self { pipeline, argocd, gitea })
    }

    /// Starts the controllers.
    pub fn start_controllers(&mut self) {
        self.pipeline.start_controllers(supercargo::wiring::steps());
    }

    /// A repository at Gitea that Argo CD may read.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn repository(&self, files: &[(&str, &str)]) -> Repository {
        let repository = Repository::create(self.gitea, files).await;
        let (url, token) = (repository.url(), self.gitea.admin());
        let opened = argocd::open_repository(&self.pipeline.client(), &url, token).await;
        opened.unwrap_or_else(|e| panic!("{e}"));
        repository
    }

    /// The same of the files of an example, and more.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn repository_of(&self, example: &str, more: &[(&str, &str)]) -> Repository {
        let files = examples::repository(example);
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let files: Vec<(&str, &str)> = files.chain(more.iter().copied()).collect();
        self.repository(&files).await
    }

    /// Makes a namespace.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn namespace(&self, name: &str) {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespace = serde_json::from_value(namespace).expect("it is an object");
        cluster::apply(&self.pipeline.client(), &namespace).await.expect("the namespace is made");
    }

    /// Waits until an Application fits.
    ///
    /// # Panics
    /// With what Argo CD said last, when it does not.
    pub async fn application(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> DynamicObject {
        self.application_in(argocd::NAMESPACE, name, what, fits).await
    }

    /// The same in another namespace.
    ///
    /// # Panics
    /// With what Argo CD said last, when it does not.
    pub async fn application_in(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> DynamicObject {
        let api = self.applications(namespace);
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(20));
        let until = tokio::time::Instant::now() + await_that::PATIENCE;
        loop {
            pause.tick().await;
            let found = api.get_opt(name).await.expect("Applications can be read");
            if let Some(found) = &found
                && fits(&found.data)
            {
                return found.clone();
            }
            assert!(
                tokio::time::Instant::now() < until,
                "{what} of Application {name} did not come about; it is {}; {}",
                found.map(|f| f.data).unwrap_or_default(),
                self.argocd.last_words()
            );
        }
    }

    /// Waits until an Application is Synced and Healthy at the revision.
    pub async fn is_well(&self, name: &str, revision: &str) -> DynamicObject {
        self.application(name, "a good end", |a| {
            let text = |path: &str| a.pointer(path).and_then(Value::as_str).unwrap_or_default();
            text("/status/sync/status") == "Synced"
                && text("/status/health/status") == "Healthy"
                && text("/status/sync/revision") == revision
                && a.get("operation").is_none()
        })
        .await
    }

    /// The Applications of a namespace.
    pub fn applications(&self, namespace: &str) -> Api<DynamicObject> {
        self.objects("argoproj.io/v1alpha1", "Application", namespace)
    }

    /// The objects of a kind in a namespace.
    ///
    /// # Panics
    /// When the version is none.
    pub fn objects(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.pipeline.client(), namespace, &resource)
    }

    /// Asks Argo CD to look at an Application again, whatever it has kept, and
    /// waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub async fn refresh(&self, name: &str) -> DynamicObject {
        const REFRESH: &str = "argocd.argoproj.io/refresh";
        self.change(name, &json!({"metadata": {"annotations": {REFRESH: "hard"}}})).await;
        let api = self.applications(argocd::NAMESPACE);
        await_that::answer(&format!("a look at Application {name}"), || async {
            let found = api.get(name).await.expect("Applications can be read");
            (!found.annotations().contains_key(REFRESH)).then_some(found)
        })
        .await
    }

    /// Changes an Application by a merge patch, as somebody else does.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn change(&self, name: &str, patch: &Value) {
        let api = self.applications(argocd::NAMESPACE);
        let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        changed.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// The Promotions that Argo CD was asked to sync an Application for, by its
    /// history and its last operation, oldest first.
    pub fn synced_for(application: &DynamicObject) -> Vec<String> {
        let info = application.data.pointer("/status/operationState/operation/info");
        let named = |info: &&Value| info["name"] == "kargo.akuity.io/promotion";
        let infos = info.and_then(Value::as_array).into_iter().flatten();
        infos.filter(named).filter_map(|i| i["value"].as_str()).map(str::to_owned).collect()
    }

    /// How often the controllers have asked for a sync of an Application: each
    /// request leaves an Event. (A patch may be a mere request to look again.)
    /// By the API server's audit log.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn sync_requests(&mut self, application: &str) -> usize {
        let server = self.pipeline.world.cluster.server().expect("a server of its own");
        let (entries, _) = server.audit(0).expect("the audit log can be read");
        entries
            .iter()
            .filter(|e| cluster::is_controllers(&e.user))
            .filter(|e| e.resource == "events" && e.verb == "create" && e.code < 300)
            .filter(|e| e.name.strip_prefix(application).is_some_and(|n| n.starts_with('.')))
            .count()
    }
}
