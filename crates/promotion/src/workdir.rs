//! The directory that a Promotion works in.
//!
//! Steps see `work/` alone and reach it through a directory handle, so no
//! `..`, absolute path or symbolic link leads out of it (house rule 9). Git
//! directories lie beside it, in `git/`, where no step can reach them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

/// The largest file that a step reads or writes whole, in bytes.
pub const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// How many symbolic links one path may lead through.
pub const MAX_LINK_HOPS: usize = 255;

/// A path beneath the working directory: relative, with `/`, without `.` and
/// `..`. The empty path is the directory itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkPath(String);

impl WorkPath {
    /// Reads a path by its text alone, as a user wrote it: a leading `/` is
    /// beneath the working directory too, and `..` never rises above it
    /// (`steps-files` 0.3). Where symbolic links may be on the way, use
    /// [`WorkDir::resolve`].
    ///
    /// # Errors
    /// A NUL in the path.
    pub fn parse(written: &str) -> Result<Self, WorkDirError> {
        if written.contains('\0') {
            return Err(WorkDirError::Nul { path: written.to_owned() });
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in written.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The path as text, `.` for the working directory itself.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "." } else { &self.0 }
    }

    /// The path of something beneath this one.
    ///
    /// # Errors
    /// As [`WorkPath::parse`].
    pub fn join(&self, below: &str) -> Result<Self, WorkDirError> {
        Self::parse(&format!("{}/{below}", self.0))
    }

    /// Whether `other` is this path or lies beneath it.
    pub fn contains(&self, other: &WorkPath) -> bool {
        self.0.is_empty() || other.0 == self.0 || other.0.starts_with(&format!("{}/", self.0))
    }
}

impl std::fmt::Display for WorkPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What goes wrong with paths and files.
#[derive(Debug, thiserror::Error)]
pub enum WorkDirError {
    /// The path has a NUL in it.
    #[error("path {path:?} has a NUL in it")]
    Nul {
        /// As written.
        path: String,
    },
    /// More than [`MAX_LINK_HOPS`] symbolic links on the way.
    #[error("{path}: too many levels of symbolic links")]
    TooManyLinks {
        /// As written.
        path: String,
    },
    /// There is no such file or directory.
    #[error("no such file or directory: {path}; {nearest}")]
    NotFound {
        /// As resolved.
        path: String,
        /// What exists in the nearest existing folder, in words.
        nearest: String,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("file {path} is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// As resolved.
        path: String,
    },
    /// Anything else that the file system says.
    #[error("{path}: {source}")]
    Io {
        /// As resolved.
        path: String,
        /// The file system's answer.
        source: std::io::Error,
    },
}

/// A Promotion's working directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkDir {
    base: PathBuf,
    root: Arc<Dir>,
}

