//! Pushing commits to one branch: those of one checkout, or of several that
//! wait for the same branch together.
//!
//! What the server has of the branch is looked at first, on the connection that
//! pushes. Where it has commits that we lack, they are fetched, and each
//! member's commits are brought on top, one member after the other; then the
//! whole line is pushed at once. A member whose commits conflict is left out
//! and told so. Nothing of a checkout moves before the server has taken the
//! push, so a push that failed, or a process that was killed, leaves every
//! checkout as it was.
//!
//! Between the two, each member's commit is recorded as it stands in that line
//! ([`crate::intent`]): those of all members before the one push that sends
//! them. A push that succeeded without our hearing of it is recognised by it,
//! for each member on its own. Whose commit cannot be recorded is left out, and
//! the others form a new line, which is recorded anew.
//!
//! All of it happens in the first member's clone, which sees the others'
//! objects while it lasts. Afterwards each member gets the new objects as a
//! pack of its own, so that no clone depends on another's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::Oid;
use tokio_util::sync::CancellationToken;

use crate::checkout::Checkout;
use crate::commit::Committer;
use crate::error::GitError;
use crate::integrate::{earlier_push, integrate};
use crate::intent::{self, Intent};
use crate::push::{PushRequest, Pushed, Verdict, fetch_branch, push_ref};
use crate::remote::{Bounds, Remote};
use crate::replaced::remember;

/// One push that waits for its branch.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) checkout: Checkout,
    pub(crate) remote: Remote,
    pub(crate) request: PushRequest,
    pub(crate) cancel: CancellationToken,
}

fn cancelled() -> GitError {
    GitError::Cancelled { doing: "pushing".to_owned() }
}

impl Member {
    /// The mirror's objects that its clone borrows.
    pub(crate) fn mirror_objects(&self) -> Option<PathBuf> {
        let file = self.checkout.repository().dir().join("objects/info/alternates");
        let text = std::fs::read_to_string(file).ok()?;
        text.lines().next().map(PathBuf::from)
    }
}

/// What a branch's queue knows of its last push: the tip, and a pack with all
/// that the mirror may lack of it.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    tip: Oid,
    pack: Arc<Vec<u8>>,
}

/// Larger packs are not kept for the next push: it fetches.
const MAX_KEPT_PACK: usize = 1 << 20;

/// Where a member's commits are to stand.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Its commits end at this one, which is to be pushed.
    At(Oid),
    /// The branch has them already: an earlier push made them this one.
    Ours(Oid),
    /// It has none that the branch lacks, and follows the branch.
    Follows(Oid),
}

type Outcome = Result<Pushed, GitError>;

/// Pushes what several members have, to one branch of one repository: one
/// attempt, with one outcome a member. Where the server refuses the whole, or
/// one member's clone is broken, each is tried alone, so that nobody fails for
/// another. `landed` is what is known of the branch's last push.
pub(crate) fn push(
    members: &[Member],
    landed: &mut Option<Landed>,
    bounds: &Bounds,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = members.iter().map(|_| None).collect();
    // Who gives up on the way, or cannot record what is to be pushed, makes the
    // others begin anew without them.
    loop {
        let mut live = Vec::new();
        for (n, (member, outcome)) in members.iter().zip(&mut outcomes).enumerate() {
            match outcome {
                None if member.cancel.is_cancelled() => *outcome = Some(Err(cancelled())),
                None => live.push((n, member)),
                Some(_) => {}
            }
        }
        let together: Vec<&Member> = live.iter().map(|(_, member)| *member).collect();
        let bounds = |member: &Member| Bounds { cancel: member.cancel.clone(), ..bounds.clone() };
        let Some(first) = together.first() else {
            return outcomes.into_iter().flatten().collect();
        };
        let done =
            Batch { members: &together, landed: landed.as_ref(), bounds: bounds(first) }.run();
        if done.landed.is_some() {
            *landed = done.landed;
        }
        let gave_up = together.iter().any(|member| member.cancel.is_cancelled());
        for ((n, member), outcome) in live.iter().zip(done.outcomes) {
            // The line is made anew, without those that were left out.
            let Some(outcome) = outcome else { continue };
            let outcome = match outcome {
                Err(GitError::Cancelled { .. }) if gave_up => continue,
                Err(GitError::Rejected { .. } | GitError::Internal { .. }) if live.len() > 1 => {
                    let alone = [*member];
                    let bounds = bounds(member);
                    let mut done = Batch { members: &alone, landed: landed.as_ref(), bounds }.run();
                    if done.landed.is_some() {
                        *landed = done.landed;
                    }
                    done.outcomes.pop().flatten().unwrap_or_else(|| Err(cancelled()))
                }
                outcome => outcome,
            };
            if let Some(slot) = outcomes.get_mut(*n) {
                *slot = Some(outcome);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            return outcomes.into_iter().flatten().collect();
        }
    }
}

struct Done {
    /// One a member; none where it is to be tried anew without others.
    outcomes: Vec<Option<Outcome>>,
    landed: Option<Landed>,
}

struct Batch<'a> {
    members: &'a [&'a Member],
    landed: Option<&'a Landed>,
    /// With the first member's cancellation: what ends all of them (a lost
    /// lease) ends it too, at the last moment before anything is sent.
    bounds: Bounds,
}

