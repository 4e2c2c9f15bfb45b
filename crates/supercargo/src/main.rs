//! Supercargo's one binary.

fn main() {}
