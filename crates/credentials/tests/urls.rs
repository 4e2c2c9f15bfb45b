//! The one form of a repository's URL (`credentials` 8), as look-ups use it.

use credentials::CredentialKind::{self, Git, Helm, Image};
use credentials::select::normalize;

/// Case, URLs as written, the one form; `None` where they stay as written.
type Case = (&'static str, &'static [&'static str], Option<&'static str>);

fn check(kind: CredentialKind, cases: &[Case]) {
    for (case, written, expected) in cases {
        for url in *written {
            assert_eq!(normalize(kind, url), expected.unwrap_or(url), "{case}: {url:?}");
        }
    }
}

#[test]
fn characters_that_are_not_printable_go() {
    let repo = Some("https://example.com/repo");
    check(
        Git,
        &[
            ("credentials/8.1-1", &["  https://example.com/repo  "], repo),
            ("credentials/8.1-2", &["\n\thttps://example.com/repo\t\n"], repo),
            (
                "credentials/8.1-3",
                &[
                    "\u{feff}https://example.com/repo",
                    "https://example.com/repo\u{feff}",
                    "https://exam\u{200b}ple.com/repo",
                    "https://example.com/\u{a0}repo",
                    "https://example.com/\u{2028}repo",
                ],
                repo,
            ),
            (
                "credentials/8.1-4",
                &["https://example.com/ myrepo"],
                Some("https://example.com/%20myrepo"),
            ),
            ("credentials/8.1-5", &["https://example.com/\trepo"], repo),
        ],
    );
    // Where no URL is made of it, the inner space is seen to stay.
    check(
        Helm,
        &[
            ("credentials/8.1-4", &["example.com/ myrepo"], None),
            ("credentials/8.1-6", &["   ", ""], Some("")),
        ],
    );
}

#[test]
fn git() {
    let github = Some("https://github.com/example/repo");
    check(
        Git,
        &[
            (
                "credentials/8.2-1",
                &[
                    "https://github.com/example/repo",
                    "https://github.com/example/repo/",
                    "https://github.com/example/repo.git",
                    "https://github.com/example/repo.git/",
                ],
                github,
            ),
            ("credentials/8.2-2", &["https://GitHub.com/Example/Repo"], github),
            ("credentials/8.2-3", &["https://foo:bar@github.com/example/repo.git"], github),
            (
                "credentials/8.2-4",
                &["https://localhost:8443/example/repo.git/"],
                Some("https://localhost:8443/example/repo"),
            ),
            (
                "credentials/8.2-5",
                &["https://foo:bar@localhost:8443/example/repo"],
                Some("https://localhost:8443/example/repo"),
            ),
            (
                "credentials/8.2-6",
                &["https://github.com", "https://github.com/", "https://foo:bar@github.com/"],
                Some("https://github.com"),
            ),
            ("credentials/8.2-7", &["https://not a url"], None),
            ("credentials/8.2-8", &["http://github.com/example/repo?foo=bar"], None),
            (
                "credentials/8.2-9",
                &["ssh://github.com/example/repo.git/"],
                Some("ssh://github.com/example/repo"),
            ),
            (
                "credentials/8.2-10",
                &["ssh://git@localhost:2222/example/repo.git"],
                Some("ssh://git@localhost:2222/example/repo"),
            ),
            (
                "credentials/8.2-11",
                &["ssh://git@git.example.com/"],
                Some("ssh://git@git.example.com"),
            ),
            (
                "credentials/8.2-12",
                &["ssh://not a url", "ssh://github.com/example/repo?foo=bar"],
                None,
            ),
            (
                "credentials/8.2-13",
                &["git@github.com:example/repo.git/"],
                Some("ssh://git@github.com/example/repo"),
            ),
            (
                "credentials/8.2-14",
                &["github.com:example/repo"],
                Some("ssh://github.com/example/repo"),
            ),
            ("credentials/8.2-15", &["git.example.com"], Some("ssh://git.example.com")),
            ("credentials/8.2-16", &["git@git.example.com"], Some("ssh://git@git.example.com")),
            ("credentials/8.2-17", &["git@h:/p"], Some("ssh://git@h//p")),
            ("credentials/8.2-18", &["example.com/foo"], None),
            ("credentials/8.2-19", &["not even remotely a url"], None),
            ("credentials/8.2-20", &[""], Some("")),
            (
                "credentials/8.2-21",
                &["https://github.com:443/a/b.git"],
                Some("https://github.com:443/a/b"),
            ),
            (
                "credentials/8.2-22",
                &["https://github.com/a/../b", "https://github.com//a/b", "https:///a/b"],
                None,
            ),
            (
                "credentials/8.2-23",
                &["https://github.com/a b/c.git"],
                Some("https://github.com/a%20b/c"),
            ),
            (
                "credentials/8.2-24",
                &["https://github.com/É/r"],
                Some("https://github.com/%C3%A9/r"),
            ),
            (
                "credentials/8.2-25",
                &["https://github.com/a%2Fb/c"],
                Some("https://github.com/a%2fb/c"),
            ),
            (
                "credentials/8.2-26",
                &["https://github.com/a%2Fb/c.git"],
                Some("https://github.com/a/b/c"),
            ),
            (
                "credentials/8.2-27",
                &["https://github.com/a+b/(c)'!*.git"],
                Some("https://github.com/a+b/%28c%29%27%21%2A"),
            ),
            ("credentials/8.2-28", &["https://github.com/.git"], Some("https://github.com/")),
            (
                "credentials/8.2-29",
                &[
                    "https://github.com/a/b?x",
                    "https://github.com/a/b%zz",
                    "https://github.com:abc/a",
                ],
                None,
            ),
            (
                "credentials/8.2-30",
                &["git@github.com:a/b?x=1"],
                Some("ssh://git@github.com/a/b?x=1"),
            ),
            (
                "credentials/8.2-30",
                &["git@github.com:a/b.git#frag"],
                Some("ssh://git@github.com/a/b#frag"),
            ),
            ("credentials/8.2-31", &["git@host:22/a/b.git"], Some("ssh://git@host/22/a/b")),
            ("credentials/8.2-32", &["user.name@host:a/b"], None),
            ("credentials/8.2-33", &["ftp://x/y"], Some("ssh://ftp///x/y")),
            ("credentials/8.2-33", &["file:///a/b"], Some("ssh://file////a/b")),
        ],
    );
}

#[test]
fn images() {
    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    check(
        Image,
        &[
            (
                "credentials/8.3-1",
                &[
                    "busybox",
                    "library/busybox",
                    "docker.io/busybox",
                    "docker.io/library/busybox",
                    "index.docker.io/busybox",
                    "index.docker.io/library/busybox",
                    "registry-1.docker.io/busybox",
                    "registry-1.docker.io/library/busybox",
                ],
                Some("busybox"),
            ),
            (
                "credentials/8.3-2",
                &["example/repo", "docker.io/example/repo", "index.docker.io/example/repo"],
                Some("example/repo"),
            ),
            ("credentials/8.3-3", &["ghcr.io/example/repo"], None),
            ("credentials/8.3-4", &["quay.io/Example/Repo"], Some("quay.io/example/repo")),
            ("credentials/8.3-5", &["ghcr.io/example/repo:v1"], Some("ghcr.io/example/repo")),
            ("credentials/8.3-6", &["my-registry.io:5000/image"], None),
            ("credentials/8.3-7", &["localhost/image"], None),
            ("credentials/8.3-8", &["invalid url"], None),
            ("credentials/8.3-9", &["Invalid URL"], None),
            ("credentials/8.3-11", &["ghcr.io/example/repo@sha256:abc"], None),
            ("credentials/8.3-12", &["A", "ghcr.io/A"], None),
            ("credentials/8.3-13", &["ghcr.io/Example/repo:"], None),
            ("credentials/8.3-14", &["http://Ghcr.io/a"], Some("http://ghcr.io/a")),
            ("credentials/8.3-15", &["ghcr.io:v1"], Some("ghcr.io")),
        ],
    );
    let digest = format!("ghcr.io/example/repo:v1@sha256:{HEX}");
    assert_eq!(normalize(Image, &digest), "ghcr.io/example/repo", "credentials/8.3-10");
    let longer = format!("ghcr.io/example/repo@sha512:{HEX}{HEX}");
    assert_eq!(normalize(Image, &longer), longer, "credentials/8.3-11");
}

#[test]
fn charts() {
    check(
        Helm,
        &[
            ("credentials/8.4-1", &[""], Some("")),
            (
                "credentials/8.4-2",
                &["repo", "  repo  ", "REpo", "oci://repo", "OCI://Repo", "  oci://repo  "],
                Some("repo"),
            ),
            (
                "credentials/8.4-3",
                &[
                    "oci://docker.io/example/repo",
                    "docker.io/example/repo",
                    "index.docker.io/example/repo",
                    "oci://registry-1.docker.io/example/repo",
                ],
                Some("example/repo"),
            ),
            ("credentials/8.4-4", &["oci://ghcr.io/org/chart"], Some("ghcr.io/org/chart")),
            ("credentials/8.4-5", &["oci://ghcr.io/org/chart/"], Some("ghcr.io/org/chart/")),
            ("credentials/8.4-6", &["https://charts.example.com"], None),
            (
                "credentials/8.4-7",
                &["https://Charts.Example.com/Path/"],
                Some("https://charts.example.com/path/"),
            ),
            ("credentials/8.4-8", &["https://host:8443/charts"], None),
            ("credentials/8.4-9", &["https://host:8080"], Some("https://host")),
            ("credentials/8.4-10", &["oci://ghcr.io/a/b:1.0.0"], Some("ghcr.io/a/b")),
            ("credentials/8.4-10", &["https://h/a:V1"], Some("https://h/a")),
            ("credentials/8.4-11", &["https://h/a?X=1"], Some("https://h/a?x=1")),
        ],
    );
}
