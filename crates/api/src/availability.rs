//! Which Freight a Stage may take (`api` 7.7). Listings and single questions
//! follow the same rule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::freight::Freight;
use crate::stage::{FreightRequest, Stage};

impl FreightRequest {
    /// How long Freight must have been in the Stages before.
    pub fn required_soak(&self) -> Option<Duration> {
        self.sources.required_soak_time.map(crate::duration::GoDuration::to_std)
    }

    /// Whether all Stages before must have verified it.
    pub fn needs_all(&self) -> bool {
        self.sources.availability_strategy == "All"
    }

    /// Whether only what the one Stage before has is taken.
    pub fn matches_upstream(&self) -> bool {
        self.sources
            .auto_promotion_options
            .as_ref()
            .is_some_and(|o| o.selection_policy == "MatchUpstream")
    }
}

/// A strategy that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported AvailabilityStrategy: {0}; use All or OneOf")]
pub struct UnknownStrategy(String);

/// Whether the strategies of all of a Stage's requests are known. Through a
/// request whose strategy is not, only approved Freight is available.
///
/// # Errors
/// With the first that is not.
pub fn check_strategies(stage: &Stage) -> Result<(), UnknownStrategy> {
    let strategies = stage.spec.requested_freight.iter().map(|r| &r.sources.availability_strategy);
    match strategies.into_iter().find(|s| !is_known(s)) {
        Some(unknown) => Err(UnknownStrategy(unknown.clone())),
        None => Ok(()),
    }
}

fn is_known(strategy: &str) -> bool {
    matches!(strategy, "" | "All" | "OneOf")
}

/// Whether a Stage may take Freight.
pub fn is_available(stage: &Stage, freight: &Freight, now: Timestamp) -> bool {
    if stage.metadata.namespace != freight.metadata.namespace {
        return false;
    }
    let name = stage.metadata.name.as_deref().unwrap_or_default();
    stage
        .spec
        .requested_freight
        .iter()
        .filter(|r| r.origin == freight.origin)
        .any(|request| fits(request, name, freight, now))
}

fn fits(request: &FreightRequest, stage: &str, freight: &Freight, now: Timestamp) -> bool {
    if freight.is_approved_for(stage) || request.sources.direct {
        return true;
    }
    if !is_known(&request.sources.availability_strategy) {
        return false;
    }
    let soak = request.required_soak();
    let good = |upstream: &String| {
        freight.is_verified_in(upstream) && freight.has_soaked_in(upstream, soak, now)
    };
    if request.needs_all() {
        request.sources.stages.iter().all(good)
    } else {
        request.sources.stages.iter().any(good)
    }
}

