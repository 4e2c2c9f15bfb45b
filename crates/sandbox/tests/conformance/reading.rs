//! Lists, tables and discovery.

use crate::support::{Answer, Space, status, version};
use kube::Client;
use kube::api::{ListParams, PostParams};
use serde_json::json;

async fn labelled(space: &Space, name: &str, label: &str) {
    let mut wanted = space.widget(name, 1);
    wanted.metadata.labels = Some([("tier".to_owned(), label.to_owned())].into());
    space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
}

pub async fn lists_are_selected_by_labels_and_fields(client: Client) {
    let space = Space::new(&client).await;
    for (name, label) in [("a", "front"), ("b", "back"), ("c", "front")] {
        labelled(&space, name, label).await;
    }
    space.create("d", 1).await;
    for (params, wanted) in [
        (ListParams::default(), vec!["a", "b", "c", "d"]),
        (ListParams::default().labels("tier=front"), vec!["a", "c"]),
        (ListParams::default().labels("tier!=front"), vec!["b", "d"]),
        (ListParams::default().labels("tier in (front,back)"), vec!["a", "b", "c"]),
        (ListParams::default().labels("!tier"), vec!["d"]),
        (ListParams::default().fields("metadata.name=b"), vec!["b"]),
        (ListParams::default().fields("metadata.name!=b").labels("tier"), vec!["a", "c"]),
        (
            ListParams::default()
                .fields(&format!("metadata.namespace={}", space.name))
                .labels("tier=back"),
            vec!["b"],
        ),
    ] {
        let found = space.widgets().list(&params).await.unwrap();
        let names: Vec<&str> =
            found.items.iter().filter_map(|item| item.metadata.name.as_deref()).collect();
        assert_eq!(names, wanted, "{params:?}");
    }
    let refused = status(space.widgets().list(&ListParams::default().fields("spec.size=1")).await);
    assert_eq!(refused.code, 400);
    assert!(
        refused.message.contains("field label not supported: spec.size"),
        "{}",
        refused.message
    );
    let everywhere: kube::Api<kube::api::DynamicObject> =
        kube::Api::all_with(client, &crate::support::widget_resource());
    let found = everywhere
        .list(&ListParams::default().fields(&format!("metadata.namespace={}", space.name)))
        .await;
    assert_eq!(found.unwrap().items.len(), 4);
}

pub async fn lists_come_in_pages(client: Client) {
    let space = Space::new(&client).await;
    for n in 0..5 {
        space.create(&format!("w{n}"), 1).await;
    }
    let (mut names, mut sizes, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    let mut params = ListParams::default().limit(2);
    loop {
        let page = space.widgets().list(&params).await.unwrap();
        sizes.push((page.items.len(), page.metadata.remaining_item_count));
        versions.push(page.metadata.resource_version.clone());
        names.extend(page.items.into_iter().filter_map(|item| item.metadata.name));
        // What is made meanwhile behind the page does not disturb it.
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = ListParams::default().limit(2).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["w0", "w1", "w2", "w3", "w4"]);
    assert_eq!(sizes, [(2, Some(3)), (2, Some(1)), (1, None)]);
    versions.dedup();
    assert_eq!(versions.len(), 1);
    let refused =
        status(space.widgets().list(&ListParams::default().continue_token("nonsense")).await);
    assert_eq!(refused.code, 400);
}

pub async fn tables_follow_the_printer_columns(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 3).await;
    let table = space
        .raw(&space.path(), "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let names: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    assert_eq!(json!(names), json!(["Name", "Size", "Ready", "Color", "Age"]));
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[0], &cells[1], &cells[2], &cells[3]),
        (&json!("one"), &json!(3), &json!(null), &json!("Red"))
    );
    assert!(cells[4].as_str().is_some_and(|age| age.ends_with('s')), "{cells}");
    let object = &table["rows"][0]["object"];
    assert_eq!(
        (&object["kind"], &object["metadata"]["uid"]),
        (&json!("PartialObjectMetadata"), &json!(made.metadata.uid))
    );
}

pub async fn metadata_can_be_asked_for_alone(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 3).await;
    let found = space.widgets().list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(found.items[0].metadata.name.as_deref(), Some("one"));
    let found = space.widgets().get_metadata("one").await.unwrap();
    assert_eq!(found.metadata.generation, Some(1));
}

