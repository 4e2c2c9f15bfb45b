//! Image subscriptions: tags become Freight, nothing new writes nothing, and
//! what is wrong is said.

use std::time::{Duration, Instant};

use api::Freight;
use controllers::store::Key;
use credentials::{Secret, SecretRef, StoredSecret};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, PostParams};
use sandbox::registry::{Access, Fault};
use serde_json::json;

use crate::bench::*;

#[tokio::test]
async fn a_tag_becomes_freight_and_nothing_new_becomes_nothing() {
    let bench = Bench::start().await;
    let digest = bench.push("1.0.0");
    bench.push("latest");
    bench.create("w", images(json!({"strictSemvers": true, "discoveryLimit": 20}))).await;
    let warehouse = bench.warehouse("w", "Ready", "True").await;
    assert_eq!(
        said(&warehouse, "Ready"),
        "True/ArtifactsDiscovered: Successfully discovered artifacts from 1 subscriptions"
    );
    assert_eq!(said(&warehouse, "Healthy"), "True/ReconciliationSucceeded: ");
    assert!(said(&warehouse, "FreightCreated").starts_with("True/NewFreight: "));
    assert_eq!(said(&warehouse, "Reconciling"), "");
    let status = warehouse.status.clone().unwrap();
    assert_eq!(status.observed_generation, 1);
    let artifacts = status.discovered_artifacts.unwrap();
    assert!(artifacts.discovered_at.is_some());
    assert_eq!(artifacts.images[0].repo_url, PUBLIC, "public names stay");
    let freight = bench.freight().await;
    let [first] = freight.as_slice() else { panic!("not one Freight: {freight:#?}") };
    let name = first.metadata.name.clone().unwrap();
    assert_eq!(name, api::freight_id(first));
    assert_eq!(name, status.last_freight_id);
    assert_eq!(first.origin.to_string(), "Warehouse/w");
    assert_eq!((first.images[0].tag.as_str(), &first.images[0].digest), ("1.0.0", &digest));
    let label = first.metadata.labels.as_ref().and_then(|l| l.get(api::labels::ALIAS));
    assert_eq!(label, Some(&first.alias));
    assert!(!first.alias.is_empty() && first.discovered_at.is_some());

    // A refresh that finds nothing new notes that it was done, and no more.
    let before = bench.api.requests();
    bench.refresh("w", "one").await;
    bench.refreshed("w", "one").await;
    assert_eq!(bench.api.requests().since(&before).writes(), 2, "the annotation and one status");
    assert_eq!(bench.freight().await.len(), 1);

    // A new tag is Freight as soon as somebody asks.
    bench.push("1.1.0");
    let asked = Instant::now();
    bench.refresh("w", "two").await;
    bench.until("second Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
    println!("refresh to Freight: {:?}", asked.elapsed());
    let warehouse = bench.refreshed("w", "two").await;
    let newest = bench.freight().await.into_iter().find(|f| f.images[0].tag == "1.1.0").unwrap();
    assert_eq!(warehouse.status.as_ref().unwrap().last_freight_id, newest.metadata.name.unwrap());

    let client = bench.client.clone();
    bench.stop().await; // Events that wait are sent first.
    let events: Api<Event> = Api::namespaced(client, PROJECT);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let created: Vec<&Event> =
        events.iter().filter(|e| e.reason.as_deref() == Some("FreightCreated")).collect();
    assert_eq!(created.len(), 2, "{events:#?}");
    let event = created[0];
    assert_eq!(event.message.as_deref(), Some("Freight created from discovered artifacts"));
    let facts = event.metadata.annotations.clone().unwrap();
    assert_eq!(facts["event.kargo.akuity.io/actor"], "controller:warehouse-controller");
    assert_eq!(facts["event.kargo.akuity.io/freight-warehouse-name"], "w");
}

#[tokio::test]
async fn an_idle_warehouse_writes_nothing() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    let mut spec = images(json!({}));
    spec["interval"] = json!("1s");
    bench.create("w", spec).await;
    bench.warehouse("w", "Ready", "True").await;
    bench.until("Freight", |c| (c.stores.freight.len() == 1).then_some(())).await;
    // The Event of the Freight is written in the background.
    let traffic = bench.registry().traffic();
    tokio::time::timeout(PATIENCE, traffic.until(2, "GET", "/tags/list")).await.unwrap();
    let before = bench.api.requests();
    tokio::time::timeout(PATIENCE, traffic.until(4, "GET", "/tags/list")).await.unwrap();
    assert_eq!(bench.api.requests().since(&before).writes(), 0);
    // It is awake all the same.
    bench.push("1.0.1");
    bench.until("second Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let bench = Bench::start().await;
    for tag in ["latest", "main", "1.0"] {
        bench.push(tag);
    }
    let other = json!({"interval": "5m", "subscriptions": [{"image": {"repoURL": "docker.io/owner/nothing"}}]});
    for (name, spec, expected) in [
        (
            "no-version",
            images(json!({})),
            "False/MissingImageReferences: No references discovered for image repository \"docker.io/owner/app\": 3 tags seen: 2 are no semantic version (another imageSelectionStrategy takes such tags) (for example \"latest\"), 1 are versions but not of the form X.Y.Z (set strictSemvers: false to admit them) (for example \"1.0\")",
        ),
        // warehouses/6.3-4
        (
            "followed",
            images(json!({"imageSelectionStrategy": "Digest", "constraint": "gone"})),
            "False/MissingImageReferences: No references discovered for image repository \"docker.io/owner/app\"",
        ),
        (
            "not-found",
            other,
            "False/DiscoveryFailure: Artifact discovery failed: error discovering artifacts: error discovering newest applicable images \"docker.io/owner/nothing\": error listing tags: error listing tags for repo URL index.docker.io/owner/nothing: GET https://index.docker.io/v2/owner/nothing/tags/list?n=1000: 404 Not Found: NAME_UNKNOWN: repository name not known to registry; check that the repository owner/nothing exists at index.docker.io",
        ),
        (
            "constraint",
            images(json!({"constraint": "nope"})),
            "False/DiscoveryFailure: Artifact discovery failed: error discovering artifacts: error obtaining selector for image \"docker.io/owner/app\": error parsing semver constraint \"nope\": improper constraint: nope",
        ),
        (
            "unreadable",
            json!({"interval": "5m", "subscriptions": [{"image": {}, "git": {}}]}),
            "False/DiscoveryFailure: Artifact discovery failed: error discovering artifacts: subscription at index 0 must have exactly one top-level field naming its type, apart from an optional \"name\" field, but has 2",
        ),
    ] {
        bench.create(name, spec).await;
        let warehouse = bench.warehouse(name, "Ready", "False").await;
        let ready = said(&warehouse, "Ready");
        assert!(ready.starts_with(expected), "{name}: {ready}");
        let healthy = said(&warehouse, "Healthy");
        if name == "followed" {
            assert!(healthy.starts_with("False/NoImageReferencesDiscovered: "), "{healthy}");
        }
        assert!(healthy.starts_with("False/"), "{name}: {healthy}");
    }
    assert!(bench.freight().await.is_empty());
    bench.stop().await;
}

/// A registry that wants a token, for a name and password.
fn private() -> Access {
    Access::Token { username: "me".into(), password: "canary-right".into(), anonymous_pull: false }
}

fn secret(password: &str) -> StoredSecret {
    let data = [("repoURL", PUBLIC), ("username", "me"), ("password", password)];
    StoredSecret {
        reference: SecretRef { namespace: PROJECT.into(), name: "hub".into(), uid: "u".into() },
        labels: [(api::labels::CRED_TYPE.to_owned(), "image".to_owned())].into(),
        annotations: [].into(),
        data: data.into_iter().map(|(k, v)| (k.to_owned(), Secret::new(v))).collect(),
    }
}

#[tokio::test]
async fn a_credential_opens_the_registry_and_is_never_told() {
    let bench = Bench::with(private(), vec![secret("canary-right")]).await;
    bench.push("1.0.0");
    bench.create("w", images(json!({}))).await;
    bench.warehouse("w", "FreightCreated", "True").await;
    bench.stop().await;

    let bench = Bench::with(private(), vec![secret("canary-wrong")]).await;
    bench.push("1.0.0");
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "Ready", "False").await;
    let ready = said(&warehouse, "Ready");
    assert!(
        ready.contains("index.docker.io refused the credential of Secret p/hub: check its username and password"),
        "{ready}"
    );
    let all = serde_json::to_string(&*warehouse).unwrap();
    assert!(!all.contains("canary"), "{all}");
    assert!(bench.freight().await.is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn a_look_that_takes_its_time_is_announced() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    bench.registry().traffic().delay(Duration::from_millis(700));
    bench.create("w", images(json!({}))).await;
    let key = Key::new(PROJECT, "w");
    let warehouse = bench
        .until("announcement", |c| {
            let warehouse = c.stores.warehouses.get(&key)?;
            said(&warehouse, "Ready").starts_with("False/DiscoveryInProgress").then_some(warehouse)
        })
        .await;
    assert_eq!(
        said(&warehouse, "Reconciling"),
        "True/ScheduledDiscovery: Discovering artifacts for 1 subscriptions"
    );
    assert_eq!(
        said(&warehouse, "Healthy"),
        "Unknown/Pending: Health status cannot be determined until artifact discovery is finished"
    );
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    assert_eq!(said(&warehouse, "Reconciling"), "");
    bench.stop().await;
}

#[tokio::test]
async fn a_restarted_controller_writes_nothing() {
    let mut bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", images(json!({}))).await;
    bench.warehouse("w", "FreightCreated", "True").await;
    bench.refresh("w", "one").await;
    bench.refreshed("w", "one").await;
    bench.controller.0.cancel();
    (&mut bench.controller.1).await.unwrap();
    let before = bench.api.requests();
    bench.controller = run(&bench.context, &bench.stop);
    // The Warehouse is new to the controller and is passed over again, before
    // another, whose Freight shows that the controller is at work.
    bench.create("other", images(json!({}))).await;
    bench.warehouse("other", "FreightCreated", "True").await;
    let writes = bench.api.requests().since(&before);
    assert_eq!(writes.of("patch", "warehouses/status"), 1, "{writes:?}");
    assert_eq!(writes.of("create", "freights"), 1, "{writes:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_registry_that_refuses_or_is_silent() {
    let mut bench = Bench::with(private(), Vec::new()).await;
    bench.create("w", images(json!({}))).await;
    let ready = said(&*bench.warehouse("w", "Ready", "False").await, "Ready");
    assert!(ready.contains("401 Unauthorized") && ready.contains("index.docker.io"), "{ready}");
    assert!(ready.contains("no credential was found: if owner/app is private"), "{ready}");
    // Nothing listens there any more.
    bench.registry = None;
    bench.refresh("w", "again").await;
    bench.refreshed("w", "again").await;
    let ready = bench
        .until("silence", |c| {
            let warehouse = c.stores.warehouses.get(&Key::new(PROJECT, "w"))?;
            Some(said(&warehouse, "Ready")).filter(|r| r.contains("no answer from index.docker.io"))
        })
        .await;
    assert!(ready.contains("check that index.docker.io is the right registry"), "{ready}");
    bench.stop().await;
}

#[tokio::test]
async fn trouble_passes_by_itself() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    bench.registry().traffic().fail(Fault { status: 500, times: 3, ..Fault::default() });
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "Ready", "False").await;
    assert!(said(&warehouse, "Healthy").contains("500 Internal Server Error"));
    assert_eq!(
        said(&warehouse, "Reconciling"),
        "True/ScheduledDiscovery: Discovering artifacts for 1 subscriptions"
    );
    let warehouse = bench.warehouse("w", "Ready", "True").await;
    assert_eq!(said(&warehouse, "Reconciling"), "");
    bench.stop().await;
}

