//! The health check `argocd-update`: a Stage's health from its Applications
//! (`stages` 11, `steps-argocd` 5). Pure: the Stage controller looks the
//! Applications up and does what the assessment asks for.

use std::time::Duration;

use api::HealthState;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::NOT_SERVED;
use super::ancestry::{Ancestry, Question, questions};
use super::application::{
    Application, Condition, Operation, OperationState, Source, SyncResult, title,
};
use super::freshness::{Trust, trust};

/// The name under which Promotions record the check.
pub const KIND: &str = "argocd-update";

/// The check's input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Input {
    /// The Applications, in order.
    #[serde(default)]
    pub apps: Vec<AppInput>,
}

/// One Application of the check's input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppInput {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The namespace; empty (in old records) for the default one.
    #[serde(default)]
    pub namespace: String,
    /// The revision of each source; empty where any will do.
    #[serde(default)]
    pub desired_revisions: Option<Vec<String>>,
}

impl AppInput {
    /// The namespace, with the default in place of an empty one.
    pub fn namespace_or<'a>(&'a self, default: &'a str) -> &'a str {
        if self.namespace.is_empty() { default } else { &self.namespace }
    }
}

/// What a look-up of an Application gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It is there. `settled` as [`super::ArgoCd::is_settled`] says.
    Found {
        /// The Application.
        app: Box<Application>,
        /// Whether it has changed since its last operation was seen finished.
        settled: bool,
    },
    /// It does not exist.
    Missing,
    /// It could not be read: why.
    Failed(String),
}

/// What the check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The worst state of all Applications.
    pub state: HealthState,
    /// What is wrong, for people.
    pub issues: Vec<String>,
    /// For the Stage's `status.health.output`. It has no field that changes
    /// with each comparison.
    pub output: Option<Value>,
    /// Applications, as (namespace, name), of which Argo CD must be asked for
    /// a comparison ([`super::patch::refresh_request`]).
    pub refresh: Vec<(String, String)>,
    /// When to look again although no event may come.
    pub look_again_after: Option<Duration>,
}

impl Assessment {
    fn unknown(issue: String) -> Self {
        Self {
            state: HealthState::Unknown,
            issues: vec![issue],
            output: None,
            refresh: Vec::new(),
            look_again_after: None,
        }
    }

    /// What to say where the cluster does not serve Applications.
    pub fn absent() -> Self {
        Self::unknown(format!(
            "cannot assess the health or sync status of Argo CD Applications: {NOT_SERVED}"
        ))
    }

    /// What to say where Argo CD is switched off.
    pub fn disabled() -> Self {
        Self::unknown(
            "Argo CD integration is disabled on this controller; cannot assess the health or sync \
             status of Argo CD Applications"
                .into(),
        )
    }
}

/// Reads the check's recorded input.
///
/// # Errors
/// The assessment to report instead.
pub fn input(config: &Value) -> Result<Input, Box<Assessment>> {
    let config = if config.is_null() { &json!({}) } else { config };
    Input::deserialize(config).map_err(|e| {
        Box::new(Assessment::unknown(format!(
            "could not convert opaque input into argocd-update health check input: {e}"
        )))
    })
}

/// How bad a state is; the worse of two wins, of equals the newer.
fn severity(state: HealthState) -> u8 {
    match state {
        HealthState::Unset | HealthState::Healthy => 0,
        HealthState::NotApplicable => 1,
        HealthState::Progressing => 2,
        HealthState::Unknown | HealthState::Other => 3,
        HealthState::Unhealthy => 4,
    }
}

