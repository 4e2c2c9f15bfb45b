//! What a large fleet costs at rest and at the start, and how fast a replica
//! takes over: `E2E_BACKEND=envtest cargo bench -p e2e --bench fleet` (a real API
//! server). `FLEET=500,100,0,0 START=5000,1000,10000,10000` are how many Stages,
//! Warehouses, pieces of Freight and Promotions there are in the first and second
//! part; `IDLE_SECONDS` (120) how long the first looks on.
//!
//! Prints figures, and one line of JSON a part; asserts nothing about time.

use std::time::{Duration, Instant};

use api::{Freight, Promotion, Stage, Warehouse};
use e2e::Pipeline;
use e2e::controller_process::ControllerProcess;
use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "example/fleet-web";
/// Stages of one Project.
const STAGES: usize = 500;
/// Requests to the API under way at a time.
const AHEAD: usize = 32;
/// How long nothing is written before a fleet is at rest: registries are asked at
/// so many requests a second, and looks that wait write nothing.
const REST: Duration = Duration::from_secs(15);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        hand_over().await;
        at_rest(Size::from("FLEET", [500, 100, 0, 0])).await;
        start(Size::from("START", [5_000, 1_000, 10_000, 10_000])).await;
    });
}

/// How much there is of each kind.
#[derive(Clone, Copy, Debug)]
struct Size {
    stages: usize,
    warehouses: usize,
    freight: usize,
    promotions: usize,
}

impl Size {
    fn from(variable: &str, otherwise: [usize; 4]) -> Self {
        let given = std::env::var(variable).unwrap_or_default();
        let mut given = given.split(',').filter_map(|n| n.trim().parse().ok());
        let [stages, warehouses, freight, promotions] =
            otherwise.map(|n| given.next().unwrap_or(n));
        Self { stages, warehouses, freight, promotions }
    }

    fn projects(self) -> usize {
        self.stages.div_ceil(STAGES).max(1)
    }
}

fn tell(part: &str, figures: Value) {
    println!("{}", json!({"part": part, "figures": figures}));
}

/// From a leader's end, by SIGTERM and by SIGKILL, until the other one leads.
async fn hand_over() {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.namespace("kargo").await;
    let mut leader = ControllerProcess::replica(BINARY, &pipeline, "r0", None);
    leads(&pipeline, "r0").await;
    for (how, rounds) in [("SIGTERM", 1..=5), ("SIGKILL", 6..=8)] {
        let mut took = Vec::new();
        for n in rounds {
            let name = format!("r{n}");
            let standby = ControllerProcess::replica(BINARY, &pipeline, &name, None);
            // It has asked for the Lease and been refused.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let began = Instant::now();
            if how == "SIGTERM" {
                assert!(leader.terminate().await, "the leader ends well");
            } else {
                leader.kill();
            }
            leads(&pipeline, &name).await;
            took.push(began.elapsed().as_secs_f64());
            leader = standby;
        }
        println!("hand-over after {how}: {took:.2?} s");
        tell("hand-over", json!({"after": how, "seconds": took}));
    }
    leader.kill();
}

async fn leads(pipeline: &Pipeline, replica: &str) {
    let leases = pipeline.of::<Lease>("kargo");
    e2e::await_that::object(leases, &format!("{replica} leads"), |lease: &Lease| {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref());
        holder.is_some_and(|h| h.starts_with(&format!("{replica}_")))
    })
    .await;
}

