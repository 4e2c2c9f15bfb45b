//! What a fleet of Warehouses on one repository costs after a push:
//! `cargo bench -p e2e --bench warehouses`. The controllers run in a process of
//! their own; `git http-backend` stands behind lighttpd, whose access log
//! counts, or, where that is not installed, behind the sandbox's server. Prints
//! figures; asserts nothing about time.

use std::time::{Duration, Instant};

use api::{Freight, Warehouse};
use e2e::controller_process::ControllerProcess;
use e2e::peers::{Peers, login};
use e2e::{Pipeline, await_that};
use futures::{StreamExt, stream};
use kube::api::PostParams;
use sandbox::git_host::GitService;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const REPOSITORY: &str = "fleet/deploy.git";
const URL: &str = "https://git.example.com/fleet/deploy.git";
const WAREHOUSES: usize = 1000;
/// Requests to the API under way at a time.
const AHEAD: usize = 32;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let mut pipeline = Pipeline::without_controllers().await;
    let peers = Peers::start(&pipeline.world).await;
    if let Some(peers) = &peers {
        peers.map_names(&mut pipeline.args, &pipeline.world);
    }
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &[("README.md", "")]).await.expect("a repository");
    for n in 0..50 {
        let text = n.to_string();
        git.commit_file(REPOSITORY, "main", "app/values.yaml", &text, &text)
            .await
            .expect("a commit");
    }
    let process = ControllerProcess::start(BINARY, &pipeline, None);
    let project = r#"{"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project", "metadata": {"name": "fleet"}}"#;
    pipeline.apply(project).await;
    pipeline.namespace("fleet").await;
    if peers.is_some() {
        pipeline.apply(&login("fleet", "git", "git", URL)).await;
    }

    let began = Instant::now();
    let warehouses = pipeline.of::<Warehouse>("fleet");
    each(|n| {
        let warehouse: Warehouse = serde_json::from_value(json!({
            "metadata": {"namespace": "fleet", "name": format!("w{n}")},
            "spec": {"interval": "1h", "subscriptions": [{"git": {
                "repoURL": URL,
                "insecureSkipTLSVerify": true,
                "branch": "main",
                "includePaths": ["app"],
                "discoveryLimit": 20,
            }}]},
        }))
        .expect("a Warehouse");
        let warehouses = warehouses.clone();
        async move {
            warehouses.create(&PostParams::default(), &warehouse).await.expect("it is made");
        }
    })
    .await;
    freight(&pipeline, WAREHOUSES).await;
    let took = began.elapsed().as_secs_f64();
    let mut before = requests(&pipeline, peers.as_ref()).await;
    println!(
        "{WAREHOUSES} Warehouses on one repository, made: Freight of all after {took:.2} s; {} requests of fetches, {} listings",
        before.fetches, before.listings
    );

    let (memory, cpu) = (process.resident_mib(), process.cpu_seconds());
    for round in 1..=3 {
        let text = format!("push {round}");
        git.commit_file(REPOSITORY, "main", "app/values.yaml", &text, &text)
            .await
            .expect("a commit");
        let began = Instant::now();
        each(|n| {
            let pipeline = &pipeline;
            async move { pipeline.refresh("fleet", &format!("w{n}"), &round.to_string()).await }
        })
        .await;
        let asked = began.elapsed();
        freight(&pipeline, WAREHOUSES * (round + 1)).await;
        let took = began.elapsed().as_secs_f64();
        let after = requests(&pipeline, peers.as_ref()).await;
        println!(
            "push {round}: all asked after {:.2} s, Freight of all after {took:.2} s; {} requests of fetches, {} listings; memory {:.1} MiB (before: {memory:.1})",
            asked.as_secs_f64(),
            after.fetches - before.fetches,
            after.listings - before.listings,
            process.resident_mib(),
        );
        before = after;
    }
    println!("CPU of the controllers a push: {:.2} s", (process.cpu_seconds() - cpu) / 3.0);
}

/// Does something for every Warehouse.
async fn each<F: Future<Output = ()>>(what: impl FnMut(usize) -> F) {
    stream::iter((0..WAREHOUSES).map(what)).buffer_unordered(AHEAD).collect::<Vec<()>>().await;
}

/// Waits until there is so much Freight.
async fn freight(pipeline: &Pipeline, wanted: usize) {
    let api = pipeline.of::<Freight>("fleet");
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let deadline = Instant::now() + await_that::PATIENCE * 5;
    loop {
        pause.tick().await;
        let there = api.list_metadata(&Default::default()).await.expect("a list").items.len();
        if there >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "only {there} of {wanted} pieces of Freight");
    }
}

/// What the Git host has answered so far. A fetch into an empty mirror is one
/// request; later ones first tell what is there, and are two.
struct Requests {
    listings: usize,
    fetches: usize,
}

async fn requests(pipeline: &Pipeline, peers: Option<&Peers>) -> Requests {
    let Some(peers) = peers else {
        let traffic = pipeline.world.git.traffic();
        let of = |lists: bool| {
            traffic.count(|r| r.service == GitService::Fetch && r.lists_refs == lists)
        };
        return Requests { listings: of(true), fetches: of(false) };
    };
    let asked = peers.web.asked().await;
    let of = |end: &str| asked.iter().filter(|a| a.is_served() && a.path.contains(end)).count();
    Requests { listings: of("/info/refs?"), fetches: of(".git/git-upload-pack") }
}
