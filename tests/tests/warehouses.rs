//! The examples of Warehouses, one for each kind of subscription, through the
//! real controllers: what is published becomes Freight, what is new becomes
//! new Freight.

use ::sandbox::git_host::FileChange;
use ::sandbox::registry::NewImage;
use api::{Freight, Warehouse};
use e2e::examples::text;
use e2e::{Pipeline, await_that};

const IMAGE: &str = "example/shop-web";
const CHART: &str = "example/charts/shop-web";
const REPOSITORY: &str = "shop/deploy.git";

/// The Project of the examples.
async fn parts() -> Pipeline {
    let pipeline = Pipeline::start().await;
    pipeline.apply(&text("warehouses/project.yaml")).await;
    pipeline
}

async fn apply(pipeline: &Pipeline, name: &str) {
    pipeline.apply(&text(&format!("warehouses/{name}.yaml"))).await;
}

/// What Freight holds, each artifact by its version.
fn versions(freight: &Freight) -> Vec<String> {
    let commits = freight.commits.iter().map(|c| match c.tag.as_str() {
        "" => c.message.clone(),
        tag => tag.to_owned(),
    });
    let images = freight.images.iter().map(|i| i.tag.clone());
    let charts = freight.charts.iter().map(|c| c.version.clone());
    commits.chain(images).chain(charts).collect()
}

/// The Warehouse's Freight of these versions, once it is there.
async fn freight(pipeline: &Pipeline, warehouse: &str, wanted: &[&str]) -> Freight {
    let what = format!("Freight of {warehouse} with {wanted:?}");
    await_that::object(pipeline.of::<Freight>("parts"), &what, |f| {
        f.origin.name == warehouse && versions(f) == wanted
    })
    .await
}

