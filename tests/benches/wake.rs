//! How long it takes from what a step waits for to the step after it, with the
//! controllers in this process: `cargo bench -p e2e --bench wake`. Prints
//! figures; asserts nothing about time.

use std::time::{Duration, Instant};

use api::{Promotion, PromotionPhase};
use e2e::{Pipeline, await_that};
use forge::{Forges, HttpForges, OpenRequest, Settings};
use futures::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use promotion::observe::StepRun;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const IMAGE: &str = "example/wake-web";
const ROUNDS: usize = 20;
const REPOSITORY: &str = "wake/gitops.git";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: wake, labels: {kargo.akuity.io/project: "true"}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {name: wake}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: wake, namespace: wake}
spec:
  promotionPolicies: [{stageSelector: {name: prod}, autoPromotionEnabled: true}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: wake
  namespace: argocd
  annotations: {kargo.akuity.io/authorized-stage: 'wake:prod'}
spec:
  project: default
  source: {repoURL: https://git.example.com/wake/gitops.git, targetRevision: main, path: .}
  destination: {server: https://kubernetes.default.svc, namespace: wake}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: prod, namespace: wake}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: web}, sources: {direct: true}}]
  promotionTemplate:
    spec:
      steps:
      - uses: git-clone
        config:
          repoURL: https://git.example.com/wake/gitops.git
          checkout: [{branch: main, path: ./src}]
      - uses: yaml-update
        config:
          path: ./src/values.yaml
          updates: [{key: image.tag, value: "${{ quote(imageFrom('ghcr.io/example/wake-web').Tag) }}"}]
      - uses: git-commit
        config: {path: ./src, message: "${{ ctx.promotion }}"}
      - uses: git-push
        as: push
        config: {path: ./src, generateTargetBranch: true}
      - uses: git-open-pr
        as: open-pr
        config:
          repoURL: https://git.example.com/wake/gitops.git
          provider: gitea
          sourceBranch: "${{ outputs.push.branch }}"
          targetBranch: main
      - uses: git-wait-for-pr
        as: wait
        config:
          repoURL: https://git.example.com/wake/gitops.git
          provider: gitea
          prNumber: "${{ outputs['open-pr'].pr.id }}"
      - uses: argocd-update
        as: sync
        config:
          apps: [{name: wake, sources: [{repoURL: https://git.example.com/wake/gitops.git, desiredRevision: "${{ outputs.wait.commit }}"}]}]
      - uses: yaml-parse
        as: last
        config: {path: ./src/values.yaml, outputs: [{name: tag, fromExpression: image.tag}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {name: web, namespace: wake}
spec:
  interval: 1h
  subscriptions: [{image: {repoURL: ghcr.io/example/wake-web, constraint: '>=1.0.0'}}]
"#;

async fn measure() {
    let mut pipeline = Pipeline::without_controllers().await;
    let files = [("values.yaml", "image:\n  tag: 0.9.0\n")];
    let git = pipeline.world.git.clone();
    git.create_repository(REPOSITORY, &files).await.expect("a repository");
    let (send, mut runs) = unbounded_channel();
    pipeline.start_controllers(supercargo::wiring::steps().observed_by(send.clone()));
    pipeline.apply(MANIFESTS).await;
    let forges = HttpForges::new(Settings::default()).expect("HTTP can be set up");
    let request = OpenRequest {
        url: git.repository_url(REPOSITORY),
        provider: Some("gitea".into()),
        ..OpenRequest::default()
    };
    let reviewer = forges.open(&request).expect("the repository is at a provider");
    let promotions: Api<Promotion> = pipeline.of("wake");
    let (mut by_event, mut by_application, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let tag = format!("1.{round}.0");
        pipeline.push_tag(IMAGE, &tag);
        pipeline.refresh("wake", "web", &tag).await;
        let waits = await_that::object(promotions.clone(), "a Promotion that waits", |p| {
            let status = p.status.clone().unwrap_or_default();
            let state = status.state.unwrap_or_default();
            status.phase == PromotionPhase::Running && state.contains_key("wait")
        })
        .await;
        reviewer.merge(round as i64, Some("merge")).await.expect("it is merged");
        // What a webhook receiver does.
        let merged = Instant::now();
        let name = waits.metadata.name.clone().unwrap_or_default();
        let change = json!({"metadata": {"annotations": {api::annotations::REFRESH: tag}}});
        let synced = tokio::spawn(synced(pipeline.client()));
        promotions
            .patch(&name, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .expect("the Promotion is there");
        pipeline.promoted("wake", "prod", &tag).await;
        let synced = synced.await.expect("the sync ends");
        let seen = drain(&mut runs, &name);
        let first = |alias: &str, after: Instant| {
            seen.iter().find(|r| r.alias == alias && r.began >= after).map(|r| r.began)
        };
        by_event.push(first("wait", merged).expect("it was woken") - merged);
        // The step may have seen it sooner than this program.
        let last = first("last", merged).expect("the last step ran");
        by_application.push(last.saturating_duration_since(synced));
        let alone = seen.iter().filter(|r| r.alias == "last" || r.alias == "step-2");
        steps.extend(alone.map(|r| r.ended - r.began));
    }
    tell("from a pull request's event to its step", by_event);
    tell("from the end of a sync to the step after it", by_application);
    tell("a step that reads or changes a file, its own work", steps);
}

/// When the Application's operation is seen to have succeeded.
async fn synced(client: kube::Client) -> Instant {
    let kind =
        ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, "argocd", &kind);
    let version = api.list(&Default::default()).await.expect("a list").metadata.resource_version;
    let version = version.unwrap_or_default();
    let events = api.watch(&WatchParams::default(), &version).await.expect("a watch");
    let mut events = std::pin::pin!(events);
    let mut running = false;
    while let Some(event) = events.next().await {
        let Ok(WatchEvent::Modified(object)) = event else { continue };
        let phase = object.data.pointer("/status/operationState/phase").and_then(|p| p.as_str());
        match phase {
            Some("Running") => running = true,
            Some("Succeeded") if running => return Instant::now(),
            _ => {}
        }
    }
    panic!("the watch ended");
}

fn drain(runs: &mut UnboundedReceiver<StepRun>, promotion: &str) -> Vec<StepRun> {
    let mut seen = Vec::new();
    while let Ok(run) = runs.try_recv() {
        if run.promotion == promotion {
            seen.push(run);
        }
    }
    seen
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |n: usize| took[n].as_secs_f64() * 1000.0;
    let last = took.len() - 1;
    println!("{what}, {} times: median {:.1} ms, worst {:.1} ms", last + 1, ms(last / 2), ms(last));
}
