//! The examples of Warehouses, one for each kind of subscription, through the
//! real controllers: what is published becomes Freight, what is new becomes
//! new Freight. Each with the sandbox's registry and Git host and with real
//! ones.

use api::Freight;
use e2e::await_that;
use e2e::examples::text;
use e2e::parts::{CHART, IMAGE, PROJECT, Parts};

e2e::on_each_peer!(
    images_by_version,
    images_by_build_by_name_and_by_digest,
    commits_of_a_branch_by_path,
    tags_of_a_git_repository,
    tags_of_every_strategy_by_path,
    charts_of_a_registry,
    charts_of_a_classic_repository,
    several_at_once_with_criteria,
    what_people_make_of_what_was_found,
);

async fn images_by_version(parts: Parts) {
    for tag in ["1.2.0", "1.10.0", "1.11.0-debug", "2.0.0", "latest"] {
        parts.push(IMAGE, tag).await;
    }
    parts.apply_example("image-semver").await;
    let first = parts.freight("image-semver", &["1.10.0"]).await;
    assert_eq!(first.images[0].repo_url, "ghcr.io/example/shop-web");
    assert_eq!(first.metadata.name, Some(api::freight_id(&first)));
    parts.push(IMAGE, "1.10.1").await;
    parts.looked("image-semver", "one").await;
    parts.freight("image-semver", &["1.10.1"]).await;
    parts.looked("image-semver", "two").await;
    assert_eq!(parts.count().await, 2);
}

async fn images_by_build_by_name_and_by_digest(parts: Parts) {
    parts.build("main-aaaaaaa", 20).await;
    parts.build("main-bbbbbbb", 10).await;
    parts.build("other", 30).await;
    parts.build("nightly-20260102", 1).await;
    parts.build("nightly-20260101", 2).await;
    parts.build("latest", 1).await;
    for name in ["image-newest-build", "image-lexical", "image-digest"] {
        parts.apply_example(name).await;
    }
    parts.freight("image-newest-build", &["main-aaaaaaa"]).await;
    parts.freight("image-lexical", &["nightly-20260102"]).await;
    let first = parts.freight("image-digest", &["latest"]).await;

    parts.build("main-ccccccc", 40).await;
    parts.build("nightly-20260103", 0).await;
    parts.build("latest", 2).await;
    for name in ["image-newest-build", "image-lexical", "image-digest"] {
        parts.looked(name, "new").await;
    }
    parts.freight("image-newest-build", &["main-ccccccc"]).await;
    parts.freight("image-lexical", &["nightly-20260103"]).await;
    let freight = parts.pipeline.of::<Freight>(PROJECT);
    await_that::object(freight, "Freight of the tag that moved", |f| {
        f.origin.name == "image-digest" && f.images[0].digest != first.images[0].digest
    })
    .await;
    assert_eq!(parts.count().await, 6);
}

async fn commits_of_a_branch_by_path(parts: Parts) {
    parts.repository().await;
    parts.commit("charts/web/values.yaml", "first of the chart").await;
    parts.commit("api/main.go", "something else").await;
    parts.apply_example("git-branch").await;
    let first = parts.freight("git-branch", &["first of the chart"]).await;
    assert_eq!(first.commits[0].branch, "main");
    assert_eq!(first.commits[0].repo_url, "https://git.example.com/shop/deploy.git");

    for (file, subject) in [
        ("charts/web/README.md", "words about the chart"),
        ("envs/prod/api.yaml", "another application"),
        ("charts/web/values.yaml", "a try [skip freight]"),
    ] {
        parts.commit(file, subject).await;
    }
    parts.looked("git-branch", "one").await;
    assert_eq!(parts.count().await, 1, "nothing of that counts");
    parts.commit("envs/prod/web.yaml", "more replicas").await;
    parts.looked("git-branch", "two").await;
    parts.freight("git-branch", &["more replicas"]).await;
}

async fn tags_of_a_git_repository(parts: Parts) {
    parts.repository().await;
    for tag in ["v0.9.0", "v1.0.0", "v1.1.0-rc.1", "nightly"] {
        parts.tag(tag).await;
    }
    parts.apply_example("git-tags").await;
    parts.freight("git-tags", &["v1.0.0"]).await;
    parts.tag("v1.1.0").await;
    parts.looked("git-tags", "one").await;
    parts.freight("git-tags", &["v1.1.0"]).await;
}

/// A Warehouse over the tags of commits that touch `web/`.
fn by_path(strategy: &str) -> String {
    format!(
        "apiVersion: kargo.akuity.io/v1alpha1\nkind: Warehouse\nmetadata:\n  name: {}\n  namespace: {PROJECT}\nspec:\n  subscriptions:\n  - git:\n      repoURL: https://git.example.com/shop/deploy.git\n      commitSelectionStrategy: {strategy}\n      includePaths:\n      - web\n",
        strategy.to_lowercase()
    )
}

