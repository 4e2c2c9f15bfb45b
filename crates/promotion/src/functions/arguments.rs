//! Reading arguments, with the reference's words for what is wrong.

use api::FreightOrigin;
use expr::{FunctionError, Value};

use super::origin;

/// The only argument, a text.
pub(super) fn text(args: &[Value]) -> Result<&str, FunctionError> {
    match args.first() {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("argument must be string, got {}", other.go_type()).into()),
        None => Err("expected 1 argument, got 0".into()),
    }
}

/// The first of several arguments, a text.
pub(super) fn first_text(args: &[Value]) -> Result<&str, FunctionError> {
    match args.first() {
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            Err(format!("first argument must be string, got {}", other.go_type()).into())
        }
        None => Err("expected 1-2 arguments, got 0".into()),
    }
}

/// An origin at a place, if there is an argument there.
pub(super) fn origin_at(
    args: &[Value],
    index: usize,
) -> Result<Option<FreightOrigin>, FunctionError> {
    let Some(value) = args.get(index) else { return Ok(None) };
    let place = if index == 1 { "second" } else { "third" };
    match origin::read(value) {
        Some(origin) => Ok(Some(origin)),
        None => {
            Err(format!("{place} argument must be FreightOrigin, got {}", value.go_type()).into())
        }
    }
}
