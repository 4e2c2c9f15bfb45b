//! Pushing a checkout's commits (`steps-git` 9), so that no commit is lost and
//! none is pushed twice.

use git2::{Direction, Oid};

use crate::checkout::{Checkout, signature};
use crate::error::GitError;
use crate::integrate::{IntegrationPolicy, earlier_push, integrate};
use crate::mirror::proxy;
use crate::remote::{Bounds, Conversation, Remote};
use crate::repository::{Identity, Repository};

/// What to push, and how.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The branch at the server.
    pub target: String,
    /// Whether the branch is set to our commit whatever it holds.
    pub force: bool,
    /// How remote commits are taken in where not forced.
    pub policy: IntegrationPolicy,
    /// Who commits what has to be rewritten or merged.
    pub committer: Identity,
    /// The committer's time for that: the recorded start of the push.
    pub time: jiff::Timestamp,
    /// Whether an earlier attempt may have pushed already: then a remote
    /// branch at or after our commit means that it did.
    pub again: bool,
}

/// How a push went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that is ours in the remote branch now.
    pub commit: String,
    /// Whether this call moved the remote branch.
    pub moved: bool,
}

/// How often one attempt takes in remote commits before it gives the turn back.
const MAX_ROUNDS: usize = 5;

/// One attempt, under the branch's lock: integrate where needed, push.
/// [`GitError::NonFastForward`] means that another writer was faster.
pub(crate) fn push_branch(
    checkout: &Checkout,
    remote: &Remote,
    request: &PushRequest,
    bounds: &Bounds,
) -> Result<Pushed, GitError> {
    let repository = checkout.git()?;
    let local_error = GitError::local("pushing");
    let committer = signature(&request.committer, request.time)?;
    let reference = format!("refs/heads/{}", request.target);
    if !git2::Reference::is_valid_name(&reference) {
        return Err(GitError::Config(format!(
            "\"{}\" cannot be the name of a branch",
            request.target
        )));
    }
    for _ in 0..MAX_ROUNDS {
        let local = checkout.head_id(&repository)?;
        let done = |commit: Oid, moved| Ok(Pushed { commit: commit.to_string(), moved });
        // What the server has of the branch is looked at before anything is
        // sent, on the connection that the push will use.
        let mut take_in = None;
        let outcome =
            push_ref(&repository, remote, local, &reference, request.force, bounds, |old| {
                let Some(old) = old else { return Ok(Verdict::Push) };
                if old == local {
                    return Ok(Verdict::Nothing);
                }
                let known = repository.find_commit(old).is_ok();
                if known && repository.graph_descendant_of(local, old).map_err(&local_error)? {
                    return Ok(Verdict::Push);
                }
                if request.force && !request.again {
                    return Ok(Verdict::Push);
                }
                take_in = Some(old);
                Ok(Verdict::Nothing)
            })?;
        let Some(old) = take_in else { return done(local, outcome) };
        fetch_branch(&repository, remote, &request.target, old, bounds)?;
        let descends = repository.graph_descendant_of(old, local).map_err(&local_error)?;
        if let Some(ours) = earlier_push(&repository, local, old, &committer)? {
            remember(&repository, local, ours)?;
            checkout.move_to(&repository, ours)?;
            return done(ours, false);
        }
        if descends && request.again {
            return done(local, false);
        }
        if request.force {
            // An earlier attempt of ours is not in there: overwrite what is.
            let moved = push_ref(&repository, remote, local, &reference, true, bounds, |now| {
                if now == Some(old) { Ok(Verdict::Push) } else { Err(GitError::NonFastForward) }
            })?;
            return done(local, moved);
        }
        let branch = checkout.branch()?;
        let into = match branch.as_deref() {
            Some("master") => String::new(),
            Some(branch) => format!(" into {branch}"),
            None => " into HEAD".to_owned(),
        };
        let message = format!("Merge branch '{}' of {}{into}\n", request.target, remote.url());
        let next = integrate(&repository, local, old, request.policy, &committer, &message)?;
        remember(&repository, local, next)?;
        checkout.move_to(&repository, next)?;
        if next == old {
            return done(next, false);
        }
    }
    Err(GitError::NonFastForward)
}

/// Where it is remembered of which commit `commit` took the place.
fn place_of(commit: Oid) -> String {
    format!("refs/supercargo/replaced/{commit}")
}

