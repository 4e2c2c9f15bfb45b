//! Sets of fields as `managedFields` holds them (FieldsV1), and the walks over objects that need them:
//! which fields a value has, which differ between two values, and merging and removing by fields.

use super::schema::{ListKind, Schema};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A set of fields: whether this place belongs to it, and what below.
///
/// Keys are those of FieldsV1: `f:name`, `k:{"name":"x"}` and `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    here: bool,
    below: BTreeMap<String, FieldSet>,
}

/// How `metadata` is merged, whatever the kind.
static METADATA: LazyLock<Schema> = LazyLock::new(|| {
    let raw = json!({"type": "object", "properties": {
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"}},
    }});
    Schema::parse(&raw).unwrap_or_default()
});

/// The schema of a field; `whole` says that the value is a whole Kubernetes object.
fn below<'a>(schema: Option<&'a Schema>, name: &str, whole: bool) -> Option<&'a Schema> {
    if whole && name == "metadata" {
        return Some(&METADATA);
    }
    schema.and_then(|schema| schema.field(name))
}

fn atomic(schema: Option<&Schema>) -> bool {
    schema.is_some_and(|schema| schema.atomic)
}

fn list_kind(schema: Option<&Schema>) -> &ListKind {
    const ATOMIC: &ListKind = &ListKind::Atomic;
    schema.map_or(ATOMIC, |schema| &schema.list)
}

/// The key of a list item, or `None` where the list is one value.
fn item_key(item: &Value, schema: Option<&Schema>) -> Option<String> {
    match list_kind(schema) {
        ListKind::Atomic => None,
        ListKind::Set => Some(format!("v:{item}")),
        ListKind::Map(keys) => {
            let items = schema.and_then(|schema| schema.items.as_deref());
            let mut parts: Vec<&String> = keys.iter().collect();
            parts.sort();
            let inner: Vec<String> = parts
                .into_iter()
                .filter_map(|key| {
                    let default = || {
                        items
                            .and_then(|items| items.field(key))
                            .and_then(|field| field.default.as_ref())
                    };
                    let value = item.get(key).or_else(default)?;
                    Some(format!("{}:{value}", Value::from(key.as_str())))
                })
                .collect();
            Some(format!("k:{{{}}}", inner.join(",")))
        }
    }
}

fn items_of(schema: Option<&Schema>) -> Option<&Schema> {
    schema.and_then(|schema| schema.items.as_deref())
}

impl FieldSet {
    /// Reads a `fieldsV1`; what cannot be read is left out.
    pub fn from_json(raw: &Value) -> Self {
        let mut set = Self::default();
        let Value::Object(fields) = raw else { return set };
        for (key, inner) in fields {
            if key == "." {
                set.here = true;
            } else {
                let mut child = Self::from_json(inner);
                if child.below.is_empty() {
                    child.here = true;
                }
                set.below.insert(key.clone(), child);
            }
        }
        set
    }

