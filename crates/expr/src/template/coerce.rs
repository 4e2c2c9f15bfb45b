//! From the text of a template to its typed result (`expressions` 3).

use crate::gotext;
use crate::value::Value;

/// The typed result of a template's text.
pub(crate) fn coerce(text: &str) -> Value {
    let (body, newline) = match text.strip_suffix('\n') {
        Some(body) => (body, true),
        None => (text, false),
    };
    if body.len() > 1 && body.starts_with('"') && body.ends_with('"') {
        let inside = body.get(1..body.len() - 1).unwrap_or("");
        return with_newline(inside, newline);
    }
    if may_be_number(body)
        && let Some(f) = gotext::parse_float(body)
    {
        return Value::Float(f);
    }
    if let Some(b) = gotext::parse_bool(body) {
        return Value::Bool(b);
    }
    if may_be_json(body)
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(body)
    {
        return Value::from_decoded_json(json);
    }
    with_newline(body, newline)
}

fn with_newline(text: &str, newline: bool) -> Value {
    if newline { format!("{text}\n").into() } else { text.into() }
}

fn may_be_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.iInN".contains(c))
}

fn may_be_json(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with(|c: char| c.is_ascii_digit() || "{[\"-ntf".contains(c))
}
