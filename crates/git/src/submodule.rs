//! Submodules: which there are at a commit, and writing their files.
//!
//! Steps only need a submodule's files, so it gets no Git directory: the files
//! of its commit are written from a mirror. Staging leaves its entry alone.

use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{ObjectType, Oid, Repository, Tree};

use crate::checkout::Checkout;
use crate::error::GitError;
use crate::mirror::Snapshot;

/// How many submodules one commit may have.
const MAX_SUBMODULES: usize = 200;

/// A submodule of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// Where its files belong, relative to the files of the commit.
    pub path: String,
    /// Its repository, as written in `.gitmodules`, made absolute.
    pub url: String,
    /// Its commit.
    pub commit: String,
}

/// The submodules of a tree that belongs to the repository at `parent_url`.
pub(crate) fn submodules(
    repository: &Repository,
    tree: &Tree<'_>,
    parent_url: &str,
) -> Result<Vec<Submodule>, GitError> {
    let Ok(entry) = tree.get_path(Path::new(".gitmodules")) else { return Ok(Vec::new()) };
    let blob = entry
        .to_object(repository)
        .and_then(|object| object.peel_to_blob())
        .map_err(GitError::local("reading .gitmodules"))?;
    let text = String::from_utf8_lossy(blob.content()).into_owned();
    let mut found = Vec::new();
    for (path, url) in parse(&text) {
        if !is_plain(&path) {
            return Err(GitError::Config(format!(
                ".gitmodules names the path {path:?}, which leads out of the checkout; correct it"
            )));
        }
        // What .gitmodules names and the tree lacks was removed by half.
        let Ok(entry) = tree.get_path(Path::new(&path)) else { continue };
        if entry.kind() == Some(ObjectType::Commit) {
            let (url, commit) = (absolute(parent_url, &url), entry.id().to_string());
            found.push(Submodule { path, url, commit });
        }
    }
    if found.len() > MAX_SUBMODULES {
        return Err(GitError::Config(format!("more than {MAX_SUBMODULES} submodules")));
    }
    Ok(found)
}

/// Whether a path stays beneath the folder that it starts in, and out of Git's
/// own: a tree that was made by hand may hold any name.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && !part.contains(['\\', '\0'])
    })
}

/// The folder at `path` beneath `parent`, made where it is not there. No
/// symbolic link may be on the way.
fn folder(parent: &Path, path: &str) -> Result<PathBuf, GitError> {
    let mut at = parent.to_owned();
    for part in path.split('/') {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(GitError::Config(format!(
                    "the submodule {path} cannot be written: {part} is no folder"
                )));
            }
            Err(_) => {
                std::fs::create_dir(&at).map_err(GitError::io("making a submodule's folder"))?;
            }
        }
    }
    Ok(at)
}

/// Path and URL of each section of a `.gitmodules` file that has both.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut path, mut url) = (None, None);
    let mut close = |path: &mut Option<String>, url: &mut Option<String>| {
        if let (Some(path), Some(url)) = (path.take(), url.take()) {
            found.push((path, url));
        }
    };
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            close(&mut path, &mut url);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches('"').to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => path = Some(value),
                "url" => url = Some(value),
                _ => {}
            }
        }
    }
    close(&mut path, &mut url);
    found
}

/// A URL that starts with `./` or `../` is relative to the parent's.
fn absolute(parent: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let mut base = parent.trim_end_matches('/');
    let mut rest = url;
    loop {
        if let Some(next) = rest.strip_prefix("./") {
            rest = next;
        } else if let Some(next) = rest.strip_prefix("../") {
            base = base.rsplit_once('/').map_or(base, |(head, _)| head);
            rest = next;
        } else {
            return format!("{base}/{rest}");
        }
    }
}

impl Checkout {
    /// The submodules of the commit that is checked out.
    ///
    /// # Errors
    /// A checkout or `.gitmodules` that cannot be read.
    pub fn submodules(&self) -> Result<Vec<Submodule>, GitError> {
        let repository = self.git()?;
        let tree = repository
            .head()
            .and_then(|head| head.peel_to_tree())
            .map_err(GitError::local("reading a checkout"))?;
        submodules(&repository, &tree, &self.repository.about().url)
    }
}

/// Writes the files of a submodule's commit into its folder beneath `parent`.
/// Returns the folder and the commit's own submodules.
pub(crate) fn export(
    snapshot: &Snapshot,
    url: &str,
    submodule: &Submodule,
    parent: &Path,
) -> Result<(PathBuf, Vec<Submodule>), GitError> {
    let commit = &submodule.commit;
    let doing = GitError::local("writing the files of a submodule");
    let repository = Repository::open_bare(snapshot.dir()).map_err(&doing)?;
    let found = Oid::from_str(commit).and_then(|id| repository.find_commit(id));
    let Ok(found) = found else {
        return Err(GitError::CommitNotFound {
            commit: commit.clone(),
            url: url.to_owned(),
            hint: "; push it there, or correct the submodule".to_owned(),
        });
    };
    let tree = found.tree().map_err(&doing)?;
    // In memory alone: nothing of the mirror is written.
    let into = folder(parent, &submodule.path)?;
    repository.set_workdir(&into, false).map_err(&doing)?;
    let mut options = CheckoutBuilder::new();
    options.force().update_index(false);
    repository.checkout_tree(tree.as_object(), Some(&mut options)).map_err(&doing)?;
    Ok((into, submodules(&repository, &tree, url)?))
}

#[cfg(test)]
mod tests {
    use super::{absolute, folder, is_plain, parse};

    #[test]
    fn submodules_stay_in_their_checkout() {
        for (path, plain) in [
            ("libs/a", true),
            ("a", true),
            ("../a", false),
            ("libs/../../a", false),
            ("/etc", false),
            ("a/.git/hooks", false),
            (".GIT", false),
            ("a//b", false),
            ("./a", false),
            ("a\\..\\b", false),
            ("", false),
        ] {
            assert_eq!(is_plain(path), plain, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
        assert!(folder(dir.path(), "libs/a").unwrap().is_dir());
        let error = folder(dir.path(), "link/a").unwrap_err().to_string();
        assert_eq!(error, "the submodule link/a cannot be written: link is no folder");
        assert!(std::fs::read_dir(dir.path().join("elsewhere")).unwrap().next().is_none());
    }

    #[test]
    fn gitmodules_are_read() {
        let text = "# c\n[submodule \"a\"]\n\tpath = libs/a\n\turl = ../a.git\n[submodule \"b\"]\n\turl=\"https://h/b\"\n\tpath=b\n[submodule \"half\"]\n\tpath = x\n";
        assert_eq!(
            parse(text),
            [("libs/a".into(), "../a.git".into()), ("b".into(), "https://h/b".into())]
        );
    }

    #[test]
    fn relative_urls_start_at_the_parents() {
        for (parent, url, expected) in [
            ("https://h/team/app.git", "../lib.git", "https://h/team/lib.git"),
            ("https://h/team/app.git/", "../../x/lib", "https://h/x/lib"),
            ("https://h/team/app", "./sub", "https://h/team/app/sub"),
            ("https://h/team/app", "https://o/x", "https://o/x"),
        ] {
            assert_eq!(absolute(parent, url), expected);
        }
    }
}
