//! Watches.

use crate::support::{Space, version};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use std::pin::Pin;

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>;

async fn watch(space: &Space, params: WatchParams, from: &str) -> Events {
    space.widgets().watch(&params, from).await.unwrap().boxed()
}

async fn next(events: &mut Events) -> (&'static str, String, DynamicObject) {
    loop {
        let (kind, object) = match events.try_next().await.unwrap().expect("the watch has ended") {
            WatchEvent::Added(object) => ("added", object),
            WatchEvent::Modified(object) => ("modified", object),
            WatchEvent::Deleted(object) => ("deleted", object),
            // These come when the server likes.
            WatchEvent::Bookmark(_) => continue,
            other => panic!("{other:?}"),
        };
        return (kind, object.metadata.name.clone().unwrap(), object);
    }
}

pub async fn a_watch_tells_what_happens_after_a_version(client: Client) {
    let space = Space::new(&client).await;
    let first = space.create("one", 1).await;
    space.create("two", 1).await;
    // From an earlier version: what has happened since is told first.
    let mut events = watch(&space, WatchParams::default(), &version(&first)).await;
    assert_eq!(next(&mut events).await.1, "two");
    let changed = space.merge("one", json!({"spec": {"size": 2}})).await;
    let (kind, name, object) = next(&mut events).await;
    assert_eq!((kind, name.as_str()), ("modified", "one"));
    assert_eq!((version(&object), &object.data["spec"]["size"]), (version(&changed), &json!(2)));
    space.widgets().delete("one", &DeleteParams::default()).await.unwrap();
    let (kind, _, object) = next(&mut events).await;
    assert_eq!(kind, "deleted");
    assert!(version(&object).parse::<u64>().unwrap() > version(&changed).parse::<u64>().unwrap());
    let again = space.create("one", 7).await;
    let (kind, _, object) = next(&mut events).await;
    assert_eq!((kind, object.metadata.uid), ("added", again.metadata.uid));
}

pub async fn a_watch_without_version_begins_with_what_is_there(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let mut events = watch(&space, WatchParams::default(), "0").await;
    assert_eq!(next(&mut events).await.0, "added");
    space.create("two", 1).await;
    assert_eq!(next(&mut events).await.1, "two");
}

pub async fn the_end_of_a_finalized_object_is_one_event(client: Client) {
    let space = Space::new(&client).await;
    let mut wanted = space.widget("one", 1);
    wanted.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    let made = space.widgets().create(&PostParams::default(), &wanted).await.unwrap();
    let mut events = watch(&space, WatchParams::default(), &version(&made)).await;
    space.widgets().delete("one", &DeleteParams::default()).await.unwrap();
    let (kind, _, object) = next(&mut events).await;
    assert_eq!((kind, object.metadata.deletion_timestamp.is_some()), ("modified", true));
    space.merge("one", json!({"metadata": {"finalizers": null}})).await;
    space.create("two", 1).await;
    assert_eq!(next(&mut events).await.0, "deleted");
    assert_eq!(next(&mut events).await.1, "two");
}

pub async fn a_selective_watch_sees_objects_come_and_go(client: Client) {
    let space = Space::new(&client).await;
    let first = space.create("one", 1).await;
    let mut events =
        watch(&space, WatchParams::default().labels("tier=front"), &version(&first)).await;
    let mut named =
        watch(&space, WatchParams::default().fields("metadata.name=two"), &version(&first)).await;
    space.merge("one", json!({"metadata": {"labels": {"tier": "front"}}})).await;
    assert_eq!(next(&mut events).await.0, "added");
    space.merge("one", json!({"spec": {"size": 2}})).await;
    assert_eq!(next(&mut events).await.0, "modified");
    space.merge("one", json!({"metadata": {"labels": null}})).await;
    let (kind, _, object) = next(&mut events).await;
    assert_eq!(kind, "deleted");
    assert!(object.metadata.labels.is_some_and(|labels| labels["tier"] == "front"));
    space.widgets().delete("one", &DeleteParams::default()).await.unwrap();
    let mut second = space.widget("two", 1);
    second.metadata.labels = Some([("tier".to_owned(), "front".to_owned())].into());
    space.widgets().create(&PostParams::default(), &second).await.unwrap();
    let (kind, name, _) = next(&mut events).await;
    assert_eq!((kind, name.as_str()), ("added", "two"));
    assert_eq!(next(&mut named).await.1, "two");
}

