//! Where people look at a commit: its page at the Git provider
//! (`steps-git` 13.1).

use forge::Provider;

/// The page of a commit, where the provider is known by name or by the URL's
/// host and the URL has the shape that the provider's URLs have.
pub(super) fn commit_url(repo_url: &str, provider: Option<&str>, commit: &str) -> Option<String> {
    let provider = match provider {
        Some(name) => name.parse().ok()?,
        None => Provider::of_url(repo_url)?,
    };
    let (host, path) = host_and_path(repo_url)?;
    let segments: Vec<&str> = path.split('/').collect();
    let two = segments.len() == 2 && segments.iter().all(|s| !s.is_empty());
    let scheme = if repo_url.to_lowercase().starts_with("http://") { "http" } else { "https" };
    match provider {
        Provider::GitHub | Provider::Gitea if two => {
            Some(format!("{scheme}://{host}/{path}/commit/{commit}"))
        }
        Provider::GitLab => Some(format!("{scheme}://{host}/{path}/-/commit/{commit}")),
        Provider::Azure => {
            let path = path.strip_prefix("v3/").unwrap_or(&path);
            Some(format!("https://dev.azure.com/{path}/commit/{commit}"))
        }
        Provider::Bitbucket if two => Some(format!("{scheme}://{host}/{path}/commits/{commit}")),
        _ => None,
    }
}

/// Host (with port, for http and https) and path of the URL, normalised: lower
/// case, without userinfo, `.git` and the slash at the end.
fn host_and_path(repo_url: &str) -> Option<(String, String)> {
    let url = api::urls::normalize_git(repo_url);
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if scheme == "ssh" { host.split(':').next().unwrap_or_default() } else { host };
    if host.is_empty() || path.is_empty() {
        return None;
    }
    Some((host.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::commit_url;

    #[test]
    fn commits_have_pages_at_known_providers() {
        let cases = [
            (
                "ssh://git@github.com/akuity/kargo.git",
                None,
                Some("https://github.com/akuity/kargo/commit/sha"),
            ),
            ("https://GitHub.example.com/A/B.git", None, None),
            (
                "https://github.example.com/A/B.git",
                None,
                Some("https://github.example.com/a/b/commit/sha"),
            ),
            ("https://github.com/a", None, None),
            ("git@github.com:a/b.git", None, None),
            ("git@github.com:a/b.git", Some("github"), Some("https://github.com/a/b/commit/sha")),
            ("https://gitlab.com/g/s/p", None, Some("https://gitlab.com/g/s/p/-/commit/sha")),
            ("http://git.lan:3000/a/b", Some("gitea"), Some("http://git.lan:3000/a/b/commit/sha")),
            ("https://bitbucket.org/a/b", None, Some("https://bitbucket.org/a/b/commits/sha")),
            (
                "git@ssh.dev.azure.com:v3/akuity/_git/kargo",
                Some("azure"),
                Some("https://dev.azure.com/akuity/_git/kargo/commit/sha"),
            ),
            ("https://codeberg.org/a/b", None, Some("https://codeberg.org/a/b/commit/sha")),
            ("https://bitbucket.lan/scm/a/b.git", None, None),
            ("https://your.git/repo.git", None, None),
        ];
        for (url, provider, expected) in cases {
            assert_eq!(commit_url(url, provider, "sha").as_deref(), expected, "{url}");
        }
    }
}
