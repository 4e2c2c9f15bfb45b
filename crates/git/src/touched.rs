//! Which paths a commit touches, spelled as Git spells them.
//!
//! Two trees are compared here and not by libgit2, whose comparison opens every
//! folder of both, whatever they have in common: it takes the time of the whole
//! repository for each commit, and a repository of a few kilobytes can name
//! more paths than there is memory for.

use std::cmp::Ordering;

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

use crate::error::GitError;

/// How many paths of one commit are looked at, and how many folders.
const MAX_PATHS: usize = 1_000_000;
/// How deep folders may lie in one another.
const MAX_DEPTH: usize = 512;

/// The paths that differ between a commit and its first parent; all of its
/// files where it has none. Nothing counts as moved: both paths are there.
pub(crate) fn paths(
    repository: &Repository,
    commit: Oid,
    first_parent: Option<Oid>,
) -> Result<Vec<Box<str>>, GitError> {
    let tree = |id: Oid| repository.find_commit(id).and_then(|c| c.tree());
    let local = GitError::local(DOING);
    let new = tree(commit).map_err(&local)?;
    let old = first_parent.map(tree).transpose().map_err(&local)?;
    let mut found = Found { repository, commit, path: Vec::new(), folders: 0, paths: Vec::new() };
    found.compare(old.as_ref(), Some(&new), 0)?;
    Ok(found.paths)
}

const DOING: &str = "comparing a commit with its parent";

struct Found<'r> {
    repository: &'r Repository,
    commit: Oid,
    /// The folder that is being compared, with a slash at its end.
    path: Vec<u8>,
    folders: usize,
    paths: Vec<Box<str>>,
}

impl Found<'_> {
    /// Compares two folders, of which one may be absent. Entries of a folder
    /// are ordered as their paths are, so both are gone through side by side.
    fn compare(
        &mut self,
        old: Option<&Tree<'_>>,
        new: Option<&Tree<'_>>,
        depth: usize,
    ) -> Result<(), GitError> {
        self.folders += 1;
        if self.folders > MAX_PATHS || depth > MAX_DEPTH {
            return Err(self.too_much());
        }
        let mut olds = old.into_iter().flat_map(Tree::iter).peekable();
        let mut news = new.into_iter().flat_map(Tree::iter).peekable();
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => in_order(old, new),
            };
            let old = if order.is_le() { olds.next() } else { None };
            let new = if order.is_ge() { news.next() } else { None };
            self.entry(old.as_ref(), new.as_ref(), depth)?;
        }
    }

    /// Compares what one name stands for on both sides: two folders, or two
    /// files, or either where the other side has nothing.
    fn entry(
        &mut self,
        old: Option<&TreeEntry<'_>>,
        new: Option<&TreeEntry<'_>>,
        depth: usize,
    ) -> Result<(), GitError> {
        if let (Some(old), Some(new)) = (old, new)
            && old.id() == new.id()
            && old.filemode_raw() == new.filemode_raw()
        {
            return Ok(());
        }
        let Some(one) = new.or(old) else { return Ok(()) };
        let length = self.path.len();
        self.path.extend_from_slice(one.name_bytes());
        if is_folder(one) {
            self.path.push(b'/');
            let repository = self.repository;
            let tree = |entry: &TreeEntry<'_>| repository.find_tree(entry.id());
            let local = GitError::local(DOING);
            let old = old.map(tree).transpose().map_err(&local)?;
            let new = new.map(tree).transpose().map_err(&local)?;
            self.compare(old.as_ref(), new.as_ref(), depth + 1)?;
        } else if self.paths.len() >= MAX_PATHS {
            return Err(self.too_much());
        } else {
            self.paths.push(quoted(&self.path).into_boxed_str());
        }
        self.path.truncate(length);
        Ok(())
    }

    fn too_much(&self) -> GitError {
        GitError::Config(format!(
            "commit {} touches more than {MAX_PATHS} paths or folders, or some that lie deeper than {MAX_DEPTH}; no more are looked at",
            self.commit
        ))
    }
}

fn is_folder(entry: &TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree)
}

/// As Git orders the entries of a folder: folders as if their names ended in a
/// slash. A file and a folder of one name are two entries.
fn in_order(a: &TreeEntry<'_>, b: &TreeEntry<'_>) -> Ordering {
    let end = |entry: &TreeEntry<'_>| is_folder(entry).then_some(b'/');
    let (first, second) = (a.name_bytes().iter().copied(), b.name_bytes().iter().copied());
    first.chain(end(a)).cmp(second.chain(end(b)))
}

