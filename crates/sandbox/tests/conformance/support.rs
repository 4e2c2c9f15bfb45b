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

/// How long a scenario may take. A real garbage collector looks every half a
/// minute which kinds there are, and other scenarios define some.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a scenario on the sandbox.
pub async fn on_the_sandbox<F: Future<Output = ()>>(scenario: impl Fn(Client) -> F) {
    let api = sandbox::kubernetes::Api::new();
    tokio::time::timeout(PATIENCE, scenario(api.client()))
        .await
        .expect("the scenario did not end in time");
}

/// Runs a scenario on the cluster that `CONFORMANCE_KUBECONFIG` names, else on an API server that this
/// process starts, where one was built.
///
/// `collects` says that the scenario needs the controllers that empty namespaces and delete dependents.
pub async fn on_a_real_server<F: Future<Output = ()>>(
    collects: bool,
    scenario: impl Fn(Client) -> F,
) {
    let client = match std::env::var("CONFORMANCE_KUBECONFIG") {
        Ok(path) => {
            let file = kube::config::Kubeconfig::read_from(path).unwrap();
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &options).await.unwrap();
            Client::try_from(config).unwrap()
        }
        Err(_) => match envtest::server::shared() {
            Some(server) if collects && !server.has_controllers() => {
                println!("skipped: there is no kube-controller-manager beside the API server");
                return;
            }
            Some(server) => server.client().await.unwrap(),
            None => {
                println!("skipped: there is no real API server; `make envtest` builds one");
                return;
            }
        },
    };
    tokio::time::timeout(PATIENCE, scenario(client))
        .await
        .expect("the scenario did not end in time");
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

/// An answer as it came over the wire.
pub struct Answer {
    pub code: u16,
    pub text: String,
    pub warnings: Vec<String>,
}

impl Answer {
    /// The answer to a request with a body.
    pub async fn to(client: &Client, method: &str, path: &str, kind: &str, body: &str) -> Self {
        use http_body_util::BodyExt;
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("accept", "application/json")
            .body(kube::client::Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let response = client.send(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let warnings = parts.headers.get_all("warning").iter();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            code: parts.status.as_u16(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            warnings: warnings.filter_map(|w| Some(w.to_str().ok()?.to_owned())).collect(),
        }
    }

    /// The body; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The reason of a refusal.
    pub fn reason(&self) -> &'static str {
        let said = self.json()["reason"].as_str().unwrap_or_default().to_owned();
        [
            "BadRequest",
            "Conflict",
            "Invalid",
            "MethodNotAllowed",
            "NotFound",
            "UnsupportedMediaType",
            "Expired",
        ]
        .into_iter()
        .find(|known| *known == said)
        .unwrap_or("another")
    }
}
