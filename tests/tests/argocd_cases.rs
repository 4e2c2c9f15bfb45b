//! The cases that the recorded traces of Argo CD hold, acted out with a real
//! one (`steps-argocd` 13): each Promotion ends as it should, with one request
//! to sync where one is enough.

use api::PromotionPhase;
use e2e::deployed::Deployed;
use e2e::ships::{self, Ships, TARGET, config_map};
use serde_json::{Value, json};

/// One app of a step's config.
fn app(name: &str) -> Value {
    json!([{"name": name}])
}

fn source(url: &str, path: &str) -> Value {
    json!({"source": {"repoURL": url, "path": path, "targetRevision": "main"}})
}

async fn value_of(deployed: &Deployed, name: &str) -> Option<String> {
    let configs = deployed.objects("v1", "ConfigMap", TARGET);
    let found = configs.get_opt(name).await.expect("the cluster answers")?;
    found.data.pointer("/data/value").and_then(Value::as_str).map(str::to_owned)
}

/// Cases 1 to 4, 8, 9 and 11: syncs that succeed, in every situation.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_succeed() {
    let Some(mut deployed) = Deployed::start("syncs by a real Argo CD").await else { return };
    let first = config_map("plain", "one");
    let repository = deployed.repository(&[("plain/config.yaml", &first)]).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;
    ships.opens("plain", &url).await;

    // Created, and a first sync by a Promotion.
    ships.stage("plain", &app("plain")).await;
    let made = ships.application("plain", &source(&url, "plain")).await;
    assert_eq!(made.data["status"]["sync"]["status"], "OutOfSync");
    ships.succeeds_promptly("plain").await;
    assert_eq!(value_of(&deployed, "plain").await.as_deref(), Some("one"));

    // A new commit: it ends at the new head.
    repository.write("main", &[("plain/config.yaml", &config_map("plain", "two"))]).await;
    let name = ships.succeeds_promptly("plain").await;
    assert_eq!(value_of(&deployed, "plain").await.as_deref(), Some("two"));
    let head = repository.commits("main").await.remove(0);
    let application = deployed.is_well("plain", &head).await;
    assert_eq!(Deployed::synced_for(&application), [name]);

    // Nothing to do.
    ships.succeeds_promptly("plain").await;

    // A file that is no manifest.
    repository.write("main", &[("plain/notes.yaml", "- not\n- a manifest\n")]).await;
    let odd = ships.promote("plain").await;
    let (phase, message) = ships.end(&odd).await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    repository.write("main", &[("plain/notes.yaml", &config_map("notes", "mended"))]).await;
    ships.succeeds_promptly("plain").await;
    assert_eq!(value_of(&deployed, "notes").await.as_deref(), Some("mended"));

    // Pinned by the patch: at that revision, not at the head.
    let commits = repository.commits("main").await;
    let pinned = &commits[commits.len() - 2];
    let apps = json!([{"name": "pinned", "sources": [
        {"repoURL": url, "desiredRevision": pinned, "updateTargetRevision": true},
    ]}]);
    ships.stage("pinned", &apps).await;
    ships.application("pinned", &source(&url, "plain")).await;
    ships.succeeds("pinned").await;
    let application = deployed.is_well("pinned", pinned).await;
    assert_eq!(application.data["spec"]["source"]["targetRevision"], json!(pinned));

    // Desired and passed by the head: what contains it satisfies it.
    let apps =
        json!([{"name": "passed", "sources": [{"repoURL": url, "desiredRevision": pinned}]}]);
    ships.stage("passed", &apps).await;
    ships.application("passed", &source(&url, "plain")).await;
    ships.succeeds("passed").await;
    let head = &commits[0];
    deployed.is_well("passed", head).await;

    // The same of a public repository, for which the Project has no token.
    let public = deployed.repository(&[("plain/config.yaml", &config_map("public", "one"))]).await;
    public.set(&json!({"private": false})).await;
    let desired = public.commits("main").await.remove(0);
    public.write("main", &[("plain/config.yaml", &config_map("public", "two"))]).await;
    let url = public.url();
    let apps =
        json!([{"name": "public", "sources": [{"repoURL": url, "desiredRevision": desired}]}]);
    ships.stage("public", &apps).await;
    ships.application("public", &source(&url, "plain")).await;
    ships.succeeds("public").await;
    assert_eq!(value_of(&deployed, "public").await.as_deref(), Some("two"));

    for name in ["pinned", "passed", "public"] {
        assert_eq!(deployed.sync_requests(name), 1, "{name}");
    }
    assert_eq!(deployed.sync_requests("plain"), 5, "one for each Promotion");
}

