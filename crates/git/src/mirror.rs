//! Mirrors: one bare copy of a repository per set of credentials, written by
//! fetch alone and shared by everybody in the process.
//!
//! A mirror holds objects. What it *shows* is a [`Snapshot`]: the references
//! as the server listed them to the credentials at hand. Mirrors are
//! disposable: one that is broken or too many is thrown away, unless a clone
//! on disk still takes its objects from it (a pin).

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use git2::{Direction, Oid, ProxyOptions};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::{GitError, existing};
use crate::remote::{Bounds, Conversation, Remote};

/// How many references of a repository are looked at.
const MAX_REFERENCES: usize = 500_000;

/// How fresh a snapshot has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Listed after the call was made.
    Now,
    /// Listed no longer ago than this.
    Within(Duration),
}

/// A branch or tag as a server listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRef {
    /// The full name, `refs/heads/…` or `refs/tags/…`.
    pub name: String,
    /// What it names: a commit, or an annotated tag's object.
    pub id: Oid,
}

/// What a repository looked like when its references were listed. While it
/// lives, the mirror that has its objects is kept.
#[derive(Clone, Debug)]
pub struct Snapshot {
    mirror: Arc<Mirror>,
    url: String,
    references: Arc<Vec<ListedRef>>,
    default_branch: Option<String>,
}

impl Snapshot {
    /// Its branches and tags.
    pub fn references(&self) -> &[ListedRef] {
        &self.references
    }

    /// The branch that the server's `HEAD` names, if there is one.
    pub fn default_branch(&self) -> Option<&str> {
        self.default_branch.as_deref()
    }

    /// The tip of a branch.
    ///
    /// # Errors
    /// [`GitError::BranchNotFound`] with the branches that there are.
    pub fn branch(&self, branch: &str) -> Result<Oid, GitError> {
        self.find(&format!("refs/heads/{branch}")).ok_or_else(|| GitError::BranchNotFound {
            branch: branch.to_owned(),
            url: self.url.clone(),
            existing: existing("branches", self.names("refs/heads/")),
        })
    }

    /// What a tag names.
    ///
    /// # Errors
    /// [`GitError::TagNotFound`] with the tags that there are.
    pub fn tag(&self, tag: &str) -> Result<Oid, GitError> {
        self.find(&format!("refs/tags/{tag}")).ok_or_else(|| GitError::TagNotFound {
            tag: tag.to_owned(),
            url: self.url.clone(),
            existing: existing("tags", self.names("refs/tags/")),
        })
    }

    fn find(&self, name: &str) -> Option<Oid> {
        self.references.iter().find(|r| r.name == name).map(|r| r.id)
    }

    fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.references.iter().filter_map(move |r| r.name.strip_prefix(prefix))
    }

    /// Where the mirror's objects lie.
    pub(crate) fn objects_dir(&self) -> PathBuf {
        self.mirror.dir.join("objects")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.mirror.dir
    }

    /// Keeps the mirror for as long as the directory `user` exists.
    pub(crate) fn pin(&self, user: &Path) -> Result<(), GitError> {
        let pins = self.mirror.dir.join("pins");
        let name = hex::encode(Sha256::digest(user.as_os_str().as_encoded_bytes()));
        fs::create_dir_all(&pins)
            .and_then(|()| fs::write(pins.join(name), user.as_os_str().as_encoded_bytes()))
            .map_err(GitError::io("pinning a mirror"))
    }
}

#[derive(Debug)]
struct Listed {
    started: Instant,
    fingerprint: String,
    snapshot_references: Arc<Vec<ListedRef>>,
    default_branch: Option<String>,
}

/// One mirror. Its state is locked for the time of a fetch.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    last: Arc<tokio::sync::Mutex<Option<Listed>>>,
}

/// The mirrors of one directory, which no other process may use.
#[derive(Debug)]
pub(crate) struct Mirrors {
    dir: PathBuf,
    max: usize,
    known: Mutex<HashMap<String, Arc<Mirror>>>,
    _lock: File,
}

impl Mirrors {
    pub(crate) fn open(dir: &Path, max: usize) -> Result<Self, GitError> {
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
        Ok(Self { dir, max: max.max(1), known: Mutex::default(), _lock: lock })
    }

    fn get(&self, remote: &Remote) -> Arc<Mirror> {
        let key = remote.mirror_key();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = known.get(&key) {
            return mirror.clone();
        }
        self.evict(&mut known);
        let mirror = Arc::new(Mirror { dir: self.dir.join(&key), last: Arc::default() });
        // Nobody of this process has opened it yet, and no other may.
        remove_leftovers(&mirror.dir);
        known.insert(key, mirror.clone());
        mirror
    }

