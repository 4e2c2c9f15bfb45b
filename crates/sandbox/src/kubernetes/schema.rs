//! The schema of a custom resource, read once from its CustomResourceDefinition into a form that is
//! quick to check objects with.

use super::rules::Rule;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

/// How deep a schema may nest; deeper ones are refused.
const MAX_DEPTH: usize = 64;

/// How the items of a list belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// The list is one value.
    #[default]
    Atomic,
    /// Every item stands once.
    Set,
    /// Items are told apart by the values of these fields.
    Map(Vec<String>),
}

/// What one value may be.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`, or empty for anything.
    pub kind: String,
    /// Known fields of an object.
    pub properties: BTreeMap<String, Schema>,
    /// What the values of a map are.
    pub additional: Option<Box<Schema>>,
    /// Whether `additionalProperties: true` stands.
    pub any_additional: bool,
    /// What the items of a list are.
    pub items: Option<Box<Schema>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Values that are allowed.
    pub allowed: Vec<Value>,
    /// Regular expression for strings, with its text.
    pub pattern: Option<(String, Regex)>,
    /// `date-time`, `int32`, `email`, …
    pub format: String,
    /// Smallest number; the flag says that it is excluded.
    pub minimum: Option<(f64, bool)>,
    /// Greatest number; the flag says that it is excluded.
    pub maximum: Option<(f64, bool)>,
    /// Divisor.
    pub multiple_of: Option<f64>,
    /// Bounds of a string's length in characters.
    pub length: (Option<u64>, Option<u64>),
    /// Bounds of a list's length.
    pub items_count: (Option<u64>, Option<u64>),
    /// Bounds of a map's size.
    pub properties_count: (Option<u64>, Option<u64>),
    /// Whether `null` is a value.
    pub nullable: bool,
    /// What a missing value becomes.
    pub default: Option<Value>,
    /// Whether unknown fields stay.
    pub preserve: bool,
    /// Whether the value is a whole Kubernetes object.
    pub embedded: bool,
    /// Whether the value is an integer or a string.
    pub int_or_string: bool,
    /// How list items belong together.
    pub list: ListKind,
    /// Whether an object is one value for apply.
    pub atomic: bool,
    /// CEL rules.
    pub rules: Vec<Rule>,
    /// Alternatives: all, any, exactly one of these must hold.
    pub all_of: Vec<Schema>,
    /// See `all_of`.
    pub any_of: Vec<Schema>,
    /// See `all_of`.
    pub one_of: Vec<Schema>,
    /// What must not hold.
    pub not: Option<Box<Schema>>,
}

impl Schema {
    /// Whether there is a CEL rule anywhere in it.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.properties.values().any(Self::has_rules)
            || self.items.as_deref().is_some_and(Self::has_rules)
            || self.additional.as_deref().is_some_and(Self::has_rules)
    }

    /// Reads an `openAPIV3Schema`.
    ///
    /// # Errors
    /// A message naming the place that cannot be read: an unusable pattern or CEL rule, too deep nesting.
    pub fn parse(raw: &Value) -> Result<Self, String> {
        Self::read(raw, "openAPIV3Schema", 0)
    }

    fn read(raw: &Value, path: &str, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("{path}: nests deeper than {MAX_DEPTH} levels"));
        }
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |key: &str| raw.get(key).and_then(Value::as_bool).unwrap_or_default();
        let count = |key: &str| raw.get(key).and_then(Value::as_u64);
        let bound = |key: &str, exclusive: &str| {
            raw.get(key).and_then(Value::as_f64).map(|number| (number, flag(exclusive)))
        };
        let below = |key: &str| -> Result<Option<Box<Self>>, String> {
            match raw.get(key) {
                Some(inner @ Value::Object(_)) => {
                    Ok(Some(Box::new(Self::read(inner, &format!("{path}.{key}"), depth + 1)?)))
                }
                _ => Ok(None),
            }
        };
        let several = |key: &str| -> Result<Vec<Self>, String> {
            let list =
                raw.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter()
                .enumerate()
                .map(|(at, inner)| Self::read(inner, &format!("{path}.{key}[{at}]"), depth + 1))
                .collect()
        };
        let strings = |key: &str| -> Vec<String> {
            let list =
                raw.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut properties = BTreeMap::new();
        if let Some(Value::Object(fields)) = raw.get("properties") {
            for (name, inner) in fields {
                let inner = Self::read(inner, &format!("{path}.properties[{name}]"), depth + 1)?;
                properties.insert(name.clone(), inner);
            }
        }
        let pattern = match raw.get("pattern").and_then(Value::as_str) {
            Some(pattern) => {
                let regex =
                    Regex::new(pattern).map_err(|error| format!("{path}.pattern: {error}"))?;
                Some((pattern.to_owned(), regex))
            }
            None => None,
        };
        let mut rules = Vec::new();
        let written = raw.get("x-kubernetes-validations").and_then(Value::as_array);
        for (at, rule) in written.map(Vec::as_slice).unwrap_or_default().iter().enumerate() {
            let place = format!("{path}.x-kubernetes-validations[{at}].rule");
            rules.push(Rule::parse(rule).map_err(|why| format!("{place}: {why}"))?);
        }
        Ok(Self {
            kind: text("type"),
            properties,
            additional: below("additionalProperties")?,
            any_additional: flag("additionalProperties"),
            items: below("items")?,
            required: strings("required"),
            allowed: raw.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern,
            format: text("format"),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: raw
                .get("multipleOf")
                .and_then(Value::as_f64)
                .filter(|number| *number > 0.0),
            length: (count("minLength"), count("maxLength")),
            items_count: (count("minItems"), count("maxItems")),
            properties_count: (count("minProperties"), count("maxProperties")),
            nullable: flag("nullable"),
            default: raw.get("default").cloned(),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list: match text("x-kubernetes-list-type").as_str() {
                "map" => ListKind::Map(strings("x-kubernetes-list-map-keys")),
                "set" => ListKind::Set,
                _ => ListKind::Atomic,
            },
            atomic: text("x-kubernetes-map-type") == "atomic",
            rules,
            all_of: several("allOf")?,
            any_of: several("anyOf")?,
            one_of: several("oneOf")?,
            not: below("not")?,
        })
    }

    /// The schema of a field of an object, if there is one.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }
}
