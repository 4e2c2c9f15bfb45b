//! The repository that one `git-clone` makes: bare, beside what steps see,
//! with the objects of a mirror and branches, tags and checkouts of its own.
//!
//! A checkout is a linked worktree of libgit2 with one difference: there is no
//! `.git` in the files. Which checkout a path belongs to is found by the
//! longest prefix among the paths that checkouts were made at, never by a
//! search through directories.

use std::fs;
use std::path::{Path, PathBuf};

use git2::Oid;

use crate::checkout::Checkout;
use crate::error::GitError;
use crate::mirror::{Snapshot, open_or_init, remove_leftovers};
use crate::sign::SigningKey;

/// Who commits, and with which key commits and tags are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The key; nothing is signed without one.
    pub signing_key: Option<SigningKey>,
}

impl Identity {
    /// Somebody who signs nothing.
    pub fn new(name: impl Into<String>, email: impl Into<String>) -> Self {
        Self { name: name.into(), email: email.into(), signing_key: None }
    }

    /// The same with a key.
    #[must_use]
    pub fn signing_with(self, key: SigningKey) -> Self {
        Self { signing_key: Some(key), ..self }
    }
}

impl Default for Identity {
    /// Kargo's (`steps-git` 4.4).
    fn default() -> Self {
        Self::new("Kargo", "no-reply@kargo.io")
    }
}

/// What later steps need to know about a clone (`steps-git` 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The repository's URL as configured, without userinfo: messages and
    /// credential look-ups use it.
    pub url: String,
    /// Who commits unless a step says otherwise.
    pub identity: Identity,
    /// Whether the server's certificate is taken unseen.
    pub insecure_skip_tls_verify: bool,
}

/// What to check out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A branch, attached: its tip, or the commit that was recorded earlier.
    Branch {
        /// Its name.
        name: String,
        /// The commit to start from in place of its tip.
        recorded: Option<String>,
    },
    /// A commit, detached.
    Commit(String),
    /// A tag, detached.
    Tag {
        /// Its name.
        name: String,
        /// The commit to take in place of what it names.
        recorded: Option<String>,
    },
}

/// One checkout to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutRequest {
    /// The path beneath the working directory, as the engine resolved it.
    pub path: String,
    /// The place on disk of that path.
    pub on_disk: PathBuf,
    /// What to check out.
    pub at: At,
    /// The folders to check out; all where empty.
    pub sparse: Vec<String>,
}

/// A clone on disk.
#[derive(Clone, Debug)]
pub struct Repository {
    dir: PathBuf,
    about: About,
}

/// The file in a checkout's Git directory that holds its path.
const PATH_FILE: &str = "checkout-path";
/// The file in a checkout's Git directory that holds its folders.
const SPARSE_FILE: &str = "checkout-folders";

impl Repository {
    /// Makes a clone at `dir` that takes its objects from the snapshot's
    /// mirror and knows its branches (as `refs/remotes/origin/…`) and tags.
    pub(crate) fn create(dir: &Path, snapshot: &Snapshot, about: About) -> Result<Self, GitError> {
        let repository = open_or_init(dir)?;
        let io = |doing: &str| GitError::io(format!("{doing} of a clone"));
        fs::create_dir_all(dir.join("objects/info")).map_err(io("objects"))?;
        let alternate = format!("{}\n", snapshot.objects_dir().display());
        fs::write(dir.join("objects/info/alternates"), alternate).map_err(io("alternates"))?;
        snapshot.pin(dir)?;
        let mut packed = String::new();
        for reference in snapshot.references() {
            let name = match reference.name.strip_prefix("refs/heads/") {
                Some(branch) => format!("refs/remotes/origin/{branch}"),
                None => reference.name.clone(),
            };
            packed.push_str(&format!("{} {name}\n", reference.id));
        }
        fs::write(dir.join("packed-refs"), packed).map_err(io("references"))?;
        let local = GitError::local("config of a clone");
        let mut config = repository.config().map_err(&local)?;
        config.set_str("supercargo.url", &about.url).map_err(&local)?;
        config.set_str("user.name", &about.identity.name).map_err(&local)?;
        config.set_str("user.email", &about.identity.email).map_err(&local)?;
        config.set_bool("http.sslVerify", !about.insecure_skip_tls_verify).map_err(&local)?;
        if let Some(key) = &about.identity.signing_key {
            write_hidden(&dir.join(KEY_FILE), key.text())
                .map_err(GitError::io("keeping the signing key of a clone"))?;
        }
        Ok(Self { dir: dir.to_owned(), about })
    }

