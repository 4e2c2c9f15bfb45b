//! `argocd-update`: changes Argo CD Applications, asks Argo CD to sync them,
//! and waits until it has.
//!
//! # Config
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `apps[].name` | string | the Application's name; either this or `selector` |
//! | `apps[].namespace` | string | its namespace; by default that of Argo CD |
//! | `apps[].selector` | label selector | several Applications of the namespace |
//! | `apps[].sources[].repoURL` | string | which source of the Application is meant |
//! | `apps[].sources[].chart` | string | likewise, for a chart repository |
//! | `apps[].sources[].desiredRevision` | string | the revision that the source must be seen synced to; a later commit that contains it will do, and a commit that a `git-push` step rebased stands for the one it pushed |
//! | `apps[].sources[].updateTargetRevision` | bool | whether `targetRevision` becomes that revision |
//! | `apps[].sources[].kustomize.images[]` | list | image overrides, in place of all that were there |
//! | `apps[].sources[].helm.images[]` | list | chart values to set, `{key, value}` |
//!
//! Each Application must let the Stage change it, by its annotation
//! `kargo.akuity.io/authorized-stage: <project>:<stage>`.
//!
//! # Output
//!
//! `apps`: a list of `{name, namespace}`. While the step waits, also
//! `requests`: what it has asked for so far, by which it knows its own requests
//! after a restart.
//!
//! # Errors
//!
//! An Application that does not exist or that the Stage may not change (with
//! the annotation to add), a source that it does not have, a sync that Argo CD
//! reports as failed. A sync that ends at another than the desired revision is
//! asked for again, with growing pauses, until the step's timeout (5 minutes).
//!
//! # Example
//!
//! ```yaml
//! - uses: argocd-update
//!   config:
//!     apps:
//!       - name: frontend-dev
//!         sources:
//!           - repoURL: https://example.com/org/gitops.git
//!             desiredRevision: ${{ outputs.push.commit }}
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use api::PromotionStepStatus;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::argocd::ancestry::{Ancestry, unreadable};
use crate::argocd::application::{Application, GROUP, Initiator, KIND as APPLICATION, VERSION};
use crate::argocd::authorization;
use crate::argocd::decision::{
    Asked, Decision, MAX_PAUSE, Reason, Wish, decide, open_questions, pause, sort_phases,
};
use crate::argocd::lookup::{Target, find_authorized};
use crate::argocd::patch::{self, CONTROLLER};
use crate::argocd::revisions::{SourceUpdate, desired_revisions};
use crate::argocd::selector::SelectorConfig;
use crate::argocd::sources::desired_sources;
use crate::argocd::{ArgoCd, ArgoCdError};
use crate::error::{ErrorClass, StepError};
use crate::step::{Attempt, Effect, HealthCheck, Step, StepContext, StepResult};
use crate::steps::argocd_config::{apps_schema, sources_schema};
use crate::world::World;

/// The step's name.
pub const KIND: &str = "argocd-update";

/// The config.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Config {
    apps: Vec<App>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    name: Option<String>,
    #[serde(default)]
    namespace: String,
    selector: Option<SelectorConfig>,
    #[serde(default)]
    sources: Vec<SourceUpdate>,
}

/// What the step has asked of one Application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    /// When, for the last time.
    at: Timestamp,
    /// How often.
    count: u32,
    /// The id of the history's last entry when asking for the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_deployment: Option<i64>,
}

/// By `<namespace>/<name>`.
type Requests = BTreeMap<String, Request>;

/// The step `argocd-update`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArgoCdUpdate;

#[async_trait]
impl Step for ArgoCdUpdate {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// It knows its own earlier request by the operation's info entry that
    /// names the Promotion, or by what the request left in the history.
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn needs_workdir(&self) -> bool {
        false
    }

    fn default_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    fn config_schema(&self) -> Value {
        apps_schema(&sources_schema())
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let argocd = world.argocd.as_deref().ok_or_else(|| {
            StepError::new(
                ErrorClass::Config,
                "Argo CD integration is disabled on this controller; cannot update Argo CD \
                 Application resources",
            )
        })?;
        let mut config: Config = context.config(KIND)?;
        for source in config.apps.iter_mut().flat_map(|app| &mut app.sources) {
            source.follow_pushes(&context.state);
        }
        let mut pass = Pass::new(context, world, argocd);
        for entry in &config.apps {
            pass.entry(entry).await?;
        }
        pass.result()
    }
}

