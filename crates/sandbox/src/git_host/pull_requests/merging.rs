//! What a merge makes of the branches, by `git` in the bare repository.

use super::super::{GitHostError, Shared};
use super::{MergeMethod, PullRequest, PullState};

/// Who merges.
const WHO: [&str; 4] = ["-c", "user.name=Reviewer", "-c", "user.email=reviewer@example.com"];

impl Shared {
    /// Merges an open pull request; `Ok(Err(why))` where it cannot be.
    pub(super) async fn merge(
        &self,
        path: &str,
        number: i64,
        method: MergeMethod,
    ) -> Result<Result<String, String>, GitHostError> {
        let _one_at_a_time = self.writing.lock().await;
        let Some(pull) = self.current(path, number).await? else {
            return Ok(Err("pull request does not exist".to_owned()));
        };
        if pull.state != PullState::Open {
            return Ok(Err("The PR is not open".to_owned()));
        }
        if pull.is_draft() {
            return Ok(Err("Work in progress PRs cannot be merged".to_owned()));
        }
        if !self.can_merge(path, &pull).await {
            // Gitea says the same while it looks for conflicts and once it has
            // found some.
            return Ok(Err("Please try again later".to_owned()));
        }
        let base = self.id(path, &format!("refs/heads/{}", pull.base)).await?;
        let Some(base) = base else { return Ok(Err("the target branch is gone".to_owned())) };
        let merged = match self.merged(path, &pull, &base, method).await {
            Ok(merged) => merged,
            Err(GitHostError::Git { .. }) => {
                return Ok(Err("it cannot be merged so".to_owned()));
            }
            Err(error) => return Err(error),
        };
        let reference = format!("refs/heads/{}", pull.base);
        self.git(path, &["update-ref", &reference, &merged, &base], &[]).await?;
        self.pull_requests.change(path, number, |pull| {
            pull.state = PullState::Merged;
            pull.merge_commit = Some(merged.clone());
        });
        Ok(Ok(merged))
    }

    /// Deletes a branch, if it is there.
    pub(super) async fn delete_branch(&self, path: &str, name: &str) -> Result<(), GitHostError> {
        let _one_at_a_time = self.writing.lock().await;
        self.git(path, &["update-ref", "-d", &format!("refs/heads/{name}")], &[]).await?;
        Ok(())
    }

    /// Whether the branches can be merged without a conflict.
    pub(super) async fn can_merge(&self, path: &str, pull: &PullRequest) -> bool {
        self.tree(path, &format!("refs/heads/{}", pull.base), &pull.head_commit).await.is_ok()
    }

    async fn tree(&self, path: &str, base: &str, head: &str) -> Result<String, GitHostError> {
        let out = self.git(path, &["merge-tree", "--write-tree", base, head], &[]).await?;
        Ok(String::from_utf8_lossy(&out).lines().next().unwrap_or_default().to_owned())
    }

    async fn commit_tree(
        &self,
        path: &str,
        tree: &str,
        parents: &[&str],
        message: &str,
    ) -> Result<String, GitHostError> {
        let mut arguments = WHO.to_vec();
        arguments.extend(["commit-tree", tree, "-m", message]);
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        self.line(path, &arguments).await
    }

    async fn line(&self, path: &str, arguments: &[&str]) -> Result<String, GitHostError> {
        let out = self.git(path, arguments, &[]).await?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    async fn merged(
        &self,
        path: &str,
        pull: &PullRequest,
        base: &str,
        method: MergeMethod,
    ) -> Result<String, GitHostError> {
        let head = pull.head_commit.as_str();
        let (title, number) = (&pull.title, pull.number);
        let message = format!(
            "Merge pull request '{title}' (#{number}) from {} into {}",
            pull.head, pull.base
        );
        match method {
            MergeMethod::Merge => {
                let tree = self.tree(path, base, head).await?;
                self.commit_tree(path, &tree, &[base, head], &message).await
            }
            MergeMethod::Squash => {
                let tree = self.tree(path, base, head).await?;
                let message = format!("{title} (#{number})");
                self.commit_tree(path, &tree, &[base], &message).await
            }
            MergeMethod::FastForwardOnly => {
                self.git(path, &["merge-base", "--is-ancestor", base, head], &[]).await?;
                Ok(head.to_owned())
            }
            MergeMethod::Rebase => self.rebased(path, base, head).await,
            MergeMethod::RebaseMerge => {
                let rebased = self.rebased(path, base, head).await?;
                let tree = format!("{rebased}^{{tree}}");
                self.commit_tree(path, &tree, &[base, &rebased], &message).await
            }
        }
    }

    /// The head's own commits anew on top of the base, in a worktree that is
    /// thrown away.
    async fn rebased(&self, path: &str, base: &str, head: &str) -> Result<String, GitHostError> {
        let temporary = tempfile::tempdir().map_err(GitHostError::io("temporary directory"))?;
        let tree = temporary.path().join("tree").display().to_string();
        self.git(path, &["worktree", "add", "--quiet", "--detach", &tree, base], &[]).await?;
        let git = ["-C", &tree, "--git-dir=.git"];
        let range = format!("{base}..{head}");
        let mut pick = git.to_vec();
        pick.extend(WHO);
        pick.extend(["cherry-pick", "--allow-empty", &range]);
        let mut done = self.git(path, &pick, &[]).await.map(drop);
        let mut tip = String::new();
        if done.is_ok() {
            let mut ask = git.to_vec();
            ask.extend(["rev-parse", "HEAD"]);
            match self.line(path, &ask).await {
                Ok(id) => tip = id,
                Err(error) => done = Err(error),
            }
        }
        self.git(path, &["worktree", "remove", "--force", &tree], &[]).await?;
        done.map(|()| tip)
    }
}
