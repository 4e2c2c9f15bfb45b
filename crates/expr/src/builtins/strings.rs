//! Built-ins over text.

use super::{Group, argument, builtin, text};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::ops;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Text",
    builtins: &[
        builtin(
            "trim",
            "trim(text[, characters])",
            (1, 2),
            trim,
            "The text without white space, or without the given characters, at both ends.",
            "trim('  a ') + trim('--b-', '-')",
            r#""ab""#,
        ),
        builtin(
            "trimPrefix",
            "trimPrefix(text, prefix)",
            (1, 2),
            trim_prefix,
            "The text without the prefix, if it begins with it.",
            "trimPrefix('v1.2.3', 'v')",
            r#""1.2.3""#,
        ),
        builtin(
            "trimSuffix",
            "trimSuffix(text, suffix)",
            (1, 2),
            trim_suffix,
            "The text without the suffix, if it ends with it.",
            "trimSuffix('repo.git', '.git')",
            r#""repo""#,
        ),
        builtin(
            "upper",
            "upper(text)",
            (1, 1),
            upper,
            "The text in upper case.",
            "upper('abc')",
            r#""ABC""#,
        ),
        builtin(
            "lower",
            "lower(text)",
            (1, 1),
            lower,
            "The text in lower case.",
            "lower('ABC')",
            r#""abc""#,
        ),
        builtin(
            "split",
            "split(text, separator[, limit])",
            (2, 3),
            split,
            "The parts of the text between separators, at most `limit` of them.",
            "split('a/b/c', '/')",
            r#"["a", "b", "c"]"#,
        ),
        builtin(
            "splitAfter",
            "splitAfter(text, separator[, limit])",
            (2, 3),
            split_after,
            "As `split`, with the separator kept at the end of each part.",
            "splitAfter('a/b', '/')",
            r#"["a/", "b"]"#,
        ),
        builtin(
            "replace",
            "replace(text, old, new[, count])",
            (3, 4),
            replace,
            "The text with `old` replaced by `new`, at most `count` times.",
            "replace('a-b-c', '-', '.', 1)",
            r#""a.b-c""#,
        ),
        builtin(
            "repeat",
            "repeat(text, count)",
            (2, 2),
            repeat,
            "The text so many times.",
            "repeat('ab', 2)",
            r#""abab""#,
        ),
        builtin(
            "join",
            "join(array[, separator])",
            (1, 2),
            join,
            "The texts of an array in one.",
            "join(['a', 'b'], ', ')",
            r#""a, b""#,
        ),
        builtin(
            "indexOf",
            "indexOf(text, part)",
            (2, 2),
            index_of,
            "Where the part begins for the first time, in bytes, or -1.",
            "indexOf('a.b.c', '.')",
            "1",
        ),
        builtin(
            "lastIndexOf",
            "lastIndexOf(text, part)",
            (2, 2),
            last_index_of,
            "Where the part begins for the last time, in bytes, or -1.",
            "lastIndexOf('a.b.c', '.')",
            "3",
        ),
        builtin(
            "hasPrefix",
            "hasPrefix(text, prefix)",
            (2, 2),
            has_prefix,
            "Whether the text begins with the prefix.",
            "hasPrefix('v1', 'v')",
            "true",
        ),
        builtin(
            "hasSuffix",
            "hasSuffix(text, suffix)",
            (2, 2),
            has_suffix,
            "Whether the text ends with the suffix.",
            "hasSuffix('a.git', '.git')",
            "true",
        ),
    ],
};

fn made(text: String, budget: &mut Budget) -> Outcome {
    budget.write(text.len())?;
    Ok(text.into())
}

fn trim(args: &[Value], _: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    Ok(match args.get(1) {
        None => value.trim().into(),
        Some(_) => {
            let set = text(args, 1)?;
            value.trim_matches(|c| set.contains(c)).into()
        }
    })
}

fn trim_prefix(args: &[Value], _: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    let prefix = if args.len() > 1 { text(args, 1)? } else { " " };
    Ok(value.strip_prefix(prefix).unwrap_or(value).into())
}