    /// Opens the clone at `dir`.
    ///
    /// # Errors
    /// No clone there, or one that is not whole.
    pub fn open(dir: &Path) -> Result<Self, GitError> {
        let local = GitError::local("opening a clone");
        let repository = git2::Repository::open_bare(dir).map_err(&local)?;
        let config = repository.config().and_then(|mut c| c.snapshot()).map_err(&local)?;
        let text = |key: &str| config.get_str(key).map(str::to_owned).map_err(&local);
        let signing_key = match fs::read_to_string(dir.join(KEY_FILE)) {
            Ok(key) => Some(SigningKey::parse(&key)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(GitError::io("reading the signing key of a clone")(e)),
        };
        let about = About {
            url: text("supercargo.url")?,
            identity: Identity {
                name: text("user.name")?,
                email: text("user.email")?,
                signing_key,
            },
            insecure_skip_tls_verify: !config.get_bool("http.sslVerify").map_err(&local)?,
        };
        Ok(Self { dir: dir.to_owned(), about })
    }

    /// What it was cloned from and how.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn git(&self) -> Result<git2::Repository, GitError> {
        git2::Repository::open_bare(&self.dir).map_err(GitError::local("opening a clone"))
    }

    /// Its checkouts, oldest first.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn checkouts(&self) -> Result<Vec<Checkout>, GitError> {
        let worktrees = self.dir.join("worktrees");
        let entries = match fs::read_dir(&worktrees) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(GitError::io("listing checkouts")(e)),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let Ok(number) = entry.file_name().to_string_lossy().parse::<usize>() else { continue };
            found.push((number, self.load(&entry.path())?));
        }
        found.sort_by_key(|(number, _)| *number);
        Ok(found.into_iter().map(|(_, checkout)| checkout).collect())
    }

    fn load(&self, admin: &Path) -> Result<Checkout, GitError> {
        let read = |name: &str| {
            fs::read_to_string(admin.join(name))
                .map_err(GitError::io(format!("{name} of a checkout")))
        };
        let gitdir = read("gitdir")?;
        let on_disk = Path::new(gitdir.trim_end()).parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Checkout {
            repository: self.clone(),
            admin: admin.to_owned(),
            path: read(PATH_FILE)?,
            on_disk,
            sparse: read(SPARSE_FILE)?.lines().map(str::to_owned).collect(),
            nested: Vec::new(),
        })
    }

    /// The checkout among all clones below `git_dir` whose path is the longest
    /// that `path` is or lies beneath; `None` where there is none.
    ///
    /// # Errors
    /// Clones that cannot be read.
    pub fn checkout_at(git_dir: &Path, path: &str) -> Result<Option<Checkout>, GitError> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(git_dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(GitError::io("listing clones")(e)),
        };
        for entry in entries.flatten().filter(|e| e.path().join("HEAD").is_file()) {
            // A Promotion's steps follow one another: nobody is at work here.
            remove_leftovers(&entry.path());
            all.extend(Repository::open(&entry.path())?.checkouts()?);
        }
        let paths: Vec<String> = all.iter().map(|c| c.path.clone()).collect();
        let found = all
            .into_iter()
            .filter(|c| beneath(&c.path, path).is_some())
            .max_by_key(|c| c.path.trim_matches('.').len());
        Ok(found.map(|mut checkout| {
            checkout.nested = paths
                .iter()
                .filter(|other| **other != checkout.path)
                .filter_map(|other| beneath(&checkout.path, other))
                .collect();
            checkout
        }))
    }

    /// Makes a checkout. It is made whole or not at all.
    pub(crate) fn add_checkout(
        &self,
        snapshot: &Snapshot,
        request: &CheckoutRequest,
    ) -> Result<Checkout, GitError> {
        check_sparse(&request.sparse)?;
        let repository = self.git()?;
        let local = GitError::local("checking out");
        let (commit, branch) = self.resolve(&repository, snapshot, &request.at)?;
        let others = self.checkouts()?;
        if let Some(branch) = &branch {
            for other in &others {
                if other.branch()?.as_deref() == Some(branch.as_str()) {
                    return Err(GitError::AlreadyCheckedOut {
                        branch: branch.clone(),
                        path: other.path.clone(),
                    });
                }
            }
        }
        let occupied = match fs::read_dir(&request.on_disk) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => fs::symlink_metadata(&request.on_disk).is_ok(),
        };
        if occupied {
            return Err(GitError::AlreadyExists { path: request.path.clone() });
        }
        let io = || GitError::io("making a checkout");
        let taken = |n: &usize| self.dir.join("worktrees").join(n.to_string()).exists();
        let number = (0..).find(|n| !taken(n)).unwrap_or_default();
        let admin = self.dir.join("worktrees").join(number.to_string());
        fs::create_dir_all(&admin).map_err(io())?;
        fs::create_dir_all(&request.on_disk).map_err(io())?;
        let made = (|| {
            let head = match &branch {
                Some(name) => {
                    let reference = format!("refs/heads/{name}");
                    repository.reference(&reference, commit, true, "checkout").map_err(&local)?;
                    format!("ref: {reference}\n")
                }
                None => format!("{commit}\n"),
            };
            let gitdir = format!("{}\n", request.on_disk.join(".git").display());
            for (name, content) in [
                ("HEAD", head),
                ("commondir", "../..\n".to_owned()),
                ("gitdir", gitdir),
                (PATH_FILE, request.path.clone()),
                (SPARSE_FILE, request.sparse.join("\n")),
            ] {
                fs::write(admin.join(name), content).map_err(io())?;
            }
            let checkout = self.load(&admin)?;
            checkout.fill(commit)?;
            Ok(checkout)
        })();
        if made.is_err() {
            let _ = fs::remove_dir_all(&admin);
            let _ = fs::remove_dir_all(&request.on_disk);
        }
        made
    }

    fn resolve(
        &self,
        repository: &git2::Repository,
        snapshot: &Snapshot,
        at: &At,
    ) -> Result<(Oid, Option<String>), GitError> {
        let (named, branch, recorded) = match at {
            At::Branch { name, recorded } => {
                let tip = match recorded {
                    Some(_) => None,
                    None => Some(self.remote_branch(repository, snapshot, name)?),
                };
                (tip, Some(name.clone()), recorded)
            }
            At::Tag { name, recorded: None } => (Some(snapshot.tag(name)?), None, &None),
            At::Tag { recorded, .. } => (None, None, recorded),
            At::Commit(id) => {
                let object = Oid::from_str(id).ok().filter(|_| id.len() == 40);
                let object = object
                    .and_then(|id| repository.find_commit(id).ok())
                    .or_else(|| repository.find_commit_by_prefix(id).ok());
                let Some(commit) = object else {
                    return Err(GitError::CommitNotFound {
                        commit: id.clone(),
                        url: self.about.url.clone(),
                        hint: "; check the id, and that the branch it was on still exists"
                            .to_owned(),
                    });
                };
                return Ok((commit.id(), None));
            }
        };
        if let Some(recorded) = recorded {
            let commit =
                Oid::from_str(recorded).ok().and_then(|id| repository.find_commit(id).ok());
            let Some(commit) = commit else {
                return Err(GitError::CommitNotFound {
                    commit: recorded.clone(),
                    url: self.about.url.clone(),
                    hint: "; this Promotion had started from it, so its history was rewritten since: promote again".to_owned(),
                });
            };
            return Ok((commit.id(), branch));
        }
        let named = named.unwrap_or(Oid::ZERO_SHA1);
        let commit = repository
            .find_object(named, None)
            .and_then(|object| object.peel_to_commit())
            .map_err(GitError::local("checking out"))?;
        Ok((commit.id(), branch))
    }

    /// The tip of a branch: as this clone knows it (it may have made the
    /// branch itself), else as the server listed it.
    fn remote_branch(
        &self,
        repository: &git2::Repository,
        snapshot: &Snapshot,
        name: &str,
    ) -> Result<Oid, GitError> {
        match repository.refname_to_id(&format!("refs/remotes/origin/{name}")) {
            Ok(id) => Ok(id),
            Err(_) => snapshot.branch(name),
        }
    }

    /// Removes the clone, its checkouts and their files. Nothing there is no
    /// error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(dir: &Path) -> Result<(), GitError> {
        if let Ok(repository) = Repository::open(dir) {
            for checkout in repository.checkouts().unwrap_or_default() {
                let _ = fs::remove_dir_all(&checkout.on_disk);
            }
        }
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(GitError::io("removing a clone")(e))
            }
            _ => Ok(()),
        }
    }
}

