//! How the one watch a kind treats a server that misbehaves (design, settled
//! 14).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use controllers::metrics::Metrics;
use controllers::store::{Key, Store};
use controllers::watch;
use http::{Request, Response};
use http_body_util::Full;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::client::Body;
use kube::core::DeserializeGuard;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

/// A client whose server answers each request with what `answer` makes of its
/// path and number.
fn client(
    answer: impl Fn(&str, usize) -> (u16, String) + Clone + Send + Sync + 'static,
) -> (kube::Client, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let service = service_fn(move |request: Request<Body>| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().to_string();
        let (status, body) = answer(&path, number);
        async move {
            let response = Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Full::new(bytes::Bytes::from(body)));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    (kube::Client::new(service, "default"), count)
}

const EMPTY: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":[]}"#;

async fn run_for(client: kube::Client, time: Duration, optional: bool) -> Store<ConfigMap> {
    let store = Store::new(Vec::new());
    let api: Api<DeserializeGuard<ConfigMap>> = Api::all(client);
    let stop = CancellationToken::new();
    let metrics = Metrics::default();
    let watching = watch::run(api, "ConfigMap", optional, &store, &metrics, stop.clone());
    tokio::select! {
        () = watching => {}
        () = tokio::time::sleep(time) => {}
    }
    store
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_watches_at_once_is_not_hammered() {
    let (client, count) = client(|path, _| {
        let is_watch = path.contains("watch=true");
        (200, if is_watch { String::new() } else { EMPTY.to_owned() })
    });
    let store = run_for(client, Duration::from_secs(60), false).await;
    assert!(store.is_ready());
    let requests = count.load(Ordering::SeqCst);
    assert!((3..20).contains(&requests), "{requests} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_with_errors_is_not_hammered() {
    let failure = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"InternalError","code":500}"#;
    let (client, count) = client(move |_, _| (500, failure.to_owned()));
    let store = run_for(client, Duration::from_secs(60), false).await;
    assert!(!store.is_ready());
    let requests = count.load(Ordering::SeqCst);
    assert!((3..20).contains(&requests), "{requests} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_there_counts_as_empty() {
    let failure = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"NotFound","code":404}"#;
    let (client, count) = client(move |_, _| (404, failure.to_owned()));
    let store = run_for(client, Duration::from_secs(150), true).await;
    assert!(store.is_ready() && !store.is_available());
    assert_eq!(count.load(Ordering::SeqCst), 3, "asked once a minute");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_decode_does_not_hide_the_others() {
    let case = "one bad object";
    let list = r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":[
        {"metadata":{"namespace":"n","name":"bad","uid":"1","resourceVersion":"1"},"data":"no map"},
        {"metadata":{"namespace":"n","name":"good","uid":"2","resourceVersion":"1"},"data":{"a":"b"}}]}"#;
    let (client, _) = client(move |path, _| {
        (200, if path.contains("watch=true") { String::new() } else { list.to_owned() })
    });
    let store = run_for(client, Duration::from_secs(1), false).await;
    assert!(store.get(&Key::new("n", "good")).is_some(), "{case}");
    assert!(store.get(&Key::new("n", "bad")).is_none(), "{case}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_leads_to_a_new_listing() {
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}}"#;
    let second = r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"9"},"items":[
        {"metadata":{"namespace":"n","name":"new","uid":"2","resourceVersion":"9"}}]}"#;
    let (client, _) = client(move |path, number| {
        let body = match (path.contains("watch=true"), number) {
            (false, 0) => EMPTY,
            (false, _) => second,
            (true, 1) => gone,
            (true, _) => "",
        };
        (200, body.to_owned())
    });
    let store = run_for(client, Duration::from_secs(5), false).await;
    assert!(store.get(&Key::new("n", "new")).is_some());
}
