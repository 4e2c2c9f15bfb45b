//! Pure: when Freight has soaked long enough upstream, so that a Stage looks
//! again at that very time and not up to five minutes later.

use std::time::Duration;

use api::{Freight, Stage};
use jiff::Timestamp;

/// How long until the next Freight has soaked long enough for `stage`; none if
/// none is soaking.
pub fn next_expiry<'a>(
    stage: &Stage,
    freight: impl Iterator<Item = &'a Freight> + Clone,
    now: Timestamp,
) -> Option<Duration> {
    let mut next: Option<Duration> = None;
    for request in &stage.spec.requested_freight {
        let Some(required) = request.required_soak() else { continue };
        if request.sources.direct {
            continue;
        }
        for f in freight.clone().filter(|f| f.origin == request.origin) {
            for upstream in &request.sources.stages {
                if !f.is_currently_in(upstream) || !f.is_verified_in(upstream) {
                    continue;
                }
                let left = required.saturating_sub(f.longest_soak(upstream, now));
                if !left.is_zero() {
                    // A second more: times on Freight are whole seconds.
                    let left = left + Duration::from_secs(1);
                    next = Some(next.map_or(left, |n| n.min(left)));
                }
            }
        }
    }
    next
}
