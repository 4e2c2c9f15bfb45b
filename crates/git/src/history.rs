//! Reading commits and tags from a mirror. What a commit says and which paths
//! it touches never changes, so it is read once and remembered, within bounds,
//! for all who walk through the same history.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use git2::{ErrorClass, ObjectType, Oid, Repository, Signature};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::error::{GitError, tidy};
use crate::remote::Bounds;
use crate::snapshot::Snapshot;
use crate::touched;

/// The largest commit or tag object that is read, in bytes.
const MAX_OBJECT: usize = 1 << 20;
/// How many commits one walk looks at.
const MAX_COMMITS: usize = 1_000_000;
/// How many annotated tags may lie in one another.
const MAX_TAGS_DEEP: usize = 16;

/// Paths as Git shows them, see [`Reader::touched`].
type Paths = Arc<[Box<str>]>;

/// A commit.
#[derive(Debug)]
pub struct Commit {
    id: Oid,
    first_parent: Option<Oid>,
    subject: Box<str>,
    author: Box<str>,
    committer: Box<str>,
    committed: (Timestamp, Offset),
    touched: OnceLock<Result<Paths, GitError>>,
}

impl Commit {
    /// Its id.
    pub fn id(&self) -> Oid {
        self.id
    }

    /// The first paragraph of its message, in one line.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `Name <email>` of its author.
    pub fn author(&self) -> &str {
        &self.author
    }

    /// `Name <email>` of its committer.
    pub fn committer(&self) -> &str {
        &self.committer
    }

    /// When it was committed, at the committer's offset from UTC.
    pub fn committed(&self) -> Zoned {
        zoned(self.committed)
    }

    fn bytes(&self) -> usize {
        mem::size_of::<Self>()
            + mem::size_of::<(Oid, Arc<Self>)>() * 2
            + self.subject.len()
            + self.author.len()
            + self.committer.len()
    }
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// What it names in the end: a commit, or (oddly) a tree or blob.
    pub target: Oid,
    /// The commit, where it names one.
    pub commit: Option<Arc<Commit>>,
    /// `Name <email>` of who made it; empty for a lightweight tag.
    pub tagger: String,
    /// The first line of its message; empty for a lightweight tag.
    pub annotation: String,
    /// When it was made, or the commit was where it is lightweight. Absent
    /// where neither says.
    pub created: Option<Zoned>,
}

fn zoned((at, offset): (Timestamp, Offset)) -> Zoned {
    at.to_zoned(TimeZone::fixed(offset))
}

/// A time in a commit. What cannot be shown becomes 1970 or UTC.
fn time(when: git2::Time) -> (Timestamp, Offset) {
    let at = Timestamp::from_second(when.seconds()).unwrap_or_default();
    let offset = Offset::from_seconds(when.offset_minutes().saturating_mul(60));
    (at, offset.unwrap_or(Offset::UTC))
}

fn person(signature: &Signature<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{} <{}>", text(signature.name_bytes()), text(signature.email_bytes()))
}

#[derive(Debug, Default)]
struct Known {
    commits: HashMap<Oid, Arc<Commit>>,
    bytes: usize,
}

/// What is known of a mirror's commits.
#[derive(Debug, Default)]
pub(crate) struct History {
    known: Mutex<Known>,
    read: AtomicU64,
}

/// Counts reads, to tell which history was read last.
static READS: AtomicU64 = AtomicU64::new(1);

