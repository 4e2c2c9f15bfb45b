//! Built-ins over the bits of whole numbers.

use super::{Group, argument, builtin};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Bits",
    builtins: &[
        builtin(
            "bitand",
            "bitand(a, b)",
            (2, 2),
            and,
            "The bits that both have.",
            "bitand(6, 3)",
            "2",
        ),
        builtin(
            "bitor",
            "bitor(a, b)",
            (2, 2),
            or,
            "The bits that one of them has.",
            "bitor(6, 3)",
            "7",
        ),
        builtin(
            "bitxor",
            "bitxor(a, b)",
            (2, 2),
            xor,
            "The bits that exactly one of them has.",
            "bitxor(6, 3)",
            "5",
        ),
        builtin(
            "bitnand",
            "bitnand(a, b)",
            (2, 2),
            nand,
            "The bits of the first that the second has not.",
            "bitnand(6, 3)",
            "4",
        ),
        builtin("bitnot", "bitnot(a)", (1, 1), not, "The bits that it has not.", "bitnot(6)", "-7"),
        builtin(
            "bitshl",
            "bitshl(a, count)",
            (2, 2),
            shift_left,
            "The bits moved to the left.",
            "bitshl(3, 2)",
            "12",
        ),
        builtin(
            "bitshr",
            "bitshr(a, count)",
            (2, 2),
            shift_right,
            "The bits moved to the right, with the sign kept.",
            "bitshr(-8, 1)",
            "-4",
        ),
        builtin(
            "bitushr",
            "bitushr(a, count)",
            (2, 2),
            shift_right_unsigned,
            "The bits moved to the right, with zeros from the left.",
            "bitushr(12, 2)",
            "3",
        ),
    ],
};

fn int(value: &Value, name: &str) -> Result<i64, Error> {
    value.as_int().ok_or_else(|| {
        let kind = value.go_type();
        Error::run(format!("cannot use {kind} as argument (type int) to call {name}"))
    })
}

fn both(args: &[Value], name: &str) -> Result<(i64, i64), Error> {
    Ok((int(argument(args, 0), name)?, int(argument(args, 1), name)?))
}

fn and(args: &[Value], _: &mut Budget) -> Outcome {
    both(args, "bitand").map(|(a, b)| Value::Int(a & b))
}

fn or(args: &[Value], _: &mut Budget) -> Outcome {
    both(args, "bitor").map(|(a, b)| Value::Int(a | b))
}

fn xor(args: &[Value], _: &mut Budget) -> Outcome {
    both(args, "bitxor").map(|(a, b)| Value::Int(a ^ b))
}

fn nand(args: &[Value], _: &mut Budget) -> Outcome {
    both(args, "bitnand").map(|(a, b)| Value::Int(a & !b))
}

fn not(args: &[Value], _: &mut Budget) -> Outcome {
    int(argument(args, 0), "bitnot").map(|a| Value::Int(!a))
}

fn shift(args: &[Value], name: &str) -> Result<(i64, u32), Error> {
    let (a, count) = both(args, name)?;
    if count < 0 {
        return Err(Error::run(format!(
            "invalid operation: negative shift count {count} (type int)"
        )));
    }
    Ok((a, u32::try_from(count).unwrap_or(u32::MAX)))
}

fn shift_left(args: &[Value], _: &mut Budget) -> Outcome {
    shift(args, "bitshl").map(|(a, n)| Value::Int(a.checked_shl(n).unwrap_or(0)))
}

fn shift_right(args: &[Value], _: &mut Budget) -> Outcome {
    shift(args, "bitshr").map(|(a, n)| Value::Int(a >> n.min(63)))
}

#[allow(clippy::cast_sign_loss, clippy::cast_possible_wrap)]
fn shift_right_unsigned(args: &[Value], _: &mut Budget) -> Outcome {
    shift(args, "bitushr").map(|(a, n)| Value::Int((a as u64).checked_shr(n).unwrap_or(0) as i64))
}