    /// Writes a `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.here && !self.below.is_empty() {
            fields.insert(".".to_owned(), json!({}));
        }
        for (key, child) in &self.below {
            fields.insert(key.clone(), child.to_json());
        }
        Value::Object(fields)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }

    fn add(&mut self, key: String, child: Self) {
        if !child.is_empty() {
            self.below.insert(key, child);
        }
    }

    /// All fields of a value.
    pub fn of(value: &Value, schema: Option<&Schema>, whole: bool) -> Self {
        let mut set = Self::default();
        match value {
            Value::Object(fields) if !fields.is_empty() && !atomic(schema) => {
                for (name, inner) in fields {
                    set.add(
                        format!("f:{name}"),
                        Self::of(inner, below(schema, name, whole), false),
                    );
                }
            }
            Value::Array(items) if !items.is_empty() && *list_kind(schema) != ListKind::Atomic => {
                for item in items {
                    let Some(key) = item_key(item, schema) else { continue };
                    let mut child = if key.starts_with("v:") {
                        Self::default()
                    } else {
                        Self::of(item, items_of(schema), false)
                    };
                    child.here = true;
                    set.add(key, child);
                }
            }
            _ => set.here = true,
        }
        set
    }

    /// All fields of a value that was not there before: the places in it belong to them.
    fn added(value: &Value, schema: Option<&Schema>) -> Self {
        let mut set = Self { here: true, ..Self::default() };
        match value {
            Value::Object(fields) if !atomic(schema) => {
                for (name, inner) in fields {
                    set.add(format!("f:{name}"), Self::added(inner, below(schema, name, false)));
                }
            }
            Value::Array(items) if *list_kind(schema) != ListKind::Atomic => {
                for item in items {
                    let Some(key) = item_key(item, schema) else { continue };
                    set.add(key.clone(), Self::added_item(&key, item, schema));
                }
            }
            _ => {}
        }
        set
    }

    fn added_item(key: &str, item: &Value, list: Option<&Schema>) -> Self {
        if key.starts_with("v:") {
            Self { here: true, ..Self::default() }
        } else {
            Self::added(item, items_of(list))
        }
    }

    /// The fields of `new` that are not so in `old`, and those that only `old` has.
    pub fn differences(
        old: &Value,
        new: &Value,
        schema: Option<&Schema>,
        whole: bool,
    ) -> (Self, Self) {
        let (mut changed, mut removed) = (Self::default(), Self::default());
        if old == new {
            return (changed, removed);
        }
        match (old, new) {
            (Value::Object(olds), Value::Object(news))
                if !atomic(schema) && (whole || !olds.is_empty()) && !news.is_empty() =>
            {
                for (name, value) in news {
                    let inner = below(schema, name, whole);
                    let key = format!("f:{name}");
                    match olds.get(name) {
                        Some(old) => {
                            let (add, drop) = Self::differences(old, value, inner, false);
                            changed.add(key.clone(), add);
                            removed.add(key, drop);
                        }
                        // Metadata is always there.
                        None if whole && name == "metadata" => {
                            let mut set = Self::default();
                            for (field, value) in value.as_object().into_iter().flatten() {
                                let schema = below(inner, field, false);
                                set.add(format!("f:{field}"), Self::added(value, schema));
                            }
                            changed.add(key, set);
                        }
                        // So are the parts of built-in kinds, which have no schema here.
                        None if schema.is_none() => {
                            changed.add(key, Self::of(value, inner, false));
                        }
                        None => changed.add(key, Self::added(value, inner)),
                    }
                }
                for (name, value) in olds.iter().filter(|(name, _)| !news.contains_key(*name)) {
                    let gone = Self::added(value, below(schema, name, whole));
                    removed.add(format!("f:{name}"), gone);
                }
            }
            (Value::Array(olds), Value::Array(news)) if *list_kind(schema) != ListKind::Atomic => {
                let keyed = |items: &[Value]| -> BTreeMap<String, Value> {
                    items
                        .iter()
                        .filter_map(|item| Some((item_key(item, schema)?, item.clone())))
                        .collect()
                };
                let (olds, news) = (keyed(olds), keyed(news));
                let whole_item = |key: &str, item: &Value| Self::added_item(key, item, schema);
                for (key, item) in &news {
                    match olds.get(key) {
                        Some(old) => {
                            let (add, drop) = Self::differences(old, item, items_of(schema), false);
                            changed.add(key.clone(), add);
                            removed.add(key.clone(), drop);
                        }
                        None => changed.add(key.clone(), whole_item(key, item)),
                    }
                }
                for (key, item) in olds.iter().filter(|(key, _)| !news.contains_key(*key)) {
                    removed.add(key.clone(), whole_item(key, item));
                }
            }
            _ => {
                changed = Self::of(new, schema, whole);
                removed = Self::of(old, schema, whole).without(&changed);
            }
        }
        (changed, removed)
    }

    /// The fields in either set.
    pub fn with(mut self, other: &Self) -> Self {
        self.here |= other.here;
        for (key, child) in &other.below {
            let mine = self.below.remove(key).unwrap_or_default();
            self.below.insert(key.clone(), mine.with(child));
        }
        self
    }

    /// The fields of this set that are not in the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut set = Self { here: self.here && !other.here, below: BTreeMap::new() };
        for (key, child) in &self.below {
            let rest = match other.below.get(key) {
                Some(theirs) => child.without(theirs),
                None => child.clone(),
            };
            set.add(key.clone(), rest);
        }
        set
    }

    /// The fields in both sets.
    pub fn and(&self, other: &Self) -> Self {
        let mut set = Self { here: self.here && other.here, below: BTreeMap::new() };
        for (key, child) in &self.below {
            if let Some(theirs) = other.below.get(key) {
                set.add(key.clone(), child.and(theirs));
            }
        }
        set
    }

    /// Drops a field and all below it, e.g. `["f:metadata", "f:name"]`.
    pub fn strip(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.below.remove(*first);
        } else if let Some(child) = self.below.get_mut(*first) {
            child.strip(rest);
            if child.is_empty() {
                self.below.remove(*first);
            }
        }
    }

    /// Keeps only this field of the top level.
    pub fn keep_only(&mut self, name: &str) {
        self.below.retain(|key, _| key == name);
    }

    /// The paths in the form of conflict messages: `.spec.steps[name="x"].uses`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.here {
            paths.push(path.clone());
        }
        let length = path.len();
        for (key, child) in &self.below {
            match key.split_once(':') {
                Some(("f", name)) => {
                    path.push('.');
                    path.push_str(name);
                }
                Some(("k", keys)) => {
                    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                    let inner: Vec<String> =
                        keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    path.push_str(&format!("[{}]", inner.join(",")));
                }
                Some((_, value)) => path.push_str(&format!("[={value}]")),
                None => {}
            }
            child.collect(path, paths);
            path.truncate(length);
        }
    }

    /// Removes from `value` the fields of this set that `keep` does not touch.
    pub fn remove_from(
        &self,
        value: &mut Value,
        keep: &Self,
        schema: Option<&Schema>,
        whole: bool,
    ) {
        for (key, child) in &self.below {
            let kept = keep.below.get(key);
            let goes = child.here && kept.is_none_or(Self::is_empty);
            match (&mut *value, key.split_once(':')) {
                (Value::Object(fields), Some(("f", name))) => {
                    if goes {
                        fields.remove(name);
                    } else if let Some(inner) = fields.get_mut(name) {
                        let had = inner.as_object().is_some_and(|inner| !inner.is_empty())
                            || inner.as_array().is_some_and(|inner| !inner.is_empty());
                        child.remove_from(
                            inner,
                            kept.unwrap_or(&Self::default()),
                            below(schema, name, whole),
                            false,
                        );
                        let empty = inner.as_object().is_some_and(Map::is_empty)
                            || inner.as_array().is_some_and(Vec::is_empty);
                        if had && empty && kept.is_none_or(Self::is_empty) {
                            fields.remove(name);
                        }
                    }
                }
                (Value::Array(items), Some(("k" | "v", _))) => {
                    if goes {
                        items.retain(|item| item_key(item, schema).as_deref() != Some(key));
                    } else if let Some(item) =
                        items.iter_mut().find(|item| item_key(item, schema).as_deref() == Some(key))
                    {
                        child.remove_from(
                            item,
                            kept.unwrap_or(&Self::default()),
                            items_of(schema),
                            false,
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

/// Lays `applied` over `live`: objects and keyed lists merge, all else is replaced.
pub fn merge(live: &mut Value, applied: &Value, schema: Option<&Schema>, whole: bool) {
    match (&mut *live, applied) {
        (Value::Object(fields), Value::Object(wanted)) if !atomic(schema) => {
            for (name, value) in wanted {
                match fields.get_mut(name) {
                    Some(slot) => merge(slot, value, below(schema, name, whole), false),
                    None => {
                        fields.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(items), Value::Array(wanted)) if *list_kind(schema) != ListKind::Atomic => {
            for value in wanted {
                let key = item_key(value, schema);
                match items.iter_mut().find(|item| item_key(item, schema) == key) {
                    Some(item) => merge(item, value, items_of(schema), false),
                    None => items.push(value.clone()),
                }
            }
        }
        (slot, value) => *slot = value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::parse(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": "string"},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}, "w": {"type": "integer"}}}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "one": {"type": "array", "items": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": {"type": "string"}}}
        }}}}))
        .unwrap()
    }

    #[test]
    fn sets_are_written_and_read_as_fields_v1() {
        let object = json!({"spec": {"a": "1", "map": [{"name": "n", "v": 1}], "set": ["s"], "one": ["x"], "whole": {"x": "y"}}});
        let set = FieldSet::of(&object, Some(&schema()), true);
        let raw = json!({"f:spec": {
            "f:a": {}, "f:map": {"k:{\"name\":\"n\"}": {".": {}, "f:name": {}, "f:v": {}}},
            "f:set": {"v:\"s\"": {}}, "f:one": {}, "f:whole": {}
        }});
        assert_eq!(set.to_json(), raw);
        assert_eq!(FieldSet::from_json(&raw), set);
        assert_eq!(
            set.paths(),
            [
                ".spec.a",
                ".spec.map[name=\"n\"]",
                ".spec.map[name=\"n\"].name",
                ".spec.map[name=\"n\"].v",
                ".spec.one",
                ".spec.set[=\"s\"]",
                ".spec.whole"
            ]
        );
    }

    #[test]
    fn merging_keeps_what_is_not_named() {
        let mut live =
            json!({"spec": {"a": "1", "map": [{"name": "n", "v": 1}], "set": ["s"], "one": ["x"]}});
        let applied = json!({"spec": {"b": "2", "map": [{"name": "n", "w": 2}, {"name": "m"}], "set": ["t", "s"], "one": ["y"]}});
        merge(&mut live, &applied, Some(&schema()), true);
        assert_eq!(
            live,
            json!({"spec": {"a": "1", "b": "2", "map": [{"name": "n", "v": 1, "w": 2}, {"name": "m"}], "set": ["s", "t"], "one": ["y"]}})
        );
    }

    #[test]
    fn removing_spares_what_is_kept() {
        let schema = schema();
        let mut live = json!({"spec": {"a": "1", "map": [{"name": "n", "v": 1, "w": 2}, {"name": "m"}], "set": ["s", "t"]}});
        let gone = FieldSet::from_json(&json!({"f:spec": {
            "f:a": {}, "f:map": {"k:{\"name\":\"n\"}": {".": {}, "f:name": {}, "f:v": {}}, "k:{\"name\":\"m\"}": {".": {}, "f:name": {}}},
            "f:set": {"v:\"t\"": {}}
        }}));
        let keep = FieldSet::from_json(
            &json!({"f:spec": {"f:map": {"k:{\"name\":\"n\"}": {"f:name": {}, "f:w": {}}}}}),
        );
        gone.remove_from(&mut live, &keep, Some(&schema), true);
        assert_eq!(live, json!({"spec": {"map": [{"name": "n", "w": 2}], "set": ["s"]}}));
    }

    #[test]
    fn differences_tell_changed_and_removed_fields() {
        let schema = schema();
        let old = json!({"spec": {"a": "1", "map": [{"name": "n", "v": 1}, {"name": "m"}], "one": ["x"]}});
        let new = json!({"spec": {"b": "1", "map": [{"name": "n", "v": 2}], "one": ["y"]}});
        let (changed, removed) = FieldSet::differences(&old, &new, Some(&schema), true);
        assert_eq!(changed.paths(), [".spec.b", ".spec.map[name=\"n\"].v", ".spec.one"]);
        assert_eq!(
            removed.paths(),
            [".spec.a", ".spec.map[name=\"m\"]", ".spec.map[name=\"m\"].name"]
        );
    }
}
