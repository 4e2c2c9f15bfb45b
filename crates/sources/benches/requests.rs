//! What discovery costs a registry, counted: requests of the first look, of
//! the next ones, and how long others wait beside a heavy Warehouse.
//!
//! `cargo bench -p sources`. The registry is the sandbox's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::ImageSubscription;
use futures::future::join_all;
use sandbox::registry::{NewImage, Registry, RegistryOptions};
use sources::image::CacheByTag;
use sources::registry::ClientSettings;
use sources::{Images, Settings};

/// Requests a second in the measurement of fairness, and its Warehouses.
const RATE: u32 = 20;
const WAREHOUSES: usize = 250;
/// Tags of each of them but the heavy one.
const FEW: usize = 3;

fn images(rate: u32, limited: bool, folder: Option<&std::path::Path>) -> Images {
    let client = ClientSettings {
        requests_per_second: rate,
        limit_this_machine: limited,
        ..ClientSettings::default()
    };
    let settings = Settings {
        client,
        cache_folder: folder.map(Into::into),
        cache_by_tag: CacheByTag::Allow,
        deadline: Duration::from_secs(3600),
        ..Settings::default()
    };
    Images::new(settings).expect("discovery")
}

fn push(registry: &Registry, repository: &str, tags: usize) {
    for n in 0..tags {
        let tag = format!("1.{}.{}", n / 100, n % 100);
        let image = NewImage { content: n.to_string(), ..NewImage::default() };
        registry.push_tag(repository, &tag, &image).expect("published");
    }
}

fn subscription(registry: &Registry, repository: &str, strategy: &str) -> ImageSubscription {
    ImageSubscription {
        repo_url: format!("{}/{repository}", registry.addr),
        image_selection_strategy: strategy.to_owned(),
        discovery_limit: 20,
        ..ImageSubscription::default()
    }
}

/// One discovery, and the requests that the registry saw.
async fn look(what: &str, registry: &Registry, images: &Images, subscription: &ImageSubscription) {
    registry.traffic().clear();
    let began = Instant::now();
    let found = images.discover(subscription, None).await.expect("found");
    let took = began.elapsed();
    let mut kinds = BTreeMap::new();
    for request in registry.traffic().requests() {
        let kind = match request.path.as_str() {
            "/v2/" => "probes",
            path if path.ends_with("/tags/list") => "pages",
            path if path.contains("/manifests/") && request.method == "HEAD" => "HEADs",
            path if path.contains("/manifests/") => "manifests",
            _ => "configs",
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    println!(
        "{what:44} {:3} found {:6} requests {kinds:?} {:.2} s",
        found.result.references.len(),
        kinds.values().sum::<usize>(),
        took.as_secs_f64()
    );
}

#[tokio::main]
async fn main() {
    let registry = Registry::start(RegistryOptions::default()).await.expect("a registry");
    push(&registry, "owner/five-thousand", 5_000);
    push(&registry, "owner/thousand", 1_000);
    let folder = tempfile::tempdir().expect("a folder");

    let here = images(RATE, false, Some(folder.path()));
    let semver = subscription(&registry, "owner/five-thousand", "SemVer");
    look("5,000 tags, SemVer, limit 20, cold", &registry, &here, &semver).await;
    look("the same, warm", &registry, &here, &semver).await;

    let newest = subscription(&registry, "owner/thousand", "NewestBuild");
    look("1,000 tags, NewestBuild, cold", &registry, &here, &newest).await;
    look("the same, warm", &registry, &here, &newest).await;
    let image = NewImage { content: "moved".to_owned(), ..NewImage::default() };
    registry.push_tag("owner/thousand", "1.0.7", &image).expect("published");
    look("the same, one tag moved", &registry, &here, &newest).await;
    let by_tag = ImageSubscription { cache_by_tag: true, ..newest.clone() };
    look("the same, cacheByTag", &registry, &here, &by_tag).await;
    let again = images(RATE, false, Some(folder.path()));
    look("the same, after a restart", &registry, &again, &newest).await;
    let again = images(RATE, false, Some(folder.path()));
    look("the same, after a restart, cacheByTag", &registry, &again, &by_tag).await;

    fairness(&registry).await;
}

/// One Warehouse with 5,000 tags to read, then 249 with three each: when is
/// each of these done?
async fn fairness(registry: &Registry) {
    let heavy = subscription(registry, "owner/five-thousand", "NewestBuild");
    for n in 1..WAREHOUSES {
        push(registry, &format!("light/{n}"), FEW);
    }
    let shared = images(RATE, true, None);
    let beside = shared.on_behalf_of("p/heavy");
    let heavy = tokio::spawn(async move { beside.discover(&heavy, None).await });
    registry.traffic().clear();
    registry.traffic().until(100, "", "five-thousand").await;
    let (began, before) = (Instant::now(), registry.traffic().total());
    let light = (1..WAREHOUSES).map(|n| {
        let images = shared.on_behalf_of(&format!("p/light-{n}"));
        let subscription = subscription(registry, &format!("light/{n}"), "SemVer");
        async move {
            images.discover(&subscription, None).await.expect("found");
            began.elapsed().as_secs_f64()
        }
    });
    let mut times = join_all(light).await;
    let (took, seen) = (began.elapsed().as_secs_f64(), registry.traffic().total() - before);
    times.sort_by(f64::total_cmp);
    heavy.abort();
    // A listing, and a manifest and a config a tag, for each of them.
    let fair = (WAREHOUSES * (1 + 2 * FEW)) as f64 / f64::from(RATE);
    println!(
        "{WAREHOUSES} Warehouses at {RATE} requests/s, one with 5,000 tags: the others are done after {:.1} s (median) to {:.1} s (last); an equal share of the turns would take {fair:.1} s; {:.1} requests/s",
        times[times.len() / 2],
        times[times.len() - 1],
        seen as f64 / took
    );
}
