//! One form for the many ways to write a repository's address (`api` 7.2).

use std::sync::LazyLock;

use regex::Regex;

use crate::go_url::GoUrl;

/// Drops what Go does not count as printable, then the blanks around.
fn sanitise(text: &str) -> String {
    let printable = |c: &char| {
        *c == ' '
            || !(c.is_control()
                || c.is_whitespace()
                || matches!(*c as u32,
                    0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
                    | 0x202a..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb
                    | 0xe0000..=0x10_ffff))
    };
    text.chars().filter(printable).collect::<String>().trim_matches(' ').to_owned()
}

/// Takes one `/` and then one `.git` from the end.
fn trim_repository(path: &mut Vec<u8>) {
    for ending in ["/".as_bytes(), b".git"] {
        if path.ends_with(ending) {
            path.truncate(path.len() - ending.len());
        }
    }
}

/// The one form of a Git repository's address: lower case, without
/// credentials, without `/` and `.git` at the end, `git@host:path` as
/// `ssh://`. What cannot be read is returned as it is.
pub fn normalize_git(url: &str) -> String {
    static SCP: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^((?:[0-9A-Za-z_-]+@)?[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*)(?::(.*))?$").ok()
    });
    let text = sanitise(&url.to_lowercase());
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web || text.starts_with("ssh://") {
        return match GoUrl::parse(&text) {
            Some(mut read) if read.query.as_deref().is_none_or(str::is_empty) => {
                if is_web {
                    read.user = None;
                }
                trim_repository(&mut read.path);
                read.to_string()
            }
            _ => url.to_owned(),
        };
    }
    let Some(found) = SCP.as_ref().and_then(|scp| scp.captures(&text)) else {
        return url.to_owned();
    };
    let host = found.get(1).map_or("", |m| m.as_str());
    let reference = found.get(2).map_or("", |m| m.as_str());
    let Some(mut read) = GoUrl::parse(reference) else { return url.to_owned() };
    trim_repository(&mut read.path);
    if read.path.is_empty() { format!("ssh://{host}") } else { format!("ssh://{host}/{read}") }
}

/// The one form of an image repository's address: without a tag, Docker Hub's
/// without its host and `library/`. What cannot be read is returned as it is.
pub fn normalize_image(url: &str) -> String {
    image(&sanitise(&url.to_lowercase())).unwrap_or_else(|| url.to_owned())
}

fn image(text: &str) -> Option<String> {
    let tag_fits = |t: &str| {
        (1..=128).contains(&t.len())
            && t.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    let (base, digest) = match text.split_once('@') {
        Some((base, digest)) => (base, Some(digest)),
        None => (text, None),
    };
    let is_digest = |digest: &str| {
        digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return None;
    }
    // A `:` after the last `/` begins a tag, any other a port.
    let base = match base.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => tag_fits(tag).then_some(name)?,
        _ => base,
    };
    let (registry, repository) = match base.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (host, path),
        _ => ("index.docker.io", base),
    };
    let host_fits = registry.split_once(':').map_or((registry, None), |(h, p)| (h, Some(p)));
    if !host_fits.0.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        || host_fits.1.is_some_and(|p| !p.chars().all(|c| c.is_ascii_digit()))
    {
        return None;
    }
    if !(2..=255).contains(&repository.len())
        || !repository
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c))
    {
        return None;
    }
    if matches!(registry, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        return Some(repository.to_owned());
    }
    Some(format!("{registry}/{repository}"))
}

/// The one form of a chart repository's address. What cannot be read is
/// returned as it is.
pub fn normalize_chart(url: &str) -> String {
    let text = sanitise(url);
    if GoUrl::parse(&text).is_none() {
        return url.to_owned();
    }
    let lower = text.to_lowercase();
    let address = lower.strip_prefix("oci://").unwrap_or(&lower);
    image(&sanitise(&address.to_lowercase())).unwrap_or_else(|| address.to_owned())
}

