//! Parser events turned into nodes that know where in the file they stand.
//!
//! The parser counts characters, includes anchor and tag in a scalar's span,
//! leaves a block scalar's header out of it, and puts an empty value before
//! its colon. All of that is corrected here, so that everyone else works with
//! byte ranges of exactly the text that makes up a value.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// How deep collections may nest.
pub const MAX_DEPTH: usize = 200;

/// The parsed text of one YAML document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// The number of its anchor in the file, 0 if it has none.
    pub anchor: usize,
    /// Its tag, long form, if it has one: `tag:yaml.org,2002:str`, `!local`.
    pub tag: Option<String>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the file's order.
    Mapping(Vec<(Node, Node)>),
    /// A reference to the anchor of that number.
    Alias(usize),
}

/// A single value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text after unquoting and folding.
    pub text: String,
    /// Whether it is written without quotes and not as a block.
    pub plain: bool,
    /// Where it stands.
    pub place: Place,
}

/// Where a scalar's text stands in the file, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The bytes that a new text replaces: quotes included, anchor and tag
    /// not. Of a block scalar it is the header's indicator (`|`, `>-`).
    pub text: Range<usize>,
    /// The lines of a block scalar, which go when its text is replaced.
    pub block: Option<Range<usize>>,
    /// Whether it stands inside `[…]` or `{…}`.
    pub in_flow: bool,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not YAML.
    #[error("{0}")]
    Syntax(#[from] ScanError),
    /// Collections nest deeper than [`MAX_DEPTH`].
    #[error("collections nest deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// All documents of a file, in order. One without content (comments only) is
/// `None`.
///
/// # Errors
/// A syntax error with its line and column, or nesting beyond [`MAX_DEPTH`].
pub fn parse_all(text: &str) -> Result<Vec<Option<Node>>, DocumentError> {
    Builder::new(text).run(usize::MAX)
}

/// The first document of a file; the rest is not looked at.
///
/// # Errors
/// As [`parse_all`], in the first document.
pub fn parse_first(text: &str) -> Result<Option<Node>, DocumentError> {
    Ok(Builder::new(text).run(1)?.into_iter().next().flatten())
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    tag: Option<String>,
    flow: bool,
    items: Vec<Node>,
    mapping: bool,
}

struct Builder<'a> {
    text: &'a str,
    /// Byte offset of each character, and of the end.
    offsets: Vec<usize>,
    open: Vec<Open>,
    /// Where the last token ended, in bytes.
    last_end: usize,
    documents: Vec<Option<Node>>,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        let offsets = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        Self { text, offsets, open: Vec::new(), last_end: 0, documents: Vec::new(), root: None }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or(self.text.len());
        let start = at(span.start.index());
        start..at(span.end.index()).max(start)
    }

    fn run(mut self, documents: usize) -> Result<Vec<Option<Node>>, DocumentError> {
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event?;
            let range = self.bytes(span);
            match event {
                Event::DocumentEnd => {
                    let root = self.root.take();
                    self.documents.push(root);
                    if self.documents.len() == documents {
                        break;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let tag = tag.map(|t| long_tag(&t));
                    let place = self.place(&range, style, text.is_empty(), anchor, tag.is_some());
                    let plain = style == ScalarStyle::Plain;
                    self.last_end = self.last_end.max(range.end);
                    self.add(Node {
                        kind: Kind::Scalar(Scalar { text: text.into_owned(), plain, place }),
                        anchor,
                        tag,
                    });
                }
                Event::Alias(anchor) => {
                    self.last_end = self.last_end.max(range.end);
                    self.add(Node { kind: Kind::Alias(anchor), anchor: 0, tag: None });
                }
                Event::SequenceStart(anchor, tag) => {
                    self.start(range, anchor, tag.map(|t| long_tag(&t)), false)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.start(range, anchor, tag.map(|t| long_tag(&t)), true)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(&range),
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_) => {}
            }
        }
        Ok(self.documents)
    }

    fn start(
        &mut self,
        range: Range<usize>,
        anchor: usize,
        tag: Option<String>,
        mapping: bool,
    ) -> Result<(), DocumentError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(DocumentError::TooDeep);
        }
        let outer = self.open.last().is_some_and(|o| o.flow);
        let flow = outer || self.text[range.clone()].ends_with(['[', '{']);
        if flow && !range.is_empty() {
            self.last_end = self.last_end.max(range.end);
        }
        self.open.push(Open { anchor, tag, flow, items: Vec::new(), mapping });
        Ok(())
    }

    fn end(&mut self, range: &Range<usize>) {
        let Some(open) = self.open.pop() else { return };
        if open.flow && !range.is_empty() {
            self.last_end = self.last_end.max(range.end);
        }
        let kind = if open.mapping {
            let mut items = open.items.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Kind::Mapping(pairs)
        } else {
            Kind::Sequence(open.items)
        };
        self.add(Node { kind, anchor: open.anchor, tag: open.tag });
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
    }

    /// Whether the next node is a mapping's value.
    fn is_value(&self) -> bool {
        self.open.last().is_some_and(|o| o.mapping && o.items.len() % 2 == 1)
    }

    fn place(
        &self,
        range: &Range<usize>,
        style: ScalarStyle,
        empty: bool,
        anchor: usize,
        tagged: bool,
    ) -> Place {
        let in_flow = self.open.last().is_some_and(|o| o.flow);
        let has_properties = anchor > 0 || tagged;
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let from = if has_properties { range.start } else { self.last_end };
                let header = self.block_header(from);
                let header_line_end = self.line_end(header.end);
                let content = self.text[..range.end].trim_end_matches([' ', '\t', '\r', '\n']);
                let end = self.line_end(content.len()).max(header_line_end);
                Place { text: header, block: Some(header_line_end..end), in_flow }
            }
            ScalarStyle::Plain if empty => {
                let at = if has_properties {
                    self.after_properties(range.start).min(range.end)
                } else if self.is_value() {
                    self.after_colon(self.last_end, range.start)
                } else {
                    range.start
                };
                Place { text: at..at, block: None, in_flow }
            }
            _ => {
                let start =
                    if has_properties { self.after_properties(range.start) } else { range.start };
                let start = start.min(range.end);
                let end = self.scalar_end(start..range.end, style);
                Place { text: start..end, block: None, in_flow }
            }
        }
    }

    /// Skips blanks, line breaks and comments from `at`.
    fn after_blanks(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(at) {
            match b {
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'#' => at = self.line_end(at),
                _ => break,
            }
        }
        at
    }

    /// Skips anchor and tag from `at`, and the blanks behind each.
    fn after_properties(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'&' | b'!') => {
                    while bytes.get(at).is_some_and(|b| !b" \t\r\n,]}".contains(b)) {
                        at += 1;
                    }
                    let next = self.after_blanks(at);
                    if !matches!(bytes.get(next), Some(b'&' | b'!')) {
                        // An empty value ends right behind its properties.
                        return if next >= self.text.len() { at } else { next };
                    }
                    at = next;
                }
                _ => return at,
            }
        }
    }

    /// Where a scalar in that range ends: the parser's span of one with anchor
    /// or tag runs on over a comment behind it.
    fn scalar_end(&self, range: Range<usize>, style: ScalarStyle) -> usize {
        let bytes = &self.text.as_bytes()[range.clone()];
        match style {
            ScalarStyle::SingleQuoted => {
                let mut at = 1;
                while at < bytes.len() {
                    if bytes[at] == b'\'' {
                        if bytes.get(at + 1) != Some(&b'\'') {
                            return range.start + at + 1;
                        }
                        at += 1;
                    }
                    at += 1;
                }
                range.end
            }
            ScalarStyle::DoubleQuoted => {
                let mut at = 1;
                while at < bytes.len() {
                    match bytes[at] {
                        b'\\' => at += 1,
                        b'"' => return range.start + at + 1,
                        _ => {}
                    }
                    at += 1;
                }
                range.end
            }
            _ => {
                let comment = (1..bytes.len())
                    .find(|&i| bytes[i] == b'#' && b" \t\n".contains(&bytes[i - 1]))
                    .unwrap_or(bytes.len());
                let end = range.start + comment;
                range.start
                    + self.text[range.start..end].trim_end_matches([' ', '\t', '\r', '\n']).len()
            }
        }
    }

    /// The place right behind the colon that follows the key.
    fn after_colon(&self, from: usize, fallback: usize) -> usize {
        let at = self.after_blanks(from);
        if self.text.as_bytes().get(at) == Some(&b':') { at + 1 } else { fallback }
    }

    /// The indicator of the block scalar whose content comes next: `|`, `>-`.
    fn block_header(&self, from: usize) -> Range<usize> {
        let bytes = self.text.as_bytes();
        let mut at = from;
        while let Some(&b) = bytes.get(at) {
            match b {
                b'|' | b'>' => break,
                b'&' | b'!' => at = self.after_properties(at),
                b' ' | b'\t' | b'\r' | b'\n' | b'#' => at = self.after_blanks(at),
                _ => at += 1,
            }
        }
        let mut end = at;
        while bytes.get(end).is_some_and(|b| b"|>+-123456789".contains(b)) {
            end += 1;
        }
        at..end
    }

    /// Where the line of `at` ends, before its line break.
    fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = at + rest.find('\n').unwrap_or(rest.len());
        if end > at && self.text.as_bytes().get(end - 1) == Some(&b'\r') && end < self.text.len() {
            end - 1
        } else {
            end
        }
    }
}

