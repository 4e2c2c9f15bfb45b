//! Whether an Application's health and sync status are from after its last
//! operation.
//!
//! Argo CD writes the end of an operation first and the new health some 50 ms
//! later, and its times have whole seconds (`steps-argocd` 13.1). A comparison
//! in the very second in which the operation ended may be from before it, so
//! it is trusted only once the Application has changed again, two seconds have
//! passed, or it says itself that what was synced is what is there: before a
//! sync that changes anything it says OutOfSync.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::application::Application;

/// After this time a comparison in the second of the operation's end is
/// trusted anyway.
pub const SETTLING: Duration = Duration::from_secs(2);

/// How far an Application's status can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is from after the last operation.
    Fresh,
    /// It may be from before the end of the operation; the time after which
    /// it counts whatever happens.
    Settling(Duration),
    /// It is from before: a comparison must be asked for.
    Stale,
}

/// Judges from the times on the Application. `settled` says that it has
/// changed once more since its operation was seen finished.
pub fn trust(app: &Application, settled: bool, now: Timestamp) -> Trust {
    let Some(finished) = app.finished_at() else { return Trust::Fresh };
    match app.status.reconciled_at {
        Some(reconciled) if reconciled > finished => Trust::Fresh,
        Some(reconciled) if reconciled == finished => match settling(finished, now) {
            Some(rest) if !settled && !tells_of_the_sync(app) => Trust::Settling(rest),
            _ => Trust::Fresh,
        },
        _ => Trust::Stale,
    }
}

/// Whether the comparison finds the revisions that the last operation synced,
/// and finds them applied.
fn tells_of_the_sync(app: &Application) -> bool {
    let state = app.status.operation_state.as_ref();
    let result = state.and_then(|state| state.sync_result.as_ref());
    result.is_some_and(|result| {
        let synced = result.observed();
        synced.iter().all(|revision| !revision.is_empty())
            && app.status.sync.status == "Synced"
            && app.status.sync.observed() == synced
    })
}

/// How much of the settling time after an operation's end is left.
pub fn settling(finished: Timestamp, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(finished)).unwrap_or_default();
    SETTLING.checked_sub(passed).filter(|rest| !rest.is_zero())
}

#[derive(Clone)]
struct Seen {
    finished: Timestamp,
    version: String,
    settled: bool,
}

/// Remembers which Applications have changed since their operation was seen
/// finished. To be fed with every event of the watch; holds an entry for each
/// Application that exists and whose last operation has finished.
#[derive(Default)]
pub struct Settled(Mutex<HashMap<(String, String), Seen>>);

impl Settled {
    /// Takes note of an Application's present state.
    pub fn observe(&self, app: &Application) {
        let key = (app.namespace().to_owned(), app.name().to_owned());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(finished) = app.finished_at() else {
            seen.remove(&key);
            return;
        };
        let version = app.resource_version().to_owned();
        match seen.get_mut(&key) {
            Some(entry) if entry.finished == finished => {
                entry.settled |= entry.version != version;
            }
            _ => {
                seen.insert(key, Seen { finished, version, settled: false });
            }
        }
    }

    /// Forgets an Application that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Whether this state, or an earlier one, came after the one in which the
    /// operation was first seen finished.
    pub fn is_settled(&self, app: &Application) -> bool {
        let key = (app.namespace().to_owned(), app.name().to_owned());
        let finished = app.finished_at();
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&key).is_some_and(|entry| {
            Some(entry.finished) == finished
                && (entry.settled || entry.version != app.resource_version())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::argocd::samples;

    fn app(version: &str, reconciled: Option<&str>, finished: Option<&str>) -> Application {
        samples::from(json!({
            "metadata": {"namespace": "argocd", "name": "a", "resourceVersion": version},
            "status": {"reconciledAt": reconciled, "operationState": {"finishedAt": finished}},
        }))
    }

    #[test]
    fn a_comparison_in_the_second_of_the_end_has_to_settle() {
        let (four, five, six) =
            ("2026-11-24T21:47:34Z", "2026-11-24T21:47:35Z", "2026-11-24T21:47:36Z");
        let now = "2026-11-24T21:47:35.5Z".parse().unwrap();
        let later = "2026-11-24T21:47:37Z".parse().unwrap();
        let rest = Trust::Settling(Duration::from_millis(1500));
        // (reconciled, finished, settled, now, trust)
        let cases = [
            (Some(five), None, false, now, Trust::Fresh),
            (Some(six), Some(five), false, now, Trust::Fresh),
            (Some(five), Some(five), false, now, rest),
            (Some(five), Some(five), true, now, Trust::Fresh),
            (Some(five), Some(five), false, later, Trust::Fresh),
            (Some(four), Some(five), true, later, Trust::Stale),
            (None, Some(five), true, later, Trust::Stale),
        ];
        for (reconciled, finished, settled, now, expected) in cases {
            let app = app("1", reconciled, finished);
            assert_eq!(
                trust(&app, settled, now),
                expected,
                "{reconciled:?} {finished:?} {settled}"
            );
        }
    }

    #[test]
    fn what_tells_of_the_sync_need_not_settle() {
        let second = "2026-11-24T21:47:35Z";
        let now = "2026-11-24T21:47:35.5Z".parse().unwrap();
        let rest = Trust::Settling(Duration::from_millis(1500));
        // (sync status, revision compared, revision synced, trust)
        let cases = [
            ("Synced", "new", "new", Trust::Fresh),
            ("OutOfSync", "new", "new", rest),
            ("Synced", "old", "new", rest),
            ("Synced", "", "", rest),
        ];
        for (status, compared, synced, expected) in cases {
            let app = samples::from(json!({
                "metadata": {"namespace": "argocd", "name": "a", "resourceVersion": "1"},
                "status": {
                    "reconciledAt": second,
                    "sync": {"status": status, "revision": compared},
                    "operationState": {"finishedAt": second, "syncResult": {"revision": synced}},
                },
            }));
            assert_eq!(trust(&app, false, now), expected, "{status} {compared} {synced}");
        }
        let nothing_synced = app("1", Some(second), Some(second));
        assert_eq!(trust(&nothing_synced, false, now), rest);
    }

    #[test]
    fn an_application_is_settled_by_its_next_change() {
        let finished = Some("2026-11-24T21:47:35Z");
        let settled = Settled::default();
        let running = app("1", finished, None);
        settled.observe(&running);
        assert!(!settled.is_settled(&running));
        let ended = app("2", finished, finished);
        settled.observe(&ended);
        assert!(!settled.is_settled(&ended));
        settled.observe(&ended);
        assert!(!settled.is_settled(&ended));
        let next = app("3", finished, finished);
        assert!(settled.is_settled(&next));
        settled.observe(&next);
        assert!(settled.is_settled(&next));
        let again = app("4", finished, Some("2026-11-24T21:47:40Z"));
        settled.observe(&again);
        assert!(!settled.is_settled(&again));
        settled.forget("argocd", "a");
        assert!(!settled.is_settled(&next));
    }
}