/// Assesses all Applications of the input.
///
/// A source that is at a revision which contains the desired commit is where
/// it should be, as far as `ancestry` knows.
pub fn assess(
    input: &Input,
    default_namespace: &str,
    ancestry: &Ancestry,
    now: Timestamp,
    mut lookup: impl FnMut(&str, &str) -> Lookup,
) -> Assessment {
    let mut whole = Assessment {
        state: HealthState::Healthy,
        issues: Vec::new(),
        output: None,
        refresh: Vec::new(),
        look_again_after: None,
    };
    let mut outputs = Vec::new();
    for entry in &input.apps {
        let namespace = entry.namespace_or(default_namespace);
        let found = lookup(namespace, &entry.name);
        let (state, issues) = match &found {
            Lookup::Missing => (
                HealthState::Unknown,
                vec![format!("unable to find {}", title(&entry.name, namespace))],
            ),
            Lookup::Failed(e) => (
                HealthState::Unknown,
                vec![format!("error finding {}: {e}", title(&entry.name, namespace))],
            ),
            Lookup::Found { app, settled } => {
                let trust = trust(app, *settled, now);
                match trust {
                    Trust::Fresh => {}
                    Trust::Settling(rest) => {
                        whole.look_again_after =
                            Some(whole.look_again_after.map_or(rest, |old| old.min(rest)));
                    }
                    Trust::Stale => whole.refresh.push((namespace.into(), entry.name.clone())),
                }
                one(app, trust, entry.desired_revisions.as_deref().unwrap_or_default(), ancestry)
            }
        };
        let app = match &found {
            Lookup::Found { app, .. } => Some(app.as_ref()),
            _ => None,
        };
        outputs.push(output(namespace, &entry.name, app));
        if severity(state) >= severity(whole.state) {
            whole.state = state;
        }
        whole.issues.extend(issues);
    }
    whole.output = Some(json!({"applicationStatuses": outputs}));
    whole
}

/// What must be known about commits for the assessment of an Application.
pub fn open_questions(app: &Application, desired: &[String], ancestry: &Ancestry) -> Vec<Question> {
    let mut open = questions(app, &app.status.sync.observed(), desired);
    open.retain(|question| ancestry.is_open(question));
    open
}

fn one(
    app: &Application,
    trust: Trust,
    desired: &[String],
    ancestry: &Ancestry,
) -> (HealthState, Vec<String>) {
    let title = app.title();
    if trust != Trust::Fresh {
        return (
            HealthState::Unknown,
            vec![format!(
                "{title} was not reconciled after its most recent operation completed; \
                 Application health status not trusted"
            )],
        );
    }
    let errors: Vec<String> = app
        .status
        .conditions
        .iter()
        .filter(|c| c.is_error())
        .map(|c| format!("{title} has {:?} condition: {}", c.kind, c.message))
        .collect();
    if !errors.is_empty() {
        return (HealthState::Unhealthy, errors);
    }
    if let Err((state, issue)) = check_sync(app, desired, ancestry) {
        return (state, vec![issue]);
    }
    match app.status.health.status.as_str() {
        "Healthy" => (HealthState::Healthy, Vec::new()),
        "Progressing" | "" => (HealthState::Progressing, vec![format!("{title} is progressing")]),
        "Suspended" => (HealthState::Progressing, vec![format!("{title} is suspended")]),
        other => (HealthState::Unhealthy, vec![format!("{title} has health state {other:?}")]),
    }
}

