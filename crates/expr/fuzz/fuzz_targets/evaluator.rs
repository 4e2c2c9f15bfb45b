//! The evaluator: no panic, no hang, whatever the expression.

#![no_main]

use std::sync::LazyLock;

use expr::{Budget, Env, Program};
use libfuzzer_sys::fuzz_target;

static ENV: LazyLock<Env> = LazyLock::new(|| {
    Env::from(serde_json::json!({
        "i": 1, "f64": 0.5, "str": "str", "ok": true, "array": [1, 2, 3, 4, 5],
        "list": [{"Bar": "bar"}, {"Bar": "baz"}], "foo": {"Bar": "foo"}, "t": "2024-01-02",
    }))
});

fuzz_target!(|source: &str| {
    let budget = Budget { steps: 50_000, memory: 50_000, text: 1 << 20 };
    if let Ok(program) = Program::compile(source) {
        match program.run_within(&ENV, budget) {
            Ok(value) => {
                let _ = (value.to_text(), value.try_to_json(), value.to_json_text());
            }
            Err(error) => {
                let _ = error.render();
            }
        }
    }
});
