//! Applications in a real cluster, over `kube`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::Value;

use super::application::{Application, GROUP, KIND, PLURAL, VERSION};
use super::{ArgoCd, ArgoCdError, DEFAULT_NAMESPACE, NOT_SERVED, Selector};

/// Argo CD's cluster. Reads come from a watch where one is given.
#[derive(Clone)]
pub struct ClusterArgoCd {
    client: kube::Client,
    default_namespace: String,
    known: Option<Arc<dyn Known>>,
}

/// What a watch of the process knows of the Applications.
pub trait Known: Send + Sync {
    /// Whether the watch sees that namespace and has seen all of it once.
    fn covers(&self, namespace: &str) -> bool;
    /// The Application, if it exists.
    fn get(&self, namespace: &str, name: &str) -> Option<Application>;
    /// The Applications of a namespace.
    fn list(&self, namespace: &str) -> Vec<Application>;
    /// See [`ArgoCd::is_settled`].
    fn is_settled(&self, app: &Application) -> bool;
}

/// How long to wait between two looks at a cluster that does not serve
/// Applications for the moment (`steps-argocd` 3.9).
const DISCOVERY_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// How many Applications one page of a list holds.
const PAGE: u32 = 500;

impl ClusterArgoCd {
    /// Argo CD in the cluster that the client talks to. An empty default
    /// namespace is [`DEFAULT_NAMESPACE`].
    pub fn new(client: kube::Client, default_namespace: &str) -> Self {
        let default_namespace = match default_namespace {
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        };
        Self { client, default_namespace: default_namespace.to_owned(), known: None }
    }

    /// The same with reads from a watch.
    #[must_use]
    pub fn with_known(mut self, known: Arc<dyn Known>) -> Self {
        self.known = Some(known);
        self
    }

    /// Whether the cluster serves Applications, for the decision at start
    /// whether there is an Argo CD at all (`steps-argocd` 1.1).
    ///
    /// # Errors
    /// Anything but "there is no such resource".
    pub async fn probe(&self) -> Result<bool, ArgoCdError> {
        let listed =
            self.typed(&self.default_namespace).list(&ListParams::default().limit(1)).await;
        match listed {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(e) => Err(error(e)),
        }
    }

    fn typed(&self, namespace: &str) -> Api<Application> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn untyped(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource())
    }

    fn known(&self, namespace: &str) -> Option<&dyn Known> {
        self.known.as_deref().filter(|known| known.covers(namespace))
    }
}