fn check_sync(
    app: &Application,
    desired: &[String],
    ancestry: &Ancestry,
) -> Result<(), (HealthState, String)> {
    if desired.iter().all(String::is_empty) {
        return Ok(());
    }
    let title = app.title();
    let unknown = |issue: String| Err((HealthState::Unknown, issue));
    let pending = app.operation.as_ref().is_some_and(|o| o.sync.is_some());
    if pending || app.finished_at().is_none() {
        return unknown(format!("{title} is being synced"));
    }
    let sources = app.sources();
    if sources.len() != desired.len() {
        return unknown(format!(
            "{title} has {} sources but {} desired revisions",
            sources.len(),
            desired.len()
        ));
    }
    let observed = app.status.sync.observed();
    if observed.len() != desired.len() {
        return unknown(format!(
            "{title} has {} observed revisions but {} desired revisions",
            observed.len(),
            desired.len()
        ));
    }
    let parts: Vec<String> = sources
        .iter()
        .zip(&observed)
        .zip(desired)
        .enumerate()
        .filter(|(_, ((_, observed), desired))| {
            !desired.is_empty() && !ancestry.contains(observed, desired)
        })
        .map(|(i, ((source, _), desired))| {
            format!(
                "Source {i} with RepoURL {} of Application {:?} in namespace {:?} does not match \
                 the desired revision {desired:?}.",
                source.repo_url,
                app.name(),
                app.namespace()
            )
        })
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    Err((
        HealthState::Unhealthy,
        format!(
            "Not all sources of Application {:?} in namespace {:?} are synced to the desired \
             revisions. Issues: {}",
            app.name(),
            app.namespace(),
            parts.join("; ")
        ),
    ))
}

/// One Application in the output: its modelled status without the fields that
/// tick. What is a struct in the reference is there even when empty.
fn output(namespace: &str, name: &str, app: Option<&Application>) -> Value {
    let mut fields = Map::new();
    fields.insert("Namespace".into(), json!(namespace));
    fields.insert("Name".into(), json!(name));
    let Some(status) = app.map(|app| &app.status) else {
        fields.insert("health".into(), json!({"status": "Unknown"}));
        fields.insert("sync".into(), json!({"status": "Unknown"}));
        return Value::Object(fields);
    };
    fields.insert("health".into(), json!(status.health));
    fields.insert("sync".into(), json!(status.sync));
    if !status.conditions.is_empty() {
        let conditions: Vec<Value> = status
            .conditions
            .iter()
            .map(|Condition { kind, message }| json!({"type": kind, "message": message}))
            .collect();
        fields.insert("conditions".into(), json!(conditions));
    }
    if let Some(state) = &status.operation_state {
        fields.insert("operationState".into(), operation_state(state));
    }
    Value::Object(fields)
}

fn operation_state(state: &OperationState) -> Value {
    let mut fields = Map::new();
    fields.insert("operation".into(), operation(&state.operation));
    if !state.phase.is_empty() {
        fields.insert("phase".into(), json!(state.phase));
    }
    if !state.message.is_empty() {
        fields.insert("message".into(), json!(state.message));
    }
    if let Some(result) = &state.sync_result {
        fields.insert("syncResult".into(), sync_result(result));
    }
    if let Some(finished) = state.finished_at {
        fields.insert("finishedAt".into(), json!(finished));
    }
    Value::Object(fields)
}

fn operation(operation: &Operation) -> Value {
    json!(operation)
}

fn sync_result(result: &SyncResult) -> Value {
    let mut fields = Map::new();
    if !result.revision.is_empty() {
        fields.insert("revision".into(), json!(result.revision));
    }
    if !result.revisions.is_empty() {
        fields.insert("revisions".into(), json!(result.revisions));
    }
    fields.insert("source".into(), source(&result.source));
    if !result.sources.is_empty() {
        fields.insert("sources".into(), result.sources.iter().map(source).collect());
    }
    Value::Object(fields)
}