/// Remembers that `new` takes the place of `old`, before the checkout moves: a
/// process that ends between the two finds it when it looks again.
fn remember(repository: &git2::Repository, old: Oid, new: Oid) -> Result<(), GitError> {
    if old == new {
        return Ok(());
    }
    let kept = repository.reference(&place_of(new), old, true, "took in what others pushed");
    kept.map(drop).map_err(GitError::local("remembering what was pushed"))
}

/// The commit of ours that was taken in when `commit` came to be, if any. Where
/// several races were lost, the one that there was before the first.
pub(crate) fn replaced(repository: &git2::Repository, commit: Oid) -> Option<Oid> {
    let mut first = None;
    let mut at = commit;
    for _ in 0..MAX_REPLACED {
        match repository.refname_to_id(&place_of(at)) {
            Ok(before) if before != commit => {
                first = Some(before);
                at = before;
            }
            _ => break,
        }
    }
    first
}

/// How many lost races are followed back.
const MAX_REPLACED: usize = 100;

/// Pushes one tag, as it is. A tag of that name at the server must be the same.
pub(crate) fn push_tag(
    checkout: &Checkout,
    remote: &Remote,
    tag: &str,
    bounds: &Bounds,
) -> Result<Pushed, GitError> {
    let repository = checkout.git()?;
    let reference = format!("refs/tags/{tag}");
    let Ok(local) = repository.refname_to_id(&reference) else {
        return Err(GitError::Config(format!(
            "tag \"{tag}\" does not exist in the clone at {}; make it with a git-tag step",
            checkout.path()
        )));
    };
    let moved = push_ref(&repository, remote, local, &reference, false, bounds, |old| match old {
        None => Ok(Verdict::Push),
        Some(old) if old == local => Ok(Verdict::Nothing),
        Some(_) => Err(GitError::Rejected {
            host: remote.host(),
            reference: format!("tag {tag}"),
            message: "already exists there and names something else".to_owned(),
        }),
    })?;
    Ok(Pushed { commit: checkout.head()?, moved })
}

/// Makes a branch at the server that holds one empty commit, and returns its
/// id. A branch that is there by now is taken as it is.
pub(crate) fn create_branch(
    clone: &Repository,
    remote: &Remote,
    branch: &str,
    identity: &Identity,
    time: jiff::Timestamp,
    bounds: &Bounds,
) -> Result<String, GitError> {
    let repository = clone.git()?;
    let local = GitError::local("making a branch");
    let reference = format!("refs/heads/{branch}");
    if !git2::Reference::is_valid_name(&reference) {
        return Err(GitError::Config(format!("\"{branch}\" cannot be the name of a branch")));
    }
    let who = signature(identity, time)?;
    let tree = repository.treebuilder(None).and_then(|t| t.write()).map_err(&local)?;
    let tree = repository.find_tree(tree).map_err(&local)?;
    let id = repository.commit(None, &who, &who, "Initial commit\n", &tree, &[]).map_err(&local)?;
    let mut there = None;
    push_ref(&repository, remote, id, &reference, false, bounds, |old| {
        there = old;
        Ok(if old.is_some() { Verdict::Nothing } else { Verdict::Push })
    })?;
    let tip = match there {
        Some(old) => {
            fetch_branch(&repository, remote, branch, old, bounds)?;
            old
        }
        None => id,
    };
    repository
        .reference(&format!("refs/remotes/origin/{branch}"), tip, true, "create")
        .map_err(&local)?;
    Ok(tip.to_string())
}

enum Verdict {
    Push,
    Nothing,
}

