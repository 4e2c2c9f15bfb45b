//! Values as JSON, in Go's form (`expressions` 2).

use std::fmt::Write as _;

use base64::Engine as _;

use crate::error::Error;
use crate::gotext;
use crate::value::Value;

fn unsupported_number(f: f64) -> Error {
    let mut text = String::new();
    gotext::float_g(&mut text, f);
    Error::json(format!("json: unsupported value: {text}"))
}

fn unsupported_type(value: &Value) -> Error {
    Error::json(format!("json: unsupported type: {}", value.go_type()))
}

/// A number for `serde_json`: whole floats that a 64-bit integer holds become
/// integers, as step configs read them (`expressions` 4).
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn number(f: f64) -> Result<serde_json::Value, Error> {
    if f.fract() == 0.0 && f.abs() < 9_223_372_036_854_775_808.0 {
        return Ok((f as i64).into());
    }
    if f.fract() == 0.0 && f > 0.0 && f < 18_446_744_073_709_551_616.0 {
        return Ok((f as u64).into());
    }
    serde_json::Number::from_f64(f)
        .map(serde_json::Value::Number)
        .ok_or_else(|| unsupported_number(f))
}

pub(crate) fn to_json(value: &Value) -> Result<serde_json::Value, Error> {
    Ok(match value {
        Value::Nil | Value::NilArray => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) | Value::Duration(i) => (*i).into(),
        Value::Uint(u) => (*u).into(),
        Value::Float(f) => number(*f)?,
        Value::String(s) => s.as_ref().into(),
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Array(items) => {
            serde_json::Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?)
        }
        Value::Map(map) if map.is_nil() => serde_json::Value::Null,
        Value::Map(map) => serde_json::Value::Object(
            map.iter()
                .map(|(k, v)| Ok((k.to_owned(), to_json(v)?)))
                .collect::<Result<_, Error>>()?,
        ),
        Value::Time(time) => crate::time::to_rfc3339(time).into(),
        Value::Table(_) | Value::Function(_) => return Err(unsupported_type(value)),
        Value::Object(object) => object.to_json()?,
    })
}

/// Compact JSON text.
pub(crate) fn to_text(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write(&mut out, value, None, 0)?;
    Ok(out)
}

/// JSON text with two spaces per level.
pub(crate) fn to_indented(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write(&mut out, value, Some("  "), 0)?;
    Ok(out)
}

fn new_line(out: &mut String, indent: Option<&str>, depth: usize) {
    if let Some(indent) = indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

fn write(out: &mut String, value: &Value, indent: Option<&str>, depth: usize) -> Result<(), Error> {
    match value {
        Value::Nil | Value::NilArray => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) | Value::Duration(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Uint(u) => {
            let _ = write!(out, "{u}");
        }
        Value::Float(f) if !f.is_finite() => return Err(unsupported_number(*f)),
        Value::Float(f) => gotext::float_json(out, *f),
        Value::String(s) => string(out, s),
        Value::Bytes(bytes) => {
            out.push('"');
            base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                new_line(out, indent, depth + 1);
                write(out, item, indent, depth + 1)?;
            }
            if !items.is_empty() {
                new_line(out, indent, depth);
            }
            out.push(']');
        }
        Value::Map(map) if map.is_nil() => out.push_str("null"),
        Value::Map(map) => {
            let entries = map.iter().map(|(k, v)| (k, v.clone()));
            members(out, entries, indent, depth)?;
        }
        Value::Time(time) => string(out, &crate::time::to_rfc3339(time)),
        Value::Table(_) | Value::Function(_) => return Err(unsupported_type(value)),
        Value::Object(object) => {
            if let Some(entries) = object.json_members() {
                let entries = entries.iter().map(|(k, v)| (k.as_str(), v.clone()));
                members(out, entries, indent, depth)?;
            } else {
                let json = object.to_json()?;
                write_json(out, &json, indent, depth);
            }
        }
    }
    Ok(())
}

fn members<'a>(
    out: &mut String,
    entries: impl Iterator<Item = (&'a str, Value)>,
    indent: Option<&str>,
    depth: usize,
) -> Result<(), Error> {
    out.push('{');
    let mut any = false;
    for (key, value) in entries {
        if any {
            out.push(',');
        }
        any = true;
        new_line(out, indent, depth + 1);
        string(out, key);
        out.push(':');
        if indent.is_some() {
            out.push(' ');
        }
        write(out, &value, indent, depth + 1)?;
    }
    if any {
        new_line(out, indent, depth);
    }
    out.push('}');
    Ok(())
}

/// JSON that is already decoded, in the order that its object has.
fn write_json(out: &mut String, json: &serde_json::Value, indent: Option<&str>, depth: usize) {
    match json {
        serde_json::Value::Null => out.push_str("null"),
        serde_json::Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        serde_json::Value::Number(n) => match n.as_f64() {
            Some(f) if !n.is_i64() && !n.is_u64() => gotext::float_json(out, f),
            _ => {
                let _ = write!(out, "{n}");
            }
        },
        serde_json::Value::String(s) => string(out, s),
        serde_json::Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                new_line(out, indent, depth + 1);
                write_json(out, item, indent, depth + 1);
            }
            if !items.is_empty() {
                new_line(out, indent, depth);
            }
            out.push(']');
        }
        serde_json::Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                new_line(out, indent, depth + 1);
                string(out, key);
                out.push(':');
                if indent.is_some() {
                    out.push(' ');
                }
                write_json(out, item, indent, depth + 1);
            }
            if !map.is_empty() {
                new_line(out, indent, depth);
            }
            out.push('}');
        }
    }
}

/// A JSON string with Go's escapes: `<`, `>`, `&` and the line separators
/// too.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
