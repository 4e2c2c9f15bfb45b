use std::collections::BTreeMap;
use std::time::Duration;

use api::ImageSubscription;
use jiff::Timestamp;
use sandbox::registry::{NewImage, Registry, RegistryOptions};
use serde_json::{Value, json};

use super::metadata::{Config, Entry, Index, Manifest, Metadata, Platform};
use super::*;
use crate::error::ErrorClass;
use crate::registry::ClientSettings;

const PUBLIC: &str = "docker.io/owner/app";

fn subscription(fields: Value) -> ImageSubscription {
    let mut all = json!({ "repoURL": PUBLIC });
    for (key, value) in fields.as_object().expect("an object") {
        all[key] = value.clone();
    }
    serde_json::from_value(all).expect("a subscription")
}

fn selected(fields: Value, tags: &[&str]) -> Vec<String> {
    let selector = Selector::new(&subscription(fields)).expect("a selector");
    selector.select(tags.iter().map(|t| (*t).to_owned()).collect()).0
}

#[test]
fn tags_are_selected_as_the_strategy_says() {
    for (id, fields, tags, expected) in [
        (
            "warehouses/6.3-1",
            json!({}),
            &["5.0.0", "0.0.1", "0.2.1", "0.1.1", "1.1.1", "7.0.6", "1.0.0", "1.0.2"][..],
            &["7.0.6", "5.0.0", "1.1.1", "1.0.2", "1.0.0", "0.2.1", "0.1.1", "0.0.1"][..],
        ),
        (
            "warehouses/6.3-2",
            json!({"allowTagsRegexes": ["^v1\\."]}),
            &["v1.0.0", "v2.0.0"],
            &["v1.0.0"],
        ),
        ("warehouses/6.3-5", json!({"strictSemvers": true}), &["1.0", "1.0.0"], &["1.0.0"]),
        ("unset is strict", json!({}), &["1.0"], &[]),
        ("lenient", json!({"strictSemvers": false}), &["1.0", "x"], &["1.0"]),
        (
            "ignore wins",
            json!({"allowTagsRegexes": ["1"], "ignoreTagsRegexes": ["^1"]}),
            &["1.0.0"],
            &[],
        ),
        ("constraint", json!({"constraint": "^1"}), &["1.2.3", "2.0.0"], &["1.2.3"]),
        (
            "lexical",
            json!({"imageSelectionStrategy": "Lexical", "constraint": "unused"}),
            &["a", "c", "b", "B"],
            &["c", "b", "a", "B"],
        ),
        ("quoted", json!({"allowTagsRegexes": ["^\\Q1.0\\E"]}), &["1.0.0", "120.0.0"], &["1.0.0"]),
        (
            "an expression is searched for, and case counts",
            json!({"imageSelectionStrategy": "Lexical", "allowTagsRegexes": ["rc"]}),
            &["1-rc1", "1-RC1", "rc", "1"],
            &["rc", "1-rc1"],
        ),
        (
            "classes are ASCII",
            json!({"imageSelectionStrategy": "Lexical", "allowTagsRegexes": ["^\\d$", "^\\w\\b!$"]}),
            &["1", "\u{663}", "a!", "\u{e9}!"],
            &["a!", "1"],
        ),
        (
            "a vertical tab is no space",
            json!({"imageSelectionStrategy": "Lexical", "allowTagsRegexes": ["^\\s$"]}),
            &[" ", "\u{b}", "\u{c}", "\t"],
            &[" ", "\u{c}", "\t"],
        ),
    ] {
        assert_eq!(selected(fields, tags), expected, "{id}");
    }
}

#[test]
fn a_repository_has_one_address_however_it_is_written() {
    for (url, expected) in [
        ("busybox", "index.docker.io/library/busybox"),
        ("docker.io/library/busybox", "index.docker.io/library/busybox"),
        ("registry-1.docker.io/busybox", "index.docker.io/library/busybox"),
        ("\u{feff} docker.io/Owner/App:1.0 ", "index.docker.io/owner/app"),
        ("ghcr.io:443/a/b", "ghcr.io:443/a/b"),
    ] {
        let selector = Selector::new(&subscription(json!({"repoURL": url}))).expect(url);
        assert_eq!(selector.address.to_string(), expected, "{url}");
    }
}