fn source(source: &Source) -> Value {
    json!(source)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::argocd::samples;

    fn check(app: Option<Value>, desired: Value) -> Assessment {
        let input = input(&json!({"apps": [{"name": "a", "desiredRevisions": desired}]})).unwrap();
        let (ancestry, now) = (Ancestry::default(), "2026-11-24T22:00:00Z".parse().unwrap());
        assess(&input, "argocd", &ancestry, now, |namespace, name| {
            assert_eq!((namespace, name), ("argocd", "a"));
            match &app {
                Some(app) => {
                    Lookup::Found { app: Box::new(samples::from(app.clone())), settled: false }
                }
                None => Lookup::Missing,
            }
        })
    }

    fn app(status: Value) -> Value {
        json!({
            "metadata": {"namespace": "argocd", "name": "a"},
            "spec": {"sources": [{"repoURL": "r0"}, {"repoURL": "r1"}]},
            "status": status,
        })
    }

    const A: &str = "Argo CD Application \"a\" in namespace \"argocd\"";

    #[test]
    fn an_application_is_judged_as_the_table_says() {
        let t = "2026-11-24T21:47:35Z";
        let done = json!({"phase": "Succeeded", "finishedAt": t});
        let healthy = |revisions: Value| {
            json!({"health": {"status": "Healthy"}, "reconciledAt": t, "operationState": done,
                   "sync": {"status": "OutOfSync", "revisions": revisions}})
        };
        let health = |h: &str| json!({"health": {"status": h}});
        let without = |key: &str| {
            let mut status = healthy(json!(["a", "b"]));
            status.as_object_mut().unwrap().remove(key);
            status
        };
        let mut unfinished = healthy(json!(["a", "b"]));
        unfinished["operationState"] = json!({"phase": "Running"});
        let syncing = format!("{A} is being synced");
        let stale = format!(
            "{A} was not reconciled after its most recent operation completed; Application health \
             status not trusted"
        );
        let mut early = healthy(json!(["a", "b"]));
        early["reconciledAt"] = json!("2026-11-24T21:47:30Z");
        let mismatch = "Not all sources of Application \"a\" in namespace \"argocd\" are synced to the \
                        desired revisions. Issues: Source 1 with RepoURL r1 of Application \"a\" in \
                        namespace \"argocd\" does not match the desired revision \"b\".";
        let two = json!([{"type": "ComparisonError", "message": "x", "lastTransitionTime": t},
                         {"type": "InvalidSpecError", "message": "y"}, {"type": "SyncError", "message": "z"}]);
        let mut broken = healthy(json!(["a", "b"]));
        broken["conditions"] = two;
        // (case, status, desired, state, issues)
        let cases: Vec<(&str, Value, Value, HealthState, Vec<String>)> = vec![
            (
                "steps-argocd/5-1",
                healthy(json!(["x", "y"])),
                json!([]),
                HealthState::Healthy,
                vec![],
            ),
            (
                "steps-argocd/5-1",
                healthy(json!(["x", "y"])),
                json!(["", ""]),
                HealthState::Healthy,
                vec![],
            ),
            ("stages/22.5-14", health("Healthy"), json!(null), HealthState::Healthy, vec![]),
            ("stages/22.5-15", health("Healthy"), json!(["", ""]), HealthState::Healthy, vec![]),
            (
                "steps-argocd/5-3",
                without("operationState"),
                json!(["a", "b"]),
                HealthState::Unknown,
                vec![syncing.clone()],
            ),
            (
                "steps-argocd/5-4",
                unfinished,
                json!(["a", "b"]),
                HealthState::Unknown,
                vec![syncing.clone()],
            ),
            (
                "steps-argocd/5-5",
                healthy(json!(["a", "x"])),
                json!(["a", "b"]),
                HealthState::Unhealthy,
                vec![mismatch.into()],
            ),
            (
                "steps-argocd/5-6",
                healthy(json!(["a", "b"])),
                json!(["a", "b"]),
                HealthState::Healthy,
                vec![],
            ),
            (
                "stages/22.5-11",
                healthy(json!(["a", "b"])),
                json!(["", "b"]),
                HealthState::Healthy,
                vec![],
            ),
            (
                "steps-argocd/5-7",
                broken.clone(),
                json!(["a", "b"]),
                HealthState::Unhealthy,
                vec![
                    format!("{A} has \"ComparisonError\" condition: x"),
                    format!("{A} has \"InvalidSpecError\" condition: y"),
                ],
            ),
            (
                "stages/22.5-12",
                broken,
                json!([]),
                HealthState::Unhealthy,
                vec![
                    format!("{A} has \"ComparisonError\" condition: x"),
                    format!("{A} has \"InvalidSpecError\" condition: y"),
                ],
            ),
            (
                "stages 11 sync 2",
                healthy(json!(["a", "b"])),
                json!(["a"]),
                HealthState::Unknown,
                vec![format!("{A} has 2 sources but 1 desired revisions")],
            ),
            (
                "stages 11 sync 3",
                healthy(json!(["a"])),
                json!(["a", "b"]),
                HealthState::Unknown,
                vec![format!("{A} has 1 observed revisions but 2 desired revisions")],
            ),
            ("stages/22.5-10", early, json!([]), HealthState::Unknown, vec![stale.clone()]),
            (
                "stages/22.5-10",
                without("reconciledAt"),
                json!([]),
                HealthState::Unknown,
                vec![stale],
            ),
            (
                "stages/22.5-13",
                health("Degraded"),
                json!([]),
                HealthState::Unhealthy,
                vec![format!("{A} has health state \"Degraded\"")],
            ),
            (
                "stages/22.5-18",
                health("Suspended"),
                json!([]),
                HealthState::Progressing,
                vec![format!("{A} is suspended")],
            ),
            (
                "stages/22.5-18",
                health(""),
                json!([]),
                HealthState::Progressing,
                vec![format!("{A} is progressing")],
            ),
            (
                "steps-argocd 5",
                health("Missing"),
                json!([]),
                HealthState::Unhealthy,
                vec![format!("{A} has health state \"Missing\"")],
            ),
        ];
        for (case, status, desired, state, issues) in cases {
            let found = check(Some(app(status.clone())), desired);
            assert_eq!((found.state, found.issues), (state, issues), "{case}: {status}");
        }
        let mut syncing_app = app(healthy(json!(["a", "b"])));
        syncing_app["operation"] = json!({"sync": {}});
        let found = check(Some(syncing_app.clone()), json!(["a", "b"]));
        // steps-argocd/5-2, stages/22.5-16
        assert_eq!((found.state, found.issues), (HealthState::Unknown, vec![syncing]));
        // stages/22.5-14
        assert_eq!(check(Some(syncing_app), json!([])).state, HealthState::Healthy);
    }

    #[test]
    fn the_source_that_is_at_another_revision_is_named() {
        let t = "2026-11-24T21:47:35Z";
        let found = check(
            Some(json!({
                "metadata": {"namespace": "argocd", "name": "a"},
                "spec": {"sources": [{"repoURL": "r0"}, {"repoURL": "r1"}, {"repoURL": "r2"}]},
                "status": {
                    "health": {"status": "Healthy"}, "reconciledAt": t,
                    "operationState": {"phase": "Succeeded", "finishedAt": t},
                    "sync": {"status": "Synced", "revisions": ["a", "x", "c"]},
                },
            })),
            json!(["a", "b", "c"]),
        );
        // stages/22.5-17
        assert_eq!((found.state, found.issues.len()), (HealthState::Unhealthy, 1));
        assert!(
            found.issues[0].contains("Issues: Source 1 with RepoURL r1 of "),
            "{:?}",
            found.issues
        );
    }

    #[test]
    fn a_stale_state_asks_for_a_comparison_and_still_shows_health() {
        let found = check(
            Some(app(json!({"health": {"status": "Healthy"},
                "operationState": {"phase": "Succeeded", "finishedAt": "2026-11-24T21:47:35Z"}}))),
            json!([]),
        );
        // stages/22.5-10
        assert_eq!(found.refresh, [("argocd".to_owned(), "a".to_owned())]);
        let output = &found.output.unwrap()["applicationStatuses"][0];
        assert_eq!(output["health"]["status"], "Healthy");
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let found = check(None, json!([]));
        // stages/22.5-9
        assert_eq!(
            (found.state, found.issues),
            (HealthState::Unknown, vec![format!("unable to find {A}")])
        );
        let unknown = json!({"applicationStatuses": [{
            "Namespace": "argocd", "Name": "a",
            "health": {"status": "Unknown"}, "sync": {"status": "Unknown"},
        }]});
        assert_eq!(found.output, Some(unknown.clone()));
        let one = input(&json!({"apps": [{"name": "a"}]})).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let found =
            assess(&one, "argocd", &Ancestry::default(), now, |_, _| Lookup::Failed("boom".into()));
        // stages/22.5-9
        assert_eq!(found.issues, [format!("error finding {A}: boom")]);
        assert_eq!(found.output, Some(unknown));
        let bad = input(&json!({"apps": "x"})).unwrap_err();
        assert!(
            bad.issues[0].starts_with(
                "could not convert opaque input into argocd-update health check input: "
            )
        );
        assert_eq!(
            assess(&input(&json!(null)).unwrap(), "argocd", &Ancestry::default(), now, |_, _| {
                Lookup::Missing
            })
            .output,
            Some(json!({"applicationStatuses": []}))
        );
    }

    #[test]
    fn the_worst_application_decides() {
        let two =
            input(&json!({"apps": [{"name": "a"}, {"name": "b", "namespace": "x"}]})).unwrap();
        let found = assess(
            &two,
            "argocd",
            &Ancestry::default(),
            Timestamp::UNIX_EPOCH,
            |namespace, name| {
                let conditions = if name == "b" {
                    json!([{"type": "ComparisonError", "message": "1"}, {"type": "ComparisonError", "message": "2"}])
                } else {
                    json!([])
                };
                Lookup::Found {
                    settled: false,
                    app: Box::new(samples::from(json!({
                        "metadata": {"namespace": namespace, "name": name},
                        "status": {"health": {"status": "Healthy"}, "conditions": conditions},
                    }))),
                }
            },
        );
        // stages/22.5-20
        assert_eq!((found.state, found.issues.len()), (HealthState::Unhealthy, 2));
        let output = found.output.unwrap();
        assert_eq!(output["applicationStatuses"].as_array().unwrap().len(), 2);
        assert_eq!(output["applicationStatuses"][1]["Namespace"], "x");
    }

    #[test]
    fn a_comparison_that_changes_nothing_gives_the_same_result() {
        let at = |second: u32| {
            check(
                Some(app(json!({
                    "health": {"status": "Healthy", "lastTransitionTime": format!("2026-11-24T21:47:{second}Z")},
                    "sync": {"status": "Synced", "revision": "a", "comparedTo": {}},
                    "reconciledAt": format!("2026-11-24T21:47:{second}Z"),
                    "conditions": [{"type": "SyncError", "message": "m",
                                    "lastTransitionTime": format!("2026-11-24T21:47:{second}Z")}],
                    "operationState": {
                        "operation": {"sync": {}, "info": [{"name": "n", "value": "v"}]},
                        "phase": "Succeeded", "startedAt": "2026-11-24T21:47:33Z",
                        "finishedAt": "2026-11-24T21:47:35Z",
                        "syncResult": {"revision": "a", "resources": [{}], "source": {"repoURL": "r", "path": "d"}},
                    },
                    "history": [{"id": 1}],
                }))),
                json!([]),
            )
        };
        // steps-argocd/5-8, stages/22.5-19
        assert_eq!(at(36), at(59));
        assert_eq!(
            at(36).output.unwrap()["applicationStatuses"][0],
            json!({
                "Namespace": "argocd", "Name": "a",
                "health": {"status": "Healthy"},
                "sync": {"status": "Synced", "revision": "a"},
                "conditions": [{"type": "SyncError", "message": "m"}],
                "operationState": {
                    "operation": {"sync": {}, "initiatedBy": {}, "retry": {},
                                  "info": [{"name": "n", "value": "v"}]},
                    "phase": "Succeeded", "finishedAt": "2026-11-24T21:47:35Z",
                    "syncResult": {"revision": "a", "source": {"repoURL": "r"}},
                },
            })
        );
    }
}
