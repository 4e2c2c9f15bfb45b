//! Cutting a template into text and expressions (`expressions` 2).

use crate::error::Error;

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text that stands for itself.
    Literal(&'a str),
    /// An expression, without its delimiters.
    Expression(&'a str),
}

const PAIRS: [(&str, &str); 2] = [("${{", "}}"), ("${%", "%}")];

/// The parts of a template, from left to right. An expression ends at the
/// first end delimiter of its own kind; an empty one ends the scan, and the
/// rest is text. An expression without an end is an error in its place.
///
/// ```
/// use expr::template::{Part, split};
/// let parts: Result<Vec<_>, _> = split("a-${{ b }}").collect();
/// assert_eq!(parts.unwrap(), [Part::Literal("a-"), Part::Expression(" b ")]);
/// ```
pub fn split(text: &str) -> impl Iterator<Item = Result<Part<'_>, Error>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let first = PAIRS
            .iter()
            .filter_map(|(open, close)| rest.find(open).map(|at| (at, *open, *close)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, open, close)) = first else {
            parts.push(Ok(Part::Literal(rest)));
            break;
        };
        if at > 0 {
            parts.push(Ok(Part::Literal(rest.get(..at).unwrap_or(""))));
        }
        let inside = rest.get(at + open.len()..).unwrap_or("");
        let Some(end) = inside.find(close) else {
            parts.push(Err(Error::compile(format!(
                "unclosed expression: expected \"{close}\" but reached end of template"
            ))));
            break;
        };
        rest = inside.get(end + close.len()..).unwrap_or("");
        if end == 0 {
            if !rest.is_empty() {
                parts.push(Ok(Part::Literal(rest)));
            }
            break;
        }
        parts.push(Ok(Part::Expression(inside.get(..end).unwrap_or(""))));
    }
    parts.into_iter()
}
