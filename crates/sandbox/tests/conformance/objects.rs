//! Creating, updating and patching single objects.

use crate::support::{Space, status, version};
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, ObjectReference, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

pub async fn created_objects_get_what_the_server_gives(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    assert!(made.metadata.uid.as_ref().is_some_and(|uid| uid.len() == 36));
    assert_eq!(made.metadata.generation, Some(1));
    let time = made.metadata.creation_timestamp.clone().unwrap();
    assert_eq!(time.0.subsec_nanosecond(), 0);
    assert!(version(&made).parse::<u64>().unwrap() > 0);
    let got = space.widgets().get("one").await.unwrap();
    assert_eq!(got.metadata, made.metadata);
    assert_eq!(got.data["spec"]["size"], 1);
    let types = got.types.unwrap();
    assert_eq!(
        (types.api_version.as_str(), types.kind.as_str()),
        ("sandbox.example.com/v1", "Widget")
    );
    let second = space.create("two", 1).await;
    assert!(version(&second).parse::<u64>().unwrap() > version(&made).parse::<u64>().unwrap());
}

pub async fn names_are_generated_and_checked(client: Client) {
    let space = Space::new(&client).await;
    let mut wanted = space.widget("", 1);
    wanted.metadata.name = None;
    wanted.metadata.generate_name = Some("promo-".into());
    let one = space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
    let two = space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
    let (one, two) = (one.metadata.name.unwrap(), two.metadata.name.unwrap());
    assert!(one.starts_with("promo-") && one.len() == 11 && one != two);
    wanted.metadata.generate_name = None;
    let refused = status(space.widgets().create(&PostParams::default(), &wanted).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    let refused =
        status(space.widgets().create(&PostParams::default(), &space.widget("Upper", 1)).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("metadata.name: Invalid value: \"Upper\""),
        "{}",
        refused.message
    );
}

pub async fn refusals_carry_reason_code_and_details(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    let missing = status(widgets.get("none").await);
    assert_eq!((missing.code, missing.reason.as_str()), (404, "NotFound"));
    assert_eq!(missing.message, "widgets.sandbox.example.com \"none\" not found");
    let details = missing.details.unwrap();
    assert_eq!(
        (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
        ("none", "sandbox.example.com", "widgets")
    );
    space.create("one", 1).await;
    let twice = status(widgets.create(&PostParams::default(), &space.widget("one", 1)).await);
    assert_eq!((twice.code, twice.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(twice.message, "widgets.sandbox.example.com \"one\" already exists");
    let elsewhere: kube::Api<ConfigMap> =
        kube::Api::namespaced(client.clone(), "no-such-namespace");
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some("m".into()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    let nowhere = status(elsewhere.create(&PostParams::default(), &map).await);
    assert_eq!(
        (nowhere.code, nowhere.message.as_str()),
        (404, "namespaces \"no-such-namespace\" not found")
    );
    let core = status(space.of::<ConfigMap>().get("none").await);
    assert_eq!(core.message, "configmaps \"none\" not found");
    let patched = status(
        widgets.patch("none", &PatchParams::default(), &Patch::Merge(json!({"spec": {}}))).await,
    );
    assert_eq!(patched.code, 404);
}

pub async fn an_update_needs_the_current_version(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    let mut first = space.create("one", 1).await;
    let mut second = first.clone();
    first.data["spec"]["size"] = json!(2);
    let updated = widgets.replace("one", &PostParams::default(), &first).await.unwrap();
    assert_eq!(updated.metadata.generation, Some(2));
    second.data["spec"]["size"] = json!(3);
    let refused = status(widgets.replace("one", &PostParams::default(), &second).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Operation cannot be fulfilled on widgets.sandbox.example.com \"one\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let stale = json!({"metadata": {"resourceVersion": version(&first)}, "spec": {"size": 9}});
    let refused = status(widgets.patch("one", &PatchParams::default(), &Patch::Merge(stale)).await);
    assert_eq!(refused.code, 409);
    let mut blind = updated.clone();
    blind.metadata.resource_version = None;
    let refused = status(widgets.replace("one", &PostParams::default(), &blind).await);
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("metadata.resourceVersion"), "{}", refused.message);
    let stranger =
        json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "spec": {"size": 9}});
    let refused =
        status(widgets.patch("one", &PatchParams::default(), &Patch::Merge(stranger)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    assert!(refused.message.contains("metadata.uid"), "{}", refused.message);
    let mut stranger = updated.clone();
    stranger.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    let refused = status(widgets.replace("one", &PostParams::default(), &stranger).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"), "{}", refused.message);
    assert_eq!(widgets.get("one").await.unwrap().data["spec"]["size"], 2);
}

pub async fn status_and_spec_are_written_apart(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    let mut wanted = space.widget("one", 1);
    wanted.data["status"] = json!({"phase": "Early"});
    let made = widgets.create(&PostParams::default(), &wanted).await.unwrap();
    assert!(made.data.get("status").is_none());
    let patch = json!({"status": {"phase": "Done"}, "spec": {"size": 50}, "metadata": {"labels": {"a": "b"}}});
    let after =
        widgets.patch_status("one", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(
        (&after.data["status"]["phase"], &after.data["spec"]["size"]),
        (&json!("Done"), &json!(1))
    );
    assert_eq!((after.metadata.generation, after.metadata.labels.clone()), (Some(1), None));
    let after = space
        .merge("one", json!({"status": {"phase": "Other"}, "metadata": {"labels": {"a": "b"}}}))
        .await;
    assert_eq!(after.data["status"]["phase"], "Done");
    assert_eq!(after.metadata.generation, Some(1));
    let after = space.merge("one", json!({"spec": {"size": 2}})).await;
    assert_eq!(
        (after.metadata.generation, &after.data["status"]["phase"]),
        (Some(2), &json!("Done"))
    );
    let mut whole = after.clone();
    whole.data["status"] = json!({"phase": "Replaced"});
    let after = widgets.replace_status("one", &PostParams::default(), &whole).await.unwrap();
    assert_eq!(after.data["status"]["phase"], "Replaced");
    assert_eq!(widgets.get_status("one").await.unwrap().data["status"]["phase"], "Replaced");
}

pub async fn writes_that_change_nothing_write_nothing(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    let same = space.merge("one", json!({"spec": {"size": 1}})).await;
    assert_eq!(version(&same), version(&made));
    let same = space.widgets().replace("one", &PostParams::default(), &made).await.unwrap();
    assert_eq!(version(&same), version(&made));
    let other = space.merge("one", json!({"spec": {"size": 2}})).await;
    assert_ne!(version(&other), version(&made));
}

pub async fn merge_and_json_patches(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    widgets
        .create(
            &PostParams::default(),
            &space.with("one", json!({"size": 1, "name": "x", "tags": ["a"]})),
        )
        .await
        .unwrap();
    let after = space
        .merge("one", json!({"spec": {"name": null, "tags": ["b", "c"], "free": {"deep": [1]}}}))
        .await;
    assert_eq!(
        after.data["spec"],
        json!({"size": 1, "color": "Red", "tags": ["b", "c"], "free": {"deep": [1]}})
    );
    let operations = json!([
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "replace", "path": "/spec/size", "value": 4},
        {"op": "add", "path": "/spec/tags/-", "value": "d"},
        {"op": "remove", "path": "/spec/free"},
    ]);
    let after = space.json_patch("one", operations).await.unwrap();
    assert_eq!(after.data["spec"], json!({"size": 4, "color": "Red", "tags": ["b", "c", "d"]}));
    let failing = json!([{"op": "test", "path": "/spec/size", "value": 1}]);
    let refused = status(space.json_patch("one", failing).await);
    assert_eq!(refused.code, 422);
}

pub async fn strategic_patches_are_for_built_in_kinds(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let patch = json!({"spec": {"size": 2}});
    let refused = status(
        space.widgets().patch("one", &PatchParams::default(), &Patch::Strategic(&patch)).await,
    );
    assert_eq!((refused.code, refused.reason.as_str()), (415, "UnsupportedMediaType"));
    let maps = space.of::<ConfigMap>();
    let map: ConfigMap = serde_json::from_value(
        json!({"metadata": {"name": "m", "finalizers": ["example.com/a"]}, "data": {"a": "1", "b": "2"}}),
    )
    .unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let patch =
        json!({"metadata": {"finalizers": ["example.com/b"]}, "data": {"a": null, "c": "3"}});
    let after = maps.patch("m", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    assert_eq!(after.metadata.finalizers.unwrap().len(), 2);
    assert_eq!(
        after.data.unwrap().into_iter().collect::<Vec<_>>(),
        [("b".into(), "2".into()), ("c".into(), "3".into())]
    );
    let patch = json!({"metadata": {"finalizers": null}});
    maps.patch("m", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

pub async fn secrets_encode_plain_data(client: Client) {
    let space = Space::new(&client).await;
    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"name": "s"}, "stringData": {"user": "me"}, "data": {"a": "Yg=="}}),
    )
    .unwrap();
    let made = space.of::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    let data = made.data.unwrap();
    assert_eq!(
        (data["user"].0.as_slice(), data["a"].0.as_slice()),
        (b"me".as_slice(), b"b".as_slice())
    );
    assert_eq!((made.type_.as_deref(), made.string_data), (Some("Opaque"), None));
}

pub async fn a_dry_run_leaves_no_trace(client: Client) {
    let space = Space::new(&client).await;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let shown = space.widgets().create(&dry, &space.widget("one", 1)).await.unwrap();
    assert_eq!(shown.data["spec"]["color"], "Red");
    assert!(space.widgets().get_opt("one").await.unwrap().is_none());
    space.create("one", 1).await;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let shown = space
        .widgets()
        .patch("one", &dry, &Patch::Merge(json!({"spec": {"size": 9}})))
        .await
        .unwrap();
    assert_eq!(shown.data["spec"]["size"], 9);
    assert_eq!(space.widgets().get("one").await.unwrap().data["spec"]["size"], 1);
}

pub async fn events_are_one_thing_in_two_groups(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    let event = Event {
        metadata: ObjectMeta { name: Some("e".into()), ..ObjectMeta::default() },
        event_time: Some(MicroTime(made.metadata.creation_timestamp.unwrap().0)),
        action: Some("Make".into()),
        note: Some("made it".into()),
        reason: Some("Made".into()),
        type_: Some("Normal".into()),
        reporting_controller: Some("conformance".into()),
        reporting_instance: Some("conformance-1".into()),
        regarding: Some(ObjectReference {
            kind: Some("Widget".into()),
            name: Some("one".into()),
            namespace: Some(space.name.clone()),
            uid: made.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Event::default()
    };
    let back = space.of::<Event>().create(&PostParams::default(), &event).await.unwrap();
    assert_eq!(back.note.as_deref(), Some("made it"));
    let params = ListParams::default().fields(&format!(
        "involvedObject.kind=Widget,involvedObject.name=one,involvedObject.uid={}",
        made.metadata.uid.unwrap()
    ));
    let found = space.of::<CoreEvent>().list(&params).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].message.as_deref(), Some("made it"));
    let none = space
        .of::<CoreEvent>()
        .list(&ListParams::default().fields("involvedObject.name=two"))
        .await
        .unwrap();
    assert!(none.items.is_empty());
}
