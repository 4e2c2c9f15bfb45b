//! Versions and constraints as Masterminds' semver (v3) reads them
//! (`warehouses` 4.4): Kargo's users write constraints in its grammar.
//!
//! * [`Version`]: parsing, lenient and strict, and the order.
//! * [`Constraint`]: the grammar of ranges and what they admit.

mod constraint;
mod version;

pub use constraint::{Constraint, ConstraintError};
pub use version::{Version, newest_first};

#[cfg(test)]
mod tests;
