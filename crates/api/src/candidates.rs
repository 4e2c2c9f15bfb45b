//! Which of the available Freight a Stage promotes by itself (`api` 7.8).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::freight::Freight;
use crate::stage::Stage;

/// The candidate of each requested origin, by the origin's text; none where
/// nothing is available, or where MatchUpstream leaves a choice.
pub fn of(stage: &Stage, available: &[Arc<Freight>]) -> BTreeMap<String, Arc<Freight>> {
    let mut candidates = BTreeMap::new();
    for request in &stage.spec.requested_freight {
        let of_origin: Vec<&Arc<Freight>> =
            available.iter().filter(|f| f.origin == request.origin).collect();
        if request.matches_upstream() && of_origin.len() > 1 {
            continue;
        }
        let newest = of_origin.into_iter().max_by(|a, b| {
            a.effective_discovered_at()
                .cmp(&b.effective_discovered_at())
                .then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        if let Some(freight) = newest {
            candidates.insert(request.origin.to_string(), Arc::clone(freight));
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::FreightOrigin;
    use crate::stage::{AutoPromotionOptions, FreightRequest, FreightSources};
    use jiff::Timestamp;

    fn freight(name: &str, warehouse: &str, second: i64) -> Arc<Freight> {
        let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
        let mut freight = Freight {
            origin: FreightOrigin::warehouse(warehouse),
            discovered_at: Some(crate::Time(at)),
            ..Freight::default()
        };
        freight.metadata.name = Some(name.into());
        Arc::new(freight)
    }

    fn stage(policy: &str) -> Stage {
        let mut stage = Stage::new("s", Default::default());
        for warehouse in ["v", "w"] {
            stage.spec.requested_freight.push(FreightRequest {
                origin: FreightOrigin::warehouse(warehouse),
                sources: FreightSources {
                    auto_promotion_options: Some(AutoPromotionOptions {
                        selection_policy: policy.into(),
                    }),
                    ..FreightSources::default()
                },
            });
        }
        stage
    }

    fn names(stage: &Stage, available: &[Arc<Freight>]) -> Vec<String> {
        of(stage, available).values().filter_map(|f| f.metadata.name.clone()).collect()
    }

    #[test]
    fn the_newest_of_each_origin() {
        // api 13, Candidates K1
        let all = [freight("a", "v", 1), freight("b", "v", 2), freight("c", "w", 1)];
        assert_eq!(names(&stage(""), &all), ["b", "c"]);
        // K2
        let tied = [freight("a", "v", 1), freight("b", "v", 1)];
        assert_eq!(names(&stage(""), &tied), ["b"]);
        // K3
        assert_eq!(names(&stage("MatchUpstream"), &all), ["c"]);
    }
}
