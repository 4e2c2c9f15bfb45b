//! Nobody waits for somebody else's repository.

use controllers::store::Key;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use crate::bench::*;

/// A host that takes connections and never says a word.
struct Silent {
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Silent {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { url, task }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn under_way(bench: &Bench) -> String {
    let metrics = bench.metrics();
    let line = metrics.lines().find(|l| l.starts_with("supercargo_discoveries_under_way "));
    line.and_then(|l| l.split(' ').nth(1)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_silent_host_delays_nobody_else() {
    // One pass at a time decides and writes.
    let bench = Bench::wanted(Wanted { workers: 1, ..Wanted::default() }).await;
    let silent = Silent::start().await;
    bench.push("1.0.0");
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.charts.publish("web", "1.0.0");
    for n in 0..10 {
        let chart = json!({"chart": with(&silent.url, json!({"name": "web"}))});
        bench.create(&format!("silent-{n}"), spec(json!([chart]))).await;
    }
    // What cannot be read is told of itself alone.
    bench.create("unreadable", spec(json!([{"image": {}, "git": {}}]))).await;
    let good = json!([
        {"image": with(PUBLIC, json!({}))},
        {"git": with("https://git.example.com/team/app", json!({}))},
        {"chart": with(&bench.charts.url(), json!({"name": "web"}))},
    ]);
    bench.create("good", spec(good)).await;
    bench.warehouse("good", "FreightCreated", "True").await;
    bench.warehouse("unreadable", "Ready", "False").await;
    assert_eq!(under_way(&bench), "10");

    // A look in vain ends with the spec that wanted it, or its Warehouse.
    let image = json!({"spec": images(json!({}))});
    bench.patch("silent-0", image).await;
    bench.warehouse("silent-0", "FreightCreated", "True").await;
    let api: Api<api::Warehouse> = Api::namespaced(bench.client.clone(), PROJECT);
    api.delete("silent-1", &DeleteParams::default()).await.unwrap();
    let key = Key::new(PROJECT, "silent-1");
    bench.until("its end", |c| c.stores.warehouses.get(&key).is_none().then_some(())).await;
    while under_way(&bench) != "8" {
        tokio::task::yield_now().await;
    }
    // The process ends without waiting for the rest.
    bench.stop().await;
}