/// The Freight of `all` that a Stage may promote by itself, by name. Under
/// MatchUpstream it must be in the Stage before.
pub fn list(stage: &Stage, all: &[Arc<Freight>], now: Timestamp) -> Vec<Arc<Freight>> {
    let name = stage.metadata.name.as_deref().unwrap_or_default();
    let mut found: BTreeMap<&str, &Arc<Freight>> = BTreeMap::new();
    for freight in all {
        if stage.metadata.namespace != freight.metadata.namespace {
            continue;
        }
        let listed = stage.spec.requested_freight.iter().any(|request| {
            request.origin == freight.origin
                && fits(request, name, freight, now)
                && (!request.matches_upstream()
                    || request.sources.stages.first().is_some_and(|u| freight.is_currently_in(u)))
        });
        if listed {
            found.insert(freight.metadata.name.as_deref().unwrap_or_default(), freight);
        }
    }
    found.into_values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::FreightOrigin;
    use crate::freight::{FreightStatus, VerifiedStage};
    use crate::stage::FreightSources;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn stage(sources: FreightSources) -> Stage {
        let mut stage = Stage::new("s", Default::default());
        stage.metadata.namespace = Some("p".into());
        stage.spec.requested_freight =
            vec![FreightRequest { origin: FreightOrigin::warehouse("W"), sources }];
        stage
    }

    fn from(stages: &[&str], strategy: &str, soak: &str) -> FreightSources {
        FreightSources {
            stages: stages.iter().map(|s| (*s).to_owned()).collect(),
            availability_strategy: strategy.into(),
            required_soak_time: (!soak.is_empty()).then(|| soak.parse().unwrap()),
            ..FreightSources::default()
        }
    }

    fn freight(warehouse: &str) -> Freight {
        let mut freight =
            Freight { origin: FreightOrigin::warehouse(warehouse), ..Freight::default() };
        freight.metadata.namespace = Some("p".into());
        freight.metadata.name = Some("f".into());
        freight
    }

    fn verified(stages: &[(&str, Option<&str>)]) -> Freight {
        let mut status = FreightStatus::default();
        for (stage, longest) in stages {
            let longest_soak = longest.map(|l| l.parse().unwrap());
            status
                .verified_in
                .insert((*stage).into(), VerifiedStage { verified_at: None, longest_soak });
        }
        Freight { status: Some(status), ..freight("W") }
    }

    #[test]
    fn a_strategy_that_there_is_not() {
        // spec: api/listing-L4
        let stage = stage(from(&["U"], "Some", ""));
        let error = check_strategies(&stage).unwrap_err().to_string();
        assert_eq!(error, "unsupported AvailabilityStrategy: Some; use All or OneOf");
        assert!(!is_available(&stage, &verified(&[("U", None)]), at(0)));
        assert!(list(&stage, &[Arc::new(verified(&[("U", None)]))], at(0)).is_empty());
        assert_eq!(check_strategies(&self::stage(from(&["U"], "OneOf", ""))), Ok(()));
    }

    #[test]
    fn one_freight() {
        let mut elsewhere = freight("W");
        elsewhere.metadata.namespace = Some("q".into());
        let mut approved = freight("W");
        approved.status.get_or_insert_default().add_approved_stage("s", at(0));
        let approved_other = Freight { origin: FreightOrigin::warehouse("X"), ..approved.clone() };
        let direct = FreightSources { direct: true, ..FreightSources::default() };
        let both = [("U", None), ("V", None)];
        let cases = [
            ("api/availability-A2", direct.clone(), elsewhere, false),
            ("api/availability-A3", from(&["U"], "", ""), approved_other, false),
            ("api/availability-A4", from(&["U"], "", ""), approved, true),
            ("api/availability-A5", direct.clone(), freight("W"), true),
            ("api/availability-A6", from(&["U"], "", ""), verified(&[("U", None)]), true),
            ("api/availability-A7", from(&["U"], "", "1h"), verified(&[("U", None)]), false),
            ("api/availability-A8", from(&["U"], "", "2h"), verified(&[("U", Some("1h"))]), false),
            ("api/availability-A9", from(&["U"], "", "1h"), verified(&[("U", Some("1h"))]), true),
            ("api/availability-A10", from(&["U", "V"], "All", ""), verified(&both[..1]), false),
            ("api/availability-A11", from(&["U", "V"], "All", ""), verified(&both), true),
            ("api/availability-A12", direct, freight("X"), false),
            // The page's listing rule lets soak in a Stage that is not listed
            // count; here both rules are one.
            (
                "api/listing-L5",
                from(&["U"], "OneOf", "1h"),
                verified(&[("U", None), ("V", Some("2h"))]),
                false,
            ),
        ];
        for (case, sources, freight, available) in cases {
            let stage = stage(sources);
            assert_eq!(is_available(&stage, &freight, at(0)), available, "{case}");
            assert_eq!(
                list(&stage, &[Arc::new(freight)], at(0)).len(),
                usize::from(available),
                "{case}"
            );
        }
    }

    #[test]
    fn soak_counts_while_it_is_there_and_verified() {
        // spec: api/availability-A13
        let mut soaking = verified(&[("U", Some("1h"))]);
        soaking.status.get_or_insert_default().add_current_stage("U", at(0));
        assert_eq!(soaking.longest_soak("U", at(2)), Duration::from_secs(7200));
        // spec: api/availability-A14
        let mut unverified = freight("W");
        unverified.status.get_or_insert_default().add_current_stage("U", at(0));
        assert_eq!(unverified.longest_soak("U", at(2)), Duration::ZERO);
    }

    #[test]
    fn listings() {
        // spec: api/listing-L1
        let mut approved = freight("W");
        approved.status.get_or_insert_default().add_approved_stage("s", at(0));
        let soaked = stage(from(&["U"], "", "1h"));
        assert_eq!(list(&soaked, &[Arc::new(approved.clone())], at(0)).len(), 1);
        // spec: api/listing-L2
        let young = Arc::new(verified(&[("U", Some("30m"))]));
        assert_eq!(list(&soaked, &[young], at(0)).len(), 0);
        // spec: api/listing-L3
        let mut matching = stage(from(&["U"], "", ""));
        matching.spec.requested_freight[0].sources.auto_promotion_options =
            Some(crate::stage::AutoPromotionOptions { selection_policy: "MatchUpstream".into() });
        assert_eq!(list(&matching, &[Arc::new(approved.clone())], at(0)).len(), 0);
        approved.status.get_or_insert_default().add_current_stage("U", at(0));
        assert_eq!(list(&matching, &[Arc::new(approved)], at(0)).len(), 1);
    }
}