#[test]
fn what_was_dropped_is_told() {
    let fields = json!({"constraint": "^1", "ignoreTagsRegexes": ["-debug$"]});
    let selector = Selector::new(&subscription(fields)).expect("a selector");
    let tags = ["latest", "1.0.0", "2.0.0", "1.1", "1.0.0-debug", "main"];
    let (kept, report) = selector.select(tags.iter().map(|t| (*t).to_owned()).collect());
    assert_eq!(kept, ["1.0.0"]);
    assert_eq!(
        report.to_string(),
        "6 tags seen: 1 match ignoreTagsRegexes (for example \"1.0.0-debug\"), \
         2 are no semantic version (another imageSelectionStrategy takes such tags) (for example \"latest\"), \
         1 are versions but not of the form X.Y.Z (set strictSemvers: false to admit them) (for example \"1.1\"), \
         1 do not meet the constraint \"^1\" (for example \"2.0.0\")"
    );
}

#[test]
fn what_cannot_be_selected_with() {
    for (fields, expected) in [
        (json!({"imageSelectionStrategy": "Newest"}), "error getting selector factory"),
        (
            json!({"platform": "linux"}),
            "error building tag based selector: error building base selector: error parsing platform constraint \"linux\"",
        ),
        (
            json!({"allowTagsRegexes": ["("]}),
            "error building tag based selector: error compiling allow tags regex: error compiling regular expression \"(\": error parsing regexp: invalid pattern `(`: unclosed group",
        ),
        (
            json!({"ignoreTagsRegexes": ["(?=a)"]}),
            "error building tag based selector: error compiling ignore tags regex: error compiling regular expression \"(?=a)\": ",
        ),
        (
            json!({"allowTags": "x"}),
            "error building tag based selector: AllowTags is deprecated and unsupported as of v1.11.0; use AllowTagsRegexes instead",
        ),
        (
            json!({"ignoreTags": ["x"]}),
            "error building tag based selector: IgnoreTags is deprecated and unsupported as of v1.11.0; use IgnoreTagsRegexes instead",
        ),
        (
            json!({"constraint": "latest"}),
            "error parsing semver constraint \"latest\": improper constraint: latest",
        ),
        (json!({"imageSelectionStrategy": "Digest"}), "constraint must be set"),
        (
            json!({"repoURL": "Invalid url", "allowTagsRegexes": ["("]}),
            "error building tag based selector: error building base selector: error creating repository client for image \"Invalid url\": error parsing image repo URL Invalid url: ",
        ),
        (
            json!({"repoURL": "localhost:5000/a", "imageSelectionStrategy": "Digest", "constraint": "x"}),
            "error building base selector: error creating repository client for image \"localhost:5000/a\": ",
        ),
    ] {
        let error = Selector::new(&subscription(fields.clone())).expect_err("refused");
        assert!(error.to_string().starts_with(expected), "{fields}: {error}");
        assert_eq!(error.class(), ErrorClass::Config);
    }
}

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn built(manifest: &Value, config: &Value) -> Option<Timestamp> {
    let manifest: Manifest = serde_json::from_value(manifest.clone()).expect("a manifest");
    let config: Config = serde_json::from_value(config.clone()).expect("a config");
    Metadata::image("sha256:0", &manifest, &config).created
}

fn at(month: &str) -> String {
    format!("2023-{month}-01T00:00:00Z")
}

fn time(month: &str) -> Option<Timestamp> {
    at(month).parse().ok()
}

