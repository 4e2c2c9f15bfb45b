//! Emptying a checkout (`steps-git` 6).

use std::collections::BTreeSet;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::checkout::Checkout;
use crate::error::GitError;
use crate::repository::path_beneath;

impl Checkout {
    /// Removes everything beneath a path that git knows or would stage, from
    /// the directory and from what is staged. What git ignores and does not
    /// know stays, and so does what lies outside of a sparse checkout's
    /// folders. Folders that are empty then go, too.
    ///
    /// # Errors
    /// What the disk says.
    pub fn clear(&self, path: &str) -> Result<(), GitError> {
        let repository = self.git()?;
        let local = GitError::local("clearing a checkout");
        let io = |e: std::io::Error| GitError::io("clearing a checkout")(e);
        self.stage(&repository, path)?;
        let mut index = repository.index().map_err(&local)?;
        index.read(true).map_err(&local)?;
        let below = path_beneath(self.path(), path).unwrap_or_default();
        let gitlink = u32::from(git2::FileMode::Commit);
        let known: Vec<(String, bool)> = index
            .iter()
            .map(|e| (String::from_utf8_lossy(&e.path).into_owned(), e.mode == gitlink))
            .filter(|(file, _)| path_beneath(&below, file).is_some() && self.in_cone(file))
            .collect();
        // Through a handle: whatever lies on the way, nothing outside is removed.
        let dir = Dir::open_ambient_dir(&self.on_disk, ambient_authority()).map_err(io)?;
        let mut emptied = BTreeSet::new();
        for (file, is_submodule) in &known {
            let gone = if *is_submodule { dir.remove_dir_all(file) } else { dir.remove_file(file) };
            match gone {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
                _ => {}
            }
            index.remove_path(Path::new(file)).map_err(&local)?;
            emptied.extend(Path::new(file).ancestors().skip(1).map(Path::to_owned));
        }
        // The deepest first; what is not empty is not removed.
        for folder in emptied.iter().rev().filter(|f| !f.as_os_str().is_empty()) {
            let _ = dir.remove_dir(folder);
        }
        index.write().map_err(&local)
    }

    /// Whether a file belongs to what a sparse checkout shows.
    pub(crate) fn in_cone(&self, file: &str) -> bool {
        if self.sparse.is_empty() {
            return true;
        }
        let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.sparse.iter().map(|folder| folder.trim_start_matches("./")).any(|folder| {
            path_beneath(folder, file).is_some()
                || parent.is_empty()
                || path_beneath(parent, folder).is_some_and(|rest| !rest.is_empty())
        })
    }
}
