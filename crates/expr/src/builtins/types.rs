//! Built-ins that tell or change a value's type.

use super::{Group, argument, builtin, invalid};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::gotext;
use crate::ops;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Types",
    builtins: &[
        builtin(
            "type",
            "type(value)",
            (1, 1),
            type_of,
            "The type's name: `nil`, `bool`, `int`, `uint`, `float`, `string`, `array`, `map`, `func`, `struct`, or its own name.",
            "type(1.5)",
            r#""float""#,
        ),
        builtin(
            "int",
            "int(value)",
            (1, 1),
            int,
            "The value as a whole number: floats are cut, texts are read as decimal digits.",
            "int('42') + int(3.9)",
            "45",
        ),
        builtin(
            "float",
            "float(value)",
            (1, 1),
            float,
            "The value as a number with a fraction.",
            "float('1e3')",
            "1000",
        ),
        builtin(
            "string",
            "string(value)",
            (1, 1),
            string,
            "The value as text, in Go's form; for JSON use `toJSON`.",
            "string([1, 'a'])",
            r#""[1 a]""#,
        ),
        builtin(
            "len",
            "len(value)",
            (1, 1),
            len,
            "How many elements an array or map has, or how many characters a text.",
            "len('äb')",
            "2",
        ),
        builtin(
            "get",
            "get(value, key)",
            (2, 2),
            get,
            "The member or element of that key, or nil where there is none.",
            "get([1], 5) ?? get({'a': 2}, 'a')",
            "2",
        ),
    ],
};

fn type_of(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(argument(args, 0).type_name().into())
}

fn int(args: &[Value], _: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    match value {
        Value::Float(f) => Ok(Value::Int(ops::truncate(*f))),
        Value::String(s) => {
            let digits = s.strip_prefix(['+', '-']).unwrap_or(s);
            if !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && let Ok(i) = s.parse()
            {
                return Ok(Value::Int(i));
            }
            Err(Error::run(format!("invalid operation: int({s})")))
        }
        Value::Duration(d) => Ok(Value::Int(*d)),
        _ => ops::to_int(value).map(Value::Int),
    }
}

fn float(args: &[Value], _: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    match value {
        Value::String(s) => gotext::parse_float(s)
            .map(Value::Float)
            .ok_or_else(|| Error::run(format!("invalid operation: float({s})"))),
        _ => value
            .as_float()
            .map(Value::Float)
            .ok_or_else(|| Error::run(format!("invalid operation: float({})", value.go_type()))),
    }
}

fn string(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    if let Value::String(_) = value {
        return Ok(value.clone());
    }
    let text = value.to_text();
    budget.write(text.len())?;
    Ok(text.into())
}

fn len(args: &[Value], _: &mut Budget) -> Outcome {
    let value = argument(args, 0);
    let count = match value {
        Value::String(s) => Some(s.chars().count()),
        _ => ops::length(value),
    };
    count.and_then(|n| i64::try_from(n).ok()).map(Value::Int).ok_or_else(|| invalid("len", value))
}

fn get(args: &[Value], _: &mut Budget) -> Outcome {
    ops::get(argument(args, 0), argument(args, 1))
}
