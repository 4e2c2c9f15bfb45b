//! Which mirrors are kept: pins, sizes, and what goes first when there is too
//! much.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::error::GitError;

/// How deep directories of a mirror are looked into.
const MAX_DEPTH: usize = 16;

/// Keeps the mirror at `mirror` for as long as the directory `user` exists.
pub(crate) fn pin(mirror: &Path, user: &Path) -> Result<(), GitError> {
    let pins = mirror.join("pins");
    let name = hex::encode(Sha256::digest(user.as_os_str().as_encoded_bytes()));
    fs::create_dir_all(&pins)
        .and_then(|()| fs::write(pins.join(name), user.as_os_str().as_encoded_bytes()))
        .map_err(GitError::io("pinning a mirror"))
}

/// Whether a clone on disk takes objects from the mirror. Pins of clones that
/// are gone are removed.
pub(crate) fn is_pinned(mirror: &Path) -> bool {
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

/// Notes that the mirror was used now.
pub(crate) fn mark_used(mirror: &Path) -> Result<(), GitError> {
    File::create(mirror.join("used")).map(drop).map_err(GitError::io("marking a mirror as used"))
}

/// When the mirror was used last.
pub(crate) fn last_used(mirror: &Path) -> SystemTime {
    fs::metadata(mirror.join("used")).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The size of all files below a directory, in bytes. Links are not followed.
pub(crate) fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut todo = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() && depth < MAX_DEPTH => {
                    todo.push((entry.path(), depth + 1));
                }
                Ok(found) if found.is_file() => total += found.len(),
                _ => {}
            }
        }
    }
    total
}

/// A mirror on disk, as the choice of what goes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) used: SystemTime,
    /// In bytes.
    pub(crate) size: u64,
    /// In use by this process, or pinned by a clone.
    pub(crate) held: bool,
}

/// Which mirrors have to go so that no more than `max_count` with no more than
/// `max_bytes` in all remain: what was not used for longest goes first, and
/// what is held stays.
pub(crate) fn too_much(mirrors: &[Kept], max_count: usize, max_bytes: u64) -> Vec<String> {
    let mut count = mirrors.len();
    let mut bytes: u64 = mirrors.iter().map(|m| m.size).sum();
    let mut idle: Vec<&Kept> = mirrors.iter().filter(|m| !m.held).collect();
    idle.sort_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
    let mut gone = Vec::new();
    for mirror in idle {
        if count <= max_count && bytes <= max_bytes {
            break;
        }
        count -= 1;
        bytes -= mirror.size;
        gone.push(mirror.name.clone());
    }
    gone
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
            if is_dir && depth < MAX_DEPTH && !loose {
                todo.push((entry.path(), depth + 1));
            } else if !is_dir && (name.ends_with(".lock") || name.starts_with("pack_git2_")) {
                tracing::info!(file = %entry.path().display(), "removing what a killed process left");
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_what_is_held_stays() {
        let mirror = |name: &str, used: u64, size: u64, held: bool| Kept {
            name: name.into(),
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(used),
            size,
            held,
        };
        let mirrors = [
            mirror("newest", 9, 10, false),
            mirror("held", 1, 50, true),
            mirror("older", 3, 20, false),
            mirror("old", 2, 30, false),
        ];
        let cases: [(usize, u64, &[&str]); 6] = [
            (4, 110, &[]),
            (3, 110, &["old"]),
            (4, 100, &["old"]),
            (4, 79, &["old", "older"]),
            (1, 1, &["old", "older", "newest"]),
            (0, 0, &["old", "older", "newest"]),
        ];
        for (count, bytes, expected) in cases {
            assert_eq!(too_much(&mirrors, count, bytes), expected, "{count} {bytes}");
        }
        assert_eq!(too_much(&[], 0, 0), Vec::<String>::new());
    }

    #[test]
    fn a_size_is_that_of_all_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), [0; 100]).unwrap();
        fs::write(dir.path().join("d"), [0; 11]).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        assert_eq!(size(dir.path()), 111);
    }
}
