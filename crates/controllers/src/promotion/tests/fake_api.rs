//! As much of a Kubernetes API as a pass over a Promotion asks: get, merge
//! patch with a resourceVersion, create Events; each request is kept, and any
//! can be made to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

type Fails = Box<dyn Fn(&str, &str) -> Option<(u16, &'static str)> + Send + Sync>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    events: Vec<Value>,
    requests: Vec<String>,
    version: u64,
    fails: Option<Fails>,
    intruder: Option<Value>,
}

/// The API. Clones share it.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl State {
    fn put(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path_of(&object), object.clone());
        object
    }
}

fn path_of(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = if kind == "freight" { "freights".to_owned() } else { format!("{kind}s") };
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("/apis/kargo.akuity.io/v1alpha1/namespaces/{namespace}/{plural}/{name}")
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message});
    (code, status)
}

impl FakeApi {
    /// A client of it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let method = request.method().to_string();
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (code, answer) = api.answer(&method, &path, &body);
                let bytes = serde_json::to_vec(&answer).unwrap();
                let response = Response::builder()
                    .status(code)
                    .header("content-type", "application/json")
                    .body(Body::from(bytes))
                    .unwrap();
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there; returns it as the API would give it.
    pub fn put(&self, object: Value) -> Value {
        self.0.lock().unwrap().put(object)
    }

    /// Takes an object away.
    pub fn remove(&self, object: &Value) {
        self.0.lock().unwrap().objects.remove(&path_of(object));
    }

    /// The object as it is now.
    pub fn now(&self, object: &Value) -> Value {
        self.0.lock().unwrap().objects[&path_of(object)].clone()
    }

    /// All requests so far: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    /// The writes so far, Events not counted.
    pub fn writes(&self) -> usize {
        self.requests().iter().filter(|r| r.starts_with("PATCH")).count()
    }

    /// The Events created so far.
    pub fn events(&self) -> Vec<Value> {
        self.0.lock().unwrap().events.clone()
    }

    /// Puts that object there just before the next patch arrives.
    pub fn put_before_next_patch(&self, object: Value) {
        self.0.lock().unwrap().intruder = Some(object);
    }

    /// Answers requests for which `fails` says so with a code and a reason.
    pub fn fail(
        &self,
        fails: impl Fn(&str, &str) -> Option<(u16, &'static str)> + Send + Sync + 'static,
    ) {
        self.0.lock().unwrap().fails = Some(Box::new(fails));
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        state.requests.push(format!("{method} {path}"));
        if method == "PATCH"
            && let Some(object) = state.intruder.take()
        {
            state.put(object);
        }
        if let Some((code, reason)) = state.fails.as_ref().and_then(|f| f(method, path)) {
            return failure(code, reason, "something went wrong");
        }
        if method == "POST" && path.ends_with("/events") {
            state.events.push(body.clone());
            return (201, body.clone());
        }
        let (key, only_status) = match path.strip_suffix("/status") {
            Some(key) => (key, true),
            None => (path, false),
        };
        let Some(mut object) = state.objects.get(key).cloned() else {
            return failure(404, "NotFound", &format!("{path} not found"));
        };
        if method == "PATCH" {
            let wants = &body["metadata"]["resourceVersion"];
            if !wants.is_null() && *wants != object["metadata"]["resourceVersion"] {
                return failure(409, "Conflict", "the object has been modified");
            }
            if only_status {
                merge(&mut object["status"], &body["status"]);
            } else {
                merge(&mut object, body);
            }
            state.version += 1;
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.objects.insert(key.to_owned(), object.clone());
        }
        (200, object)
    }
}