/// A fleet that has nothing to do.
async fn at_rest(size: Size) {
    let pipeline = made(size).await;
    let process = ControllerProcess::start_logging(BINARY, &pipeline, "info");
    rest(&process).await;
    let before = pipeline.world.cluster.requests().expect("requests can be told");
    let (cpu, began) = (process.cpu_seconds(), Instant::now());
    let seconds = std::env::var("IDLE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(120);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (used, minutes) = (process.cpu_seconds() - cpu, began.elapsed().as_secs_f64() / 60.0);
    let since = pipeline.world.cluster.requests().expect("requests can be told").since(&before);
    println!("{size:?} at rest, {:.1} minutes:", minutes);
    println!("  {:.0} MiB, {:.2} % of a core", process.resident_mib(), used / minutes / 0.6);
    println!("  {} writes, Leases included; requests a minute:", since.writes());
    let mut by_verb = serde_json::Map::new();
    for (verb, resource, count) in since.iter() {
        println!("    {verb:<7} {resource:<24} {:.1}", count as f64 / minutes);
        by_verb.insert(format!("{verb} {resource}"), json!(count as f64 / minutes));
    }
    tell(
        "at rest",
        json!({"mib": process.resident_mib(), "core_percent": used / minutes / 0.6,
            "writes": since.writes(), "requests_a_minute": by_verb}),
    );
    process.kill();
}

/// From the start of the process until it is ready, and until it rests: first
/// with objects that have no status yet, then with those that it has seen before.
async fn start(size: Size) {
    let pipeline = made(size).await;
    println!("{size:?}:");
    for what in ["first start", "second start"] {
        let began = Instant::now();
        let process = ControllerProcess::start_logging(BINARY, &pipeline, "info");
        while !process.is_ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ready = began.elapsed().as_secs_f64();
        let at_ready = process.resident_mib();
        rest(&process).await;
        let rests = began.elapsed().saturating_sub(REST).as_secs_f64();
        let (now, peak, cpu) = (process.resident_mib(), process.peak_mib(), process.cpu_seconds());
        println!(
            "  {what}: ready after {ready:.2} s with {at_ready:.0} MiB, at rest after {rests:.0} s \
             with {now:.0} MiB ({peak:.0} MiB at most), {cpu:.1} CPU s"
        );
        tell(
            what,
            json!({"ready_seconds": ready, "ready_mib": at_ready, "rest_seconds": rests,
                "rest_mib": now, "peak_mib": peak, "cpu_seconds": cpu}),
        );
        process.kill();
    }
}

/// Waits until nothing has been written for a while.
async fn rest(process: &ControllerProcess) {
    let writes = || async {
        let metrics = process.metrics().await;
        let lines = metrics.lines().filter(|l| l.starts_with("supercargo_api_writes_total{"));
        lines.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>()
    };
    let (mut seen, mut since) = (-1.0, Instant::now());
    while since.elapsed() < REST {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = writes().await;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// The fleet, spread over Projects.
async fn made(size: Size) -> Pipeline {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.push_tag(IMAGE, "1.0.0");
    let projects = size.projects();
    for n in 0..projects {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": project(n), "labels": {"kargo.akuity.io/project": "true"}}});
        let project = json!({"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project",
            "metadata": {"name": project(n)}});
        pipeline.apply(&format!("{namespace}\n---\n{project}")).await;
    }
    let of = |n: usize| project(n % projects);
    each(size.warehouses, |n| {
        let warehouse = json!({
            "metadata": {"namespace": of(n), "name": format!("w{n}")},
            "spec": {"interval": "5m", "freightCreationPolicy": "Manual",
                "subscriptions": [{"image": {"repoURL": IMAGE, "discoveryLimit": 20}}]},
        });
        create::<Warehouse>(&pipeline, warehouse)
    })
    .await;
    each(size.stages, |n| {
        // A Warehouse of its own Project.
        let warehouse = n % size.warehouses.max(1);
        let stage = json!({
            "metadata": {"namespace": of(warehouse), "name": format!("s{n}")},
            "spec": {
                "requestedFreight": [{"origin": {"kind": "Warehouse", "name": format!("w{warehouse}")},
                    "sources": {"direct": true}}],
                "promotionTemplate": {"spec": {"steps": [{"uses": "compose-output", "config": {"a": 1}}]}},
            },
        });
        create::<Stage>(&pipeline, stage)
    })
    .await;
    each(size.freight, |n| {
        create::<Freight>(&pipeline, freight(n, size, of(n % size.warehouses.max(1))))
    })
    .await;
    each(size.promotions, |n| {
        let (stage, pipeline) = (n % size.stages.max(1), &pipeline);
        let namespace = of(stage % size.warehouses.max(1));
        let freight = freight(stage % size.freight.max(1), size, namespace.clone());
        async move {
            let id = freight["metadata"]["name"].clone();
            let name = format!("s{stage}.01k{n:023}.{}", &id.as_str().unwrap_or_default()[..7]);
            let promotion = json!({
                "metadata": {"namespace": namespace, "name": name,
                    "labels": {"kargo.akuity.io/stage": format!("s{stage}")}},
                "spec": {"stage": format!("s{stage}"), "freight": id,
                    "steps": [{"uses": "compose-output", "as": "step-1", "config": {"a": 1}}]},
            });
            create::<Promotion>(pipeline, promotion).await;
            let status = json!({"status": {
                "phase": "Succeeded", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:09Z",
                "currentStep": 0, "freight": {"name": id, "origin": freight["origin"], "images": freight["images"]},
            }});
            let api = pipeline.of::<Promotion>(&namespace);
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .expect("the Promotion has ended");
        }
    })
    .await;
    pipeline
}

fn project(n: usize) -> String {
    format!("fleet-{n}")
}

/// One of a Warehouse's pieces of Freight, named by what it holds.
fn freight(n: usize, size: Size, namespace: String) -> Value {
    let mut freight = json!({
        "metadata": {"namespace": namespace},
        "alias": format!("alias-{n}"),
        "origin": {"kind": "Warehouse", "name": format!("w{}", n % size.warehouses.max(1))},
        "images": [{"repoURL": IMAGE, "tag": format!("0.{n}.0"), "digest": format!("sha256:{n:064x}")}],
    });
    let typed: Freight = serde_json::from_value(freight.clone()).expect("it is Freight");
    freight["metadata"]["name"] = json!(api::freight_id(&typed));
    freight
}

/// Does something so many times.
async fn each<F: Future<Output = ()>>(times: usize, what: impl FnMut(usize) -> F) {
    stream::iter((0..times).map(what)).buffer_unordered(AHEAD).collect::<Vec<()>>().await;
}

async fn create<K>(pipeline: &Pipeline, object: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object).expect("it is of its kind");
    let namespace = object.namespace().expect("it has a namespace");
    let api = pipeline.of::<K>(&namespace);
    api.create(&PostParams::default(), &object).await.expect("it is made");
}
