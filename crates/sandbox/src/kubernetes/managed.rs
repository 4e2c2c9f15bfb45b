//! Who owns which field: `metadata.managedFields`, kept for every write, and server-side apply on top.

use super::failure::Failure;
use super::fields::{FieldSet, merge};
use super::resource::Resource;
use serde_json::{Value, json};

/// How many managers of plain updates an object keeps; the oldest goes.
const MAX_UPDATERS: usize = 10;

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    apply: bool,
    subresource: String,
    api_version: String,
    time: String,
    set: FieldSet,
}

/// Who writes, when and where.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// Name of the field manager.
    pub manager: &'a str,
    /// `status` or empty.
    pub subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub now: &'a str,
}

fn entries(object: &Value) -> Vec<Entry> {
    let raw = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    raw.map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(|raw| {
            let text =
                |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(Entry {
                manager: text("manager"),
                apply: text("operation") == "Apply",
                subresource: text("subresource"),
                api_version: text("apiVersion"),
                time: text("time"),
                set: FieldSet::from_json(raw.get("fieldsV1")?),
            })
        })
        .collect()
}

fn store(object: &mut Value, entries: &[Entry]) {
    let raw: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut raw = json!({
                "manager": entry.manager,
                "operation": if entry.apply { "Apply" } else { "Update" },
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.set.to_json(),
            });
            if !entry.subresource.is_empty() {
                raw["subresource"] = json!(entry.subresource);
            }
            raw
        })
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if raw.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(raw));
        }
    }
}

/// Drops the fields that belong to nobody.
fn strip(set: &mut FieldSet, resource: &Resource, subresource: &str) {
    set.strip(&["f:apiVersion"]);
    set.strip(&["f:kind"]);
    for name in [
        "f:name",
        "f:namespace",
        "f:creationTimestamp",
        "f:selfLink",
        "f:uid",
        "f:generation",
        "f:managedFields",
        "f:resourceVersion",
        "f:deletionTimestamp",
        "f:deletionGracePeriodSeconds",
    ] {
        set.strip(&["f:metadata", name]);
    }
    if subresource == "status" {
        set.keep_only("f:status");
    } else if resource.status {
        set.strip(&["f:status"]);
    }
}

/// Notes on `new` that the writer changed what differs from `old`.
pub fn record_update(
    old: Option<&Value>,
    new: &mut Value,
    resource: &Resource,
    writer: &Writer<'_>,
) {
    let mut known = entries(new);
    let schema = resource.schema.as_deref();
    let nothing = json!({});
    let (mut changed, removed) = FieldSet::differences(old.unwrap_or(&nothing), new, schema, true);
    strip(&mut changed, resource, writer.subresource);
    let gone = changed.clone().with(&removed);
    let own = |entry: &Entry| {
        !entry.apply && entry.manager == writer.manager && entry.subresource == writer.subresource
    };
    for entry in &mut known {
        entry.set = entry.set.without(if own(entry) { &removed } else { &gone });
    }
    if !changed.is_empty() {
        if let Some(entry) = known.iter_mut().find(|entry| own(entry)) {
            entry.set = std::mem::take(&mut entry.set).with(&changed);
            entry.time = writer.now.to_owned();
            entry.api_version = resource.api_version();
        } else {
            known.push(Entry {
                manager: writer.manager.to_owned(),
                apply: false,
                subresource: writer.subresource.to_owned(),
                api_version: resource.api_version(),
                time: writer.now.to_owned(),
                set: changed,
            });
        }
    }
    known.retain(|entry| !entry.set.is_empty());
    if known.iter().filter(|entry| !entry.apply).count() > MAX_UPDATERS
        && let Some(first) = known.iter().position(|entry| !entry.apply)
    {
        known.remove(first);
    }
    store(new, &known);
}

/// Applies a configuration to the live object (or to nothing) and returns the object it makes.
///
/// # Errors
/// 409 when other managers own fields with other values and `force` is not set.
pub fn apply(
    live: Option<&Value>,
    configuration: &Value,
    resource: &Resource,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Failure> {
    let schema = resource.schema.as_deref();
    let mut known = live.map(entries).unwrap_or_default();
    let mut applied = FieldSet::of(configuration, schema, true);
    strip(&mut applied, resource, writer.subresource);
    let own = |entry: &Entry| {
        entry.apply && entry.manager == writer.manager && entry.subresource == writer.subresource
    };

    let base = live.cloned().unwrap_or_else(|| json!({}));
    let mut merged = base.clone();
    merge(&mut merged, configuration, schema, true);

    let (changed, _) = FieldSet::differences(&base, &merged, schema, true);
    let contested = changed.and(&applied);
    let mut conflicts = Vec::new();
    for entry in known.iter_mut().filter(|entry| !own(entry)) {
        let overlap = entry.set.and(&contested);
        if overlap.is_empty() {
            continue;
        }
        if force {
            entry.set = entry.set.without(&overlap);
        } else {
            for path in overlap.paths() {
                conflicts.push((
                    entry.manager.clone(),
                    entry.subresource.clone(),
                    entry.api_version.clone(),
                    path,
                ));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }

    let former =
        known.iter().find(|entry| own(entry)).map(|entry| entry.set.clone()).unwrap_or_default();
    let mut kept = applied.clone();
    for entry in known.iter().filter(|entry| !own(entry)) {
        kept = kept.with(&entry.set);
    }
    former.without(&applied).remove_from(&mut merged, &kept, schema, true);

    match known.iter_mut().find(|entry| own(entry)) {
        Some(entry) => {
            if entry.set != applied || merged != base {
                entry.time = writer.now.to_owned();
            }
            entry.set = applied;
            entry.api_version = resource.api_version();
        }
        None => known.push(Entry {
            manager: writer.manager.to_owned(),
            apply: true,
            subresource: writer.subresource.to_owned(),
            api_version: resource.api_version(),
            time: writer.now.to_owned(),
            set: applied,
        }),
    }
    known.retain(|entry| !entry.set.is_empty());
    if !merged.get("metadata").is_some_and(Value::is_object) {
        merged["metadata"] = json!({});
    }
    store(&mut merged, &known);
    Ok(merged)
}

fn conflict(conflicts: &[(String, String, String, String)]) -> Failure {
    let with = |manager: &str, subresource: &str, version: &str| {
        let place = if subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource \"{subresource}\"")
        };
        format!("conflict with \"{manager}\"{place} using {version}")
    };
    let number = conflicts.len();
    let message = match conflicts {
        [(manager, subresource, version, path)] => {
            format!("Apply failed with 1 conflict: {}: {path}", with(manager, subresource, version))
        }
        many => {
            let mut text = format!("Apply failed with {number} conflicts: ");
            let mut last = String::new();
            for (manager, subresource, version, path) in many {
                let head = with(manager, subresource, version);
                if head != last {
                    if !last.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(&format!("{head}:"));
                    last = head;
                }
                text.push_str(&format!("\n- {path}"));
            }
            text
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|(manager, subresource, version, path)| {
            json!({"reason": "FieldManagerConflict", "message": with(manager, subresource, version), "field": path})
        })
        .collect();
    let mut failure = Failure::new(409, "Conflict", message);
    failure.details = Some(json!({"causes": causes}));
    failure
}