/// The Warehouse, once it is Ready and has dealt with that refresh.
async fn looked(pipeline: &Pipeline, warehouse: &str, token: &str) -> Warehouse {
    pipeline.refresh("parts", warehouse, token).await;
    let what = format!("a Ready {warehouse} after {token}");
    await_that::object(pipeline.of::<Warehouse>("parts"), &what, |w| {
        let status = w.status.clone().unwrap_or_default();
        w.metadata.name.as_deref() == Some(warehouse)
            && status.last_handled_refresh == token
            && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await
}

async fn count(pipeline: &Pipeline) -> usize {
    pipeline.of::<Freight>("parts").list(&Default::default()).await.expect("a list").items.len()
}

/// Publishes an image that was built in that second.
fn build(pipeline: &Pipeline, tag: &str, second: i64) {
    let built = jiff::Timestamp::from_second(1_700_000_000 + second).expect("a time");
    let image = NewImage { content: format!("{tag} {second}"), ..NewImage::created(built) };
    pipeline.world.registry.push_tag(IMAGE, tag, &image).expect("the tag is published");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_by_version() {
    let pipeline = parts().await;
    for tag in ["1.2.0", "1.10.0", "1.11.0-debug", "2.0.0", "latest"] {
        pipeline.push_tag(IMAGE, tag);
    }
    apply(&pipeline, "image-semver").await;
    let first = freight(&pipeline, "image-semver", &["1.10.0"]).await;
    assert_eq!(first.images[0].repo_url, "ghcr.io/example/shop-web");
    assert_eq!(first.metadata.name, Some(api::freight_id(&first)));
    pipeline.push_tag(IMAGE, "1.10.1");
    looked(&pipeline, "image-semver", "one").await;
    freight(&pipeline, "image-semver", &["1.10.1"]).await;
    looked(&pipeline, "image-semver", "two").await;
    assert_eq!(count(&pipeline).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_by_build_by_name_and_by_digest() {
    let pipeline = parts().await;
    build(&pipeline, "main-aaaaaaa", 20);
    build(&pipeline, "main-bbbbbbb", 10);
    build(&pipeline, "other", 30);
    build(&pipeline, "nightly-20260102", 1);
    build(&pipeline, "nightly-20260101", 2);
    build(&pipeline, "latest", 1);
    for name in ["image-newest-build", "image-lexical", "image-digest"] {
        apply(&pipeline, name).await;
    }
    freight(&pipeline, "image-newest-build", &["main-aaaaaaa"]).await;
    freight(&pipeline, "image-lexical", &["nightly-20260102"]).await;
    let first = freight(&pipeline, "image-digest", &["latest"]).await;

    build(&pipeline, "main-ccccccc", 40);
    build(&pipeline, "nightly-20260103", 0);
    build(&pipeline, "latest", 2);
    for name in ["image-newest-build", "image-lexical", "image-digest"] {
        looked(&pipeline, name, "new").await;
    }
    freight(&pipeline, "image-newest-build", &["main-ccccccc"]).await;
    freight(&pipeline, "image-lexical", &["nightly-20260103"]).await;
    await_that::object(pipeline.of::<Freight>("parts"), "Freight of the tag that moved", |f| {
        f.origin.name == "image-digest" && f.images[0].digest != first.images[0].digest
    })
    .await;
    assert_eq!(count(&pipeline).await, 6);
}

/// Commits a change of one file.
async fn commit(pipeline: &Pipeline, file: &str, subject: &str) {
    let change = [FileChange::write(file, subject)];
    let done = pipeline.world.git.commit(REPOSITORY, "main", subject, &change).await;
    done.expect("the commit is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_a_branch_by_path() {
    let pipeline = parts().await;
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &[("README.md", "")]).await.expect("a repository");
    commit(&pipeline, "charts/web/values.yaml", "first of the chart").await;
    commit(&pipeline, "api/main.go", "something else").await;
    apply(&pipeline, "git-branch").await;
    let first = freight(&pipeline, "git-branch", &["first of the chart"]).await;
    assert_eq!(first.commits[0].branch, "main");
    assert_eq!(first.commits[0].repo_url, "https://git.example.com/shop/deploy.git");

    for (file, subject) in [
        ("charts/web/README.md", "words about the chart"),
        ("envs/prod/api.yaml", "another application"),
        ("charts/web/values.yaml", "a try [skip freight]"),
    ] {
        commit(&pipeline, file, subject).await;
    }
    looked(&pipeline, "git-branch", "one").await;
    assert_eq!(count(&pipeline).await, 1, "nothing of that counts");
    commit(&pipeline, "envs/prod/web.yaml", "more replicas").await;
    looked(&pipeline, "git-branch", "two").await;
    freight(&pipeline, "git-branch", &["more replicas"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_git_repository() {
    let pipeline = parts().await;
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &[("README.md", "")]).await.expect("a repository");
    for tag in ["v0.9.0", "v1.0.0", "v1.1.0-rc.1", "nightly"] {
        git.tag(REPOSITORY, tag, "main").await.expect("a tag");
    }
    apply(&pipeline, "git-tags").await;
    freight(&pipeline, "git-tags", &["v1.0.0"]).await;
    git.tag(REPOSITORY, "v1.1.0", "main").await.expect("a tag");
    looked(&pipeline, "git-tags", "one").await;
    freight(&pipeline, "git-tags", &["v1.1.0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_a_registry() {
    let pipeline = parts().await;
    for tag in ["1.0.0", "2.0.0"] {
        pipeline.push_tag(CHART, tag);
    }
    apply(&pipeline, "chart-oci").await;
    freight(&pipeline, "chart-oci", &["1.0.0"]).await;
    pipeline.push_tag(CHART, "1.1.0_build.7");
    looked(&pipeline, "chart-oci", "one").await;
    freight(&pipeline, "chart-oci", &["1.1.0+build.7"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_a_classic_repository() {
    let pipeline = parts().await;
    let registry = &pipeline.world.registry;
    let publish = |versions: &[&str]| {
        registry.push_index("charts", &[("other", &["1.5.0"]), ("shop-web", versions)]);
    };
    publish(&["1.0.0"]);
    // Chart repositories have no mirrors: the test puts its own in the place.
    let manifest = text("warehouses/chart-classic.yaml");
    let here =
        manifest.replace("https://charts.example.com", &format!("{}/charts", registry.url()));
    assert_ne!(here, manifest);
    pipeline.apply(&here).await;
    let first = freight(&pipeline, "chart-classic", &["1.0.0"]).await;
    assert_eq!(first.charts[0].name, "shop-web");
    publish(&["1.1.0", "1.0.0"]);
    looked(&pipeline, "chart-classic", "one").await;
    freight(&pipeline, "chart-classic", &["1.1.0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_with_criteria() {
    let pipeline = parts().await;
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &[("README.md", "")]).await.expect("a repository");
    pipeline.push_tag(IMAGE, "1.0.0");
    pipeline.push_tag(CHART, "1.0.0");
    apply(&pipeline, "several").await;
    let first = freight(&pipeline, "several", &["Initial content", "1.0.0", "1.0.0"]).await;
    assert_eq!(first.images[0].subscription_name, "web");
    assert_eq!(first.charts[0].subscription_name, "chart");
    assert_eq!(first.commits[0].subscription_name, "deploy");

    pipeline.push_tag(IMAGE, "1.1.0");
    let warehouse = looked(&pipeline, "several", "one").await;
    let conditions = warehouse.status.unwrap_or_default().conditions;
    let criteria = conditions.iter().find(|c| c.type_ == "FreightCreationCriteriaSatisfied");
    assert_eq!(criteria.map(|c| c.reason.as_str()), Some("CriteriaNotSatisfied"));
    assert_eq!(count(&pipeline).await, 1);
    pipeline.push_tag(CHART, "1.1.0");
    looked(&pipeline, "several", "two").await;
    freight(&pipeline, "several", &["Initial content", "1.1.0", "1.1.0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_make_of_what_was_found() {
    let pipeline = parts().await;
    pipeline.push_tag(IMAGE, "1.0.0");
    apply(&pipeline, "manual").await;
    let warehouse = looked(&pipeline, "manual", "one").await;
    let artifacts = warehouse.status.unwrap_or_default().discovered_artifacts.unwrap_or_default();
    assert_eq!(artifacts.images[0].references[0].tag, "1.0.0");
    assert_eq!(count(&pipeline).await, 0);
}
