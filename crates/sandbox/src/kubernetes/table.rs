//! Objects as the tables that `kubectl get` prints.

use super::jsonpath::find;
use super::resource::{Column, Resource};
use serde_json::{Value, json};

/// What stands with each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

/// How long ago, as kubectl says it: `45s`, `3m2s`, `5h`, `12d`, `2y34d`.
pub fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, part: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{part}") }
    };
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    match seconds.max(0) {
        0..120 => format!("{seconds}s", seconds = seconds.max(0)),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

fn since(text: &str, now: jiff::Timestamp) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(then) => age(now.as_second().saturating_sub(then.as_second())),
        Err(_) => "<unknown>".to_owned(),
    }
}

fn cell(object: &Value, column: &Column, now: jiff::Timestamp) -> Value {
    let found = find(object, &column.path);
    let first = found.first().copied().filter(|value| !value.is_null());
    match column.kind.as_str() {
        "date" => first.and_then(Value::as_str).map_or(Value::Null, |text| json!(since(text, now))),
        "last-seen" => {
            let time = first
                .and_then(Value::as_str)
                .or_else(|| object.pointer("/series/lastObservedTime").and_then(Value::as_str))
                .or_else(|| object.get("eventTime").and_then(Value::as_str))
                .or_else(|| object.pointer("/metadata/creationTimestamp").and_then(Value::as_str));
            json!(time.map_or_else(|| "<unknown>".to_owned(), |text| since(text, now)))
        }
        "count" => match first {
            Some(Value::Array(items)) => json!(items.len()),
            Some(Value::Object(fields)) => json!(fields.len()),
            _ => json!(0),
        },
        "object" => {
            let part = |name: &str| {
                first.and_then(|first| first.get(name)).and_then(Value::as_str).unwrap_or_default()
            };
            json!(format!("{}/{}", part("kind").to_lowercase(), part("name")))
        }
        "integer" => first.and_then(Value::as_i64).map_or(Value::Null, Value::from),
        "number" => first.filter(|value| value.is_number()).cloned().unwrap_or_default(),
        "boolean" => first.filter(|value| value.is_boolean()).cloned().unwrap_or_default(),
        _ => match first {
            None => Value::Null,
            Some(Value::String(text)) => json!(text),
            Some(other) => json!(other.to_string()),
        },
    }
}

/// The headings of a resource's table.
pub fn headings(resource: &Resource) -> Value {
    let mut all = vec![json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name must be unique within a namespace.",
    })];
    for column in &resource.columns {
        let kind = match column.kind.as_str() {
            "last-seen" | "object" | "timestamp" => "string",
            "count" => "integer",
            "date" if !resource.custom => "string",
            kind => kind,
        };
        all.push(json!({
            "name": column.name, "type": kind, "format": column.format,
            "description": column.description, "priority": column.priority,
        }));
    }
    Value::Array(all)
}

/// One object as a row.
pub fn row(resource: &Resource, object: &Value, include: Include, now: jiff::Timestamp) -> Value {
    let mut cells = vec![object.pointer("/metadata/name").cloned().unwrap_or_default()];
    cells.extend(resource.columns.iter().map(|column| cell(object, column, now)));
    let mut row = json!({"cells": cells});
    match include {
        Include::Metadata => row["object"] = partial(object),
        Include::Object => row["object"] = object.clone(),
        Include::None => {}
    }
    row
}

/// An object's metadata as a `PartialObjectMetadata`.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// A table of rows.
pub fn table(metadata: Value, headings: Value, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": headings, "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_as_kubectl_says_them() {
        for (seconds, wanted) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (182, "3m2s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (66_009_600, "2y34d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(age(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn rows_show_the_columns_values() {
        let all = super::super::builtin::resources();
        let secrets = all.iter().find(|resource| resource.plural == "secrets").unwrap();
        let now: jiff::Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let object = json!({"metadata": {"name": "s", "creationTimestamp": "2026-01-01T00:00:00Z"}, "type": "Opaque", "data": {"a": ""}});
        assert_eq!(
            row(secrets, &object, Include::None, now),
            json!({"cells": ["s", "Opaque", 1, "60s"]})
        );
    }
}
