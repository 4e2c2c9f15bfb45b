//! Hosts that are absent, refuse or are overloaded, and repositories that
//! change under a Warehouse: what is told names host and cause, the last good
//! artifacts stay, no Freight is lost, and all recovers by itself.

use std::sync::Arc;
use std::time::Duration;

use api::Warehouse;
use sandbox::git_host::{FileChange, GitService};
use sandbox::registry::{Access, Fault, NewImage, Trouble};
use serde_json::{Value, json};

use crate::bench::*;
use crate::front::Manner;

const REPOSITORY: &str = "https://git.example.com/team/app";

/// A spec that is looked at every second, so that nothing need ask for it.
fn often(subscription: Value) -> Value {
    let mut spec = spec(json!([subscription]));
    spec["interval"] = json!("1s");
    spec
}

/// The Warehouse, once it tells of a failed discovery in these words.
async fn failing(bench: &Bench, words: &[&str]) -> Arc<Warehouse> {
    let key = controllers::store::Key::new(PROJECT, "w");
    bench
        .until(&format!("a failure that says {words:?}"), |c| {
            let warehouse = c.stores.warehouses.get(&key)?;
            let ready = said(&warehouse, "Ready");
            let fits = ready.starts_with("False/DiscoveryFailure: Artifact discovery failed: ")
                && words.iter().all(|word| ready.contains(word));
            fits.then_some(warehouse)
        })
        .await
}

/// The Warehouse is well and has made one piece of Freight: what it found.
async fn well(bench: &Bench) -> Option<api::DiscoveredArtifacts> {
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    assert_eq!(bench.freight().await.len(), 1);
    warehouse.status.clone().unwrap().discovered_artifacts
}

/// The failure left everything as it was.
async fn kept(bench: &Bench, warehouse: Arc<Warehouse>, good: &Option<api::DiscoveredArtifacts>) {
    let now = warehouse.status.clone().unwrap().discovered_artifacts;
    assert_eq!(&now, good, "the last good artifacts stay");
    assert!(said(&warehouse, "Healthy").starts_with("False/DiscoveryFailed: "));
    assert!(said(&warehouse, "Reconciling").starts_with("True/ScheduledDiscovery: "));
    assert_eq!(bench.freight().await.len(), 1, "no Freight is lost");
}

/// It is well again, and goes on: what is new becomes Freight.
async fn recovered(bench: &Bench) {
    bench.warehouse("w", "Ready", "True").await;
    bench.until("the new Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
}

/// How long hosts may take in tests of slow ones.
const PATIENCE: Duration = Duration::from_millis(500);

/// Docker Hub in messages.
const HUB: &str = "index.docker.io";

/// A registry that fails so while there is a new tag; what the Warehouse says.
async fn registry_fails(wanted: Wanted, fault: Fault, words: &[&str]) {
    let bench = Bench::wanted(wanted).await;
    bench.push("1.0.0");
    bench.create("w", often(json!({"image": with(PUBLIC, json!({}))}))).await;
    let good = well(&bench).await;
    let fault = Fault { times: usize::MAX, ..fault };
    bench.registry().traffic().fail(fault);
    bench.registry().revoke_tokens();
    bench.push("1.1.0");
    let words: Vec<&str> = words.iter().copied().chain([HUB]).collect();
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.registry().traffic().heal();
    recovered(&bench).await;
    bench.stop().await;
}

/// A registry that answers with that status; what the Warehouse says.
async fn registry_answers(status: u16, words: &[&str]) {
    let retry_after = (status == 429).then(|| "1".to_owned());
    let fault = Fault { status, retry_after, ..Fault::default() };
    registry_fails(Wanted::default(), fault, words).await;
}

/// A registry whose answers to requests for such paths are of no use.
async fn registry_is_in_trouble(path: &str, trouble: Trouble, words: &[&str]) {
    let wanted = Wanted { patience: Some(PATIENCE), ..Wanted::default() };
    let fault = Fault { path_contains: path.to_owned(), trouble, ..Fault::default() };
    registry_fails(wanted, fault, words).await;
}

#[tokio::test]
async fn a_registry_that_refuses() {
    tokio::join!(
        registry_answers(401, &["401 Unauthorized"]),
        registry_answers(403, &["403 Forbidden"]),
        registry_answers(404, &["404 Not Found", "owner/app"]),
    );
}

#[tokio::test]
async fn a_registry_that_is_overloaded() {
    tokio::join!(
        registry_answers(429, &["429"]),
        registry_answers(500, &["500"]),
        registry_answers(503, &["503"]),
    );
}

#[tokio::test]
async fn a_registry_that_is_slow_or_breaks_off() {
    let drip = || Trouble::Drip(Duration::from_millis(20));
    tokio::join!(
        registry_is_in_trouble("/tags/list", drip(), &["it took too long"]),
        registry_is_in_trouble("/manifests/", Trouble::Hang, &["it took too long"]),
        registry_is_in_trouble("/tags/list", Trouble::Cut, &["no answer from"]),
        registry_is_in_trouble("/blobs/", Trouble::Cut, &["no answer from", "1.1.0"]),
    );
}

#[tokio::test]
async fn a_registry_that_makes_no_sense() {
    let page = || Trouble::Body("<html></html>".to_owned());
    let wide = || Trouble::Tags(1_000_000);
    tokio::join!(
        registry_is_in_trouble("/tags/list", page(), &["is no list of tags"]),
        registry_is_in_trouble("/blobs/", Trouble::Altered, &["the content has digest sha256:"]),
        registry_is_in_trouble("/tags/list", Trouble::Endless, &["is larger than 8 MiB"]),
        registry_is_in_trouble("/tags/list", wide(), &["has more than 500000 tags"]),
    );
}

#[tokio::test]
async fn a_registry_that_sends_one_elsewhere() {
    let to = |place: &str| Trouble::Redirect(place.to_owned());
    tokio::join!(
        registry_is_in_trouble("/tags/list", to("list"), &["too many redirects"]),
        registry_is_in_trouble("/tags/list", to("http://10.0.0.1/"), &["redirect to a private"]),
    );
}

#[tokio::test]
async fn a_token_server_that_fails() {
    let access =
        Access::Token { username: "me".into(), password: "canary".into(), anonymous_pull: true };
    let fails = |status: u16, trouble: Trouble, words: &'static [&'static str]| {
        let wanted = Wanted { access: access.clone(), ..Wanted::default() };
        let path_contains = "/token".to_owned();
        let fault = Fault { status, trouble, path_contains, ..Fault::default() };
        registry_fails(wanted, fault, words)
    };
    tokio::join!(
        fails(500, Trouble::Status, &["/token: 500 Internal Server Error"]),
        fails(0, Trouble::Body("{}".into()), &["the answer holds no token"]),
    );
}

