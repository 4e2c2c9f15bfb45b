//! How much of what steps say and leave fits on a Promotion's status: an API
//! server keeps objects of about a megabyte and a half (house rule 10).

use serde_json::{Map, Value};

use crate::error::{ErrorClass, StepError};

/// The longest message kept, in bytes.
pub const MESSAGE: usize = 16 * 1024;

/// The most that all outputs of a Promotion may take, in bytes of JSON.
pub const STATE: usize = 512 * 1024;

/// The message, its middle left out where it is too long: the beginning says
/// what failed, the end often why.
pub fn message(text: &str) -> String {
    if text.len() <= MESSAGE {
        return text.to_owned();
    }
    let half = MESSAGE / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    let (start, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{start}\n… ({} bytes left out) …\n{end}", tail - head)
}

/// How many texts of one output may be left out.
const MOST_LEFT_OUT: usize = 16;

/// Makes an output fit beside the other steps' outputs: its largest texts
/// are left out, each with a marker in its place that says how large it was.
/// The answer says which, in words; empty where all fits.
///
/// A marker stands for a whole text: half of one could pass for it.
///
/// # Errors
/// A terminal error where no few texts are to blame.
pub fn output(
    state: &Map<String, Value>,
    alias: &str,
    output: &mut Map<String, Value>,
) -> Result<String, StepError> {
    let sized = |map: &Map<String, Value>| -> usize {
        map.iter().map(|(name, value)| name.len() + size(value)).sum()
    };
    let others = state.iter().filter(|(name, _)| *name != alias);
    let before: usize = others.map(|(name, value)| name.len() + size(value)).sum();
    let whole = sized(output);
    let mut left_out = Vec::new();
    while before + sized(output) > STATE {
        let mut largest = None;
        for (name, value) in output.iter_mut() {
            find_largest(name, value, &mut largest);
        }
        match largest {
            Some((path, text)) if left_out.len() < MOST_LEFT_OUT && text.len() > MESSAGE => {
                left_out.push(format!("{path} ({} bytes)", text.len()));
                *text = marker(text.len());
            }
            _ => {
                return Err(StepError::terminal(
                    ErrorClass::Config,
                    format!(
                        "its output of {whole} bytes does not fit beside the {before} bytes of \
                         other steps' outputs: a Promotion keeps {STATE} bytes at most; let the \
                         step output less, or pass it on in a file"
                    ),
                ));
            }
        }
    }
    if left_out.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "too large to be kept, and left out of its output: {}; pass it on in a file",
        left_out.join(", ")
    ))
}

/// What stands in the place of a text of so many bytes.
fn marker(bytes: usize) -> String {
    format!("({bytes} bytes left out: a Promotion keeps {STATE} bytes of outputs at most)")
}

/// The largest text beneath `value`, with its path.
fn find_largest<'a>(
    path: &str,
    value: &'a mut Value,
    largest: &mut Option<(String, &'a mut String)>,
) {
    match value {
        Value::String(text) if largest.as_ref().is_none_or(|(_, l)| l.len() < text.len()) => {
            *largest = Some((path.to_owned(), text));
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                find_largest(&format!("{path}[{i}]"), item, largest);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                find_largest(&format!("{path}.{key}"), item, largest);
            }
        }
        _ => {}
    }
}

/// The length of the value's compact JSON, roughly: escapes are not counted.
fn size(value: &Value) -> usize {
    match value {
        Value::String(s) => s.len() + 2,
        Value::Array(items) => items.iter().map(|v| size(v) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + 4 + size(v)).sum::<usize>() + 2,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_long_message_keeps_its_ends() {
        assert_eq!(message("short"), "short");
        let long = format!("begin{}end", "é".repeat(MESSAGE));
        let kept = message(&long);
        assert!(kept.len() < MESSAGE + 100, "{}", kept.len());
        assert!(kept.starts_with("beginé") && kept.ends_with("éend") && kept.contains("left out"));
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_text_too_large_leaves_a_marker() {
        let mut large = object(json!({"text": "x".repeat(5 << 20), "list": [{"id": "kept"}]}));
        let said = output(&Map::new(), "a", &mut large).unwrap();
        assert!(said.contains("text (5242880 bytes)"), "{said}");
        assert_eq!(
            Value::Object(large),
            json!({"text": "(5242880 bytes left out: a Promotion keeps 524288 bytes of outputs at \
                    most)", "list": [{"id": "kept"}]})
        );
    }

    #[test]
    fn outputs_must_fit_together() {
        let mut one = object(json!({"text": "x".repeat(STATE / 2)}));
        let mut state = Map::new();
        assert_eq!(output(&state, "a", &mut one).unwrap(), "");
        state.insert("a".to_owned(), Value::Object(one.clone()));
        assert_eq!(output(&state, "a", &mut one).unwrap(), "", "it replaces the earlier one");
        let mut nested = object(json!({"deep": [{"text": "x".repeat(STATE / 2)}]}));
        let said = output(&state, "b", &mut nested).unwrap();
        assert!(said.contains("deep[0].text"), "{said}");

        let mut many = object(json!({"list": vec!["x".repeat(100); STATE / 100]}));
        let error = output(&state, "b", &mut many).unwrap_err();
        assert!(error.terminal && error.message.contains("does not fit"), "{error}");
    }
}
