//! The client of image registries and chart repositories (`warehouses` 6.8):
//! one for the process.
//!
//! * [`Address`]: which registry and repository a URL names.
//! * [`Mirrors`]: other places that serve a registry's content.
//! * [`Client`]: what all requests share: connections, sessions, hosts.
//! * [`Repository`]: tags, manifests and blobs, each answer bounded.
//! * `site`: a host that serves files, as classic chart repositories do.
//! * `request`, `auth` and `token`: one request and how it presents itself.
//! * `line`, `host`, `turns` and `breaker`: whose turn it is, how fast a host is asked,
//!   the pauses that it wants, and what happens where it does not answer.
//! * `words`: what is told of a request that failed.
//!
//! The crate `oci-client` was looked at and is not used: see
//! `docs/decisions.md`.

mod address;
mod auth;
mod breaker;
mod client;
mod host;
mod line;
mod mirror;
mod repository;
mod request;
mod site;
mod token;
mod turns;
mod words;

pub use address::Address;
pub use client::{Client, ClientSettings};
pub use mirror::{MirrorError, Mirrors};
pub use repository::{Fetched, Repository};
pub(crate) use site::{Received, Site, SiteKey};

#[cfg(test)]
mod tests;
