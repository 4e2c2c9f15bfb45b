use std::time::Duration;

use api::ChartSubscription;
use sandbox::registry::{NewImage, Registry, RegistryOptions};

use super::*;
use crate::error::ErrorClass;
use crate::registry::{Client, ClientSettings};

fn subscription(url: &str, name: &str, constraint: &str) -> ChartSubscription {
    ChartSubscription {
        repo_url: url.to_owned(),
        name: name.to_owned(),
        semver_constraint: constraint.to_owned(),
        ..ChartSubscription::default()
    }
}

/// Discovery for which Docker Hub is that registry.
fn charts(registry: &Registry) -> Charts {
    let mirrors = format!("docker.io={}", registry.url()).parse().expect("a mirror");
    let settings = ClientSettings {
        mirrors,
        retry_delay: Duration::from_millis(1),
        ..ClientSettings::default()
    };
    Charts::new(Client::new(settings).expect("a client"), ChartSettings::default())
}

#[test]
fn versions_are_selected() {
    let https = "https://charts.example.com";
    let oci = "oci://ghcr.io/owner/charts/app";
    for (id, url, constraint, limit, found, expected) in [
        (
            "warehouses/7-1",
            https,
            "",
            0,
            &["1.0.0", "1.1.0", "1.2.0"][..],
            &["1.2.0", "1.1.0", "1.0.0"][..],
        ),
        ("warehouses/7-2", https, "=4.5.6", 0, &["1.2.3", "4.5.6", "7.8.9"], &["4.5.6"]),
        ("warehouses/7-3", https, ">=4.5.6 <7.8.9", 0, &["1.2.3", "4.5.6", "7.8.9"], &["4.5.6"]),
        (
            "warehouses/7-4",
            https,
            "1.2.x-0",
            0,
            &["1.2.3-alpha.1", "1.2.3-beta.2", "1.3.0"],
            &["1.2.3-beta.2", "1.2.3-alpha.1"],
        ),
        ("warehouses/7-5", https, "1.2.x", 0, &["1.2.3", "1.2.4", "1.3.0"], &["1.2.4", "1.2.3"]),
        ("warehouses/7-6", https, "", 2, &["3.0.0", "2.0.0", "1.0.0"], &["3.0.0", "2.0.0"]),
        ("warehouses/7-7", oci, "", 0, &["1.0.0_build.1"], &["1.0.0+build.1"]),
        (
            "classic is lenient",
            https,
            "",
            0,
            &["v1.2.3", "1.2", "x", "1.2"],
            &["v1.2.3", "1.2", "1.2"],
        ),
        ("a registry is strict", oci, "", 0, &["v1.2.3", "1.2", "latest", "1.2.3"], &["1.2.3"]),
    ] {
        let subscription =
            ChartSubscription { discovery_limit: limit, ..subscription(url, "app", constraint) };
        let selector = Selector::new(&subscription).expect("a selector");
        assert_eq!(selector.select(found.iter().copied()).0, expected, "{id}");
    }
    let twenty_five: Vec<String> = (0..25).map(|n| format!("1.0.{n}")).collect();
    let selector = Selector::new(&subscription(https, "app", "")).expect("a selector");
    assert_eq!(selector.select(twenty_five.iter().map(String::as_str)).0.len(), 20, "unset is 20");
}

#[test]
fn what_was_dropped_is_told() {
    let selector =
        Selector::new(&subscription("https://charts.example.com", "app", "^1")).expect("one");
    let (_, report) = selector.select(["latest", "1.0.0", "2.0.0", "main"]);
    assert_eq!(
        report.to_string(),
        "4 versions seen: 2 are no semantic version (for example \"latest\"), 1 do not meet the constraint \"^1\" (for example \"2.0.0\")"
    );
    assert_eq!(VersionReport::default().to_string(), "the repository has no version of the chart");
}