/// Connects, shows the server's id of a reference to `judge`, and pushes where
/// it says so. Whether the reference was moved.
fn push_ref(
    repository: &git2::Repository,
    remote: &Remote,
    id: Oid,
    reference: &str,
    force: bool,
    bounds: &Bounds,
    judge: impl FnOnce(Option<Oid>) -> Result<Verdict, GitError>,
) -> Result<bool, GitError> {
    bounds.check("pushing")?;
    let conversation = Conversation::new(remote, bounds, "pushing");
    let explain = |error: git2::Error| conversation.explain(&error);
    let mut origin = repository.remote_anonymous(remote.access_url()).map_err(explain)?;
    let mut connection = origin
        .connect_auth(Direction::Push, Some(conversation.callbacks()), Some(proxy()))
        .map_err(explain)?;
    let old = connection
        .list()
        .map_err(explain)?
        .iter()
        .find(|listed| listed.name() == reference)
        .map(|listed| listed.oid());
    if matches!(judge(old)?, Verdict::Nothing) {
        return Ok(false);
    }
    let mut callbacks = conversation.callbacks();
    let checking = conversation.clone();
    let limits = bounds.clone();
    // The server compares what it has with the id that it advertised to us;
    // this makes sure that that is the id which was judged. And nothing is
    // sent once the operation is cancelled (a lost lease).
    callbacks.push_negotiation(move |updates| {
        limits.check("pushing").map_err(|reason| checking.stop(reason))?;
        let expected = old.unwrap_or(Oid::ZERO_SHA1);
        if updates.iter().all(|update| update.src() == expected) {
            Ok(())
        } else {
            Err(checking.stop(GitError::NonFastForward))
        }
    });
    let mut options = git2::PushOptions::new();
    options
        .remote_callbacks(callbacks)
        .proxy_options(proxy())
        .follow_redirects(git2::RemoteRedirect::None);
    let spec = format!("{}{id}:{reference}", if force { "+" } else { "" });
    connection.remote().push(&[spec.as_str()], Some(&mut options)).map_err(|error| {
        if error.code() == git2::ErrorCode::NotFastForward {
            GitError::NonFastForward
        } else {
            conversation.explain(&error)
        }
    })?;
    drop(connection);
    let Some(status) = conversation.pushed().into_iter().find(|s| s.reference == reference) else {
        return Err(GitError::Network {
            host: remote.host(),
            doing: "pushing".to_owned(),
            message: format!("the server did not say whether it took {reference}"),
        });
    };
    match status.refusal {
        None => Ok(true),
        Some(refusal) if lost_the_race(&refusal) => Err(GitError::NonFastForward),
        Some(refusal) => {
            let remarks = conversation.remarks();
            let more = if remarks.is_empty() { String::new() } else { format!(" ({remarks})") };
            Err(GitError::Rejected {
                host: remote.host(),
                reference: reference
                    .replace("refs/heads/", "branch ")
                    .replace("refs/tags/", "tag "),
                message: format!("{refusal}{more}"),
            })
        }
    }
}

/// Whether a server's refusal means that another writer was faster
/// (`steps-git` 4.8).
pub(crate) fn lost_the_race(refusal: &str) -> bool {
    let refusal = refusal.trim();
    ["non-fast-forward", "fetch first", "incorrect old value provided"].contains(&refusal)
        || refusal.starts_with("cannot lock ref")
        || refusal.starts_with("failed to update ref")
        || refusal.starts_with("failed to lock")
}

/// Brings the objects of a remote branch into the clone.
fn fetch_branch(
    repository: &git2::Repository,
    remote: &Remote,
    branch: &str,
    wanted: Oid,
    bounds: &Bounds,
) -> Result<(), GitError> {
    let tracking = format!("refs/remotes/origin/{branch}");
    if repository.find_commit(wanted).is_err() {
        let conversation = Conversation::new(remote, bounds, "fetching the target branch");
        let explain = |error: git2::Error| conversation.explain(&error);
        let mut origin = repository.remote_anonymous(remote.access_url()).map_err(explain)?;
        let mut options = git2::FetchOptions::new();
        options
            .remote_callbacks(conversation.callbacks())
            .proxy_options(proxy())
            .follow_redirects(git2::RemoteRedirect::None)
            .download_tags(git2::AutotagOption::None)
            .update_fetchhead(false);
        let spec = format!("+refs/heads/{branch}:{tracking}");
        origin.fetch(&[spec.as_str()], Some(&mut options), None).map_err(explain)?;
    }
    // The branch may have moved on between the two listings, or have been set
    // back: then whoever was faster is looked at in the next attempt.
    if repository.find_commit(wanted).is_err() {
        return Err(GitError::NonFastForward);
    }
    repository
        .reference(&tracking, wanted, true, "fetch")
        .map(drop)
        .map_err(GitError::local("fetching the target branch"))
}

#[cfg(test)]
mod tests {
    use super::lost_the_race;

    #[test]
    fn refusals_that_mean_a_lost_race() {
        let cases = [
            ("steps-git/4.8-1", "fetch first", true),
            ("steps-git/4.8-2", "non-fast-forward", true),
            ("steps-git/4.8-3", "cannot lock ref 'refs/heads/e': is at X but expected Y", true),
            ("steps-git/4.8-4", "incorrect old value provided", true),
            ("steps-git/4.8-4", "already exists", false),
            ("a hook", "pre-receive hook declined", false),
        ];
        for (case, refusal, expected) in cases {
            assert_eq!(lost_the_race(refusal), expected, "{case}");
        }
    }
}
