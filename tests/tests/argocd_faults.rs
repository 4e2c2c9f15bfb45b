//! A real Argo CD whose syncs are held up, cut short or made impossible: each
//! Promotion ends as it should, with one request where one is enough.

use api::PromotionPhase;
use e2e::deployed::Deployed;
use e2e::ships::{self, Ships, TARGET, config_map};
use serde_json::{Value, json};

fn app(name: &str) -> Value {
    json!([{"name": name}])
}

fn source(url: &str, path: &str) -> Value {
    json!({"source": {"repoURL": url, "path": path, "targetRevision": "main"}})
}

fn phase(application: &Value) -> &str {
    application["status"]["operationState"]["phase"].as_str().unwrap_or_default()
}

/// Told to terminate, deleted in the middle, and the application-controller
/// killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_are_cut_short() {
    let Some(mut deployed) = Deployed::start("syncs of a real Argo CD that are cut short").await
    else {
        return;
    };
    let mut files = Vec::new();
    for name in ["ended", "deleted", "killed"] {
        files.push((format!("{name}/hook.yaml"), ships::hook(&format!("{name}-hook"))));
        files.push((format!("{name}/config.yaml"), config_map(name, "one")));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let url = deployed.repository(&files).await.url();
    deployed.start_controllers();

    let ships = Ships::start(&deployed).await;
    for name in ["ended", "deleted", "killed"] {
        ships.stage(name, &app(name)).await;
        ships.application(name, &source(&url, name)).await;
    }
    // By somebody at Argo CD, as its own server does it.
    let promotion = ships.promote("ended").await;
    ships.holds("ended-hook").await;
    deployed
        .change("ended", &json!({"status": {"operationState": {"phase": "Terminating"}}}))
        .await;
    let (end, message) = ships.end(&promotion).await;
    assert_eq!(end, PromotionPhase::Errored, "{message}");
    assert!(message.contains("terminated"), "{message}");

    let promotion = ships.promote("deleted").await;
    ships.holds("deleted-hook").await;
    let applications = deployed.applications("argocd");
    applications.delete("deleted", &Default::default()).await.expect("it is deleted");
    let (end, message) = ships.end(&promotion).await;
    assert_eq!(end, PromotionPhase::Errored, "{message}");
    assert!(message.contains("unable to find Argo CD Application \"deleted\""), "{message}");

    let promotion = ships.promote("killed").await;
    ships.holds("killed-hook").await;
    // It is known which part of the sync is under way.
    let known = |a: &Value| {
        let resources = a["status"]["operationState"]["syncResult"]["resources"].as_array();
        resources.into_iter().flatten().any(|r| r["hookPhase"] == "Running")
    };
    deployed.application("killed", "a hook under way", known).await;
    drop(ships);
    deployed.argocd.kill_controller();
    deployed.argocd.start_controller().await.unwrap_or_else(|e| panic!("{e}"));
    // Once it has looked, it sees what changes.
    deployed.refresh("killed").await;
    let ships = Ships::again(&deployed).await;
    ships.lets_go("killed-hook").await;
    deployed.application("killed", "the end of the sync", |a| phase(a) == "Succeeded").await;
    let (end, message) = ships.end(&promotion).await;
    assert_eq!(end, PromotionPhase::Succeeded, "{message}");
    let configs = deployed.objects("v1", "ConfigMap", TARGET);
    assert!(configs.get_opt("killed").await.expect("it answers").is_some());
    for name in ["ended", "deleted", "killed"] {
        assert_eq!(deployed.sync_requests(name), 1, "{name}");
    }
}

/// A window that denies syncs: the Promotion waits for its end with the one
/// request that it has made.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_denies_is_waited_for() {
    let Some(mut deployed) = Deployed::start("sync windows of a real Argo CD").await else {
        return;
    };
    let url = deployed.repository(&[("plain/a.yaml", &config_map("plain", "one"))]).await.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    let projects = deployed.objects("argoproj.io/v1alpha1", "AppProject", "argocd");
    let change = async |windows: Value| {
        let patch = kube::api::Patch::Merge(json!({"spec": {"syncWindows": windows}}));
        projects.patch("default", &Default::default(), &patch).await.expect("it is changed");
    };
    ships.stage("plain", &app("plain")).await;
    ships.application("plain", &source(&url, "plain")).await;
    change(json!([{
        "kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"],
    }]))
    .await;
    let promotion = ships.promote("plain").await;
    let blocked = deployed
        .application("plain", "a refused sync", |a| {
            let message = &a["status"]["operationState"]["message"];
            message.as_str().is_some_and(|m| m.to_lowercase().contains("window"))
        })
        .await;
    println!("in a window that denies: {}", blocked.data["status"]["operationState"]);
    assert_eq!(phase(&blocked.data), "Running");
    ships.running_with(&promotion, "window").await;
    change(Value::Null).await;
    deployed.refresh("plain").await;
    let (end, message) = ships.end(&promotion).await;
    assert_eq!(end, PromotionPhase::Succeeded, "{message}");
    assert_eq!(deployed.sync_requests("plain"), 1);
}

/// How long the repo-server is away.
const AWAY: std::time::Duration = std::time::Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_repo_server_that_is_down() {
    let Some(mut deployed) = Deployed::start("a repo-server that is down").await else { return };
    let files = [("plain/a.yaml", &*config_map("plain", "one"))];
    let repository = deployed.repository(&files).await;
    let (url, head) = (repository.url(), repository.commits("main").await.remove(0));
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    ships.stage("plain", &app("plain")).await;
    let pinned =
        json!([{"name": "pinned", "sources": [{"repoURL": url, "desiredRevision": head}]}]);
    ships.stage("pinned", &pinned).await;
    for name in ["plain", "pinned"] {
        ships.application(name, &source(&url, "plain")).await;
    }
    drop(ships);
    deployed.argocd.kill_repo_server();
    let since = tokio::time::Instant::now();
    let ships = Ships::again(&deployed).await;
    let (plain, pinned) = (ships.promote("plain").await, ships.promote("pinned").await);
    // With nothing desired, Argo CD's error is the end.
    let (end, message) = ships.end(&plain).await;
    println!("without a desired revision: {end:?} {message}");
    assert_eq!(end, PromotionPhase::Errored, "{message}");
    assert!(message.contains("ComparisonError"), "{message}");
    ships.running_with(&pinned, "ComparisonError").await;
    drop(ships);
    // Nothing tells the end of this: the length is the case.
    tokio::time::sleep_until(since + AWAY).await;
    let asked_while_down = deployed.sync_requests("pinned");
    deployed.argocd.start_repo_server().await.unwrap_or_else(|e| panic!("{e}"));
    let ships = Ships::again(&deployed).await;
    let (end, message) = ships.end(&pinned).await;
    assert_eq!(end, PromotionPhase::Succeeded, "{message}");
    ships.succeeds("plain").await;
    let asked = deployed.sync_requests("pinned");
    println!("asked {asked_while_down} times in {} s, {asked} in all", AWAY.as_secs());
    // With pauses of 1, 2, 4, 8 and 16 s.
    assert!((2..=6).contains(&asked), "asked {asked} times");
    assert_eq!(deployed.sync_requests("plain"), 2, "one for each Promotion");
}
