//! Server-side apply.

use crate::support::{Space, status, version, widget_resource};
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

async fn apply(
    space: &Space,
    manager: &str,
    force: bool,
    body: Value,
) -> kube::Result<DynamicObject> {
    let mut wanted = DynamicObject::new("one", &widget_resource()).data(body.clone());
    if let Ok(labels) = serde_json::from_value(body["metadata"]["labels"].clone()) {
        wanted.metadata.labels = labels;
    }
    if let Value::Object(fields) = &mut wanted.data {
        fields.remove("metadata");
    }
    let mut params = PatchParams::apply(manager);
    params.force = force;
    space.widgets().patch("one", &params, &Patch::Apply(&wanted)).await
}

pub async fn apply_creates_changes_and_removes(client: Client) {
    let space = Space::new(&client).await;
    let made = apply(
        &space,
        "a",
        false,
        json!({"metadata": {"labels": {"x": "1", "y": "2"}}, "spec": {"size": 1, "name": "n"}}),
    )
    .await
    .unwrap();
    assert_eq!((made.metadata.generation, &made.data["spec"]["color"]), (Some(1), &json!("Red")));
    let managed = made.metadata.managed_fields.clone().unwrap();
    assert_eq!(managed.len(), 1);
    assert_eq!(
        (managed[0].manager.as_deref(), managed[0].operation.as_deref()),
        (Some("a"), Some("Apply"))
    );
    assert_eq!(
        json!(managed[0].fields_v1),
        json!({"f:metadata": {"f:labels": {"f:x": {}, "f:y": {}}}, "f:spec": {"f:name": {}, "f:size": {}}})
    );
    let again = apply(
        &space,
        "a",
        false,
        json!({"metadata": {"labels": {"x": "1", "y": "2"}}, "spec": {"size": 1, "name": "n"}}),
    )
    .await
    .unwrap();
    assert_eq!(version(&again), version(&made));
    space.merge("one", json!({"metadata": {"labels": {"z": "3"}}})).await;
    // What the manager no longer names goes, what others have set stays.
    let after =
        apply(&space, "a", false, json!({"metadata": {"labels": {"x": "1"}}, "spec": {"size": 2}}))
            .await
            .unwrap();
    assert_eq!(after.data["spec"], json!({"size": 2, "color": "Red"}));
    let labels = after.metadata.labels.unwrap();
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["x", "z"]);
}

pub async fn apply_conflicts_name_manager_and_field(client: Client) {
    let space = Space::new(&client).await;
    apply(&space, "a", false, json!({"spec": {"size": 1}})).await.unwrap();
    // Both may want the same.
    apply(&space, "b", false, json!({"spec": {"size": 1}})).await.unwrap();
    let refused = status(apply(&space, "c", false, json!({"spec": {"size": 2}})).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert!(refused.message.starts_with("Apply failed with 2 conflicts"), "{}", refused.message);
    let causes = refused.details.unwrap().causes;
    assert_eq!(
        (causes[0].reason.as_str(), causes[0].field.as_str()),
        ("FieldManagerConflict", ".spec.size")
    );
    assert!(causes.iter().any(|cause| cause.message.contains("conflict with \"a\"")));
    let forced = apply(&space, "c", true, json!({"spec": {"size": 2}})).await.unwrap();
    assert_eq!(forced.data["spec"]["size"], 2);
    let managers: Vec<String> = forced
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .filter_map(|entry| entry.manager)
        .collect();
    assert_eq!(managers, ["c"]);
    // A plain update takes fields over without asking.
    space.merge("one", json!({"spec": {"size": 3}})).await;
    let refused = status(apply(&space, "c", false, json!({"spec": {"size": 2}})).await);
    assert!(
        refused.message.starts_with("Apply failed with 1 conflict: conflict with"),
        "{}",
        refused.message
    );
}

pub async fn applied_lists_merge_by_key(client: Client) {
    let space = Space::new(&client).await;
    let part = |name: &str, count: i64| json!({"name": name, "count": count});
    apply(&space, "a", false, json!({"spec": {"size": 1, "parts": [part("x", 1)], "tags": ["t"]}}))
        .await
        .unwrap();
    let both = apply(&space, "b", false, json!({"spec": {"parts": [part("y", 2)], "tags": ["u"]}}))
        .await
        .unwrap();
    assert_eq!(both.data["spec"]["parts"], json!([part("x", 1), part("y", 2)]));
    assert_eq!(both.data["spec"]["tags"], json!(["t", "u"]));
    let less = apply(&space, "a", false, json!({"spec": {"size": 1}})).await.unwrap();
    assert_eq!(less.data["spec"]["parts"], json!([part("y", 2)]));
    assert_eq!(less.data["spec"]["tags"], json!(["u"]));
}

pub async fn a_status_can_be_applied(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let wanted = DynamicObject::new("one", &widget_resource()).data(
        json!({"status": {"phase": "Done", "conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    let params = PatchParams::apply("controller").force();
    let after = space.widgets().patch_status("one", &params, &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(
        (&after.data["status"]["phase"], after.metadata.generation),
        (&json!("Done"), Some(1))
    );
    let entries = after.metadata.managed_fields.unwrap();
    let own = entries.iter().find(|entry| entry.manager.as_deref() == Some("controller")).unwrap();
    assert_eq!(own.subresource.as_deref(), Some("status"));
    let again = space.widgets().patch_status("one", &params, &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(again.metadata.resource_version, after.metadata.resource_version);
}
