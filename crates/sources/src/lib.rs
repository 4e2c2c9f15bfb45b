//! What exists outside: image registries, and how a subscription chooses among
//! what they hold.
//!
//! * [`semver`]: versions and constraints as Masterminds' semver reads them.
//! * [`registry`]: the client of image registries, one for the process.
//! * [`image`]: image subscriptions: list, select, resolve.
//!
//! Git and chart subscriptions get a module each beside these.

mod error;
pub mod image;
pub mod registry;
pub mod semver;

pub use error::{Error, ErrorClass, Refusal, Silence};
pub use image::{Discovered, Images, Settings};