#[test]
fn when_an_image_was_built() {
    const OCI: &str = "org.opencontainers.image.created";
    const OLD: &str = "org.label-schema.build-date";
    let labelled = |key: &str, month: &str, created: Option<&str>| {
        let created = created.map_or("0001-01-01T00:00:00Z".to_owned(), at);
        json!({"created": created, "config": {"Labels": {key: at(month)}}})
    };
    let none = json!({});
    for (id, manifest, config, expected) in [
        (
            "warehouses/6.7-1",
            json!({"annotations": {OCI: at("01")}}),
            json!({"created": at("12")}),
            time("01"),
        ),
        ("warehouses/6.7-2", none.clone(), labelled(OCI, "02", Some("01")), time("02")),
        ("warehouses/6.7-3", none.clone(), labelled(OCI, "01", Some("12")), time("12")),
        ("warehouses/6.7-4", none.clone(), labelled(OCI, "03", None), time("03")),
        (
            "warehouses/6.7-5",
            json!({"annotations": {OCI: at("01"), OLD: at("05")}}),
            none.clone(),
            time("01"),
        ),
        (
            "warehouses/6.7-6",
            json!({"annotations": {OLD: at("01")}}),
            labelled(OCI, "05", None),
            time("01"),
        ),
        (
            "warehouses/6.7-10",
            json!({"annotations": {OCI: "yesterday", OLD: at("04")}}),
            none.clone(),
            time("04"),
        ),
        ("nothing", json!({"annotations": null}), json!({"config": null}), None),
    ] {
        assert_eq!(built(&manifest, &config), expected, "{id}");
    }
    let entry = |annotations: Value| -> Entry {
        serde_json::from_value(json!({
            "digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"},
            "annotations": annotations,
        }))
        .expect("an entry")
    };
    for (id, index, children, expected) in [
        (
            "warehouses/6.7-7",
            json!({"annotations": {OCI: at("03")}}),
            vec![(entry(json!({})), time("01"))],
            time("03"),
        ),
        (
            "warehouses/6.7-8",
            json!({}),
            vec![(entry(json!({OCI: at("02")})), time("01"))],
            time("02"),
        ),
        (
            "warehouses/6.7-9",
            json!({}),
            vec![(entry(json!({})), time("01")), (entry(json!(null)), time("04"))],
            time("04"),
        ),
    ] {
        let index: Index = serde_json::from_value(index).expect("an index");
        assert_eq!(Metadata::index("sha256:0", &index, &children).created, expected, "{id}");
    }
}

#[test]
fn annotations_of_the_platform_overlay_the_index() {
    let entry = |annotations: Value| -> Entry {
        serde_json::from_value(json!({
            "digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
            "annotations": annotations,
        }))
        .expect("an entry")
    };
    let metadata = |base: Value, of_entry: Value| {
        let index: Index = serde_json::from_value(json!({"annotations": base})).expect("an index");
        Metadata::index("sha256:0", &index, &[(entry(of_entry), None)])
    };
    let platform = Platform::parse("linux/arm/v7");
    let other = Platform::parse("linux/arm");
    let base = json!({"k1": "1", "k2": "2"});
    let overlay = json!({"k2": "2'", "k3": "3"});
    let both = metadata(base, overlay.clone());
    let plain = annotations(&[("k1", "1"), ("k2", "2")]);
    // warehouses/6.6-1
    assert_eq!(
        both.annotations(platform.as_ref()),
        annotations(&[("k1", "1"), ("k2", "2'"), ("k3", "3")])
    );
    // warehouses/6.6-2
    assert_eq!(both.annotations(None), plain);
    // warehouses/6.6-3
    assert_eq!(both.annotations(other.as_ref()), plain);
    // warehouses/6.6-4
    assert_eq!(
        metadata(json!(null), overlay).annotations(platform.as_ref()),
        annotations(&[("k2", "2'"), ("k3", "3")])
    );
    assert!(both.serves(platform.as_ref()) && both.serves(None) && !both.serves(other.as_ref()));
    let single = Metadata::image("d", &Manifest::default(), &Config::default());
    assert!(single.serves(None) && !single.serves(platform.as_ref()), "no platform list");
    assert_eq!((Platform::parse("linux"), Platform::parse("linux/")), (None, None));
}

struct Bench {
    registry: Registry,
    images: Images,
}

impl Bench {
    async fn start(policy: CacheByTag) -> Self {
        let registry = Registry::start(RegistryOptions::default()).await.expect("a registry");
        let client = ClientSettings {
            mirrors: format!("docker.io={}", registry.url()).parse().expect("a mirror"),
            retry_delay: Duration::from_millis(1),
            ..ClientSettings::default()
        };
        let settings = Settings { client, cache_by_tag: policy, ..Settings::default() };
        Self { registry, images: Images::new(settings).expect("discovery") }
    }

