//! Values: JSON, with integers apart from floats, and with bytes, times,
//! durations, functions and typed objects beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::function::Function;
use crate::list::List;
use crate::object::Object;
use crate::table::Table;

/// A value of an expression. Cheap to clone: everything large is shared.
///
/// ```
/// use expr::Value;
///
/// let value = Value::from(serde_json::json!({"n": 1, "list": [true, "x", 1.5], "none": null}));
/// assert_eq!(value.member("n").as_int(), Some(1));
/// assert_eq!(value.member("n").as_float(), Some(1.0));
/// let list = value.member("list");
/// let items = list.as_array().unwrap();
/// assert_eq!((items[0].as_bool(), items[1].as_str()), (Some(true), Some("x")));
/// assert!(value.member("none").is_nil() && value.as_object().is_none());
/// assert_eq!(value.as_map().map(|map| map.len()), Some(3));
/// assert_eq!(value.to_text(), "map[list:[true x 1.5] n:1 none:<nil>]");
/// assert_eq!(value.to_json_text().unwrap(), r#"{"list":[true,"x",1.5],"n":1,"none":null}"#);
/// assert_eq!(Value::string_map([("k", "v")]).go_type(), "map[string]string");
/// assert!(Value::from(f64::INFINITY).try_to_json().is_err());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Value {
    /// `nil`.
    #[default]
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that a function declared unsigned; an element of bytes.
    Uint(u64),
    /// A number with a fraction; every number that came from JSON at run time.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Bytes (`b"…"`).
    Bytes(Arc<[u8]>),
    /// A list.
    Array(Arc<List>),
    /// A list that was never made: nil in comparisons, empty otherwise.
    NilArray,
    /// A map with text keys.
    Map(Arc<Map>),
    /// What `groupBy` and `fromPairs` give: a map with keys of any type.
    Table(Arc<Table>),
    /// A point in time with its zone.
    Time(Arc<jiff::Zoned>),
    /// Nanoseconds.
    Duration(i64),
    /// A function.
    Function(Function),
    /// A value with declared fields and methods.
    Object(Arc<dyn Object>),
}

/// What a missing key of a [`Map`] reads as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapKind {
    /// nil: a map like JSON's.
    #[default]
    Any,
    /// `""`: a map from text to text (`expressions` 6.4).
    Strings,
}

/// A map with text keys, in the order of the keys.
///
/// ```
/// use expr::{Map, MapKind, Value};
///
/// let mut map: Map = [("b", 1), ("a", 2)].into_iter().collect();
/// map.insert("c", "text");
/// assert_eq!(map.remove("b"), Some(Value::from(1)));
/// assert_eq!((map.len(), map.is_empty(), map.is_nil()), (2, false, false));
/// assert_eq!((map.get("a"), map.contains_key("b")), (Some(&Value::from(2)), false));
/// assert_eq!(map.iter().map(|(k, _)| k).collect::<Vec<_>>(), ["a", "c"]);
///
/// // What a step that left nothing reads as.
/// let nothing = Value::from(Map::nil(MapKind::Any));
/// assert_eq!(nothing, Value::Nil);
/// assert_eq!(nothing.member("x"), Value::Nil);
/// assert_eq!(Value::from(Map::of_strings()).member("x"), Value::from(""));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: BTreeMap<Arc<str>, Value>,
    kind: MapKind,
    nil: bool,
    depth: u16,
}

impl Map {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map whose missing keys read as `""`.
    pub fn of_strings() -> Self {
        Self { kind: MapKind::Strings, ..Self::default() }
    }

    /// A map that was never made: empty, yet equal to nil.
    pub fn nil(kind: MapKind) -> Self {
        Self { kind, nil: true, ..Self::default() }
    }

    /// Adds an entry; one with that key is replaced.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) {
        self.nil = false;
        let value = value.into();
        self.depth = self.depth.max(value.depth().saturating_add(1));
        self.entries.insert(key.into(), value);
    }

    /// Adds an entry unless there is one with that key.
    pub(crate) fn insert_new(&mut self, key: Arc<str>, value: Value) {
        self.depth = self.depth.max(value.depth().saturating_add(1));
        self.entries.entry(key).or_insert(value);
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// What a missing key reads as.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// Whether it is equal to nil.
    pub fn is_nil(&self) -> bool {
        self.nil
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> + '_ {
        self.entries.iter().map(|(k, v)| (k.as_ref(), v))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<str>> + '_ {
        self.entries.keys()
    }

    pub(crate) fn missing(&self) -> Value {
        match self.kind {
            MapKind::Any => Value::Nil,
            MapKind::Strings => Value::String(crate::value::empty()),
        }
    }
}

/// The shared empty text.
pub(crate) fn empty() -> Arc<str> {
    static EMPTY: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "".into());
    EMPTY.clone()
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries: BTreeMap<Arc<str>, Value> =
            entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let depth = entries.values().map(Value::depth).max().unwrap_or(0).saturating_add(1);
        Self { entries, depth, ..Self::default() }
    }
}

impl Value {
    /// A map of text to text, whose missing keys read as `""`.
    pub fn string_map(
        entries: impl IntoIterator<Item = (impl Into<Arc<str>>, impl Into<Arc<str>>)>,
    ) -> Self {
        let mut map = Map::of_strings();
        for (key, value) in entries {
            map.insert(key, Self::String(value.into()));
        }
        Self::Map(Arc::new(map))
    }

    /// A value from JSON whose numbers are all floats, as the reference
    /// decodes JSON at run time (`expressions` 6.3): for variables, outputs,
    /// request bodies.
    ///
    /// ```
    /// let value = expr::Value::from_decoded_json(serde_json::json!(42));
    /// assert_eq!(value.type_name(), "float");
    /// ```
    pub fn from_decoded_json(json: serde_json::Value) -> Self {
        Self::from_json(json, true)
    }

