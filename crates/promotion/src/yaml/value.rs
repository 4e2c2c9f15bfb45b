//! A YAML document as data, read by YAML 1.1's rules as `yaml-parse` reads it
//! (`steps-files` 8): all numbers are doubles, aliases and `<<` are expanded,
//! keys become strings, of duplicate keys the last wins.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::document::{self, DocumentError, Kind, Node, Scalar};
use super::scalar::{self, Plain};

/// How many values one document may expand to: aliases of aliases must not
/// exhaust the process.
pub const MAX_VALUES: usize = 1_000_000;

/// Why a document has no value.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is not YAML.
    #[error(transparent)]
    Syntax(#[from] DocumentError),
    /// `.inf` and `.nan` have no JSON form.
    #[error("{0} cannot be written as JSON")]
    NotFinite(String),
    /// A key that is null, a list or a mapping.
    #[error("a key that is {0} cannot be a JSON object's key")]
    Key(&'static str),
    /// `<<` with something else than a mapping or a list of mappings.
    #[error("<< needs a mapping or a list of mappings")]
    Merge,
    /// An alias inside the value it names.
    #[error("an alias stands inside the value that it names")]
    Loop,
    /// A tag that the text does not fit.
    #[error("{text:?} is not {tag}")]
    Tag {
        /// The scalar's text.
        text: String,
        /// The tag's short form.
        tag: String,
    },
    /// More than [`MAX_VALUES`].
    #[error("the document expands to more than {MAX_VALUES} values")]
    TooLarge,
}

/// The value of a file's first document; a file without content is null.
///
/// # Errors
/// See [`ValueError`].
pub fn first_document(text: &str) -> Result<Value, ValueError> {
    let Some(root) = document::parse_first(text)? else { return Ok(Value::Null) };
    let mut anchors = HashMap::new();
    collect_anchors(&root, &mut anchors);
    Reader { anchors, left: MAX_VALUES, open: Vec::new() }.value(&root)
}

fn collect_anchors<'n>(node: &'n Node, anchors: &mut HashMap<usize, &'n Node>) {
    if node.anchor > 0 {
        anchors.insert(node.anchor, node);
    }
    match &node.kind {
        Kind::Scalar(_) | Kind::Alias(_) => {}
        Kind::Sequence(items) => items.iter().for_each(|n| collect_anchors(n, anchors)),
        Kind::Mapping(pairs) => pairs.iter().for_each(|(k, v)| {
            collect_anchors(k, anchors);
            collect_anchors(v, anchors);
        }),
    }
}

struct Reader<'n> {
    anchors: HashMap<usize, &'n Node>,
    left: usize,
    /// Anchors whose aliases are being expanded.
    open: Vec<usize>,
}

impl<'n> Reader<'n> {
    fn value(&mut self, node: &'n Node) -> Result<Value, ValueError> {
        self.left = self.left.checked_sub(1).ok_or(ValueError::TooLarge)?;
        match &node.kind {
            Kind::Scalar(s) => scalar_value(s, node.tag.as_deref()),
            Kind::Sequence(items) => {
                items.iter().map(|n| self.value(n)).collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Mapping(pairs) => self.mapping(pairs).map(Value::Object),
            Kind::Alias(anchor) => {
                let target = self.enter(*anchor)?;
                let value = self.value(target);
                self.open.pop();
                value
            }
        }
    }

    fn enter(&mut self, anchor: usize) -> Result<&'n Node, ValueError> {
        if self.open.contains(&anchor) || self.open.len() > document::MAX_DEPTH {
            return Err(ValueError::Loop);
        }
        let target = self.anchors.get(&anchor).copied().ok_or(ValueError::Loop)?;
        self.open.push(anchor);
        Ok(target)
    }

