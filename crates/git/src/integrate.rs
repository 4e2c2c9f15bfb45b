//! Bringing local commits and a moved remote branch together (`steps-git` 4.7).

use git2::{Oid, Repository, Signature, Sort};

use crate::commit::Committer;
use crate::error::GitError;
use crate::sign::{Trust, trust};

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
    committer: &Committer<'_>,
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
    // A rebase signs with our key, or not at all: safe is what loses nothing by
    // that (rule 3).
    let key = committer.identity().signing_key.as_ref();
    let kept = if key.is_some() { Trust::Trusted } else { Trust::Unsigned };
    let safe = || commits.iter().all(|id| trust(repository, *id, key) == kept);
    match policy {
        IntegrationPolicy::AlwaysRebase => rebase(repository, &commits, upstream, committer),
        IntegrationPolicy::RebaseOrMerge | IntegrationPolicy::RebaseOrFail if safe() => {
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
    committer: &Committer<'_>,
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
        let rewritten = committer.commit(repository, &commit.author(), message, &tree, &[&onto])?;
        onto = repository.find_commit(rewritten).map_err(&doing)?;
    }
    Ok(onto.id())
}

fn merge(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    committer: &Committer<'_>,
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
    committer.commit(repository, &committer.signature, message, &tree, &[&ours, &theirs])
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
    twins(repository, local, upstream, &candidates, |ours, theirs| {
        same(&theirs.author(), &ours.author())
            && theirs.message_raw_bytes() == ours.message_raw_bytes()
    })
}

/// As [`earlier_push`], for commits that the host made anew for us and signed:
/// author and committer are the host's then, and a line that names the author
/// may follow the message.
pub(crate) fn earlier_replay(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
) -> Result<Option<Oid>, GitError> {
    let find = || {
        let mut candidates = Vec::new();
        for id in only_in(repository, upstream, local)? {
            candidates.push(repository.find_commit(id)?);
        }
        twins(repository, local, upstream, &candidates, |ours, theirs| {
            let (ours, theirs) = (ours.message_raw_bytes(), theirs.message_raw_bytes());
            match theirs.strip_prefix(ours.trim_ascii_end()).map(<[u8]>::trim_ascii) {
                Some(rest) => rest.is_empty() || rest.starts_with(b"Co-authored-by: "),
                None => false,
            }
        })
    };
    find().map_err(GitError::local("looking for an earlier push"))
}

