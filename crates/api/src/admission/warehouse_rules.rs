//! What addresses and names in subscriptions look like (`warehouses` 1.5).
//! `\w` and `\d` are ASCII there, as in Go.

use std::sync::LazyLock;

use regex::Regex;

fn read(pattern: &str) -> Option<Regex> {
    Regex::new(&ascii(pattern)).ok()
}

/// A pattern whose `\w` and `\d` mean ASCII, inside brackets and outside.
fn ascii(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let class = match chars.next() {
                    Some('w') => "0-9A-Za-z_",
                    Some('d') => "0-9",
                    other => {
                        out.push('\\');
                        out.extend(other);
                        continue;
                    }
                };
                if in_class {
                    out.push_str(class);
                } else {
                    out.push_str(&format!("[{class}]"));
                }
            }
            '[' => {
                in_class = true;
                out.push(c);
            }
            ']' => {
                in_class = false;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

static GIT: LazyLock<Option<Regex>> = LazyLock::new(|| read(crate::subscription::GIT_URL));
static IMAGE: LazyLock<Option<Regex>> =
    LazyLock::new(|| read(r"^(\w+([\.-]\w+)*(:[\d]+)?/)?(\w+([\.-]\w+)*)(/\w+([\.-]\w+)*)*$"));
static CHART: LazyLock<Option<Regex>> =
    LazyLock::new(|| read(r"^(((https?)|(oci))://)([\w\d\.\-]+)(:[\d]+)?(/.*)*$"));
static BRANCH: LazyLock<Option<Regex>> =
    LazyLock::new(|| read(r"^[a-zA-Z0-9]([a-zA-Z0-9._/-]*[a-zA-Z0-9_-])?$"));
static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| read("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));

fn fits(pattern: &Option<Regex>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

/// Whether a text is the address of a Git repository.
pub fn is_git_url(url: &str) -> bool {
    fits(&GIT, url)
}

/// Whether a text is the address of an image repository.
pub fn is_image_url(url: &str) -> bool {
    fits(&IMAGE, url)
}

/// Whether a text is the address of a chart repository.
pub fn is_chart_url(url: &str) -> bool {
    fits(&CHART, url)
}

/// Whether a text is the name of a branch.
pub(super) fn is_branch(name: &str) -> bool {
    fits(&BRANCH, name)
}

/// Whether a text has the form of a DNS label, whatever its length.
pub(super) fn is_dns_label(name: &str) -> bool {
    fits(&LABEL, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        type Rule = fn(&str) -> bool;
        let cases: [(&str, Rule, &[&str], &[&str]); 16] = [
            ("warehouses/1.5-1", is_git_url, &[], &["https://github.com"]),
            ("warehouses/1.5-2", is_git_url, &["https://github.com/"], &[]),
            ("warehouses/1.5-3", is_git_url, &["https://foo:bar@github.com/x"], &[]),
            ("warehouses/1.5-4", is_git_url, &["http://github.com/a/b?foo=bar"], &[]),
            ("warehouses/1.5-5", is_git_url, &["ssh://git@git.example.com/"], &[]),
            ("warehouses/1.5-6", is_git_url, &[], &["ssh://git.example.com"]),
            ("warehouses/1.5-7", is_git_url, &["git@github.com:example/repo"], &[]),
            ("warehouses/1.5-8", is_git_url, &[], &["github.com:example/repo"]),
            ("warehouses/1.5-9", is_git_url, &[], &["git@git.example.com"]),
            ("warehouses/1.5-10", is_git_url, &[], &["https://not a url"]),
            ("warehouses/1.5-11", is_git_url, &[], &["/etc/passwd"]),
            ("classes are ASCII", is_git_url, &[], &["https://é.example.com/"]),
            (
                "warehouses/1.5-12",
                is_branch,
                &["foo/bar", "foo.bar", "release-0.58", "foo//bar", "foo..bar"],
                &["/foo", "foo/", ".foo", "foo.", ""],
            ),
            (
                "warehouses/1.5-13",
                is_image_url,
                &["repo", "library/ubuntu", "ghcr.io:443/a/b", "ghcr.io/a/b-c", "ghcr.io/a/b.c"],
                &[
                    "/a/b",
                    "ghcr.io/a/b/",
                    "ghcr.io//a/b",
                    "ghcr.io/a/b:tag",
                    "ghcr.io/a/b@sha256",
                    "",
                ],
            ),
            (
                "warehouses/1.5-14",
                is_chart_url,
                &[
                    "https://charts.example",
                    "https://charts.example/",
                    "https://charts.example/path",
                    "https://charts.example:8080/path",
                    "oci://ghcr.io/org/chart/",
                ],
                &["oci://", "http://", "ftp://x", "https://charts example"],
            ),
            ("names", is_dns_label, &["a", "a-1"], &["", "A", "-a", "a-", "a.b"]),
        ];
        for (case, rule, good, bad) in cases {
            for text in good {
                assert!(rule(text), "{case}: {text}");
            }
            for text in bad {
                assert!(!rule(text), "{case}: {text}");
            }
        }
    }
}
