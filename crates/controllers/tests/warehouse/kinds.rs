//! Git and chart subscriptions, and several at once.

use std::sync::Arc;

use controllers::clock::ManualClock;
use controllers::store::Key;
use sandbox::git_host::GitService;
use sandbox::registry::NewImage;
use serde_json::{Value, json};

use crate::bench::*;

const REPOSITORY: &str = "https://git.example.com/team/app";
const CHART: &str = "oci://ghcr.io/team/charts/app";

#[tokio::test]
async fn commits_become_freight_where_they_touch_a_path() {
    let bench = Bench::start().await;
    let first = bench.git().create_repository("team/app.git", &[("web/a", "1"), ("api/a", "1")]);
    let first = first.await.unwrap().unwrap();
    let subscription =
        json!([{"name": "src", "git": with(REPOSITORY, json!({"includePaths": ["web"]}))}]);
    bench.create("w", spec(subscription)).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    let artifacts = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    let [found] = artifacts.git.as_slice() else { panic!("{artifacts:#?}") };
    assert_eq!((found.repo_url.as_str(), found.subscription_name.as_str()), (REPOSITORY, "src"));
    assert_eq!(found.observed_refs.as_ref().unwrap().branch_head, first);
    let freight = bench.freight().await;
    let commit = &freight[0].commits[0];
    assert_eq!((commit.id.as_str(), commit.subscription_name.as_str()), (first.as_str(), "src"));
    assert_eq!(
        (commit.repo_url.as_str(), commit.message.as_str()),
        (REPOSITORY, "Initial content")
    );
    assert_eq!(freight[0].metadata.name, Some(api::freight_id(&freight[0])));

    // A commit elsewhere is seen, and makes no Freight.
    let elsewhere = bench.git().commit_file("team/app.git", "main", "api/a", "2", "api").await;
    bench.refresh("w", "one").await;
    let warehouse = bench.refreshed("w", "one").await;
    let found = &warehouse.status.as_ref().unwrap().discovered_artifacts.as_ref().unwrap().git[0];
    assert_eq!(found.observed_refs.as_ref().unwrap().branch_head, elsewhere.unwrap());
    assert_eq!(found.commits.iter().map(|c| &c.id).collect::<Vec<_>>(), [&first]);
    assert_eq!(bench.freight().await.len(), 1);

    let second =
        bench.git().commit_file("team/app.git", "main", "web/a", "2", "web").await.unwrap();
    bench.refresh("w", "two").await;
    bench.until("second Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
    let all = bench.freight().await;
    assert!(all.iter().any(|f| f.commits[0].id == second && f.commits[0].message == "web"));
    bench.stop().await;
}

#[tokio::test]
async fn tags_of_a_git_repository_become_freight() {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    for tag in ["v1.0.0", "v1.10.0", "v1.9.0", "latest"] {
        bench.git().tag("team/app.git", tag, "main").await.unwrap();
    }
    let strategy = json!({"commitSelectionStrategy": "SemVer", "semverConstraint": "^1"});
    bench.create("w", spec(json!([{"git": with(REPOSITORY, strategy)}]))).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    let artifacts = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    let tags: Vec<&str> = artifacts.git[0].commits.iter().map(|c| c.tag.as_str()).collect();
    assert_eq!(tags, ["v1.10.0", "v1.9.0", "v1.0.0"]);
    assert_eq!(bench.freight().await[0].commits[0].tag, "v1.10.0");
    bench.stop().await;
}

#[tokio::test]
async fn charts_become_freight() {
    let bench = Bench::start().await;
    let image = NewImage::default();
    for tag in ["1.0.0", "1.1.0_build.1", "v2.0.0"] {
        bench.registry().push_tag("team/charts/app", tag, &image).unwrap();
    }
    bench.charts.publish("web", "0.9.0");
    bench.charts.publish("web", "0.10.0");
    let classic = bench.charts.url();
    bench
        .create(
            "w",
            spec(json!([
                {"chart": with(CHART, json!({"semverConstraint": "^1"}))},
                {"name": "web", "chart": with(&classic, json!({"name": "web"}))},
            ])),
        )
        .await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    let artifacts = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    assert_eq!(
        serde_json::to_value(&artifacts.charts).unwrap(),
        json!([
            {"repoURL": CHART, "semverConstraint": "^1", "versions": ["1.1.0+build.1", "1.0.0"]},
            {"repoURL": classic, "name": "web", "versions": ["0.10.0", "0.9.0"], "subscriptionName": "web"},
        ])
    );
    let freight = bench.freight().await;
    let charts: Vec<(&str, &str)> =
        freight[0].charts.iter().map(|c| (c.repo_url.as_str(), c.version.as_str())).collect();
    assert_eq!(charts, [(CHART, "1.1.0+build.1"), (classic.as_str(), "0.10.0")]);
    bench.charts.publish("web", "0.11.0");
    bench.refresh("w", "new").await;
    bench.until("second Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
    bench.stop().await;
}

/// A Warehouse of all kinds, in an order that is none of the kinds.
fn all_kinds(bench: &Bench) -> Value {
    json!([
        {"name": "b", "image": with("docker.io/owner/b", json!({}))},
        {"name": "src", "git": with(REPOSITORY, json!({"commitSelectionStrategy": "SemVer"}))},
        {"name": "c", "chart": with(&bench.charts.url(), json!({"name": "web"}))},
        {"name": "a", "image": with("docker.io/owner/a", json!({}))},
    ])
}

async fn publish_all(bench: &Bench, version: &str) {
    for image in ["owner/a", "owner/b"] {
        let content = NewImage { content: version.to_owned(), ..NewImage::default() };
        bench.registry().push_tag(image, version, &content).unwrap();
    }
    if bench.git().id("team/app.git", "main").await.is_err() {
        bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    }
    let tag = format!("v{version}");
    bench.git().commit_file("team/app.git", "main", "a", version, version).await.unwrap();
    bench.git().tag("team/app.git", &tag, "main").await.unwrap();
    bench.charts.publish("web", version);
}

#[tokio::test]
async fn several_at_once_in_the_order_of_the_spec_and_nothing_new_writes_nothing() {
    let bench = Bench::start().await;
    publish_all(&bench, "1.0.0").await;
    let mut wanted = spec(all_kinds(&bench));
    wanted["freightCreationCriteria"] = json!({"expression":
        format!("imageFrom('docker.io/owner/a').Tag == imageFrom('docker.io/owner/b').Tag && \
                 'v' + imageFrom('docker.io/owner/a').Tag == commitFrom('{REPOSITORY}').Tag")});
    bench.create("w", wanted).await;
    let warehouse = bench.warehouse("w", "FreightCreated", "True").await;
    assert_eq!(
        said(&warehouse, "Ready"),
        "True/ArtifactsDiscovered: Successfully discovered artifacts from 4 subscriptions"
    );
    let artifacts = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
    let names: Vec<&str> = artifacts
        .images
        .iter()
        .map(|i| i.subscription_name.as_str())
        .chain(artifacts.git.iter().map(|g| g.subscription_name.as_str()))
        .chain(artifacts.charts.iter().map(|c| c.subscription_name.as_str()))
        .collect();
    assert_eq!(names, ["b", "a", "src", "c"]);
    let freight = bench.freight().await;
    assert_eq!(freight.len(), 1);
    assert_eq!(
        (freight[0].images.len(), freight[0].commits.len(), freight[0].charts.len()),
        (2, 1, 1)
    );

    // Nothing new: the index is the one that is known, nothing is fetched, and
    // the token is all that is written.
    let fetches =
        || bench.git().traffic().count(|r| r.service == GitService::Fetch && !r.lists_refs);
    let (before, fetched) = (bench.api.requests(), fetches());
    bench.refresh("w", "one").await;
    bench.refreshed("w", "one").await;
    assert_eq!(bench.api.requests().since(&before).writes(), 2, "the annotation and one status");
    assert_eq!(fetches(), fetched);
    assert_eq!(bench.charts.statuses().last(), Some(&304));
    let metrics = bench.metrics();
    for kind in ["git", "chart"] {
        let line = format!("supercargo_discoveries_total{{kind=\"{kind}\",outcome=\"same\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }

    // One image alone does not meet the criteria; both and the tag do.
    let content = NewImage { content: "1.1.0".to_owned(), ..NewImage::default() };
    bench.registry().push_tag("owner/a", "1.1.0", &content).unwrap();
    bench.refresh("w", "two").await;
    let warehouse = bench.refreshed("w", "two").await;
    assert!(
        said(&warehouse, "FreightCreationCriteriaSatisfied")
            .starts_with("False/CriteriaNotSatisfied")
    );
    assert_eq!(bench.freight().await.len(), 1);
    publish_all(&bench, "1.1.0").await;
    bench.refresh("w", "three").await;
    bench.until("second Freight", |c| (c.stores.freight.len() == 2).then_some(())).await;
    bench.stop().await;
}

#[tokio::test]
async fn the_first_that_fails_is_told_and_what_was_found_stays() {
    let bench = Bench::start().await;
    publish_all(&bench, "1.0.0").await;
    bench.create("w", spec(all_kinds(&bench))).await;
    let good = bench.warehouse("w", "FreightCreated", "True").await;
    let mut broken = all_kinds(&bench);
    broken[1]["git"]["repoURL"] = json!("https://git.example.com/team/gone");
    broken[2]["chart"]["repoURL"] = json!(format!("http://{}/gone", bench.charts.host()));
    bench.patch("w", json!({"spec": {"subscriptions": broken}})).await;
    let warehouse = bench.warehouse("w", "Ready", "False").await;
    let ready = said(&warehouse, "Ready");
    assert!(
        ready.starts_with(
            "False/DiscoveryFailure: Artifact discovery failed: error discovering artifacts: \
             error discovering commits from git repo \"https://git.example.com/team/gone\": \
             error cloning git repo \"https://git.example.com/team/gone\": "
        ),
        "{ready}"
    );
    let also = format!("; also failed: \"http://{}/gone\"", bench.charts.host());
    assert!(ready.ends_with(&also), "{ready}");
    let artifacts = |w: &api::Warehouse| w.status.clone().unwrap().discovered_artifacts;
    assert_eq!(artifacts(&warehouse), artifacts(&good), "the last good artifacts stay");
    assert_eq!(warehouse.status.as_ref().unwrap().observed_generation, 1);
    assert_eq!(bench.freight().await.len(), 1);
    bench.patch("w", json!({"spec": {"subscriptions": all_kinds(&bench)}})).await;
    bench.warehouse("w", "Ready", "True").await;
    assert_eq!(bench.freight().await.len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn what_finds_nothing_is_explained() {
    let bench = Bench::start().await;
    bench.git().create_repository("team/app.git", &[("a", "1")]).await.unwrap();
    bench.git().tag("team/app.git", "latest", "main").await.unwrap();
    bench.charts.publish("web", "0.9.0");
    let charts = bench.charts.url();
    for (name, subscription, healthy, ready) in [
        (
            "git",
            json!({"git": with(REPOSITORY, json!({"commitSelectionStrategy": "SemVer"}))}),
            "NoCommitsDiscovered",
            format!(
                "False/MissingCommits: No commits discovered for Git repository {REPOSITORY:?}: 1 tag seen: 1 are no semantic version"
            ),
        ),
        (
            "paths",
            json!({"git": with(REPOSITORY, json!({"includePaths": ["nothing/here"]}))}),
            "NoCommitsDiscovered",
            format!(
                "False/MissingCommits: No commits discovered for Git repository {REPOSITORY:?}: 1 commit seen: 1 touch no path that includePaths and excludePaths admit"
            ),
        ),
        (
            "chart",
            json!({"chart": with(&charts, json!({"name": "web", "semverConstraint": "^1"}))}),
            "NoChartVersionsDiscovered",
            format!(
                "False/MissingChartVersions: No versions discovered for chart \"web\" from repository {charts:?}: 1 version seen: 1 do not meet the constraint \"^1\""
            ),
        ),
    ] {
        bench.create(name, spec(json!([subscription]))).await;
        let key = Key::new(PROJECT, name);
        let warehouse = bench
            .until(&ready, |c| {
                let warehouse = c.stores.warehouses.get(&key)?;
                said(&warehouse, "Ready").starts_with(&ready).then_some(warehouse)
            })
            .await;
        let said_ready = said(&warehouse, "Ready");
        assert!(said(&warehouse, "Healthy").starts_with(&format!("False/{healthy}")), "{name}");
        // Looked at again, nothing has changed, and the same is said.
        bench.refresh(name, "again").await;
        let warehouse = bench.refreshed(name, "again").await;
        assert_eq!(said(&warehouse, "Ready"), said_ready, "{name}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_admission_refuses_is_refused_where_it_does_not_run() {
    let bench = Bench::start().await;
    bench.push("1.0.0");
    let image = || json!({"image": with(PUBLIC, json!({}))});
    for (name, subscriptions, expected) in [
        (
            "twice",
            json!([image(), {"image": with("owner/app", json!({}))}]),
            "error discovering artifacts: spec.subscriptions[1].image.image: Invalid value: \"owner/app\": subscription for image repository already exists at \"spec.subscriptions[0].image\"",
        ),
        (
            "names",
            json!([{"name": "Not_Valid", "image": with(PUBLIC, json!({}))}]),
            "error discovering artifacts: spec.subscriptions[0].name: Invalid value: \"Not_Valid\": ",
        ),
        (
            "generic",
            json!([image(), {"name": "x", "s3": {}}]),
            "error finding subscriber for subscription: no matching registration found",
        ),
        (
            "url",
            json!([{"image": with("ghcr.io/a/b:tag", json!({}))}]),
            "error discovering artifacts: ",
        ),
    ] {
        bench.create(name, spec(subscriptions)).await;
        let warehouse = bench.warehouse(name, "Ready", "False").await;
        let ready = said(&warehouse, "Ready");
        let expected = format!("False/DiscoveryFailure: Artifact discovery failed: {expected}");
        assert!(ready.starts_with(&expected), "{name}: {ready}");
    }
    assert!(bench.freight().await.is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn once_an_hour_a_look_that_found_nothing_new_is_written_down() {
    let noon: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(noon));
    let wanted = Wanted { clock: clock.clone(), ..Wanted::default() };
    let mut bench = Bench::wanted(wanted).await;
    bench.push("1.0.0");
    bench.create("w", images(json!({}))).await;
    bench.warehouse("w", "FreightCreated", "True").await;
    let discovered_at = |bench: &Bench| {
        let warehouse = bench.context.stores.warehouses.get(&Key::new(PROJECT, "w")).unwrap();
        let artifacts = warehouse.status.clone().unwrap().discovered_artifacts.unwrap();
        artifacts.discovered_at.unwrap().0
    };
    assert_eq!(discovered_at(&bench), noon);
    // Each time a new process, which looks because the interval is over.
    for (minutes, writes) in [(59, 0), (60, 1)] {
        bench.controller.0.cancel();
        (&mut bench.controller.1).await.unwrap();
        let now = noon + jiff::SignedDuration::from_mins(minutes);
        clock.set(now);
        let (before, listed) =
            (bench.api.requests(), bench.registry().traffic().count("GET", "/tags/list"));
        bench.controller = run(&bench.context, &bench.stop);
        let traffic = bench.registry().traffic();
        tokio::time::timeout(PATIENCE, traffic.until(listed + 1, "GET", "/tags/list"))
            .await
            .unwrap();
        // The pass ends before its controller does.
        let name = format!("after-{minutes}");
        bench.create(&name, images(json!({}))).await;
        bench.warehouse(&name, "FreightCreated", "True").await;
        if writes > 0 {
            bench
                .until("the heartbeat", |c| {
                    let warehouse = c.stores.warehouses.get(&Key::new(PROJECT, "w"))?;
                    let at = warehouse.status.clone()?.discovered_artifacts?.discovered_at?.0;
                    (at == now).then_some(())
                })
                .await;
        }
        let since = bench.api.requests().since(&before);
        assert_eq!(since.of("patch", "warehouses/status"), 1 + writes, "after {minutes} minutes");
        assert_eq!(discovered_at(&bench), if writes > 0 { now } else { noon });
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_reads_much_says_so() {
    let bench = Bench::start().await;
    for n in 0..150 {
        bench.push(&format!("build-{n}"));
    }
    bench.create("w", images(json!({"imageSelectionStrategy": "NewestBuild"}))).await;
    bench.warehouse("w", "FreightCreated", "True").await;
    let metrics = bench.metrics();
    let line = "supercargo_discovery_manifests_sum{strategy=\"NewestBuild\"} 150.0";
    assert!(metrics.contains(line), "{metrics}");
    let client = bench.client.clone();
    bench.stop().await; // Events that wait are sent first.
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(client, PROJECT);
    let events = events.list(&Default::default()).await.unwrap().items;
    let said: Vec<&str> = events
        .iter()
        .filter(|e| e.reason.as_deref() == Some("CostlySubscription"))
        .filter_map(|e| e.message.as_deref())
        .collect();
    assert_eq!(said.len(), 1, "{events:#?}");
    assert!(
        said[0].starts_with("the subscription to \"docker.io/owner/app\" reads 150 manifests"),
        "{said:?}"
    );
}