    /// Makes room for one more: throws away what was not used for longest and
    /// is neither in use nor pinned.
    fn evict(&self, known: &mut HashMap<String, Arc<Mirror>>) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut idle: Vec<(SystemTime, String)> = Vec::new();
        let mut total = 0;
        for entry in entries.flatten().filter(|e| e.path().is_dir()) {
            total += 1;
            let name = entry.file_name().to_string_lossy().into_owned();
            let in_use = known.get(&name).is_some_and(|m| Arc::strong_count(m) > 1);
            if !in_use && !is_pinned(&entry.path()) {
                let used = fs::metadata(entry.path().join("used")).and_then(|m| m.modified());
                idle.push((used.unwrap_or(SystemTime::UNIX_EPOCH), name));
            }
        }
        idle.sort();
        let too_many = (total + 1usize).saturating_sub(self.max);
        for (_, name) in idle.into_iter().take(too_many) {
            known.remove(&name);
            if let Err(error) = fs::remove_dir_all(self.dir.join(&name)) {
                tracing::warn!(%error, mirror = name, "an unused mirror could not be removed");
            }
        }
    }

    /// What the repository looks like, with all its objects fetched. Callers
    /// for one repository share one fetch.
    pub(crate) async fn snapshot(
        &self,
        remote: &Remote,
        freshness: Freshness,
        turns: &Arc<tokio::sync::Semaphore>,
        cancel: &CancellationToken,
        bounds: impl FnOnce() -> Bounds,
    ) -> Result<Snapshot, GitError> {
        let asked = Instant::now();
        let mirror = self.get(remote);
        let fingerprint = remote.fingerprint();
        let url = remote.url().to_owned();
        let cancelled = || GitError::Cancelled { doing: "fetching".to_owned() };
        let mut last = tokio::select! {
            last = mirror.last.clone().lock_owned() => last,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        if let Some(listed) = last.as_ref()
            && listed.fingerprint == fingerprint
            && match freshness {
                Freshness::Now => listed.started >= asked,
                Freshness::Within(age) => listed.started + age >= asked,
            }
        {
            return Ok(Snapshot {
                mirror: mirror.clone(),
                url,
                references: listed.snapshot_references.clone(),
                default_branch: listed.default_branch.clone(),
            });
        }
        // Whoever waits for somebody else's fetch takes nobody's turn.
        let turn = tokio::select! {
            turn = turns.clone().acquire_owned() => turn,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        let bounds = bounds();
        let remote = remote.clone();
        let ours = mirror.clone();
        // The lock goes along: a caller that goes away does not let a second
        // fetch in beside the first.
        let fetching = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let started = Instant::now();
            let (references, default_branch) = match fetch(&ours.dir, &remote, &bounds) {
                Err(GitError::Internal { doing, message }) if !is_pinned(&ours.dir) => {
                    tracing::warn!(doing, message, "a mirror is broken and made anew");
                    let _ = fs::remove_dir_all(&ours.dir);
                    fetch(&ours.dir, &remote, &bounds)?
                }
                other => other?,
            };
            let references = Arc::new(references);
            *last = Some(Listed {
                started,
                fingerprint,
                snapshot_references: references.clone(),
                default_branch: default_branch.clone(),
            });
            Ok((references, default_branch))
        });
        // A server that has fallen silent holds the thread until its timeout;
        // whoever ends need not wait for that.
        let fetched = tokio::select! {
            fetched = fetching => fetched,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        let (references, default_branch) = match fetched {
            Ok(done) => done?,
            Err(error) => {
                return Err(GitError::Internal {
                    doing: format!("fetching {url}"),
                    message: error.to_string(),
                });
            }
        };
        Ok(Snapshot { mirror, url, references, default_branch })
    }
}

fn is_pinned(mirror: &Path) -> bool {
    let Ok(pins) = fs::read_dir(mirror.join("pins")) else { return false };
    let mut pinned = false;
    for pin in pins.flatten() {
        let user = fs::read_to_string(pin.path()).unwrap_or_default();
        if !user.is_empty() && Path::new(&user).is_dir() {
            pinned = true;
        } else {
            let _ = fs::remove_file(pin.path());
        }
    }
    pinned
}

