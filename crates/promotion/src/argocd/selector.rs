//! Label selectors of app entries (`steps-argocd` 2.2): all criteria must
//! hold, by the rules of Kubernetes' own label selectors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A selector as a step's config writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectorConfig {
    /// Labels and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further criteria.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<ExpressionConfig>,
}

/// One criterion as a step's config writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpressionConfig {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Criterion {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

/// A selector whose criteria have been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Criterion>);

/// Why a selector cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A label of `matchLabels` is no label.
    #[error("invalid matchLabel {key}={value}: {problem}")]
    Label {
        /// As written.
        key: String,
        /// As written.
        value: String,
        /// What is wrong.
        problem: String,
    },
    /// A criterion of `matchExpressions` cannot be.
    #[error("invalid matchExpression: {0}")]
    Expression(String),
    /// An operator that does not exist.
    #[error("invalid operator: {0}")]
    Operator(String),
    /// Nothing to select by.
    #[error("selector must have at least one match criterion")]
    Empty,
}

impl Selector {
    /// Checks a written selector.
    ///
    /// # Errors
    /// See [`SelectorError`].
    pub fn new(config: &SelectorConfig) -> Result<Self, SelectorError> {
        let mut criteria = Vec::new();
        for (key, value) in &config.match_labels {
            check_key(key).and_then(|()| check_value(value)).map_err(|problem| {
                SelectorError::Label { key: key.clone(), value: value.clone(), problem }
            })?;
            criteria.push(Criterion::In(key.clone(), vec![value.clone()]));
        }
        for e in &config.match_expressions {
            let wrong = |text: String| SelectorError::Expression(text);
            let some = !e.values.is_empty();
            let criterion = match e.operator.as_str() {
                "In" | "NotIn" if !some => {
                    return Err(wrong(format!(
                        "key {:?}: for operators In and NotIn, values must be given",
                        e.key
                    )));
                }
                "Exists" | "DoesNotExist" if some => {
                    return Err(wrong(format!(
                        "key {:?}: for operators Exists and DoesNotExist, no values may be given",
                        e.key
                    )));
                }
                "In" => Criterion::In(e.key.clone(), e.values.clone()),
                "NotIn" => Criterion::NotIn(e.key.clone(), e.values.clone()),
                "Exists" => Criterion::Exists(e.key.clone()),
                "DoesNotExist" => Criterion::DoesNotExist(e.key.clone()),
                other => return Err(SelectorError::Operator(other.to_owned())),
            };
            check_key(&e.key).map_err(|p| wrong(format!("key {:?}: {p}", e.key)))?;
            for value in &e.values {
                check_value(value).map_err(|p| wrong(format!("value {value:?}: {p}")))?;
            }
            criteria.push(criterion);
        }
        if criteria.is_empty() {
            return Err(SelectorError::Empty);
        }
        Ok(Self(criteria))
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|criterion| match criterion {
            Criterion::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Criterion::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Criterion::Exists(key) => labels.contains_key(key),
            Criterion::DoesNotExist(key) => !labels.contains_key(key),
        })
    }

    /// The selector as API requests write it.
    pub fn query(&self) -> String {
        let terms: Vec<String> = self
            .0
            .iter()
            .map(|criterion| match criterion {
                Criterion::In(key, values) => format!("{key} in ({})", values.join(",")),
                Criterion::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
                Criterion::Exists(key) => key.clone(),
                Criterion::DoesNotExist(key) => format!("!{key}"),
            })
            .collect();
        terms.join(",")
    }
}

const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_PREFIX
        && text.split('.').all(|part| {
            is_name(part)
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|p| !is_subdomain(p)) {
        return Err("the key's prefix must be a DNS subdomain of at most 253 characters".into());
    }
    if !is_name(name) {
        return Err(
            "the key's name must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or \
                    digit at both ends"
                .into(),
        );
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) {
        Ok(())
    } else {
        Err("the value must be at most 63 letters, digits, '-', '_' or '.', with a letter or digit \
             at both ends"
            .into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selector(config: serde_json::Value) -> Result<Selector, String> {
        let config: SelectorConfig = serde_json::from_value(config).unwrap();
        Selector::new(&config).map_err(|e| e.to_string())
    }

    #[test]
    fn all_criteria_must_hold() {
        let labels: BTreeMap<String, String> =
            [("env".to_owned(), "prod".to_owned()), ("tier".to_owned(), String::new())].into();
        // (selector, selects, query)
        let cases = [
            (json!({"matchLabels": {"env": "prod"}}), true, "env in (prod)"),
            (json!({"matchLabels": {"env": "test"}}), false, "env in (test)"),
            (
                json!({"matchLabels": {"env": "prod", "nope": "x"}}),
                false,
                "env in (prod),nope in (x)",
            ),
            (
                json!({"matchExpressions": [{"key": "env", "operator": "In", "values": ["a", "prod"]}]}),
                true,
                "env in (a,prod)",
            ),
            (
                json!({"matchExpressions": [{"key": "nope", "operator": "NotIn", "values": ["a"]}]}),
                true,
                "nope notin (a)",
            ),
            (
                json!({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}),
                false,
                "env notin (prod)",
            ),
            (json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}), true, "tier"),
            (json!({"matchExpressions": [{"key": "a.b/c", "operator": "Exists"}]}), false, "a.b/c"),
            (
                json!({"matchExpressions": [{"key": "nope", "operator": "DoesNotExist"}]}),
                true,
                "!nope",
            ),
            (
                json!({"matchLabels": {"env": "prod"},
                       "matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}),
                false,
                "env in (prod),!env",
            ),
        ];
        for (config, selects, query) in cases {
            let selector = selector(config.clone()).unwrap();
            assert_eq!(selector.matches(&labels), selects, "{config}");
            assert_eq!(selector.query(), query);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        let cases = [
            (json!({}), "selector must have at least one match criterion"),
            (json!({"matchLabels": {"a b": "c"}}), "invalid matchLabel a b=c: "),
            (json!({"matchLabels": {"a": "-"}}), "invalid matchLabel a=-: "),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                "invalid matchExpression: ",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "invalid matchExpression: ",
            ),
            (
                json!({"matchExpressions": [{"key": "/a", "operator": "Exists"}]}),
                "invalid matchExpression: ",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}),
                "invalid operator: Like",
            ),
        ];
        for (config, error) in cases {
            let found = selector(config.clone()).unwrap_err();
            assert!(found.starts_with(error), "{config}: {found}");
        }
    }
}