impl Batch<'_> {
    fn run(&self) -> Done {
        let mut places = Vec::new();
        let mut left_out = BTreeMap::new();
        let landed = self.land(&mut places, &mut left_out);
        if !left_out.is_empty() {
            let outcomes = (0..self.members.len()).map(|n| left_out.remove(&n).map(Err)).collect();
            return Done { outcomes, landed: None };
        }
        match landed {
            Ok(landed) => {
                let places = self.members.iter().zip(places);
                let settled = places.map(|(m, place)| Some(place.and_then(|p| m.settle(p))));
                Done { outcomes: settled.collect(), landed }
            }
            Err(error) => {
                let outcomes = self.members.iter().map(|_| Some(Err(error.clone()))).collect();
                Done { outcomes, landed: None }
            }
        }
    }

    /// Brings all members' commits into one line, has each recorded, and pushes
    /// the line. Nothing is pushed where one could not be recorded; `left_out`
    /// says whose.
    fn land(
        &self,
        places: &mut Vec<Result<Place, GitError>>,
        left_out: &mut BTreeMap<usize, GitError>,
    ) -> Result<Option<Landed>, GitError> {
        let Some(first) = self.members.first() else { return Ok(None) };
        let reference = first.request.reference()?;
        let repository = first.checkout.git()?;
        let local_error = GitError::local("pushing");
        let odb = repository.odb().map_err(&local_error)?;
        for other in self.members.iter().skip(1) {
            let objects = other.checkout.repository().dir().join("objects");
            add_objects(&odb, &objects)?;
        }
        let called_off = || self.members.iter().any(|m| m.cancel.is_cancelled());
        let mut tip = None;
        let overwrite = first.request.force && first.request.recorded().is_none();
        let judge = |old: Option<Oid>| {
            if let Some(old) = old.filter(|_| !overwrite) {
                self.know(&repository, first, old)?;
            }
            tip = old;
            let mut force = false;
            for member in self.members {
                let place = member.place(&repository, old, tip);
                if let Ok(Place::At(commit)) = &place {
                    tip = Some(*commit);
                    force |= member.request.force;
                }
                places.push(place);
            }
            *left_out = self.record(places)?;
            if !left_out.is_empty() {
                return Err(cancelled());
            }
            Ok(match tip {
                Some(id) if tip != old => Verdict::Push { id, force },
                _ => Verdict::Nothing,
            })
        };
        let moved =
            push_ref(&repository, &first.remote, &reference, &self.bounds, &called_off, judge)?;
        let Some(tip) = tip.filter(|_| moved) else { return Ok(None) };
        if first.request.force {
            return Ok(None);
        }
        if self.members.len() < 2 {
            // Only a help for the next push: that it failed is no error.
            let pack = self.pack(&repository, tip).ok().filter(|p| p.len() <= MAX_KEPT_PACK);
            return Ok(pack.map(|pack| Landed { tip, pack: Arc::new(pack) }));
        }
        let pack = self.pack(&repository, tip)?;
        for other in self.members.iter().skip(1) {
            write_pack(&other.checkout.repository().dir().join("objects"), &pack)?;
        }
        let keep = pack.len() <= MAX_KEPT_PACK;
        Ok(keep.then(|| Landed { tip, pack: Arc::new(pack) }))
    }

    /// Has recorded what is about to be pushed; those whose commits were not.
    fn record(
        &self,
        places: &[Result<Place, GitError>],
    ) -> Result<BTreeMap<usize, GitError>, GitError> {
        let mut recordings = Vec::new();
        for (n, (member, place)) in self.members.iter().zip(places).enumerate() {
            let request = &member.request;
            if let (Ok(Place::At(commit)), Some(intents)) = (place, &request.intents) {
                let reference = request.target.clone();
                let intent = Intent { reference: reference.clone(), id: commit.to_string() };
                recordings.push((n, format!("branch {reference}"), intents.record(intent)));
            }
        }
        intent::record(recordings)
    }

    /// Brings a commit of the server into the first member's clone: from what
    /// the last push left, or else from the server.
    fn know(
        &self,
        repository: &git2::Repository,
        first: &Member,
        commit: Oid,
    ) -> Result<(), GitError> {
        if repository.find_commit(commit).is_ok() {
            return Ok(());
        }
        if let Some(landed) = self.landed.filter(|landed| landed.tip == commit) {
            write_pack(&first.checkout.repository().dir().join("objects"), &landed.pack)?;
            let odb = repository.odb().map_err(GitError::local("pushing"))?;
            odb.refresh().map_err(GitError::local("pushing"))?;
            if repository.find_commit(commit).is_ok() {
                return Ok(());
            }
        }
        fetch_branch(repository, &first.remote, &first.request.target, commit, &self.bounds)
    }

    /// A pack of everything up to `tip` that the mirror may lack.
    fn pack(&self, repository: &git2::Repository, tip: Oid) -> Result<Vec<u8>, GitError> {
        let local = GitError::local("sharing what was pushed");
        let mut walk = repository.revwalk().map_err(&local)?;
        walk.push(tip).map_err(&local)?;
        for id in self.in_the_mirror()? {
            // The mirror may be newer than the clones; they see it all the same.
            if repository.find_commit(id).is_ok() {
                walk.hide(id).map_err(&local)?;
            }
        }
        let mut builder = repository.packbuilder().map_err(&local)?;
        builder.insert_walk(&mut walk).map_err(&local)?;
        let mut pack = git2::Buf::new();
        builder.write_buf(&mut pack).map_err(&local)?;
        Ok(pack.to_vec())
    }
}

