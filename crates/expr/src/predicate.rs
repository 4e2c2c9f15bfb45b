//! The built-ins that take a predicate (`expressions` 6.5).

use std::sync::Arc;

use crate::ast::{Id, Node, PredicateCall, PredicateKind};
use crate::error::Error;
use crate::eval::{Machine, Outcome, Scope};
use crate::list::MAX_DEPTH;
use crate::ops;
use crate::table::Table;
use crate::value::Value;

/// The element that `#` stands for.
pub(crate) fn item(scope: &Scope) -> Outcome {
    match &scope.collection {
        Value::Map(_) | Value::Table(_) => {
            Err(Error::run("reflect: call of reflect.Value.Index on map Value"))
        }
        collection => ops::element(collection, scope.index)
            .ok_or_else(|| Error::run("reflect: slice index out of range")),
    }
}

pub(crate) fn eval(machine: &mut Machine<'_>, call: PredicateCall) -> Outcome {
    let collection = machine.eval(call.collection)?;
    let length = ops::length(&collection).ok_or_else(|| {
        Error::run(format!(
            "reflect: call of reflect.Value.Len on {} Value",
            if matches!(collection, Value::Nil) { "zero" } else { collection.go_type() }
        ))
    })?;
    machine.scopes.push(Scope { collection, index: 0, accumulator: Value::Nil });
    let result = walk(machine, call, length);
    machine.scopes.pop();
    result
}

/// Goes to an element and gives the predicate's value there; without a
/// predicate the element itself.
fn at(machine: &mut Machine<'_>, index: usize, predicate: Option<Id>) -> Outcome {
    if let Some(scope) = machine.scopes.last_mut() {
        scope.index = index;
    }
    match predicate {
        Some(id) => machine.eval(id),
        None => {
            machine.budget.step()?;
            current(machine)
        }
    }
}

fn current(machine: &Machine<'_>) -> Outcome {
    machine.scopes.last().map_or(Ok(Value::Nil), item)
}

fn passes(machine: &mut Machine<'_>, index: usize, predicate: Option<Id>) -> Result<bool, Error> {
    let value = at(machine, index, predicate)?;
    ops::to_bool(&value)
}

