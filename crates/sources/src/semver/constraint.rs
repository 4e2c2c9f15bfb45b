//! Constraints: the grammar G1 to G4 of `warehouses` 4.4 and the table of the
//! operators' meanings.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::version::Version;

/// A constraint that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "improper constraint: {text}; write ranges such as \"^1.2.0\", \"~1.2\", \">=1.0.0 <2.0.0\" or \"1.x || 3.x\""
)]
pub struct ConstraintError {
    text: String,
}

/// The longest constraint that is read, bytes.
const LONGEST: usize = 4096;

const SPACE: &str = r"[\t\n\f\r ]";
const OPERATOR: &str = r"=>|=<|>=|<=|!=|~>|=|>|<|~|\^|";
const VERSION: &str = concat!(
    r"v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?",
    r"(-(?:[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?",
    r"(\+(?:[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?",
);

/// The grammar's regular expressions. They are constants, so a mistake in one
/// shows in every test.
struct Grammar {
    hyphen: Regex,
    group: Regex,
    term: Regex,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let plain = VERSION.replace("?([", "?(?:[").replace("(\\.[0-9|", "(?:\\.[0-9|");
    let plain = plain.replace("(-(?:", "(?:-(?:").replace("(\\+(?:", "(?:\\+(?:");
    let regex = |text: String| Regex::new(&text).expect("a constant expression compiles");
    Grammar {
        hyphen: regex(format!("{SPACE}*({plain}){SPACE}+-{SPACE}+({plain}){SPACE}*")),
        group: regex(format!(
            "^{SPACE}*(?:{OPERATOR}){SPACE}*{plain}{SPACE}*(?:(?:{SPACE}+|,{SPACE}*)(?:{OPERATOR}){SPACE}*{plain}{SPACE}*)*$"
        )),
        term: regex(format!("({OPERATOR}){SPACE}*({VERSION})")),
    }
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How much of a term's version was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// All three numbers.
    Whole,
    /// The patch is missing or a wildcard.
    NoPatch,
    /// The minor is missing or a wildcard.
    NoMinor,
    /// The major is a wildcard.
    Nothing,
}

#[derive(Clone, Debug)]
struct Term {
    operator: Operator,
    version: Version,
    written: Written,
}

/// A range of versions.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// One of the groups must hold; in it, every term.
    groups: Vec<Vec<Term>>,
}

impl Constraint {
    /// Reads a constraint. An empty one is an error: where Kargo's fields are
    /// empty, no constraint is read at all.
    ///
    /// # Errors
    /// Text outside the grammar.
    ///
    /// ```
    /// use sources::semver::{Constraint, Version};
    /// let constraint = Constraint::parse("^1.26.0")?;
    /// let admits = |v| Version::parse(v).is_some_and(|v| constraint.admits(&v));
    /// assert!(admits("v1.27.3") && !admits("2.0.0") && !admits("1.27.0-rc.1"));
    /// # Ok::<(), sources::semver::ConstraintError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let improper = || {
            let shown: String = text.chars().take(200).collect();
            ConstraintError { text: shown }
        };
        if text.len() > LONGEST {
            return Err(improper());
        }
        let ranged = GRAMMAR.hyphen.replace_all(text, ">= $1, <= $2 ");
        let mut groups = Vec::new();
        for part in ranged.split("||") {
            if !GRAMMAR.group.is_match(part) {
                return Err(improper());
            }
            let terms: Option<Vec<Term>> =
                GRAMMAR.term.captures_iter(part).map(|found| Term::read(&found)).collect();
            match terms {
                Some(terms) if !terms.is_empty() => groups.push(terms),
                _ => return Err(improper()),
            }
        }
        Ok(Self { groups })
    }

    /// Whether the version lies in the range.
    pub fn admits(&self, version: &Version) -> bool {
        self.groups.iter().any(|terms| {
            let prereleases = terms.iter().any(|term| term.version.is_prerelease());
            (prereleases || !version.is_prerelease())
                && terms.iter().all(|term| term.admits(version))
        })
    }
}

impl Term {
    fn read(found: &regex::Captures<'_>) -> Option<Self> {
        let group = |i: usize| found.get(i).map_or("", |m| m.as_str());
        let operator = match group(1) {
            "" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<" => Operator::Less,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => return None,
        };
        let open = |part: &str| matches!(part.trim_start_matches('.'), "" | "x" | "X" | "*");
        let (major, minor, patch, pre) = (group(3), group(4), group(5), group(6));
        let (text, written) = if open(major) {
            (format!("0.0.0{pre}"), Written::Nothing)
        } else if open(minor) {
            (format!("{major}.0.0{pre}"), Written::NoMinor)
        } else if open(patch) {
            (format!("{major}{minor}.0{pre}"), Written::NoPatch)
        } else {
            (group(2).to_owned(), Written::Whole)
        };
        Some(Self { operator, version: Version::parse(&text)?, written })
    }

    fn admits(&self, v: &Version) -> bool {
        match self.operator {
            Operator::Equal if self.written == Written::Whole => {
                v.precedence(&self.version) == Ordering::Equal
            }
            Operator::Equal | Operator::Tilde => self.tilde(v),
            Operator::NotEqual => self.not_equal(v),
            Operator::Greater => self.greater(v),
            Operator::GreaterOrEqual => v.precedence(&self.version) != Ordering::Less,
            Operator::Less => v.precedence(&self.version) == Ordering::Less,
            Operator::LessOrEqual => self.less_or_equal(v),
            Operator::Caret => self.caret(v),
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.precedence(c) == Ordering::Less {
            return false;
        }
        let zero = (c.major(), c.minor(), c.patch()) == (0, 0, 0);
        if zero && matches!(self.written, Written::Whole | Written::Nothing) {
            return true;
        }
        v.major() == c.major() && (self.written == Written::NoMinor || v.minor() == c.minor())
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.precedence(c) == Ordering::Less {
            return false;
        }
        if c.major() > 0 || self.written == Written::NoMinor {
            return v.major() == c.major();
        }
        if v.major() > 0 {
            return false;
        }
        if c.minor() > 0 || self.written == Written::NoPatch {
            return v.minor() == c.minor();
        }
        v.minor() == 0 && v.patch() == c.patch()
    }

    fn not_equal(&self, v: &Version) -> bool {
        let c = &self.version;
        if self.written == Written::Whole {
            return v.precedence(c) != Ordering::Equal;
        }
        if v.major() != c.major() {
            return true;
        }
        if v.minor() != c.minor() && self.written != Written::NoMinor {
            return true;
        }
        match self.written {
            Written::NoMinor => false,
            Written::NoPatch => v.pre() != c.pre(),
            _ => v.patch() != c.patch() || v.precedence(c) != Ordering::Equal,
        }
    }

    fn greater(&self, v: &Version) -> bool {
        let c = &self.version;
        let above = v.precedence(c) == Ordering::Greater;
        if self.written == Written::Whole {
            return above;
        }
        match v.major().cmp(&c.major()) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => match self.written {
                Written::NoMinor => false,
                Written::NoPatch => v.minor() > c.minor(),
                _ => above,
            },
        }
    }

    fn less_or_equal(&self, v: &Version) -> bool {
        let c = &self.version;
        if self.written == Written::Whole {
            return v.precedence(c) != Ordering::Greater;
        }
        if v.major() > c.major() {
            return false;
        }
        v.major() != c.major() || v.minor() <= c.minor() || self.written == Written::NoMinor
    }
}
