//! The pass over a Promotion: read, decide, run, write (`promotions` 5.2).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::promotion::engine::{self, Interruption, RecordError, Run, times};
use ::promotion::workdir::WorkDir;
use api::admission;
use api::{Freight, FreightReference, Promotion, PromotionPhase, PromotionStatus, Stage};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::complete;
use super::events::{self, Told};
use super::freight_collection::freight_collection;
use super::memory::{HOLD, Held, Memory};
use super::record::{Refused, StatusWriter, words};
use super::requeue::{self, Limited};
use super::{abort, status};
use crate::context::Context;
use crate::error::{Error, ErrorClass, is_invalid};
use crate::patch;
use crate::project::policy;
use crate::queue::Outcome;
use crate::stage::auto_promotion::Switch;
use crate::store::Key;

/// How long a new Promotion waits for its Stage to take it before it is marked
/// as Pending. The Stage hears of it by itself, so in most cases that write
/// would only be overtaken by the next.
const GRACE: Duration = Duration::from_secs(2);

/// When a pass that was cut short by somebody else's write is made again.
const SOON: Duration = Duration::from_millis(100);

/// One pass over the Promotion `key`. `cancel` ends the steps at work.
///
/// # Errors
/// What makes another pass necessary; the queue backs off.
pub async fn reconcile(
    context: &Context,
    memory: &Memory,
    key: &Key,
    cancel: CancellationToken,
) -> Result<Outcome, Error> {
    let Some(cached) = context.stores.promotions.get(key) else { return Ok(Outcome::Done) };
    if status::phase(&cached).is_terminal() || !is_ours(context, &cached) {
        return Ok(Outcome::Done);
    }
    let api: Api<Promotion> = Api::namespaced(context.client.clone(), &key.namespace);
    let held = memory.take(key, &cached);
    let promotion = if held.is_some() || status::phase(&cached) != PromotionPhase::Running {
        // Nobody has written since we did; or nothing has begun, and before
        // anything acts outside, a write proves that the cache is right.
        cached.as_ref().clone()
    } else {
        // Past the cache: a stale status would run steps again.
        let live = api.get_opt(&key.name).await;
        let live = live.map_err(|e| Error::api(format_args!("get Promotion {key}"), e))?;
        let Some(live) = live.filter(|p| !status::phase(p).is_terminal()) else {
            return Ok(Outcome::Done);
        };
        live
    };
    let workdir = context.promotion.workdir_of(&promotion);
    if promotion.metadata.deletion_timestamp.is_some() {
        remove(&workdir).await;
        return Ok(Outcome::Done);
    }
    let pass = Pass { context, memory, key, api, workdir, cancel };
    if let Some(actor) = abort::requested(&promotion) {
        return pass.terminate(promotion, &actor).await;
    }
    pass.promote(promotion, held).await
}

/// Whether this process is responsible for the Promotion (`promotions` 5).
pub fn is_ours(context: &Context, promotion: &Promotion) -> bool {
    let labels = promotion.metadata.labels.as_ref();
    let shard = labels.and_then(|l| l.get(api::labels::SHARD)).map(String::as_str);
    context.settings.is_responsible(shard, None)
}

/// Removes a working directory; what goes wrong is logged alone.
pub async fn remove(workdir: &std::path::Path) {
    let path = workdir.to_owned();
    let removed = tokio::task::spawn_blocking(move || WorkDir::remove(&path)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "a working directory could not be removed");
    }
}

struct Pass<'a> {
    context: &'a Context,
    memory: &'a Memory,
    key: &'a Key,
    api: Api<Promotion>,
    workdir: PathBuf,
    cancel: CancellationToken,
}

