//! What can go wrong with an expression, written for people: the message, the
//! place in the text, the names that were in scope.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::lookup::LookupKey;

/// In which phase an expression failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not an expression, or cannot be one that works.
    Compile,
    /// Evaluation failed.
    Run,
    /// The value has no JSON form (`expressions` 2).
    Json,
    /// A budget (memory, iterations, depth) was used up.
    Budget,
    /// A value must be fetched first; see [`crate::lookup`].
    NeedsLookup,
}

/// A part of the expression's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    span: Option<Span>,
    source: Option<Arc<str>>,
    key: Option<LookupKey>,
    hint: Option<String>,
}

/// Why an expression has no value.
///
/// `Display` gives the message alone, in the reference's words where the
/// specification gives them; [`Error::render`] adds the text with a caret
/// (`expressions` 6.7).
///
/// ```
/// let error = expr::eval("1 + lenght('x')", &expr::Env::new()).unwrap_err();
/// assert_eq!(error.kind(), expr::ErrorKind::Run);
/// assert_eq!(error.message(), "invalid operation: cannot call nil");
/// assert_eq!(error.span().map(|span| span.start), Some(4));
/// assert!(error.hint().is_some() && error.lookup_key().is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Error(Box<Inner>);

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            span: None,
            source: None,
            key: None,
            hint: None,
        }))
    }

    pub(crate) fn compile(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Compile, message)
    }

    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Run, message)
    }

    pub(crate) fn json(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Json, message)
    }

    pub(crate) fn budget(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Budget, message)
    }

    pub(crate) fn needs_lookup(key: LookupKey) -> Self {
        let mut error = Self::new(ErrorKind::NeedsLookup, format!("{key} must be looked up first"));
        error.0.key = Some(key);
        error
    }

    /// The same error at a place, unless it has one already.
    #[must_use]
    pub(crate) fn at(mut self, span: Span, source: &Arc<str>) -> Self {
        if self.0.span.is_none() {
            self.0.span = Some(span);
            self.0.source = Some(source.clone());
        }
        self
    }

    pub(crate) fn has_span(&self) -> bool {
        self.0.span.is_some()
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert(hint.into());
        self
    }

    /// In which phase it failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in the expression's text, if known.
    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// What to do about it, if known: the nearest name, the names in scope.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What must be looked up before the evaluation can be repeated.
    pub fn lookup_key(&self) -> Option<&LookupKey> {
        self.0.key.as_ref()
    }

    /// The message, the place, and the line of the text with a caret below:
    ///
    /// ```text
    /// cannot fetch tag from <nil> (1:7)
    ///  | image.tag
    ///  | ......^
    /// ```
    ///
    /// Line and column count characters from 1 (`expressions` 6.7). A hint
    /// follows on a line of its own.
    ///
    /// ```
    /// let error = expr::eval("image.tag", &expr::Env::new()).unwrap_err();
    /// assert!(error.render().starts_with("cannot fetch tag from <nil> (1:7)\n | image.tag\n | ......^"));
    /// ```
    pub fn render(&self) -> String {
        let mut out = self.0.message.clone();
        if let (Some(span), Some(source)) = (self.0.span, &self.0.source) {
            let at = (span.start as usize).min(source.len());
            let before = source.get(..at).unwrap_or("");
            let line_start = before.rfind('\n').map_or(0, |i| i + 1);
            let line_number = before.matches('\n').count() + 1;
            let column = before.get(line_start..).unwrap_or("").chars().count();
            let line = source.get(line_start..).unwrap_or("").split('\n').next().unwrap_or("");
            let _ = write!(
                out,
                " ({line_number}:{})\n | {}\n | {}^",
                column + 1,
                line.replace('\t', " "),
                ".".repeat(column)
            );
        }
        if let Some(hint) = &self.0.hint {
            let _ = write!(out, "\n{hint}");
        }
        out
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

/// The name of `names` that is nearest to `name`, if one is near enough to be
/// a likely typo: at most a third of its letters differ, or one begins with
/// the other.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in names {
        let other = candidate.to_lowercase();
        let mut cost = distance(&lower, &other);
        if lower.len() >= 3
            && other.len() >= 3
            && (other.starts_with(&lower) || lower.starts_with(&other))
        {
            cost = cost.min(1);
        }
        let limit = lower.chars().count() / 3;
        if cost <= limit && best.is_none_or(|(c, _)| cost < c) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, cb) in b.iter().enumerate() {
            let up = row.get(j + 1).copied().unwrap_or(0);
            let left = row.get(j).copied().unwrap_or(0);
            let cost = (diagonal + usize::from(ca != *cb)).min(up + 1).min(left + 1);
            diagonal = up;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = cost;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}