/// Cases 7, 14 and 15: what cannot be synced ends with Argo CD's words.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_fail() {
    let Some(mut deployed) = Deployed::start("failing syncs by a real Argo CD").await else {
        return;
    };
    let files =
        [("bad/service.yaml", &*ships::refused("bad")), ("good/a.yaml", &*config_map("good", "1"))];
    let repository = deployed.repository(&files).await;
    let url = repository.url();
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;

    ships.stage("bad", &app("bad")).await;
    ships.application("bad", &source(&url, "bad")).await;
    let bad = ships.promote("bad").await;
    let (phase, message) = ships.end(&bad).await;
    assert_eq!(phase, PromotionPhase::Errored, "{message}");
    assert!(message.contains("one or more objects failed to apply"), "{message}");

    ships.stage("tries", &app("tries")).await;
    let mut spec = source(&url, "bad");
    spec["syncPolicy"] = json!({"retry": {"limit": 2, "backoff": {"duration": "1s", "factor": 1}}});
    ships.application("tries", &spec).await;
    let tries = ships.promote("tries").await;
    let (phase, message) = ships.end(&tries).await;
    assert_eq!(phase, PromotionPhase::Errored, "{message}");
    assert!(message.contains("retried 2 times"), "{message}");

    // A repository that is not there: an error without a desired revision, and
    // something to wait for with one.
    let missing = format!("{}/nobody/nothing.git", deployed.gitea.url());
    ships.stage("lost", &app("lost")).await;
    ships.application("lost", &source(&missing, ".")).await;
    let lost = ships.promote("lost").await;
    let (phase, message) = ships.end(&lost).await;
    assert_eq!(phase, PromotionPhase::Errored, "{message}");
    assert!(message.contains("ComparisonError"), "{message}");
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let apps = json!([{"name": "awaited", "sources": [{"repoURL": missing, "desiredRevision": revision}]}]);
    ships.stage("awaited", &apps).await;
    ships.application("awaited", &source(&missing, ".")).await;
    let awaited = ships.promote("awaited").await;
    ships.running_with(&awaited, "ComparisonError").await;

    assert_eq!(deployed.sync_requests("bad"), 1);
    assert_eq!(deployed.sync_requests("tries"), 1);
}

/// Cases 10, 12, 13, 16 and 17: others at work, workloads that are not ready,
/// several sources, and an Application that goes away.
#[tokio::test(flavor = "multi_thread")]
async fn others_at_work() {
    let Some(mut deployed) = Deployed::start("a busy real Argo CD").await else { return };
    let files = [
        ("plain/config.yaml", &*config_map("plain", "one")),
        ("second/config.yaml", &*config_map("second", "one")),
        ("slow/deployment.yaml", &*ships::deployment("slow")),
    ];
    let repository = deployed.repository(&files).await;
    let other = deployed.repository(&[("other/config.yaml", &config_map("other", "one"))]).await;
    let (url, other_url) = (repository.url(), other.url());
    deployed.start_controllers();
    let ships = Ships::start(&deployed).await;

    // Two Promotions at once on one Application.
    ships.apply_application("shared", "left,right", &source(&url, "plain")).await;
    for stage in ["left", "right"] {
        ships.stage(stage, &app("shared")).await;
    }
    deployed.application("shared", "the first look", |a| !a["status"]["sync"].is_null()).await;
    let (left, right) = (ships.promote("left").await, ships.promote("right").await);
    for name in [&left, &right] {
        let (phase, message) = ships.end(name).await;
        assert_eq!(phase, PromotionPhase::Succeeded, "{name}: {message}");
    }

    // Automated sync with selfHeal at the same time.
    ships.stage("automated", &app("automated")).await;
    let mut spec = source(&url, "second");
    spec["syncPolicy"] = json!({"automated": {"prune": true, "selfHeal": true}});
    ships.application("automated", &spec).await;
    // Its own first sync would race with the request and may replace it.
    deployed.is_well("automated", &repository.commits("main").await[0]).await;
    ships.succeeds("automated").await;
    repository.write("main", &[("second/config.yaml", &config_map("second", "two"))]).await;
    ships.succeeds("automated").await;
    assert_eq!(value_of(&deployed, "second").await.as_deref(), Some("two"));

    // A Deployment that never becomes ready: the Promotion succeeds, and the
    // Stage says which.
    ships.stage("slow", &app("slow")).await;
    ships.application("slow", &source(&url, "slow")).await;
    ships.succeeds("slow").await;
    let stages = deployed.pipeline.of::<api::Stage>(ships::PROJECT);
    let stage = e2e::await_that::object(stages, "a Stage whose health is Progressing", |s| {
        let health = s.status.as_ref().and_then(|s| s.health.as_ref());
        s.metadata.name.as_deref() == Some("slow")
            && health.is_some_and(|h| h.status == api::HealthState::Progressing)
    })
    .await;
    let health = stage.status.and_then(|s| s.health).expect("it has health");
    println!("a workload that is not ready: {health:?}");

    // Two sources, each with its desired revision.
    let heads = [repository.commits("main").await.remove(0), other.commits("main").await.remove(0)];
    let apps = json!([{"name": "twofold", "sources": [
        {"repoURL": url, "desiredRevision": heads[0]},
        {"repoURL": other_url, "desiredRevision": heads[1]},
    ]}]);
    ships.stage("twofold", &apps).await;
    let sources = json!({"sources": [
        {"repoURL": url, "path": "plain", "targetRevision": "main"},
        {"repoURL": other_url, "path": "other", "targetRevision": "main"},
    ]});
    ships.application("twofold", &sources).await;
    ships.succeeds("twofold").await;
    assert_eq!(value_of(&deployed, "other").await.as_deref(), Some("one"));
    let api = deployed.applications("argocd");
    let application = api.get("twofold").await.expect("it is there");
    let synced = &application.data["status"]["operationState"]["syncResult"]["revisions"];
    assert_eq!(*synced, json!(heads));

    // Deleted: the next Promotion says what is missing.
    api.delete("twofold", &Default::default()).await.expect("it is deleted");
    e2e::await_that::answer("the end of the Application", || async {
        api.get_opt("twofold").await.expect("it answers").is_none().then_some(())
    })
    .await;
    let orphan = ships.promote("twofold").await;
    let (phase, message) = ships.end(&orphan).await;
    assert_eq!(phase, PromotionPhase::Errored, "{message}");
    assert!(message.contains("unable to find"), "{message}");

    assert_eq!(deployed.sync_requests("slow"), 1);
    assert_eq!(deployed.sync_requests("twofold"), 1);
    assert_eq!(deployed.sync_requests("automated"), 2);
    let shared = deployed.sync_requests("shared");
    assert!((2..=3).contains(&shared), "two Promotions asked {shared} times");
}
