//! `warehouse(name)`: what a Freight comes from, as a value.

use api::FreightOrigin;
use expr::{Field, Function, Record, Value};

use super::arguments;

const TYPE: &str = "v1alpha1.FreightOrigin";

/// An origin as a value of expressions.
pub fn origin(origin: &FreightOrigin) -> Value {
    let field = |name, json_name, text: &str| Field {
        name,
        json_name,
        omit_empty: false,
        value: text.into(),
    };
    Record::new(
        TYPE,
        vec![field("Kind", "kind", &origin.kind), field("Name", "name", &origin.name)],
    )
    .into()
}

/// The origin that a value is, if it is one.
pub(super) fn read(value: &Value) -> Option<FreightOrigin> {
    let object = value.as_object().filter(|object| object.type_name() == TYPE)?;
    let text = |name| object.field(name).map(|v| v.to_text());
    Some(FreightOrigin { kind: text("Kind")?, name: text("Name")? })
}

pub(super) fn function() -> Function {
    Function::new("warehouse", |args| {
        let name = arguments::text(args)?;
        if name.is_empty() {
            return Err("name must not be empty".into());
        }
        Ok(origin(&FreightOrigin::warehouse(name)))
    })
    .with_arity(1..=1)
    .with_signature("warehouse(name)")
    .with_doc("The origin that is the Warehouse of that name, for the functions that take one.")
}