/// One evaluation of the step.
struct Pass<'a> {
    context: &'a StepContext,
    world: &'a World,
    argocd: &'a dyn ArgoCd,
    ancestry: Ancestry,
    initiator: Initiator,
    requests: Requests,
    apps: Vec<Value>,
    checks: Vec<Value>,
    phases: Vec<String>,
    messages: Vec<String>,
    /// Why it cannot be told whether an Application is where it should be, by
    /// [`key`].
    unknown: BTreeMap<String, String>,
    retry_after: Option<Duration>,
}

/// How an attempt to ask for a sync ended.
enum Asking {
    /// Asked.
    Asked(Request),
    /// Not any more necessary, or not now.
    Instead(Decision),
}

impl<'a> Pass<'a> {
    fn new(context: &'a StepContext, world: &'a World, argocd: &'a dyn ArgoCd) -> Self {
        let requests = match &context.attempt {
            Attempt::Again { output: Some(output) } => output
                .get("requests")
                .and_then(|r| Requests::deserialize(r).ok())
                .unwrap_or_default(),
            _ => Requests::new(),
        };
        Self {
            context,
            world,
            argocd,
            ancestry: world.git.as_ref().map(|git| git.ancestry.clone()).unwrap_or_default(),
            initiator: patch::initiator(&context.actor),
            requests,
            apps: Vec::new(),
            checks: Vec::new(),
            phases: Vec::new(),
            messages: Vec::new(),
            unknown: BTreeMap::new(),
            retry_after: None,
        }
    }

    async fn entry(&mut self, entry: &App) -> Result<(), StepError> {
        let target = Target {
            name: entry.name.as_deref(),
            namespace: &entry.namespace,
            selector: entry.selector.as_ref(),
        };
        let context = self.context;
        let apps = find_authorized(self.argocd, target, &context.project, &context.stage).await?;
        if apps.len() > 1 {
            compatible(&apps, &entry.sources)?;
        }
        for app in &apps {
            self.application(app, &entry.sources).await?;
        }
        Ok(())
    }

    /// What is known about an earlier request of this step.
    fn asked(&self, app: &Application, updates: &[SourceUpdate], desired: &[String]) -> Asked {
        if let Some(request) = self.requests.get(&key(app)) {
            return Asked::After(request.last_deployment);
        }
        let started = self.context.started_at;
        match &self.context.attempt {
            // A request writes the sources too: without them there was none.
            Attempt::Again { .. }
                if desired_sources("", app.sources(), updates)
                    .is_ok_and(|sources| sources != app.sources()) =>
            {
                Asked::Never
            }
            Attempt::Again { output: None } => Asked::Perhaps(started),
            // The last attempt's end is on the status, so a request of it would
            // be too; one of an attempt that was cut short would not.
            Attempt::Again { output: Some(_) } if desired.iter().any(|d| !d.is_empty()) => {
                Asked::Perhaps(started)
            }
            _ => Asked::Never,
        }
    }

    /// What the Application's state means. Before it means another request,
    /// the mirrors are asked whether what our request brought contains the
    /// desired commits.
    async fn decide(&mut self, app: &Application, updates: &[SourceUpdate]) -> Decision {
        let desired = desired_revisions(app.sources(), updates);
        let wish = Wish {
            promotion: &self.context.promotion,
            username: &self.initiator.username,
            desired: &desired,
            asked: self.asked(app, updates, &desired),
            ancestry: &self.ancestry,
        };
        let decision = decide(app, &wish);
        if matches!(decision, Decision::Done { .. }) {
            return decision;
        }
        let open = open_questions(app, &wish);
        if open.is_empty() {
            return decision;
        }
        let StepContext { project, cancel, .. } = self.context;
        let unknown = self.ancestry.look_up(&open, project, self.world, cancel).await;
        let decision = decide(app, &wish);
        match unknown.first() {
            Some((question, why)) => self.unknown.insert(key(app), unreadable(question, why)),
            None => self.unknown.remove(&key(app)),
        };
        decision
    }

