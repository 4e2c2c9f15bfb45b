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

/// Whether an output fits beside the other steps' outputs.
///
/// # Errors
/// A terminal error that says how much is too much.
pub fn output(
    state: &Map<String, Value>,
    alias: &str,
    output: &Map<String, Value>,
) -> Result<(), StepError> {
    let others = state.iter().filter(|(name, _)| *name != alias);
    let before: usize = others.map(|(name, value)| name.len() + size(value)).sum();
    let own: usize = output.iter().map(|(name, value)| name.len() + size(value)).sum();
    if before + own <= STATE {
        return Ok(());
    }
    Err(StepError::terminal(
        ErrorClass::Config,
        format!(
            "its output of {own} bytes does not fit beside the {before} bytes of other steps' \
             outputs: a Promotion keeps {STATE} bytes at most; let the step output less, or pass \
             it on in a file"
        ),
    ))
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

    #[test]
    fn outputs_must_fit_together() {
        let big = "x".repeat(STATE / 2);
        let one = json!({"text": big}).as_object().cloned().unwrap_or_default();
        let mut state = Map::new();
        assert!(output(&state, "a", &one).is_ok());
        state.insert("a".to_owned(), Value::Object(one.clone()));
        assert!(output(&state, "a", &one).is_ok(), "it takes the place of the earlier one");
        let error = output(&state, "b", &one).unwrap_err();
        assert!(error.terminal && error.message.contains("does not fit"), "{error}");
    }
}
