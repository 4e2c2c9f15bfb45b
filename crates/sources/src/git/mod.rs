//! Git subscriptions (`warehouses` 5): which commits of a repository there
//! are, the newest first.
//!
//! * `selector`: what a subscription asks for; which references and paths count; pure.
//! * `names`: which tags count by their name; pure.
//! * `paths`, `glob`: which changed files count; pure.
//! * `expression`: the filter that users write; pure.
//! * `branch`, `tags`: what is taken of a branch's commits or of tags; pure.
//! * `observed`: whether anything can have changed; pure.
//! * [`report`]: why candidates are dropped.
//! * `discovery`: listing, fetching, selecting.
//!
//! Repositories on disk are crate `git`'s.

mod branch;
mod discovery;
mod expression;
mod glob;
mod names;
mod observed;
mod paths;
pub mod report;
mod selector;
mod tags;

pub use discovery::{Commits, Discovered, Settings};
pub use report::{CommitReport, Reason};
pub use selector::{Selector, Strategy};

#[cfg(test)]
mod tests;