impl Batch<'_> {
    /// Commits that the mirror has with all that leads to them: what the
    /// branches at hand are there, or else some others.
    fn in_the_mirror(&self) -> Result<Vec<Oid>, GitError> {
        let objects = self.members.iter().find_map(|member| member.mirror_objects());
        let mirror = objects.as_deref().and_then(Path::parent);
        let Some(mirror) = mirror.and_then(|dir| git2::Repository::open_bare(dir).ok()) else {
            return Ok(Vec::new());
        };
        let tip = |branch: &str| mirror.refname_to_id(&format!("refs/heads/{branch}")).ok();
        let mut known = Vec::new();
        for member in self.members {
            known.extend(tip(&member.request.target));
            known.extend(member.checkout.branch()?.and_then(|own| tip(&own)));
        }
        if known.is_empty() {
            let all = mirror.references_glob("refs/heads/*").map_err(GitError::local("pushing"))?;
            known.extend(all.flatten().filter_map(|reference| reference.target()).take(MAX_HIDDEN));
        }
        known.sort_unstable();
        known.dedup();
        Ok(known)
    }
}

/// How many branches are looked at where none of those at hand is known.
const MAX_HIDDEN: usize = 100;

impl Member {
    /// Where this member's commits are to stand, if the server has `old` and
    /// the members before it end at `tip`.
    fn place(
        &self,
        repository: &git2::Repository,
        old: Option<Oid>,
        tip: Option<Oid>,
    ) -> Result<Place, GitError> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        let request = &self.request;
        let local_error = GitError::local("pushing");
        let local = self.checkout.head_id(&self.checkout.git()?)?;
        let (Some(old), Some(tip)) = (old, tip) else {
            // The branch is new; who is not the first stands on the first.
            return match tip {
                None => Ok(Place::At(local)),
                Some(tip) => self.stand_on(repository, local, tip),
            };
        };
        if old == local {
            return Ok(Place::Ours(local));
        }
        let descends = |a: Oid, b: Oid| repository.graph_descendant_of(a, b).map_err(&local_error);
        let recorded = request.recorded();
        if let Some(recorded) = recorded {
            // All that leads to the server's commit is here, so what is not
            // here is not there.
            let known = repository.find_commit(recorded).is_ok();
            if old == recorded || (known && descends(old, recorded)?) {
                return Ok(Place::Ours(recorded));
            }
        }
        if request.force {
            return Ok(Place::At(local));
        }
        if !descends(local, old)? {
            // An attempt before the recorded one may have been taken by the
            // server after it was given up.
            if recorded.is_some() {
                let committer = Committer::new(&request.committer, request.time)?;
                let earlier = earlier_push(repository, local, old, &committer.signature)?;
                if let Some(ours) = earlier {
                    return Ok(Place::Ours(ours));
                }
            }
            if descends(old, local)? {
                // All of ours is in there.
                return Ok(Place::Follows(old));
            }
        }
        self.stand_on(repository, local, tip)
    }

    fn stand_on(
        &self,
        repository: &git2::Repository,
        local: Oid,
        tip: Oid,
    ) -> Result<Place, GitError> {
        let request = &self.request;
        let committer = Committer::new(&request.committer, request.time)?;
        let into = match self.checkout.branch()?.as_deref() {
            Some("master") => String::new(),
            Some(branch) => format!(" into {branch}"),
            None => " into HEAD".to_owned(),
        };
        let url = self.remote.url();
        let message = format!("Merge branch '{}' of {url}{into}\n", request.target);
        let next = integrate(repository, local, tip, request.policy, &committer, &message)?;
        if next != local {
            self.checkout.can_move(repository, local, next)?;
        }
        // The branch has every one of our changes already.
        Ok(if next == tip { Place::Ours(next) } else { Place::At(next) })
    }

    /// Moves the checkout to where its commits stand now.
    fn settle(&self, place: Place) -> Result<Pushed, GitError> {
        let repository = self.checkout.git()?;
        let local = self.checkout.head_id(&repository)?;
        let (Place::At(commit) | Place::Ours(commit) | Place::Follows(commit)) = place;
        if commit != local {
            if !matches!(place, Place::Follows(_)) {
                remember(&repository, local, commit)?;
            }
            self.checkout.move_to(&repository, commit)?;
        }
        let moved = matches!(place, Place::At(_));
        Ok(Pushed { commit: commit.to_string(), moved })
    }
}

fn add_objects(odb: &git2::Odb<'_>, objects: &Path) -> Result<(), GitError> {
    let path = objects.to_str().ok_or_else(|| {
        GitError::Config(format!("directory {} has a name that is not UTF-8", objects.display()))
    })?;
    odb.add_disk_alternate(path).map_err(GitError::local("pushing"))
}

/// Writes a pack into a clone's objects.
fn write_pack(objects: &Path, pack: &[u8]) -> Result<(), GitError> {
    use std::io::Write;
    let local = GitError::local("sharing what was pushed");
    let path = objects.to_str().unwrap_or_default();
    let odb = git2::Odb::new().map_err(&local)?;
    odb.add_disk_alternate(path).map_err(&local)?;
    let mut indexer =
        git2::Indexer::new(Some(&odb), &objects.join("pack"), 0o444, false).map_err(&local)?;
    indexer.write_all(pack).map_err(GitError::io("sharing what was pushed"))?;
    indexer.commit().map(drop).map_err(local)
}
