//! Where Freight is, where it was verified, and how long it stayed there
//! (`api` 7.6).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::duration::GoDuration;
use crate::freight::{ApprovedStage, CurrentStage, Freight, FreightStatus, VerifiedStage};

fn since(then: &Time, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then.0)).unwrap_or_default()
}

impl FreightStatus {
    /// Notes that a Stage has it, unless that is known.
    pub fn add_current_stage(&mut self, stage: &str, now: Timestamp) {
        self.currently_in
            .entry(stage.to_owned())
            .or_insert_with(|| CurrentStage { since: Some(Time(now)) });
    }

    /// Notes that a Stage verified it, unless that is known.
    pub fn add_verified_stage(&mut self, stage: &str, now: Timestamp) {
        self.verified_in
            .entry(stage.to_owned())
            .or_insert_with(|| VerifiedStage { verified_at: Some(Time(now)), longest_soak: None });
    }

    /// Notes that it is approved for a Stage, unless that is known.
    pub fn add_approved_stage(&mut self, stage: &str, now: Timestamp) {
        self.approved_for
            .entry(stage.to_owned())
            .or_insert_with(|| ApprovedStage { approved_at: Some(Time(now)) });
    }

    /// Notes that a Stage no longer has it. If it was verified there, the
    /// longest stay is kept.
    pub fn remove_current_stage(&mut self, stage: &str, now: Timestamp) {
        let Some(current) = self.currently_in.remove(stage) else { return };
        let (Some(then), Some(verified)) = (current.since, self.verified_in.get_mut(stage)) else {
            return;
        };
        let soak = GoDuration::from(since(&then, now));
        if verified.longest_soak.is_none_or(|longest| soak > longest) {
            verified.longest_soak = Some(soak);
        }
    }

    /// The longest that it was in a Stage that verified it.
    pub fn longest_soak(&self, stage: &str, now: Timestamp) -> Duration {
        let Some(verified) = self.verified_in.get(stage) else { return Duration::ZERO };
        let recorded = verified.longest_soak.map(GoDuration::to_std).unwrap_or_default();
        let current = self
            .currently_in
            .get(stage)
            .and_then(|c| c.since.as_ref())
            .map(|then| since(then, now))
            .unwrap_or_default();
        recorded.max(current)
    }

    /// Keeps a value about it under a key.
    ///
    /// # Errors
    /// When the key is empty.
    pub fn upsert_metadata(&mut self, key: &str, value: serde_json::Value) -> Result<(), EmptyKey> {
        if key.is_empty() {
            return Err(EmptyKey);
        }
        self.metadata.insert(key.to_owned(), value);
        Ok(())
    }
}

/// Metadata without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key of Freight metadata must not be empty")]
pub struct EmptyKey;

impl Freight {
    /// Whether a Stage has it.
    pub fn is_currently_in(&self, stage: &str) -> bool {
        self.status.as_ref().is_some_and(|s| s.currently_in.contains_key(stage))
    }

    /// Whether a Stage verified it.
    pub fn is_verified_in(&self, stage: &str) -> bool {
        self.status.as_ref().is_some_and(|s| s.verified_in.contains_key(stage))
    }

    /// Whether it is approved for a Stage.
    pub fn is_approved_for(&self, stage: &str) -> bool {
        self.status.as_ref().is_some_and(|s| s.approved_for.contains_key(stage))
    }

    /// The longest that it was in a Stage that verified it.
    pub fn longest_soak(&self, stage: &str, now: Timestamp) -> Duration {
        self.status.as_ref().map(|s| s.longest_soak(stage, now)).unwrap_or_default()
    }

    /// Whether it was long enough in a Stage.
    pub fn has_soaked_in(&self, stage: &str, required: Option<Duration>, now: Timestamp) -> bool {
        required.is_none_or(|required| self.longest_soak(stage, now) >= required)
    }

    /// When it was discovered, or else made.
    pub fn effective_discovered_at(&self) -> Option<Timestamp> {
        self.discovered_at.as_ref().or(self.metadata.creation_timestamp.as_ref()).map(|t| t.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freight::VerifiedStage;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn in_dev(verified: bool, longest: Option<&str>) -> FreightStatus {
        let mut status = FreightStatus::default();
        status.add_current_stage("dev", at(0));
        if verified {
            let longest_soak = longest.map(|l| l.parse().unwrap());
            status
                .verified_in
                .insert("dev".into(), VerifiedStage { verified_at: None, longest_soak });
        }
        status
    }

    #[test]
    fn comings_and_goings() {
        // spec: api/freight-status-T1
        let mut status = in_dev(false, None);
        status.add_current_stage("dev", at(5));
        assert_eq!(status.currently_in["dev"].since, Some(Time(at(0))));

        let left = |mut status: FreightStatus, hours| {
            status.remove_current_stage("dev", at(hours));
            assert!(status.currently_in.is_empty());
            status.verified_in.get("dev").and_then(|v| v.longest_soak).map(|l| l.to_string())
        };
        // spec: api/freight-status-T2
        assert_eq!(left(in_dev(true, Some("2h")), 1).as_deref(), Some("2h0m0s"));
        // spec: api/freight-status-T3
        assert_eq!(left(in_dev(true, Some("1h")), 2).as_deref(), Some("2h0m0s"));
        // spec: api/freight-status-T4
        assert_eq!(left(in_dev(true, None), 3).as_deref(), Some("3h0m0s"));
        // spec: api/freight-status-T5
        assert_eq!(left(in_dev(false, None), 3), None);
        // spec: api/freight-status-T6
        assert_eq!(FreightStatus::default().upsert_metadata("", 1.into()), Err(EmptyKey));
    }
}
