//! What a user sees of an object: its conditions and messages, as `kubectl
//! describe` prints them.

use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::discovery::{Discovery, verbs};

use crate::Pipeline;

/// Everything that the API holds but Secrets, as JSON, one object an entry.
///
/// # Panics
/// When it cannot be listed.
pub async fn all_objects(pipeline: &Pipeline) -> Vec<serde_json::Value> {
    let client = pipeline.client();
    let discovery = Discovery::new(client.clone()).run().await.expect("the API can be discovered");
    let mut objects = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if resource.kind == "Secret" || !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let listed = api.list(&Default::default()).await;
            for object in listed.unwrap_or_else(|e| panic!("{}: {e}", resource.kind)).items {
                let mut object = serde_json::to_value(object).expect("an object is JSON");
                object["kind"] = resource.kind.clone().into();
                objects.push(object);
            }
        }
    }
    objects
}

/// All that the objects of a namespace say: conditions, messages, events.
pub async fn everything(pipeline: &Pipeline, namespace: &str) -> String {
    use k8s_openapi::api::core::v1::Event;
    let mut said = Vec::new();
    let client = pipeline.client();
    macro_rules! conditions {
        ($kind:ty) => {
            let api: Api<$kind> = Api::namespaced(client.clone(), namespace);
            for object in api.list(&Default::default()).await.map(|l| l.items).unwrap_or_default() {
                for c in object.status.iter().flat_map(|s| &s.conditions) {
                    said.push(format!(
                        "{} {}: {}={} {}: {}",
                        stringify!($kind),
                        object.name_any(),
                        c.type_,
                        c.status,
                        c.reason,
                        c.message
                    ));
                }
            }
        };
    }
    let projects: Api<api::Project> = Api::all(client.clone());
    for project in projects.list(&Default::default()).await.map(|l| l.items).unwrap_or_default() {
        for c in project.status.iter().flat_map(|s| &s.conditions) {
            said.push(format!(
                "Project {}: {}={} {}: {}",
                project.name_any(),
                c.type_,
                c.status,
                c.reason,
                c.message
            ));
        }
    }
    conditions!(api::Warehouse);
    conditions!(api::Stage);
    let promotions: Api<api::Promotion> = Api::namespaced(client.clone(), namespace);
    for promotion in promotions.list(&Default::default()).await.map(|l| l.items).unwrap_or_default()
    {
        said.push(
            serde_json::to_string_pretty(&promotion.status)
                .unwrap_or_default()
                .replace("\\n", "\n"),
        );
    }
    let events: Api<Event> = Api::namespaced(client, namespace);
    for event in events.list(&Default::default()).await.map(|l| l.items).unwrap_or_default() {
        said.push(format!(
            "event {} {}: {}",
            event.involved_object.name.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.message.unwrap_or_default()
        ));
    }
    said.join("\n")
}

/// Asserts that a text says all of these things.
///
/// # Panics
/// When one is missing.
pub fn says(text: &str, all: &[&str]) {
    for part in all {
        assert!(text.contains(part), "{part:?} is not said in:\n{text}");
    }
}

/// Waits for the Event of that reason about an object, as `kubectl describe`
/// lists it; its message.
pub async fn event(pipeline: &Pipeline, namespace: &str, name: &str, reason: &str) -> String {
    use k8s_openapi::api::core::v1::Event;
    let events: Api<Event> = Api::namespaced(pipeline.client(), namespace);
    let what = format!("an Event {reason} about {name}");
    let event = crate::await_that::object(events, &what, |e| {
        e.reason.as_deref() == Some(reason) && e.involved_object.name.as_deref() == Some(name)
    })
    .await;
    event.message.unwrap_or_default()
}
