//! How the text of a scalar is read (YAML 1.1, as Go's readers do) and how a
//! value is written as one (`steps-files` 0.7).

use serde_json::Value;

/// What a plain scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain {
    /// `~`, `null` or nothing.
    Null,
    /// Also `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// Also octal, hexadecimal and binary, with `_` between digits.
    Number(f64),
    /// Anything else, dates among them.
    Text,
}

/// Reads an unquoted scalar by YAML 1.1's rules as Go's readers apply them
/// (`steps-files` 8).
pub fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Plain::Number(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Number(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Number(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Plain::Text;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| decimal(&digits)).map_or(Plain::Text, Plain::Number)
}

/// An integer with an optional sign and a base prefix; a leading zero means
/// octal. Beyond 64 bits it is not one.
fn integer(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_str() {
        s if s.starts_with("0x") => (16, &lower[2..]),
        s if s.starts_with("0b") => (2, &lower[2..]),
        s if s.starts_with("0o") => (8, &lower[2..]),
        s if s.len() > 1 && s.starts_with('0') => (8, &lower[1..]),
        s => (10, s),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()? as f64;
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal fraction with an optional exponent.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            (whole.is_empty() && all_digits(fraction))
                || (all_digits(whole) && (fraction.is_empty() || all_digits(fraction)))
        }
        None => all_digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    if mantissa_ok && exponent_ok { text.parse().ok() } else { None }
}

/// Text in double quotes with Go's escapes, which YAML and JSON read alike.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            ' ' => quoted.push(' '),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                quoted.push_str(&format!("\\x{:02x}", c as u32));
            }
            c if c.is_control() || c.is_whitespace() || "\u{feff}\u{200b}".contains(c) => {
                quoted.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A number as it is written to files: an integer in plain digits, anything
/// else in the shortest form that reads back (`steps-files` 0.7, N).
pub fn number_text(number: &serde_json::Number) -> String {
    if let Some(i) = number.as_i64() {
        return i.to_string();
    }
    if let Some(u) = number.as_u64() {
        return u.to_string();
    }
    let x = number.as_f64().unwrap_or(0.0);
    if x.fract() == 0.0 && x.abs() < 9_223_372_036_854_775_808.0 {
        return format!("{x:.0}");
    }
    let shortest = format!("{x:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{x}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Whether Go's `ParseFloat` takes the text (`steps-files` 0.7 Q (a)).
fn reads_as_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity" | "nan") {
        return true;
    }
    let underscores_fit =
        text.split('_').skip(1).all(|s| s.starts_with(|c: char| c.is_ascii_alphanumeric()))
            && text.rsplit('_').skip(1).all(|s| s.ends_with(|c: char| c.is_ascii_alphanumeric()));
    if !underscores_fit {
        return false;
    }
    let digits = text.replace('_', "");
    if let Some(hex) = lower.strip_prefix("0x") {
        let hex = hex.replace('_', "");
        let Some((mantissa, exponent)) = hex.split_once('p') else { return false };
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return mantissa.chars().filter(|c| *c == '.').count() <= 1
            && mantissa.chars().any(|c| c.is_ascii_hexdigit())
            && mantissa.chars().all(|c| c == '.' || c.is_ascii_hexdigit())
            && !exponent.is_empty()
            && exponent.len() < 5
            && exponent.bytes().all(|b| b.is_ascii_digit());
    }
    decimal(&digits).is_some_and(f64::is_finite)
}

/// Quotes a string where Kargo would: when it reads as a number, as one of
/// Go's booleans or as JSON (`steps-files` 0.7, Q). Anything else is its own
/// text. `None` for what is not a scalar.
pub fn quote_if_needed(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => {
            let boolean = matches!(
                s.as_str(),
                "1" | "t"
                    | "T"
                    | "TRUE"
                    | "true"
                    | "True"
                    | "0"
                    | "f"
                    | "F"
                    | "FALSE"
                    | "false"
                    | "False"
            );
            let json = serde_json::from_str::<serde::de::IgnoredAny>(s).is_ok();
            Some(if boolean || json || reads_as_float(s) { go_quote(s) } else { s.clone() })
        }
        Value::Number(n) => Some(number_text(n)),
        Value::Bool(b) => Some(b.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_quoted_where_they_would_read_as_something_else() {
        let quoted = [
            "123",
            "1.10",
            "1e3",
            "1_000",
            "12e4567",
            "1e99999",
            "true",
            "T",
            "t",
            "F",
            "null",
            "Inf",
            "nan",
            "0x1p4",
            ".5",
            "5.",
            "[1, 2]",
            " {\"k\": 1} ",
        ];
        for text in quoted {
            assert_eq!(quote_if_needed(&json!(text)).unwrap(), go_quote(text), "{text}");
        }
        let bare = [
            "string",
            "v1.2",
            "sha256:abc",
            "yes",
            "on",
            "~",
            ".inf",
            "0x10",
            "2024-01-01",
            "",
            "1__0",
            "+1e99999",
        ];
        for text in bare {
            assert_eq!(quote_if_needed(&json!(text)).unwrap(), text, "{text}");
        }
        for (value, text) in [
            (json!(123), "123"),
            (json!(123.0), "123"),
            (json!(true), "true"),
            (json!(20240101.0), "20240101"),
            (json!(1.5), "1.5"),
            (json!(0.00001), "1e-05"),
            (json!(1e300), "1e+300"),
        ] {
            assert_eq!(quote_if_needed(&value).unwrap(), text);
        }
        assert_eq!(quote_if_needed(&json!(null)), None);
    }

    #[test]
    fn plain_scalars_read_as_yaml_1_1() {
        for (text, meaning) in [
            ("010", Plain::Number(8.0)),
            ("0o10", Plain::Number(8.0)),
            ("0x1F", Plain::Number(31.0)),
            ("1_000", Plain::Number(1000.0)),
            ("0b11", Plain::Number(3.0)),
            ("-12", Plain::Number(-12.0)),
            ("1.5e3", Plain::Number(1500.0)),
            ("1:30", Plain::Text),
            ("2024-01-01", Plain::Text),
            ("v1", Plain::Text),
            ("1.2.3", Plain::Text),
            ("-", Plain::Text),
            ("+", Plain::Text),
            (".", Plain::Text),
            ("0x", Plain::Text),
            ("yes", Plain::Bool(true)),
            ("n", Plain::Bool(false)),
            ("~", Plain::Null),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }
}
