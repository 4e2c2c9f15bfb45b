//! Spans. Each pass over an object is one, with a trace id of its own, so that
//! the log lines of a pass are found together, and an exporter's trace of it
//! has the same id.

use std::cell::Cell;

use tracing::Span;
use uuid::Uuid;

use crate::store::Key;

thread_local! {
    static BEGINS: Cell<Option<u128>> = const { Cell::new(None) };
}

/// The span of a pass of `controller` over `key`. Of the highest level, so that
/// every line that is logged has it.
pub fn pass(controller: &'static str, key: &Key) -> Span {
    let id = Uuid::new_v4().as_u128();
    BEGINS.set(Some(id));
    let span = tracing::error_span!(
        parent: None,
        "pass",
        controller,
        object = %key,
        trace_id = %format_args!("{id:032x}"),
    );
    // An exporter begins a trace when its first span is entered.
    span.in_scope(|| ());
    BEGINS.set(None);
    span
}

/// The id of the trace whose first span this thread is making, if it is making
/// one: what an exporter's source of ids has to give.
pub fn begins() -> Option<u128> {
    BEGINS.get()
}
