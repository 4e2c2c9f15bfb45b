//! Forty Stages that write to one branch at the same time, each with an
//! Application that is pinned to the Stage's own commit, and a real Argo CD.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::{Promotion, PromotionPhase};
use e2e::deployed::Deployed;
use e2e::ships::{PROJECT, Ships, TARGET, config_map};
use kube::api::ListParams;
use serde_json::{Value, json};

const STAGES: usize = 40;

/// How long all of them may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn steps(url: &str, stage: &str) -> Value {
    json!([
        {"uses": "git-clone", "config": {
            "repoURL": url, "checkout": [{"branch": "main", "path": "./src"}],
        }},
        {"uses": "yaml-update", "as": "update", "config": {
            "path": format!("./src/{stage}/config.yaml"),
            "updates": [{"key": "data.value", "value": "${{ ctx.promotion }}"}],
        }},
        {"uses": "git-commit", "as": "commit", "config": {"path": "./src", "message": stage}},
        {"uses": "git-push", "as": "push", "config": {"path": "./src"}},
        {"uses": "argocd-update", "as": "sync", "config": {"apps": [{"name": stage, "sources": [{
            "repoURL": url, "desiredRevision": "${{ outputs.push.commit }}",
            "updateTargetRevision": true,
        }]}]}},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_stages_each_at_its_own_commit() {
    let Some(mut deployed) = Deployed::start("forty Stages with a real Argo CD").await else {
        return;
    };
    let names: Vec<String> = (1..=STAGES).map(|n| format!("env-{n:02}")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("{name}/config.yaml"), config_map(name, "none")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let repository = deployed.repository(&files).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    ships.opens("gitea", &url).await;
    for name in &names {
        ships.stage_of(name, &steps(&url, name)).await;
        let spec = json!({"source": {"repoURL": url, "path": name, "targetRevision": "main"}});
        ships.apply_application(name, name, &spec).await;
    }
    for name in &names {
        let looked = |a: &Value| a["status"]["sync"]["status"] == "OutOfSync";
        deployed.application(name, "the first look", looked).await;
    }
    let asked = || deployed.pipeline.world.cluster.requests().expect("there is an audit log");
    let (before, begun) = (asked(), Instant::now());
    let mut made = BTreeMap::new();
    for name in &names {
        made.insert(ships.promote(name).await, name.clone());
    }
    let promotions = deployed.pipeline.of::<Promotion>(PROJECT);
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    let ended = loop {
        pause.tick().await;
        let list = promotions.list(&ListParams::default()).await.expect("they can be listed");
        let over = |p: &&Promotion| p.status.as_ref().is_some_and(|s| s.phase.is_terminal());
        let over = list.items.iter().filter(over).count();
        if over == STAGES {
            break list.items;
        }
        let waited = begun.elapsed();
        assert!(waited < PATIENCE, "{over} of {STAGES} have ended after {waited:?}");
    };
    let took = begun.elapsed();
    let asked = asked().since(&before);
    let mut succeeded = 0;
    for promotion in &ended {
        let status = promotion.status.clone().unwrap_or_default();
        let name = promotion.metadata.name.clone().unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{name}: {}", status.message);
        succeeded += 1;
        let stage = &made[&name];
        let configs = deployed.objects("v1", "ConfigMap", TARGET);
        let config = configs.get(stage).await.expect("it was deployed");
        assert_eq!(config.data["data"]["value"], json!(name), "{stage}");
        let application = deployed.applications("argocd").get(stage).await.expect("it is there");
        let pinned = &application.data["spec"]["source"]["targetRevision"];
        assert_eq!(*pinned, application.data["status"]["history"][0]["revision"], "{stage}");
    }
    assert_eq!(repository.commits("main").await.len(), STAGES + 1);
    let syncs: usize = names.iter().map(|name| deployed.sync_requests(name)).sum();
    println!(
        "{succeeded} of {STAGES} in {:.1} s; {} API requests ({} writes), {syncs} syncs asked for",
        took.as_secs_f64(),
        asked.total(),
        asked.writes(),
    );
    assert_eq!(syncs, STAGES, "one for each Promotion");
}
