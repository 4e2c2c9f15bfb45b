//! The shared state: what steps leave to later ones (`promotions` 7.5).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The task that a step belongs to: what stands before `::`, where the alias
/// has exactly two parts.
pub fn task_of(alias: &str) -> Option<&str> {
    let (task, step) = alias.split_once("::")?;
    (!step.contains("::")).then_some(task)
}

/// Puts the output of an attempt in the state, in place of the earlier one.
/// With `propagates` its keys go to the task's own entry too.
pub fn put(
    state: &mut Map<String, Value>,
    alias: &str,
    output: Option<&Map<String, Value>>,
    propagates: bool,
) {
    let value = output.map_or(Value::Null, |o| Value::Object(o.clone()));
    state.insert(alias.to_owned(), value);
    let (true, Some(output), Some(task)) = (propagates, output, task_of(alias)) else { return };
    let entry = state.entry(task).or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    if let Value::Object(entry) = entry {
        entry.extend(output.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

/// The outputs of the steps of one task by their short aliases
/// (`expressions` 8.2, `task.outputs`).
pub fn of_task(state: &Map<String, Value>, task: &str) -> Map<String, Value> {
    state
        .iter()
        .filter_map(|(alias, output)| {
            let short = alias.strip_prefix(task)?.strip_prefix("::")?;
            (!short.contains("::")).then(|| (short.to_owned(), output.clone()))
        })
        .collect()
}

/// The state as it was before a step ran: the outputs of the steps before it,
/// with what those propagated to their tasks. For the replay of that step.
pub fn before<'a>(
    state: &Map<String, Value>,
    earlier: impl Iterator<Item = (&'a str, bool)>,
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut seen = BTreeSet::new();
    for (alias, propagates) in earlier {
        if !seen.insert(alias) {
            continue;
        }
        if let Some(value) = state.get(alias) {
            put(&mut out, alias, value.as_object(), propagates);
        }
    }
    out
}

/// The state as the API server would give it back: without the keys whose
/// value is null (`promotions` 1.3). Null elements of arrays stay.
pub fn persisted(mut state: Map<String, Value>) -> Map<String, Value> {
    prune(&mut state);
    state
}

fn prune(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(prune_value);
}

fn prune_value(value: &mut Value) {
    match value {
        Value::Object(map) => prune(map),
        Value::Array(items) => items.iter_mut().for_each(prune_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn an_alias_has_a_task_when_it_has_two_parts() {
        for (alias, want) in [
            ("a", None),
            ("a::b", Some("a")),
            ("a::b::c", None),
            ("::b", Some("")),
            ("a::", Some("a")),
        ] {
            assert_eq!(task_of(alias), want, "{alias}");
        }
    }

    #[test]
    fn an_attempt_replaces_the_earlier_output() {
        let mut state = Map::new();
        put(&mut state, "a", Some(&object(json!({"x": 1}))), false);
        put(&mut state, "a", Some(&object(json!({"y": 2}))), false);
        assert_eq!(Value::Object(state.clone()), json!({"a": {"y": 2}}));
        put(&mut state, "a", None, false);
        assert_eq!(Value::Object(state), json!({"a": null}));
    }

    #[test]
    fn a_task_has_its_own_outputs() {
        let state = object(json!({"t::a": {"x": 1}, "t::b::c": {}, "u::a": {}, "t": {}}));
        assert_eq!(Value::Object(of_task(&state, "t")), json!({"a": {"x": 1}}));
    }

    #[test]
    fn the_state_before_a_step_has_only_what_came_before() {
        let state = object(json!({"t::a": {"x": 1}, "t::b": {"x": 2}, "t": {"x": 2}, "c": {}}));
        let steps = [("t::a", true), ("t::b", true)];
        let at = |n: usize| Value::Object(before(&state, steps.iter().copied().take(n)));
        assert_eq!(at(0), json!({}));
        assert_eq!(at(1), json!({"t::a": {"x": 1}, "t": {"x": 1}}));
        assert_eq!(at(2), json!({"t::a": {"x": 1}, "t::b": {"x": 2}, "t": {"x": 2}}));
    }

    #[test]
    fn nulls_do_not_outlive_the_api_server() {
        let state = object(json!({"a": null, "b": {"c": null, "d": [null, {"e": null}]}}));
        assert_eq!(Value::Object(persisted(state)), json!({"b": {"d": [null, {}]}}));
    }
}
