//! Values as YAML text, in the form of Go's YAML library with its defaults
//! (`expressions` 5): four spaces for a level, no folding, keys in natural
//! order.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::error::Error;
use crate::gotext;
use crate::value::Value;

/// The value as a YAML document, with a line end.
pub(crate) fn to_yaml(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    node(&mut out, value, None, false)?;
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(out)
}

/// The indentation one level in: two columns after a dash, else the next
/// multiple of four.
fn deeper(indent: Option<usize>, in_sequence: bool) -> usize {
    match indent {
        None => 0,
        Some(indent) if in_sequence => indent + 2,
        Some(indent) => 4 * ((indent + 4) / 4),
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Writes a node at the place where it stands: after `key:` or `-` without a
/// space. `indent` is that of the collection around it.
fn node(
    out: &mut String,
    value: &Value,
    indent: Option<usize>,
    in_sequence: bool,
) -> Result<(), Error> {
    let space = |out: &mut String| {
        if indent.is_some() {
            out.push(' ');
        }
    };
    match value {
        Value::Object(object) => match object.to_yaml_value() {
            Some(inner) => node(out, &inner, indent, in_sequence),
            None => node(out, &Value::from(object.to_json()?), indent, in_sequence),
        },
        Value::Map(map) if map.is_empty() => {
            space(out);
            out.push_str("{}");
            Ok(())
        }
        Value::Map(map) => {
            let mut entries: Vec<(Value, &Value)> =
                map.iter().map(|(k, v)| (Value::from(k), v)).collect();
            entries.sort_by(|(a, _), (b, _)| natural(&a.to_text(), &b.to_text()));
            mapping(out, &entries, indent, in_sequence)
        }
        Value::Table(table) if table.is_empty() => {
            space(out);
            out.push_str("{}");
            Ok(())
        }
        Value::Table(table) => {
            let mut entries: Vec<(Value, &Value)> =
                table.iter().map(|(k, v)| (k.clone(), v)).collect();
            entries.sort_by(|(a, _), (b, _)| natural(&a.to_text(), &b.to_text()));
            mapping(out, &entries, indent, in_sequence)
        }
        Value::Array(items) if items.is_empty() => {
            space(out);
            out.push_str("[]");
            Ok(())
        }
        Value::NilArray => {
            space(out);
            out.push_str("[]");
            Ok(())
        }
        Value::Array(items) => sequence(out, items, indent, in_sequence),
        Value::Bytes(bytes) => {
            let items: Vec<Value> = bytes.iter().map(|b| Value::Uint((*b).into())).collect();
            node(out, &items.into(), indent, in_sequence)
        }
        scalar => {
            space(out);
            write_scalar(out, scalar, indent, in_sequence)
        }
    }
}

fn mapping(
    out: &mut String,
    entries: &[(Value, &Value)],
    indent: Option<usize>,
    in_sequence: bool,
) -> Result<(), Error> {
    let inner = deeper(indent, in_sequence);
    for (i, (key, value)) in entries.iter().enumerate() {
        if i == 0 && in_sequence {
            out.push(' ');
        } else {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            spaces(out, inner);
        }
        if is_simple_key(key) {
            write_scalar(out, key, Some(inner), false)?;
        } else {
            out.push_str("? ");
            write_scalar(out, key, Some(inner), false)?;
            if !out.ends_with('\n') {
                out.push('\n');
            }
            spaces(out, inner);
        }
        out.push(':');
        node(out, value, Some(inner), false)?;
    }
    Ok(())
}

/// Whether a key stands on one line with its value: on one line itself, and
/// not too long.
fn is_simple_key(key: &Value) -> bool {
    key.as_str().is_none_or(|text| {
        text.len() <= 128 && !text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
    })
}

fn sequence(
    out: &mut String,
    items: &[Value],
    indent: Option<usize>,
    in_sequence: bool,
) -> Result<(), Error> {
    let inner = deeper(indent, in_sequence);
    for (i, item) in items.iter().enumerate() {
        if i == 0 && in_sequence {
            out.push(' ');
        } else {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            spaces(out, inner);
        }
        out.push('-');
        node(out, item, Some(inner), true)?;
    }
    Ok(())
}

fn write_scalar(
    out: &mut String,
    value: &Value,
    indent: Option<usize>,
    in_sequence: bool,
) -> Result<(), Error> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Uint(u) => {
            let _ = write!(out, "{u}");
        }
        Value::Float(f) if f.is_nan() => out.push_str(".nan"),
        Value::Float(f) if f.is_infinite() => {
            out.push_str(if *f > 0.0 { ".inf" } else { "-.inf" });
        }
        Value::Float(f) => gotext::float_g(out, *f),
        Value::Time(time) => out.push_str(&crate::time::to_rfc3339(time)),
        Value::Duration(d) => text(out, &crate::time::duration_text(*d), 0),
        Value::String(s) => {
            let inner = match indent {
                None => 4,
                Some(_) => deeper(indent, in_sequence),
            };
            text(out, s, inner);
        }
        other => {
            return Err(Error::json(format!("cannot marshal type: {}", other.go_type())));
        }
    }
    Ok(())
}

