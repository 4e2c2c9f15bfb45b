//! The functions that templates have beside the environment's: `quote` and
//! its family (`expressions` 5).

use std::sync::LazyLock;

use crate::error::Error;
use crate::function::{Function, FunctionError};
use crate::gotext;
use crate::value::Value;

static FUNCTIONS: LazyLock<[Function; 4]> = LazyLock::new(|| {
    [
        function(
            "quote",
            quote,
            "The value as text that stays text: of a text its own, of anything else its JSON.",
        ),
        function(
            "unsafeQuote",
            unsafe_quote,
            "The value's JSON in quotes, which of a text leaves its quotes visible.",
        ),
        function("asYAML", as_yaml, "The value as YAML text."),
        function("asJSON", as_json, "The value as JSON text, two spaces for a level."),
    ]
});

fn function(
    name: &'static str,
    body: fn(&Value) -> Result<String, Error>,
    doc: &'static str,
) -> Function {
    Function::new(name, move |args| {
        let value = args.first().cloned().unwrap_or_default();
        body(&value).map(Value::from).map_err(|error| {
            let shown = if name == "unsafeQuote" { "quote" } else { name };
            FunctionError::Failed(format!("error applying {shown}() function: {error}"))
        })
    })
    .with_arity(1..=1)
    .with_signature(format!("{name}(value)"))
    .with_doc(doc)
}

/// `quote` and its family.
pub(crate) fn functions() -> &'static [Function] {
    FUNCTIONS.as_slice()
}

fn quote(value: &Value) -> Result<String, Error> {
    match value {
        Value::String(s) => Ok(gotext::quote(s)),
        other => unsafe_quote(other),
    }
}

fn unsafe_quote(value: &Value) -> Result<String, Error> {
    Ok(format!("\"{}\"", value.to_json_text()?))
}

fn as_yaml(value: &Value) -> Result<String, Error> {
    Ok(format!("\"{}\"", super::yaml::to_yaml(value)?))
}

fn as_json(value: &Value) -> Result<String, Error> {
    Ok(format!("\"{}\n\"", crate::json::to_indented(value)?))
}