/// Whether the text is an address with a scheme, as Go reads it: what
/// `format: uri` asks for in step configs (`steps-git` 2 rule 8).
/// `git@host:path` is none.
pub fn is_uri(text: &str) -> bool {
    !text.contains('\\') && GoUrl::parse(text).is_some_and(|url| !url.scheme.is_empty())
}

/// Joins with `/` and cleans the result by its text: no doubled slash, no `.`
/// and `..`, none at the end.
pub fn join_path(parts: &[&str]) -> String {
    let joined = parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/");
    if joined.is_empty() {
        return String::new();
    }
    let rooted = joined.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => match kept.last() {
                Some(&last) if last != ".." => {
                    kept.pop();
                }
                _ if rooted => {}
                _ => kept.push(".."),
            },
            part => kept.push(part),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_addresses() {
        let cases = [
            (
                "api/git-url-G1",
                "https://github.com/example/repo.git/",
                "https://github.com/example/repo",
            ),
            (
                "api/git-url-G2",
                "https://foo:bar@localhost:8443/example/repo.git",
                "https://localhost:8443/example/repo",
            ),
            ("api/git-url-G3", "https://github.com/", "https://github.com"),
            (
                "api/git-url-G4",
                "ssh://git@localhost:2222/example/repo.git/",
                "ssh://git@localhost:2222/example/repo",
            ),
            (
                "api/git-url-G5",
                "git@github.com:example/repo.git",
                "ssh://git@github.com/example/repo",
            ),
            ("api/git-url-G6", "github.com:example/repo/", "ssh://github.com/example/repo"),
            ("api/git-url-G7", "git.example.com", "ssh://git.example.com"),
            ("api/git-url-G8", "https://not a url", "https://not a url"),
            ("api/git-url-G8", "ssh://not a url", "ssh://not a url"),
            (
                "api/git-url-G8",
                "http://github.com/example/repo?foo=bar",
                "http://github.com/example/repo?foo=bar",
            ),
            (
                "api/git-url-G8",
                "ssh://github.com/example/repo?foo=bar",
                "ssh://github.com/example/repo?foo=bar",
            ),
            ("api/git-url-G8", "not even remotely a url", "not even remotely a url"),
            ("api/git-url-G8", "x@y@z:foo", "x@y@z:foo"),
            ("api/git-url-G8", "/local/path", "/local/path"),
            ("api/git-url-G9", "https://github.com/Ex/Repo.GIT", "https://github.com/ex/repo"),
            ("api/git-url-G10", "https://github.com/e/r.git#frag", "https://github.com/e/r#frag"),
            ("api/git-url-G11", "https://github.com/e/r//", "https://github.com/e/r/"),
            ("api/git-url-G12", "https://github.com/e/r.git.git", "https://github.com/e/r.git"),
            ("api/git-url-G13", "git@host:7999/path/repo.git", "ssh://git@host/7999/path/repo"),
            ("api/git-url-G14", "git@host:/abs/repo.git", "ssh://git@host//abs/repo"),
            ("api/git-url-G15", "git@github.com:", "ssh://git@github.com"),
            ("api/git-url-G16", "Foo.Example.com:Bar", "ssh://foo.example.com/bar"),
            (
                "api/git-url-G17",
                "\u{feff} https://example.com/\u{200b}repo ",
                "https://example.com/repo",
            ),
            ("api/git-url-G18", "git@host:a/b?x=1", "ssh://git@host/a/b?x=1"),
            ("api/git-url-G18", "git@host:a b/c.git", "ssh://git@host/a%20b/c"),
            ("api/git-url-G18", "git@host:~u/r.git", "ssh://git@host/~u/r"),
            ("api/git-url-G19", "host:7999:a/b", "host:7999:a/b"),
            ("api/git-url-G19", "git@host:a%zz", "git@host:a%zz"),
            ("api/git-url-G20", "host:foo:bar", "ssh://host"),
            ("api/git-url-G21", "HTTPS://H/a b.git", "https://h/a%20b"),
            ("api/git-url-G21", "https://h/é.git", "https://h/%C3%A9"),
            (
                "steps-git/4.9-1",
                "https://U:P@GitHub.com/Org/Repo.git/",
                "https://github.com/org/repo",
            ),
            (
                "steps-git/4.9-2",
                "git@github.com:example/repo.git",
                "ssh://git@github.com/example/repo",
            ),
            (
                "steps-git/4.9-3",
                "ssh://git@localhost:2222/example/repo.git/",
                "ssh://git@localhost:2222/example/repo",
            ),
            ("steps-git/4.9-4", "github.com", "ssh://github.com"),
            (
                "steps-git/4.9-5",
                "http://github.com/example/repo?foo=bar",
                "http://github.com/example/repo?foo=bar",
            ),
            ("steps-git/4.9-6", "https://not a url", "https://not a url"),
            ("steps-git/4.9-7", "https://github.com/", "https://github.com"),
        ];
        for (case, url, normal) in cases {
            assert_eq!(normalize_git(url), normal, "{case}");
        }
    }

    #[test]
    fn image_addresses() {
        let cases = [
            ("api/image-url-I1", "index.docker.io/library/busybox", "busybox"),
            ("api/image-url-I1", "docker.io/busybox", "busybox"),
            ("api/image-url-I1", "library/busybox", "busybox"),
            ("api/image-url-I1", "registry-1.docker.io/busybox", "busybox"),
            ("api/image-url-I2", "docker.io/example/repo", "example/repo"),
            ("api/image-url-I3", "ghcr.io/Foo/Bar", "ghcr.io/foo/bar"),
            ("api/image-url-I4", "localhost:5000/foo", "localhost:5000/foo"),
            ("api/image-url-I5", "ghcr.io/foo/bar:tag", "ghcr.io/foo/bar"),
            ("api/image-url-I6", "ghcr.io/foo/bar@sha256:abc", "ghcr.io/foo/bar@sha256:abc"),
            ("api/image-url-I7", "invalid url", "invalid url"),
            ("api/image-url-I8", "docker.io/a", "docker.io/a"),
            ("api/image-url-I8", "foo:", "foo:"),
            ("api/image-url-I9", "library/library/x", "library/x"),
        ];
        for (case, url, normal) in cases {
            assert_eq!(normalize_image(url), normal, "{case}");
        }
    }

    #[test]
    fn chart_addresses() {
        let cases = [
            ("api/chart-url-C1", "", "", ""),
            ("api/chart-url-C2", " OCI://Repo ", "repo", ""),
            (
                "api/chart-url-C3",
                "oci://registry-1.docker.io/bitnamicharts/nginx",
                "bitnamicharts/nginx",
                "",
            ),
            (
                "api/chart-url-C4",
                "https://charts.example.com",
                "https://charts.example.com",
                "https:/charts.example.com/c",
            ),
            (
                "api/chart-url-C5",
                "https://charts.example.com:8443",
                "https://charts.example.com",
                "",
            ),
            (
                "api/chart-url-C6",
                "https://charts.example.com:8443/foo",
                "https://charts.example.com:8443/foo",
                "https:/charts.example.com:8443/foo/c",
            ),
            (
                "api/chart-url-C7",
                "https://Charts.Example.com/Foo/",
                "https://charts.example.com/foo/",
                "https:/charts.example.com/foo/c",
            ),
            ("api/chart-url-C8", "oci://ghcr.io/foo/bar:1.0", "ghcr.io/foo/bar", ""),
            ("api/chart-url-C9", "https://a b", "https://a b", ""),
        ];
        for (case, url, normal, joined) in cases {
            assert_eq!(normalize_chart(url), normal, "{case}");
            if !joined.is_empty() {
                assert_eq!(join_path(&[&normalize_chart(url), "c"]), joined, "{case}");
            }
        }
    }
}
