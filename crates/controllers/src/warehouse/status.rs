//! A Warehouse's conditions (`api` 6.2, `warehouses` 2.5, 2.6).
//!
//! Conditions are worked out once a pass, from those that are written down to
//! those that hold at its end, so that what stays true is not touched and its
//! time does not change.

use api::{Condition, DiscoveredArtifacts};
use jiff::Timestamp;

use super::report::Reports;
use crate::condition;

/// Condition types.
pub mod types {
    /// Being worked on.
    pub const RECONCILING: &str = "Reconciling";
    /// Artifacts are known.
    pub const READY: &str = "Ready";
    /// Nothing is wrong.
    pub const HEALTHY: &str = "Healthy";
    /// The criteria are met.
    pub const CRITERIA: &str = "FreightCreationCriteriaSatisfied";
    /// Freight was made.
    pub const CREATED: &str = "FreightCreated";
}

/// Reasons that other parts of the controller look at.
pub mod reasons {
    /// Of Healthy, where a look failed.
    pub const DISCOVERY_FAILED: &str = "DiscoveryFailed";
    /// Of FreightCreated, where Freight is new.
    pub const NEW_FREIGHT: &str = "NewFreight";
}

/// Artifacts of which no Freight can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason on Healthy.
    pub healthy: &'static str,
    /// The reason on Ready.
    pub ready: &'static str,
    /// The message on both.
    pub message: String,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The repositories could not be looked at.
    DiscoveryFailed(String),
    /// Something has no artifacts.
    Invalid(Problem),
    /// The criteria could not be evaluated.
    CriteriaFailed(String),
    /// The criteria are not met.
    CriteriaUnmet,
    /// Freight could not be put together.
    BuildFailed(String),
    /// Freight could not be created.
    CreateFailed {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What the API server said.
        error: String,
    },
    /// There is such Freight already.
    Exists,
    /// Freight was made.
    Created,
    /// Freight is made by people only.
    Manual,
}

/// Sets conditions of one generation at one time.
struct Setter<'a> {
    conditions: &'a mut Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl Setter<'_> {
    fn set(&mut self, type_: &str, state: &str, reason: &str, message: &str) {
        condition::set(self.conditions, type_, state, reason, message, self.generation, self.now);
    }

    fn remove(&mut self, types: &[&str]) {
        for type_ in types {
            condition::remove(self.conditions, type_);
        }
    }
}

/// The conditions while the repositories are looked at (row A).
pub fn begin(
    conditions: &mut Vec<Condition>,
    subscriptions: usize,
    generation: i64,
    now: Timestamp,
) {
    let mut to = Setter { conditions, generation, now };
    discovering(&mut to, subscriptions);
    to.set(types::READY, "False", "DiscoveryInProgress", "Waiting for discovery to complete");
    to.set(
        types::HEALTHY,
        "Unknown",
        "Pending",
        "Health status cannot be determined until artifact discovery is finished",
    );
    to.remove(&[types::CRITERIA, types::CREATED]);
}

fn discovering(to: &mut Setter<'_>, subscriptions: usize) {
    to.set(
        types::RECONCILING,
        "True",
        "ScheduledDiscovery",
        &format!("Discovering artifacts for {subscriptions} subscriptions"),
    );
}

