//! Maps with keys of any type, which `groupBy` and `fromPairs` give.

use std::collections::HashMap;
use std::sync::Arc;

use crate::value::Value;

/// A map with keys of any hashable type, in the order of insertion. `1` and
/// `1.0` are different keys, as they are in Go.
///
/// ```
/// use expr::{Env, Value};
/// let Value::Table(table) = expr::eval("groupBy([1, 2, 3], # % 2)", &Env::new()).unwrap() else {
///     panic!("not a table");
/// };
/// assert_eq!((table.len(), table.is_empty()), (2, false));
/// assert!(table.get(&Value::from(1)).is_some() && table.get(&Value::from(1.0)).is_none());
/// assert_eq!(table.iter().next().map(|(key, _)| key.clone()), Some(Value::from(1)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<(Value, Value)>,
    index: HashMap<Key, usize>,
    grouped: bool,
    depth: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(u64),
    String(std::sync::Arc<str>),
    Time(i128),
    Duration(i64),
    Other(usize),
}

fn key(value: &Value) -> Option<Key> {
    Some(match value {
        Value::Nil => Key::Nil,
        Value::Bool(b) => Key::Bool(*b),
        Value::Int(i) => Key::Int(*i),
        Value::Uint(u) => Key::Uint(*u),
        Value::Float(f) => Key::Float(if *f == 0.0 { 0 } else { f.to_bits() }),
        Value::String(s) => Key::String(s.clone()),
        Value::Time(t) => Key::Time(t.timestamp().as_nanosecond()),
        Value::Duration(d) => Key::Duration(*d),
        Value::Object(o) => Key::Other(std::sync::Arc::as_ptr(o).cast::<()>() as usize),
        Value::Bytes(_)
        | Value::Array(_)
        | Value::NilArray
        | Value::Map(_)
        | Value::Table(_)
        | Value::Function(_) => return None,
    })
}

impl Table {
    /// An empty table whose missing keys read as nil.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An empty table of lists.
    pub(crate) fn grouped() -> Self {
        Self { grouped: true, ..Self::default() }
    }

    /// Whether a value can be a key.
    pub(crate) fn is_hashable(value: &Value) -> bool {
        key(value).is_some()
    }

    /// Sets the value of a key; false when it cannot be a key.
    pub(crate) fn insert(&mut self, name: Value, value: Value) -> bool {
        let Some(key) = key(&name) else { return false };
        self.depth = self.depth.max(value.depth().saturating_add(1));
        let next = self.entries.len();
        let at = *self.index.entry(key).or_insert(next);
        match self.entries.get_mut(at) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
        true
    }

    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// Adds an element to the list of a key, which is made when it is new;
    /// false when it cannot be a key.
    pub(crate) fn push(&mut self, name: Value, element: Value) -> bool {
        self.depth = self.depth.max(element.depth().saturating_add(2));
        let Some(slot) = self.slot(name) else { return false };
        if !matches!(slot, Value::Array(_)) {
            *slot = Value::from(Vec::new());
        }
        if let Value::Array(list) = slot {
            Arc::make_mut(list).push(element);
        }
        true
    }

    /// The value of a key, to change; added as nil when it is new; none when
    /// it cannot be a key.
    fn slot(&mut self, name: Value) -> Option<&mut Value> {
        let key = key(&name)?;
        let next = self.entries.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.entries.push((name, Value::Nil));
        }
        self.entries.get_mut(at).map(|entry| &mut entry.1)
    }

    /// The value of a key.
    pub fn get(&self, name: &Value) -> Option<&Value> {
        self.index.get(&key(name)?).and_then(|at| self.entries.get(*at)).map(|entry| &entry.1)
    }

    /// What a missing key reads as.
    pub(crate) fn missing(&self) -> Value {
        if self.grouped { Value::NilArray } else { Value::Nil }
    }

    /// The entries in the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> + '_ {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn go_type(&self) -> &'static str {
        if self.grouped {
            "map[interface {}][]interface {}"
        } else {
            "map[interface {}]interface {}"
        }
    }
}
