//! What the server does not let clients write, and how it says so.

use crate::support::{Answer, Space, status};
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn widget(metadata: Value) -> Value {
    json!({
        "apiVersion": "sandbox.example.com/v1", "kind": "Widget",
        "metadata": metadata, "spec": {"size": 1},
    })
}

pub async fn bodies_must_fit_their_path(client: Client) {
    let space = Space::new(&client).await;
    let path = space.path();
    let other_kind = json!({
        "apiVersion": "sandbox.example.com/v1", "kind": "Gadget", "metadata": {"name": "one"},
    });
    let other_version = json!({
        "apiVersion": "sandbox.example.com/v7", "kind": "Widget", "metadata": {"name": "one"},
    });
    for (what, code, body, words) in [
        ("no JSON", 400, "{".to_owned(), ""),
        ("no object", 400, "7".to_owned(), ""),
        (
            "another kind",
            422,
            other_kind.to_string(),
            "kind: Invalid value: \\\"Gadget\\\": must be Widget",
        ),
        (
            "another version",
            400,
            other_version.to_string(),
            "the API version in the data (sandbox.example.com/v7) does not match the expected API version (sandbox.example.com/v1)",
        ),
        (
            "another namespace",
            400,
            widget(json!({"name": "one", "namespace": "elsewhere"})).to_string(),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "labels that are not strings",
            400,
            widget(json!({"name": "one", "labels": {"a": 7}})).to_string(),
            "",
        ),
    ] {
        let answer = Answer::to(&client, "POST", &path, "application/json", &body).await;
        let reason = if code == 400 { "BadRequest" } else { "Invalid" };
        assert_eq!((answer.code, answer.reason()), (code, reason), "{what}: {}", answer.text);
        assert!(answer.text.contains(words), "{what}: {}", answer.text);
    }
    space.create("one", 1).await;
    let answer = Answer::to(
        &client,
        "PUT",
        &format!("{path}/one"),
        "application/json",
        &widget(json!({"name": "two"})).to_string(),
    )
    .await;
    assert_eq!((answer.code, answer.reason()), (400, "BadRequest"), "{}", answer.text);
    assert!(
        answer
            .text
            .contains("the name of the object (two) does not match the name on the URL (one)"),
        "{}",
        answer.text
    );
}

pub async fn content_types_and_paths_that_are_not_served(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let one = format!("{}/one", space.path());
    let body = widget(json!({"name": "two"})).to_string();
    let answer = Answer::to(&client, "PATCH", &one, "application/x-unknown", "{}").await;
    assert_eq!((answer.code, answer.reason()), (415, "UnsupportedMediaType"), "{}", answer.text);
    let answer = Answer::to(&client, "POST", &space.path(), "application/x-unknown", &body).await;
    assert_eq!((answer.code, answer.reason()), (415, "UnsupportedMediaType"), "{}", answer.text);
    let maps = format!("/api/v1/namespaces/{}/configmaps", space.name);
    let answer = Answer::to(&client, "PUT", &maps, "application/json", "{}").await;
    assert_eq!(answer.code, 405, "{}", answer.text);
    for path in [
        "/apis/sandbox.example.com/v1/namespaces/default/gadgets",
        "/apis/sandbox.example.com/v7/namespaces/default/widgets",
        "/apis/nobody.example.com/v1/widgets",
        &format!("{one}/nonsense"),
    ] {
        let answer = Answer::to(&client, "GET", path, "application/json", "").await;
        assert_eq!(answer.code, 404, "{path}: {}", answer.text);
    }
}

pub async fn what_is_the_servers_stays_the_servers(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    // At creation it is the server that says when, and which one.
    let mut wanted = space.widget("one", 1);
    wanted.metadata.uid = Some("11111111-1111-1111-1111-111111111111".to_owned());
    wanted.metadata.generation = Some(77);
    let made = widgets.create(&PostParams::default(), &wanted).await.unwrap();
    assert_ne!(made.metadata.uid, wanted.metadata.uid);
    assert_eq!(made.metadata.generation, Some(1));
    // A version is for what is there already.
    let mut versioned = space.widget("two", 1);
    versioned.metadata.resource_version = Some("7".to_owned());
    let refused = widgets.create(&PostParams::default(), &versioned).await;
    let refused = status(refused);
    assert!(
        refused.message.contains("resourceVersion should not be set on objects to be created"),
        "{}",
        refused.message
    );
    let change = json!({"metadata": {
        "generation": 99,
        "creationTimestamp": "2020-01-01T00:00:00Z",
    }});
    let after = space.merge("one", change).await;
    assert_eq!(after.metadata.generation, Some(1));
    assert_eq!(after.metadata.creation_timestamp, made.metadata.creation_timestamp);
    assert_eq!(after.metadata.deletion_timestamp, None);
    assert_eq!(after.metadata.resource_version, made.metadata.resource_version);
    let change = json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}});
    let patch = Patch::Merge(change);
    let refused = status(widgets.patch("one", &PatchParams::default(), &patch).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    assert!(
        refused.message.contains("metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable"),
        "{}",
        refused.message
    );
}