/// The conditions at the end of a pass.
pub fn end(
    conditions: &mut Vec<Condition>,
    ending: &Ending,
    subscriptions: usize,
    generation: i64,
    now: Timestamp,
) {
    let mut to = Setter { conditions, generation, now };
    let good = |to: &mut Setter<'_>| {
        to.set(
            types::READY,
            "True",
            "ArtifactsDiscovered",
            &format!("Successfully discovered artifacts from {subscriptions} subscriptions"),
        );
        to.set(types::HEALTHY, "True", "ReconciliationSucceeded", "");
        to.remove(&[types::RECONCILING]);
    };
    let satisfied = |to: &mut Setter<'_>| {
        to.set(types::CRITERIA, "True", "CriteriaSatisfied", "Freight creation criteria satisfied");
    };
    let creating = |to: &mut Setter<'_>| {
        to.set(
            types::RECONCILING,
            "True",
            "FreightCreationInProgress",
            "Creating Freight from latest artifacts",
        );
    };
    match ending {
        Ending::DiscoveryFailed(error) => {
            discovering(&mut to, subscriptions);
            let message = format!("Artifact discovery failed: {error}");
            to.set(types::READY, "False", "DiscoveryFailure", &message);
            let message = format!("Unable to discover artifacts: {error}");
            to.set(types::HEALTHY, "False", reasons::DISCOVERY_FAILED, &message);
            to.remove(&[types::CRITERIA, types::CREATED]);
        }
        Ending::Invalid(Problem { healthy, ready, message }) => {
            to.set(types::READY, "False", ready, message);
            to.set(types::HEALTHY, "False", healthy, message);
            to.remove(&[types::RECONCILING, types::CRITERIA, types::CREATED]);
        }
        Ending::CriteriaFailed(error) => {
            let message = format!("Evaluation of Freight creation criteria failed: {error}");
            to.set(types::READY, "False", "CriteriaEvaluationFailed", &message);
            to.set(types::HEALTHY, "False", "CriteriaEvaluationFailed", &message);
            to.remove(&[types::RECONCILING, types::CRITERIA, types::CREATED]);
        }
        Ending::CriteriaUnmet => {
            good(&mut to);
            to.set(
                types::CRITERIA,
                "False",
                "CriteriaNotSatisfied",
                "Freight creation criteria were not satisfied",
            );
            to.remove(&[types::CREATED]);
        }
        Ending::BuildFailed(error) => {
            creating(&mut to);
            let message = format!("Error building Freight from latest artifacts: {error}");
            to.set(types::READY, "False", "FreightBuildFailure", &message);
            to.set(types::HEALTHY, "False", "FreightBuildFailure", &message);
            satisfied(&mut to);
            to.remove(&[types::CREATED]);
        }
        Ending::CreateFailed { name, namespace, error } => {
            creating(&mut to);
            let message =
                format!("Error creating Freight {name:?} in namespace {namespace:?}: {error}");
            to.set(types::READY, "False", "FreightCreationFailure", &message);
            to.set(types::HEALTHY, "False", "FreightBuildFailure", &message);
            satisfied(&mut to);
            to.remove(&[types::CREATED]);
        }
        Ending::Exists => {
            good(&mut to);
            satisfied(&mut to);
            to.set(
                types::CREATED,
                "False",
                "AlreadyExists",
                "Freight composed of the newest artifacts already exists",
            );
        }
        Ending::Created => {
            good(&mut to);
            satisfied(&mut to);
            to.set(
                types::CREATED,
                "True",
                reasons::NEW_FREIGHT,
                "No Freight composed of the newest artifacts already existed",
            );
        }
        Ending::Manual => {
            good(&mut to);
            to.remove(&[types::CRITERIA, types::CREATED]);
        }
    }
}

/// Whether the last look failed, as the conditions have it.
pub fn says_failed(conditions: &[Condition]) -> bool {
    condition::get(conditions, types::HEALTHY)
        .is_some_and(|c| c.status == "False" && c.reason == reasons::DISCOVERY_FAILED)
}

/// Whether the conditions say that Freight was made.
pub fn says_created(conditions: &[Condition]) -> bool {
    condition::get(conditions, types::CREATED)
        .is_some_and(|c| c.status == "True" && c.reason == reasons::NEW_FREIGHT)
}

