//! Bringing a checkout up to a branch of the server without a push: for hosts
//! that make the commits of a branch themselves (`steps-git` 10).

use git2::{Direction, Oid};

use crate::checkout::Checkout;
use crate::commit::Committer;
use crate::error::GitError;
use crate::integrate::{IntegrationPolicy, earlier_replay, integrate};
use crate::mirror::proxy;
use crate::push::fetch_branch;
use crate::remote::{Bounds, Conversation, Remote};
use crate::replaced::remember;
use crate::repository::Identity;
use crate::sign::{Trust, parse_signer, trust};

/// What is to be taken in.
#[derive(Clone, Debug)]
pub struct TakeIn {
    /// The branch at the server.
    pub branch: String,
    /// How; `None` takes in nothing, for a branch that is to be overwritten.
    pub policy: Option<IntegrationPolicy>,
    /// Who commits what has to be rewritten or merged.
    pub committer: Identity,
    /// The committer's time for that: the recorded start of the step.
    pub time: jiff::Timestamp,
    /// What an earlier attempt recorded as the commit that it was about to set
    /// the branch to: where the branch is at or after it, the checkout moves to
    /// it.
    pub recorded: Option<String>,
}

/// What was found at the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// The branch's tip, if there is such a branch.
    pub tip: Option<String>,
    /// What our commits are there, if an earlier attempt brought them there.
    pub there: Option<String>,
}

/// How a commit of a checkout is signed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTrust {
    /// Whether it was signed with the key that the clone signs with.
    pub trusted: bool,
    /// The signer's name, where trusted.
    pub name: String,
    /// The signer's e-mail address, where trusted.
    pub email: String,
}

impl Checkout {
    /// How a commit is signed.
    ///
    /// # Errors
    /// A text that is no commit's id, a clone that cannot be read.
    pub fn trust(&self, commit: &str) -> Result<CommitTrust, GitError> {
        let repository = self.git()?;
        let id = Oid::from_str(commit).map_err(GitError::local("reading a commit"))?;
        let identity = &self.repository().about().identity;
        let key = identity.signing_key.as_ref();
        let trusted = trust(&repository, id, key) == Trust::Trusted;
        let (name, email) = match key.filter(|_| trusted).and_then(|key| key.user_id()) {
            Some(signer) => parse_signer(&signer),
            None if trusted => (identity.name.clone(), identity.email.clone()),
            None => Default::default(),
        };
        Ok(CommitTrust { trusted, name, email })
    }
}

/// The tip of a branch at the server.
fn tip(
    repository: &git2::Repository,
    remote: &Remote,
    branch: &str,
    bounds: &Bounds,
) -> Result<Option<Oid>, GitError> {
    bounds.check("listing branches")?;
    let conversation = Conversation::new(remote, bounds, "listing branches");
    let explain = |error: git2::Error| conversation.explain(&error);
    let mut origin = repository.remote_anonymous(remote.access_url()).map_err(explain)?;
    let connection = origin
        .connect_auth(Direction::Fetch, Some(conversation.callbacks()), Some(proxy()))
        .map_err(explain)?;
    let reference = format!("refs/heads/{branch}");
    let listed = connection.list().map_err(explain)?;
    Ok(listed.iter().find(|listed| listed.name() == reference).map(|listed| listed.oid()))
}

pub(crate) fn take_in(
    checkout: &Checkout,
    remote: &Remote,
    request: &TakeIn,
    bounds: &Bounds,
) -> Result<TakenIn, GitError> {
    let repository = checkout.git()?;
    let Some(theirs) = tip(&repository, remote, &request.branch, bounds)? else {
        return Ok(TakenIn::default());
    };
    let mut taken = TakenIn { tip: Some(theirs.to_string()), there: None };
    if request.policy.is_none() && request.recorded.is_none() {
        return Ok(taken);
    }
    fetch_branch(&repository, remote, &request.branch, theirs, bounds)?;
    let ours = checkout.head_id(&repository)?;
    let mut next = ours;
    if let Some(recorded) = &request.recorded {
        let local = GitError::local("comparing commits");
        let recorded = Oid::from_str(recorded).map_err(&local)?;
        let known = repository.find_commit(recorded).is_ok();
        let is_there = theirs == recorded
            || (known && repository.graph_descendant_of(theirs, recorded).map_err(&local)?);
        let there = match is_there {
            true => Some(recorded),
            // The server may have taken an attempt before the recorded one after
            // it was given up.
            false => earlier_replay(&repository, ours, theirs)?,
        };
        next = there.unwrap_or(ours);
        taken.there = there.map(|id| id.to_string());
    }
    if let Some(policy) = request.policy.filter(|_| taken.there.is_none()) {
        let committer = Committer::new(&request.committer, request.time)?;
        let message = format!("Merge branch '{}' of {}\n", request.branch, remote.url());
        next = integrate(&repository, ours, theirs, policy, &committer, &message)?;
    }
    if next != ours {
        remember(&repository, ours, next)?;
        checkout.move_to(&repository, next)?;
    }
    Ok(taken)
}

pub(crate) fn sync(
    checkout: &Checkout,
    remote: &Remote,
    branch: &str,
    commit: &str,
    bounds: &Bounds,
) -> Result<(), GitError> {
    let repository = checkout.git()?;
    let wanted = Oid::from_str(commit).map_err(GitError::local("reading a commit"))?;
    fetch_branch(&repository, remote, branch, wanted, bounds)?;
    checkout.follow(commit)
}
