//! The cases of `warehouses` 4.2: the one form of an address.
#![allow(clippy::unwrap_used)]

use api::{Freight, freight_id, normalize_chart, normalize_git, normalize_image};
use serde_json::json;

#[test]
fn git_addresses() {
    for (case, url, expected) in [
        ("warehouses/4.2-1", "https://github.com/", "https://github.com"),
        (
            "warehouses/4.2-2",
            "https://foo:bar@localhost:8443/a/b.git/",
            "https://localhost:8443/a/b",
        ),
        ("warehouses/4.2-3", "HTTPS://GitHub.com/A/B", "https://github.com/a/b"),
        ("warehouses/4.2-4", "ssh://git@h:2222/a/b.git/", "ssh://git@h:2222/a/b"),
        ("warehouses/4.2-5", "git@github.com:a/b.git", "ssh://git@github.com/a/b"),
        ("warehouses/4.2-6", "github.com:a/b/", "ssh://github.com/a/b"),
        ("warehouses/4.2-7", "git.example.com", "ssh://git.example.com"),
        ("warehouses/4.2-8", "fake-repo", "ssh://fake-repo"),
        ("warehouses/4.2-9", "site/repo/x", "site/repo/x"),
        ("warehouses/4.2-10", "https://not a url", "https://not a url"),
        ("warehouses/4.2-11", "http://h/r?foo=bar", "http://h/r?foo=bar"),
        ("warehouses/4.2-12", "not even remotely a url", "not even remotely a url"),
    ] {
        assert_eq!(normalize_git(url), expected, "{case}");
    }
}

#[test]
fn image_addresses() {
    for (case, url, expected) in [
        ("warehouses/4.2-13", "busybox", "busybox"),
        ("warehouses/4.2-13", "library/busybox", "busybox"),
        ("warehouses/4.2-13", "docker.io/busybox", "busybox"),
        ("warehouses/4.2-13", "docker.io/library/busybox", "busybox"),
        ("warehouses/4.2-13", "index.docker.io/library/busybox", "busybox"),
        ("warehouses/4.2-13", "registry-1.docker.io/busybox", "busybox"),
        ("warehouses/4.2-14", "docker.io/example/repo", "example/repo"),
        ("warehouses/4.2-15", "ghcr.io/Example/Repo", "ghcr.io/example/repo"),
        ("warehouses/4.2-16", "ghcr.io/a/b:1.0", "ghcr.io/a/b"),
        ("warehouses/4.2-17", "localhost:5000/a", "localhost:5000/a"),
        ("warehouses/4.2-18", "localhost:5000/ab", "localhost:5000/ab"),
        ("warehouses/4.2-19", "invalid url", "invalid url"),
    ] {
        assert_eq!(normalize_image(url), expected, "{case}");
    }
}

#[test]
fn chart_addresses() {
    for (case, url, expected) in [
        ("warehouses/4.2-20", "oci://Repo", "repo"),
        ("warehouses/4.2-21", "  repo  ", "repo"),
        ("warehouses/4.2-22", "oci://registry-1.docker.io/example/repo", "example/repo"),
        ("warehouses/4.2-23", "https://charts.example.com", "https://charts.example.com"),
        ("warehouses/4.2-24", "https://Charts.example.com/Foo/", "https://charts.example.com/foo/"),
        (
            "warehouses/4.2-25",
            "https://charts.example.com:8443/foo",
            "https://charts.example.com:8443/foo",
        ),
        // The port reads as a tag.
        ("warehouses/4.2-26", "https://charts.example.com:8443", "https://charts.example.com"),
    ] {
        assert_eq!(normalize_chart(url), expected, "{case}");
    }
}

#[test]
fn a_port_that_reads_as_a_tag_shows_in_freight_ids_alone() {
    let case = "warehouses/4.2-27";
    let of = |url: &str| -> Freight {
        serde_json::from_value(json!({
            "metadata": {}, "origin": {"kind": "Warehouse", "name": "w"},
            "charts": [{"repoURL": url, "name": "n", "version": "1.0.0"}],
        }))
        .unwrap()
    };
    let (with, without) = (of("https://h.example:8443"), of("https://h.example"));
    assert_eq!(freight_id(&with), freight_id(&without), "{case}");
    assert_eq!(with.charts[0].repo_url, "https://h.example:8443", "{case}");
}