    async fn application(
        &mut self,
        app: &Application,
        updates: &[SourceUpdate],
    ) -> Result<(), StepError> {
        let mut decision = self.decide(app, updates).await;
        if let Decision::Ask(reason) = &decision {
            let unknown = self.unknown.get(&key(app));
            if let Reason::Unsatisfied(message) = reason {
                self.messages.push(unknown.unwrap_or(message).clone());
            }
            let asked = self.requests.get(&key(app)).map_or(0, |r| r.count);
            let left = if unknown.is_some() && asked >= MOST_ASKED_BLINDLY {
                // Another sync would tell no more than the last one did.
                Some(MAX_PAUSE)
            } else {
                self.left_of_pause(app, reason, Timestamp::now())
            };
            decision = match left {
                Some(left) => {
                    self.look_again_after(left);
                    running()
                }
                None => match self.ask(app, updates).await? {
                    Asking::Asked(request) => {
                        self.requests.insert(key(app), request);
                        running()
                    }
                    // The live object may call for a pause where the cached
                    // one did not: the next event, or this time, will tell.
                    Asking::Instead(Decision::Ask(_)) => {
                        self.look_again_after(pause(1));
                        running()
                    }
                    Asking::Instead(decision) => decision,
                },
            };
        }
        if matches!(decision, Decision::Wait { .. })
            && let Some(message) = app.blocked()
        {
            self.messages.push(format!("{}: {message}", app.title()));
        }
        match decision {
            Decision::Wait { phase } => self.phases.push(phase),
            Decision::Done { phase, .. } if phase == "Succeeded" => self.phases.push(phase),
            Decision::Done { message, .. } => {
                return Err(StepError::new(
                    ErrorClass::Config,
                    format!("{} failed with: {message}", app.title()),
                ));
            }
            Decision::Nonsense(text) => return Err(StepError::new(ErrorClass::Conflict, text)),
            Decision::Ask(_) => {}
        }
        let name = json!({"name": app.name(), "namespace": app.namespace()});
        let mut check = name.clone();
        if !app.sources().is_empty() {
            check["desiredRevisions"] = json!(desired_revisions(app.sources(), updates));
        }
        self.apps.push(name);
        self.checks.push(check);
        Ok(())
    }

    fn look_again_after(&mut self, time: Duration) {
        self.retry_after = Some(self.retry_after.map_or(time, |old| old.min(time)));
    }

    /// How long to wait yet before asking again. A first request is made at
    /// once, and so is the next one when the first was lost.
    fn left_of_pause(
        &self,
        app: &Application,
        reason: &Reason,
        now: Timestamp,
    ) -> Option<Duration> {
        let request = self.requests.get(&key(app));
        let finished = || app.status.operation_state.as_ref().and_then(|s| s.finished_at);
        let (since, count) = match (request, reason) {
            (Some(request), Reason::NotAsked) if request.count < 2 => return None,
            (Some(request), _) => (request.at, request.count),
            (None, Reason::Unsatisfied(_)) => (finished()?, 1),
            (None, Reason::NotAsked) => return None,
        };
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        pause(count).checked_sub(passed).filter(|left| !left.is_zero())
    }

    /// Asks for a sync, unless the live object says otherwise than the cached
    /// one did. The request takes effect only on the object as it was read.
    async fn ask(
        &mut self,
        cached: &Application,
        updates: &[SourceUpdate],
    ) -> Result<Asking, StepError> {
        let (name, namespace) = (cached.name(), cached.namespace());
        let wrong = |class, why: String| {
            StepError::new(
                class,
                format!(
                    "error syncing {}: error patching Argo CD Application {name:?}: {why}",
                    cached.title()
                ),
            )
        };
        let unreadable = |class, why: String| {
            wrong(
                class,
                format!(
                    "unable to get unstructured object for Application {name:?} in namespace \
                     {namespace:?}: {why}"
                ),
            )
        };
        let mut last = None;
        for attempt in 0..PATCH_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PATCH_PAUSE).await;
            }
            let live = self
                .argocd
                .get_live(namespace, name)
                .await
                .map_err(|e| unreadable(e.class(), e.to_string()))?
                .ok_or_else(|| {
                    unreadable(
                        ErrorClass::NotFound,
                        format!("applications.argoproj.io {name:?} not found"),
                    )
                })?;
            let app: Application = Application::deserialize(&live)
                .map_err(|e| unreadable(ErrorClass::Internal, e.to_string()))?;
            if let Err(denied) =
                authorization::authorize(&app, &self.context.project, &self.context.stage)
            {
                let hint =
                    authorization::hint(&app, &denied, &self.context.project, &self.context.stage);
                return Err(StepError::new(
                    ErrorClass::Config,
                    format!("{} is not authorized; {hint}", app.title()),
                ));
            }
            let decision = self.decide(&app, updates).await;
            let Decision::Ask(reason) = &decision else { return Ok(Asking::Instead(decision)) };
            let now = Timestamp::now();
            if self.context.cancel.is_cancelled() || self.left_of_pause(&app, reason, now).is_some()
            {
                return Ok(Asking::Instead(decision));
            }
            let sources = desired_sources(&app.title(), app.sources(), updates).map_err(|e| {
                StepError::new(
                    ErrorClass::Config,
                    format!("error building desired sources for {}: {e}", app.title()),
                )
            })?;
            let operation = patch::operation(&app, &self.context.promotion, &self.initiator);
            let patch = patch::sync_request(&live, &app, &sources, operation);
            match self.argocd.patch(namespace, name, &patch).await {
                Ok(patched) => {
                    self.tell(&patched, now).await;
                    let before = self.requests.get(&key(&app)).map_or(0, |r| r.count);
                    return Ok(Asking::Asked(Request {
                        at: now,
                        count: before.saturating_add(1),
                        last_deployment: app.last_deployment_id(),
                    }));
                }
                Err(e @ ArgoCdError::Conflict(_)) => last = Some(e),
                Err(e) => {
                    return Err(wrong(e.class(), format!("failed to patch the object: {e}")));
                }
            }
        }
        let why = last.map(|e| e.to_string()).unwrap_or_default();
        // Whoever writes so often will pause at some time.
        Err(wrong(ErrorClass::Transient, format!("failed to patch the object: {why}")))
    }

    /// Leaves an Event about the request; that it may fail is no matter.
    async fn tell(&self, patched: &Value, now: Timestamp) {
        let Ok(app) = Application::deserialize(patched) else { return };
        let namespace = app.namespace().to_owned();
        if let Err(error) = self.argocd.create_event(&namespace, event(&app, now)).await {
            tracing::warn!(
                application = app.name(),
                namespace,
                "could not create the event of a sync request: {error}"
            );
        }
    }

    fn result(mut self) -> Result<StepResult, StepError> {
        sort_phases(&mut self.phases);
        let status = match self.phases.first().map(String::as_str) {
            Some("Running" | "Terminating") => PromotionStepStatus::Running,
            Some("Succeeded") => PromotionStepStatus::Succeeded,
            // Only ever from an operation that is not ours.
            Some("Failed" | "Error") => PromotionStepStatus::Errored,
            _ => {
                return Err(StepError::new(
                    ErrorClass::Internal,
                    format!(
                        "could not determine promotion step status from operation phases: [{}]",
                        self.phases.join(" ")
                    ),
                ));
            }
        };
        let mut output = Map::new();
        output.insert("apps".into(), self.apps.into());
        if status == PromotionStepStatus::Running && !self.requests.is_empty() {
            output.insert("requests".into(), json!(self.requests));
        }
        Ok(StepResult {
            status,
            message: self.messages.join("\n"),
            output: Some(output),
            health_check: Some(HealthCheck {
                uses: KIND.into(),
                config: json!({"apps": self.checks}),
            }),
            retry_after: self.retry_after,
        })
    }
}

