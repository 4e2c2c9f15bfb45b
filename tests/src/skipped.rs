//! Saying that a test was passed over, so that it is heard: `cargo test` shows
//! nothing of what a test that passes has printed.

use std::io::Write;

/// Says that this was skipped, and why.
pub fn loudly(what: &str, why: &str) {
    // Written past `eprintln!`, which the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