/// The last of the candidates that stand for the commits which `local` has and
/// `upstream` lacks: each makes the very change of one of them, and is `alike`
/// otherwise. None where one has no such twin.
fn twins(
    repository: &Repository,
    local: Oid,
    upstream: Oid,
    candidates: &[git2::Commit<'_>],
    alike: impl Fn(&git2::Commit<'_>, &git2::Commit<'_>) -> bool,
) -> Result<Option<Oid>, git2::Error> {
    let mut last = None;
    for id in only_in(repository, local, upstream)? {
        let ours = repository.find_commit(id)?;
        if ours.parent_count() > 1 {
            continue;
        }
        let change = change(repository, &ours)?;
        let mut twin = None;
        for theirs in candidates {
            if alike(&ours, theirs) && self::change(repository, theirs)? == change {
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

#[cfg(test)]
mod tests {
    use git2::Time;

    use super::*;
    use crate::repository::Identity;

    struct Fixture {
        _dir: tempfile::TempDir,
        repository: Repository,
    }

    fn who(second: i64) -> Signature<'static> {
        Signature::new("K", "k@x.y", &Time::new(second, 0)).unwrap()
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let repository = Repository::init_bare(dir.path()).unwrap();
            Self { _dir: dir, repository }
        }

        /// A commit on `parent` that sets one file; signed where wanted.
        fn commit(&self, parent: Option<Oid>, file: &str, content: &str, signed: bool) -> Oid {
            let repo = &self.repository;
            let parent = parent.map(|id| repo.find_commit(id).unwrap());
            let base = parent.as_ref().map(|p| p.tree().unwrap());
            let mut builder = repo.treebuilder(base.as_ref()).unwrap();
            let blob = repo.blob(content.as_bytes()).unwrap();
            builder.insert(file, blob, 0o100_644).unwrap();
            let tree = repo.find_tree(builder.write().unwrap()).unwrap();
            let parents: Vec<_> = parent.iter().collect();
            let who = who(1);
            if signed {
                let text = repo.commit_create_buffer(&who, &who, file, &tree, &parents).unwrap();
                return repo.commit_signed(text.as_str().unwrap(), "a signature", None).unwrap();
            }
            repo.commit(None, &who, &who, file, &tree, &parents).unwrap()
        }

        fn integrate(
            &self,
            ours: Oid,
            theirs: Oid,
            policy: IntegrationPolicy,
        ) -> Result<Oid, GitError> {
            let identity = Identity::new("K", "k@x.y");
            let time = jiff::Timestamp::from_second(9).unwrap();
            let committer = Committer::new(&identity, time).unwrap();
            integrate(&self.repository, ours, theirs, policy, &committer, "Merge")
        }

        fn parents(&self, id: Oid) -> Vec<Oid> {
            self.repository.find_commit(id).unwrap().parent_ids().collect()
        }
    }

    use IntegrationPolicy::{AlwaysMerge, AlwaysRebase, RebaseOrFail, RebaseOrMerge};

    #[test]
    fn signatures_are_not_rebased_away_unless_told_so() {
        for (policy, signed, expected) in [
            (AlwaysRebase, false, "rebase"),
            (AlwaysRebase, true, "rebase"),
            (RebaseOrMerge, false, "rebase"),
            (RebaseOrMerge, true, "merge"),
            (RebaseOrFail, false, "rebase"),
            (RebaseOrFail, true, "rebase is unsafe and policy prohibits merge fallback"),
            (AlwaysMerge, false, "merge"),
            (AlwaysMerge, true, "merge"),
        ] {
            let f = Fixture::new();
            let base = f.commit(None, "a", "1", false);
            let ours = f.commit(Some(base), "b", "1", signed);
            let theirs = f.commit(Some(base), "c", "1", false);
            let found = match f.integrate(ours, theirs, policy) {
                Ok(id) if f.parents(id) == [ours, theirs] => "merge".to_owned(),
                Ok(id) if f.parents(id) == [theirs] => "rebase".to_owned(),
                Ok(id) => format!("{:?}", f.parents(id)),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{policy:?}, signed: {signed}");
        }
    }

    #[test]
    fn what_needs_no_integration_gets_none() {
        for policy in [AlwaysRebase, RebaseOrMerge, RebaseOrFail, AlwaysMerge] {
            let f = Fixture::new();
            let base = f.commit(None, "a", "1", false);
            let next = f.commit(Some(base), "b", "1", true);
            assert_eq!(f.integrate(next, base, policy).unwrap(), next);
            assert_eq!(f.integrate(base, next, policy).unwrap(), next);
            assert_eq!(f.integrate(base, base, policy).unwrap(), base);
        }
    }

    #[test]
    fn a_change_that_the_remote_has_already_is_dropped() {
        let f = Fixture::new();
        let base = f.commit(None, "a", "1", false);
        let ours = f.commit(Some(base), "b", "1", false);
        let ours = f.commit(Some(ours), "c", "1", false);
        let theirs = f.commit(Some(base), "x", "1", false);
        let theirs = f.commit(Some(theirs), "b", "1", false);
        let rebased = f.integrate(ours, theirs, AlwaysRebase).unwrap();
        assert_eq!(f.parents(rebased), [theirs]);
        // Histories that share nothing are brought together all the same.
        let stranger = f.commit(None, "s", "1", false);
        let rebased = f.integrate(stranger, theirs, AlwaysRebase).unwrap();
        assert_eq!(f.parents(rebased), [theirs]);
        let merged = f.integrate(stranger, theirs, AlwaysMerge).unwrap();
        assert_eq!(f.parents(merged), [stranger, theirs]);
    }

    #[test]
    fn policies_are_read_by_name() {
        for (text, expected) in [
            ("", Ok(AlwaysRebase)),
            ("AlwaysRebase", Ok(AlwaysRebase)),
            ("RebaseOrMerge", Ok(RebaseOrMerge)),
            ("RebaseOrFail", Ok(RebaseOrFail)),
            ("AlwaysMerge", Ok(AlwaysMerge)),
            ("x", Err("unknown push integration policy: \"x\"".to_owned())),
        ] {
            assert_eq!(text.parse::<IntegrationPolicy>().map_err(|e| e.to_string()), expected);
        }
    }
}
