//! Applications for tests, and an Argo CD cluster in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::application::Application;
use super::{ArgoCd, ArgoCdError, Selector};

/// An Application from JSON.
pub(crate) fn from(value: Value) -> Application {
    serde_json::from_value(value).unwrap()
}

/// An Application with nothing but a name.
pub(crate) fn application(namespace: &str, name: &str) -> Application {
    from(json!({"metadata": {"namespace": namespace, "name": name}}))
}

/// Applies a JSON merge patch (RFC 7386).
pub(crate) fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            apply(&mut target[key.as_str()], change);
        }
    }
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<(String, String), Value>,
    patches: Vec<Value>,
    events: Vec<Value>,
    conflicts: u32,
    broken: Vec<String>,
}

/// An Argo CD cluster in memory.
#[derive(Default)]
pub(crate) struct FakeArgoCd(Mutex<State>);

impl FakeArgoCd {
    pub(crate) fn with(objects: &[Value]) -> Self {
        let fake = Self::default();
        objects.iter().for_each(|o| fake.put(o.clone()));
        fake
    }

    /// Puts an object, with a new resourceVersion.
    pub(crate) fn put(&self, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let text = |v: &Value| v.as_str().unwrap_or("argocd").to_owned();
        object["metadata"]["namespace"] = json!(text(&object["metadata"]["namespace"]));
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        state.objects.insert(key, object);
    }

    /// Takes an object away.
    pub(crate) fn remove(&self, name: &str) {
        self.0.lock().unwrap().objects.remove(&("argocd".to_owned(), name.to_owned()));
    }

    /// Lets the next patches end in conflicts.
    pub(crate) fn conflict(&self, times: u32) {
        self.0.lock().unwrap().conflicts = times;
    }

    /// Lets patches of an Application fail.
    pub(crate) fn break_patches_of(&self, name: &str) {
        self.0.lock().unwrap().broken.push(name.to_owned());
    }

    pub(crate) fn patches(&self) -> Vec<Value> {
        self.0.lock().unwrap().patches.clone()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.0.lock().unwrap().events.clone()
    }

    pub(crate) fn object(&self, name: &str) -> Value {
        self.0.lock().unwrap().objects[&("argocd".to_owned(), name.to_owned())].clone()
    }
}

#[async_trait]
impl ArgoCd for FakeArgoCd {
    fn default_namespace(&self) -> &str {
        "argocd"
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Application>, ArgoCdError> {
        Ok(self.get_live(namespace, name).await?.map(from))
    }

    async fn get_live(&self, namespace: &str, name: &str) -> Result<Option<Value>, ArgoCdError> {
        let key = (namespace.to_owned(), name.to_owned());
        Ok(self.0.lock().unwrap().objects.get(&key).cloned())
    }

    async fn list(
        &self,
        namespace: &str,
        selector: Option<&Selector>,
    ) -> Result<Vec<Application>, ArgoCdError> {
        let state = self.0.lock().unwrap();
        let apps = state.objects.iter().filter(|((ns, _), _)| ns == namespace);
        Ok(apps
            .map(|(_, object)| from(object.clone()))
            .filter(|app| selector.is_none_or(|s| s.matches(&app.labels())))
            .collect())
    }

    async fn patch(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, ArgoCdError> {
        let mut state = self.0.lock().unwrap();
        if state.broken.iter().any(|b| b == name) {
            return Err(ArgoCdError::Other("something went wrong".into()));
        }
        if state.conflicts > 0 {
            state.conflicts -= 1;
            return Err(ArgoCdError::Conflict("the object has been modified".into()));
        }
        state.version += 1;
        let version = json!(state.version.to_string());
        let object = state.objects.get_mut(&(namespace.to_owned(), name.to_owned())).unwrap();
        let expected = &patch["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
            return Err(ArgoCdError::Conflict("the object has been modified".into()));
        }
        apply(object, patch);
        object["metadata"]["resourceVersion"] = version;
        let object = object.clone();
        state.patches.push(patch.clone());
        Ok(object)
    }

    async fn create_event(&self, _namespace: &str, event: Value) -> Result<(), ArgoCdError> {
        self.0.lock().unwrap().events.push(event);
        Ok(())
    }
}
