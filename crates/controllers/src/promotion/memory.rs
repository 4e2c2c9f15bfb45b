//! What the controller keeps in memory of running Promotions from one pass to
//! the next: which Applications they wait for, and statuses that are not
//! worth a write yet. All of it may be lost: a restarted process asks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::promotion::argocd::Application;
use ::promotion::argocd::wakeups::{self, Index, Interests};
use api::{Promotion, PromotionStatus};
use kube::ResourceExt;
use tokio::time::Instant;

use crate::store::{Change, Key};

/// How long a status that only says that a step waits is held back: most
/// syncs end within it, and then it is never written.
pub const HOLD: Duration = Duration::from_secs(2);

/// A status that was not written.
#[derive(Clone, Debug)]
pub struct Held {
    /// The status.
    pub status: PromotionStatus,
    /// The resourceVersion of the object that it belongs to: a change by
    /// anybody else makes it worthless.
    pub version: String,
    /// Since when a status is held for the Promotion.
    pub since: Instant,
}

/// The memory of one controller. Clones share it.
#[derive(Clone, Default)]
pub struct Memory {
    interest: Arc<Mutex<Index<Key>>>,
    held: Arc<Mutex<HashMap<Key, Held>>>,
}

impl Memory {
    /// Notes what a Promotion waits for.
    pub fn set_interest(&self, promotion: &Key, interests: Interests) {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner).set(promotion, interests);
    }

    /// Forgets a Promotion that has ended or is gone.
    pub fn forget(&self, promotion: &Key) {
        self.set_interest(promotion, Interests::default());
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(promotion);
    }

    /// Holds a status back.
    pub fn hold(&self, promotion: &Key, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(promotion.clone(), held);
    }

    /// The status that is held for the Promotion as it is now; afterwards it
    /// is held no more.
    pub fn take(&self, key: &Key, promotion: &Promotion) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(key)?;
        (promotion.resource_version().as_ref() == Some(&held.version)).then_some(held)
    }

    /// The Promotions that a change of an Application concerns.
    pub fn wake(&self, change: &Change<Application>) -> impl IntoIterator<Item = Key> + use<> {
        let change = match change {
            Change::Added(app) => wakeups::Change::Created(app),
            Change::Updated { old, new } => wakeups::Change::Updated(old, new),
            Change::Deleted(app) => wakeups::Change::Deleted(app),
        };
        self.interest.lock().unwrap_or_else(PoisonError::into_inner).wake(change)
    }
}
