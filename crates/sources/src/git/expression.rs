//! The filter that users write (`warehouses` 5.6).

use expr::{Env, Program, Value};
use jiff::Zoned;

use crate::error::Error;

/// A subscription's `expressionFilter`, compiled.
#[derive(Clone, Debug)]
pub(super) struct Filter(Program);

/// What an expression may ask about a commit.
#[derive(Clone, Debug)]
pub(super) struct CommitFacts {
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) author: String,
    pub(super) committer: String,
    /// At the committer's offset from UTC.
    pub(super) date: Zoned,
}

/// What an expression may ask about a tag.
#[derive(Clone, Debug)]
pub(super) struct TagFacts {
    pub(super) tag: String,
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) author: String,
    pub(super) committer: String,
    pub(super) tagger: String,
    pub(super) annotation: String,
    /// At the tagger's or committer's offset from UTC.
    pub(super) created: Zoned,
}

impl Filter {
    /// Compiles an expression; an empty one is no filter.
    ///
    /// # Errors
    /// What does not compile.
    pub(super) fn new(expression: &str) -> Result<Option<Self>, Error> {
        if expression.is_empty() {
            return Ok(None);
        }
        Program::cached(expression).map(|program| Some(Self(program))).map_err(|e| {
            Error::Config(format!("error compiling filter expression: {}", e.render()))
        })
    }

    /// Whether it is true of a commit.
    ///
    /// # Errors
    /// That it fails, or is no truth value.
    pub(super) fn admits_commit(&self, commit: CommitFacts) -> Result<bool, Error> {
        let mut env = Env::new();
        env.set("id", commit.id);
        env.set("commitDate", commit.date);
        env.set("author", commit.author);
        env.set("committer", commit.committer);
        env.set("subject", commit.subject);
        let failed =
            |why: String| Error::Config(format!("error evaluating filter expression: {why}"));
        let value = self.0.run(&env).map_err(|e| failed(e.render()))?;
        truth(&value).map_err(failed)
    }

    /// Whether it is true of a tag.
    ///
    /// # Errors
    /// That it fails, or is no truth value.
    pub(super) fn admits_tag(&self, tag: TagFacts) -> Result<bool, Error> {
        let mut env = Env::new();
        env.set("tag", tag.tag);
        env.set("id", tag.id);
        env.set("creatorDate", tag.created);
        env.set("author", tag.author);
        env.set("committer", tag.committer);
        env.set("subject", tag.subject);
        env.set("tagger", tag.tagger);
        env.set("annotation", tag.annotation);
        let value = self.0.run(&env).map_err(|e| {
            Error::Config(format!("error evaluating tag filter expression: {}", e.render()))
        })?;
        truth(&value).map_err(Error::Config)
    }
}

fn truth(value: &Value) -> Result<bool, String> {
    value.truth().ok_or_else(|| {
        format!(
            "error parsing expression result: {:?} is neither true nor false; write an expression that is",
            value.to_text()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> CommitFacts {
        CommitFacts {
            id: "abc".into(),
            subject: "fix: a thing".into(),
            author: "x".into(),
            committer: "c <c@example.com>".into(),
            date: "2024-03-01T23:30:00-08:00[-08:00]".parse().unwrap(),
        }
    }

    fn tag() -> TagFacts {
        TagFacts {
            tag: "v1.2.3".into(),
            id: "abc".into(),
            subject: "s".into(),
            author: "x".into(),
            committer: "c".into(),
            tagger: String::new(),
            annotation: String::new(),
            created: "2024-03-01T10:00:00+00:00[+00:00]".parse().unwrap(),
        }
    }

    #[test]
    fn it_is_asked_of_commits() {
        for (id, expression, expected) in [
            ("warehouses/5.6-1", "true", true),
            ("warehouses/5.6-2", "1", true),
            ("warehouses/5.6-3", "0", false),
            ("warehouses/5.6-5", "id == 'abc' && author == 'x'", true),
            ("warehouses/5.6-5", "id == 'abc' && author == 'y'", false),
            ("warehouses/5.6-6", "commitDate.Year() >= 2023", true),
            ("warehouses/5.6-6", "commitDate.Year() >= 2025", false),
            ("warehouses/5.6-7", "subject contains 'fix:'", true),
            ("the committer's own hour", "commitDate.Hour() == 23", true),
            ("unknown names are nil", "nope == nil", true),
            ("texts of truth values", "'T'", true),
        ] {
            let filter = Filter::new(expression).unwrap().unwrap();
            assert_eq!(filter.admits_commit(commit()).unwrap(), expected, "{id}: {expression}");
        }
        assert!(Filter::new("").unwrap().is_none());
    }

    #[test]
    fn it_is_asked_of_tags() {
        for (id, expression, expected) in [
            ("warehouses/5.6-8", "hasPrefix(tag, 'v1.')", true),
            ("warehouses/5.6-8", "hasPrefix(tag, 'v2.')", false),
            ("warehouses/5.6-9", "creatorDate.After(date('2024-01-01'))", true),
            ("warehouses/5.6-9", "creatorDate.After(date('2024-04-01'))", false),
            ("lightweight", "tagger == '' && annotation == ''", true),
        ] {
            let filter = Filter::new(expression).unwrap().unwrap();
            assert_eq!(filter.admits_tag(tag()).unwrap(), expected, "{id}: {expression}");
        }
    }

    #[test]
    fn what_fails_is_told() {
        // spec: warehouses/5.6-4
        let filter = Filter::new("'invalid'").unwrap().unwrap();
        let said = filter.admits_commit(commit()).unwrap_err().to_string();
        assert_eq!(
            said,
            "error evaluating filter expression: error parsing expression result: \"invalid\" is neither true nor false; write an expression that is"
        );
        let said = filter.admits_tag(tag()).unwrap_err().to_string();
        assert!(said.starts_with("error parsing expression result: "), "{said}");
        // spec: warehouses/5.6-10
        let said = Filter::new("(1 + 2").unwrap_err().to_string();
        assert!(said.starts_with("error compiling filter expression: unexpected token"), "{said}");
        // A method of nothing.
        let filter = Filter::new("nope.Year() > 1").unwrap().unwrap();
        let said = filter.admits_commit(commit()).unwrap_err().to_string();
        assert!(said.starts_with("error evaluating filter expression: "), "{said}");
        let said = filter.admits_tag(tag()).unwrap_err().to_string();
        assert!(said.starts_with("error evaluating tag filter expression: "), "{said}");
    }
}
