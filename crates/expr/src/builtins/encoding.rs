//! Built-ins for JSON and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Group, argument, builtin, text};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::ops;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Encoding",
    builtins: &[
        builtin(
            "toJSON",
            "toJSON(value)",
            (1, 1),
            to_json,
            "The value as JSON text, two spaces for a level.",
            "toJSON({'a': 1})",
            r#""{\n  \"a\": 1\n}""#,
        ),
        builtin(
            "fromJSON",
            "fromJSON(text)",
            (1, 1),
            from_json,
            "The value of a JSON text; its numbers are floats.",
            r#"fromJSON('{"a": [1]}').a[0]"#,
            "1",
        ),
        builtin(
            "toBase64",
            "toBase64(text)",
            (1, 1),
            to_base64,
            "The text in base64.",
            "toBase64('hello')",
            r#""aGVsbG8=""#,
        ),
        builtin(
            "fromBase64",
            "fromBase64(text)",
            (1, 1),
            from_base64,
            "The text that a base64 text stands for.",
            "fromBase64('aGVsbG8=')",
            r#""hello""#,
        ),
    ],
};

fn to_json(args: &[Value], budget: &mut Budget) -> Outcome {
    let text = crate::json::to_indented(argument(args, 0))
        .map_err(|e| Error::run(e.message().to_owned()))?;
    budget.write(text.len())?;
    Ok(text.into())
}

fn from_json(args: &[Value], budget: &mut Budget) -> Outcome {
    let text = text(args, 0)?;
    budget.write(text.len())?;
    serde_json::from_str(text)
        .map(Value::from_decoded_json)
        .map_err(|e| Error::run(format!("invalid JSON: {e}")))
}

fn to_base64(args: &[Value], budget: &mut Budget) -> Outcome {
    let encoded = match argument(args, 0) {
        Value::Bytes(bytes) => STANDARD.encode(bytes),
        other => STANDARD.encode(ops::to_str(other)?),
    };
    budget.write(encoded.len())?;
    Ok(encoded.into())
}

fn from_base64(args: &[Value], _: &mut Budget) -> Outcome {
    let text: String = text(args, 0)?.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes =
        STANDARD.decode(text).map_err(|e| Error::run(format!("illegal base64 data: {e}")))?;
    Ok(String::from_utf8_lossy(&bytes).as_ref().into())
}
