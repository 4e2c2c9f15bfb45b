//! The client of image registries (`warehouses` 6.8): one for the process.
//!
//! * [`Address`]: which registry and repository a URL names.
//! * [`Mirrors`]: other places that serve a registry's content.
//! * [`Client`]: requests with pooled connections, tokens that are used again,
//!   one rate limit a registry, back-off, bounded answers.
//!
//! The crate `oci-client` was looked at and is not used: see
//! `docs/decisions.md`.

mod address;
mod auth;
mod client;
mod limit;
mod mirror;

pub use address::Address;
pub use client::{Client, ClientSettings, Fetched, Repository};
pub use mirror::{MirrorError, Mirrors};

#[cfg(test)]
mod tests;