fn trim_suffix(args: &[Value], _: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    let suffix = if args.len() > 1 { text(args, 1)? } else { " " };
    Ok(value.strip_suffix(suffix).unwrap_or(value).into())
}

/// Letter by letter, as Go does: a letter whose other case is several letters
/// stays as it is.
fn upper(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    let mapped = value.chars().map(|c| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    });
    made(mapped.collect(), budget)
}

fn lower(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    let mapped = value.chars().map(|c| c.to_lowercase().next().unwrap_or(c));
    made(mapped.collect(), budget)
}

/// The parts of a text; none for a limit of 0.
fn parts<'a>(
    args: &'a [Value],
    whole: impl Fn(&'a str, &'a str, usize) -> Vec<&'a str>,
    budget: &mut Budget,
) -> Outcome {
    let (value, separator) = (text(args, 0)?, text(args, 1)?);
    let limit = match args.get(2) {
        None => -1,
        Some(limit) => int(limit)?,
    };
    if limit == 0 {
        return Ok(Value::NilArray);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts = if separator.is_empty() {
        characters(value, limit)
    } else {
        whole(value, separator, limit)
    };
    budget.grow(parts.len())?;
    budget.write(value.len())?;
    Ok(parts.into_iter().map(Value::from).collect::<Vec<_>>().into())
}

/// An empty separator separates characters.
fn characters(value: &str, limit: usize) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        if out.len() + 1 == limit {
            out.push(rest);
            break;
        }
        let (head, tail) = rest.split_at(c.len_utf8());
        out.push(head);
        rest = tail;
    }
    out
}

fn split(args: &[Value], budget: &mut Budget) -> Outcome {
    parts(args, |value, separator, limit| value.splitn(limit, separator).collect(), budget)
}

fn split_after(args: &[Value], budget: &mut Budget) -> Outcome {
    parts(
        args,
        |value, separator, limit| {
            let mut out = Vec::new();
            let mut start = 0;
            for (at, found) in value.match_indices(separator) {
                if out.len() + 1 >= limit {
                    break;
                }
                let end = at + found.len();
                out.push(value.get(start..end).unwrap_or(""));
                start = end;
            }
            out.push(value.get(start..).unwrap_or(""));
            out
        },
        budget,
    )
}

fn replace(args: &[Value], budget: &mut Budget) -> Outcome {
    let (value, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let count = match args.get(3) {
        None => -1,
        Some(count) => int(count)?,
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { value.chars().count() + 1 } else { value.matches(old).count() };
    budget.write(value.len().saturating_add(found.min(count).saturating_mul(new.len())))?;
    Ok(value.replacen(old, new, count).into())
}

fn repeat(args: &[Value], budget: &mut Budget) -> Outcome {
    let value = text(args, 0)?;
    let count = int(argument(args, 1))?;
    let count = usize::try_from(count)
        .map_err(|_| Error::run("invalid argument for repeat (expected positive integer)"))?;
    if count > 1_000_000 {
        return Err(Error::budget("memory budget exceeded"));
    }
    budget.write(value.len().saturating_mul(count))?;
    Ok(value.repeat(count).into())
}

fn join(args: &[Value], budget: &mut Budget) -> Outcome {
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let list = argument(args, 0);
    let items = list.as_array().ok_or_else(|| {
        Error::run(format!("invalid argument for join (type {})", list.go_type()))
    })?;
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(ops::to_str(item)?);
        if out.len() > 64 << 20 {
            return Err(Error::budget("memory budget exceeded: too much text"));
        }
    }
    made(out, budget)
}

fn position(at: Option<usize>) -> Value {
    Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn index_of(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(position(text(args, 0)?.find(text(args, 1)?)))
}

fn last_index_of(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(position(text(args, 0)?.rfind(text(args, 1)?)))
}

fn has_prefix(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(text(args, 0)?.starts_with(text(args, 1)?).into())
}

fn has_suffix(args: &[Value], _: &mut Budget) -> Outcome {
    Ok(text(args, 0)?.ends_with(text(args, 1)?).into())
}

fn int(value: &Value) -> Result<i64, Error> {
    ops::to_int(value)
}
