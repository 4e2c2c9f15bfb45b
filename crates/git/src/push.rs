//! Setting one reference at a server (`steps-git` 9): judged and pushed on one
//! connection, so that nothing is overwritten that was not looked at. `batch`
//! pushes commits with it.

use std::sync::Arc;

use git2::{Direction, Oid};

use crate::checkout::Checkout;
use crate::commit::Committer;
use crate::error::GitError;
use crate::integrate::IntegrationPolicy;
use crate::intent::{self, Intent, Intents};
use crate::mirror::proxy;
use crate::rejection::Rejection;
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
    /// Where the commit is recorded, before it is sent, and what was recorded
    /// before; none where nobody looks for it later.
    pub intents: Option<Arc<dyn Intents>>,
}

impl PushRequest {
    /// The commit that an attempt has recorded and may have pushed.
    pub(crate) fn recorded(&self) -> Option<Oid> {
        let recorded = self.intents.as_ref()?.recorded()?;
        Oid::from_str(&recorded).ok()
    }

    /// The branch's full name at the server.
    ///
    /// # Errors
    /// What cannot be the name of a branch.
    pub(crate) fn reference(&self) -> Result<String, GitError> {
        let reference = if self.target.starts_with("refs/") {
            self.target.clone()
        } else {
            format!("refs/heads/{}", self.target)
        };
        if git2::Reference::is_valid_name(&reference) {
            Ok(reference)
        } else {
            Err(GitError::Config(format!("\"{}\" cannot be the name of a branch", self.target)))
        }
    }
}

/// How a push went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that is ours in the remote branch now.
    pub commit: String,
    /// Whether this call moved the remote branch.
    pub moved: bool,
}

/// Pushes one tag, as it is. A tag of that name at the server must be the same.
pub(crate) fn push_tag(
    checkout: &Checkout,
    remote: &Remote,
    tag: &str,
    intents: Option<&Arc<dyn Intents>>,
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
    let push = Verdict::Push { id: local, force: false };
    let record = || {
        let intent = Intent { reference: tag.to_owned(), id: local.to_string() };
        let recording = intents.map(|intents| (0, format!("tag {tag}"), intents.record(intent)));
        match intent::record(recording.into_iter().collect())?.remove(&0) {
            Some(error) => Err(error),
            None => Ok(push),
        }
    };
    let moved = push_ref(&repository, remote, &reference, bounds, &|| false, |old| match old {
        None => record(),
        Some(old) if old == local => Ok(Verdict::Nothing),
        Some(_) => Err(GitError::Rejected {
            host: remote.host(),
            reference: format!("tag {tag}"),
            message: "already exists there and names something else".to_owned(),
            meaning: Rejection::Other,
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
    let who = Committer::new(identity, time)?;
    let tree = repository.treebuilder(None).and_then(|t| t.write()).map_err(&local)?;
    let tree = repository.find_tree(tree).map_err(&local)?;
    let id = who.commit(&repository, &who.signature, "Initial commit\n", &tree, &[])?;
    let mut there = None;
    push_ref(&repository, remote, &reference, bounds, &|| false, |old| {
        there = old;
        Ok(if old.is_some() { Verdict::Nothing } else { Verdict::Push { id, force: false } })
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

/// What is to be done about a reference, once it is known what the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Set it to `id`.
    Push {
        /// A commit or a tag.
        id: Oid,
        /// Whether commits of the server may be dropped by it.
        force: bool,
    },
    /// Leave it.
    Nothing,
}

/// Connects, shows the server's id of a reference to `judge`, and pushes where
/// it says so. Whether the reference was moved. Nothing is sent where `called_off`
/// says so at the last moment.
pub(crate) fn push_ref(
    repository: &git2::Repository,
    remote: &Remote,
    reference: &str,
    bounds: &Bounds,
    called_off: &dyn Fn() -> bool,
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
    let Verdict::Push { id, force } = judge(old)? else { return Ok(false) };
    if called_off() {
        return Err(GitError::Cancelled { doing: "pushing".to_owned() });
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
    let Some(refusal) = status.refusal else { return Ok(true) };
    let remarks = conversation.remarks();
    match Rejection::read(&refusal, &remarks) {
        Rejection::Race => Err(GitError::NonFastForward),
        meaning => {
            let more = if remarks.is_empty() { String::new() } else { format!(" ({remarks})") };
            Err(GitError::Rejected {
                host: remote.host(),
                reference: reference
                    .replace("refs/heads/", "branch ")
                    .replace("refs/tags/", "tag "),
                message: format!("{refusal}{more}"),
                meaning,
            })
        }
    }
}

/// Brings the objects of a remote branch into the clone.
pub(crate) fn fetch_branch(
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
