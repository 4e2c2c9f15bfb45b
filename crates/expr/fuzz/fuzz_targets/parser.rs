//! The parser: no panic, and a printed expression parses to itself.

#![no_main]

use expr::Program;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    if let Ok(program) = Program::compile(source) {
        let printed = program.to_string();
        // A print that was cut, or that nests deeper by its brackets, is no
        // expression of its own.
        if printed.len() < 1 << 20
            && let Ok(again) = Program::compile(&printed)
        {
            assert_eq!(again.to_string(), printed);
        }
    }
});
