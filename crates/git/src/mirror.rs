//! Mirrors: one bare copy of a repository per set of credentials, written by
//! fetch alone and shared by everybody in the process.
//!
//! A mirror holds objects. What it *shows* is a [`Snapshot`]: the references
//! as the server listed them to the credentials at hand. Mirrors are
//! disposable: one that is broken is made anew, and of too many or too large
//! ones those go that were not used for longest, unless a clone on disk still
//! takes its objects from them (a pin).
//!
//! * `snapshot`: what is handed out.
//! * `fetch`: one conversation with a server.
//! * `eviction`: what is kept, and what goes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::GitError;
use crate::eviction::{self, Kept};
use crate::fetch::{self, Before, Has};
use crate::history::History;
use crate::remote::{Bounds, Remote};
use crate::snapshot::{Freshness, Listing, Need};

pub(crate) use crate::eviction::remove_leftovers;
pub(crate) use crate::fetch::{open_or_init, proxy};
pub(crate) use crate::snapshot::Snapshot;

/// How much later than its deadline a fetch is left to itself: its own
/// callbacks say better what happened.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Listed {
    started: Instant,
    fingerprint: String,
    listing: Listing,
    has: Has,
}

/// One mirror. Its state is locked for the time of a fetch.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    last: Arc<tokio::sync::Mutex<Option<Listed>>>,
    broken: AtomicBool,
    history: History,
}

impl Mirror {
    fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            last: Arc::default(),
            broken: AtomicBool::new(false),
            history: History::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known of its commits.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Has it made anew before anything else is taken from it.
    pub(crate) fn mark_broken(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

/// How many mirrors there may be, and how large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) count: usize,
    /// In bytes, all mirrors together.
    pub(crate) bytes: u64,
}

/// The mirrors of one directory, which no other process may use.
#[derive(Debug)]
pub(crate) struct Mirrors {
    dir: PathBuf,
    limits: Limits,
    known: Mutex<HashMap<String, Arc<Mirror>>>,
    sizes: Mutex<HashMap<String, u64>>,
    _lock: File,
}

/// What a look at a repository found: its references, and its objects where
/// they were needed.
#[derive(Clone, Debug)]
pub struct Look {
    /// The references.
    pub listing: Listing,
    /// The objects, unless the answer was [`Need::Nothing`].
    pub snapshot: Option<Snapshot>,
}

impl Mirrors {
    pub(crate) fn open(dir: &Path, limits: Limits) -> Result<Self, GitError> {
        fs::create_dir_all(dir).map_err(GitError::io(format!("directory {}", dir.display())))?;
        let dir =
            dir.canonicalize().map_err(GitError::io(format!("directory {}", dir.display())))?;
        let lock = File::create(dir.join("lock"))
            .map_err(GitError::io(format!("lock in {}", dir.display())))?;
        lock.try_lock().map_err(|_| {
            GitError::Config(format!(
                "the mirror directory {} is in use by another process; give each process its own",
                dir.display()
            ))
        })?;
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            // A mirror that was being made anew when the process was killed.
            if entry.path().extension().is_some() && entry.path().is_dir() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let limits = Limits { count: limits.count.max(1), bytes: limits.bytes };
        Ok(Self { dir, limits, known: Mutex::default(), sizes: Mutex::default(), _lock: lock })
    }

    fn get(&self, remote: &Remote) -> Arc<Mirror> {
        let key = remote.mirror_key();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = known.get(&key) {
            return mirror.clone();
        }
        self.evict(&mut known, 1);
        let mirror = Arc::new(Mirror::new(self.dir.join(&key)));
        // Nobody of this process has opened it yet, and no other may.
        remove_leftovers(&mirror.dir);
        known.insert(key, mirror.clone());
        mirror
    }

    /// Throws away what there is too much of, with `room` for more mirrors.
    fn evict(&self, known: &mut HashMap<String, Arc<Mirror>>, room: usize) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mirrors = Vec::new();
        for entry in entries.flatten().filter(|e| e.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains('.') {
                continue;
            }
            let in_use = known.get(&name).is_some_and(|m| Arc::strong_count(m) > 1);
            let size = *sizes.entry(name.clone()).or_insert_with(|| eviction::size(&entry.path()));
            mirrors.push(Kept {
                used: eviction::last_used(&entry.path()),
                size,
                held: in_use || eviction::is_pinned(&entry.path()),
                name,
            });
        }
        let count = self.limits.count.saturating_sub(room);
        for name in eviction::too_much(&mirrors, count, self.limits.bytes) {
            known.remove(&name);
            sizes.remove(&name);
            if let Err(error) = fs::remove_dir_all(self.dir.join(&name)) {
                tracing::warn!(%error, mirror = name, "an unused mirror could not be removed");
            }
        }
    }

