//! May this replica take the Lease? Pure.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

/// What a standby knows of the Lease: what it said, and since when it says so
/// by the standby's own clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    spec: LeaseSpec,
    since: Instant,
}

impl Observed {
    /// What is known after the Lease was read as `spec` at `now`. Only a change
    /// of the record is a sign of life; reading the same again is none.
    #[must_use]
    pub fn after(known: Option<Self>, spec: LeaseSpec, now: Instant) -> Self {
        match known {
            Some(known) if known.spec == spec => known,
            _ => Self { spec, since: now },
        }
    }
}

/// What a standby does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take the Lease.
    Take,
    /// Leave it alone, and look again after so long if nothing is heard before.
    Wait(Duration),
}

/// Whether `me` may take the Lease at `now`. `usual` is the duration that
/// counts where the record gives none.
pub fn decide(observed: &Observed, me: &str, usual: Duration, now: Instant) -> Turn {
    let holder = observed.spec.holder_identity.as_deref().unwrap_or_default();
    if holder.is_empty() || holder == me {
        return Turn::Take;
    }
    let seconds = observed.spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    let duration = seconds.filter(|s| *s > 0).map_or(usual, Duration::from_secs);
    // A record that promises a year is not believed: nobody could take over.
    let duration = duration.min(LONGEST);
    match duration.checked_sub(now.saturating_duration_since(observed.since)) {
        Some(left) if !left.is_zero() => Turn::Wait(left),
        _ => Turn::Take,
    }
}

/// The longest that a silent holder is waited for, whatever its record says.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: &str, seconds: Option<i32>, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: seconds,
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_free_lease_and_ones_own_are_taken_at_once() {
        let now = Instant::now();
        for holder in ["", "me"] {
            let observed = Observed::after(None, spec(holder, Some(15), 0), now);
            assert_eq!(decide(&observed, "me", Duration::from_secs(15), now), Turn::Take);
        }
        let none = Observed::after(None, LeaseSpec::default(), now);
        assert_eq!(decide(&none, "me", Duration::from_secs(15), now), Turn::Take);
    }

    #[test]
    fn anothers_is_taken_only_after_it_was_silent_for_its_duration() {
        let start = Instant::now();
        let observed = Observed::after(None, spec("other", Some(15), 0), start);
        let at = |s: f64| start + Duration::from_secs_f64(s);
        let usual = Duration::from_secs(99);
        assert_eq!(decide(&observed, "me", usual, start), Turn::Wait(Duration::from_secs(15)));
        assert_eq!(
            decide(&observed, "me", usual, at(14.5)),
            Turn::Wait(Duration::from_millis(500))
        );
        assert_eq!(decide(&observed, "me", usual, at(15.0)), Turn::Take);
        // The same record again is no sign of life; a changed one is.
        let again = Observed::after(Some(observed.clone()), spec("other", Some(15), 0), at(14.0));
        assert_eq!(decide(&again, "me", usual, at(15.0)), Turn::Take);
        let renewed = Observed::after(Some(observed), spec("other", Some(15), 1), at(14.0));
        assert_eq!(decide(&renewed, "me", usual, at(15.0)), Turn::Wait(Duration::from_secs(14)));
    }

    #[test]
    fn records_without_a_sane_duration_get_one() {
        let now = Instant::now();
        let usual = Duration::from_secs(15);
        for (seconds, wait) in [
            (None, usual),
            (Some(0), usual),
            (Some(-5), usual),
            (Some(i32::MAX), LONGEST),
            (Some(20), Duration::from_secs(20)),
        ] {
            let observed = Observed::after(None, spec("other", seconds, 0), now);
            assert_eq!(decide(&observed, "me", usual, now), Turn::Wait(wait), "{seconds:?}");
        }
    }
}