pub async fn discovery_tells_groups_and_resources(client: Client) {
    let space = Space::new(&client).await;
    let groups = client.list_api_groups().await.unwrap();
    let group = groups.groups.iter().find(|group| group.name == "sandbox.example.com").unwrap();
    assert_eq!(group.preferred_version.as_ref().unwrap().group_version, "sandbox.example.com/v1");
    let list = client.list_api_group_resources("sandbox.example.com/v1").await.unwrap();
    let widget = list.resources.iter().find(|resource| resource.name == "widgets").unwrap();
    assert_eq!(
        (widget.kind.as_str(), widget.namespaced, widget.singular_name.as_str()),
        ("Widget", true, "widget")
    );
    assert!(
        ["watch", "patch", "deletecollection"]
            .iter()
            .all(|verb| widget.verbs.iter().any(|known| known == verb))
    );
    assert!(list.resources.iter().any(|resource| resource.name == "widgets/status"));
    let core = client.list_core_api_resources("v1").await.unwrap();
    assert!(
        core.resources
            .iter()
            .any(|resource| resource.name == "secrets" && resource.kind == "Secret")
    );
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let made = space.create("one", 1).await;
    let list = space.widgets().list(&ListParams::default()).await.unwrap();
    let (listed, made) = (list.metadata.resource_version.unwrap(), version(&made));
    assert!(listed.parse::<u64>().unwrap() >= made.parse::<u64>().unwrap());
}

pub async fn lists_are_as_new_as_they_are_asked_to_be(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    let path = space.path();
    let version = version(&made);
    for (query, code) in [
        ("resourceVersion=0".to_owned(), 200),
        (format!("resourceVersion={version}"), 200),
        (format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan"), 200),
        (format!("resourceVersion={version}&resourceVersionMatch=Exact"), 200),
        ("resourceVersionMatch=Exact".to_owned(), 422),
        (format!("resourceVersion={version}&resourceVersionMatch=Newest"), 422),
        ("resourceVersion=0&resourceVersionMatch=Exact".to_owned(), 422),
        ("resourceVersion=x".to_owned(), 400),
        ("labelSelector=(((".to_owned(), 400),
        ("fieldSelector=spec.none%3D1".to_owned(), 400),
        ("limit=x".to_owned(), 400),
    ] {
        let answer =
            Answer::to(&client, "GET", &format!("{path}?{query}"), "application/json", "").await;
        assert_eq!(answer.code, code, "{query}: {}", answer.text);
    }
}

pub async fn an_empty_list_is_a_list(client: Client) {
    let space = Space::new(&client).await;
    let list = space.raw(&space.path(), "application/json").await;
    assert_eq!(
        (&list["kind"], &list["apiVersion"], &list["items"]),
        (&json!("WidgetList"), &json!("sandbox.example.com/v1"), &json!([]))
    );
    assert!(list["metadata"]["resourceVersion"].as_str().is_some_and(|v| v != "0"));
    // Namespaces that are not there have nothing in them.
    let nowhere = "/apis/sandbox.example.com/v1/namespaces/no-such-namespace/widgets";
    assert_eq!(space.raw(nowhere, "application/json").await["items"], json!([]));
}

pub async fn discovery_comes_in_one_piece_too(client: Client) {
    let space = Space::new(&client).await;
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let whole = space.raw("/apis", accept).await;
    assert_eq!(whole["kind"], "APIGroupDiscoveryList");
    let groups = whole["items"].as_array().cloned().unwrap_or_default();
    let group = groups.iter().find(|g| g["metadata"]["name"] == "sandbox.example.com").unwrap();
    let resources = group["versions"][0]["resources"].as_array().cloned().unwrap_or_default();
    let widget = resources.iter().find(|r| r["resource"] == "widgets").unwrap();
    assert_eq!(
        (&widget["scope"], &widget["singularResource"], &widget["responseKind"]["kind"]),
        (&json!("Namespaced"), &json!("widget"), &json!("Widget"))
    );
    assert_eq!(widget["shortNames"], json!(["wi"]));
    assert_eq!(widget["subresources"][0]["subresource"], "status");
    let core = space.raw("/api", accept).await;
    assert_eq!(core["kind"], "APIGroupDiscoveryList");
    let index = space.raw("/openapi/v3", "application/json").await;
    assert!(index["paths"]["apis/sandbox.example.com/v1"].is_object(), "{index}");
    let version = space.raw("/version", "application/json").await;
    assert!(version["gitVersion"].as_str().is_some_and(|v| v.starts_with("v1.")), "{version}");
}
