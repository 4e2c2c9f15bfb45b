//! Replaces values in a YAML file by their bytes and touches nothing else:
//! comments, quoting, indentation, blank lines, anchors and line ends of the
//! rest stay (`steps-files` 6).

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::document::{self, DocumentError, Kind, Node, Scalar};
use super::{key_path, scalar};

/// A value and the key that addresses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Parts divided by dots (`steps-files` 0.6).
    pub key: String,
    /// The new value: a string, number or boolean.
    pub value: Value,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file is not YAML.
    #[error("error unmarshaling input: {0}")]
    Syntax(DocumentError),
    /// The key cannot be read.
    #[error("error splitting key {key}: {problem}")]
    Key {
        /// As written.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The key leads to nothing, or to nothing that can be replaced.
    #[error("error finding key {key}: {problem}")]
    NotFound {
        /// As written.
        key: String,
        /// What is wrong, and what there is instead.
        problem: String,
    },
    /// The new value is null, a list or a mapping.
    #[error("value for key \"{key}\" is not a scalar type; give a string, a number or a boolean")]
    NotScalar {
        /// As written.
        key: String,
    },
    /// The changed file would not read back with just these changes.
    #[error(
        "changing {keys} would change more of the file than that; the file was left as it is \
         (please report this file's shape)"
    )]
    Unsafe {
        /// The keys of all updates.
        keys: String,
    },
}

/// The text with all updates made, in its first document. A later update of
/// the same value wins.
///
/// The result is parsed again, and everything but the addressed values must
/// read as before; else it is an error.
///
/// # Errors
/// See [`EditError`]; nothing is changed in part.
pub fn apply(text: &str, updates: &[Update]) -> Result<String, EditError> {
    let mut documents = document::parse_all(text).map_err(EditError::Syntax)?;
    let mut targets: BTreeMap<usize, (Scalar, Value)> = BTreeMap::new();
    for update in updates {
        let parts = key_path::split(&update.key)
            .map_err(|problem| EditError::Key { key: update.key.clone(), problem })?;
        let root = documents.first().and_then(Option::as_ref);
        let found = find(root, &parts)
            .map_err(|problem| EditError::NotFound { key: update.key.clone(), problem })?;
        if !matches!(update.value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            return Err(EditError::NotScalar { key: update.key.clone() });
        }
        targets.insert(found.place.text.start, (found.clone(), update.value.clone()));
    }

    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (target, value) in targets.values() {
        edits.push((
            target.place.text.clone(),
            spaced(text, target, &scalar_text(value, target.place.in_flow)),
        ));
        if let Some(block) = &target.place.block {
            edits.push((block.clone(), String::new()));
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut changed = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for (range, new) in &edits {
        changed.push_str(text.get(from..range.start).unwrap_or_default());
        changed.push_str(new);
        from = range.end;
    }
    changed.push_str(text.get(from..).unwrap_or_default());
    if !changed.ends_with('\n') {
        changed.push('\n');
    }

    // Only the addressed values may differ.
    for (start, (_, value)) in &targets {
        set_expected(documents.first_mut().and_then(Option::as_mut), *start, value);
    }
    let same = document::parse_all(&changed).is_ok_and(|after| same_documents(&documents, &after));
    if same {
        Ok(changed)
    } else {
        let keys: Vec<&str> = updates.iter().map(|u| u.key.as_str()).collect();
        Err(EditError::Unsafe { keys: keys.join(", ") })
    }
}

/// The text of a value as it is written at such a place.
fn scalar_text(value: &Value, in_flow: bool) -> String {
    let text = scalar::quote_if_needed(value).unwrap_or_default();
    match value {
        Value::String(s) if *s == text && !reads_back(s, in_flow) => scalar::go_quote(s),
        _ => text,
    }
}

/// Whether a string written bare reads as that string again.
fn reads_back(text: &str, in_flow: bool) -> bool {
    if scalar::resolve(text) != scalar::Plain::Text || text == "<<" || text == "=" {
        return false;
    }
    let around = if in_flow { format!("[{text}]\n") } else { format!("- {text}\n") };
    let Ok(documents) = document::parse_all(&around) else { return false };
    let [Some(Node { kind: Kind::Sequence(items), .. })] = documents.as_slice() else {
        return false;
    };
    match items.as_slice() {
        [Node { kind: Kind::Scalar(s), anchor: 0, tag: None }] => s.plain && s.text == text,
        _ => false,
    }
}

/// The new text, with a space where it would stick to what stands before or
/// behind it.
fn spaced(text: &str, target: &Scalar, new: &str) -> String {
    let before = text[..target.place.text.start].chars().next_back();
    let after = text[target.place.text.end..].chars().next();
    let lead = target.place.text.is_empty()
        && !before.is_none_or(|c| c.is_whitespace() || "[{".contains(c));
    let trail = target.place.text.is_empty() && after == Some('#');
    format!("{}{new}{}", if lead { " " } else { "" }, if trail { " " } else { "" })
}

/// The scalar that a key leads to.
fn find<'n>(root: Option<&'n Node>, parts: &[String]) -> Result<&'n Scalar, String> {
    const NOT_FOUND: &str = "key path not found";
    let mut node =
        root.ok_or_else(|| format!("{NOT_FOUND}; the file's first document is empty"))?;
    for (depth, part) in parts.iter().enumerate() {
        let here = if depth == 0 { "the file".to_owned() } else { parts[..depth].join(".") };
        node = match &node.kind {
            Kind::Mapping(pairs) => pairs
                .iter()
                .find(|(key, _)| matches!(&key.kind, Kind::Scalar(s) if s.text == *part))
                .map(|(_, value)| value)
                .ok_or_else(|| format!("{NOT_FOUND}; {here} has {}", names(pairs)))?,
            Kind::Sequence(items) => {
                let signless = part.strip_prefix(['+', '-']).unwrap_or(part);
                if signless.is_empty() || !signless.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(format!(
                        "strconv.Atoi: parsing \"{part}\": invalid syntax; {here} is a list, so a \
                         number from 0 to {} is expected here",
                        items.len().saturating_sub(1)
                    ));
                }
                part.parse::<usize>().ok().and_then(|i| items.get(i)).ok_or_else(|| {
                    format!("index out of range: {part}; {here} has {} items", items.len())
                })?
            }
            Kind::Scalar(_) => return Err(format!("{NOT_FOUND}; {here} is a single value")),
            Kind::Alias(_) => {
                return Err(format!("{NOT_FOUND}; {here} is an alias, change the value it names"));
            }
        };
    }
    let what = match &node.kind {
        Kind::Scalar(scalar) => return Ok(scalar),
        Kind::Mapping(pairs) => format!("a mapping with {}", names(pairs)),
        Kind::Sequence(items) => format!("a list of {} items", items.len()),
        Kind::Alias(_) => "an alias".to_owned(),
    };
    Err(format!("key path does not address a scalar node; it is {what}"))
}

