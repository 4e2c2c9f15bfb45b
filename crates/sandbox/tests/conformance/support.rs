//! What the scenarios share: a namespace of their own and a kind to play with.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::core::Status;
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};
use std::time::Duration;

pub const DEFINITION: &str = include_str!("../data/widget.yaml");

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario on the sandbox and, where one is named, on a cluster.
pub async fn run<F: Future<Output = ()>>(scenario: impl Fn(Client) -> F) {
    let api = sandbox::kubernetes::Api::new();
    tokio::time::timeout(PATIENCE, scenario(api.client()))
        .await
        .expect("the scenario did not end in time");
    if let Ok(path) = std::env::var("CONFORMANCE_KUBECONFIG") {
        let file = kube::config::Kubeconfig::read_from(path).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .unwrap();
        let client = Client::try_from(config).unwrap();
        tokio::time::timeout(PATIENCE, scenario(client))
            .await
            .expect("the scenario did not end in time on the cluster");
    }
}

pub fn widget_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("sandbox.example.com", "v1", "Widget"),
        "widgets",
    )
}

/// A namespace with Widgets in it.
pub struct Space {
    pub client: Client,
    pub name: String,
}

impl Space {
    /// Makes the namespace and, where it is not there, the kind.
    pub async fn new(client: &Client) -> Self {
        let definition: CustomResourceDefinition = serde_yaml::from_str(DEFINITION).unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let name = definition.metadata.name.clone().unwrap();
        definitions
            .patch(&name, &PatchParams::apply("conformance").force(), &Patch::Apply(&definition))
            .await
            .unwrap();
        await_condition(definitions, &name, conditions::is_crd_established()).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted = Namespace {
            metadata: ObjectMeta {
                generate_name: Some("conformance-".into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = namespaces.create(&PostParams::default(), &wanted).await.unwrap();
        Self { client: client.clone(), name: made.metadata.name.unwrap() }
    }

    pub fn widgets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &widget_resource())
    }

    pub fn of<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// A Widget with a spec.
    pub fn with(&self, name: &str, spec: Value) -> DynamicObject {
        DynamicObject::new(name, &widget_resource()).within(&self.name).data(json!({"spec": spec}))
    }

    pub fn widget(&self, name: &str, size: i64) -> DynamicObject {
        self.with(name, json!({"size": size}))
    }

    pub async fn create(&self, name: &str, size: i64) -> DynamicObject {
        self.widgets().create(&PostParams::default(), &self.widget(name, size)).await.unwrap()
    }

    pub async fn merge(&self, name: &str, patch: Value) -> DynamicObject {
        self.widgets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    /// Changes a Widget by a JSON patch.
    pub async fn json_patch(&self, name: &str, operations: Value) -> kube::Result<DynamicObject> {
        let request = http::Request::patch(format!("{}/{name}", self.path()))
            .header("content-type", "application/json-patch+json")
            .body(operations.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await
    }

    /// A request as it goes over the wire, with its answer.
    pub async fn raw(&self, path: &str, accept: &str) -> Value {
        let request = http::Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
        self.client.request(request).await.unwrap()
    }

    pub fn path(&self) -> String {
        format!("/apis/sandbox.example.com/v1/namespaces/{}/widgets", self.name)
    }
}

/// The refusal that a call got.
#[track_caller]
pub fn status<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

pub fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap()
}