/// The resource, for untyped access.
pub fn resource() -> ApiResource {
    ApiResource {
        group: GROUP.into(),
        version: VERSION.into(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: KIND.into(),
        plural: PLURAL.into(),
    }
}

/// Sorts the API's answers by what is to be done about them. A 404 that names
/// no object, and a 503, mean that the cluster does not serve Applications for
/// the moment.
fn error(error: kube::Error) -> ArgoCdError {
    let kube::Error::Api(status) = &error else { return ArgoCdError::Other(error.to_string()) };
    let text = status.message.clone();
    let names_object = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
    match status.code {
        404 if names_object => ArgoCdError::NotFound(text),
        404 => ArgoCdError::NotServed(NOT_SERVED.to_owned()),
        503 => ArgoCdError::NotServed(text),
        409 => ArgoCdError::Conflict(text),
        401 | 403 => ArgoCdError::Denied(text),
        400 | 422 => ArgoCdError::Refused(text),
        _ => ArgoCdError::Other(if text.is_empty() { error.to_string() } else { text }),
    }
}

/// Asks again while the cluster does not serve Applications.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, ArgoCdError>
where
    F: Future<Output = Result<T, ArgoCdError>>,
{
    for pause in DISCOVERY_PAUSES {
        match ask().await {
            Err(ArgoCdError::NotServed(why)) => {
                tracing::warn!("the cluster does not serve Applications, asking again: {why}");
                tokio::time::sleep(pause).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

#[async_trait]
impl ArgoCd for ClusterArgoCd {
    fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Application>, ArgoCdError> {
        if let Some(known) = self.known(namespace) {
            return Ok(known.get(namespace, name));
        }
        let api = &self.typed(namespace);
        let found = patiently(|| async move { api.get(name).await.map_err(error) }).await;
        match found {
            Ok(app) => Ok(Some(app)),
            Err(ArgoCdError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn get_live(&self, namespace: &str, name: &str) -> Result<Option<Value>, ArgoCdError> {
        match self.untyped(namespace).get(name).await.map_err(error) {
            Ok(object) => serde_json::to_value(object)
                .map(Some)
                .map_err(|e| ArgoCdError::Other(format!("cannot read the Application: {e}"))),
            Err(ArgoCdError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn list(
        &self,
        namespace: &str,
        selector: Option<&Selector>,
    ) -> Result<Vec<Application>, ArgoCdError> {
        let mut apps = Vec::new();
        if let Some(known) = self.known(namespace) {
            apps = known.list(namespace);
            apps.retain(|app| selector.is_none_or(|s| s.matches(&app.labels())));
        } else {
            let api = &self.typed(namespace);
            let mut params = ListParams::default().limit(PAGE);
            if let Some(selector) = selector {
                params = params.labels(&selector.query());
            }
            loop {
                let ask = &params;
                let page = patiently(|| async move { api.list(ask).await.map_err(error) }).await?;
                apps.extend(page.items);
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => break,
                }
            }
        }
        apps.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(apps)
    }

    async fn patch(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, ArgoCdError> {
        let object = self
            .untyped(namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(error)?;
        serde_json::to_value(object)
            .map_err(|e| ArgoCdError::Other(format!("cannot read the Application: {e}")))
    }

    async fn create_event(&self, namespace: &str, event: Value) -> Result<(), ArgoCdError> {
        let event: Event = serde_json::from_value(event)
            .map_err(|e| ArgoCdError::Other(format!("cannot build the event: {e}")))?;
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        api.create(&PostParams::default(), &event).await.map_err(error)?;
        Ok(())
    }

    fn is_settled(&self, app: &Application) -> bool {
        self.known.as_ref().is_some_and(|known| known.is_settled(app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_does_not_serve_applications_is_asked_again() {
        let ask = async |answers: Vec<Result<(), ArgoCdError>>| {
            let calls = std::cell::Cell::new(0);
            let result = patiently(|| {
                let answer = answers.get(calls.get()).or(answers.last()).cloned().unwrap();
                calls.set(calls.get() + 1);
                async move { answer }
            })
            .await;
            (calls.get(), result.is_ok())
        };
        let not_served = || Err(ArgoCdError::NotServed("incomplete".into()));
        let other = || Err(ArgoCdError::Other("boom".into()));
        // steps-argocd/12-14
        assert_eq!(ask(vec![not_served(), not_served(), Ok(())]).await, (3, true));
        assert_eq!(ask(vec![other()]).await, (1, false));
        assert_eq!(ask(vec![Err(ArgoCdError::NotFound("x".into()))]).await, (1, false));
        assert_eq!(ask(vec![not_served()]).await, (6, false));
    }

    #[tokio::test(start_paused = true)]
    async fn argo_cd_may_come_later() {
        let server = sandbox::kubernetes::Api::new();
        let argocd = ClusterArgoCd::new(server.client(), "");
        assert!(!argocd.probe().await.unwrap());
        let error = argocd.get("argocd", "one").await.unwrap_err();
        assert!(error.class().passes(), "it may come: {error}");
        assert!(error.to_string().contains("install Argo CD"), "says what to do: {error}");
        let definition = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{PLURAL}.{GROUP}")},
            "spec": {
                "group": GROUP, "scope": "Namespaced",
                "names": {"kind": KIND, "plural": PLURAL, "singular": "application",
                          "listKind": "ApplicationList"},
                "versions": [{"name": VERSION, "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object",
                        "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        });
        server.load_value(definition).unwrap();
        assert!(argocd.probe().await.unwrap());
        assert_eq!(argocd.get("argocd", "one").await.unwrap(), None);
    }

    #[test]
    fn answers_are_sorted_by_what_is_to_be_done() {
        use crate::error::ErrorClass;
        let answer = |code: u16, name: &str| {
            let status = serde_json::json!({
                "status": "Failure", "code": code, "message": "no", "reason": "x",
                "details": {"name": name}});
            error(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))).class()
        };
        for (code, name, class) in [
            (400, "a", ErrorClass::Config),
            (401, "a", ErrorClass::Auth),
            (403, "a", ErrorClass::Auth),
            (404, "a", ErrorClass::NotFound),
            (404, "", ErrorClass::Transient),
            (409, "a", ErrorClass::Conflict),
            (422, "a", ErrorClass::Config),
            (429, "a", ErrorClass::Transient),
            (500, "a", ErrorClass::Transient),
            (503, "", ErrorClass::Transient),
        ] {
            assert_eq!(answer(code, name), class, "{code} {name:?}");
        }
    }
}