/// The keys of a mapping for an error text.
fn names(pairs: &[(Node, Node)]) -> String {
    let keys: Vec<&str> = pairs
        .iter()
        .filter_map(|(key, _)| match &key.kind {
            Kind::Scalar(s) => Some(s.text.as_str()),
            _ => None,
        })
        .collect();
    match keys.len() {
        0 => "no keys".to_owned(),
        n if n > 20 => format!("{} and {} more", keys[..20].join(", "), n - 20),
        _ => keys.join(", "),
    }
}

/// Puts the new value into the old tree, for the comparison with what the
/// changed file reads as.
fn set_expected(node: Option<&mut Node>, start: usize, value: &Value) {
    let Some(node) = node else { return };
    match &mut node.kind {
        Kind::Scalar(s) if s.place.text.start == start => {
            s.text = match value {
                Value::String(s) => s.clone(),
                other => scalar::quote_if_needed(other).unwrap_or_default(),
            };
            s.plain =
                !matches!(value, Value::String(t) if scalar::resolve(t) != scalar::Plain::Text);
        }
        Kind::Scalar(_) | Kind::Alias(_) => {}
        Kind::Sequence(items) => {
            items.iter_mut().for_each(|n| set_expected(Some(n), start, value));
        }
        Kind::Mapping(pairs) => {
            // A place belongs to one node only; keys are never replaced.
            pairs.iter_mut().for_each(|(_, n)| set_expected(Some(n), start, value));
        }
    }
}

fn same_documents(before: &[Option<Node>], after: &[Option<Node>]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|pair| match pair {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        })
}

/// Whether two nodes mean the same, wherever they stand.
fn same(a: &Node, b: &Node) -> bool {
    a.anchor == b.anchor
        && a.tag == b.tag
        && match (&a.kind, &b.kind) {
            (Kind::Scalar(x), Kind::Scalar(y)) => {
                let meaning = |s: &Scalar| {
                    if s.plain { scalar::resolve(&s.text) } else { scalar::Plain::Text }
                };
                x.text == y.text
                    && (meaning(x) == meaning(y)
                        || matches!((meaning(x), meaning(y)),
                            (scalar::Plain::Number(m), scalar::Plain::Number(n)) if m.is_nan() && n.is_nan()))
            }
            (Kind::Sequence(x), Kind::Sequence(y)) => {
                x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b))
            }
            (Kind::Mapping(x), Kind::Mapping(y)) => {
                x.len() == y.len()
                    && x.iter().zip(y).all(|((k, v), (l, w))| same(k, l) && same(v, w))
            }
            (Kind::Alias(x), Kind::Alias(y)) => x == y,
            _ => false,
        }
}

#[cfg(test)]
mod tests;
