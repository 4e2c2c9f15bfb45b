//! Bringing local commits and a moved remote branch together (`steps-git` 4.7).

use git2::{Oid, Repository, Signature, Sort};

use crate::error::GitError;

/// How local commits are brought together with the remote's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntegrationPolicy {
    /// Rebase, always.
    #[default]
    AlwaysRebase,
    /// Rebase where no signature is lost by it, else merge.
    RebaseOrMerge,
    /// Rebase where no signature is lost by it, else fail.
    RebaseOrFail,
    /// Merge, always.
    AlwaysMerge,
}

impl std::str::FromStr for IntegrationPolicy {
    type Err = GitError;

    /// Reads `GIT_PUSH_INTEGRATION_POLICY`.
    fn from_str(text: &str) -> Result<Self, GitError> {
        match text {
            "" | "AlwaysRebase" => Ok(Self::AlwaysRebase),
            "RebaseOrMerge" => Ok(Self::RebaseOrMerge),
            "RebaseOrFail" => Ok(Self::RebaseOrFail),
            "AlwaysMerge" => Ok(Self::AlwaysMerge),
            other => Err(GitError::Config(format!("unknown push integration policy: \"{other}\""))),
        }
    }
}

/// How many commits of one side are looked at.
const MAX_COMMITS: usize = 10_000;

/// The commits that `tip` has and `without` lacks, parents first.
fn only_in(repository: &Repository, tip: Oid, without: Oid) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(tip)?;
    walk.hide(without)?;
    walk.take(MAX_COMMITS).collect()
}

/// The commit that `local` becomes on top of `upstream`.
///
/// `committer` signs what is rewritten or merged, so the same inputs yield the
/// same commit. A fast-forward yields the remote's commit itself.
pub(crate) fn integrate(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    policy: IntegrationPolicy,
    committer: &Signature<'_>,
    merge_message: &str,
) -> Result<Oid, GitError> {
    let doing = GitError::local("integrating the remote's commits");
    if local == upstream || repository.graph_descendant_of(local, upstream).map_err(&doing)? {
        return Ok(local);
    }
    let commits = only_in(repository, local, upstream).map_err(&doing)?;
    if commits.is_empty() {
        return Ok(upstream);
    }
    let signed = || commits.iter().any(|id| repository.extract_signature(id, None).is_ok());
    match policy {
        IntegrationPolicy::AlwaysRebase => rebase(repository, &commits, upstream, committer),
        IntegrationPolicy::RebaseOrMerge | IntegrationPolicy::RebaseOrFail if !signed() => {
            rebase(repository, &commits, upstream, committer)
        }
        IntegrationPolicy::RebaseOrFail => Err(GitError::RebaseUnsafe),
        IntegrationPolicy::RebaseOrMerge | IntegrationPolicy::AlwaysMerge => {
            merge(repository, local, upstream, committer, merge_message)
        }
    }
}

fn rebase(
    repository: &Repository,
    commits: &[Oid],
    onto: Oid,
    committer: &Signature<'_>,
) -> Result<Oid, GitError> {
    let doing = GitError::local("rebasing");
    let mut onto = repository.find_commit(onto).map_err(&doing)?;
    for id in commits {
        let commit = repository.find_commit(*id).map_err(&doing)?;
        // Merges are flattened, as `git rebase` does.
        if commit.parent_count() > 1 {
            continue;
        }
        let mut index = repository.cherrypick_commit(&commit, &onto, 0, None).map_err(&doing)?;
        if index.has_conflicts() {
            return Err(GitError::MergeConflict);
        }
        let tree = index.write_tree_to(repository).map_err(&doing)?;
        let was_empty =
            commit.parent(0).map(|parent| parent.tree_id() == commit.tree_id()).unwrap_or(false);
        // The remote has this change already.
        if tree == onto.tree_id() && !was_empty {
            continue;
        }
        let tree = repository.find_tree(tree).map_err(&doing)?;
        let message = commit.message_raw().map_err(&doing)?;
        let rewritten = repository
            .commit(None, &commit.author(), committer, message, &tree, &[&onto])
            .map_err(&doing)?;
        onto = repository.find_commit(rewritten).map_err(&doing)?;
    }
    Ok(onto.id())
}

fn merge(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    committer: &Signature<'_>,
    message: &str,
) -> Result<Oid, GitError> {
    let doing = GitError::local("merging");
    let ours = repository.find_commit(local).map_err(&doing)?;
    let theirs = repository.find_commit(upstream).map_err(&doing)?;
    let mut index = repository.merge_commits(&ours, &theirs, None).map_err(&doing)?;
    if index.has_conflicts() {
        return Err(GitError::MergeConflict);
    }
    let tree = index.write_tree_to(repository).map_err(&doing)?;
    let tree = repository.find_tree(tree).map_err(&doing)?;
    repository.commit(None, committer, committer, message, &tree, &[&ours, &theirs]).map_err(&doing)
}

/// Our own earlier work in the remote branch: the commit that `local` became
/// when an attempt before this one integrated and pushed it, and was cut off
/// before it could tell.
///
/// What we rewrite or merge carries the start of the push as its committer's
/// time. That alone would not do: two Promotions may commit and push in the
/// same second, with the same words. So the changes themselves are compared,
/// of every commit that `local` has and the remote lacks; what is taken for
/// ours makes the same changes, and nothing can be lost.
pub(crate) fn earlier_push(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    committer: &Signature<'_>,
) -> Result<Option<Oid>, GitError> {
    find_earlier_push(repository, local, upstream, committer)
        .map_err(GitError::local("looking for an earlier push"))
}

fn find_earlier_push(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    committer: &Signature<'_>,
) -> Result<Option<Oid>, git2::Error> {
    let mut candidates = Vec::new();
    for id in only_in(repository, upstream, local)? {
        let theirs = repository.find_commit(id)?;
        if !same(&theirs.committer(), committer) {
            continue;
        }
        if theirs.parent_count() == 2 && theirs.parent_id(0)? == local {
            return Ok(Some(id));
        }
        candidates.push(theirs);
    }
    let mut last = None;
    for id in only_in(repository, local, upstream)? {
        let ours = repository.find_commit(id)?;
        if ours.parent_count() > 1 {
            continue;
        }
        let change = change(repository, &ours)?;
        let mut twin = None;
        for theirs in &candidates {
            if same(&theirs.author(), &ours.author())
                && theirs.message_raw_bytes() == ours.message_raw_bytes()
                && self::change(repository, theirs)? == change
            {
                twin = Some(theirs.id());
            }
        }
        if twin.is_none() {
            return Ok(None);
        }
        last = twin;
    }
    Ok(last)
}

/// What a commit changes, wherever it stands.
fn change(repository: &Repository, commit: &git2::Commit<'_>) -> Result<Oid, git2::Error> {
    let before = match commit.parent_count() {
        0 => None,
        _ => Some(commit.parent(0)?.tree()?),
    };
    let mut options = git2::DiffOptions::new();
    // Without surroundings: those may have been changed by others.
    options.context_lines(0).force_text(true);
    let after = commit.tree()?;
    repository.diff_tree_to_tree(before.as_ref(), Some(&after), Some(&mut options))?.patchid(None)
}

fn same(a: &Signature<'_>, b: &Signature<'_>) -> bool {
    a.name_bytes() == b.name_bytes()
        && a.email_bytes() == b.email_bytes()
        && a.when().seconds() == b.when().seconds()
}
