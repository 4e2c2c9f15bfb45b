//! The built-in functions: one registry that the parser, the evaluator and
//! the reference page read.

mod bits;
mod collections;
mod encoding;
mod numbers;
mod predicates;
mod strings;
mod times;
mod types;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::value::Value;

/// The body of a built-in.
pub(crate) type Body = fn(&[Value], &mut Budget) -> Outcome;

/// A built-in function.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// How it is called, for example `split(text, separator[, limit])`.
    pub signature: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// An expression that uses it.
    pub example: &'static str,
    /// What the example gives, as JSON; none where it depends on the clock.
    pub result: Option<&'static str>,
    min: usize,
    max: usize,
    /// None where the evaluator itself does it: built-ins with a predicate.
    body: Option<Body>,
}

/// A group of built-ins on the reference page.
pub(crate) struct Group {
    pub title: &'static str,
    pub builtins: &'static [Builtin],
}

const fn builtin(
    name: &'static str,
    signature: &'static str,
    arity: (usize, usize),
    body: Body,
    doc: &'static str,
    example: &'static str,
    result: &'static str,
) -> Builtin {
    let (min, max) = arity;
    Builtin { name, signature, doc, example, result: Some(result), min, max, body: Some(body) }
}

const MANY: usize = usize::MAX;

static GROUPS: [Group; 8] = [
    predicates::GROUP,
    strings::GROUP,
    numbers::GROUP,
    bits::GROUP,
    types::GROUP,
    encoding::GROUP,
    times::GROUP,
    collections::GROUP,
];

static ALL: LazyLock<Vec<&'static Builtin>> =
    LazyLock::new(|| GROUPS.iter().flat_map(|group| group.builtins).collect());

static INDEX: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    ALL.iter()
        .enumerate()
        .filter(|(_, b)| b.body.is_some())
        .filter_map(|(i, b)| Some((b.name, u16::try_from(i).ok()?)))
        .collect()
});

/// All built-ins by group, in the order of the reference page.
///
/// ```
/// let (title, builtins) = expr::reference().next().unwrap();
/// assert_eq!(title, "Predicates");
/// assert!(builtins.iter().any(|b| b.name == "filter"));
/// ```
pub fn reference() -> impl Iterator<Item = (&'static str, &'static [Builtin])> {
    GROUPS.iter().map(|group| (group.title, group.builtins))
}

/// The place of a built-in without a predicate.
pub(crate) fn index(name: &str) -> Option<u16> {
    INDEX.get(name).copied()
}

pub(crate) fn name(index: u16) -> &'static str {
    ALL.get(index as usize).map_or("", |b| b.name)
}

/// The names of all built-ins.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|b| b.name)
}

/// Whether a built-in can be called with so many arguments.
pub(crate) fn check_arity(index: u16, count: usize) -> Result<(), Error> {
    let Some(builtin) = ALL.get(index as usize) else { return Ok(()) };
    let name = builtin.name;
    if count < builtin.min {
        return Err(Error::compile(format!("not enough arguments to call {name}")));
    }
    if count > builtin.max {
        return Err(Error::compile(format!("too many arguments to call {name}")));
    }
    Ok(())
}

pub(crate) fn call(index: u16, arguments: &[Value], budget: &mut Budget) -> Outcome {
    match ALL.get(index as usize).and_then(|b| b.body) {
        Some(body) => body(arguments, budget),
        None => Err(Error::run("not a function")),
    }
}

/// The argument at a place, nil where there is none.
fn argument(arguments: &[Value], index: usize) -> &Value {
    static NIL: Value = Value::Nil;
    arguments.get(index).unwrap_or(&NIL)
}

/// The text at a place.
fn text(arguments: &[Value], index: usize) -> Result<&str, Error> {
    crate::ops::to_str(argument(arguments, index))
}

fn invalid(name: &str, value: &Value) -> Error {
    let kind = if matches!(value, Value::Nil) { "nil" } else { value.go_type() };
    Error::run(format!("invalid argument for {name} (type {kind})"))
}