#[test]
fn webhooks_ask_by_version() {
    for (constraint, version, expected) in [
        ("", "1.2.3", true),
        ("", "latest", false),
        ("^1", "v1.2", true),
        ("^1", "2.0.0", false),
        ("^1", "1.2.3-rc.1", false),
    ] {
        let subscription = subscription("oci://ghcr.io/a/b", "", constraint);
        let matches = matches_version(&subscription, version);
        assert_eq!(matches.ok(), Some(expected), "{constraint} {version}");
    }
    assert!(matches_version(&subscription("oci://ghcr.io/a/b", "", "latest"), "1.0.0").is_err());
}

#[test]
fn what_names_no_chart() {
    for (url, constraint, expected) in [
        ("ftp://x", "", "repository URL \"ftp://x\" is invalid"),
        ("ghcr.io/a/b", "", "repository URL \"ghcr.io/a/b\" is invalid"),
        ("OCI://ghcr.io/a/b", "", "repository URL \"OCI://ghcr.io/a/b\" is invalid"),
        (
            "oci://ghcr.io/a/b",
            "latest",
            "error building base selector: error parsing constraint \"latest\": improper constraint: latest",
        ),
    ] {
        let error = Selector::new(&subscription(url, "", constraint)).expect_err("refused");
        assert!(error.to_string().starts_with(expected), "{url}: {error}");
        assert_eq!(error.class(), ErrorClass::Config);
    }
    for (url, expected) in [
        ("oci://ghcr.io/owner/charts/app", "ghcr.io/owner/charts/app"),
        ("oci://docker.io/owner/app:1.2.3", "index.docker.io/owner/app"),
        ("oci://registry-1.docker.io/owner/app", "index.docker.io/owner/app"),
        ("oci://localhost:5000/a@sha256:00", "localhost:5000/a"),
        ("oci://h/a:1@sha256:00", "h/a"),
    ] {
        assert_eq!(oci::address(url).map(|a| a.to_string()).ok().as_deref(), Some(expected));
    }
    // warehouses/7-10
    let error = oci::address("https://charts.example.com/app").expect_err("refused");
    assert!(
        error
            .to_string()
            .starts_with("error parsing repository URL \"https://charts.example.com/app\": "),
        "{error}"
    );
    for url in ["oci://ghcr.io", "oci://", "oci:///a", "oci://h/A", "oci://h/a/", "oci://u@h/a"] {
        assert!(oci::address(url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_registry_holds_a_chart() {
    let registry = Registry::start(RegistryOptions::default()).await.expect("a registry");
    for tag in ["1.0.0", "1.2.0_build.1", "2.0.0-rc.1", "latest"] {
        registry.push_tag("owner/app", tag, &NewImage::default()).expect("published");
    }
    let charts = charts(&registry);
    let url = "oci://docker.io/owner/app";
    let found = charts.discover(&subscription(url, "", ">=1"), None).await.expect("found");
    assert_eq!(found.result.versions, ["1.2.0+build.1", "1.0.0"]);
    assert_eq!((found.report.seen, found.result.repo_url.as_str()), (4, url));
    assert_eq!(found.result.semver_constraint, ">=1");
    let error = charts
        .discover(&subscription("oci://docker.io/owner/none", "", ""), None)
        .await
        .expect_err("missing");
    assert!(
        error.to_string().starts_with(
            "error discovering chart versions from helm chart repo \"oci://docker.io/owner/none\": error retrieving versions of chart from repository \"oci://docker.io/owner/none\": GET https://index.docker.io/v2/owner/none/tags/list?n=1000: 404 Not Found"
        ),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[tokio::test]
async fn a_classic_repository_is_read_when_it_changed() {
    let registry = Registry::start(RegistryOptions::default()).await.expect("a registry");
    registry.push_index("stable", &[("app", &["1.0.0", "v1.1.0", "main"]), ("db", &["2.0.0"])]);
    let charts = charts(&registry);
    let url = format!("{}/stable/", registry.url());
    let app = subscription(&url, "app", "");
    let found = charts.discover(&app, None).await.expect("found");
    assert_eq!(found.result.versions, ["v1.1.0", "1.0.0"]);
    assert_eq!((found.report.seen, found.requests), (3, 1));
    assert_eq!((found.result.name.as_str(), &found.result.repo_url), ("app", &url));
    let statuses = || -> Vec<u16> {
        let requests = registry.traffic().requests();
        registry.traffic().clear();
        requests.iter().map(|r| r.status).collect()
    };
    assert_eq!(statuses(), [200]);
    // Another chart of the same index: it is not read again.
    let found = charts.discover(&subscription(&url, "db", ""), None).await.expect("found");
    assert_eq!((found.result.versions, statuses()), (vec!["2.0.0".to_owned()], vec![304]));
    // A chart that is not there has no versions, which is no error.
    let found = charts.discover(&subscription(&url, "none", ""), None).await.expect("found");
    assert!(found.result.versions.is_empty());
    assert_eq!(found.report.to_string(), "the repository has no version of the chart");
    // By the time of the last change alone.
    registry.traffic().without_etags();
    statuses();
    registry.push_index("new", &[("app", &["1.0.0"])]);
    let new = subscription(&format!("{}/new", registry.url()), "app", "");
    for _ in 0..2 {
        charts.discover(&new, None).await.expect("found");
    }
    assert_eq!(statuses(), [200, 304]);
    registry.push_index("stable", &[("app", &["1.2.0"])]);
    let found = charts.discover(&app, None).await.expect("found");
    assert_eq!((found.result.versions, statuses()), (vec!["1.2.0".to_owned()], vec![200]));
}

#[tokio::test]
async fn who_comes_together_reads_one_answer() {
    let registry = Registry::start(RegistryOptions::default()).await.expect("a registry");
    registry.push_index("stable", &[("app", &["1.0.0"])]);
    let charts = charts(&registry);
    let app = subscription(&format!("{}/stable", registry.url()), "app", "");
    registry.traffic().delay(Duration::from_millis(200));
    let all = (0..30).map(|_| charts.discover(&app, None));
    for found in futures::future::join_all(all).await {
        assert_eq!(found.expect("found").result.versions, ["1.0.0"]);
    }
    assert_eq!(registry.traffic().total(), 2, "the first, and one for those who came meanwhile");
}

#[tokio::test]
async fn a_repository_may_want_a_name_and_password() {
    use credentials::{Credential, CredentialKind, Login, Secret, SecretRef, Source};
    use sandbox::registry::Access;
    let access = Access::Basic { username: "me".into(), password: "canary-pw".into() };
    let options = RegistryOptions { access, ..RegistryOptions::default() };
    let registry = Registry::start(options).await.expect("a registry");
    registry.push_index("stable", &[("app", &["1.0.0"])]);
    registry.push_chart("charts/app", "1.0.0").expect("published");
    let credential = Credential {
        kind: CredentialKind::Helm,
        login: Login::Basic { username: "me".into(), password: Secret::new("canary-pw") },
        source: Source::of_project(
            SecretRef { namespace: "p".into(), name: "creds".into(), uid: "u".into() },
            "",
        ),
    };
    let charts = charts(&registry);
    let classic = subscription(&format!("{}/stable", registry.url()), "app", "");
    let oci = subscription(&format!("oci://{}/charts/app", registry.addr), "", "");
    for subscription in [classic, oci] {
        let error = charts.discover(&subscription, None).await.expect_err("refused");
        assert_eq!(error.class(), ErrorClass::Auth);
        assert!(error.to_string().contains("kargo.akuity.io/cred-type: helm"), "{error}");
        let found = charts.discover(&subscription, Some(&credential)).await.expect("found");
        assert_eq!(found.result.versions, ["1.0.0"]);
        // What one asker may see is not kept for another.
        assert!(charts.discover(&subscription, None).await.is_err());
    }
}