/// A path as Git prints it: in quotes, with C's escapes, where it has other
/// than printable ASCII characters, a quote or a backslash in it
/// (`core.quotePath`, on by default).
fn quoted(path: &[u8]) -> String {
    let plain = |b: &u8| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\';
    if path.iter().all(plain) {
        return path.iter().copied().map(char::from).collect();
    }
    let mut out = String::from('"');
    for byte in path {
        let escape = match byte {
            0x07 => 'a',
            0x08 => 'b',
            b'\t' => 't',
            b'\n' => 'n',
            0x0b => 'v',
            0x0c => 'f',
            b'\r' => 'r',
            b'"' => '"',
            b'\\' => '\\',
            byte if plain(byte) => {
                out.push(char::from(*byte));
                continue;
            }
            byte => {
                out.push_str(&format!("\\{byte:03o}"));
                continue;
            }
        };
        out.push('\\');
        out.push(escape);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_spelled_as_git_spells_them() {
        // From `git show --name-status` of a commit with these paths.
        let cases: [(&[u8], &str); 6] = [
            (b"apps/a b.txt", "apps/a b.txt"),
            ("apps/caf\u{e9}.txt".as_bytes(), r#""apps/caf\303\251.txt""#),
            (b"a\"b", r#""a\"b""#),
            (b"a\\b", r#""a\\b""#),
            (b"tab\there", r#""tab\there""#),
            (b"\x01\x7f\n", r#""\001\177\n""#),
        ];
        for (path, expected) in cases {
            assert_eq!(quoted(path), expected);
        }
    }
    /// A repository with commits of these files, each a change of the one
    /// before; a file without text goes.
    fn repository(commits: &[&[(&str, &str)]]) -> (tempfile::TempDir, Repository, Vec<Oid>) {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path()).unwrap();
        let who = git2::Signature::new("A", "a@example.com", &git2::Time::new(0, 0)).unwrap();
        let mut ids: Vec<Oid> = Vec::new();
        let mut index = git2::Index::new().unwrap();
        for files in commits {
            for (path, text) in *files {
                if text.is_empty() {
                    index.remove_path(path.as_ref()).unwrap();
                    continue;
                }
                let id = repository.blob(text.as_bytes()).unwrap();
                let entry = git2::IndexEntry {
                    ctime: git2::IndexTime::new(0, 0),
                    mtime: git2::IndexTime::new(0, 0),
                    dev: 0,
                    ino: 0,
                    mode: if text.starts_with("#!") { 0o100_755 } else { 0o100_644 },
                    uid: 0,
                    gid: 0,
                    file_size: 0,
                    id,
                    flags: 0,
                    flags_extended: 0,
                    path: path.as_bytes().to_vec(),
                };
                index.add(&entry).unwrap();
            }
            let tree = index.write_tree_to(&repository).unwrap();
            let tree = repository.find_tree(tree).unwrap();
            let parent = ids.last().map(|id| repository.find_commit(*id).unwrap());
            let parents: Vec<_> = parent.iter().collect();
            ids.push(repository.commit(None, &who, &who, "m", &tree, &parents).unwrap());
        }
        (dir, repository, ids)
    }

    #[test]
    fn what_differs_is_found_and_nothing_else() {
        let (_dir, repository, ids) = repository(&[
            &[("a.txt", "1"), ("a/b/c", "1"), ("a/b/d", "1"), ("a0", "1"), ("z", "1")],
            &[("a/b/d", "2")],
            // Moved, added deep, made a folder of.
            &[("a/b/c", ""), ("x/y/z/c", "1"), ("z", ""), ("z/new", "1")],
            // As it was.
            &[("a0", "1")],
            // A folder that goes, and a file that becomes one to run.
            &[("a/b/d", ""), ("a0", "#!1")],
        ]);
        let expected: [&[&str]; 5] = [
            &["a.txt", "a/b/c", "a/b/d", "a0", "z"],
            &["a/b/d"],
            &["a/b/c", "x/y/z/c", "z", "z/new"],
            &[],
            &["a/b/d", "a0"],
        ];
        for (n, expected) in expected.into_iter().enumerate() {
            let parent = n.checked_sub(1).map(|before| ids[before]);
            let found = paths(&repository, ids[n], parent).unwrap();
            let found: Vec<&str> = found.iter().map(AsRef::as_ref).collect();
            assert_eq!(found, expected, "commit {n}");
        }
    }

    /// Ten folders in each of ten, and so on: ten thousand million paths of a
    /// few objects.
    #[test]
    fn a_repository_that_explodes_is_refused() {
        let (_dir, repository, ids) = repository(&[&[("a", "1")]]);
        let mut inner = repository.find_commit(ids[0]).unwrap().tree_id();
        for _ in 0..10 {
            let mut folder = repository.treebuilder(None).unwrap();
            for n in 0..10 {
                folder.insert(format!("f{n}"), inner, 0o040_000).unwrap();
            }
            inner = folder.write().unwrap();
        }
        let tree = repository.find_tree(inner).unwrap();
        let who = git2::Signature::new("A", "a@example.com", &git2::Time::new(0, 0)).unwrap();
        let bomb = repository.commit(None, &who, &who, "m", &tree, &[]).unwrap();
        let error = paths(&repository, bomb, None).unwrap_err();
        assert!(error.to_string().contains("more than 1000000 paths"), "{error}");
        assert_eq!(paths(&repository, bomb, Some(bomb)).unwrap().len(), 0);
    }
}
