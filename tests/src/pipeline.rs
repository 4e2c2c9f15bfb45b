//! The running world of a test: its parts and, in this process, the
//! controllers.

use std::sync::Arc;
use std::time::Duration;

use ::sandbox::registry::NewImage;
use clap::Parser;
use http::{Method, Request, Response};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::client::Body;
use kube::core::GroupVersionKind;
use promotion::step::Registry;
use serde_json::{Value, json};
use supercargo::cli::{Cli, Command, ControllerArgs};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::installation::{self, Installation};
use crate::world::World;
use crate::{await_that, cluster, examples};

/// A world with the controllers: in this process, where they stop when it is
/// dropped, or as pods. What they were forbidden to do on a real API server
/// fails the test.
pub struct Pipeline {
    /// The parts.
    pub world: World,
    /// The controllers' settings.
    pub args: ControllerArgs,
    controllers: Option<Controllers>,
    installation: Option<Installation>,
    _dir: tempfile::TempDir,
}

struct Controllers {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), String>>,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(controllers) = &self.controllers {
            controllers.shutdown.cancel();
            controllers.task.abort();
        }
        if !std::thread::panicking() {
            crate::rights::note(&self.world.cluster.used());
            let forbidden = self.world.cluster.forbidden();
            assert!(
                forbidden.is_empty(),
                "the controllers lack rights (charts/supercargo/templates):\n{}",
                forbidden.join("\n")
            );
        }
    }
}