#[tokio::test]
async fn policies_and_criteria() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    let mut manual = images(json!({}));
    manual["freightCreationPolicy"] = json!("Manual");
    bench.create("manual", manual).await;
    let warehouse = bench.warehouse("manual", "Ready", "True").await;
    assert_eq!(
        (
            said(&warehouse, "FreightCreated").as_str(),
            warehouse.status.as_ref().unwrap().last_freight_id.as_str()
        ),
        ("", "")
    );
    let mut unmet = images(json!({}));
    unmet["freightCreationCriteria"] =
        json!({"expression": format!("imageFrom('{PUBLIC}').Tag == '2.0.0'")});
    bench.create("unmet", unmet).await;
    let warehouse = bench.warehouse("unmet", "Ready", "True").await;
    assert_eq!(
        said(&warehouse, "FreightCreationCriteriaSatisfied"),
        "False/CriteriaNotSatisfied: Freight creation criteria were not satisfied"
    );
    let mut failing = images(json!({}));
    failing["freightCreationCriteria"] = json!({"expression": "image.tag"});
    bench.create("failing", failing).await;
    let warehouse = bench.warehouse("failing", "Ready", "False").await;
    let ready = said(&warehouse, "Ready");
    assert!(ready.starts_with("False/CriteriaEvaluationFailed: Evaluation of Freight creation criteria failed: error running expression: "), "{ready}");
    assert!(bench.freight().await.is_empty());
    // The spec is mended, and its change wakes the controller.
    bench
        .patch("failing", json!({"spec": {"freightCreationCriteria": {"expression": "true"}}}))
        .await;
    bench.warehouse("failing", "FreightCreated", "True").await;
    bench.stop().await;
}

#[tokio::test]
async fn freight_that_is_there_is_not_made_again() {
    let bench = Bench::start().await;
    let digest = bench.push("1.0.0");
    let mut freight: Freight = serde_json::from_value(json!({
        "metadata": {"namespace": PROJECT}, "alias": "mine",
        "origin": {"kind": "Warehouse", "name": "w"},
        "images": [{"repoURL": PUBLIC, "tag": "1.0.0", "digest": digest}],
    }))
    .unwrap();
    freight.metadata.name = Some(api::freight_id(&freight));
    let api: Api<Freight> = Api::namespaced(bench.client.clone(), PROJECT);
    api.create(&PostParams::default(), &freight).await.unwrap();
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "False").await;
    assert_eq!(
        said(&warehouse, "FreightCreated"),
        "False/AlreadyExists: Freight composed of the newest artifacts already exists"
    );
    let freight_id = &warehouse.status.as_ref().unwrap().last_freight_id;
    assert_eq!(Some(freight_id), freight.metadata.name.as_ref());
    let all = bench.freight().await;
    assert_eq!((all.len(), all[0].alias.as_str()), (1, "mine"));
    bench.stop().await;
}