/// What follows after `outer` in `path`, if that is or lies beneath `outer`.
fn beneath(outer: &str, path: &str) -> Option<String> {
    let clean = |p: &str| if p == "." { String::new() } else { p.trim_matches('/').to_owned() };
    let (outer, path) = (clean(outer), clean(path));
    if outer.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(&outer)?;
    if rest.is_empty() { Some(String::new()) } else { rest.strip_prefix('/').map(str::to_owned) }
}

pub(crate) fn path_beneath(outer: &str, path: &str) -> Option<String> {
    beneath(outer, path)
}

/// `steps-git` 4.6.
fn check_sparse(patterns: &[String]) -> Result<(), GitError> {
    for pattern in patterns {
        let problem = if pattern.starts_with('/') {
            format!("sparse checkout pattern must be relative: {pattern}")
        } else if pattern.starts_with("..") {
            format!("sparse checkout pattern cannot escape repository: {pattern}")
        } else if pattern.contains(['*', '?', '[']) {
            format!(
                "sparse checkout pattern cannot contain glob characters (*, ?, [): {pattern}; use directory paths like 'src/app' instead"
            )
        } else {
            continue;
        };
        return Err(GitError::Config(problem));
    }
    Ok(())
}

/// The file in a clone that holds its URL as configured.
const URL_FILE: &str = "configured-url";
/// The file in a clone that holds the key that its commits are signed with.
const KEY_FILE: &str = "signing-key";

/// Writes a file that its owner alone can read.
fn write_hidden(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

impl Repository {
    /// Keeps the URL as it was configured, userinfo included, for the steps
    /// after: they push with the same credentials where no Secret has others.
    /// The file can be read by the owner alone and lies outside of what steps
    /// see.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remember_configured_url(&self, url: &str) -> Result<(), GitError> {
        write_hidden(&self.dir.join(URL_FILE), url)
            .map_err(GitError::io("keeping the URL of a clone"))
    }

    /// The URL as it was configured. It may hold a password: it is for
    /// [`crate::Git::remote`] alone, never for messages.
    ///
    /// # Errors
    /// What the disk says.
    pub fn configured_url(&self) -> Result<String, GitError> {
        match fs::read_to_string(self.dir.join(URL_FILE)) {
            Ok(url) => Ok(url),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(self.about.url.clone()),
            Err(e) => Err(GitError::io("reading the URL of a clone")(e)),
        }
    }
}