impl Pipeline {
    /// The parts without controllers, on the Kubernetes API that `E2E_BACKEND`
    /// names.
    ///
    /// # Panics
    /// When they cannot be started.
    pub async fn without_controllers() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let world = World::start(Backend::chosen(), dir.path())
            .await
            .unwrap_or_else(|e| panic!("the world does not start: {e}"));
        let cli = Cli::try_parse_from(["supercargo", "controller"]).expect("the defaults hold");
        let Command::Controller(args) = cli.command else { panic!("not the controller") };
        let mut args = *args;
        world.map_names(&mut args);
        Self { world, args, controllers: None, installation: None, _dir: dir }
    }

    /// The parts with the controllers.
    ///
    /// # Panics
    /// When they cannot be started.
    pub async fn start() -> Self {
        let mut pipeline = Self::without_controllers().await;
        if pipeline.backend() == Backend::Pods {
            pipeline.install(&json!({})).await;
        } else {
            pipeline.start_controllers(supercargo::wiring::steps());
        }
        pipeline
    }

    /// Installs the chart with these values, and waits until its pods are ready.
    ///
    /// # Panics
    /// When they do not become so, or there is no helm.
    pub async fn install(&mut self, values: &Value) {
        let base = installation::values(&self.args);
        let kubeconfig = self.world.kubeconfig();
        let installation = Installation::new(&kubeconfig, &self.world.dir, &base, true)
            .expect("the chart is installed by helm");
        installation.install(values).await;
        self.installation = Some(installation);
    }

    /// The chart's release.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn installation(&self) -> &Installation {
        self.installation.as_ref().expect("the chart is installed")
    }

    /// Starts the controllers in this process, with these step kinds.
    ///
    /// # Panics
    /// Where they are to be pods.
    pub fn start_controllers(&mut self, steps: Registry) {
        assert_ne!(self.backend(), Backend::Pods, "the controllers are pods here");
        self.start_controllers_with(self.world.cluster.controllers(), steps);
    }

    /// The same, where the API server fails (500) at the requests, by method and
    /// path, that `fails` says.
    pub fn start_controllers_refused(
        &mut self,
        fails: impl Fn(&Method, &str) -> bool + Send + Sync + 'static,
    ) {
        let (client, fails) = (self.world.cluster.controllers(), Arc::new(fails));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, fails) = (client.clone(), fails.clone());
            async move {
                if fails(request.method(), request.uri().path()) {
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "status": "Failure",
                        "reason": "InternalError", "code": 500,
                        "message": "etcdserver: request timed out",
                    });
                    let answer = Response::builder().status(500);
                    return Ok(answer.body(Body::from(status.to_string().into_bytes()))?);
                }
                client.send(request).await.map_err(Into::<tower::BoxError>::into)
            }
        });
        let client = kube::Client::new(service, "default");
        self.start_controllers_with(client, supercargo::wiring::steps());
    }

    fn start_controllers_with(&mut self, client: kube::Client, steps: Registry) {
        let shutdown = CancellationToken::new();
        let (args, token) = (self.args.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            supercargo::controller::serve(client, &args, steps, token).await
        });
        self.controllers = Some(Controllers { shutdown, task });
    }

    /// Ends the controllers of this process and waits until they have.
    ///
    /// # Panics
    /// When they do not end.
    pub async fn stop_controllers(&mut self) {
        if let Some(controllers) = self.controllers.take() {
            controllers.shutdown.cancel();
            tokio::time::timeout(Duration::from_secs(30), controllers.task)
                .await
                .expect("the controllers end when they are told to")
                .expect("they do not panic")
                .expect("they end well");
        }
    }

    /// A client of the Kubernetes API that may do everything.
    pub fn client(&self) -> kube::Client {
        self.world.cluster.admin()
    }

    /// Which Kubernetes API this is.
    pub fn backend(&self) -> Backend {
        self.world.cluster.backend()
    }

    /// The objects of a kind in a namespace.
    pub fn of<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// The Argo CD Application of that name, as JSON.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn application(&self, name: &str) -> DynamicObject {
        let kind =
            ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), "argocd", &kind);
        api.get(name).await.expect("the Application is there")
    }

    /// Applies the objects of a YAML text as `kubectl apply --server-side`
    /// does, each once its namespace is there.
    ///
    /// # Panics
    /// When the API refuses one.
    pub async fn apply(&self, yaml: &str) {
        for object in examples::objects(yaml) {
            self.apply_one(&object).await.unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// Applies one object.
    ///
    /// # Errors
    /// What the API says.
    pub async fn apply_one(&self, object: &DynamicObject) -> Result<(), kube::Error> {
        if let Some(namespace) = object.metadata.namespace.as_deref()
            && object.types.as_ref().is_none_or(|t| t.kind != "Project")
        {
            self.namespace(namespace).await;
        }
        cluster::apply(&self.client(), object).await
    }

    /// Waits until a namespace is there.
    pub async fn namespace(&self, name: &str) {
        use k8s_openapi::api::core::v1::Namespace;
        let api: Api<Namespace> = Api::all(self.client());
        await_that::object(api, &format!("namespace {name}"), |n| {
            n.metadata.name.as_deref() == Some(name)
        })
        .await;
    }

    /// Makes a repository on the Git host of the files of an example.
    ///
    /// # Panics
    /// When the host refuses.
    pub async fn repository(&self, path: &str, example: &str) {
        let files = examples::repository(example);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        self.world.git.create_repository(path, &files).await.expect("the repository is made");
    }

    /// Publishes an image under a tag.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn push_tag(&self, repository: &str, tag: &str) {
        let image =
            NewImage { content: tag.to_owned(), ..NewImage::created(jiff::Timestamp::now()) };
        self.world.registry.push_tag(repository, tag, &image).expect("the tag is published");
    }

    /// Makes a Warehouse look now.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn refresh(&self, namespace: &str, warehouse: &str, token: &str) {
        let change = json!({"metadata": {"annotations": {api::annotations::REFRESH: token}}});
        self.of::<api::Warehouse>(namespace)
            .patch(warehouse, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .expect("the Warehouse is there");
    }

    /// The messages of the commits on `main`, newest first.
    ///
    /// # Panics
    /// When the repository is not there.
    pub async fn commits(&self, repository: &str) -> Vec<::sandbox::git_host::CommitInfo> {
        self.world.git.log(repository, "main").await.expect("the repository is there")
    }

    /// A file on `main`.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn file(&self, repository: &str, path: &str) -> String {
        let bytes = self.world.git.read_file(repository, "main", path).await;
        String::from_utf8(bytes.expect("the host answers").expect("the file is there"))
            .expect("the file is text")
    }

    /// Makes a Promotion under a name of a user's choice, and waits for its end:
    /// its status.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn promoted_by_hand(
        &self,
        namespace: &str,
        stage: &str,
        name: &str,
        freight: &str,
    ) -> api::PromotionStatus {
        let manifest = format!(
            "apiVersion: kargo.akuity.io/v1alpha1\nkind: Promotion\nmetadata: {{name: {name}, \
             namespace: {namespace}}}\nspec: {{stage: {stage}, freight: {freight}, steps: [{{uses: x}}]}}\n"
        );
        self.apply(&manifest).await;
        let ended = await_that::object(self.of::<api::Promotion>(namespace), name, |p| {
            p.metadata.name.as_deref() == Some(name)
                && p.status.as_ref().is_some_and(|s| s.phase.is_terminal())
        })
        .await;
        ended.status.unwrap_or_default()
    }

    /// Waits until a Promotion of the Stage with that tag's Freight has ended.
    pub async fn promoted(&self, namespace: &str, stage: &str, tag: &str) -> api::Promotion {
        let stage = stage.to_owned();
        let tag = tag.to_owned();
        await_that::object(
            self.of::<api::Promotion>(namespace),
            &format!("the end of a Promotion of {tag} to {stage}"),
            move |p| {
                let Some(status) = &p.status else { return false };
                p.spec.stage == stage
                    && status.phase.is_terminal()
                    && status
                        .freight
                        .as_ref()
                        .is_some_and(|f| f.images.iter().any(|i| i.tag == tag))
            },
        )
        .await
    }
}
