//! Kargo's resources as Rust types, and the rules that follow from their data alone.