async fn tags_of_every_strategy_by_path(parts: Parts) {
    parts.repository().await;
    // The order of time, of versions and of names are three orders.
    for (tag, file) in [
        ("v1.10.0", "web/a"),
        ("v1.11.0", "api/a"),
        ("v1.9.0", "web/b"),
        ("z-other", "api/b"),
        ("v1.2.0", "web/c"),
        ("v1.3.0", "api/c"),
    ] {
        parts.commit(file, tag).await;
        parts.tag(tag).await;
    }
    for strategy in ["SemVer", "Lexical", "NewestTag"] {
        parts.apply(&by_path(strategy)).await;
    }
    parts.freight("semver", &["v1.10.0"]).await;
    parts.freight("lexical", &["v1.9.0"]).await;
    let newest = parts.looked("newesttag", "one").await;
    let found = newest.status.unwrap_or_default().discovered_artifacts.unwrap_or_default();
    let mut tags: Vec<&str> = found.git[0].commits.iter().map(|c| c.tag.as_str()).collect();
    // Commits of one second have no order of time that a test could rely on.
    tags.sort_unstable();
    assert_eq!(tags, ["v1.10.0", "v1.2.0", "v1.9.0"]);

    parts.commit("api/d", "v1.99.0").await;
    parts.tag("v1.99.0").await;
    parts.commit("web/d", "v1.12.0").await;
    parts.tag("v1.12.0").await;
    parts.looked("semver", "new").await;
    parts.freight("semver", &["v1.12.0"]).await;
    parts.looked("lexical", "new").await;
    assert_eq!(parts.count().await, 4, "by name, v1.9.0 is still the last");
}

async fn charts_of_a_registry(parts: Parts) {
    for tag in ["1.0.0", "2.0.0"] {
        parts.push(CHART, tag).await;
    }
    parts.apply_example("chart-oci").await;
    parts.freight("chart-oci", &["1.0.0"]).await;
    parts.push(CHART, "1.1.0_build.7").await;
    parts.looked("chart-oci", "one").await;
    parts.freight("chart-oci", &["1.1.0+build.7"]).await;
}

async fn charts_of_a_classic_repository(parts: Parts) {
    let publish =
        |versions: &[&str]| parts.publish_index(&[("other", &["1.5.0"]), ("shop-web", versions)]);
    let address = publish(&["1.0.0"]);
    // Chart repositories have no mirrors: the test puts its own in the place.
    let manifest = text("warehouses/chart-classic.yaml");
    let here = manifest.replace("https://charts.example.com", &address);
    assert_ne!(here, manifest);
    parts.apply(&here).await;
    let first = parts.freight("chart-classic", &["1.0.0"]).await;
    assert_eq!(first.charts[0].name, "shop-web");
    publish(&["1.1.0", "1.0.0"]);
    parts.looked("chart-classic", "one").await;
    parts.freight("chart-classic", &["1.1.0"]).await;
}

async fn several_at_once_with_criteria(parts: Parts) {
    parts.repository().await;
    parts.push(IMAGE, "1.0.0").await;
    parts.push(CHART, "1.0.0").await;
    parts.apply_example("several").await;
    let first = parts.freight("several", &["Initial content", "1.0.0", "1.0.0"]).await;
    assert_eq!(first.images[0].subscription_name, "web");
    assert_eq!(first.charts[0].subscription_name, "chart");
    assert_eq!(first.commits[0].subscription_name, "deploy");

    parts.push(IMAGE, "1.1.0").await;
    let warehouse = parts.looked("several", "one").await;
    let conditions = warehouse.status.unwrap_or_default().conditions;
    let criteria = conditions.iter().find(|c| c.type_ == "FreightCreationCriteriaSatisfied");
    assert_eq!(criteria.map(|c| c.reason.as_str()), Some("CriteriaNotSatisfied"));
    assert_eq!(parts.count().await, 1);
    parts.push(CHART, "1.1.0").await;
    parts.looked("several", "two").await;
    parts.freight("several", &["Initial content", "1.1.0", "1.1.0"]).await;
}

async fn what_people_make_of_what_was_found(parts: Parts) {
    parts.push(IMAGE, "1.0.0").await;
    parts.apply_example("manual").await;
    let warehouse = parts.looked("manual", "one").await;
    let artifacts = warehouse.status.unwrap_or_default().discovered_artifacts.unwrap_or_default();
    assert_eq!(artifacts.images[0].references[0].tag, "1.0.0");
    assert_eq!(parts.count().await, 0);
}
