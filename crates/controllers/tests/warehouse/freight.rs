//! Freight: when it is made, what happens when it cannot be, and its Events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::Freight;
use controllers::queue::Outcome;
use controllers::store::Key;
use controllers::warehouse::reconcile::Controller;
use kube::api::{Api, DeleteParams};
use sandbox::kubernetes::{Failure, Request};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bench::*;

/// Answers requests that `which` picks with a failure while the switch is on.
fn refuse(
    bench: &Bench,
    code: u16,
    reason: &'static str,
    which: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Arc<AtomicBool> {
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    bench.api.set_hook(Some(Arc::new(move |request| {
        let hit = switch.load(Ordering::SeqCst) && which(request);
        hit.then(|| Failure::new(code, reason, "the server says no"))
    })));
    on
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_fails_nothing() {
    let case = "warehouses/2.5-6";
    let bench = Bench::start().await;
    bench.push("1.0.0");
    refuse(&bench, 403, "Forbidden", |r| r.verb == "create" && r.resource == "events");
    // An earlier failure is replaced on success.
    bench.create("w", images(json!({"constraint": "nope"}))).await;
    let warehouse = bench.warehouse("w", "Ready", "False").await;
    assert!(said(&warehouse, "Healthy").starts_with("False/DiscoveryFailed"), "{case}");
    let fixed = json!({"spec": images(json!({"constraint": "^1"}))});
    bench.patch("w", fixed).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    let conditions: Vec<String> = ["Ready", "Healthy", "Reconciling"]
        .iter()
        .map(|type_| said(&warehouse, type_).split('/').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(conditions, ["True", "True", ""], "{case}");
    let client = bench.client.clone();
    bench.stop().await;
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(client, PROJECT);
    assert!(events.list(&Default::default()).await.unwrap().items.is_empty(), "{case}");
}

#[tokio::test]
async fn without_anybody_who_sends_events_freight_is_made() {
    let case = "warehouses/2.5-7";
    let mut bench = Bench::start().await;
    bench.push("1.0.0");
    // The queue of Events is full and nobody takes them.
    bench.controller.0.cancel();
    (&mut bench.controller.1).await.unwrap();
    bench.end_watches().await;
    let now = bench.context.clock.now();
    for _ in 0..1001 {
        bench.context.events.send(controllers::events::Event::default(), now);
    }
    bench.create("w", images(json!({}))).await;
    let warehouses: Api<api::Warehouse> = Api::namespaced(bench.client.clone(), PROJECT);
    bench.context.stores.warehouses.apply(warehouses.get("w").await.unwrap());
    let passes = Controller::new(Arc::clone(&bench.context), CancellationToken::new());
    let outcome = passes.reconcile(&Key::new(PROJECT, "w")).await;
    assert!(matches!(outcome, Ok(Outcome::After(_))), "{case}");
    assert_eq!(bench.freight().await.len(), 1, "{case}");
    let metrics = bench.metrics();
    assert!(metrics.contains("supercargo_events_total{outcome=\"dropped\"}"), "{metrics}");
}

#[tokio::test]
async fn freight_that_cannot_be_made_is_made_later() {
    let bench = Bench::start().await;
    let digest = bench.push("1.0.0");
    let on =
        refuse(&bench, 500, "InternalError", |r| r.verb == "create" && r.resource == "freights");
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "Ready", "False").await;
    let freight: Freight = serde_json::from_value(json!({
        "metadata": {}, "origin": {"kind": "Warehouse", "name": "w"},
        "images": [{"repoURL": PUBLIC, "tag": "1.0.0", "digest": digest}],
    }))
    .unwrap();
    let name = api::freight_id(&freight);
    let text = format!("Error creating Freight {name:?} in namespace \"p\": the server says no");
    assert_eq!(said(&warehouse, "Ready"), format!("False/FreightCreationFailure: {text}"));
    assert_eq!(said(&warehouse, "Healthy"), format!("False/FreightBuildFailure: {text}"));
    assert_eq!(
        said(&warehouse, "Reconciling"),
        "True/FreightCreationInProgress: Creating Freight from latest artifacts"
    );
    let status = warehouse.status.clone().unwrap();
    assert!(status.discovered_artifacts.is_some() && status.last_freight_id.is_empty());
    on.store(false, Ordering::SeqCst);
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    assert_eq!(warehouse.status.as_ref().unwrap().last_freight_id, name);
    bench.stop().await;
}

#[tokio::test]
async fn that_it_exists_already_is_success() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    refuse(&bench, 409, "AlreadyExists", |r| r.verb == "create" && r.resource == "freights");
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "Ready", "True").await;
    assert_eq!(
        said(&warehouse, "FreightCreated"),
        "False/AlreadyExists: Freight composed of the newest artifacts already exists"
    );
    assert!(!warehouse.status.as_ref().unwrap().last_freight_id.is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn freight_that_was_deleted_is_made_at_the_next_pass() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", images(json!({}))).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    let name = warehouse.status.as_ref().unwrap().last_freight_id.clone();
    let api: Api<Freight> = Api::namespaced(bench.client.clone(), PROJECT);
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    bench.until("no Freight", |c| c.stores.freight.is_empty().then_some(())).await;
    bench.refresh("w", "again").await;
    bench.until("the Freight", |c| (c.stores.freight.len() == 1).then_some(())).await;
    assert_eq!(bench.freight().await[0].metadata.name.as_ref(), Some(&name));
    bench.stop().await;
}

#[tokio::test]
async fn no_two_pieces_of_freight_have_one_alias() {
    let bench = Bench::wanted(Wanted { workers: 16, ..Wanted::default() }).await;
    bench.push("1.0.0");
    const MANY: usize = 100;
    for n in 0..MANY {
        bench.create(&format!("w{n}"), images(json!({}))).await;
    }
    bench.until("all Freight", |c| (c.stores.freight.len() == MANY).then_some(())).await;
    let aliases: std::collections::BTreeSet<String> =
        bench.freight().await.into_iter().map(|f| f.alias).collect();
    assert_eq!(aliases.len(), MANY);
    assert!(aliases.iter().all(|a| a.split('-').count() == 2), "{aliases:?}");
    bench.stop().await;
}