impl WorkDir {
    /// Opens the directory below `base`, making it (mode 0700) where it is
    /// not there. The second value says whether it was made just now.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(base: &Path) -> Result<(Self, bool), WorkDirError> {
        let io = |source| WorkDirError::Io { path: base.display().to_string(), source };
        let fresh = !base.join("work").is_dir();
        std::fs::create_dir_all(base.join("git")).map_err(io)?;
        std::fs::create_dir_all(base.join("work")).map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(base, std::fs::Permissions::from_mode(0o700)).map_err(io)?;
        }
        let root = Dir::open_ambient_dir(base.join("work"), ambient_authority()).map_err(io)?;
        Ok((Self { base: base.to_owned(), root: Arc::new(root) }, fresh))
    }

    /// Removes everything below `base`. Nothing there is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(base: &Path) -> Result<(), WorkDirError> {
        match std::fs::remove_dir_all(base) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(WorkDirError::Io { path: base.display().to_string(), source: e })
            }
            _ => Ok(()),
        }
    }

    /// The handle beneath which all paths of steps are resolved.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// Reads a path as a user wrote it, following symbolic links beneath the
    /// working directory: an absolute target starts at the working directory,
    /// `..` never rises above it, and what does not exist is kept as written
    /// (`steps-files` 0.3). The result leads through no link.
    ///
    /// # Errors
    /// A NUL in the path, or more than [`MAX_LINK_HOPS`] links.
    pub fn resolve(&self, written: &str) -> Result<WorkPath, WorkDirError> {
        if written.contains('\0') {
            return Err(WorkDirError::Nul { path: written.to_owned() });
        }
        let mut todo: Vec<String> = written.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut hops = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            let Ok(target) = self.root.read_link_contents(done.join("/")) else { continue };
            hops += 1;
            if hops > MAX_LINK_HOPS {
                return Err(WorkDirError::TooManyLinks { path: written.to_owned() });
            }
            done.pop();
            let target = target.to_string_lossy();
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.split('/').rev().map(str::to_owned));
        }
        Ok(WorkPath(done.join("/")))
    }

    /// Where Git directories lie: beside what steps can reach.
    pub fn git_dir(&self) -> PathBuf {
        self.base.join("git")
    }

    /// The place on disk of a path, for libraries that want one (libgit2).
    /// Take the path from [`WorkDir::resolve`], so that no symbolic link leads out.
    pub fn on_disk(&self, path: &WorkPath) -> PathBuf {
        if path.0.is_empty() {
            self.base.join("work")
        } else {
            self.base.join("work").join(&path.0)
        }
    }

    /// Reads a file whole.
    ///
    /// # Errors
    /// Not found (with what does exist there), too large, or the file system's.
    pub fn read(&self, path: &WorkPath) -> Result<Vec<u8>, WorkDirError> {
        let mut file = self.root.open(path.as_str()).map_err(|e| self.explain(path, e))?;
        let mut bytes = Vec::new();
        let n = (&mut file)
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.explain(path, e))?;
        if n as u64 > MAX_FILE_BYTES {
            return Err(WorkDirError::TooLarge { path: path.to_string() });
        }
        Ok(bytes)
    }

    /// Replaces the bytes of a file, keeping its mode.
    ///
    /// # Errors
    /// As [`WorkDir::read`].
    pub fn write(&self, path: &WorkPath, bytes: &[u8]) -> Result<(), WorkDirError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(WorkDirError::TooLarge { path: path.to_string() });
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file =
            self.root.open_with(path.as_str(), &options).map_err(|e| self.explain(path, e))?;
        file.write_all(bytes).map_err(|e| self.explain(path, e))
    }

    /// Turns the file system's answer into words: what was looked for, and
    /// what there is in the nearest folder that exists.
    pub fn explain(&self, path: &WorkPath, error: std::io::Error) -> WorkDirError {
        if error.kind() != std::io::ErrorKind::NotFound {
            return WorkDirError::Io { path: path.to_string(), source: error };
        }
        let mut parent = path.0.as_str();
        loop {
            parent = parent.rsplit_once('/').map_or("", |(head, _)| head);
            let shown = if parent.is_empty() { "." } else { parent };
            if let Ok(entries) = self.root.read_dir(shown) {
                let mut names: Vec<String> = entries
                    .flatten()
                    .take(1000)
                    .map(|e| {
                        let dir = e.file_type().is_ok_and(|t| t.is_dir());
                        format!("{}{}", e.file_name().to_string_lossy(), if dir { "/" } else { "" })
                    })
                    .collect();
                names.sort();
                let nearest = if names.is_empty() {
                    format!("{shown:?} is empty")
                } else {
                    let more = names.len().saturating_sub(20);
                    names.truncate(20);
                    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
                    format!("{shown:?} has: {}{tail}", names.join(", "))
                };
                return WorkDirError::NotFound { path: path.to_string(), nearest };
            }
            if parent.is_empty() {
                return WorkDirError::NotFound {
                    path: path.to_string(),
                    nearest: "the working directory cannot be listed".to_owned(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_beneath_the_working_directory() {
        let base = tempfile::tempdir().unwrap();
        let (dir, fresh) = WorkDir::open(base.path()).unwrap();
        assert!(fresh);
        let root = base.path().join("work");
        std::fs::create_dir_all(root.join("sub/dir")).unwrap();
        for (link, target) in
            [("abs", "/etc"), ("rel", "sub/dir"), ("sub/up", "../../.."), ("loop", "loop")]
        {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        // (case, written, resolved)
        let cases = [
            ("steps-files 0.3 row 1", "a", "a"),
            ("steps-files 0.3 row 1", "./a", "a"),
            ("steps-files 0.3 row 1", "/a", "a"),
            ("steps-files 0.3 row 1", "../a", "a"),
            ("steps-files 0.3 row 2", "../../etc/passwd", "etc/passwd"),
            ("steps-files 0.3 row 3", "sub/../../x", "x"),
            ("steps-files 0.3 row 4", "abs/passwd", "etc/passwd"),
            ("steps-files 0.3 row 4", "abs", "etc"),
            ("steps-files 0.3 row 5", "sub/up/x", "x"),
            ("steps-files 0.3 row 6", "rel", "sub/dir"),
            ("steps-files 0.3 row 6", "rel/x", "sub/dir/x"),
            ("steps-files 0.3 row 6", "rel/..", "sub"),
            ("steps-files 0.3 row 6", "rel/../x", "sub/x"),
            ("steps-files 0.3 row 7", "", "."),
            ("steps-files 0.3 row 7", ".", "."),
            ("steps-files 0.3 row 7", "/", "."),
            ("steps-files 0.3 row 8", "nx/../b", "b"),
        ];
        for (case, written, resolved) in cases {
            assert_eq!(dir.resolve(written).unwrap().as_str(), resolved, "{case}: {written:?}");
        }
        // steps-files 0.3 row 9
        assert!(matches!(dir.resolve("loop"), Err(WorkDirError::TooManyLinks { .. })));
        // steps-files 0.3 row 10
        assert!(matches!(dir.resolve("a\0b"), Err(WorkDirError::Nul { .. })));
    }

    #[test]
    fn a_missing_file_is_told_with_what_is_there() {
        let base = tempfile::tempdir().unwrap();
        let (dir, _) = WorkDir::open(base.path()).unwrap();
        std::fs::create_dir_all(base.path().join("work/develop/frontend")).unwrap();
        std::fs::write(base.path().join("work/develop/frontend/a.yaml"), "x").unwrap();
        let path = WorkPath::parse("develop/fronted/a.yaml").unwrap();
        let error = dir.read(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            "no such file or directory: develop/fronted/a.yaml; \"develop\" has: frontend/"
        );
    }

    #[test]
    fn a_directory_that_is_there_is_not_fresh() {
        let base = tempfile::tempdir().unwrap();
        assert!(WorkDir::open(base.path()).unwrap().1);
        assert!(!WorkDir::open(base.path()).unwrap().1);
        WorkDir::remove(base.path()).unwrap();
        WorkDir::remove(base.path()).unwrap();
        assert!(WorkDir::open(base.path()).unwrap().1);
    }
}
