//! Whether the working directory is what the Promotion's status says.
//!
//! The status is the truth; the directory is a cache of what the recorded
//! steps did. Before a step touches the directory a mark is put beside it; it
//! is taken away once the step's result is on the status. A directory that
//! bears the mark when a pass begins holds acts that nobody recorded, so it
//! is thrown away and rebuilt by replay.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::workdir::{WorkDir, WorkDirError};

/// The mark's file, beside `work/` where steps cannot reach it.
const MARK: &str = "unrecorded";

fn mark(base: &Path) -> PathBuf {
    base.join(MARK)
}

fn io(base: &Path) -> impl Fn(std::io::Error) -> WorkDirError + '_ {
    |source| WorkDirError::Io { path: base.display().to_string(), source }
}

/// Opens the directory for a pass. The second value says whether the steps
/// recorded so far must be replayed: the directory was not there, or not
/// what the status says.
///
/// # Errors
/// What the file system says.
pub fn open(base: &Path) -> Result<(WorkDir, bool), WorkDirError> {
    if mark(base).exists() {
        // The mark goes last: a removal cut short must not leave half a
        // directory that looks whole.
        WorkDir::remove(&base.join("work"))?;
        WorkDir::remove(&base.join("git"))?;
        WorkDir::remove(base)?;
    }
    WorkDir::open(base)
}

/// Notes that the directory is about to hold what no status says.
///
/// # Errors
/// What the file system says.
pub fn unrecorded(base: &Path) -> Result<(), WorkDirError> {
    std::fs::write(mark(base), b"").map_err(io(base))
}

/// Notes that the status now says all that the directory holds.
///
/// # Errors
/// What the file system says.
pub fn recorded(base: &Path) -> Result<(), WorkDirError> {
    match std::fs::remove_file(mark(base)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io(base)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_directory_is_thrown_away() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().join("promotion-1");
        assert!(open(&base).unwrap().1, "made just now");
        std::fs::write(base.join("work/a"), "a").unwrap();
        assert!(!open(&base).unwrap().1, "kept");
        unrecorded(&base).unwrap();
        recorded(&base).unwrap();
        recorded(&base).unwrap();
        assert!(!open(&base).unwrap().1, "recorded, so kept");
        unrecorded(&base).unwrap();
        assert!(open(&base).unwrap().1, "thrown away and made again");
        assert!(!base.join("work/a").exists());
        assert!(!open(&base).unwrap().1, "the mark went with it");
    }
}