    fn mapping(&mut self, pairs: &'n [(Node, Node)]) -> Result<Map<String, Value>, ValueError> {
        let mut own = Map::new();
        let mut merged = Map::new();
        for (key, value) in pairs {
            if matches!(&key.kind, Kind::Scalar(s) if s.plain && s.text == "<<" && key.tag.is_none())
            {
                self.merge(value, &mut merged)?;
            } else {
                let key = self.key(key)?;
                own.insert(key, self.value(value)?);
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Ok(own)
    }

    /// What `<<` brings: of several mappings the first to have a key wins.
    fn merge(&mut self, node: &'n Node, into: &mut Map<String, Value>) -> Result<(), ValueError> {
        match &node.kind {
            Kind::Mapping(pairs) => {
                for (key, value) in self.mapping(pairs)? {
                    into.entry(key).or_insert(value);
                }
                Ok(())
            }
            Kind::Sequence(items) => items.iter().try_for_each(|n| match &n.kind {
                Kind::Sequence(_) | Kind::Scalar(_) => Err(ValueError::Merge),
                _ => self.merge(n, into),
            }),
            Kind::Alias(anchor) => {
                let target = self.enter(*anchor)?;
                let merged = self.merge(target, into);
                self.open.pop();
                merged
            }
            Kind::Scalar(_) => Err(ValueError::Merge),
        }
    }

    fn key(&mut self, node: &'n Node) -> Result<String, ValueError> {
        match self.value(node)? {
            Value::String(s) => Ok(s),
            Value::Bool(b) => Ok(b.to_string()),
            Value::Number(n) => Ok(scalar::number_text(&n)),
            Value::Null => Err(ValueError::Key("null")),
            Value::Array(_) => Err(ValueError::Key("a list")),
            Value::Object(_) => Err(ValueError::Key("a mapping")),
        }
    }
}

fn scalar_value(s: &Scalar, tag: Option<&str>) -> Result<Value, ValueError> {
    let wrong = |tag: &str| ValueError::Tag { text: s.text.clone(), tag: tag.to_owned() };
    let number = |x: f64| {
        Number::from_f64(x).map(Value::Number).ok_or_else(|| ValueError::NotFinite(s.text.clone()))
    };
    let plain = match tag.map(|t| t.strip_prefix("tag:yaml.org,2002:").unwrap_or("")) {
        None => {
            if s.plain {
                scalar::resolve(&s.text)
            } else {
                Plain::Text
            }
        }
        Some("null") => Plain::Null,
        Some("binary") => {
            use base64::Engine as _;
            let compact: String = s.text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(compact)
                .map_err(|_| wrong("!!binary"))?;
            return Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        }
        Some(kind @ ("int" | "float" | "bool")) => match (kind, scalar::resolve(&s.text)) {
            ("int" | "float", n @ Plain::Number(_)) => n,
            ("bool", b @ Plain::Bool(_)) => b,
            _ => return Err(wrong(&format!("!!{kind}"))),
        },
        Some(_) => Plain::Text,
    };
    match plain {
        Plain::Null => Ok(Value::Null),
        Plain::Bool(b) => Ok(Value::Bool(b)),
        Plain::Number(x) => number(x),
        Plain::Text => Ok(Value::String(s.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_yaml_1_1() {
        let cases = [
            (
                "a: 010\nb: 0x1F\nc: yes\nd: 2024-01-01\n",
                json!({"a": 8.0, "b": 31.0, "c": true, "d": "2024-01-01"}),
            ),
            ("n: 1\n1: x\n1.5: z\n", json!({"false": 1.0, "1": "x", "1.5": "z"})),
            ("a: 1\na: 2\n", json!({"a": 2.0})),
            (
                "b: &b {k: v, l: w}\nx:\n  <<: *b\n  l: own\n",
                json!({"b": {"k": "v", "l": "w"}, "x": {"k": "v", "l": "own"}}),
            ),
            ("x:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", json!({"x": {"a": 1.0, "b": 3.0}})),
            ("a: &x [1]\nb: *x\n", json!({"a": [1.0], "b": [1.0]})),
            (
                "a: !!str 1\nb: !!int \"2\"\nc: !local 3\nd: !!binary aGk=\n",
                json!({"a": "1", "b": 2.0, "c": "3", "d": "hi"}),
            ),
            ("hello\n", json!("hello")),
            ("# only a comment\n", json!(null)),
            ("a: 1\n---\na: 2\n", json!({"a": 1.0})),
            ("a:\n- \"1\"\n- ~\n", json!({"a": ["1", null]})),
        ];
        for (text, value) in cases {
            assert_eq!(first_document(text).unwrap(), value, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        for text in [
            "a: .nan\n",
            "~: 1\n",
            "[a]: 1\n",
            "x: {<<: 1}\n",
            "key: : value\n",
            "a: !!int x\n",
            "&a [*a]\n",
        ] {
            assert!(first_document(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn aliases_cannot_exhaust_the_process() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let p = i - 1;
            text.push_str(&format!(
                "a{i}: &a{i} [*a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}]\n"
            ));
        }
        assert!(matches!(first_document(&text), Err(ValueError::TooLarge)));
    }
}
