//! Which changed files count (`warehouses` 4.3).

use regex::Regex;

use super::glob;
use crate::error::Error;

/// What a subscription lets count of the paths that a commit touches.
#[derive(Debug, Default)]
pub(super) struct PathFilter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl PathFilter {
    /// Reads the two lists.
    ///
    /// # Errors
    /// The first pattern that cannot be read.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, Error> {
        let read = |which: &str, patterns: &[String]| -> Result<Vec<Pattern>, Error> {
            patterns
                .iter()
                .map(|pattern| {
                    Pattern::parse(pattern).map_err(|why| {
                        Error::Config(format!(
                            "error parsing {which} path selectors: parse error path selector {pattern:?}: {why}"
                        ))
                    })
                })
                .collect()
        };
        Ok(Self { include: read("include", include)?, exclude: read("exclude", exclude)? })
    }

    /// Whether it lets everything count, even a commit that touches nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether one of the paths counts: it is included (everything is, where
    /// no list says otherwise) and not excluded.
    pub(super) fn matches<'p>(&self, mut paths: impl Iterator<Item = &'p str>) -> bool {
        paths.any(|path| {
            (self.include.is_empty() || self.include.iter().any(|p| p.matches(path)))
                && !self.exclude.iter().any(|p| p.matches(path))
        })
    }
}

#[derive(Debug)]
enum Pattern {
    /// A path and all below it.
    Below(Vec<String>),
    /// A base path that no relative path lies below.
    Nothing,
    Regex(Regex),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(glob) = text.strip_prefix("glob:") {
            return glob::compile(glob).map(Self::Regex);
        }
        if let Some(regex) = text.strip_prefix("regex:").or_else(|| text.strip_prefix("regexp:")) {
            let compiled = expr::compile_regex(regex);
            return compiled.map(Self::Regex).map_err(|e| e.message().to_owned());
        }
        Ok(if text.starts_with('/') { Self::Nothing } else { Self::Below(cleaned(text)) })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(path),
            Self::Nothing => false,
            Self::Below(base) => is_below(base, path),
        }
    }
}

/// Whether the way from the base to the path has no `..` in it: also not in a
/// file's name, as the reference has it.
fn is_below(base: &[String], path: &str) -> bool {
    if path.starts_with('/') {
        return false;
    }
    // Git's paths are clean; those of a webhook need not be.
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return lies_below(base, cleaned(path).iter().map(String::as_str));
    }
    lies_below(base, path.split('/'))
}

fn lies_below<'s>(base: &[String], mut path: impl Iterator<Item = &'s str>) -> bool {
    base.iter().all(|wanted| path.next() == Some(wanted)) && path.all(|s| !s.contains(".."))
}

/// A relative path's segments, without `.` and empty ones, `..` resolved as
/// far as it can be.
fn cleaned(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| last != "..") => {
                segments.pop();
            }
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_match_themselves_and_all_below() {
        for (id, base, path, expected) in [
            ("warehouses/4.3-1", "configs", "configs", true),
            ("warehouses/4.3-1", "configs", "configs/a/b.yaml", true),
            ("warehouses/4.3-2", "configs", "configurations/a", false),
            ("warehouses/4.3-2", "configs", "app/configs/x", false),
            ("warehouses/4.3-2", "configs", "../configs/a", false),
            ("warehouses/4.3-3", "config/shared", "config/shared/../private/s", false),
            ("warehouses/4.3-4", "apps/", "apps/a", true),
            ("warehouses/4.3-4", "./apps", "apps/a", true),
            ("warehouses/4.3-5", "", "a/b", true),
            ("warehouses/4.3-5", ".", "a", true),
            ("warehouses/4.3-6", "/apps", "apps/a", false),
            ("warehouses/4.3-6", "/apps", "apps", false),
            ("warehouses/4.3-7", "apps", "apps/a..b.yaml", false),
            ("warehouses/4.3-8", "path1/f", "path1/file1", false),
            ("warehouses/4.3-9", "path2/*.tpl", "path2/a.tpl", false),
            ("warehouses/4.3-9", "path2/*.tpl", "path2/*.tpl", true),
            ("above the base", "a/b", "a", false),
            ("dots within the base", "a..b", "a..b/c", true),
            ("cleaned", "a/../b", "b/c", true),
        ] {
            let pattern = Pattern::parse(base).unwrap();
            assert_eq!(pattern.matches(path), expected, "{id}: {base} on {path}");
        }
    }

    #[test]
    fn one_path_that_counts_is_enough() {
        for (id, include, exclude, paths, expected) in [
            (
                "warehouses/4.3-23",
                vec![r"regexp:values\.ya?ml$"],
                vec!["regex:nonexistent"],
                vec!["path1/values.yaml", "path2/_helpers.tpl"],
                true,
            ),
            (
                "warehouses/4.3-24",
                vec![r"regexp:values\.ya?ml$"],
                vec!["regex:nonexistent", "regexp:.*val.*"],
                vec!["path1/values.yaml", "path2/_helpers.tpl"],
                false,
            ),
            (
                "warehouses/4.3-25",
                vec!["glob:path2/*.tpl"],
                vec!["nonexistent"],
                vec!["path1/values.yaml", "path2/_helpers.tpl"],
                true,
            ),
            (
                "warehouses/4.3-26",
                vec!["path3/"],
                vec![],
                vec!["path1/values.yaml", "path2/_helpers.tpl"],
                false,
            ),
            (
                "warehouses/4.3-27",
                vec![],
                vec!["regexp:nonexistent"],
                vec!["path1/values.yaml", "path2/_helpers.tpl"],
                true,
            ),
            ("warehouses/4.3-28", vec![], vec![], vec![], false),
            (
                "warehouses/4.3-29",
                vec!["path1", "regex:[_-]"],
                vec!["path1", "glob:*/*.tpl"],
                vec!["path1/values.yaml", "path2/_helpers.tpl", "path2/ingress.yaml"],
                false,
            ),
        ] {
            let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let filter = PathFilter::new(&owned(include), &owned(exclude)).unwrap();
            assert_eq!(filter.matches(paths.into_iter()), expected, "{id}");
        }
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let refused = |include: &[&str], exclude: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            PathFilter::new(&owned(include), &owned(exclude)).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&["ok", "glob:["], &[]),
            "error parsing include path selectors: parse error path selector \"glob:[\": syntax error in pattern"
        );
        let text = refused(&["glob:**"], &["regex:("]);
        let begin = "error parsing exclude path selectors: parse error path selector \"regex:(\": error parsing regexp: ";
        assert!(text.starts_with(begin), "{text}");
    }
}
