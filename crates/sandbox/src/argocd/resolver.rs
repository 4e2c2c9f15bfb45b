//! Which commit a target revision is.

use std::sync::Arc;

use async_trait::async_trait;

use crate::git_host::GitHost;

/// Resolves the target revisions of Applications' sources.
#[async_trait]
pub trait RevisionResolver: Send + Sync {
    /// The commit that a branch, tag or commit id names in a repository. A
    /// chart's version may be given back as it is.
    ///
    /// # Errors
    /// Why it cannot be told, as a repository server would say it, for example
    /// `failed to list refs: repository not found: `.
    async fn resolve(&self, repo_url: &str, target_revision: &str) -> Result<String, String>;
}

/// Resolves with the sandbox's git host.
pub struct GitHostResolver {
    host: Arc<GitHost>,
    rewrites: Vec<(String, String)>,
}

impl GitHostResolver {
    /// For repositories of this host.
    pub fn new(host: Arc<GitHost>) -> Self {
        Self { host, rewrites: Vec::new() }
    }

    /// With public names for the host's repositories: a URL that begins with
    /// the first text is taken as if it began with the second (as git's
    /// `insteadOf`).
    #[must_use]
    pub fn with_rewrite(mut self, public: &str, local: &str) -> Self {
        self.rewrites.push((public.to_owned(), local.to_owned()));
        self
    }

    fn path(&self, repo_url: &str) -> Option<String> {
        let rewritten = self.rewrites.iter().find_map(|(public, local)| {
            repo_url.strip_prefix(public.as_str()).map(|rest| format!("{local}{rest}"))
        });
        let url = rewritten.as_deref().unwrap_or(repo_url);
        let path = url.strip_prefix(&self.host.url())?.strip_prefix('/')?;
        let inside = path.split('/').all(|part| part != "..");
        inside.then(|| path.trim_end_matches('/').to_owned())
    }
}

#[async_trait]
impl RevisionResolver for GitHostResolver {
    async fn resolve(&self, repo_url: &str, target_revision: &str) -> Result<String, String> {
        let path = self
            .path(repo_url)
            .ok_or_else(|| "failed to list refs: repository not found: ".to_owned())?;
        let name = if target_revision.is_empty() { "HEAD" } else { target_revision };
        match self.host.id(&path, name).await {
            Ok(Some(id)) => Ok(id),
            Ok(None) if self.host.root().join(with_suffix(&path)).is_dir() => {
                Err(format!("unable to resolve '{name}' to a commit SHA"))
            }
            Ok(None) | Err(_) => Err("failed to list refs: repository not found: ".to_owned()),
        }
    }
}

fn with_suffix(path: &str) -> String {
    if path.ends_with(".git") { path.to_owned() } else { format!("{path}.git") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git_host::GitHostOptions;

    #[tokio::test]
    async fn branches_and_commits_of_the_git_host_are_resolved() {
        let host = Arc::new(GitHost::start(GitHostOptions::default()).await.unwrap());
        let first = host.create_repository("team/app", &[("a", "1")]).await.unwrap().unwrap();
        let second = host.commit_file("team/app", "main", "a", "2", "Two").await.unwrap();
        let resolver = GitHostResolver::new(host.clone())
            .with_rewrite("https://your.git/", &format!("{}/team/", host.url()));
        let local = host.repository_url("team/app");
        let not_found = Err("failed to list refs: repository not found: ".to_owned());
        // (URL, target revision, result)
        let cases = [
            (local.as_str(), "main", Ok(second.clone())),
            (local.as_str(), "HEAD", Ok(second.clone())),
            (local.as_str(), "", Ok(second.clone())),
            (local.as_str(), &first, Ok(first.clone())),
            ("https://your.git/app.git", "main", Ok(second.clone())),
            ("https://your.git/app", "main", Ok(second)),
            (&local, "nope", Err("unable to resolve 'nope' to a commit SHA".to_owned())),
            ("https://your.git/other.git", "main", not_found.clone()),
            ("https://your.git/../../x", "main", not_found.clone()),
            ("https://elsewhere/app.git", "main", not_found),
        ];
        for (url, target, result) in cases {
            assert_eq!(resolver.resolve(url, target).await, result, "{url} {target}");
        }
    }
}
