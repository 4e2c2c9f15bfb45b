//! Image subscriptions (`warehouses` 6): which images of a repository there
//! are, the newest first.
//!
//! * `selector`: which tags count, and in which order; pure.
//! * [`report`]: why tags are dropped.
//! * `metadata`: what manifests and configs say; pure.
//! * `cache`: what is known of digests and tags.
//! * `discovery`: listing, selecting, resolving.

mod cache;
mod discovery;
mod metadata;
pub mod report;
mod selector;

pub use discovery::{CacheByTag, Discovered, Images, Settings};
pub use report::{Reason, TagReport};
pub use selector::{Selector, Strategy, matches_tag};

#[cfg(test)]
mod tests;
