//! The small part of JSONPath that printer columns use: fields, indexes, `[*]` and equality filters.

use serde_json::Value;

/// Most values that one path may yield.
const MAX_FOUND: usize = 1000;

/// What a path such as `.status.conditions[?(@.type=="Ready")].status` finds, in order.
///
/// A path that cannot be read finds nothing.
pub fn find<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![value];
    let mut rest = path.trim().trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some((inner, after)) = bracket(after) else { return Vec::new() };
            found =
                found.into_iter().flat_map(|value| select(value, inner)).take(MAX_FOUND).collect();
            rest = after;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let (name, after) = field(after);
            if name == "*" {
                found = found
                    .into_iter()
                    .flat_map(|value| select(value, "*"))
                    .take(MAX_FOUND)
                    .collect();
            } else if !name.is_empty() {
                found = found.into_iter().filter_map(|value| value.get(name.as_str())).collect();
            } else if after == rest {
                return Vec::new();
            }
            rest = after;
        }
    }
    found
}

/// A field's name, in which a backslash keeps a dot from ending it.
fn field(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, text.get(at..).unwrap_or_default()),
            letter => {
                name.push(letter);
                escaped = false;
            }
        }
    }
    (name, "")
}

fn bracket(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (1usize, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some((text.get(..at)?, text.get(at + 1..)?));
                }
            }
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    let text = text.trim();
    let of = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    of('"').or_else(|| of('\''))
}

fn select<'a>(value: &'a Value, inner: &str) -> Vec<&'a Value> {
    let inner = inner.trim();
    if inner == "*" {
        return match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        };
    }
    if let Some(name) = unquoted(inner) {
        return value.get(name).into_iter().collect();
    }
    let Value::Array(items) = value else { return Vec::new() };
    if let Some(filter) = inner.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        return items.iter().filter(|item| holds(item, filter)).collect();
    }
    match inner.parse::<i64>() {
        Ok(at) if at >= 0 => {
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        Ok(at) => {
            let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
            items.len().checked_sub(back).and_then(|at| items.get(at)).into_iter().collect()
        }
        Err(_) => Vec::new(),
    }
}

fn holds(item: &Value, filter: &str) -> bool {
    let (path, wanted, equal) = if let Some((path, wanted)) = filter.split_once("==") {
        (path, wanted, true)
    } else if let Some((path, wanted)) = filter.split_once("!=") {
        (path, wanted, false)
    } else {
        return !find(item, filter.trim().trim_start_matches('@')).is_empty();
    };
    let wanted = match unquoted(wanted) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(wanted.trim()).unwrap_or(Value::Null),
    };
    let found = find(item, path.trim().trim_start_matches('@'));
    found.first().is_some_and(|found| (**found == wanted) == equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_columns_show() {
        let object = json!({
            "metadata": {"labels": {"kargo.akuity.io/alias": "old-cat"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Healthy", "status": "False"}], "n": [1, 2, 3]}
        });
        for (path, wanted) in [
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Healthy')].status", json!(["False"])),
            (".status.conditions[?(@.type!='Healthy')].status", json!(["True"])),
            (".metadata.labels.kargo\\.akuity\\.io/alias", json!(["old-cat"])),
            (".metadata.labels['kargo.akuity.io/alias']", json!(["old-cat"])),
            (".status.n[1]", json!([2])),
            (".status.n[-1]", json!([3])),
            (".status.n[*]", json!([1, 2, 3])),
            (".status.missing.x", json!([])),
            (".status.n[9]", json!([])),
            (".status[", json!([])),
            ("[?(", json!([])),
        ] {
            assert_eq!(json!(find(&object, path)), wanted, "{path}");
        }
    }
}