    fn push(&self, tag: &str, created: &str, platforms: &[&str]) -> String {
        let image = NewImage {
            created: created.parse().ok(),
            platforms: platforms.iter().map(|p| (*p).to_owned()).collect(),
            content: created.to_owned(),
            ..NewImage::default()
        };
        self.registry.push_tag("owner/app", tag, &image).expect("published")
    }

    /// Discovery after a restart: only what is in the folder is known.
    fn restarted(&self, folder: &std::path::Path) -> Images {
        let client = ClientSettings {
            mirrors: format!("docker.io={}", self.registry.url()).parse().expect("a mirror"),
            retry_delay: Duration::from_millis(1),
            ..ClientSettings::default()
        };
        let cache_folder = Some(folder.to_owned());
        Images::new(Settings { client, cache_folder, ..Settings::default() }).expect("discovery")
    }

    async fn tags(&self, fields: Value) -> Vec<String> {
        let found = self.images.discover(&subscription(fields), None).await.expect("found");
        found.result.references.into_iter().map(|r| r.tag).collect()
    }
}

#[tokio::test]
async fn an_unchanged_repository_costs_a_look_at_each_kept_tag() {
    let bench = Bench::start(CacheByTag::Allow).await;
    let digest = bench.push("1.0.0", "2024-01-01T00:00:00Z", &[]);
    bench.push("1.1.0", "2024-02-01T00:00:00Z", &[]);
    bench.push("latest", "2024-02-01T00:00:00Z", &[]);
    let found = bench.images.discover(&subscription(json!({})), None).await.expect("found");
    let references = &found.result.references;
    assert_eq!(references.len(), 2);
    assert_eq!((references[1].tag.as_str(), &references[1].digest), ("1.0.0", &digest));
    assert_eq!(
        serde_json::to_value(&references[1].created_at).ok(),
        Some(json!("2024-01-01T00:00:00Z"))
    );
    assert_eq!((found.report.seen, found.result.repo_url.as_str()), (3, PUBLIC));
    assert_eq!(
        bench.registry.traffic().total(),
        1 + 2 * 2,
        "a listing, two manifests, two configs"
    );
    bench.registry.traffic().clear();
    assert_eq!(bench.tags(json!({})).await, ["1.1.0", "1.0.0"]);
    let traffic = bench.registry.traffic();
    assert_eq!((traffic.count("HEAD", ""), traffic.count("GET", "")), (2, 1));
    // A tag that moved is read again, the others are not.
    traffic.clear();
    let moved = bench.push("1.0.0", "2024-03-01T00:00:00Z", &[]);
    let found = bench.images.discover(&subscription(json!({})), None).await.expect("found");
    assert_eq!(found.result.references[1].digest, moved);
    assert_eq!((traffic.count("HEAD", ""), traffic.count("GET", "/blobs/")), (2, 1));
}

#[tokio::test]
async fn platforms_and_limits() {
    let bench = Bench::start(CacheByTag::Allow).await;
    bench.push("2.0.0", "2024-01-01T00:00:00Z", &["linux/arm64"]);
    bench.push("1.0.0", "2024-02-01T00:00:00Z", &["linux/amd64", "linux/arm64"]);
    bench.push("0.9.0", "2024-03-01T00:00:00Z", &[]);
    // warehouses/6.3-3
    assert_eq!(
        bench.tags(json!({"platform": "linux/amd64", "discoveryLimit": 1})).await,
        ["1.0.0"]
    );
    assert_eq!(bench.tags(json!({"discoveryLimit": 2})).await, ["2.0.0", "1.0.0"]);
    let fields = json!({"imageSelectionStrategy": "NewestBuild"});
    assert_eq!(bench.tags(fields).await, ["0.9.0", "1.0.0", "2.0.0"]);
    let fields = json!({"platform": "linux/s390x"});
    let found = bench.images.discover(&subscription(fields), None).await.expect("found");
    assert_eq!(
        found.report.to_string(),
        "3 tags seen: 3 have no image for the platform \"linux/s390x\" (for example \"2.0.0\")"
    );
}

