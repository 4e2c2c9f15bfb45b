//! Deletion and what goes along.

use crate::support::{Space, status, version};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

fn owned(owner: &DynamicObject, name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "sandbox.example.com/v1".into(),
        kind: "Widget".into(),
        name: owner.metadata.name.clone().unwrap(),
        uid: owner.metadata.uid.clone().unwrap(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    map
}

async fn gone(space: &Space, map: &ConfigMap) {
    let (name, uid) = (map.metadata.name.clone().unwrap(), map.metadata.uid.clone().unwrap());
    await_condition(space.of::<ConfigMap>(), &name, conditions::is_deleted(&uid)).await.unwrap();
}

pub async fn finalizers_hold_an_object(client: Client) {
    let space = Space::new(&client).await;
    let widgets = space.widgets();
    let mut wanted = space.widget("one", 1);
    wanted.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    widgets.create(&PostParams::default(), &wanted).await.unwrap();
    let marked = widgets.delete("one", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let again = widgets.delete("one", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(version(&again), version(&marked));
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let refused = status(widgets.patch("one", &PatchParams::default(), &Patch::Merge(more)).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("no new finalizers can be added if the object is being deleted")
    );
    // It can still be changed.
    assert_eq!(space.merge("one", json!({"spec": {"size": 2}})).await.data["spec"]["size"], 2);
    let last = space.merge("one", json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(last.metadata.name.as_deref(), Some("one"));
    assert!(widgets.get_opt("one").await.unwrap().is_none());
    space.create("one", 1).await;
}

pub async fn preconditions_are_kept(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    let with = |version: Option<&str>, uid: Option<&str>| {
        let conditions =
            Preconditions { resource_version: version.map(Into::into), uid: uid.map(Into::into) };
        DeleteParams::default().preconditions(conditions)
    };
    let refused = status(space.widgets().delete("one", &with(Some("1"), None)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let refused = status(space.widgets().delete("one", &with(None, Some("other"))).await);
    assert_eq!(refused.code, 409);
    assert!(
        refused.message.starts_with("Operation cannot be fulfilled on Widget.sandbox.example.com \"one\": the UID in the precondition (other) does not match the UID in record ("),
        "{}",
        refused.message
    );
    let good = with(made.metadata.resource_version.as_deref(), made.metadata.uid.as_deref());
    let done = space.widgets().delete("one", &good).await.unwrap().right().unwrap();
    assert!(done.is_success());
    let details = done.details.unwrap();
    assert_eq!(
        (details.name.as_str(), details.kind.as_str(), Some(details.uid)),
        ("one", "widgets", made.metadata.uid)
    );
    assert_eq!(status(space.widgets().delete("one", &DeleteParams::default()).await).code, 404);
}

pub async fn a_selection_is_deleted(client: Client) {
    let space = Space::new(&client).await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut wanted = space.widget(name, 1);
        wanted.metadata.labels = Some([("k".to_owned(), label.to_owned())].into());
        space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
    }
    space
        .widgets()
        .delete_collection(&DeleteParams::default(), &ListParams::default().labels("k=x"))
        .await
        .unwrap();
    let left = space.widgets().list(&ListParams::default()).await.unwrap();
    assert_eq!(
        left.items.iter().filter_map(|item| item.metadata.name.as_deref()).collect::<Vec<_>>(),
        ["b"]
    );
}

pub async fn dependents_go_with_their_owner(client: Client) {
    let space = Space::new(&client).await;
    let (one, two) = (space.create("one", 1).await, space.create("two", 1).await);
    let maps = space.of::<ConfigMap>();
    let single = maps.create(&PostParams::default(), &owned(&one, "single")).await.unwrap();
    let mut shared = owned(&one, "shared");
    let mut second = owned(&two, "x").metadata.owner_references.unwrap();
    second[0].controller = None;
    shared.metadata.owner_references.as_mut().unwrap().append(&mut second);
    let shared = maps.create(&PostParams::default(), &shared).await.unwrap();
    space.widgets().delete("one", &DeleteParams::background()).await.unwrap();
    gone(&space, &single).await;
    assert!(maps.get_opt("shared").await.unwrap().is_some());
    space.widgets().delete("two", &DeleteParams::background()).await.unwrap();
    gone(&space, &shared).await;
}

pub async fn foreground_and_orphan(client: Client) {
    let space = Space::new(&client).await;
    let maps = space.of::<ConfigMap>();
    let one = space.create("one", 1).await;
    let mut held = owned(&one, "held");
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    let held = maps.create(&PostParams::default(), &held).await.unwrap();
    space.widgets().delete("one", &DeleteParams::foreground()).await.unwrap();
    await_condition(maps.clone(), "held", |map: Option<&ConfigMap>| {
        map.is_some_and(|map| map.metadata.deletion_timestamp.is_some())
    })
    .await
    .unwrap();
    let waiting = space.widgets().get("one").await.unwrap();
    assert_eq!(waiting.metadata.finalizers.unwrap(), ["foregroundDeletion"]);
    maps.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    gone(&space, &held).await;
    await_condition(
        space.widgets(),
        "one",
        conditions::is_deleted(one.metadata.uid.as_deref().unwrap()),
    )
    .await
    .unwrap();

    let two = space.create("two", 1).await;
    maps.create(&PostParams::default(), &owned(&two, "left")).await.unwrap();
    space.widgets().delete("two", &DeleteParams::orphan()).await.unwrap();
    await_condition(maps, "left", |map: Option<&ConfigMap>| {
        map.is_some_and(|map| map.metadata.owner_references.is_none())
    })
    .await
    .unwrap();
}

pub async fn a_namespace_takes_its_contents(client: Client) {
    let space = Space::new(&client).await;
    let mut wanted = space.widget("one", 1);
    wanted.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
    space.create("two", 1).await;
    let namespaces: Api<Namespace> = Api::all(client);
    let uid = namespaces.get(&space.name).await.unwrap().metadata.uid.unwrap();
    let marked =
        namespaces.delete(&space.name, &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(marked.status.unwrap().phase.as_deref(), Some("Terminating"));
    let refused =
        status(space.widgets().create(&PostParams::default(), &space.widget("three", 1)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert!(refused.message.contains("because it is being terminated"), "{}", refused.message);
    await_condition(space.widgets(), "one", |object: Option<&DynamicObject>| {
        object.is_some_and(|object| object.metadata.deletion_timestamp.is_some())
    })
    .await
    .unwrap();
    space.merge("one", json!({"metadata": {"finalizers": null}})).await;
    await_condition(namespaces, &space.name, conditions::is_deleted(&uid)).await.unwrap();
}

pub async fn a_definition_takes_its_objects(client: Client) {
    let space = Space::new(&client).await;
    let text = crate::support::DEFINITION.replace("widgets", "gadgets").replace("Widget", "Gadget");
    let text = text.replace("widget", "gadget").replace("[wi]", "[ga]");
    let definition: CustomResourceDefinition = serde_yaml::from_str(&text).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let made = definitions.create(&PostParams::default(), &definition).await.unwrap();
    let name = made.metadata.name.clone().unwrap();
    await_condition(definitions.clone(), &name, conditions::is_crd_established()).await.unwrap();
    let gvk = kube::api::GroupVersionKind::gvk("sandbox.example.com", "v1", "Gadget");
    let resource = kube::api::ApiResource::from_gvk_with_plural(&gvk, "gadgets");
    let gadgets: Api<DynamicObject> = Api::namespaced_with(client, &space.name, &resource);
    let gadget = DynamicObject::new("g", &resource).data(json!({"spec": {"size": 1}}));
    gadgets.create(&PostParams::default(), &gadget).await.unwrap();
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    await_condition(
        definitions,
        &name,
        conditions::is_deleted(made.metadata.uid.as_deref().unwrap()),
    )
    .await
    .unwrap();
    let refused = status(gadgets.get("g").await);
    assert_eq!((refused.code, refused.message.as_str()), (404, "404 page not found"));
}