impl History {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is remembered, in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.known().bytes
    }

    pub(crate) fn clear(&self) {
        *self.known() = Known::default();
    }

    /// Notes that it is being read.
    pub(crate) fn touch(&self) {
        self.read.store(READS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn last_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Reads from a snapshot. It blocks: see [`crate::Git::read`].
pub struct Reader<'a> {
    snapshot: &'a Snapshot,
    repository: Repository,
    bounds: Bounds,
    max_bytes: usize,
    /// A part of the history: where it ends, commits look like first ones.
    shallow: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn open(
        snapshot: &'a Snapshot,
        bounds: Bounds,
        max_bytes: usize,
    ) -> Result<Self, GitError> {
        let repository =
            Repository::open_bare(snapshot.dir()).map_err(GitError::local("opening a mirror"))?;
        // Every object was checked when it came in.
        let shallow = repository.is_shallow();
        Ok(Self { snapshot, repository, bounds, max_bytes, shallow })
    }

    /// The snapshot that is read.
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot
    }

    fn history(&self) -> &History {
        self.snapshot.mirror.history()
    }

    /// An error of reading. Objects that somebody made so are not the mirror's
    /// fault: a new one would have them, too.
    fn local(&self) -> impl Fn(git2::Error) -> GitError + use<'_> {
        let url = &self.snapshot.listing().url;
        move |error| match error.class() {
            ErrorClass::Object | ErrorClass::Tag | ErrorClass::Tree | ErrorClass::Invalid => {
                GitError::Config(format!(
                    "repo {url} has a malformed object: {}; correct it, or leave it out",
                    tidy(error.message())
                ))
            }
            _ => GitError::local("reading a mirror")(error),
        }
    }

    /// Refuses objects that nobody wrote by hand.
    fn check_size(&self, id: Oid, what: &str) -> Result<ObjectType, GitError> {
        let odb = self.repository.odb().map_err(self.local())?;
        let (size, kind) = odb.read_header(id).map_err(self.local())?;
        if size > MAX_OBJECT && matches!(kind, ObjectType::Commit | ObjectType::Tag) {
            return Err(GitError::Config(format!(
                "{what} of repo {} has {size} bytes; no more than {MAX_OBJECT} are read: correct it, or leave it out",
                self.snapshot.listing().url
            )));
        }
        Ok(kind)
    }

    /// A commit.
    ///
    /// # Errors
    /// [`GitError::Internal`] where it is not there,
    /// [`GitError::Config`] where it is too large.
    pub fn commit(&self, id: Oid) -> Result<Arc<Commit>, GitError> {
        if !self.shallow
            && let Some(commit) = self.history().known().commits.get(&id)
        {
            return Ok(commit.clone());
        }
        self.check_size(id, &format!("commit {id}"))?;
        let found = self.repository.find_commit(id).map_err(self.local())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        let commit = Arc::new(Commit {
            id,
            first_parent: found.parent_ids().next(),
            subject: text(found.summary_bytes().unwrap_or_default()),
            author: person(&found.author()).into_boxed_str(),
            committer: person(&found.committer()).into_boxed_str(),
            committed: time(found.time()),
            touched: OnceLock::new(),
        });
        if self.shallow {
            return Ok(commit);
        }
        let mut known = self.history().known();
        if let Some(commit) = known.commits.get(&id) {
            return Ok(commit.clone());
        }
        if known.bytes < self.max_bytes {
            known.bytes += commit.bytes();
            known.commits.insert(id, commit.clone());
        }
        Ok(commit)
    }

    /// The commit of that id in hex; `None` where it is another kind of object.
    ///
    /// # Errors
    /// As [`Reader::commit`].
    pub fn commit_named(&self, id: &str) -> Result<Option<Arc<Commit>>, GitError> {
        let id = Oid::from_str(id).map_err(self.local())?;
        match self.check_size(id, &format!("commit {id}"))? {
            ObjectType::Commit => self.commit(id).map(Some),
            _ => Ok(None),
        }
    }

    /// The commits from `tip` on along first parents, the newest first, to the
    /// beginning of history (or of the part that was asked for).
    pub fn first_parents(&self, tip: Oid) -> FirstParents<'_, 'a> {
        let history = self.history();
        let mut known = history.known();
        // What fills the memory is history that nobody walks any more.
        if known.bytes >= self.max_bytes && !known.commits.contains_key(&tip) {
            *known = Known::default();
        }
        FirstParents { reader: self, next: Some(tip), seen: 0 }
    }

    /// The paths that differ between a commit and its first parent (all its
    /// files, where it has none), as `git show --name-status` prints them:
    /// those with other than plain ASCII characters in quotes. Both paths of
    /// what was moved are there.
    ///
    /// # Errors
    /// [`GitError::Internal`] where trees are missing, [`GitError::Config`]
    /// for more paths than are read.
    pub fn touched(&self, commit: &Commit) -> Result<Arc<[Box<str>]>, GitError> {
        commit
            .touched
            .get_or_init(|| {
                let found = touched::paths(&self.repository, commit.id, commit.first_parent)?;
                let bytes: usize = found.iter().map(|p| p.len() + mem::size_of::<Box<str>>()).sum();
                let mut known = self.history().known();
                if !self.shallow && known.commits.contains_key(&commit.id) {
                    known.bytes += bytes;
                }
                drop(known);
                Ok(found.into())
            })
            .clone()
    }

    /// What a tag's reference names.
    ///
    /// # Errors
    /// [`GitError::Internal`] where objects are missing, [`GitError::Config`]
    /// where one is too large.
    pub fn tag(&self, name: &str, id: Oid) -> Result<Tag, GitError> {
        let mut tag = Tag {
            target: id,
            commit: None,
            tagger: String::new(),
            annotation: String::new(),
            created: None,
        };
        let mut kind = self.check_size(id, &format!("tag {name:?}"))?;
        let annotated = kind == ObjectType::Tag;
        for depth in 0..MAX_TAGS_DEEP {
            if kind != ObjectType::Tag {
                break;
            }
            let object = self.repository.find_tag(tag.target).map_err(self.local())?;
            if depth == 0 {
                let message = String::from_utf8_lossy(object.message_bytes().unwrap_or_default());
                tag.annotation = message.lines().next().unwrap_or_default().to_owned();
                if let Some(tagger) = object.tagger() {
                    tag.tagger = person(&tagger);
                    tag.created = Some(zoned(time(tagger.when())));
                }
            }
            tag.target = object.target_id();
            kind = self.check_size(tag.target, &format!("tag {name:?}"))?;
        }
        if kind == ObjectType::Commit {
            let commit = self.commit(tag.target)?;
            if !annotated {
                tag.created = Some(commit.committed());
            }
            tag.commit = Some(commit);
        }
        Ok(tag)
    }
}

/// See [`Reader::first_parents`].
pub struct FirstParents<'r, 'a> {
    reader: &'r Reader<'a>,
    next: Option<Oid>,
    seen: usize,
}

impl Iterator for FirstParents<'_, '_> {
    type Item = Result<Arc<Commit>, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next.take()?;
        let reader = self.reader;
        let url = &reader.snapshot.listing().url;
        if self.seen >= MAX_COMMITS {
            return Some(Err(GitError::Config(format!(
                "no more than {MAX_COMMITS} commits of repo {url} are looked at; narrow the search with since"
            ))));
        }
        if self.seen.is_multiple_of(64)
            && let Err(ended) = reader.bounds.check(&format!("reading the history of repo {url}"))
        {
            return Some(Err(ended));
        }
        self.seen += 1;
        let commit = reader.commit(id);
        if let Ok(commit) = &commit {
            // Where a part of the history ends, the parent is named and absent.
            self.next = commit.first_parent.filter(|parent| {
                !reader.shallow
                    || reader.repository.odb().is_ok_and(|objects| objects.exists(*parent))
            });
        }
        Some(commit)
    }
}