#[tokio::test]
async fn an_index_that_names_itself() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", often(json!({"image": with(PUBLIC, json!({}))}))).await;
    let good = well(&bench).await;
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let index = json!({"manifests": [{"digest": "1.1.0", "platform": platform}]});
    bench.registry().push_manifest(
        "owner/app",
        Some("1.1.0"),
        "application/vnd.oci.image.index.v1+json",
        index.to_string(),
    );
    let words = [HUB, "names \"1.1.0\" where a digest must stand"];
    kept(&bench, failing(&bench, &words).await, &good).await;
    let image = NewImage { platforms: vec!["linux/amd64".into()], ..NewImage::default() };
    bench.registry().push_tag("owner/app", "1.1.0", &image).unwrap();
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_registry_that_nobody_vouches_for() {
    let bench = Bench::wanted(Wanted { tls: true, ..Wanted::default() }).await;
    let subscribed = |insecure: bool| {
        often(json!({"image": with(PUBLIC, json!({"insecureSkipTLSVerify": insecure}))}))
    };
    bench.push("1.0.0");
    bench.create("w", subscribed(true)).await;
    let good = well(&bench).await;
    bench.patch("w", json!({"spec": subscribed(false)})).await;
    let words = [HUB, "certificate", "insecureSkipTLSVerify"];
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.patch("w", json!({"spec": subscribed(true)})).await;
    bench.push("1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_registry_that_is_absent() {
    let mut bench = Bench::start().await;
    bench.push("1.0.0");
    bench.create("w", often(json!({"image": with(PUBLIC, json!({}))}))).await;
    let good = well(&bench).await;
    bench.registry = None;
    kept(&bench, failing(&bench, &["no answer from index.docker.io"]).await, &good).await;
    bench.registry_back().await;
    bench.push("1.0.0");
    bench.push("1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

/// A chart repository that fails so; what the Warehouse says.
async fn charts_fail(fault: Fault, words: &[&str]) {
    let bench = Bench::wanted(Wanted { patience: Some(PATIENCE), ..Wanted::default() }).await;
    bench.charts.publish("web", "1.0.0");
    let subscription = json!({"chart": with(&bench.charts.url(), json!({"name": "web"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.charts.fail(Fault { times: usize::MAX, ..fault });
    let host = bench.charts.host();
    let words: Vec<&str> = words.iter().copied().chain([host.as_str()]).collect();
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.charts.heal();
    bench.charts.publish("web", "1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

/// A chart repository that answers with that status; what the Warehouse says.
async fn charts_answer(status: u16, words: &[&str]) {
    let retry_after = (status == 429).then(|| "1".to_owned());
    charts_fail(Fault { status, retry_after, ..Fault::default() }, words).await;
}

#[tokio::test]
async fn a_chart_repository_in_trouble() {
    let trouble = |trouble: Trouble, words: &'static [&'static str]| {
        charts_fail(Fault { trouble, ..Fault::default() }, words)
    };
    tokio::join!(
        trouble(Trouble::Drip(Duration::from_millis(20)), &["it took too long"]),
        trouble(Trouble::Cut, &["no answer from"]),
        trouble(Trouble::Endless, &["the index is larger than 1 MiB"]),
        trouble(Trouble::Body("<html>: [".into()), &["error unmarshaling repository index from"]),
        trouble(Trouble::Redirect("index.yaml".into()), &["too many redirects"]),
        trouble(Trouble::Redirect("http://10.0.0.1/".into()), &["redirect to a private"]),
    );
}

#[tokio::test]
async fn a_chart_repository_that_refuses() {
    tokio::join!(
        charts_answer(401, &["401"]),
        charts_answer(403, &["403"]),
        charts_answer(404, &["404"]),
        charts_answer(429, &["429"]),
        charts_answer(500, &["500"]),
        charts_answer(503, &["503"]),
    );
}

#[tokio::test]
async fn a_chart_repository_that_is_absent() {
    let mut bench = Bench::start().await;
    bench.charts.publish("web", "1.0.0");
    let subscription = json!({"chart": with(&bench.charts.url(), json!({"name": "web"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.charts.gone();
    let host = bench.charts.host();
    kept(&bench, failing(&bench, &["error querying repository index", &host]).await, &good).await;
    bench.charts.back().await;
    bench.charts.publish("web", "1.1.0");
    recovered(&bench).await;
    bench.stop().await;
}

/// A Git repository with one commit on `main`, and a Warehouse over it.
async fn git_bench(fields: Value) -> Bench {
    git_bench_with(Wanted::default(), fields).await
}

async fn git_bench_with(wanted: Wanted, fields: Value) -> Bench {
    let bench = Bench::wanted(wanted).await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.create("w", often(json!({"git": with(REPOSITORY, fields)}))).await;
    bench
}

async fn commit(bench: &Bench, text: &str) -> String {
    bench.git().commit_file("team/app.git", "main", "a", text, text).await.unwrap()
}

/// A Git host that answers so; what the Warehouse says.
async fn git_answers(status: u16, words: &[&str]) {
    let bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git().traffic().fail_next(usize::MAX, status, Some(GitService::Fetch));
    kept(&bench, failing(&bench, words).await, &good).await;
    bench.git().traffic().fail_next(0, status, None);
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_git_host_that_refuses() {
    tokio::join!(
        git_answers(403, &["git.example.com", "authentication required"]),
        git_answers(404, &["git.example.com", "was not found"]),
        git_answers(429, &["git.example.com", "429"]),
        git_answers(500, &["git.example.com", "500"]),
        git_answers(503, &["git.example.com", "503"]),
    );
}

/// A Git host to which the way is so while there is a new commit; what the
/// Warehouse says.
async fn git_is_in_trouble(manner: Manner, words: &[&str]) {
    let wanted = Wanted { patience: Some(Duration::from_secs(1)), ..Wanted::default() };
    let bench = git_bench_with(wanted, json!({})).await;
    let good = well(&bench).await;
    bench.front.be(manner);
    // More than one piece of an answer.
    let noise: String =
        (0..50_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    let git = bench.git();
    git.commit_file("team/app.git", "main", "large", &noise, "large").await.unwrap();
    let words: Vec<&str> = words.iter().copied().chain(["git.example.com"]).collect();
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.front.be(Manner::Pass);
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_host_that_is_slow_or_breaks_off() {
    tokio::join!(
        git_is_in_trouble(Manner::Silent, &["it sent nothing for"]),
        git_is_in_trouble(Manner::Drip, &["less than 1024 bytes a second"]),
        git_is_in_trouble(Manner::Cut(100_000), &["broke off"]),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_host_that_makes_no_sense() {
    tokio::join!(
        git_is_in_trouble(Manner::Page, &["content type \"text/html\""]),
        git_is_in_trouble(Manner::Endless, &["sends more than 1048576 bytes"]),
        git_is_in_trouble(Manner::Loop, &["redirects more than 5 times"]),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_host_that_sends_one_elsewhere() {
    let mut bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git().traffic().redirect("/team/app", "http://localhost:1/team/app");
    let words = ["git.example.com", "redirects", "localhost:1"];
    kept(&bench, failing(&bench, &words).await, &good).await;
    // Another one in its place does not.
    bench.git = None;
    bench.git_back().await;
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_host_that_nobody_vouches_for() {
    let subscribed = |insecure: bool| {
        often(json!({"git": with(REPOSITORY, json!({"insecureSkipTLSVerify": insecure}))}))
    };
    let bench = Bench::wanted(Wanted { tls: true, ..Wanted::default() }).await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.create("w", subscribed(true)).await;
    let good = well(&bench).await;
    bench.patch("w", json!({"spec": subscribed(false)})).await;
    let words = ["git.example.com", "certificate", "insecureSkipTLSVerify"];
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.patch("w", json!({"spec": subscribed(true)})).await;
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_is_empty() {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[]).await.unwrap();
    bench.create("w", often(json!({"git": with(REPOSITORY, json!({}))}))).await;
    let words = [REPOSITORY, "has no default branch yet; push a first commit"];
    let warehouse = failing(&bench, &words).await;
    assert_eq!(warehouse.status.clone().unwrap().discovered_artifacts, None);
    commit(&bench, "1").await;
    well(&bench).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_with_a_message_of_100_mb() {
    let bench = git_bench(json!({"commitSelectionStrategy": "NewestTag"})).await;
    bench.git().tag("team/app.git", "v1", "main").await.unwrap();
    let good = well(&bench).await;
    let target = bench.git().id("team/app.git", "main").await.unwrap().unwrap();
    let mut tag = format!(
        "object {target}\ntype commit\ntag huge\ntagger T <t@example.com> 1704153600 +0000\n\n"
    )
    .into_bytes();
    tag.resize(tag.len() + (100 << 20), b'x');
    let id = bench.feed_git("team/app.git", &["mktag"], &tag);
    bench.run_git("team/app.git", &["update-ref", "refs/tags/huge", &id]);
    let words = [REPOSITORY, "tag \"huge\"", "no more than 1048576 are read"];
    kept(&bench, failing(&bench, &words).await, &good).await;
    bench.run_git("team/app.git", &["update-ref", "-d", "refs/tags/huge"]);
    commit(&bench, "2").await;
    bench.git().tag("team/app.git", "v2", "main").await.unwrap();
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_git_host_that_wants_a_login() {
    let bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git().set_auth("team/app.git", Some(("me".into(), "canary".into())));
    let warehouse = failing(&bench, &["git.example.com", "credential"]).await;
    kept(&bench, warehouse, &good).await;
    bench.git().set_auth("team/app.git", None);
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_git_host_that_is_absent() {
    let mut bench = git_bench(json!({})).await;
    let good = well(&bench).await;
    bench.git = None;
    kept(&bench, failing(&bench, &["git.example.com"]).await, &good).await;
    bench.git_back().await;
    commit(&bench, "2").await;
    recovered(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_repository_that_was_rewritten() {
    let bench = git_bench(json!({})).await;
    well(&bench).await;
    let change = [FileChange::write("b", "other")];
    let other = bench.git().commit("team/app.git", "other", "rewritten", &change).await.unwrap();
    bench.git().set_branch("team/app.git", "main", &other).await.unwrap();
    bench.run_git("team/app.git", &["update-ref", "-d", "refs/heads/other"]);
    recovered(&bench).await;
    let all = bench.freight().await;
    let newest = all.iter().find(|f| f.commits[0].id == other).expect("Freight of what is there");
    assert_eq!(newest.commits[0].message, "rewritten");
    let warehouse = bench.warehouse("w", "Ready", "True").await;
    let found = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    assert_eq!(found.git[0].commits.len(), 1, "nothing of the old history: {found:#?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_branch_that_was_deleted() {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.git().set_branch("team/app.git", "release", "main").await.unwrap();
    let subscription = json!({"git": with(REPOSITORY, json!({"branch": "release"}))});
    bench.create("w", often(subscription)).await;
    let good = well(&bench).await;
    bench.run_git("team/app.git", &["update-ref", "-d", "refs/heads/release"]);
    kept(&bench, failing(&bench, &[REPOSITORY, "release"]).await, &good).await;
    commit(&bench, "2").await;
    bench.git().set_branch("team/app.git", "release", "main").await.unwrap();
    recovered(&bench).await;
    bench.stop().await;
}
