//! What exists outside: image registries and Git repositories, and how a
//! subscription chooses among what they hold.
//!
//! * [`semver`]: versions and constraints as Masterminds' semver reads them.
//! * [`registry`]: the client of image registries, one for the process.
//! * [`image`]: image subscriptions: list, select, resolve.
//! * [`git`]: Git subscriptions: list, fetch, select.
//!
//! Chart subscriptions get a module beside these.

mod error;
pub mod git;
pub mod image;
pub mod registry;
pub mod semver;

pub use error::{Error, ErrorClass, Refusal, Silence};
pub use image::{Discovered, Images, Settings};
