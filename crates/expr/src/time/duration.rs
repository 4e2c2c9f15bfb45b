//! Durations: text, parsing, methods.

use std::fmt::Write as _;

use super::NANOS;
use super::methods::{duration_argument, method_of};
use crate::value::Value;

/// Go's `time.Duration.String`: `1h0m0s`, `1.5s`, `2ms`, `0s`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let size = nanos.unsigned_abs();
    let fraction = |out: &mut String, value: u64, unit: u64, name: &str| {
        let _ = write!(out, "{}", value / unit);
        let digits = unit.ilog10() as usize;
        if !value.is_multiple_of(unit) {
            let text = format!("{:0digits$}", value % unit);
            let _ = write!(out, ".{}", text.trim_end_matches('0'));
        }
        out.push_str(name);
    };
    match size {
        0 => return "0s".to_owned(),
        1..1_000 => {
            let _ = write!(out, "{size}ns");
        }
        1_000..1_000_000 => fraction(&mut out, size, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(&mut out, size, 1_000_000, "ms"),
        _ => {
            let seconds = size / NANOS as u64;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            if hours > 0 {
                let _ = write!(out, "{hours}h");
            }
            if seconds >= 60 {
                let _ = write!(out, "{minutes}m");
            }
            fraction(&mut out, size % (60 * NANOS as u64), NANOS as u64, "s");
        }
    }
    out
}

/// Go's `time.ParseDuration`.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = crate::gotext::quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let digits = rest.get(..number).unwrap_or("");
        rest = rest.get(number..).unwrap_or("");
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest.get(..unit_len).unwrap_or("");
        rest = rest.get(unit_len..).unwrap_or("");
        let size: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => {
                return Err(format!(
                    "time: unknown unit {} in duration {quoted}",
                    crate::gotext::quote(other)
                ));
            }
        };
        if whole.len() > 19 {
            return Err(invalid());
        }
        total +=
            if whole.is_empty() { 0 } else { whole.parse::<i128>().map_err(|_| invalid())? } * size;
        if !fraction.is_empty() {
            let fraction = fraction.get(..fraction.len().min(18)).unwrap_or("");
            let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
            total += fraction.parse::<i128>().map_err(|_| invalid())? * size / scale;
        }
        if total > i128::from(i64::MAX) + 1 {
            return Err(invalid());
        }
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map_err(|_| invalid())
}

/// A method of a duration.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn duration_method(nanos: i64, name: &str) -> Option<Value> {
    let simple =
        |name: &'static str, value: Value| Some(method_of(name, 0, move |_| Ok(value.clone())));
    let split = |unit: i64| (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64;
    match name {
        "Hours" => simple("Hours", split(3600 * NANOS).into()),
        "Minutes" => simple("Minutes", split(60 * NANOS).into()),
        "Seconds" => simple("Seconds", split(NANOS).into()),
        "Milliseconds" => simple("Milliseconds", (nanos / 1_000_000).into()),
        "Microseconds" => simple("Microseconds", (nanos / 1_000).into()),
        "Nanoseconds" => simple("Nanoseconds", nanos.into()),
        "String" => simple("String", duration_text(nanos).into()),
        "Abs" => simple("Abs", Value::Duration(nanos.saturating_abs())),
        "Truncate" | "Round" => {
            let rounds = name == "Round";
            Some(method_of(if rounds { "Round" } else { "Truncate" }, 1, move |args| {
                let unit = duration_argument(args)?;
                if unit <= 0 {
                    return Ok(Value::Duration(nanos));
                }
                let over = nanos % unit;
                let base = nanos - over;
                let up = rounds && over.unsigned_abs() * 2 >= unit.unsigned_abs();
                Ok(Value::Duration(if up {
                    base.saturating_add(unit * over.signum())
                } else {
                    base
                }))
            }))
        }
        _ => None,
    }
}