    /// Forgets what is known of the commits of mirrors that were not read for
    /// longest, until no more than `max_bytes` are remembered.
    pub(crate) fn forget_histories(&self, reading: &Snapshot, max_bytes: usize) {
        reading.mirror.history.touch();
        let mirrors: Vec<Arc<Mirror>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().cloned().collect()
        };
        let mut remembered: usize = mirrors.iter().map(|m| m.history.bytes()).sum();
        if remembered <= max_bytes {
            return;
        }
        let mut others: Vec<&Arc<Mirror>> =
            mirrors.iter().filter(|m| !Arc::ptr_eq(m, &reading.mirror)).collect();
        others.sort_by_key(|m| m.history.last_read());
        for mirror in others {
            if remembered <= max_bytes {
                break;
            }
            remembered = remembered.saturating_sub(mirror.history.bytes());
            mirror.history.clear();
        }
    }

    /// Notes how large a mirror has become, and throws others away where all
    /// are too large together.
    fn measure(&self, mirror: &Mirror) {
        let Some(name) = mirror.dir.file_name().map(|n| n.to_string_lossy().into_owned()) else {
            return;
        };
        let size = eviction::size(&mirror.dir);
        let total: u64 = {
            let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
            sizes.insert(name, size);
            sizes.values().sum()
        };
        if total > self.limits.bytes {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            self.evict(&mut known, 0);
        }
    }

    /// Looks at a repository: lists its references, and fetches the objects
    /// that `need` says are needed of what was listed. Callers for one
    /// repository share one conversation.
    pub(crate) async fn look(
        &self,
        remote: &Remote,
        freshness: Freshness,
        need: impl Fn(&Listing) -> Need + Send + 'static,
        turns: &Arc<tokio::sync::Semaphore>,
        bounds: Bounds,
    ) -> Result<Look, GitError> {
        let asked = Instant::now();
        let (cancel, deadline) = (bounds.cancel.clone(), bounds.deadline + GRACE);
        let limit = bounds.limit;
        let doing = format!("fetching from {} (repo {})", remote.host(), remote.url());
        let looking = async {
            let mirror = self.get(remote);
            let fingerprint = remote.fingerprint();
            let mut last = mirror.last.clone().lock_owned().await;
            let broken = mirror.broken.load(Ordering::SeqCst);
            if let Some(listed) = last.as_ref()
                && !broken
                && listed.fingerprint == fingerprint
                && freshness.takes(listed.started, asked)
            {
                let need = need(&listed.listing);
                if listed.has.serves(&need, &listed.listing) {
                    return Ok((found(&mirror, &listed.listing, &need), None));
                }
            }
            // Whoever waits for somebody else's fetch takes nobody's turn. A
            // thread that hangs at a server keeps the mirror, not the turn.
            let _turn = turns
                .acquire()
                .await
                .map_err(|e| GitError::Internal { doing: doing.clone(), message: e.to_string() })?;
            let (remote, ours) = (remote.clone(), mirror.clone());
            // The lock goes along: a caller that goes away does not let a
            // second fetch in beside the first.
            let fetching = tokio::task::spawn_blocking(move || {
                let started = Instant::now();
                let before = last.take().map_or_else(Before::default, |listed| Before {
                    references: Some(listed.listing.references.clone()),
                    has: listed.has,
                });
                let (listing, has) = converse_or_rebuild(&ours, &remote, &bounds, before, &need)?;
                let need = need(&listing);
                let look = found(&ours, &listing, &need);
                let grown = has != Has::Nothing;
                *last = Some(Listed { started, fingerprint, listing, has });
                Ok((look, grown.then_some(ours)))
            });
            fetching.await.map_err(|error| GitError::Internal {
                doing: doing.clone(),
                message: error.to_string(),
            })?
        };
        // A server that has fallen silent holds the thread until its timeout;
        // whoever ends, or has no more time, need not wait for that.
        let (look, grown) = tokio::select! {
            looked = looking => looked.map_err(|e: GitError| e.with_doing(&doing))?,
            () = cancel.cancelled() => return Err(GitError::Cancelled { doing }),
            () = tokio::time::sleep_until(deadline.into()) => {
                return Err(GitError::Timeout { doing, limit });
            }
        };
        if let Some(mirror) = grown {
            self.measure(&mirror);
        }
        Ok(look)
    }
}

fn found(mirror: &Arc<Mirror>, listing: &Listing, need: &Need) -> Look {
    let snapshot = (*need != Need::Nothing)
        .then(|| Snapshot { mirror: mirror.clone(), listing: listing.clone() });
    Look { listing: listing.clone(), snapshot }
}

/// A mirror that cannot be read or written is made anew beside the old one,
/// and takes its place once it is whole.
fn converse_or_rebuild(
    mirror: &Mirror,
    remote: &Remote,
    bounds: &Bounds,
    before: Before,
    need: &dyn Fn(&Listing) -> Need,
) -> Result<(Listing, Has), GitError> {
    if !mirror.broken.load(Ordering::SeqCst) {
        match fetch::converse(&mirror.dir, remote, bounds, before, need) {
            Err(GitError::Internal { doing, message }) => {
                tracing::warn!(doing, message, "a mirror is broken and made anew");
            }
            other => return other,
        }
    }
    let fresh = mirror.dir.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    // Clones take all kinds of objects from it.
    let whole = |_: &Listing| Need::Everything;
    let need = if eviction::is_pinned(&mirror.dir) { &whole } else { need };
    let found = fetch::converse(&fresh, remote, bounds, Before::default(), need);
    let swapped = found.and_then(|found| {
        replace(&mirror.dir, &fresh).map_err(GitError::io("replacing a broken mirror"))?;
        Ok(found)
    });
    match swapped {
        Ok(found) => {
            mirror.history.clear();
            mirror.broken.store(false, Ordering::SeqCst);
            Ok(found)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&fresh);
            Err(error)
        }
    }
}

/// Puts `fresh` in the place of `dir`, whose pins it keeps.
fn replace(dir: &Path, fresh: &Path) -> std::io::Result<()> {
    let pins = fresh.join("pins");
    fs::create_dir_all(&pins)?;
    for pin in fs::read_dir(dir.join("pins")).into_iter().flatten().flatten() {
        fs::copy(pin.path(), pins.join(pin.file_name()))?;
    }
    let old = dir.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    if dir.exists() {
        fs::rename(dir, &old)?;
    }
    fs::rename(fresh, dir)?;
    let _ = fs::remove_dir_all(&old);
    Ok(())
}
