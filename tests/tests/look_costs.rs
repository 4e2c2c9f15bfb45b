//! What looks cost a registry and a Git host (`docs/performance.md`), counted
//! by them: for real ones from their access logs.

use std::collections::BTreeMap;

use api::Warehouse;
use e2e::await_that;
use e2e::parts::{IMAGE, PROJECT, Parts};

e2e::on_each_peer!(
    semver_reads_what_it_keeps,
    newest_build_reads_each_tag_once,
    warehouses_of_one_repository_share_its_fetches,
);

/// A Warehouse over the image.
fn images(name: &str, strategy: &str, more: &str) -> String {
    format!(
        "apiVersion: kargo.akuity.io/v1alpha1\nkind: Warehouse\nmetadata:\n  name: {name}\n  namespace: {PROJECT}\nspec:\n  subscriptions:\n  - image:\n      repoURL: ghcr.io/{IMAGE}\n      imageSelectionStrategy: {strategy}\n{more}"
    )
}

/// Requests for the image by what they are for, logins and probes apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Costs(BTreeMap<&'static str, usize>);

impl Costs {
    async fn so_far(parts: &Parts) -> Self {
        let mut costs = Self::default();
        for asked in parts.asked_registry().await {
            let kind = match (asked.method.as_str(), asked.path.as_str()) {
                (_, path) if path.contains("/tags/list") => "lists",
                ("HEAD", path) if path.contains("/manifests/") => "heads",
                (_, path) if path.contains("/manifests/") => "manifests",
                (_, path) if path.contains("/blobs/") => "configs",
                _ => continue,
            };
            *costs.0.entry(kind).or_default() += 1;
        }
        costs
    }

    /// What came since.
    async fn since(&self, parts: &Parts) -> Self {
        let mut costs = Self::so_far(parts).await;
        for (kind, before) in &self.0 {
            if let Some(count) = costs.0.get_mut(kind) {
                *count -= before;
            }
        }
        costs.0.retain(|_, count| *count > 0);
        costs
    }

    fn of<const N: usize>(costs: [(&'static str, usize); N]) -> Self {
        Self(costs.into())
    }
}

async fn semver_reads_what_it_keeps(parts: Parts) {
    for n in 0..30 {
        parts.push(IMAGE, &format!("1.0.{n}")).await;
    }
    let limit = "      discoveryLimit: 20\n";
    parts.apply(&images("w", "SemVer", limit)).await;
    parts.freight("w", &["1.0.29"]).await;
    let cold = Costs::so_far(&parts).await;
    assert_eq!(cold, Costs::of([("lists", 1), ("manifests", 20), ("configs", 20)]));
    parts.looked("w", "warm").await;
    assert_eq!(cold.since(&parts).await, Costs::of([("lists", 1), ("heads", 20)]));

    let before = Costs::so_far(&parts).await;
    parts.push(IMAGE, "1.0.30").await;
    parts.looked("w", "new").await;
    parts.freight("w", &["1.0.30"]).await;
    let costs = before.since(&parts).await;
    let wanted = [("lists", 1), ("heads", 19), ("manifests", 1), ("configs", 1)];
    assert_eq!(costs, Costs::of(wanted));
}

async fn newest_build_reads_each_tag_once(parts: Parts) {
    for n in 0..30 {
        parts.build(&format!("build-{n}"), n).await;
    }
    parts.apply(&images("w", "NewestBuild", "")).await;
    parts.freight("w", &["build-29"]).await;
    let cold = Costs::so_far(&parts).await;
    assert_eq!(cold, Costs::of([("lists", 1), ("manifests", 30), ("configs", 30)]));
    parts.looked("w", "warm").await;
    assert_eq!(cold.since(&parts).await, Costs::of([("lists", 1), ("heads", 30)]));

    // An old tag that was pushed again is found.
    let before = Costs::so_far(&parts).await;
    parts.build("build-7", 100).await;
    parts.looked("w", "moved").await;
    parts.freight("w", &["build-7"]).await;
    let moved = [("lists", 1), ("heads", 30), ("manifests", 1), ("configs", 1)];
    assert_eq!(before.since(&parts).await, Costs::of(moved));

    // Tags that are said never to move are known from before.
    let before = Costs::so_far(&parts).await;
    let by_tag = "      cacheByTag: true\n";
    parts.apply(&images("by-tag", "NewestBuild", by_tag)).await;
    parts.freight("by-tag", &["build-7"]).await;
    assert_eq!(before.since(&parts).await, Costs::of([("lists", 1)]));
}

const WAREHOUSES: usize = 12;

/// A Warehouse over what touches a folder of the Git repository.
fn commits(n: usize) -> String {
    format!(
        "apiVersion: kargo.akuity.io/v1alpha1\nkind: Warehouse\nmetadata:\n  name: w{n}\n  namespace: {PROJECT}\nspec:\n  subscriptions:\n  - git:\n      repoURL: https://git.example.com/shop/deploy.git\n      branch: main\n      includePaths:\n      - app{}\n",
        n % 3
    )
}

/// Has all Warehouses look at once, and waits until they have.
async fn all_look(parts: &Parts, token: &str) {
    for n in 0..WAREHOUSES {
        parts.pipeline.refresh(PROJECT, &format!("w{n}"), token).await;
    }
    for n in 0..WAREHOUSES {
        let name = format!("w{n}");
        let what = format!("a Ready {name} after {token}");
        await_that::object(parts.pipeline.of::<Warehouse>(PROJECT), &what, |w| {
            let status = w.status.clone().unwrap_or_default();
            w.metadata.name.as_deref() == Some(&name)
                && status.last_handled_refresh == token
                && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
        })
        .await;
    }
}

async fn warehouses_of_one_repository_share_its_fetches(parts: Parts) {
    parts.repository().await;
    for n in 0..30 {
        parts.commit(&format!("app{}/file", n % 3), &format!("change {n}")).await;
    }
    for n in 0..WAREHOUSES {
        parts.apply(&commits(n)).await;
    }
    for n in 0..WAREHOUSES {
        let newest = format!("change {}", 27 + n % 3);
        parts.freight(&format!("w{n}"), &[&newest]).await;
    }
    let (_, fetches) = parts.asked_git().await;
    assert_eq!(fetches, 1, "one copy for all");

    // Nothing new: references are listed, nothing is fetched.
    let before = parts.asked_git().await;
    all_look(&parts, "same").await;
    let after = parts.asked_git().await;
    assert_eq!(after.1, before.1, "nothing is fetched");
    assert!(after.0 > before.0 && after.0 - before.0 <= WAREHOUSES, "{before:?} {after:?}");

    // One push: one fetch for all.
    parts.commit("app1/file", "pushed").await;
    all_look(&parts, "pushed").await;
    let pushed = parts.asked_git().await;
    // One fetch: what the copy has is told in one request, and what it lacks
    // comes with the next.
    let posts = pushed.1 - after.1;
    assert!((1..=2).contains(&posts), "one fetch for all, not {posts} requests");
    for n in [1, 4, 7, 10] {
        parts.freight(&format!("w{n}"), &["pushed"]).await;
    }
    assert_eq!(parts.count().await, WAREHOUSES + 4);
}
