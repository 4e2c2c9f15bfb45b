//! Values with declared fields and methods, which the environment brings.

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::Error;
use crate::value::Value;

/// A value with declared fields: unlike a map, reading a field that it does
/// not have is an error (`expressions` 6.6).
pub trait Object: Send + Sync + Debug {
    /// The type's name, for example `v1alpha1.GitCommit`.
    fn type_name(&self) -> &str;

    /// The value of a field, or a method as a function.
    fn field(&self, name: &str) -> Option<Value>;

    /// The names of its fields and methods, for suggestions.
    fn field_names(&self) -> Vec<&str>;

    /// Its JSON form.
    ///
    /// # Errors
    /// When it has none.
    fn to_json(&self) -> Result<serde_json::Value, Error>;

    /// Its text, as Go's `%v` gives it.
    fn to_text(&self) -> String;

    /// Whether it is a nil of a declared type.
    fn is_nil(&self) -> bool {
        false
    }

    /// The point in time that it stands for, which makes it comparable.
    fn as_time(&self) -> Option<Arc<jiff::Zoned>> {
        None
    }

    /// The whole number that it stands for.
    fn as_int(&self) -> Option<i64> {
        None
    }

    /// The time zone that it is.
    fn as_zone(&self) -> Option<&jiff::tz::TimeZone> {
        None
    }

    /// Its members in the order that JSON text has them, where that is not
    /// the order of their names.
    fn json_members(&self) -> Option<Vec<(String, Value)>> {
        None
    }

    /// Its form for `asYAML`, where it differs from the JSON form.
    fn to_yaml_value(&self) -> Option<Value> {
        None
    }
}

/// One field of a [`Record`].
#[derive(Clone, Debug)]
pub struct Field {
    /// The name in expressions, for example `RepoURL`.
    pub name: &'static str,
    /// The name in JSON, for example `repoURL`.
    pub json_name: &'static str,
    /// Whether JSON leaves it out when it is empty.
    pub omit_empty: bool,
    /// Its value.
    pub value: Value,
}

/// An object of plain fields.
///
/// ```
/// use expr::{Field, Record, Value};
///
/// let origin = Record::new("v1alpha1.FreightOrigin", vec![
///     Field { name: "Name", json_name: "name", omit_empty: true, value: "w".into() },
/// ]);
/// let mut env = expr::Env::new();
/// env.set("origin", Value::from(origin));
/// assert_eq!(expr::eval("origin.Name", &env).unwrap(), Value::from("w"));
/// let error = expr::eval("origin.name", &env).unwrap_err();
/// assert!(error.message().starts_with("type v1alpha1.FreightOrigin has no field name"));
/// ```
#[derive(Clone, Debug)]
pub struct Record {
    type_name: &'static str,
    fields: Vec<Field>,
}

impl Record {
    /// A record of a type's name and its fields, in the order of JSON.
    pub fn new(type_name: &'static str, fields: Vec<Field>) -> Self {
        Self { type_name, fields }
    }
}

impl From<Record> for Value {
    fn from(record: Record) -> Self {
        Self::Object(Arc::new(record))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Nil | Value::NilArray | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Float(f) => *f == 0.0,
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Object(object) => object.is_nil() || object.to_text().is_empty(),
        _ => false,
    }
}

impl Object for Record {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.value.clone())
    }

    fn field_names(&self) -> Vec<&str> {
        self.fields.iter().map(|f| f.name).collect()
    }

    fn to_json(&self) -> Result<serde_json::Value, Error> {
        let members = self.json_members().unwrap_or_default().into_iter();
        members.map(|(name, value)| Ok((name, value.try_to_json()?))).collect()
    }

    fn json_members(&self) -> Option<Vec<(String, Value)>> {
        let kept = self.fields.iter().filter(|f| !(f.omit_empty && is_empty(&f.value)));
        Some(kept.map(|f| (f.json_name.to_owned(), f.value.clone())).collect())
    }

    fn to_text(&self) -> String {
        let values: Vec<String> = self.fields.iter().map(|f| f.value.to_text()).collect();
        format!("{{{}}}", values.join(" "))
    }

    fn to_yaml_value(&self) -> Option<Value> {
        let map: crate::value::Map =
            self.fields.iter().map(|f| (f.name.to_lowercase(), f.value.clone())).collect();
        Some(map.into())
    }
}
