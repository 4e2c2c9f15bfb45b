//! Built-ins over numbers.

use super::{Group, MANY, argument, builtin, invalid};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::ops;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Numbers",
    builtins: &[
        builtin(
            "max",
            "max(number or array, ...)",
            (1, MANY),
            max,
            "The greatest of the numbers; nil for an empty array.",
            "max(1, [3, 2])",
            "3",
        ),
        builtin(
            "min",
            "min(number or array, ...)",
            (1, MANY),
            min,
            "The least of the numbers; nil for an empty array.",
            "min(1, [3, 2])",
            "1",
        ),
        builtin(
            "mean",
            "mean(number or array, ...)",
            (1, MANY),
            mean,
            "The mean of the numbers; 0 for an empty array.",
            "mean([1, 2, 3, 4])",
            "2.5",
        ),
        builtin(
            "median",
            "median(number or array, ...)",
            (1, MANY),
            median,
            "The median of the numbers; 0 for an empty array.",
            "median([1, 2, 9])",
            "2",
        ),
        builtin("abs", "abs(number)", (1, 1), abs, "The number without its sign.", "abs(-5)", "5"),
        builtin(
            "ceil",
            "ceil(number)",
            (1, 1),
            ceil,
            "The least whole number that is not less, as a float.",
            "ceil(1.2)",
            "2",
        ),
        builtin(
            "floor",
            "floor(number)",
            (1, 1),
            floor,
            "The greatest whole number that is not greater, as a float.",
            "floor(1.8)",
            "1",
        ),
        builtin(
            "round",
            "round(number)",
            (1, 1),
            round,
            "The nearest whole number, as a float; halves away from zero.",
            "round(-1.5)",
            "-2",
        ),
    ],
};

fn max(args: &[Value], budget: &mut Budget) -> Outcome {
    extreme("max", args, less, budget)
}

fn min(args: &[Value], budget: &mut Budget) -> Outcome {
    extreme("min", args, |best, new| less(new, best), budget)
}

fn less(a: &Value, b: &Value) -> bool {
    matches!(ops::compare("<", a, b), Ok(Value::Bool(true)))
}

/// The best of all numbers, lists walked into. A single argument that is no
/// number is given back as it is.
fn extreme(
    name: &str,
    args: &[Value],
    replaces: fn(&Value, &Value) -> bool,
    budget: &mut Budget,
) -> Outcome {
    let mut best: Option<Value> = None;
    for arg in &lists(args) {
        if arg.as_array().is_some() {
            let mut failure = None;
            each_number(arg, budget, &mut |number, bad| {
                if let Some(bad) = bad {
                    failure.get_or_insert_with(|| invalid(name, bad));
                } else if best.as_ref().is_none_or(|b| replaces(b, number)) {
                    best = Some(number.clone());
                }
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
        } else if is_number(arg) {
            if best.as_ref().is_none_or(|b| replaces(b, arg)) {
                best = Some(arg.clone());
            }
        } else if args.len() == 1 {
            return Ok(arg.clone());
        } else {
            return Err(invalid(name, arg));
        }
    }
    Ok(best.unwrap_or_default())
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Duration(_))
}

/// The value as a number of some kind: a duration counts its nanoseconds.
#[allow(clippy::cast_precision_loss)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Duration(d) => Some(*d as f64),
        _ => value.as_float(),
    }
}

/// The arguments, with bytes as lists of numbers.
fn lists(args: &[Value]) -> Vec<Value> {
    let list = |bytes: &[u8]| bytes.iter().map(|b| Value::Uint((*b).into())).collect::<Vec<_>>();
    args.iter()
        .map(|arg| match arg {
            Value::Bytes(bytes) => list(bytes).into(),
            other => other.clone(),
        })
        .collect()
}

/// Calls with each number of nested lists, or with what is none.
fn each_number(
    value: &Value,
    budget: &mut Budget,
    visit: &mut dyn FnMut(&Value, Option<&Value>),
) -> Result<(), Error> {
    let mut waiting = vec![(value.clone(), 0_usize)];
    while let Some((list, from)) = waiting.pop() {
        let items = list.as_array().unwrap_or(&[]);
        for (i, item) in items.iter().enumerate().skip(from) {
            budget.step()?;
            if item.as_array().is_some() {
                waiting.push((list.clone(), i + 1));
                waiting.push((item.clone(), 0));
                break;
            }
            visit(item, (!is_number(item)).then_some(item));
        }
    }
    Ok(())
}

fn floats(name: &str, args: &[Value], budget: &mut Budget) -> Result<Vec<f64>, Error> {
    let mut out = Vec::new();
    for arg in &lists(args) {
        if arg.as_array().is_some() {
            let mut failure = None;
            each_number(arg, budget, &mut |item, bad| match (bad, number(item)) {
                (None, Some(f)) => out.push(f),
                _ => {
                    failure.get_or_insert_with(|| invalid(name, item));
                }
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
        } else {
            out.push(number(arg).ok_or_else(|| invalid(name, arg))?);
        }
    }
    Ok(out)
}

#[allow(clippy::cast_precision_loss)]
fn mean(args: &[Value], budget: &mut Budget) -> Outcome {
    let numbers = floats("mean", args, budget)?;
    if numbers.is_empty() {
        return Ok(Value::Float(0.0));
    }
    Ok(Value::Float(numbers.iter().fold(0.0, |sum, n| sum + n) / numbers.len() as f64))
}

fn median(args: &[Value], budget: &mut Budget) -> Outcome {
    let mut numbers = floats("median", args, budget)?;
    numbers.sort_by(f64::total_cmp);
    let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
    let middle = numbers.len() / 2;
    Ok(Value::Float(match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => at(middle),
        _ => f64::midpoint(at(middle - 1), at(middle)),
    }))
}

fn abs(args: &[Value], _: &mut Budget) -> Outcome {
    match argument(args, 0) {
        Value::Int(i) => Ok(Value::Int(i.wrapping_abs())),
        Value::Uint(u) => Ok(Value::Uint(*u)),
        // A negative zero keeps its sign, as in the reference.
        Value::Float(f) => Ok(Value::Float(if *f < 0.0 { -f } else { *f })),
        other => Err(invalid("abs", other)),
    }
}

fn rounded(name: &str, args: &[Value], how: fn(f64) -> f64) -> Outcome {
    let value = argument(args, 0);
    value.as_float().map(|f| Value::Float(how(f))).ok_or_else(|| invalid(name, value))
}

fn ceil(args: &[Value], _: &mut Budget) -> Outcome {
    rounded("ceil", args, f64::ceil)
}

fn floor(args: &[Value], _: &mut Budget) -> Outcome {
    rounded("floor", args, f64::floor)
}

fn round(args: &[Value], _: &mut Budget) -> Outcome {
    rounded("round", args, f64::round)
}
