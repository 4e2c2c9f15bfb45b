//! What exists outside: image registries, chart repositories and Git
//! repositories, and how a subscription chooses among what they hold.
//!
//! * [`semver`]: versions and constraints as Masterminds' semver reads them.
//! * [`registry`]: the client of image registries, one for the process.
//! * [`image`]: image subscriptions: list, select, resolve.
//! * [`chart`]: chart subscriptions, in classic repositories and registries.
//! * [`git`]: Git subscriptions: list, fetch, select.
//! * `tally`: how many candidates were seen and why each kind was dropped.
//! * [`refresh`]: which Warehouses a notice from outside concerns.

pub mod chart;
mod disk_cache;
mod error;
pub mod git;
pub mod image;
pub mod refresh;
pub mod registry;
pub mod semver;
mod tally;

pub use chart::{ChartSettings, Charts};
pub use error::{Error, ErrorClass, Refusal, Silence};
pub use image::{Discovered, Images, Settings};
pub use tally::{Dropped, Tally};