/// Removes what a process that was killed has left in a repository of ours:
/// lock files, which would block every change for good, and packs that were
/// being written. Only for repositories that nobody is using.
pub(crate) fn remove_leftovers(dir: &Path) {
    let mut todo = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            // Loose objects are written under other names and renamed.
            let loose = name.len() == 2 && dir.ends_with("objects");
            if is_dir && depth < 16 && !loose {
                todo.push((entry.path(), depth + 1));
            } else if !is_dir && (name.ends_with(".lock") || name.starts_with("pack_git2_")) {
                tracing::info!(file = %entry.path().display(), "removing what a killed process left");
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Opens a bare repository, making it where there is none. Redirects to other
/// hosts are followed by none of our connections.
pub(crate) fn open_or_init(dir: &Path) -> Result<git2::Repository, GitError> {
    if let Ok(repository) = git2::Repository::open_bare(dir) {
        return Ok(repository);
    }
    let doing = "making a repository on disk";
    let local = GitError::local(doing);
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false).initial_head("main");
    let repository = git2::Repository::init_opts(dir, &options).map_err(&local)?;
    let mut config = repository.config().map_err(&local)?;
    config.set_str("http.followRedirects", "false").map_err(&local)?;
    drop(config);
    Ok(repository)
}

type Fetched = (Vec<ListedRef>, Option<String>);

fn fetch(dir: &Path, remote: &Remote, bounds: &Bounds) -> Result<Fetched, GitError> {
    bounds.check("fetching")?;
    let repository = open_or_init(dir)?;
    let conversation = Conversation::new(remote, bounds, "fetching");
    let explain = |error: git2::Error| conversation.explain(&error);
    let mut origin = repository.remote_anonymous(remote.access_url()).map_err(explain)?;
    let mut connection = origin
        .connect_auth(Direction::Fetch, Some(conversation.callbacks()), Some(proxy()))
        .map_err(explain)?;
    let mut references = Vec::new();
    let mut head = None;
    for listed in connection.list().map_err(explain)? {
        let name = listed.name();
        if name == "HEAD" {
            head = Some(listed.oid());
        }
        let wanted = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        // A name that Git would not take (a line break in it) is no name.
        if wanted && !name.ends_with("^{}") && git2::Reference::is_valid_name(name) {
            references.push(ListedRef { name: name.to_owned(), id: listed.oid() });
        }
    }
    if references.len() > MAX_REFERENCES {
        return Err(GitError::Config(format!(
            "repo {} has more than {MAX_REFERENCES} branches and tags",
            remote.url()
        )));
    }
    let default_branch = connection
        .default_branch()
        .ok()
        .and_then(|name| name.as_str().ok().map(str::to_owned))
        .and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned))
        .or_else(|| guess_default(head, &references));
    let missing = forget_stale(&repository, &references).map_err(GitError::local("mirror"))?;
    if missing {
        let mut options = git2::FetchOptions::new();
        options
            .remote_callbacks(conversation.callbacks())
            .proxy_options(proxy())
            .follow_redirects(git2::RemoteRedirect::None)
            .download_tags(git2::AutotagOption::None)
            .update_fetchhead(false);
        let specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        connection.remote().fetch(&specs, Some(&mut options), None).map_err(explain)?;
    }
    drop(connection);
    File::create(dir.join("used")).map_err(GitError::io("marking a mirror as used"))?;
    Ok((references, default_branch))
}

/// Removes references that the server no longer has; whether there are objects
/// to fetch.
fn forget_stale(repository: &git2::Repository, listed: &[ListedRef]) -> Result<bool, git2::Error> {
    let wanted: HashMap<&str, Oid> = listed.iter().map(|r| (r.name.as_str(), r.id)).collect();
    let mut same = 0;
    for reference in repository.references()? {
        let mut reference = reference?;
        let name = reference.name().unwrap_or_default().to_owned();
        match wanted.get(name.as_str()) {
            Some(id) if reference.target() == Some(*id) => same += 1,
            Some(_) => {}
            None if name == "HEAD" => {}
            None => reference.delete()?,
        }
    }
    Ok(same < wanted.len())
}

fn guess_default(head: Option<Oid>, references: &[ListedRef]) -> Option<String> {
    let head = head?;
    let mut branches: Vec<&str> = references
        .iter()
        .filter(|r| r.id == head)
        .filter_map(|r| r.name.strip_prefix("refs/heads/"))
        .collect();
    branches.sort_by_key(|name| (*name != "main", *name != "master", *name));
    branches.first().map(|name| (*name).to_owned())
}

pub(crate) fn proxy() -> ProxyOptions<'static> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}