    fn from_json(json: serde_json::Value, floats: bool) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Nil,
            Json::Bool(b) => Self::Bool(b),
            Json::Number(n) => match n.as_i64() {
                Some(i) if !floats => Self::Int(i),
                _ => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => Self::String(s.into()),
            Json::Array(items) => {
                let items = items.into_iter().map(|v| Self::from_json(v, floats));
                items.collect::<Vec<_>>().into()
            }
            Json::Object(map) => Self::Map(Arc::new(
                map.into_iter().map(|(k, v)| (k, Self::from_json(v, floats))).collect(),
            )),
        }
    }

    /// The value as JSON, as Go's encoder would write it (`expressions` 2):
    /// bytes as base64, times as RFC 3339, durations as nanoseconds.
    ///
    /// # Errors
    /// NaN, infinities, functions, and maps whose keys are not text.
    pub fn try_to_json(&self) -> Result<serde_json::Value, Error> {
        crate::json::to_json(self)
    }

    /// [`try_to_json`](Self::try_to_json), with null for what has no JSON form.
    ///
    /// ```
    /// assert_eq!(expr::Value::from(1.5).to_json(), serde_json::json!(1.5));
    /// assert_eq!(expr::Value::from(f64::NAN).to_json(), serde_json::Value::Null);
    /// ```
    pub fn to_json(&self) -> serde_json::Value {
        self.try_to_json().unwrap_or(serde_json::Value::Null)
    }

    /// The value as compact JSON text with Go's escapes (`expressions` 2).
    ///
    /// # Errors
    /// As [`try_to_json`](Self::try_to_json).
    pub fn to_json_text(&self) -> Result<String, Error> {
        crate::json::to_text(self)
    }

    /// The value as text, as the built-in `string` gives it: Go's `%v`.
    pub fn to_text(&self) -> String {
        crate::gotext::to_text(self)
    }

    /// What the built-in `type` says: `nil`, `bool`, `int`, `uint`, `float`,
    /// `string`, `array`, `map`, `func`, `struct`, or a type's own name.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bytes(_) | Self::Array(_) | Self::NilArray => "array",
            Self::Map(_) | Self::Table(_) => "map",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Function(_) => "func",
            Self::Object(object) => object.type_name(),
        }
    }

    /// The type's name in Go's words, as error messages of the reference show
    /// it: `float64`, `<nil>`, `map[string]interface {}`.
    ///
    /// ```
    /// assert_eq!(expr::Value::from(1.5).go_type(), "float64");
    /// ```
    pub fn go_type(&self) -> &str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint64",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::Bytes(_) => "[]uint8",
            Self::Array(_) | Self::NilArray => "[]interface {}",
            Self::Map(map) => match map.kind() {
                MapKind::Any => "map[string]interface {}",
                MapKind::Strings => "map[string]string",
            },
            Self::Table(table) => table.go_type(),
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Function(_) => "func",
            Self::Object(object) => object.type_name(),
        }
    }

    /// How many lists and maps lie in one another.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::Array(list) => list.depth(),
            Self::Map(map) => map.depth,
            Self::Table(table) => table.depth(),
            _ => 0,
        }
    }

    /// Whether it is nil, or a map or list that was never made.
    pub fn is_nil(&self) -> bool {
        match self {
            Self::Nil | Self::NilArray => true,
            Self::Map(map) => map.is_nil(),
            Self::Object(object) => object.is_nil(),
            _ => false,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The truth value that it is or that its text says, as conditions of
    /// Warehouses read their result (`expressions` 8, places H and I).
    ///
    /// ```
    /// assert_eq!(expr::Value::from("t").truth(), Some(true));
    /// assert_eq!(expr::Value::from(1).truth(), Some(true));
    /// assert_eq!(expr::Value::from("maybe").truth(), None);
    /// ```
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Nil => None,
            Self::Bool(b) => Some(*b),
            other => crate::gotext::parse_bool(&other.to_text()),
        }
    }

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Uint(u) => i64::try_from(*u).ok(),
            _ => None,
        }
    }

    /// The number as a float, if it is a number.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Uint(u) => Some(*u as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            Self::NilArray => Some(&[]),
            _ => None,
        }
    }

    /// The map, if it is one with text keys.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The typed object, if it is one.
    pub fn as_object(&self) -> Option<&dyn Object> {
        match self {
            Self::Object(object) => Some(object.as_ref()),
            _ => None,
        }
    }

    /// The member of that name of a map or object; nil where there is none.
    pub fn member(&self, name: &str) -> Value {
        match self {
            Self::Map(map) => map.get(name).cloned().unwrap_or_else(|| map.missing()),
            Self::Object(object) => object.field(name).unwrap_or_default(),
            _ => Self::Nil,
        }
    }
}

impl PartialEq for Value {
    /// Equality as the operator `==` has it: whole numbers and floats are
    /// compared as numbers.
    fn eq(&self, other: &Self) -> bool {
        crate::ops::equal(self, other)
    }
}

impl From<serde_json::Value> for Value {
    /// Whole numbers that fit 64 bits become [`Value::Int`].
    fn from(json: serde_json::Value) -> Self {
        Self::from_json(json, false)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<i32> for Value {
    fn from(i: i32) -> Self {
        Self::Int(i.into())
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Self::Float(f)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(s: Arc<str>) -> Self {
        Self::String(s)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(Arc::new(items.into()))
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(Arc::new(map))
    }
}

impl From<Function> for Value {
    fn from(function: Function) -> Self {
        Self::Function(function)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl From<Arc<dyn Object>> for Value {
    fn from(object: Arc<dyn Object>) -> Self {
        Self::Object(object)
    }
}
