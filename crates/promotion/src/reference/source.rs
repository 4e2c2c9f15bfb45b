//! Finds a step kind's file and the doc comment that it begins with.

use std::path::{Path, PathBuf};

/// The file of a step kind beneath `steps`: `git-clone` has `git_clone.rs`
/// or `git_clone/mod.rs`, in that folder or in one below it.
pub fn file_of(steps: &Path, kind: &str) -> Option<PathBuf> {
    let name = kind.replace('-', "_");
    let mut folders = vec![steps.to_owned()];
    while let Some(folder) = folders.pop() {
        let candidates = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        if let Some(found) = candidates.into_iter().find(|path| path.is_file()) {
            return Some(found);
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.map(|e| e.path()).filter(|path| path.is_dir()));
    }
    None
}

/// The `//!` lines that a file begins with, without their marks.
pub fn doc_comment(source: &str) -> String {
    let mut out = String::new();
    for line in source.lines() {
        let Some(text) = line.strip_prefix("//!") else { break };
        out.push_str(text.strip_prefix(' ').unwrap_or(text).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_a_file_or_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("pull_requests/git_open_pr");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("mod.rs"), "").unwrap();
        std::fs::write(root.path().join("git_clone.rs"), "").unwrap();
        let found = |kind: &str| file_of(root.path(), kind);
        assert_eq!(found("git-clone"), Some(root.path().join("git_clone.rs")));
        assert_eq!(found("git-open-pr"), Some(folder.join("mod.rs")));
        assert_eq!(found("git-merge-pr"), None);
    }

    #[test]
    fn the_comment_ends_where_the_code_begins() {
        let source = "//! `x`: does.\n//!\n//!   indented\n\nuse std;\n//! not this\n";
        assert_eq!(doc_comment(source), "`x`: does.\n\n  indented\n");
        assert_eq!(doc_comment("use std;\n"), "");
    }
}
