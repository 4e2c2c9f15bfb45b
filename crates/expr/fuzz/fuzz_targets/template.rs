//! Templates: no panic, no text lost, and no difference between one text and
//! an object of it.

#![no_main]

use std::sync::LazyLock;

use expr::Env;
use expr::template::{Part, evaluate, evaluate_json, split};
use libfuzzer_sys::fuzz_target;

static ENV: LazyLock<Env> =
    LazyLock::new(|| Env::from(serde_json::json!({"a": 1, "s": "x", "l": [1, "y", null]})));

fuzz_target!(|text: &str| {
    let mut rest = text;
    for part in split(text).flatten() {
        let (Part::Literal(part) | Part::Expression(part)) = part;
        let at = rest.find(part).expect("parts come in order");
        rest = &rest[at + part.len()..];
    }
    // The clock moves between two evaluations.
    if text.contains("now") {
        return;
    }
    let one = evaluate(text, &ENV);
    let object = evaluate_json(&serde_json::json!({"k": text}), &ENV);
    match (one, object) {
        (Ok(one), Ok(object)) => assert!(object.is_null() || object["k"] == one),
        (Err(one), Err(object)) => assert_eq!(one.message(), object.error.message()),
        (one, object) => panic!("{one:?} {object:?}"),
    }
});
