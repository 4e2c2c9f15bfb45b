//! `argocd-wait`: waits until Argo CD Applications are in a wanted state.
//!
//! # Config
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `apps[].name` | string | the Application's name; either this or `selector` |
//! | `apps[].namespace` | string | its namespace; by default that of Argo CD |
//! | `apps[].selector` | label selector | several Applications of the namespace |
//! | `apps[].waitFor` | list | of `health`, `sync`, `operation`, `suspended`, `degraded`; by default the first three |
//!
//! No authorization is needed: the step changes nothing.
//!
//! # Output
//!
//! `apps`: a list of `{name, namespace}`; `healthStatus`: the health of each,
//! by `<namespace>/<name>`, by which the step knows a regression.
//!
//! # Errors
//!
//! An Application that does not exist, that Argo CD cannot compare, or whose
//! health has become `Degraded` while the step waited.
//!
//! # Example
//!
//! ```yaml
//! - uses: argocd-wait
//!   config:
//!     apps:
//!       - selector:
//!           matchLabels: {env: prod}
//!         waitFor: [health, sync]
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::argocd::application::REFRESH;
use crate::argocd::lookup::{Target, find};
use crate::argocd::patch::refresh_request;
use crate::argocd::readiness::{DEFAULT_WAIT_FOR, Readiness, WaitFor, readiness};
use crate::argocd::selector::SelectorConfig;
use crate::error::{ErrorClass, StepError};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::steps::argocd_config::apps_schema;
use crate::world::World;

/// The step's name.
pub const KIND: &str = "argocd-wait";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Config {
    apps: Vec<App>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct App {
    name: Option<String>,
    #[serde(default)]
    namespace: String,
    selector: Option<SelectorConfig>,
    #[serde(default)]
    wait_for: Vec<WaitFor>,
}

/// The step `argocd-wait`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArgoCdWait;

#[async_trait]
impl Step for ArgoCdWait {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// It may ask for a comparison, which may be asked for any number of times.
    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn needs_workdir(&self) -> bool {
        false
    }

    fn default_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    fn config_schema(&self) -> Value {
        apps_schema(&json!({"waitFor": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": true,
            "items": {
                "type": "string",
                "enum": ["health", "sync", "operation", "suspended", "degraded"],
            },
        }}))
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let argocd = world.argocd.as_deref().ok_or_else(|| {
            StepError::new(
                ErrorClass::Config,
                "Argo CD integration is disabled on this controller; cannot wait for Argo CD \
                 Application resources",
            )
        })?;
        let config: Config = context.config(KIND)?;
        let mut health = previous_health(&context.attempt);
        let mut apps = Vec::new();
        let mut ready = true;
        let mut retry_after: Option<Duration> = None;
        for entry in &config.apps {
            let target = Target {
                name: entry.name.as_deref(),
                namespace: &entry.namespace,
                selector: entry.selector.as_ref(),
            };
            let wait_for = match entry.wait_for.as_slice() {
                [] => &DEFAULT_WAIT_FOR[..],
                some => some,
            };
            for app in find(argocd, target).await? {
                let (name, namespace) = (app.name(), app.namespace());
                let key = format!("{namespace}/{name}");
                apps.push(json!({"name": name, "namespace": namespace}));
                let previous = health.get(&key).cloned().unwrap_or_default();
                let settled = argocd.is_settled(&app);
                let state = readiness(&app, wait_for, &previous, settled, Timestamp::now());
                let status = app.status.health.status.clone();
                if !status.is_empty() {
                    health.insert(key, status);
                }
                match state {
                    Readiness::Ready => continue,
                    Readiness::NotYet => {}
                    Readiness::Settling(rest) => {
                        retry_after = Some(retry_after.map_or(rest, |old| old.min(rest)));
                    }
                    Readiness::NeedsRefresh => {
                        let asked = app.annotation(REFRESH) == Some("hard");
                        if !asked
                            && let Err(error) =
                                argocd.patch(namespace, name, &refresh_request()).await
                        {
                            tracing::warn!(
                                application = name,
                                namespace,
                                "could not ask for a comparison: {error}"
                            );
                        }
                    }
                    Readiness::Hopeless(why) => {
                        return Err(StepError::terminal(ErrorClass::Config, why)
                            .with_output(output(apps, &health)));
                    }
                }
                ready = false;
            }
        }
        let result = if ready { StepResult::succeeded() } else { StepResult::running("") };
        Ok(StepResult { retry_after, ..result.with_output(output(apps, &health)) })
    }
}

fn output(apps: Vec<Value>, health: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut output = Map::new();
    output.insert("apps".into(), apps.into());
    output.insert("healthStatus".into(), json!(health));
    output
}

/// The health seen last, by `<namespace>/<name>`; what has another shape
/// counts as nothing.
fn previous_health(attempt: &Attempt) -> BTreeMap<String, String> {
    let output = match attempt {
        Attempt::Again { output: Some(output) } | Attempt::Replay { output } => output,
        _ => return BTreeMap::new(),
    };
    let entries = output.get("healthStatus").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    entries.into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
#[path = "argocd_wait_tests.rs"]
mod tests;