/// How often a request is sent when somebody else keeps changing the object.
const PATCH_ATTEMPTS: u32 = 5;
/// How many syncs a step asks for while it cannot tell whether the revision
/// that one ends at contains the desired one: the first may have come too early.
const MOST_ASKED_BLINDLY: u32 = 2;
/// How long to wait between two of them.
const PATCH_PAUSE: Duration = Duration::from_millis(10);
/// How many incompatible Applications a message lists.
const SHOWN_ERRORS: usize = 3;

fn running() -> Decision {
    Decision::Wait { phase: "Running".into() }
}

fn key(app: &Application) -> String {
    format!("{}/{}", app.namespace(), app.name())
}

/// Whether the updates fit all selected Applications, before any is changed.
fn compatible(apps: &[Application], updates: &[SourceUpdate]) -> Result<(), StepError> {
    let errors: Vec<String> = apps
        .iter()
        .filter_map(|app| {
            let error = desired_sources(&app.title(), app.sources(), updates).err()?;
            Some(format!(
                "Application {:?} in namespace {:?}: {error}",
                app.name(),
                app.namespace()
            ))
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    let shown = errors.get(..errors.len().min(SHOWN_ERRORS)).unwrap_or_default();
    let only = if errors.len() > SHOWN_ERRORS { " (showing first 3)" } else { "" };
    Err(StepError::new(
        ErrorClass::Config,
        format!(
            "selected Applications must have compatible sources; {} incompatible{only}. No \
             Applications were updated:\n{}",
            errors.len(),
            shown.join("\n")
        ),
    ))
}

/// The Event of a request (`steps-argocd` 3.8).
fn event(app: &Application, now: Timestamp) -> Value {
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    json!({
        "metadata": {
            "name": format!("{}.{:x}", app.name(), now.as_nanosecond()),
            "namespace": app.namespace(),
            "annotations": {"user": CONTROLLER},
        },
        "source": {"component": CONTROLLER},
        "involvedObject": {
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": APPLICATION,
            "namespace": app.namespace(),
            "name": app.name(),
            "uid": app.metadata.uid,
            "resourceVersion": app.metadata.resource_version,
        },
        "type": "Normal",
        "reason": "OperationStarted",
        "count": 1,
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "message": patch::event_message(app),
    })
}

#[cfg(test)]
#[path = "argocd_update_tests.rs"]
mod tests;