/// What is wrong with artifacts, if anything is (`warehouses` 2.6).
///
/// The reference's message is followed by what became of the candidates:
/// `reports` of this pass's look. Where the artifacts are those of an earlier
/// look, what `conditions` said stays.
pub fn validate(
    artifacts: Option<&DiscoveredArtifacts>,
    reports: &Reports,
    conditions: &[Condition],
) -> Option<Problem> {
    let problem = |healthy, ready, message| Some(Problem { healthy, ready, message });
    let nothing =
        || problem("MissingArtifacts", "MissingArtifacts", "No artifacts discovered".to_owned());
    let Some(artifacts) = artifacts else { return nothing() };
    let DiscoveredArtifacts { git, images, charts, results, .. } = artifacts;
    if git.is_empty() && images.is_empty() && charts.is_empty() && results.is_empty() {
        return nothing();
    }
    let told = |ready: &str, reports: &[Option<String>], i: usize, message: String| {
        if let Some(Some(report)) = reports.get(i) {
            return format!("{message}: {report}");
        }
        let beginning = format!("{message}: ");
        let said = condition::get(conditions, types::READY)
            .filter(|c| c.reason == ready && c.message.starts_with(&beginning));
        said.map_or(message, |said| said.message.clone())
    };
    if let Some((i, result)) = git.iter().enumerate().find(|(_, r)| r.commits.is_empty()) {
        let ready = "MissingCommits";
        let message = format!("No commits discovered for Git repository {:?}", result.repo_url);
        let message = told(ready, &reports.git, i, message);
        return problem("NoCommitsDiscovered", ready, message);
    }
    if let Some((i, result)) = images.iter().enumerate().find(|(_, r)| r.references.is_empty()) {
        let ready = "MissingImageReferences";
        let url = &result.repo_url;
        let message = format!("No references discovered for image repository {url:?}");
        let message = told(ready, &reports.images, i, message);
        return problem("NoImageReferencesDiscovered", ready, message);
    }
    if let Some((i, result)) = charts.iter().enumerate().find(|(_, r)| r.versions.is_empty()) {
        let ready = "MissingChartVersions";
        let url = &result.repo_url;
        let name = match result.name.as_str() {
            "" => String::new(),
            name => format!("{name:?}"),
        };
        let message = format!("No versions discovered for chart {name} from repository {url:?}");
        let message = told(ready, &reports.charts, i, message);
        return problem("NoChartVersionsDiscovered", ready, message);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().expect("a time")
    }

    fn set_of(conditions: &[Condition]) -> Vec<String> {
        let mut all: Vec<String> =
            conditions.iter().map(|c| format!("{} {}/{}", c.type_, c.status, c.reason)).collect();
        all.sort();
        all
    }

    fn after(ending: &Ending) -> Vec<String> {
        let mut conditions = Vec::new();
        begin(&mut conditions, 2, 3, now());
        end(&mut conditions, ending, 2, 3, now());
        assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
        set_of(&conditions)
    }

    #[test]
    fn the_sets_of_conditions() {
        let problem = Problem { healthy: "H", ready: "R", message: "m".into() };
        let failed =
            Ending::CreateFailed { name: "f".into(), namespace: "ns".into(), error: "e".into() };
        let created = [
            "FreightCreationCriteriaSatisfied True/CriteriaSatisfied",
            "Healthy True/ReconciliationSucceeded",
            "Ready True/ArtifactsDiscovered",
        ];
        for (id, ending, expected) in [
            (
                "warehouses/2.5-1",
                Ending::DiscoveryFailed("e".into()),
                vec![
                    "Healthy False/DiscoveryFailed",
                    "Ready False/DiscoveryFailure",
                    "Reconciling True/ScheduledDiscovery",
                ],
            ),
            (
                "warehouses/2.5-2",
                Ending::Invalid(problem),
                vec!["Healthy False/H", "Ready False/R"],
            ),
            (
                "warehouses/2.5-3",
                failed,
                vec![
                    "FreightCreationCriteriaSatisfied True/CriteriaSatisfied",
                    "Healthy False/FreightBuildFailure",
                    "Ready False/FreightCreationFailure",
                    "Reconciling True/FreightCreationInProgress",
                ],
            ),
            (
                "warehouses/2.5-3",
                Ending::BuildFailed("e".into()),
                vec![
                    "FreightCreationCriteriaSatisfied True/CriteriaSatisfied",
                    "Healthy False/FreightBuildFailure",
                    "Ready False/FreightBuildFailure",
                    "Reconciling True/FreightCreationInProgress",
                ],
            ),
            (
                "warehouses/2.5-4",
                Ending::Created,
                [created[0], "FreightCreated True/NewFreight", created[1], created[2]].to_vec(),
            ),
            (
                "warehouses/2.5-4",
                Ending::Exists,
                [created[0], "FreightCreated False/AlreadyExists", created[1], created[2]].to_vec(),
            ),
            (
                "warehouses/2.5-5",
                Ending::Manual,
                vec!["Healthy True/ReconciliationSucceeded", "Ready True/ArtifactsDiscovered"],
            ),
            (
                "criteria unmet",
                Ending::CriteriaUnmet,
                vec![
                    "FreightCreationCriteriaSatisfied False/CriteriaNotSatisfied",
                    created[1],
                    created[2],
                ],
            ),
            (
                "criteria failed",
                Ending::CriteriaFailed("e".into()),
                vec![
                    "Healthy False/CriteriaEvaluationFailed",
                    "Ready False/CriteriaEvaluationFailed",
                ],
            ),
        ] {
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            expected.sort();
            assert_eq!(after(&ending), expected, "{id}");
        }
    }

    #[test]
    fn failures_are_replaced_on_success() {
        // The first half of the cases' last row in `warehouses` 2.5.
        let mut conditions = Vec::new();
        end(&mut conditions, &Ending::DiscoveryFailed("e".into()), 1, 1, now());
        assert!(says_failed(&conditions));
        end(&mut conditions, &Ending::Created, 1, 1, now());
        assert!(!says_failed(&conditions) && says_created(&conditions));
        assert!(condition::get(&conditions, types::RECONCILING).is_none());
        let before = conditions.clone();
        let later = "2026-01-02T00:00:00Z".parse().expect("a time");
        end(&mut conditions, &Ending::Created, 1, 1, later);
        assert_eq!(conditions, before, "what stays true is not touched");
    }

    #[test]
    fn the_messages() {
        let mut conditions = Vec::new();
        begin(&mut conditions, 2, 1, now());
        let message = |conditions: &[Condition], type_: &str| {
            condition::get(conditions, type_).map(|c| c.message.clone()).unwrap_or_default()
        };
        assert_eq!(
            message(&conditions, "Reconciling"),
            "Discovering artifacts for 2 subscriptions"
        );
        assert_eq!(message(&conditions, "Ready"), "Waiting for discovery to complete");
        end(&mut conditions, &Ending::DiscoveryFailed("boom".into()), 2, 1, now());
        assert_eq!(message(&conditions, "Ready"), "Artifact discovery failed: boom");
        assert_eq!(message(&conditions, "Healthy"), "Unable to discover artifacts: boom");
        let failed =
            Ending::CreateFailed { name: "f".into(), namespace: "ns".into(), error: "no".into() };
        end(&mut conditions, &failed, 2, 1, now());
        assert_eq!(
            message(&conditions, "Ready"),
            "Error creating Freight \"f\" in namespace \"ns\": no"
        );
    }

    #[test]
    fn artifacts_are_checked_in_order() {
        let check = |artifacts: serde_json::Value, reports: &Reports| {
            let artifacts: Option<DiscoveredArtifacts> =
                serde_json::from_value(artifacts).expect("artifacts");
            validate(artifacts.as_ref(), reports, &[]).map(|p| (p.healthy, p.ready, p.message))
        };
        let git = json!([{"repoURL": "https://g/r", "commits": []}]);
        let images = json!([{"repoURL": "docker.io/o/a", "references": []}]);
        let full = json!([{"repoURL": "i", "references": [{"tag": "1", "digest": "sha256:0"}]}]);
        let charts = json!([{"repoURL": "oci://c/r"}]);
        for (artifacts, expected) in [
            (
                json!(null),
                Some(("MissingArtifacts", "MissingArtifacts", "No artifacts discovered")),
            ),
            (json!({}), Some(("MissingArtifacts", "MissingArtifacts", "No artifacts discovered"))),
            (
                json!({"git": git, "images": images.clone()}),
                Some((
                    "NoCommitsDiscovered",
                    "MissingCommits",
                    "No commits discovered for Git repository \"https://g/r\"",
                )),
            ),
            (
                json!({"images": images.clone(), "charts": charts.clone()}),
                Some((
                    "NoImageReferencesDiscovered",
                    "MissingImageReferences",
                    "No references discovered for image repository \"docker.io/o/a\"",
                )),
            ),
            (
                json!({"images": full.clone(), "charts": charts}),
                Some((
                    "NoChartVersionsDiscovered",
                    "MissingChartVersions",
                    "No versions discovered for chart  from repository \"oci://c/r\"",
                )),
            ),
            (
                json!({"charts": [{"repoURL": "https://c", "name": "n"}]}),
                Some((
                    "NoChartVersionsDiscovered",
                    "MissingChartVersions",
                    "No versions discovered for chart \"n\" from repository \"https://c\"",
                )),
            ),
            (json!({"images": full}), None),
        ] {
            let expected = expected.map(|(h, r, m)| (h, r, m.to_owned()));
            assert_eq!(check(artifacts.clone(), &Reports::default()), expected, "{artifacts}");
        }
    }

    #[test]
    fn what_became_of_the_candidates_is_told() {
        let report = "2 tags seen: 1 are no semantic version (for example \"latest\")";
        let all = Reports {
            git: vec![Some(report.to_owned())],
            images: vec![Some(report.to_owned())],
            charts: vec![Some(report.to_owned())],
        };
        for (artifacts, told) in [
            (
                json!({"git": [{"repoURL": "https://g/r"}]}),
                "No commits discovered for Git repository \"https://g/r\"",
            ),
            (
                json!({"images": [{"repoURL": "docker.io/o/a"}]}),
                "No references discovered for image repository \"docker.io/o/a\"",
            ),
            (
                json!({"charts": [{"repoURL": "https://c", "name": "n"}]}),
                "No versions discovered for chart \"n\" from repository \"https://c\"",
            ),
        ] {
            let artifacts: DiscoveredArtifacts = serde_json::from_value(artifacts).expect("some");
            let check = |reports: &Reports, conditions: &[Condition]| {
                validate(Some(&artifacts), reports, conditions).expect("a problem")
            };
            let problem = check(&all, &[]);
            assert_eq!(problem.message, format!("{told}: {report}"));
            // A pass that did not look, or saw nothing change, says it again.
            let mut conditions = Vec::new();
            end(&mut conditions, &Ending::Invalid(problem.clone()), 1, 1, now());
            assert_eq!(check(&Reports::default(), &conditions), problem);
            let silent = Reports { git: vec![None], ..Reports::default() };
            assert_eq!(check(&silent, &conditions), problem);
            assert_eq!(check(&silent, &[]).message, told);
        }
    }
}