fn int(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn walk(machine: &mut Machine<'_>, call: PredicateCall, length: usize) -> Outcome {
    let predicate = call.predicate;
    match call.kind {
        PredicateKind::All => {
            for i in 0..length {
                if !passes(machine, i, predicate)? {
                    return Ok(Value::Bool(false));
                }
            }
            Ok(Value::Bool(true))
        }
        PredicateKind::None => {
            for i in 0..length {
                if passes(machine, i, predicate)? {
                    return Ok(Value::Bool(false));
                }
            }
            Ok(Value::Bool(true))
        }
        PredicateKind::Any => {
            for i in 0..length {
                if passes(machine, i, predicate)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        PredicateKind::One | PredicateKind::Count => {
            let mut count = 0;
            for i in 0..length {
                count += usize::from(passes(machine, i, predicate)?);
            }
            Ok(match call.kind {
                PredicateKind::One => Value::Bool(count == 1),
                _ => int(count),
            })
        }
        PredicateKind::Filter => {
            let mut kept = Vec::new();
            for i in 0..length {
                if passes(machine, i, predicate)? {
                    kept.push(match call.mapped {
                        Some(id) => machine.eval(id)?,
                        None => current(machine)?,
                    });
                }
            }
            machine.budget.grow(kept.len())?;
            Ok(kept.into())
        }
        PredicateKind::Map => {
            let mut mapped = Vec::with_capacity(length.min(1024));
            for i in 0..length {
                mapped.push(at(machine, i, predicate)?);
            }
            machine.budget.grow(mapped.len())?;
            Ok(mapped.into())
        }
        PredicateKind::Sum => sum(machine, call, length),
        PredicateKind::Find | PredicateKind::FindIndex => {
            for i in 0..length {
                if passes(machine, i, predicate)? {
                    return found(machine, call.kind == PredicateKind::Find, i);
                }
            }
            Ok(Value::Nil)
        }
        PredicateKind::FindLast | PredicateKind::FindLastIndex => {
            for i in (0..length).rev() {
                if passes(machine, i, predicate)? {
                    return found(machine, call.kind == PredicateKind::FindLast, i);
                }
            }
            Ok(Value::Nil)
        }
        PredicateKind::GroupBy => group_by(machine, predicate, length),
        PredicateKind::SortBy => sort_by(machine, call, length),
        PredicateKind::Reduce => reduce(machine, call, length),
    }
}

fn found(machine: &Machine<'_>, wants_item: bool, index: usize) -> Outcome {
    if wants_item { current(machine) } else { Ok(int(index)) }
}

fn sum(machine: &mut Machine<'_>, call: PredicateCall, length: usize) -> Outcome {
    // The reference turns the sum of a written list into a chain of `+`,
    // which joins texts too.
    let chain = call.predicate.is_none()
        && matches!(machine.ast.node(call.collection), Node::Array(list) if list.len >= 2);
    let mut total = Value::Int(0);
    for i in 0..length {
        let value = at(machine, i, call.predicate)?;
        total = if chain && i == 0 { value } else { ops::add(&total, &value)? };
        if let Value::String(text) = &total {
            machine.budget.write(text.len())?;
        }
    }
    Ok(total)
}

fn group_by(machine: &mut Machine<'_>, predicate: Option<Id>, length: usize) -> Outcome {
    let mut groups = Table::grouped();
    for i in 0..length {
        let key = at(machine, i, predicate)?;
        let element = current(machine)?;
        if !groups.push(key.clone(), element) {
            return Err(ops::unhashable(&key));
        }
    }
    machine.budget.grow(length)?;
    Ok(Value::Table(Arc::new(groups)))
}

fn sort_by(machine: &mut Machine<'_>, call: PredicateCall, length: usize) -> Outcome {
    let mut keyed = Vec::with_capacity(length.min(1024));
    for i in 0..length {
        let key = at(machine, i, call.predicate)?;
        keyed.push((key, current(machine)?));
    }
    let descending = match call.extra {
        Some(id) => {
            let order = machine.eval(id)?;
            is_descending(&order)?
        }
        None => false,
    };
    machine.budget.grow(keyed.len())?;
    let sorted = sort(keyed, |(key, _)| key, descending)?;
    Ok(Value::from(sorted.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

/// What `"asc"` and `"desc"` mean.
pub(crate) fn is_descending(order: &Value) -> Result<bool, Error> {
    match order {
        Value::String(s) if s.as_ref() == "asc" => Ok(false),
        Value::String(s) if s.as_ref() == "desc" => Ok(true),
        Value::String(_) => Err(Error::run("unknown order, use asc or desc")),
        other => Err(ops::not_a(other, "string")),
    }
}

/// Sorts by a key, keeping the order of equals; an error when two keys have
/// no order. A merge sort of our own, since keys from outside need not be
/// totally ordered (NaN), which the standard one may answer with a panic.
pub(crate) fn sort<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> &Value,
    descending: bool,
) -> Result<Vec<T>, Error> {
    let mut runs: Vec<Vec<T>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(left, right, &key, descending)?,
                None => left,
            });
        }
        runs = merged;
    }
    Ok(runs.pop().unwrap_or_default())
}

fn merge<T>(
    left: Vec<T>,
    right: Vec<T>,
    key: impl Fn(&T) -> &Value,
    descending: bool,
) -> Result<Vec<T>, Error> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let (a, b) = (key(a), key(b));
        let order = ops::order(a, b).ok_or_else(|| ops::invalid("<", a, b))?;
        let swap = if descending { order.is_lt() } else { order.is_gt() };
        out.extend(if swap { right.next() } else { left.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}

fn reduce(machine: &mut Machine<'_>, call: PredicateCall, length: usize) -> Outcome {
    let (first, start) = match call.extra {
        Some(id) => (machine.eval(id)?, 0),
        None if length == 0 => {
            return Err(Error::run("reduce of empty array with no initial value"));
        }
        None => (current(machine)?, 1),
    };
    if let Some(scope) = machine.scopes.last_mut() {
        scope.accumulator = first;
    }
    for i in start..length {
        let value = at(machine, i, call.predicate)?;
        // Only here can values nest deeper than the text does.
        if value.depth() > MAX_DEPTH {
            return Err(Error::budget(format!("the value nests deeper than {MAX_DEPTH} levels")));
        }
        if let Some(scope) = machine.scopes.last_mut() {
            scope.accumulator = value;
        }
    }
    Ok(machine.scopes.last().map_or(Value::Nil, |scope| scope.accumulator.clone()))
}
