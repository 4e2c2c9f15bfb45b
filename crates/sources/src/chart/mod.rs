//! Chart subscriptions (`warehouses` 7): which versions of a Helm chart there
//! are, the newest first.
//!
//! * `selector`: which versions count, and in which order; pure.
//! * [`VersionReport`]: how many versions were seen and why some were dropped.
//! * `index`: the `index.yaml` of a classic repository, read as a stream; pure.
//! * `classic`: getting that index, and only when it changed.
//! * `oci`: charts in an image registry, where versions are tags.
//! * `discovery`: one subscription, from its URL to its result.

mod classic;
mod discovery;
mod index;
mod oci;
mod report;
mod selector;

pub use discovery::{ChartSettings, Charts, Discovered};
pub use report::{Reason, VersionReport};
pub use selector::{Selector, matches_version};

#[cfg(test)]
mod tests;
