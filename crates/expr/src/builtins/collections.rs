//! Built-ins over arrays and maps.

use std::sync::Arc;

use super::{Group, MANY, argument, builtin};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::ops;
use crate::predicate;
use crate::table::Table;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Collections",
    builtins: &[
        builtin(
            "first",
            "first(array)",
            (1, 1),
            first,
            "The first element, or nil.",
            "first([1, 2])",
            "1",
        ),
        builtin(
            "last",
            "last(array)",
            (1, 1),
            last,
            "The last element, or nil.",
            "last([1, 2])",
            "2",
        ),
        builtin(
            "take",
            "take(array, count)",
            (2, 2),
            take,
            "The first elements, at most so many.",
            "take([1, 2, 3], 2)",
            "[1, 2]",
        ),
        builtin(
            "keys",
            "keys(map)",
            (1, 1),
            keys,
            "The keys of a map, in their order.",
            "keys({'b': 1, 'a': 2})",
            r#"["a", "b"]"#,
        ),
        builtin(
            "values",
            "values(map)",
            (1, 1),
            values,
            "The values of a map, in the order of its keys.",
            "values({'b': 1, 'a': 2})",
            "[2, 1]",
        ),
        builtin(
            "toPairs",
            "toPairs(map)",
            (1, 1),
            to_pairs,
            "The entries of a map as arrays of key and value.",
            "toPairs({'a': 1})",
            r#"[["a", 1]]"#,
        ),
        builtin(
            "fromPairs",
            "fromPairs(array)",
            (1, 1),
            from_pairs,
            "A map of arrays of key and value. Its keys are of any type, so it has no JSON form of its own.",
            "fromPairs([['a', 1]]).a",
            "1",
        ),
        builtin(
            "reverse",
            "reverse(array)",
            (1, 1),
            reverse,
            "The elements from the last to the first.",
            "reverse([1, 2])",
            "[2, 1]",
        ),
        builtin(
            "uniq",
            "uniq(array)",
            (1, 1),
            uniq,
            "The elements without those that are equal to an earlier one.",
            "uniq([1, 2, 1])",
            "[1, 2]",
        ),
        builtin(
            "concat",
            "concat(array, ...)",
            (1, MANY),
            concat,
            "The elements of all arrays in one.",
            "concat([1], [2, 3])",
            "[1, 2, 3]",
        ),
        builtin(
            "flatten",
            "flatten(array)",
            (1, 1),
            flatten,
            "The elements, and those of inner arrays in their place.",
            "flatten([1, [2, [3]]])",
            "[1, 2, 3]",
        ),
        builtin(
            "sort",
            "sort(array[, 'asc' or 'desc'])",
            (1, 2),
            sort,
            "The elements in their order.",
            "sort([3, 1, 2], 'desc')",
            "[3, 2, 1]",
        ),
    ],
};

fn kind(value: &Value) -> &str {
    match value {
        Value::Nil => "nil",
        Value::Float(_) => "float64",
        Value::Map(_) | Value::Table(_) => "map",
        _ => value.type_name(),
    }
}

/// The elements of a list, or an error that names the built-in's work.
fn items(value: &Value, work: &str) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items.to_vec()),
        Value::NilArray => Ok(Vec::new()),
        Value::Bytes(bytes) => Ok(bytes.iter().map(|b| Value::Uint((*b).into())).collect()),
        _ => Err(Error::run(format!("cannot {work} {}", kind(value)))),
    }
}

fn first(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(ops::fetch(argument(args, 0), &Value::Int(0)).unwrap_or_default())
}

fn last(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(ops::fetch(argument(args, 0), &Value::Int(-1)).unwrap_or_default())
}

fn take(args: &[Value], budget: &mut Budget) -> Outcome {
    let mut items = items(argument(args, 0), "take from")?;
    let count = match argument(args, 1) {
        Value::Duration(d) => *d,
        count => ops::to_int(count)?,
    };
    let count =
        usize::try_from(count).map_err(|_| Error::run(format!("cannot take {count} elements")))?;
    items.truncate(count);
    budget.grow(items.len())?;
    Ok(items.into())
}

