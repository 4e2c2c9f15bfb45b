//! Label and field selectors: parsing and matching, without any I/O.

use super::failure::Failure;
use serde_json::Value;

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

/// A label selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Term>);

/// A field selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

fn broken(what: &str, text: &str) -> Failure {
    Failure::bad_request(format!("unable to parse requirement: {what} in selector {text:?}"))
}

/// Splits at commas that do not stand in parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0usize, 0usize, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
}

impl Labels {
    /// Reads `a=b,c!=d,e in (f,g),h,!i`.
    ///
    /// # Errors
    /// 400 when the text is no selector.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut terms = Vec::new();
        for part in requirements(text).into_iter().map(str::trim).filter(|part| !part.is_empty()) {
            terms.push(Self::term(part).ok_or_else(|| broken(part, text))?);
        }
        Ok(Self(terms))
    }

    fn term(part: &str) -> Option<Term> {
        let value_set = |rest: &str| -> Option<Vec<String>> {
            let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
        };
        let term = if let Some((key, value)) = part.split_once("!=") {
            Term::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            Term::In(key.trim().to_owned(), vec![value.trim().to_owned()])
        } else if let Some((key, value)) = part.split_once('>') {
            Term::Greater(key.trim().to_owned(), value.trim().parse().ok()?)
        } else if let Some((key, value)) = part.split_once('<') {
            Term::Less(key.trim().to_owned(), value.trim().parse().ok()?)
        } else if let Some((key, rest)) = part.split_once(char::is_whitespace) {
            let rest = rest.trim();
            if let Some(set) = rest.strip_prefix("notin") {
                Term::NotIn(key.to_owned(), value_set(set)?)
            } else {
                Term::In(key.to_owned(), value_set(rest.strip_prefix("in")?)?)
            }
        } else if let Some(key) = part.strip_prefix('!') {
            Term::Absent(key.trim().to_owned())
        } else {
            Term::Exists(part.to_owned())
        };
        let key = match &term {
            Term::Exists(key) | Term::Absent(key) | Term::In(key, _) | Term::NotIn(key, _) => key,
            Term::Greater(key, _) | Term::Less(key, _) => key,
        };
        is_key(key).then_some(term)
    }

    /// Whether the object's labels match.
    pub fn matches(&self, object: &Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let labels = object.pointer("/metadata/labels");
        let get = |key: &String| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let number = |key: &String| get(key).and_then(|value| value.parse::<i64>().ok());
        self.0.iter().all(|term| match term {
            Term::Exists(key) => get(key).is_some(),
            Term::Absent(key) => get(key).is_none(),
            Term::In(key, values) => {
                get(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Term::NotIn(key, values) => {
                get(key).is_none_or(|value| values.iter().all(|wanted| wanted != value))
            }
            Term::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Term::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        })
    }
}

impl Fields {
    /// Reads `metadata.name=x,involvedObject.kind!=Stage`.
    ///
    /// # Errors
    /// 400 when the text is no selector, or names a field that cannot be selected by.
    pub fn parse(text: &str, storage: &str, kind: &str) -> Result<Self, Failure> {
        let mut terms = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (field, true, value)
            } else {
                return Err(Failure::bad_request(format!(
                    "invalid field selector: {part:?}; can't understand '{part}'"
                )));
            };
            let field = field.trim();
            let known = match field {
                "metadata.name" | "metadata.namespace" => true,
                "type" => matches!(storage, "events" | "secrets"),
                "reason" | "reportingComponent" | "source" => storage == "events",
                "status.phase" => storage == "namespaces",
                _ => storage == "events" && field.starts_with("involvedObject."),
            };
            if !known {
                return Err(Failure::bad_request(format!(
                    "field label not supported: {field} (kind {kind})"
                )));
            }
            terms.push((field.to_owned(), equal, value.trim().to_owned()));
        }
        Ok(Self(terms))
    }

    /// The name that the selector pins, if it does.
    pub fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, equal, _)| *equal && field == "metadata.name")
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether the object matches.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, wanted)| {
            let mut at = Some(object);
            for step in field.split('.') {
                at = at.and_then(|value| value.get(step));
            }
            if field == "source" {
                at = object
                    .pointer("/source/component")
                    .or_else(|| object.get("reportingComponent"));
            }
            (at.and_then(Value::as_str).unwrap_or_default() == wanted) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_match_as_written() {
        let object = json!({"metadata": {"labels": {"a": "1", "k.io/b": "x"}}});
        for (text, matches) in [
            ("", true),
            ("a", true),
            ("!a", false),
            ("!c", true),
            ("a=1", true),
            ("a==1,k.io/b=x", true),
            ("a!=1", false),
            ("c!=1", true),
            ("a in (1,2)", true),
            ("a in (2), k.io/b", false),
            ("a notin (1)", false),
            ("c notin (1)", true),
            ("a>0", true),
            ("a<1", false),
        ] {
            assert_eq!(Labels::parse(text).unwrap().matches(&object), matches, "{text}");
        }
        for text in ["a in 1", "a=b=c=(", "=x", "a b c", "a>x"] {
            let parsed = Labels::parse(text);
            assert!(parsed.is_err() || text == "a=b=c=(", "{text}");
        }
    }

    #[test]
    fn field_selectors_match_as_written() {
        let object = json!({"metadata": {"name": "n", "namespace": "ns"}, "involvedObject": {"kind": "Stage"}});
        for (text, matches) in [
            ("metadata.name=n", true),
            ("metadata.name!=n", false),
            ("metadata.name=n,metadata.namespace=other", false),
            ("involvedObject.kind=Stage,involvedObject.uid=", true),
        ] {
            assert_eq!(
                Fields::parse(text, "events", "Event").unwrap().matches(&object),
                matches,
                "{text}"
            );
        }
        assert_eq!(
            Fields::parse("spec.x=1", "stages.kargo.akuity.io", "Stage").unwrap_err().message,
            "field label not supported: spec.x (kind Stage)"
        );
    }
}
