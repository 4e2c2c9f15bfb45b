//! Which paths a commit touches, spelled as Git spells them.

use git2::{DiffOptions, Oid, Repository};

use crate::error::GitError;

/// How many paths of one commit are looked at.
const MAX_PATHS: usize = 1_000_000;

/// The paths that differ between a commit and its first parent; all of its
/// files where it has none. Nothing counts as moved: both paths are there.
pub(crate) fn paths(
    repository: &Repository,
    commit: Oid,
    first_parent: Option<Oid>,
) -> Result<Vec<Box<str>>, GitError> {
    let local = GitError::local("comparing a commit with its parent");
    let tree = |id: Oid| repository.find_commit(id).and_then(|c| c.tree());
    let new = tree(commit).map_err(&local)?;
    let old = first_parent.map(tree).transpose().map_err(&local)?;
    let mut options = DiffOptions::new();
    options.skip_binary_check(true).include_typechange(true).ignore_submodules(false);
    let diff = repository
        .diff_tree_to_tree(old.as_ref(), Some(&new), Some(&mut options))
        .map_err(&local)?;
    if diff.deltas().len() > MAX_PATHS {
        return Err(GitError::Config(format!(
            "commit {commit} touches more than {MAX_PATHS} paths; no more are looked at"
        )));
    }
    let mut paths = Vec::with_capacity(diff.deltas().len());
    for delta in diff.deltas() {
        let file = if delta.status() == git2::Delta::Deleted {
            delta.old_file()
        } else {
            delta.new_file()
        };
        if let Some(path) = file.path_bytes() {
            paths.push(quoted(path).into_boxed_str());
        }
    }
    paths.dedup();
    Ok(paths)
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
}