pub async fn labels_and_annotations_are_checked(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let long = "x".repeat(64);
    for (what, metadata, field) in [
        ("a label with a space", json!({"labels": {"a": "b c"}}), "metadata.labels"),
        ("a long label", json!({"labels": {"a": long}}), "metadata.labels"),
        ("a label's name with a space", json!({"labels": {"a b": "c"}}), "metadata.labels"),
        ("a label's bad prefix", json!({"labels": {"A_/b": "c"}}), "metadata.labels"),
        ("an annotation's name", json!({"annotations": {"a b": "c"}}), "metadata.annotations"),
        (
            "much annotation",
            json!({"annotations": {"a": "x".repeat(300 * 1024)}}),
            "metadata.annotations",
        ),
        ("a finalizer's name", json!({"finalizers": ["a b"]}), "metadata.finalizers"),
        (
            "an owner without a name",
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": "u"}]}),
            "metadata.ownerReferences",
        ),
        (
            "two owners that control",
            json!({"ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "v", "controller": true},
            ]}),
            "metadata.ownerReferences",
        ),
    ] {
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let refused = space.widgets().patch("one", &PatchParams::default(), &patch).await;
        let refused = status(refused);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (422, "Invalid"),
            "{what}: {}",
            refused.message
        );
        let causes = refused.details.unwrap().causes;
        assert!(causes.iter().any(|c| c.field.starts_with(field)), "{what}: {causes:?}");
    }
}

pub async fn plain_writes_have_managers_too(client: Client) {
    let space = Space::new(&client).await;
    let params = PostParams { field_manager: Some("maker".into()), ..PostParams::default() };
    let made = space.widgets().create(&params, &space.widget("one", 1)).await.unwrap();
    let entries = made.metadata.managed_fields.unwrap_or_default();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].manager.as_deref(), entries[0].operation.as_deref()),
        (Some("maker"), Some("Update"))
    );
    assert_eq!(
        json!(entries[0].fields_v1),
        json!({"f:spec": {".": {}, "f:color": {}, "f:size": {}}})
    );
    // Another writer takes over what it changes.
    let params = PatchParams { field_manager: Some("other".into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"size": 2}, "metadata": {"labels": {"a": "b"}}}));
    let after = space.widgets().patch("one", &params, &patch).await.unwrap();
    let of = |name: &str| {
        let entries = after.metadata.managed_fields.iter().flatten();
        let mut own = entries.filter(|e| e.manager.as_deref() == Some(name));
        own.next().map(|e| json!(e.fields_v1))
    };
    assert_eq!(of("maker"), Some(json!({"f:spec": {".": {}, "f:color": {}}})));
    assert_eq!(
        of("other"),
        Some(json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:size": {}},
        }))
    );
    // An empty list takes all of them off.
    let cleared = space.merge("one", json!({"metadata": {"managedFields": [{}]}})).await;
    assert!(cleared.metadata.managed_fields.unwrap_or_default().is_empty());
}

pub async fn apply_says_what_it_needs(client: Client) {
    let space = Space::new(&client).await;
    let one = format!("{}/one", space.path());
    let kind = "application/apply-patch+yaml";
    let body = widget(json!({"name": "one"})).to_string();
    let answer = Answer::to(&client, "PATCH", &one, kind, &body).await;
    assert_eq!((answer.code, answer.reason()), (422, "Invalid"), "{}", answer.text);
    assert!(answer.text.contains("fieldManager: Required value"), "{}", answer.text);
    let with_manager = format!("{one}?fieldManager=a");
    let named = widget(json!({"name": "two"})).to_string();
    let answer = Answer::to(&client, "PATCH", &with_manager, kind, &named).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    let managed = json!({"name": "one", "managedFields": [{"manager": "x", "operation": "Apply"}]});
    let answer =
        Answer::to(&client, "PATCH", &with_manager, kind, &widget(managed).to_string()).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    assert!(answer.text.contains("managedFields must be nil"), "{}", answer.text);
    // A version of nothing is passed over; a wrong one of something is not.
    let versioned = widget(json!({"name": "one", "resourceVersion": "7"})).to_string();
    let answer = Answer::to(&client, "PATCH", &with_manager, kind, &versioned).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    let answer = Answer::to(&client, "PATCH", &with_manager, kind, &versioned).await;
    assert_eq!((answer.code, answer.reason()), (409, "Conflict"), "{}", answer.text);
    // YAML is taken as it is.
    let yaml = "apiVersion: sandbox.example.com/v1\nkind: Widget\nmetadata: {name: one}\nspec: {size: 5}\n";
    let answer = Answer::to(&client, "PATCH", &with_manager, kind, yaml).await;
    assert_eq!((answer.code, &answer.json()["spec"]["size"]), (200, &json!(5)), "{}", answer.text);
}