fn text(out: &mut String, s: &str, indent: usize) {
    let shape = Shape::of(s);
    if s.contains('\n') {
        if shape.block_allowed {
            literal(out, s, indent);
        } else {
            double_quoted(out, s);
        }
    } else if reads_as_other(s) {
        double_quoted(out, s);
    } else if shape.plain_allowed {
        out.push_str(s);
    } else if shape.single_allowed {
        out.push('\'');
        out.push_str(&s.replace('\'', "''"));
        out.push('\'');
    } else {
        double_quoted(out, s);
    }
}

/// In which styles a text can be written.
#[allow(clippy::struct_excessive_bools)]
struct Shape {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Shape {
    fn of(s: &str) -> Self {
        let chars: Vec<char> = s.chars().collect();
        let at = |i: usize| chars.get(i).copied();
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_space = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c));
        let (mut indicators, mut special, mut tabs) = (false, false, false);
        let (mut breaks, mut space_break, mut break_space) = (false, false, false);
        if s.starts_with("---") || s.starts_with("...") {
            indicators = true;
        }
        for (i, c) in chars.iter().enumerate() {
            let before = i.checked_sub(1).and_then(at);
            let spaced = is_space(at(i + 1));
            indicators |= match c {
                '#' if i > 0 => is_space(before),
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`' => i == 0,
                ':' => spaced,
                '?' | '-' => i == 0 && spaced,
                _ => false,
            };
            if is_break(*c) {
                breaks = true;
                space_break |= before == Some(' ');
            } else if *c == ' ' {
                break_space |= before.is_some_and(is_break);
            } else if *c == '\t' {
                tabs = true;
            }
            if !is_printable(*c) && *c != '\t' {
                special = true;
            }
        }
        let first = at(0);
        let last = chars.last().copied();
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let spoiled = space_break || tabs || special;
        Self {
            plain_allowed: !(chars.is_empty()
                || indicators
                || spoiled
                || breaks
                || break_space
                || edge(first)
                || edge(last)),
            single_allowed: !(break_space || spoiled),
            block_allowed: !(space_break || special || last == Some(' ')),
        }
    }
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Whether plain text would be read as something that is no text.
fn reads_as_other(s: &str) -> bool {
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?x)^( [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
            | [-+]?0x[0-9a-fA-F]+ | [-+]?0o[0-7]+ | [-+]?0b[01]+ | [-+]?0[0-7]+
            | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)? )$",
        )
        .ok()
    });
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^\d{4}-\d{1,2}-\d{1,2}([Tt ]\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?$",
        )
        .ok()
    });
    let is_match =
        |re: &LazyLock<Option<Regex>>, s: &str| re.as_ref().is_some_and(|re| re.is_match(s));
    match s {
        "" | "~" | "null" | "Null" | "NULL" => return true,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return true,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO"
        | "off" | "Off" | "OFF" => return true,
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return true,
        _ => {}
    }
    if !s.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    is_match(&NUMBER, s) || is_match(&NUMBER, &s.replace('_', "")) || is_match(&DATE, s)
}

fn literal(out: &mut String, s: &str, indent: usize) {
    out.push('|');
    if s.starts_with([' ', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        out.push('4');
    }
    if !s.ends_with('\n') {
        out.push('-');
    } else if s == "\n" || s.ends_with("\n\n") {
        out.push('+');
    }
    out.push('\n');
    let mut lines = s.split('\n').peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_none() && line.is_empty() {
            break;
        }
        if !line.is_empty() {
            spaces(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn double_quoted(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\x1b' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) <= 0xff => {
                let _ = write!(out, "\\x{:02X}", c as u32);
            }
            c if (c as u32) <= 0xffff => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
        }
    }
    out.push('"');
}

/// Natural order: runs of digits by their number, letters before what is no
/// letter after digits.
fn natural(a: &str, b: &str) -> Ordering {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    let (Some(x), Some(y)) = (a.get(i), b.get(i)) else { return Ordering::Equal };
    let after_digit = i > 0 && a.get(i - 1).is_some_and(|c| c.is_numeric());
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(y),
        (true, false) => return if after_digit { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if after_digit { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    // A zero in the middle of a number counts: 10 before 2 only as text.
    let mut lead = 0_u64;
    if *x == '0' || *y == '0' {
        let digits = a.get(..i).unwrap_or(&[]).iter().rev().take_while(|c| c.is_ascii_digit());
        lead = u64::from(digits.into_iter().any(|c| *c != '0'));
    }
    let number = |chars: &[char]| {
        let digits: Vec<u64> = chars
            .get(i..)
            .unwrap_or(&[])
            .iter()
            .map_while(|c| c.to_digit(10).map(u64::from))
            .collect();
        let value = digits.iter().fold(lead, |n, d| n.wrapping_mul(10).wrapping_add(*d));
        (value, digits.len())
    };
    number(&a).cmp(&number(&b)).then_with(|| x.cmp(y))
}
