//! Text as Go writes and reads it: numbers, `%v`, quoted strings.

use std::fmt::Write as _;

use crate::value::Value;

/// The shortest digits of a finite, positive number, and where the point is:
/// `0.d1d2… * 10^point`.
fn digits(f: f64) -> (String, i32) {
    let text = format!("{f:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn with_exponent(out: &mut String, f: f64, wide: bool) {
    if f.is_sign_negative() {
        out.push('-');
    }
    let (digits, point) = digits(f.abs());
    let (head, tail) = digits.split_at(1.min(digits.len()));
    out.push_str(head);
    if !tail.is_empty() {
        out.push('.');
        out.push_str(tail);
    }
    let exponent = point - 1;
    let sign = if exponent < 0 { '-' } else { '+' };
    let size = exponent.abs();
    let _ = if wide { write!(out, "e{sign}{size:02}") } else { write!(out, "e{sign}{size}") };
}

/// Go's `%v`, which is `strconv.FormatFloat(f, 'g', -1, 64)`: an exponent
/// below 1e-4 and from 1e6 on (`1000000.0` is `1e+06`, `123456.0` is itself).
pub(crate) fn float_g(out: &mut String, f: f64) {
    if f.is_nan() {
        out.push_str("NaN");
    } else if f.is_infinite() {
        out.push_str(if f > 0.0 { "+Inf" } else { "-Inf" });
    } else if f == 0.0 {
        out.push_str(if f.is_sign_negative() { "-0" } else { "0" });
    } else {
        let (_, point) = digits(f.abs());
        if !(-3..=6).contains(&point) {
            with_exponent(out, f, true);
        } else {
            let _ = write!(out, "{f}");
        }
    }
}

/// A float as Go's JSON encoder writes it.
pub(crate) fn float_json(out: &mut String, f: f64) {
    let size = f.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        with_exponent(out, f, false);
    } else if f == 0.0 {
        out.push_str(if f.is_sign_negative() { "-0" } else { "0" });
    } else {
        let _ = write!(out, "{f}");
    }
}

/// Go's `%v`.
pub(crate) fn to_text(value: &Value) -> String {
    if let Value::String(s) = value {
        return s.to_string();
    }
    let mut out = String::new();
    write_text(&mut out, value);
    out
}

fn write_text(out: &mut String, value: &Value) {
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Uint(u) => {
            let _ = write!(out, "{u}");
        }
        Value::Float(f) => float_g(out, *f),
        Value::String(s) => out.push_str(s),
        Value::Bytes(bytes) => {
            list(out, bytes.iter(), |out, b| {
                let _ = write!(out, "{b}");
            });
        }
        Value::Array(items) => list(out, items.iter(), write_text),
        Value::NilArray => out.push_str("[]"),
        Value::Map(map) => {
            out.push_str("map");
            list(out, map.iter(), |out, (k, v)| {
                out.push_str(k);
                out.push(':');
                write_text(out, v);
            });
        }
        Value::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by(|(a, _), (b, _)| {
                crate::ops::order(a, b).unwrap_or(std::cmp::Ordering::Equal)
            });
            out.push_str("map");
            list(out, entries.into_iter(), |out, (k, v)| {
                write_text(out, k);
                out.push(':');
                write_text(out, v);
            });
        }
        Value::Time(time) => out.push_str(&crate::time::to_text(time)),
        Value::Duration(d) => out.push_str(&crate::time::duration_text(*d)),
        Value::Function(function) => {
            let _ = write!(out, "func {}", function.name());
        }
        Value::Object(object) => out.push_str(&object.to_text()),
    }
}

fn list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(' ');
        }
        write(out, item);
    }
    out.push(']');
}

/// `strconv.Quote`: double quotes, Go's escapes, printable characters as they
/// are.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

/// Whether Go's `strconv.IsPrint` holds: letters, marks, numbers,
/// punctuation, symbols and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Rust's own debug escapes follow the same categories, but keep grapheme
    // extenders apart, which Go prints.
    !c.is_control()
        && !c.is_whitespace()
        && !matches!(c as u32,
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff0..=0xfffb
            | 0xd800..=0xf8ff | 0xe0000..=0xe0fff | 0xf0000..=0x0010_ffff)
        && (c.escape_debug().count() == 1 || is_mark(c))
}

fn is_mark(c: char) -> bool {
    // Grapheme extenders are the only printable ones that escape_debug
    // escapes; an unassigned code point is not alphanumeric and not one.
    static MARK: std::sync::LazyLock<Option<regex::Regex>> =
        std::sync::LazyLock::new(|| regex::Regex::new(r"^\p{M}$").ok());
    let mut buffer = [0; 4];
    MARK.as_ref().is_some_and(|re| re.is_match(c.encode_utf8(&mut buffer)))
}

/// Go's `strconv.ParseFloat(text, 64)` (`expressions` 3): none where it errs,
/// out-of-range included.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let sign = if negative { -1.0 } else { 1.0 };
    let lower = body.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return parse_hex_float(hex).map(|f| sign * f);
    }
    let clean = without_underscores(&lower, false)?;
    if !clean.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'))
        || !clean.bytes().any(|b| b.is_ascii_digit())
    {
        return None;
    }
    let f: f64 = clean.parse().ok()?;
    f.is_finite().then_some(sign * f)
}

/// The text without its underscores, each of which must stand between digits
/// (or after a base prefix), and only where a prefix made Go accept them.
fn without_underscores(text: &str, hex: bool) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let digit = |b: Option<&u8>| {
        b.is_some_and(|b| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() })
    };
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        if *b == b'_' {
            let before = if i == 0 { hex } else { digit(bytes.get(i - 1)) };
            if !before || !digit(bytes.get(i + 1)) {
                return None;
            }
        }
    }
    Some(text.replace('_', ""))
}

fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let mantissa = without_underscores(mantissa, true)?;
    let (digits, negative) = match exponent.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (exponent.strip_prefix('+').unwrap_or(exponent), false),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = digits.parse().unwrap_or(100_000).min(100_000);
    let exponent = if negative { -exponent } else { exponent };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits: u64 = 0;
    let mut shift: i32 = 0;
    let mut after_point = false;
    for c in whole.chars().chain(std::iter::once('.')).chain(fraction.chars()) {
        if c == '.' {
            after_point = true;
            continue;
        }
        let digit = c.to_digit(16)?;
        if bits >> 59 == 0 {
            bits = bits << 4 | u64::from(digit);
            if after_point {
                shift -= 4;
            }
        } else {
            // Beyond 60 bits a digit only decides ties.
            bits |= u64::from(digit != 0);
            if !after_point {
                shift += 4;
            }
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let mut f = bits as f64;
    let mut power = exponent.saturating_add(shift);
    while power != 0 && f != 0.0 && f.is_finite() {
        let step = power.clamp(-1000, 1000);
        f *= 2f64.powi(step);
        power -= step;
    }
    f.is_finite().then_some(f)
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
