//! The client of image registries (`warehouses` 6.8): one for the process.
//!
//! * [`Address`]: which registry and repository a URL names.
//! * [`Mirrors`]: other places that serve a registry's content.
//! * [`Client`]: pooled connections, tokens that are used again, one rate limit
//!   a registry.
//! * [`Repository`]: tags, manifests and blobs, each answer bounded.
//! * `request` and `auth`: one request, its credentials and its attempts.
//! * `words`: what is told of a request that failed.
//!
//! The crate `oci-client` was looked at and is not used: see
//! `docs/decisions.md`.

mod address;
mod auth;
mod client;
mod limit;
mod mirror;
mod repository;
mod request;
mod words;

pub use address::Address;
pub use client::{Client, ClientSettings};
pub use mirror::{MirrorError, Mirrors};
pub use repository::{Fetched, Repository};

#[cfg(test)]
mod tests;
