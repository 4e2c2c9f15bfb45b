//! Lists, and how deep values nest.

use std::ops::Deref;

use crate::value::Value;

/// How deep the values that an expression builds may nest: they are walked
/// and dropped recursively.
pub(crate) const MAX_DEPTH: u16 = 500;

/// The elements of a list. It knows how deep it nests.
///
/// ```
/// let list = expr::List::from(vec![expr::Value::from(1), expr::Value::from("a")]);
/// assert_eq!((list.len(), list[1].as_str()), (2, Some("a")));
/// ```
#[derive(Clone, Debug, Default)]
pub struct List {
    items: Vec<Value>,
    depth: u16,
}

impl List {
    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    pub(crate) fn push(&mut self, value: Value) {
        self.depth = self.depth.max(value.depth().saturating_add(1));
        self.items.push(value);
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        let depth = items.iter().map(Value::depth).max().unwrap_or(0).saturating_add(1);
        Self { items, depth }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}