#[tokio::test]
async fn a_followed_tag() {
    let bench = Bench::start(CacheByTag::Force).await;
    let first = bench.push("latest", "2024-01-01T00:00:00Z", &[]);
    let fields = json!({"imageSelectionStrategy": "Digest", "constraint": "latest"});
    let found = bench.images.discover(&subscription(fields.clone()), None).await.expect("found");
    assert_eq!(found.result.references[0].digest, first);
    let second = bench.push("latest", "2024-02-01T00:00:00Z", &[]);
    let found = bench.images.discover(&subscription(fields), None).await.expect("found");
    assert_eq!(found.result.references[0].digest, second, "never cached by tag");
    // The first half of warehouses 6.3's case on Digest with an unknown tag.
    assert_eq!(
        bench.tags(json!({"imageSelectionStrategy": "Digest", "constraint": "no"})).await,
        [""; 0]
    );
}

#[tokio::test]
async fn caching_by_tag() {
    let bench = Bench::start(CacheByTag::Require).await;
    bench.push("1.0.0", "2024-01-01T00:00:00Z", &[]);
    let error = bench.images.discover(&subscription(json!({})), None).await.expect_err("refused");
    assert!(error.to_string().starts_with("caching image metadata by tag is required"), "{error}");
    bench.tags(json!({"cacheByTag": true})).await;
    bench.registry.traffic().clear();
    bench.tags(json!({"cacheByTag": true})).await;
    assert_eq!(bench.registry.traffic().count("", ""), 1, "the listing alone");
}

#[tokio::test]
async fn a_failure_names_the_repository() {
    let bench = Bench::start(CacheByTag::Allow).await;
    let error = bench.images.discover(&subscription(json!({})), None).await.expect_err("missing");
    let text = error.to_string();
    assert!(
        text.starts_with("error discovering newest applicable images \"docker.io/owner/app\": error listing tags: error listing tags for repo URL index.docker.io/owner/app: GET https://index.docker.io/v2/owner/app/tags/list?n=1000: 404 Not Found"),
        "{text}"
    );
    assert_eq!(error.class(), ErrorClass::NotFound);
    bench.push("1.0.0", "2024-01-01T00:00:00Z", &[]);
    bench.registry.traffic().fail(sandbox::registry::Fault {
        status: 403,
        path_contains: "/blobs/".into(),
        times: 1,
        ..Default::default()
    });
    let error = bench.images.discover(&subscription(json!({})), None).await.expect_err("refused");
    let text = error.to_string();
    assert!(
        text.contains("error getting images by tags: error retrieving image with tag \"1.0.0\": "),
        "{text}"
    );
    assert_eq!(error.class(), ErrorClass::Auth);
}

#[test]
fn webhooks_ask_by_tag() {
    for (fields, tag, expected) in [
        (json!({"constraint": "^1"}), "v1.2.3", true),
        (json!({"constraint": "^1"}), "v1.2", false),
        (json!({"constraint": "^1"}), "2.0.0", false),
        (json!({"ignoreTagsRegexes": ["debug"]}), "1.0.0-debug", false),
        (json!({"imageSelectionStrategy": "NewestBuild"}), "main", true),
        (json!({"imageSelectionStrategy": "Lexical", "allowTagsRegexes": ["^n"]}), "main", false),
        (json!({"imageSelectionStrategy": "Digest", "constraint": "latest"}), "latest", true),
        (json!({"imageSelectionStrategy": "Digest", "constraint": "latest"}), "main", false),
    ] {
        let matches = matches_tag(&subscription(fields.clone()), tag);
        assert_eq!(matches.ok(), Some(expected), "{fields} {tag}");
    }
    assert!(matches_tag(&subscription(json!({"constraint": "latest"})), "1.0.0").is_err());
}

