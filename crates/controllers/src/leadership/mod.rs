//! Which replica acts: Lease-based leadership.
//!
//! Each role of a shard has one Lease. The replica that holds it acts; the
//! others keep their caches warm and wait. A Lease is renewed every
//! [`Terms::retry`]; a holder that cannot renew gives up after
//! [`Terms::renew_deadline`], well before anybody else may take over
//! ([`Terms::duration`]), so that two replicas never act at once (`design.md`,
//! "Settled" 4). Clocks of different machines are never compared: a standby
//! measures on its own monotonic clock how long the record has not changed.
//!
//! * [`decide`]: pure: may this replica take the Lease, and when to look again.
//! * [`election`]: reading, writing and watching the Lease.
//! * [`heartbeat`]: the Lease by which Kargo's API server sees a shard alive.

pub mod decide;
pub mod election;
pub mod heartbeat;

use std::time::Duration;

pub use election::{Election, Term};
pub use heartbeat::Heartbeat;

/// The times of a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the record must not have changed before another may take it.
    pub duration: Duration,
    /// How long a holder acts on after its last renewal.
    pub renew_deadline: Duration,
    /// How often the holder renews, and how often a standby looks when it
    /// cannot watch.
    pub retry: Duration,
    /// How long one request may take.
    pub call_timeout: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(8),
            retry: Duration::from_secs(2),
            call_timeout: Duration::from_secs(3),
        }
    }
}