pub async fn streamed_lists_end_with_a_bookmark(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    space.create("two", 1).await;
    // A list that may be of any time is of a server's cache, as the stream's is.
    let cached = ListParams::default().match_any();
    while space.widgets().list(&cached).await.unwrap().items.len() < 2 {
        tokio::task::yield_now().await;
    }
    let stream = watcher(space.widgets(), watcher::Config::default().streaming_lists());
    let mut stream = std::pin::pin!(stream);
    let mut seen = Vec::new();
    loop {
        match stream.try_next().await.unwrap().unwrap() {
            watcher::Event::Init => seen.push("init".to_owned()),
            watcher::Event::InitApply(object) => seen.push(object.metadata.name.unwrap()),
            watcher::Event::InitDone => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["init", "one", "two"]);
    space.create("three", 1).await;
    match stream.try_next().await.unwrap().unwrap() {
        watcher::Event::Apply(object) => assert_eq!(object.metadata.name.as_deref(), Some("three")),
        other => panic!("{other:?}"),
    }
}

pub async fn a_watch_ends_at_its_timeout_with_a_bookmark(client: Client) {
    let space = Space::new(&client).await;
    let made = space.create("one", 1).await;
    let mut events = watch(&space, WatchParams::default().timeout(1), &version(&made)).await;
    let mut bookmarks = Vec::new();
    while let Some(event) = events.try_next().await.unwrap() {
        match event {
            WatchEvent::Bookmark(bookmark) => {
                bookmarks.push(bookmark.metadata.resource_version.parse::<u64>().unwrap())
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(bookmarks.iter().all(|bookmark| *bookmark >= version(&made).parse::<u64>().unwrap()));
}

pub async fn reflectors_follow(client: Client) {
    let space = Space::new(&client).await;
    for n in 0..7 {
        space.create(&format!("w{n}"), n).await;
    }
    // Pages of three, so that the first list takes several.
    let config = watcher::Config::default().page_size(3);
    let stream = watcher(space.widgets(), config).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    let mut names = Vec::new();
    for _ in 0..7 {
        names.push(stream.try_next().await.unwrap().unwrap().metadata.name.unwrap());
    }
    assert_eq!(names, ["w0", "w1", "w2", "w3", "w4", "w5", "w6"]);
    space.merge("w3", json!({"spec": {"size": 50}})).await;
    assert_eq!(stream.try_next().await.unwrap().unwrap().data["spec"]["size"], 50);
    assert_eq!(space.widgets().list(&ListParams::default()).await.unwrap().items.len(), 7);
}

/// The first line of a watch, which ends within the second.
async fn first_line(space: &Space, query: &str) -> (u16, serde_json::Value) {
    let path = format!("{}?watch=1&timeoutSeconds=1&{query}", space.path());
    let answer =
        crate::support::Answer::to(&space.client, "GET", &path, "application/json", "").await;
    let line = answer.text.lines().next().unwrap_or_default();
    (answer.code, serde_json::from_str(line).unwrap_or_default())
}

pub async fn a_watch_from_before_the_kind_is_expired(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let (code, line) = first_line(&space, "resourceVersion=1").await;
    assert_eq!((code, &line["type"]), (200, &json!("ERROR")), "{line}");
    let status = &line["object"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")), "{line}");
    assert!(
        status["message"].as_str().is_some_and(|m| m.starts_with("too old resource version: 1 (")),
        "{line}"
    );
}

pub async fn initial_events_need_their_conditions(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    let (code, line) = first_line(&space, "sendInitialEvents=true").await;
    assert_eq!((code, &line["reason"]), (422, &json!("Invalid")), "{line}");
    let (code, line) = first_line(
        &space,
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    )
    .await;
    assert_eq!((code, &line["type"]), (200, &json!("ADDED")), "{line}");
}

pub async fn watches_come_as_metadata_and_tables(client: Client) {
    let space = Space::new(&client).await;
    space.create("one", 1).await;
    for (accept, kind) in [
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "Table"),
    ] {
        let path = format!("{}?watch=1&timeoutSeconds=1", space.path());
        let request = http::Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
        let text = client.request_text(request).await.unwrap();
        let line: serde_json::Value =
            serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
        assert_eq!((&line["type"], &line["object"]["kind"]), (&json!("ADDED"), &json!(kind)));
    }
}
