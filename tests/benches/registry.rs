//! What Warehouses over many tags ask of Debian's `docker-registry`, from its
//! access log: `cargo bench -p e2e --bench registry`. The controllers run in a
//! process of their own. Prints figures; asserts nothing about time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::Warehouse;
use e2e::controller_process::ControllerProcess;
use e2e::peers::access_log::Asked;
use e2e::peers::docker_registry::{DockerRegistry, NewImage};
use e2e::peers::{Peers, login, unchecked};
use e2e::{Pipeline, await_that};
use futures::{StreamExt, stream};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const PROJECT: &str = "tags";
/// Pushes under way at a time.
const AHEAD: usize = 16;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let mut pipeline = Pipeline::without_controllers().await;
    let Some(peers) = Peers::start(&pipeline.world).await else { return };
    peers.map_names(&mut pipeline.args, &pipeline.world);
    let registry = &peers.registry;
    let began = Instant::now();
    // Of 5,000 tags those that are kept differ.
    push(registry, "owner/five-thousand", 5_000, |n| if n < 4_900 { 0 } else { n }).await;
    push(registry, "owner/thousand", 1_000, |n| n).await;
    println!("6,000 tags pushed in {:.0} s", began.elapsed().as_secs_f64());

    let _process = ControllerProcess::start(BINARY, &pipeline, None);
    let project = format!(
        r#"{{"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project", "metadata": {{"name": "{PROJECT}"}}}}"#
    );
    pipeline.apply(&project).await;
    pipeline.namespace(PROJECT).await;
    for repository in ["five-thousand", "thousand"] {
        let url = format!("ghcr.io/owner/{repository}");
        pipeline.apply(&login(PROJECT, repository, "image", &url)).await;
    }
    let looks = Looks { pipeline: &pipeline, registry };
    looks
        .first("5,000 tags, SemVer, limit 20, cold", "semver", "five-thousand", "SemVer", "")
        .await;
    looks.again("the same, warm", "semver", "1").await;
    looks.first("1,000 tags, NewestBuild, cold", "newest", "thousand", "NewestBuild", "").await;
    looks.again("the same, warm", "newest", "1").await;
    push_one(registry, "owner/thousand", "1.0.7", 2_000).await;
    looks.again("the same, one tag moved", "newest", "2").await;
    let by_tag = "      cacheByTag: true\n";
    looks.first("the same, cacheByTag", "by-tag", "thousand", "NewestBuild", by_tag).await;
}

async fn push(registry: &DockerRegistry, repository: &str, tags: usize, build: fn(usize) -> usize) {
    push_one(registry, repository, "1.0.0", build(0)).await;
    let pushes = (1..tags).map(|n| async move {
        push_one(registry, repository, &format!("1.{}.{}", n / 100, n % 100), build(n)).await;
    });
    stream::iter(pushes).buffer_unordered(AHEAD).collect::<Vec<()>>().await;
}

/// Publishes what was built as the `build`th.
async fn push_one(registry: &DockerRegistry, repository: &str, tag: &str, build: usize) {
    let second = 1_700_000_000 + i64::try_from(build).expect("few builds");
    let created = jiff::Timestamp::from_second(second).expect("a time");
    registry.push(repository, tag, &NewImage { created, content: build.to_string() }).await;
}

struct Looks<'a> {
    pipeline: &'a Pipeline,
    registry: &'a DockerRegistry,
}

impl Looks<'_> {
    /// The first look of a Warehouse that is made now.
    async fn first(&self, what: &str, name: &str, repository: &str, strategy: &str, more: &str) {
        let manifest = format!(
            "apiVersion: kargo.akuity.io/v1alpha1\nkind: Warehouse\nmetadata:\n  name: {name}\n  namespace: {PROJECT}\nspec:\n  interval: 1h\n  subscriptions:\n  - image:\n      repoURL: ghcr.io/owner/{repository}\n      imageSelectionStrategy: {strategy}\n      discoveryLimit: 20\n{more}"
        );
        let before = self.registry.asked().await.len();
        let began = Instant::now();
        self.pipeline.apply(&unchecked(&manifest)).await;
        self.ready(name, "").await;
        self.tell(what, before, began.elapsed()).await;
    }

    /// A further look.
    async fn again(&self, what: &str, name: &str, token: &str) {
        let before = self.registry.asked().await.len();
        let began = Instant::now();
        self.pipeline.refresh(PROJECT, name, token).await;
        self.ready(name, token).await;
        self.tell(what, before, began.elapsed()).await;
    }

    async fn ready(&self, name: &str, token: &str) {
        let api = self.pipeline.of::<Warehouse>(PROJECT);
        await_that::object(api, &format!("a Ready {name}"), |w| {
            let status = w.status.clone().unwrap_or_default();
            w.metadata.name.as_deref() == Some(name)
                && status.last_handled_refresh == token
                && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
        })
        .await;
    }

    async fn tell(&self, what: &str, before: usize, took: Duration) {
        let asked = self.registry.asked().await;
        let mut kinds = BTreeMap::new();
        for one in asked.iter().skip(before) {
            *kinds.entry(kind(one)).or_insert(0) += 1;
        }
        let requests: usize = kinds.values().sum();
        println!("{what:38} {requests:5} requests {kinds:?} {:.2} s", took.as_secs_f64());
    }
}

fn kind(asked: &Asked) -> &'static str {
    match (asked.method.as_str(), asked.path.as_str()) {
        _ if !asked.is_served() => "logins",
        (_, path) if path.contains("/tags/list") => "pages",
        ("HEAD", path) if path.contains("/manifests/") => "HEADs",
        (_, path) if path.contains("/manifests/") => "manifests",
        (_, path) if path.contains("/blobs/") => "configs",
        _ => "probes",
    }
}