#[tokio::test]
async fn what_is_known_survives_a_restart() {
    let bench = Bench::start(CacheByTag::Allow).await;
    for tag in ["1.0.0", "1.1.0"] {
        bench.push(tag, "2024-01-01T00:00:00Z", &["linux/amd64", "linux/arm64"]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fields = json!({"imageSelectionStrategy": "NewestBuild"});
    let before = bench.restarted(folder.path());
    let before = before.discover(&subscription(fields.clone()), None).await.expect("found");
    assert_eq!(before.requests, bench.registry.traffic().total());
    let traffic = bench.registry.traffic();
    traffic.clear();
    let images = bench.restarted(folder.path());
    let after = images.discover(&subscription(fields.clone()), None).await.expect("found");
    assert_eq!(after.result, before.result);
    assert_eq!((traffic.count("HEAD", ""), traffic.count("GET", "")), (2, 1));
    assert_eq!(after.requests, 3);
    // With cacheByTag the listing is enough.
    traffic.clear();
    let by_tag = json!({"imageSelectionStrategy": "NewestBuild", "cacheByTag": true});
    let images = bench.restarted(folder.path());
    let after = images.discover(&subscription(by_tag), None).await.expect("found");
    assert_eq!((after.result, traffic.count("", "")), (before.result.clone(), 1));
    // What is damaged on disk is got again.
    for entry in std::fs::read_dir(folder.path()).expect("entries") {
        std::fs::write(entry.expect("an entry").path(), "damaged").expect("written");
    }
    let images = bench.restarted(folder.path());
    let after = images.discover(&subscription(fields), None).await.expect("found");
    assert_eq!(after.result, before.result);
}

#[tokio::test]
async fn a_tag_that_vanishes_is_left_out_and_told() {
    let bench = Bench::start(CacheByTag::Allow).await;
    for tag in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
        bench.push(tag, "2024-01-01T00:00:00Z", &[]);
    }
    let gone = |path: &str, times: usize| {
        bench.registry.traffic().fail(sandbox::registry::Fault {
            status: 404,
            path_contains: path.into(),
            times,
            ..Default::default()
        });
    };
    // Between the listing and the manifest.
    gone("/manifests/1.3.0", 1);
    let fields = json!({"discoveryLimit": 2});
    let found = bench.images.discover(&subscription(fields.clone()), None).await.expect("found");
    let tags: Vec<&str> = found.result.references.iter().map(|r| r.tag.as_str()).collect();
    assert_eq!(tags, ["1.2.0", "1.1.0"], "the next one takes its place");
    assert_eq!(
        found.report.to_string(),
        "4 tags seen: 1 were removed while they were looked at (for example \"1.3.0\")"
    );
    // Before the look at its digest.
    gone("/manifests/1.2.0", 1);
    assert_eq!(bench.tags(json!({"discoveryLimit": 2})).await, ["1.3.0", "1.1.0"]);
    // After its manifest: a part is missing, and so is the tag.
    bench.push("1.3.0", "2024-05-01T00:00:00Z", &[]);
    gone("/blobs/", 1);
    let traffic = bench.registry.traffic();
    let error = bench.images.discover(&subscription(fields), None).await.expect_err("a part");
    assert!(error.to_string().contains("/blobs/sha256:"), "the tag is there still: {error}");
    gone("/blobs/", 1);
    // Its digest and its manifest are there, at the second look it is not.
    traffic.fail(sandbox::registry::Fault {
        status: 404,
        path_contains: "/manifests/1.3.0".into(),
        after: 2,
        times: 1,
        ..Default::default()
    });
    let newest = json!({"imageSelectionStrategy": "NewestBuild", "allowTagsRegexes": ["3"]});
    let found = bench.images.discover(&subscription(newest), None).await.expect("found");
    assert!(found.result.references.is_empty());
    assert!(found.report.to_string().contains("1 were removed while"), "{}", found.report);
}

#[tokio::test]
async fn no_more_is_read_than_is_needed() {
    let bench = Bench::start(CacheByTag::Allow).await;
    let tags: Vec<String> = (0..5_000).map(|n| format!("1.{}.{}", n / 100, n % 100)).collect();
    for tag in &tags {
        bench.registry.push_tag("owner/app", tag, &NewImage::default()).expect("published");
    }
    let traffic = bench.registry.traffic();
    let found = bench.images.discover(&subscription(json!({})), None).await.expect("found");
    assert_eq!(found.result.references.len(), 20);
    assert_eq!(traffic.count("GET", "/tags/list"), 5);
    assert_eq!((traffic.count("GET", "/manifests/"), traffic.count("GET", "/blobs/")), (20, 20));
    traffic.clear();
    let found = bench.images.discover(&subscription(json!({})), None).await.expect("found");
    assert_eq!((found.requests, traffic.count("GET", "/tags/list")), (25, 5));
    assert_eq!(traffic.count("HEAD", "/manifests/"), 20);
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

impl Bench {
    fn put(&self, tag: Option<&str>, content_type: &str, manifest: &Value) -> String {
        self.registry.push_manifest("owner/app", tag, content_type, manifest.to_string())
    }

    fn config(&self, config: &Value) -> Value {
        let text = config.to_string();
        let size = text.len();
        json!({"digest": self.registry.push_blob("owner/app", text), "size": size})
    }
}

#[tokio::test]
async fn everything_that_a_tag_may_name() {
    use base64::Engine;
    let at = "2024-01-01T00:00:00Z";
    let lexical = json!({"imageSelectionStrategy": "Lexical"});
    let created = json!({"created": at});
    let embedded = base64::engine::general_purpose::STANDARD.encode(created.to_string());
    for (name, content_type, requests, manifest) in [
        ("docker", DOCKER, 3, json!({"config": "CONFIG"})),
        ("oci", OCI, 3, json!({"config": "CONFIG"})),
        ("embedded", OCI, 2, json!({"config": "CONFIG", "data": embedded})),
        ("no config", OCI, 2, json!({})),
        (
            "the empty config",
            OCI,
            2,
            json!({"config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}),
        ),
        ("an artifact's", OCI, 3, json!({"config": "TEXT"})),
        ("a list", DOCKER_LIST, 4, json!({"manifests": ["linux/amd64", "unknown/unknown"]})),
        ("an index", OCI_INDEX, 4, json!({"manifests": ["linux/amd64", ""]})),
    ] {
        let bench = Bench::start(CacheByTag::Allow).await;
        let mut manifest = manifest;
        if manifest["config"] == "CONFIG" {
            manifest["config"] = bench.config(&created);
            manifest["config"]["data"] = manifest["data"].take();
        } else if manifest["config"] == "TEXT" {
            let digest = bench.registry.push_blob("owner/app", "no JSON");
            manifest["config"] =
                json!({"digest": digest, "size": 7, "mediaType": "application/vnd.x.config"});
        }
        let child = json!({"config": bench.config(&created)});
        let child = bench.put(None, OCI, &child);
        for entry in manifest["manifests"].as_array_mut().into_iter().flatten() {
            let platform = entry.as_str().unwrap_or_default().split_once('/');
            let platform = platform.map(|(os, a)| json!({"os": os, "architecture": a}));
            *entry = json!({"digest": child, "platform": platform});
        }
        let digest = bench.put(Some("t"), content_type, &manifest);
        let found = bench.images.discover(&subscription(lexical.clone()), None).await;
        let found = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        let references = &found.result.references;
        assert_eq!(
            (references[0].digest.as_str(), references.len()),
            (digest.as_str(), 1),
            "{name}"
        );
        assert_eq!(found.requests, requests, "{name}");
        let dated = !matches!(name, "no config" | "the empty config" | "an artifact's");
        assert_eq!(references[0].created_at.is_some(), dated, "{name}");
    }
}

#[tokio::test]
async fn what_no_image_may_be() {
    let lexical = json!({"imageSelectionStrategy": "Lexical"});
    for (name, content_type, manifest, expected) in [
        (
            "schema 1",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            json!({}),
            "unknown artifact type: application/vnd.docker.distribution.manifest.v1+prettyjws",
        ),
        (
            "a parameter",
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            json!({}),
            "unknown artifact type: application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        ),
        (
            "no image",
            OCI_INDEX,
            json!({"manifests": []}),
            "empty V2 manifest list or OCI index is not supported",
        ),
        (
            "attestations alone",
            OCI_INDEX,
            json!({"manifests": [{"digest": "x", "platform": {"os": "unknown", "architecture": "unknown"}}]}),
            "empty V2 manifest list or OCI index is not supported",
        ),
        (
            "itself, by its tag",
            OCI_INDEX,
            json!({"manifests": [{"digest": "t", "platform": {"os": "linux", "architecture": "amd64"}}]}),
            "names \"t\" where a digest must stand",
        ),
        ("no JSON", OCI, json!("text"), "cannot be read"),
        ("a config of another size", OCI, json!({"config": {"size": 3}}), "has 2 bytes and not 3"),
        (
            "an embedded config of another digest",
            OCI,
            json!({"config": {"size": 2, "data": "e30="}, "other": true}),
            "has digest sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        ),
    ] {
        let bench = Bench::start(CacheByTag::Allow).await;
        let mut manifest = manifest;
        if manifest["config"].is_object() {
            // `[]` is read for its size and refused; `{}` would be the empty one.
            let text = if manifest["other"] == true { "{ }" } else { "[]" };
            manifest["config"]["digest"] = json!(bench.registry.push_blob("owner/app", text));
        }
        bench.put(Some("t"), content_type, &manifest);
        let error = bench.images.discover(&subscription(lexical.clone()), None).await;
        let error = error.expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains("for tag \"t\" from repo URL index.docker.io/owner/app"), "{error}");
    }
}

#[tokio::test]
async fn indexes_in_indexes_end() {
    let bench = Bench::start(CacheByTag::Allow).await;
    let mut inner = bench.put(None, OCI, &json!({}));
    for depth in 0..5 {
        let entry = json!({"digest": inner, "platform": {"os": "linux", "architecture": "amd64"}});
        inner = bench.put(Some(&format!("d{depth}")), OCI_INDEX, &json!({"manifests": [entry]}));
    }
    let of = |tag: &str| json!({"imageSelectionStrategy": "Digest", "constraint": tag});
    assert_eq!(bench.tags(of("d2")).await, ["d2"]);
    let error = bench.images.discover(&subscription(of("d4")), None).await;
    // Those within are known by now, and need not be read.
    assert!(error.is_ok());
    let fresh = bench.restarted(tempfile::tempdir().expect("a folder").path());
    let error = fresh.discover(&subscription(of("d4")), None).await.expect_err("too deep");
    assert!(error.to_string().contains("or lies too deep"), "{error}");
}

/// `warehouses/6.6-5`: what descriptors say of an image counts for nothing
/// beside what the manifest or index says of itself; only the entry of the
/// platform that is asked for is read over the index.
#[tokio::test]
async fn annotations_of_descriptors_are_not_those_of_the_image() {
    let bench = Bench::start(CacheByTag::Allow).await;
    let mut config = bench.config(&json!({"created": "2024-01-01T00:00:00Z"}));
    config["annotations"] = json!({"k1": "descriptor", "k2": "descriptor"});
    let layer = json!({"digest": "sha256:2", "size": 1, "annotations": {"k1": "layer"}});
    let manifest = json!({"config": config, "layers": [layer], "annotations": {"k1": "manifest"}});
    let child = bench.put(Some("single"), OCI, &manifest);
    let entry = json!({
        "digest": child, "platform": {"os": "linux", "architecture": "amd64"},
        "annotations": {"k1": "entry", "k3": "entry"},
    });
    let index = json!({"manifests": [entry], "annotations": {"k1": "index"}});
    bench.put(Some("wide"), OCI_INDEX, &index);
    for (tag, platform, expected) in [
        ("single", "", vec![("k1", "manifest")]),
        ("wide", "", vec![("k1", "index")]),
        ("wide", "linux/amd64", vec![("k1", "entry"), ("k3", "entry")]),
    ] {
        let fields =
            json!({"imageSelectionStrategy": "Digest", "constraint": tag, "platform": platform});
        let found = bench.images.discover(&subscription(fields), None).await.expect("found");
        let said = &found.result.references[0].annotations;
        assert_eq!(*said, annotations(&expected), "{tag} {platform}");
    }
}
