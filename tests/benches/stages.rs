//! What a hundred Stages cost that are promoted at once, to one repository and
//! to a hundred: `cargo bench -p e2e --bench stages` (`STAGES` says how many). The controllers run in a
//! process of their own, Git is real over HTTP, the Kubernetes API is the
//! embedded one and takes its part of the machine. Prints figures; asserts
//! nothing about time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use api::{Promotion, PromotionPhase};
use e2e::Pipeline;
use e2e::controller_process::ControllerProcess;
use futures::TryStreamExt;
use kube::ResourceExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use sandbox::git_host::GitService;

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "example/crowd-web";
const PATIENCE: Duration = Duration::from_secs(280);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stages = std::env::var("STAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    for repositories in [1, stages] {
        runtime.block_on(crowd(stages, repositories));
    }
}

fn manifests(stages: usize, repositories: usize) -> String {
    let mut text = String::from(
        "
apiVersion: v1
kind: Namespace
metadata: {name: crowd, labels: {kargo.akuity.io/project: 'true'}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {name: crowd}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: crowd, namespace: crowd}
spec:
  promotionPolicies: [{stageSelector: {name: 'glob:*'}, autoPromotionEnabled: true}]
",
    );
    for n in 0..stages {
        let repository = n % repositories;
        text.push_str(&format!(
            "---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {{name: s{n}, namespace: crowd}}
spec:
  requestedFreight: [{{origin: {{kind: Warehouse, name: web}}, sources: {{direct: true}}}}]
  promotionTemplate:
    spec:
      steps:
      - uses: git-clone
        config:
          repoURL: https://git.example.com/crowd/r{repository}.git
          checkout: [{{branch: main, path: ./src}}]
      - uses: yaml-update
        config:
          path: ./src/s{n}/values.yaml
          updates:
          - {{key: image.tag, value: \"${{{{ quote(imageFrom('ghcr.io/{IMAGE}').Tag) }}}}\"}}
      - uses: git-commit
        config: {{path: ./src, message: \"${{{{ ctx.stage }}}}\"}}
      - uses: git-push
        config: {{path: ./src}}
"
        ));
    }
    text.push_str(&format!(
        "---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {{name: web, namespace: crowd}}
spec:
  interval: 1h
  subscriptions: [{{image: {{repoURL: ghcr.io/{IMAGE}, constraint: '>=1.0.0'}}}}]
"
    ));
    text
}

async fn crowd(stages: usize, repositories: usize) {
    let pipeline = Pipeline::without_controllers().await;
    let git = &pipeline.world.git;
    for r in 0..repositories {
        let files: Vec<(String, &str)> = (r..stages)
            .step_by(repositories)
            .map(|n| (format!("s{n}/values.yaml"), "image:\n  tag: 0.9.0\n"))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        git.create_repository(&format!("crowd/r{r}.git"), &files).await.expect("a repository");
    }
    let process = ControllerProcess::start(BINARY, &pipeline, None);
    pipeline.apply(&manifests(stages, repositories)).await;
    println!("{stages} Stages, {repositories} repositories");
    for (what, tag) in [("first", "1.0.0"), ("second", "1.1.0"), ("third", "1.2.0")] {
        round(&pipeline, &process, stages, what, tag).await;
    }
    process.kill();
}

/// A new tag, until it is promoted everywhere.
async fn round(
    pipeline: &Pipeline,
    process: &ControllerProcess,
    stages: usize,
    what: &str,
    tag: &str,
) {
    let promotions = pipeline.of::<Promotion>("crowd");
    let version = promotions.list_metadata(&ListParams::default()).await.expect("a list");
    let version = version.metadata.resource_version.unwrap_or_default();
    let watched = WatchParams::default().timeout(PATIENCE.as_secs() as u32);
    let events = promotions.watch(&watched, &version).await.expect("a watch");
    let mut events = std::pin::pin!(events);
    let git = pipeline.world.git.traffic();
    git.clear();
    let requests = pipeline.world.cluster.requests().expect("requests can be told");
    let cpu = process.cpu_seconds();
    let began = Instant::now();
    pipeline.push_tag(IMAGE, tag);
    pipeline.refresh("crowd", "web", tag).await;
    let mut created = HashMap::new();
    let mut done: HashMap<String, Duration> = HashMap::new();
    let mut first = None;
    while done.len() < stages {
        assert!(began.elapsed() < PATIENCE, "{} of {stages} are done", done.len());
        let event = events.try_next().await.expect("the watch goes on").expect("and on");
        let now = Instant::now();
        let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
        let since = *created.entry(object.name_any()).or_insert(now);
        first.get_or_insert(now);
        let status = object.status.clone().unwrap_or_default();
        if status.phase.is_terminal() && !done.contains_key(&object.name_any()) {
            assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
            done.insert(object.name_any(), now - since);
        }
    }
    let all = first.map(|first: Instant| first.elapsed()).unwrap_or_default();
    let mut took: Vec<Duration> = done.into_values().collect();
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64();
    let requests =
        pipeline.world.cluster.requests().expect("requests can be told").since(&requests);
    let writes: u64 = requests
        .iter()
        .filter(|(verb, ..)| !matches!(verb.to_lowercase().as_str(), "get" | "list" | "watch"))
        .map(|(.., count)| count)
        .sum();
    let count =
        |service, lists| git.count(|r| r.service == service && r.lists_refs == lists) as f64;
    println!(
        "  {what:6}: {:.0} promotions a minute, created to Succeeded p50 {:.2} s, p99 {:.2} s | \
         {:.3} CPU s a promotion | at the Git host {} listings to fetch, {} fetches, {} listings \
         to push, {} pushes | {:.1} API writes a promotion | {:.0} MiB, {:.0} MiB at most",
        stages as f64 * 60.0 / all.as_secs_f64(),
        at(50),
        at(99),
        (process.cpu_seconds() - cpu) / stages as f64,
        count(GitService::Fetch, true),
        count(GitService::Fetch, false),
        count(GitService::Push, true),
        count(GitService::Push, false),
        writes as f64 / stages as f64,
        process.resident_mib(),
        process.peak_mib(),
    );
    settled(pipeline, tag).await;
}

/// Waits until every Stage has taken its Promotion in.
async fn settled(pipeline: &Pipeline, tag: &str) {
    let stages = pipeline.of::<api::Stage>("crowd");
    e2e::await_that::answer(&format!("all Stages at {tag}"), || async {
        let all = stages.list(&ListParams::default()).await.expect("a list").items;
        let at_rest = |stage: &api::Stage| {
            let status = stage.status.clone().unwrap_or_default();
            status.current_promotion.is_none()
                && status.last_promotion.is_some_and(|last| {
                    let freight = last.freight.unwrap_or_default();
                    freight.images.iter().any(|image| image.tag == tag)
                })
        };
        all.iter().all(at_rest).then_some(())
    })
    .await;
}
