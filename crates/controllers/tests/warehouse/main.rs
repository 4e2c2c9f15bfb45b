//! Warehouses over registries, a Git host, a chart repository and a cluster in
//! memory.
//!
//! * [`bench`]: the running world; [`front`]: the way to its Git host.
//! * `images`: image subscriptions, and what all subscriptions have in common.
//! * `kinds`: Git and chart subscriptions, and several at once.
//! * `freight`: criteria, policies, Events, aliases.
//! * `fair`: that nobody waits for somebody else's repository.
//! * `faults`: hosts that are absent, refuse, or whose repositories change.
#![allow(clippy::unwrap_used)]

mod bench;
mod fair;
mod faults;
mod freight;
mod front;
mod images;
mod kinds;