fn keys(args: &[Value], budget: &mut Budget) -> Outcome {
    let keys: Vec<Value> = match argument(args, 0) {
        Value::Map(map) => map.keys().map(|k| Value::String(k.clone())).collect(),
        Value::Table(table) => table.iter().map(|(k, _)| k.clone()).collect(),
        other => return Err(Error::run(format!("cannot get keys from {}", kind(other)))),
    };
    budget.grow(keys.len())?;
    Ok(keys.into())
}

fn values(args: &[Value], budget: &mut Budget) -> Outcome {
    let values: Vec<Value> = match argument(args, 0) {
        Value::Map(map) => map.iter().map(|(_, v)| v.clone()).collect(),
        Value::Table(table) => table.iter().map(|(_, v)| v.clone()).collect(),
        other => return Err(Error::run(format!("cannot get values from {}", kind(other)))),
    };
    budget.grow(values.len())?;
    Ok(values.into())
}

fn to_pairs(args: &[Value], budget: &mut Budget) -> Outcome {
    let pair = |k: Value, v: &Value| Value::from(vec![k, v.clone()]);
    let pairs: Vec<Value> = match argument(args, 0) {
        Value::Map(map) => map.iter().map(|(k, v)| pair(k.into(), v)).collect(),
        Value::Table(table) => table.iter().map(|(k, v)| pair(k.clone(), v)).collect(),
        other => {
            return Err(Error::run(format!("cannot transform {} to pairs", other.type_name())));
        }
    };
    budget.grow(pairs.len())?;
    Ok(pairs.into())
}

fn from_pairs(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    let Some(pairs) = value.as_array() else {
        return Err(Error::run(format!("cannot transform {} from pairs", kind(value))));
    };
    let mut table = Table::new();
    for pair in pairs {
        let Some([name, value]) = pair.as_array() else {
            return Err(Error::run(format!("invalid pair {}", pair.to_text())));
        };
        if !table.insert(name.clone(), value.clone()) {
            return Err(ops::unhashable(name));
        }
    }
    budget.grow(pairs.len())?;
    Ok(Value::Table(Arc::new(table)))
}

fn reverse(args: &[Value], budget: &mut Budget) -> Outcome {
    let mut items = items(argument(args, 0), "reverse")?;
    items.reverse();
    budget.grow(items.len())?;
    Ok(items.into())
}

fn uniq(args: &[Value], budget: &mut Budget) -> Outcome {
    let items = items(argument(args, 0), "uniq")?;
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        for _ in 0..=kept.len() / 8 {
            budget.step()?;
        }
        if !kept.iter().any(|k| ops::equal(k, &item)) {
            kept.push(item);
        }
    }
    budget.grow(kept.len())?;
    Ok(kept.into())
}

fn concat(args: &[Value], budget: &mut Budget) -> Outcome {
    let mut all = Vec::new();
    for arg in args {
        let items = items(arg, "concat")?;
        budget.grow(items.len())?;
        all.extend(items);
    }
    if all.is_empty() {
        return Ok(Value::NilArray);
    }
    Ok(all.into())
}

fn flatten(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    let mut flat = Vec::new();
    // Lists that are being walked, each with the place to go on from.
    let mut waiting = vec![(Value::from(items(value, "flatten")?), 0)];
    while let Some((list, at)) = waiting.pop() {
        let Some(item) = list.as_array().and_then(|items| items.get(at)).cloned() else { continue };
        budget.step()?;
        waiting.push((list, at + 1));
        if item.as_array().is_some() {
            waiting.push((item, 0));
        } else {
            budget.grow(1)?;
            flat.push(item);
        }
    }
    Ok(flat.into())
}

fn sort(args: &[Value], budget: &mut Budget) -> Outcome {
    let descending = match args.get(1) {
        Some(Value::String(order)) if !matches!(order.as_ref(), "asc" | "desc") => {
            return Err(Error::run(format!("invalid order {order}, expected asc or desc")));
        }
        Some(Value::String(order)) => order.as_ref() == "desc",
        Some(other) => {
            return Err(Error::run(format!(
                "sort order argument must be a string (got {})",
                other.go_type()
            )));
        }
        None => false,
    };
    let list = argument(args, 0);
    if matches!(list, Value::NilArray) {
        return Ok(Value::from(Vec::new()));
    }
    let Value::Array(items) = list else {
        // The reference sorts only lists; anything else it takes for none.
        return Ok(Value::NilArray);
    };
    budget.grow(items.len())?;
    predicate::sort(items.to_vec(), |v| v, descending).map(Value::from)
}