impl Pass<'_> {
    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Ends the Promotion on request (`promotions` 5.4).
    async fn terminate(&self, mut promotion: Promotion, actor: &str) -> Result<Outcome, Error> {
        let own = format!("controller:{}", self.context.settings.controller_name("promotion"));
        let actor = if actor.is_empty() { own } else { actor.to_owned() };
        let before = promotion.status.clone().unwrap_or_default();
        let after = abort::terminated(&before, &actor, self.now());
        let writer = StatusWriter::new(self.api.clone(), promotion.clone(), self.context);
        match writer.aborting().write(&after).await {
            Ok(()) => {}
            Err(Refused::Superseded(_)) => return Ok(Outcome::After(SOON)),
            Err(Refused::Api(error)) => return Err(error),
        }
        promotion.status = Some(after);
        self.context.metrics.promotion.ended(&promotion);
        remove(&self.workdir).await;
        self.memory.forget(self.key);
        let stage = self.context.stores.stages.get(&self.stage_key(&promotion));
        let freight = self.context.stores.freight.get(&self.freight_key(&promotion));
        let told = self.applications_told(&promotion, stage.as_deref(), freight.as_deref()).await;
        self.send(&promotion, freight.as_deref(), stage.as_deref(), &actor, &told);
        Ok(Outcome::Done)
    }

    /// The Applications that an Event of the Promotion tells of, whatever of
    /// the Stage and the Freight is still there.
    async fn applications_told(
        &self,
        promotion: &Promotion,
        stage: Option<&Stage>,
        freight: Option<&Freight>,
    ) -> BTreeSet<(String, String)> {
        let status = promotion.status.clone().unwrap_or_default();
        let target = freight.map(reference).or_else(|| status.freight.clone());
        let requests = stage.map(|s| s.spec.requested_freight.clone()).unwrap_or_default();
        let run = Run {
            freight_requests: requests,
            freight: status.freight_collection.clone().unwrap_or_default(),
            target_alias: freight.map(|f| f.alias.clone()).unwrap_or_default(),
            ..self.run_of(promotion, target.unwrap_or_default())
        };
        let default_namespace = &self.context.settings.argocd_namespace;
        let engine = &self.context.promotion.engine;
        engine.applications_told(&run, &status, default_namespace).await
    }

    /// Queues the Promotion, and runs it when it is its turn.
    async fn promote(&self, promotion: Promotion, held: Option<Held>) -> Result<Outcome, Error> {
        let stage = self.stage(&promotion).await?;
        let is_current = |stage: &Stage| {
            stage
                .status
                .as_ref()
                .and_then(|s| s.current_promotion.as_ref())
                .is_some_and(|current| current.name == self.key.name)
        };
        let was = status::phase(&promotion);
        let is_new = !matches!(was, PromotionPhase::Pending | PromotionPhase::Running);
        let promotion = match &stage {
            Some(stage) if was != PromotionPhase::Running => {
                match self.admitted(promotion, stage).await? {
                    Ok(promotion) => promotion,
                    Err((promotion, message)) => {
                        let status = promotion.status.clone().unwrap_or_default();
                        let end = engine::Outcome::Finished(status::errored(&status, message));
                        let mut writer =
                            StatusWriter::new(self.api.clone(), promotion.clone(), self.context);
                        return self
                            .write(&mut writer, promotion, end, None, BTreeSet::new(), None)
                            .await;
                    }
                }
            }
            _ => promotion,
        };
        let mut writer = StatusWriter::new(self.api.clone(), promotion.clone(), self.context);
        let since = held.as_ref().map(|held| held.since);
        let mut status =
            held.map(|held| held.status).or_else(|| promotion.status.clone()).unwrap_or_default();
        if is_new && !stage.as_deref().is_some_and(is_current) {
            if let Some(left) = stage.as_deref().and_then(|s| grace(s, &promotion, self.now())) {
                return Ok(Outcome::After(left));
            }
            status.phase = PromotionPhase::Pending;
            if let Err(refused) = writer.write(&status).await {
                return superseded(refused);
            }
        }
        let Some(stage) = stage else {
            let missing = admission::missing_stage(&promotion.spec.stage, &self.key.namespace);
            return Err(Error::new(ErrorClass::NotFound, missing.detail));
        };
        // The Stage says whose turn it is; its watch wakes us.
        if !is_current(&stage) {
            return Ok(Outcome::Done);
        }
        if status.phase != PromotionPhase::Running {
            // Written together with the first steps' progress.
            status.phase = PromotionPhase::Running;
            status.started_at = times::api(self.now());
            self.context.metrics.promotion.started(&promotion, self.now());
            if let Some(credentials) = &self.context.promotion.engine.world.credentials {
                credentials.forget(&self.key.namespace);
            }
        }
        let freight = match self.freight(&promotion, &stage).await? {
            Ok(freight) => freight,
            Err(message) => {
                let end = engine::Outcome::Finished(status::errored(&status, message));
                return self
                    .write(&mut writer, promotion, end, Some(&stage), BTreeSet::new(), None)
                    .await;
            }
        };
        let run = self.run(&promotion, &stage, &freight, &mut status);
        let engine = &self.context.promotion.engine;
        let default_namespace = &self.context.settings.argocd_namespace;
        // Before the steps act: an Application may answer at once.
        let interests = engine.applications(&run, &status, default_namespace).await;
        self.memory.set_interest(self.key, interests);
        let end = {
            let pass = engine.run(&run, status.clone(), &mut writer);
            match futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(pass)).await {
                Ok(end) => end,
                Err(panic) => {
                    let text = panic_text(panic.as_ref());
                    engine::Outcome::Finished(status::errored(&status, text))
                }
            }
        };
        let mut named = BTreeSet::new();
        match &end {
            engine::Outcome::Waiting { status, .. } => {
                // Steps that ran now may have given names to those that follow.
                let interests = engine.applications(&run, status, default_namespace);
                self.memory.set_interest(self.key, interests.await);
            }
            engine::Outcome::Finished(status) => {
                named = engine.applications_told(&run, status, default_namespace).await;
            }
            engine::Outcome::Interrupted(_) => {}
        }
        self.write(&mut writer, promotion, end, Some(&stage), named, since).await
    }

    /// Holds the status back where all that is new in it is what a step that
    /// waits has found out, and the step needs no directory; says for how
    /// long. `since` is when that was done first.
    fn hold_back(
        &self,
        writer: &StatusWriter<'_>,
        promotion: &Promotion,
        after: &PromotionStatus,
        end: &engine::Outcome,
        since: Option<Instant>,
    ) -> Option<Duration> {
        let engine::Outcome::Waiting { error: None, rebuild: false, retry_after, .. } = end else {
            return None;
        };
        let index = usize::try_from(after.current_step).ok()?;
        let uses = &promotion.spec.steps.get(index)?.uses;
        let kind = self.context.promotion.engine.registry.get(uses)?;
        let version = writer.known().resource_version()?;
        if kind.needs_workdir() || !writer.only_outputs_differ(after) {
            return None;
        }
        let since = since.unwrap_or_else(Instant::now);
        let left = HOLD.checked_sub(since.elapsed()).filter(|left| !left.is_zero())?;
        self.memory.hold(self.key, Held { status: after.clone(), version, since });
        Some(retry_after.map_or(left, |wish| wish.min(left)))
    }

    /// Writes what the pass came to, and says when the next one is due.
    async fn write(
        &self,
        writer: &mut StatusWriter<'_>,
        mut promotion: Promotion,
        end: engine::Outcome,
        stage: Option<&Stage>,
        applications: BTreeSet<(String, String)>,
        held_since: Option<Instant>,
    ) -> Result<Outcome, Error> {
        let Some(mut after) = status::after(&end, status::refresh(&promotion), self.now()) else {
            return match end {
                engine::Outcome::Interrupted(Interruption::Record(RecordError::Failed(why))) => {
                    Err(Error::new(ErrorClass::Transient, why))
                }
                engine::Outcome::Interrupted(Interruption::Record(RecordError::Superseded(
                    why,
                ))) => {
                    tracing::info!(promotion = %self.key, why, "the pass was cut short");
                    Ok(Outcome::After(SOON))
                }
                _ => Ok(Outcome::Done),
            };
        };
        if let Some(wait) = self.hold_back(writer, &promotion, &after, &end, held_since) {
            return Ok(Outcome::After(wait));
        }
        let mut failed = None;
        match writer.write(&after).await {
            Ok(()) => {
                if let Err(error) = end.written(&self.workdir) {
                    tracing::warn!(promotion = %self.key, %error, "the working directory will be rebuilt");
                }
            }
            Err(Refused::Superseded(why)) => {
                tracing::info!(promotion = %self.key, why, "the pass was cut short");
                return Ok(Outcome::After(SOON));
            }
            Err(Refused::Api(error)) if error.class() == ErrorClass::Config => {
                let message = format!("error updating status: {}", words(&error));
                // From what is on the server: the rest of the new status is
                // what it refused.
                let before = promotion.status.clone().unwrap_or_default();
                after = status::errored(&before, message);
                after.finished_at = times::api(self.now());
                if let Err(Refused::Api(error)) = writer.write(&after).await {
                    failed = Some(error);
                }
            }
            Err(Refused::Api(error)) => failed = Some(error),
        }
        if let Some(error) = failed {
            return Err(error);
        }
        promotion.status = Some(after.clone());
        if after.phase.is_terminal() {
            tracing::info!(phase = %after.phase, message = after.message, "the Promotion ended");
            self.context.metrics.promotion.ended(&promotion);
            remove(&self.workdir).await;
            self.memory.forget(self.key);
            return self.ended(&promotion, stage, applications).await;
        }
        let limited = self.limited(&promotion, &after);
        let engine::Outcome::Waiting { retry_after, error, .. } = end else {
            return Ok(Outcome::After(requeue::interval(None, limited, self.now())));
        };
        match error {
            // The engine has decided on the pause.
            Some(error) if error.class.passes() => {
                tracing::warn!(promotion = %self.key, "{error}; it is tried again");
                Ok(Outcome::After(requeue::after_fault(retry_after, limited, self.now())))
            }
            Some(error) => Err(Error::new(error.class, error.message)),
            None => Ok(Outcome::After(requeue::interval(retry_after, limited, self.now()))),
        }
    }

    /// Tells of a Promotion that ended.
    async fn ended(
        &self,
        promotion: &Promotion,
        stage: Option<&Stage>,
        applications: BTreeSet<(String, String)>,
    ) -> Result<Outcome, Error> {
        let key = self.stage_key(promotion);
        let stage_now = match self.context.stores.stages.get(&key) {
            Some(stage) => stage,
            None => {
                let stages: Api<Stage> =
                    Api::namespaced(self.context.client.clone(), &self.key.namespace);
                match stages.get_opt(&key.name).await {
                    Ok(Some(stage)) => Arc::new(stage),
                    Ok(None) => {
                        let missing = admission::missing_stage(&key.name, &key.namespace);
                        let message = format!("get stage: {}", missing.detail);
                        return Err(Error::new(ErrorClass::NotFound, message));
                    }
                    Err(e) => return Err(Error::api("get stage", e)),
                }
            }
        };
        if status::phase(promotion) == PromotionPhase::Succeeded
            && let Some(stage) = stage
        {
            self.reverify(promotion, stage).await;
        }
        let own = format!("controller:{}", self.context.settings.controller_name("promotion"));
        let freight = self.context.stores.freight.get(&self.freight_key(promotion));
        self.send(promotion, freight.as_deref(), Some(&stage_now), &own, &applications);
        Ok(Outcome::Done)
    }

    /// Asks for another verification when Freight was promoted that the Stage
    /// had already (`promotions` 6.4).
    async fn reverify(&self, promotion: &Promotion, stage: &Stage) {
        let current = stage.status.as_ref().and_then(|s| s.freight_history.first());
        let Some(current) = current else { return };
        let Some(verification) = current.verification_history.first() else { return };
        if !current.items.values().any(|f| Some(&f.name) == promotion.spec.freight.as_ref()) {
            return;
        }
        let stages: Api<Stage> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let value = json!({"id": verification.id}).to_string();
        let change = json!({"annotations": {api::annotations::REVERIFY: value}});
        let name = stage.name_any();
        if let Err(error) = patch::metadata(&stages, &name, change, &self.context.metrics).await {
            tracing::warn!(stage = name, %error, "could not ask for another verification");
        }
    }

    fn send(
        &self,
        promotion: &Promotion,
        freight: Option<&Freight>,
        stage: Option<&Stage>,
        actor: &str,
        applications: &BTreeSet<(String, String)>,
    ) {
        let component = self.context.settings.controller_name("promotion");
        let told = Told { freight, stage, applications, actor, component: &component };
        if let Some(event) = events::ended(promotion, &told) {
            self.context.events.send(event, self.now());
        }
    }

    /// The Promotion with what admission would have given it, where no webhook
    /// runs (house rule 11); else what is wrong with it, in words.
    async fn admitted(
        &self,
        promotion: Promotion,
        stage: &Stage,
    ) -> Result<Result<Promotion, (Promotion, String)>, Error> {
        let stores = &self.context.stores;
        let tasks = complete::Tasks::of(stores, &self.key.namespace);
        let freight = stores.freight.in_namespace(&self.key.namespace);
        // A policy that cannot be read promotes nothing by itself.
        let auto = policy::switch(stores, stage) == Ok(Switch::On);
        let missing = complete::missing(&promotion, stage, &tasks, &freight, auto, self.now());
        let change = match missing {
            Ok(None) => return Ok(Ok(promotion)),
            Ok(Some(change)) => change,
            Err(message) => return Ok(Err((promotion, message))),
        };
        let name = promotion.name_any();
        self.context.metrics.wrote("Promotion");
        let params = kube::api::PatchParams::default();
        let patched = self.api.patch(&name, &params, &kube::api::Patch::Merge(&change)).await;
        match patched {
            Ok(completed) => Ok(Ok(completed)),
            Err(e) if is_invalid(&e) => {
                let said = crate::error::said(&e);
                Ok(Err((promotion, format!("the Promotion could not be completed: {said}"))))
            }
            Err(e) => Err(Error::api(format_args!("complete Promotion {}", self.key), e)),
        }
    }

    fn stage_key(&self, promotion: &Promotion) -> Key {
        Key::new(&self.key.namespace, &promotion.spec.stage)
    }

    fn freight_key(&self, promotion: &Promotion) -> Key {
        Key::new(&self.key.namespace, promotion.spec.freight.as_deref().unwrap_or_default())
    }

    /// The Stage, from the cache or, where it is not there yet, from the API.
    async fn stage(&self, promotion: &Promotion) -> Result<Option<Arc<Stage>>, Error> {
        let key = self.stage_key(promotion);
        if let Some(stage) = self.context.stores.stages.get(&key) {
            return Ok(Some(stage));
        }
        let stages: Api<Stage> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let found = stages.get_opt(&key.name).await;
        let found = found.map_err(|e| {
            let what = format!(
                "error finding Stage {:?} in namespace {:?}",
                promotion.spec.stage, key.namespace
            );
            Error::api(what, e)
        })?;
        Ok(found.map(Arc::new))
    }

    /// The Freight, if the Stage may have it; else why not. The cache may be
    /// behind a verification that just ended, so its no is asked about again.
    async fn freight(
        &self,
        promotion: &Promotion,
        stage: &Stage,
    ) -> Result<Result<Arc<Freight>, String>, Error> {
        let key = self.freight_key(promotion);
        if let Some(freight) = self.context.stores.freight.get(&key)
            && self.is_available(stage, &freight)
        {
            return Ok(Ok(freight));
        }
        let api: Api<Freight> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await;
        let found = found.map_err(|e| {
            let what =
                format!("error finding Freight {:?} in namespace {:?}", key.name, key.namespace);
            Error::api(what, e)
        })?;
        let Some(freight) = found else {
            let (name, namespace) = (&key.name, &key.namespace);
            return Ok(Err(format!("Freight {name:?} not found in namespace {namespace:?}")));
        };
        if !self.is_available(stage, &freight) {
            return Ok(Err(format!(
                "Freight {:?} is not available to Stage {:?} in namespace {:?}",
                key.name, promotion.spec.stage, key.namespace
            )));
        }
        Ok(Ok(Arc::new(freight)))
    }

    fn is_available(&self, stage: &Stage, freight: &Freight) -> bool {
        let (name, now) = (freight.name_any(), self.now());
        admission::validate_promoted_freight(stage, &name, Some(freight), now).is_none()
    }

    /// What the engine is to do, with the Freight noted on `status`.
    fn run(
        &self,
        promotion: &Promotion,
        stage: &Stage,
        freight: &Freight,
        status: &mut PromotionStatus,
    ) -> Run {
        let target = reference(freight);
        let collection = freight_collection(stage, &target);
        status.freight = Some(target.clone());
        status.freight_collection = Some(collection.clone());
        Run {
            freight_requests: stage.spec.requested_freight.clone(),
            freight: collection,
            target_alias: freight.alias.clone(),
            ..self.run_of(promotion, target)
        }
    }

    /// What the Promotion says by itself of what the engine is to do.
    fn run_of(&self, promotion: &Promotion, target: FreightReference) -> Run {
        let annotations = promotion.metadata.annotations.as_ref();
        Run {
            project: self.key.namespace.clone(),
            stage: promotion.spec.stage.clone(),
            promotion: self.key.name.clone(),
            promotion_uid: promotion.uid().unwrap_or_default(),
            actor: status::actor(promotion).to_owned(),
            rollback: annotations
                .and_then(|a| a.get(api::annotations::ROLLBACK))
                .is_some_and(|v| v == "true"),
            ui_base_url: self.context.settings.api_server_base_url.clone(),
            vars: promotion.spec.vars.clone(),
            steps: promotion.spec.steps.clone(),
            freight_requests: Vec::new(),
            freight: api::FreightCollection::default(),
            target_freight: target,
            target_alias: String::new(),
            workdir: self.workdir.clone(),
            cancel: self.cancel.clone(),
        }
    }

    /// The limit on the time of the step that the Promotion waits for.
    fn limited(&self, promotion: &Promotion, status: &PromotionStatus) -> Option<Limited> {
        let index = usize::try_from(status.current_step).ok()?;
        let step = promotion.spec.steps.get(index)?;
        let kind = self.context.promotion.engine.registry.get(&step.uses)?;
        let timeout = engine::limits(step, kind.as_ref()).timeout?;
        let alias = engine::alias_of(step, index);
        let entry = status.step_execution_metadata.iter().find(|e| e.alias == alias)?;
        Some(Limited { started_at: times::read(entry.started_at.as_ref())?, timeout })
    }
}

/// The Freight as a status keeps it.
fn reference(freight: &Freight) -> FreightReference {
    FreightReference {
        name: freight.name_any(),
        origin: freight.origin.clone(),
        commits: freight.commits.clone(),
        images: freight.images.clone(),
        charts: freight.charts.clone(),
        artifacts: freight.artifacts.clone(),
    }
}

/// What is left of [`GRACE`], where the Stage is free to take the Promotion.
fn grace(stage: &Stage, promotion: &Promotion, now: Timestamp) -> Option<Duration> {
    if stage.status.as_ref().is_some_and(|s| s.current_promotion.is_some()) {
        return None;
    }
    let created = promotion.metadata.creation_timestamp.as_ref()?.0;
    GRACE.checked_sub(times::since(created, now)).filter(|left| !left.is_zero())
}

fn superseded(refused: Refused) -> Result<Outcome, Error> {
    match refused {
        Refused::Superseded(_) => Ok(Outcome::After(SOON)),
        Refused::Api(error) => Err(error),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the engine panicked".to_owned())
}