fn long_tag(tag: &saphyr_parser::Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars<'t>(
        text: &'t str,
        node: &Node,
        found: &mut Vec<(String, &'t str, Option<&'t str>)>,
    ) {
        match &node.kind {
            Kind::Scalar(s) => found.push((
                s.text.clone(),
                &text[s.place.text.clone()],
                s.place.block.clone().map(|b| &text[b]),
            )),
            Kind::Sequence(items) => items.iter().for_each(|n| scalars(text, n, found)),
            Kind::Mapping(pairs) => pairs.iter().for_each(|(k, v)| {
                scalars(text, k, found);
                scalars(text, v, found);
            }),
            Kind::Alias(_) => {}
        }
    }

    #[test]
    fn a_place_is_the_text_and_nothing_around_it() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("a: b # keep\n", "b", None),
            ("a: &x b\n", "b", None),
            ("a: &x !!str 'q' # c\n", "'q'", None),
            ("é: ü # x\n", "ü", None),
            ("\u{feff}a: b\n", "b", None),
            ("a: b\r\n", "b", None),
            ("a: \"q\n  more\"\n", "\"q\n  more\"", None),
            ("a: |\n  one\n  two\n\n", "|", Some("\n  one\n  two")),
            ("a: &x |-\n  t\n", "|-", Some("\n  t")),
            ("a: >-  # c | d\n  one\n", ">-", Some("\n  one")),
            ("a: # c | d\n  |\n  one\n", "|", Some("\n  one")),
            ("a: |", "|", Some("")),
            ("a: !!str \"a\\\"b\" # c\n", "\"a\\\"b\"", None),
            ("a: &x b c # d\n", "b c", None),
        ];
        for (text, place, block) in cases {
            let node = parse_first(text).unwrap().unwrap();
            let mut found = Vec::new();
            scalars(text, &node, &mut found);
            assert_eq!((found[1].1, found[1].2), (*place, *block), "{text:?}");
        }
    }

    #[test]
    fn an_empty_value_stands_behind_its_colon() {
        for (text, at) in [
            ("a:\nb: 1\n", 2),
            ("a :\n", 3),
            ("a: &x\nb: 1\n", 5),
            ("{a: , b: 1}", 3),
            ("- a:\n", 4),
        ] {
            let node = parse_first(text).unwrap().unwrap();
            let pairs = match &node.kind {
                Kind::Mapping(pairs) => pairs.clone(),
                Kind::Sequence(items) => match &items[0].kind {
                    Kind::Mapping(pairs) => pairs.clone(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            match &pairs[0].1.kind {
                Kind::Scalar(s) => assert_eq!(s.place.text, at..at, "{text:?}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let text = "[".repeat(MAX_DEPTH + 1);
        assert!(parse_first(&text).is_err());
        assert!(matches!(
            parse_first(&format!("{text}{}", "]".repeat(MAX_DEPTH + 1))),
            Err(DocumentError::TooDeep)
        ));
    }
}
