//! One pass over a Promotion's steps; see [`super::run`] for its rules.

use std::sync::Arc;
use std::time::Instant;

use api::{
    HealthCheckStep, PromotionPhase, PromotionStatus, PromotionStep, PromotionStepStatus as Status,
    StepExecutionMetadata,
};
use expr::Secrets;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::engine::completion::{self, Attempted, Limits, Verdict};
use crate::engine::final_phase::final_phase;
use crate::engine::plan::{self, Traits};
use crate::engine::record::{RecordError, Recorder};
use crate::engine::run::{Engine, Interruption, Outcome, Run, alias_of};
use crate::engine::scope::{Scope, Seen};
use crate::engine::{bounds, full_disk, intents, journal, outputs, times};
use crate::error::{ErrorClass, StepError};
use crate::observe::StepRun;
use crate::step::{Attempt, Effect, Step, StepContext};
use crate::workdir::WorkDir;

/// The state of a pass.
pub(super) struct Pass<'a> {
    engine: &'a Engine,
    run: &'a Run,
    recorder: &'a mut dyn Recorder,
    workdir: WorkDir,
    /// As it would be written, but for `state`.
    status: PromotionStatus,
    /// The shared state, with null where a step left nothing in this pass.
    state: Map<String, Value>,
    /// Whether a step acted outside since the last write.
    unrecorded_result: bool,
    /// Whether a step may be half done in the working directory.
    half_done: bool,
    secrets: Secrets,
}

/// A step of the Promotion, with what goes with it.
#[derive(Clone, Copy)]
struct At<'a> {
    index: usize,
    step: &'a PromotionStep,
    alias: &'a str,
}

/// What the end of a step's attempt depends on.
#[derive(Clone, Copy)]
struct EndTraits {
    limits: Limits,
    effect: Effect,
    propagates: bool,
    records_intent: bool,
}

/// Whether the pass goes on to the next step or ends with an outcome.
type Progress = Result<Option<Outcome>, Interruption>;

impl<'a> Pass<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        run: &'a Run,
        recorder: &'a mut dyn Recorder,
        workdir: WorkDir,
        status: PromotionStatus,
    ) -> Self {
        let state = status.state.clone().unwrap_or_default();
        Self {
            engine,
            run,
            recorder,
            workdir,
            status,
            state,
            unrecorded_result: false,
            half_done: false,
            secrets: Secrets::new(),
        }
    }

    /// Runs all steps that are still to run; `lost` says that the working
    /// directory is empty.
    pub(super) async fn steps(&mut self, lost: bool) -> Result<Outcome, Interruption> {
        let run = self.run;
        let aliases: Vec<String> =
            run.steps.iter().enumerate().map(|(i, s)| alias_of(s, i)).collect();
        let names: Vec<&str> = aliases.iter().map(String::as_str).collect();
        let kinds: Vec<Option<Traits>> = run
            .steps
            .iter()
            .map(|s| {
                let kind = self.engine.registry.get(&s.uses)?;
                let effect = if kind.replays() { Effect::WorkingDirectory } else { kind.effect() };
                Some(Traits { effect, needs_workdir: kind.needs_workdir() })
            })
            .collect();
        let plan = plan::plan(&self.status, &names, &kinds, lost);
        let steps: Vec<At<'_>> = run
            .steps
            .iter()
            .zip(&names)
            .enumerate()
            .map(|(index, (step, alias))| At { index, step, alias })
            .collect();
        self.learn_secrets(steps.get(..plan.from).unwrap_or(&steps)).await;
        if !plan.replay.is_empty() {
            self.touch(true)?;
            self.half_done = true;
            for at in plan.replay.iter().filter_map(|i| steps.get(*i)) {
                if let Some(outcome) = self.replay(*at, &steps).await? {
                    return Ok(outcome);
                }
            }
            self.half_done = false;
            self.touch(false)?;
        }
        for at in steps.iter().skip(plan.from) {
            if let Some(outcome) = self.step(*at).await? {
                return Ok(outcome);
            }
        }
        let (phase, message) = final_phase(&self.status.step_execution_metadata);
        self.status.phase = phase;
        self.status.message = message;
        self.status.current_step = index_of(run.steps.len().saturating_sub(1));
        Ok(Outcome::Finished(self.to_record()))
    }

    /// Looks up the secrets that steps saw in an earlier pass, so that what
    /// later steps say is masked as if they ran in the same one.
    async fn learn_secrets(&self, earlier: &[At<'_>]) {
        for at in earlier {
            if !mentions_secrets(self.run, at.step) {
                continue;
            }
            let seen = Seen { state: &self.state, entries: &self.status.step_execution_metadata };
            // What it evaluates to is of no interest here, nor whether it does.
            let _ = self.scope(*at).config(seen).await;
        }
    }

    /// Does to the working directory what the step did when it was recorded.
    async fn replay(&mut self, at: At<'_>, steps: &[At<'_>]) -> Progress {
        let run = self.run;
        let Some(kind) = self.engine.registry.get(&at.step.uses).cloned() else { return Ok(None) };
        if run.cancel.is_cancelled() {
            return Err(Interruption::Cancelled);
        }
        tracing::info!(
            promotion = run.promotion,
            step = at.alias,
            "rebuilding the working directory"
        );
        let earlier = steps.iter().take(at.index).map(|e| {
            let kind = self.engine.registry.get(&e.step.uses);
            (e.alias, kind.is_some_and(|k| k.propagates_task_output()))
        });
        let state = outputs::before(&self.state, earlier);
        let attempt = plan::replay(self.state.get(at.alias));
        let scope = self.scope(at);
        let failure = match self.context(at, &scope, attempt, &state).await {
            Ok(context) => match self.execute(at.alias, kind, context).await? {
                Ok(_) => return Ok(None),
                Err(error) => full_disk::passing(error),
            },
            Err(message) => StepError::terminal(ErrorClass::Config, message),
        };
        if run.cancel.is_cancelled() {
            return Err(Interruption::Cancelled);
        }
        let message = bounds::message(&self.secrets.mask(&format!(
            "the working directory was lost and could not be rebuilt: step {:?} ({}): {}",
            at.alias, at.step.uses, failure.message
        )));
        self.status.message.clone_from(&message);
        if failure.class.passes() && !failure.terminal {
            let retry_after = Some(completion::back_off(failure.class, None, (self.engine.now)()));
            let error = Some(StepError { message, ..failure });
            let status = self.to_record();
            return Ok(Some(Outcome::Waiting { status, retry_after, error, rebuild: true }));
        }
        self.status.phase = PromotionPhase::Errored;
        Ok(Some(Outcome::Finished(self.to_record())))
    }

    /// Runs one step.
    async fn step(&mut self, at: At<'_>) -> Progress {
        let run = self.run;
        self.status.current_step = index_of(at.index);
        if !self.status.step_execution_metadata.iter().any(|e| e.alias == at.alias) {
            self.status.step_execution_metadata.push(StepExecutionMetadata {
                alias: at.alias.to_owned(),
                continue_on_error: at.step.continue_on_error,
                ..Default::default()
            });
        }
        if run.cancel.is_cancelled() {
            return Err(Interruption::Cancelled);
        }
        let scope = self.scope(at);
        let started = plan::entry(&self.status, at.alias).is_some_and(|e| e.started_at.is_some());
        if !started {
            let entries = &self.status.step_execution_metadata;
            match scope.condition(Seen { state: &self.state, entries }).await {
                Ok(true) => {}
                Ok(false) => return self.visited(at, Status::Skipped, String::new()),
                Err(e) => {
                    let alias = at.alias;
                    let message =
                        format!("error checking if step {alias:?} should be skipped: {e}");
                    return self.visited(at, Status::Errored, message);
                }
            }
        }
        let Some(kind) = self.engine.registry.get(&at.step.uses).cloned() else {
            let message = format!(
                "step kind {:?} is not registered; verify the kind is correct; if you are a Kargo \
                 Enterprise user, you may need to enable the promotion controller",
                at.step.uses
            );
            return self.visited(at, Status::Errored, message);
        };
        let attempt = plan::attempt(plan::entry(&self.status, at.alias), self.state.get(at.alias));
        if !started {
            let now = times::api((self.engine.now)());
            self.update(at, |entry| {
                entry.started_at = now;
                entry.error_count = 0;
            });
        }
        let context = match self.context(at, &scope, attempt, &self.state).await {
            Ok(context) => context,
            Err(message) => return self.visited(at, Status::Errored, message),
        };
        if !started {
            self.update(at, |entry| entry.status = Status::Running);
        }
        let traits = EndTraits {
            limits: limits(at.step, kind.as_ref()),
            effect: kind.effect(),
            propagates: kind.propagates_task_output(),
            records_intent: kind.records_intent(),
        };
        let problems = match retry_problem(at.step) {
            Some(problem) => Ok(vec![problem]),
            None => self.engine.registry.config_problems(&at.step.uses, &context.config),
        };
        let attempted = match problems {
            Ok(problems) if problems.is_empty() => {
                let acts_outside = kind.effect() == Effect::Outside;
                // A result that is not recorded goes along with the intent.
                let records = acts_outside && kind.records_intent();
                if !records && (acts_outside || self.unrecorded_result) {
                    self.record().await?;
                    if run.cancel.is_cancelled() {
                        return Err(Interruption::Cancelled);
                    }
                }
                let touches = kind.needs_workdir() && kind.effect() != Effect::Reads;
                let marked = if touches { journal::unrecorded(&run.workdir) } else { Ok(()) };
                let attempted = match marked {
                    Ok(()) => {
                        self.half_done |= touches;
                        self.execute(at.alias, kind, context).await?
                    }
                    Err(e) => Err(full_disk::error("error marking the working directory", &e)),
                };
                if attempted.is_err() && run.cancel.is_cancelled() {
                    return Err(Interruption::Cancelled);
                }
                self.half_done = false;
                self.unrecorded_result |= acts_outside;
                attempted
            }
            Ok(problems) => Err(StepError::invalid_config(&at.step.uses, &problems)),
            Err(defect) => Err(StepError::terminal(ErrorClass::Internal, defect)),
        };
        self.finish(at, attempted, traits)
    }

    /// Merges an attempt's result.
    fn finish(&mut self, at: At<'_>, attempted: Attempted, traits: EndTraits) -> Progress {
        let attempted = attempted.map_err(full_disk::passing);
        let attempted = self.fit_to_keep(at.alias, attempted);
        let output = match &attempted {
            Ok(result) => result.output.as_ref(),
            Err(error) => error.output.as_deref(),
        };
        // Until the step is done, what it may have done stays on record.
        let intent = (traits.records_intent && output.is_none())
            .then(|| intents::kept(self.state.get(at.alias)))
            .flatten();
        let stays = output.or(intent.as_ref());
        outputs::put(&mut self.state, at.alias, stays, traits.propagates);
        let now = (self.engine.now)();
        let mut entries = self.status.step_execution_metadata.iter_mut();
        let Some(entry) = entries.find(|e| e.alias == at.alias) else { return Ok(None) };
        if let Verdict::Incomplete(error) =
            completion::complete(entry, &attempted, traits.limits, now)
        {
            self.status.phase = PromotionPhase::Running;
            self.status.message = error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
            let started = times::read(entry.started_at.as_ref());
            let retry_after = match &error {
                Some(error) if error.class.passes() => {
                    Some(completion::back_off(error.class, started, now))
                }
                _ => attempted.ok().and_then(|r| r.retry_after),
            };
            let rebuild = error.is_some() && traits.effect == Effect::WorkingDirectory;
            let status = self.to_record();
            return Ok(Some(Outcome::Waiting { status, retry_after, error, rebuild }));
        }
        let succeeded = entry.status == Status::Succeeded;
        if intent.is_some() {
            self.state.insert(at.alias.to_owned(), Value::Null);
        }
        if let (true, Some(check)) = (succeeded, attempted.ok().and_then(|r| r.health_check)) {
            self.status
                .health_checks
                .push(HealthCheckStep { uses: check.uses, config: Some(check.config) });
        }
        Ok(None)
    }

    /// Notes how a step ended that did not get as far as running.
    fn visited(&mut self, at: At<'_>, status: Status, message: String) -> Progress {
        let message = bounds::message(&self.secrets.mask(&message));
        self.update(at, |entry| {
            entry.status = status;
            entry.message = message;
        });
        Ok(None)
    }

    fn update(&mut self, at: At<'_>, change: impl FnOnce(&mut StepExecutionMetadata)) {
        let mut entries = self.status.step_execution_metadata.iter_mut();
        if let Some(entry) = entries.find(|e| e.alias == at.alias) {
            change(entry);
        }
    }

    /// Runs the step in a task of its own, so that its panic stays its own,
    /// writes the intents that it asks for, and the progress when it takes long.
    async fn execute(
        &mut self,
        alias: &str,
        kind: Arc<dyn Step>,
        mut context: StepContext,
    ) -> Result<Attempted, Interruption> {
        let world = self.engine.world.clone();
        let cancel = context.cancel.clone();
        let (intents, mut asked) = intents::line();
        if kind.records_intent() && !matches!(context.attempt, Attempt::Replay { .. }) {
            context.intents = Arc::new(intents);
        }
        let names = (context.promotion.clone(), context.alias.clone(), kind.kind());
        let began = Instant::now();
        let span = tracing::error_span!("step", kind = kind.kind(), alias = context.alias);
        let running = async move { kind.run(&context, &world).await };
        let mut task = AbortOnDrop(tokio::spawn(running.instrument(span)));
        let mut shown = false;
        let show = tokio::time::sleep(self.engine.show_after);
        tokio::pin!(show);
        let mut unrecorded = None;
        let joined = loop {
            tokio::select! {
                joined = &mut task.0 => break joined,
                Some(asked) = asked.recv() => {
                    let recorded = self.intend(alias, asked.intent).await;
                    // The step hears of it and ends; then the pass does.
                    unrecorded = recorded.as_ref().err().cloned();
                    if matches!(unrecorded, Some(RecordError::Superseded(_))) {
                        cancel.cancel();
                    }
                    let _ = asked.answer.send(recorded);
                }
                () = &mut show, if !shown => {
                    shown = true;
                    // The directory's mark stays: the step may be at work in it.
                    let status = self.to_record();
                    match self.recorder.record(&status).await {
                        Ok(()) => self.unrecorded_result = false,
                        Err(e @ RecordError::Superseded(_)) => {
                            cancel.cancel();
                            return Err(e.into());
                        }
                        // For people only; the step's intent is recorded already.
                        Err(e) => tracing::debug!("progress not shown: {e}"),
                    }
                }
            }
        };
        if let Some(error) = unrecorded {
            return Err(error.into());
        }
        let result = joined.unwrap_or_else(|e| {
            let value = match e.try_into_panic() {
                Ok(panic) => panic_text(panic.as_ref()),
                Err(e) => e.to_string(),
            };
            Err(StepError::terminal(ErrorClass::Internal, format!("step panicked: {value}")))
        });
        let observers = self.engine.registry.observers();
        if !observers.is_empty() {
            let mut run = StepRun::new(names, began, &result);
            run.message = self.secrets.mask(&run.message);
            observers.iter().for_each(|observer| observer.ran(&run));
        }
        Ok(result)
    }

    /// Writes what the step at work is about to do.
    async fn intend(&mut self, alias: &str, intent: Map<String, Value>) -> Result<(), RecordError> {
        let stored = self.secrets.mask_json(&Value::Object(intents::stored(intent)));
        self.state.insert(alias.to_owned(), stored);
        let status = self.to_record();
        self.recorder.intend(&status).await?;
        self.unrecorded_result = false;
        Ok(())
    }

    fn scope<'s>(&self, at: At<'s>) -> Scope<'s>
    where
        'a: 's,
    {
        let functions = Arc::clone(&self.engine.functions);
        Scope::new(self.run, at.step, at.alias, functions, self.secrets.clone())
    }

    /// Everything that the step is handed.
    async fn context(
        &self,
        at: At<'_>,
        scope: &Scope<'_>,
        attempt: Attempt,
        state: &Map<String, Value>,
    ) -> Result<StepContext, String> {
        let run = self.run;
        let all = self.status.step_execution_metadata.as_slice();
        let own = all.iter().position(|e| e.alias == at.alias);
        // A replay sees the steps before it, as its first run did.
        let entries = match (&attempt, own) {
            (Attempt::Replay { .. }, Some(own)) => all.get(..own).unwrap_or(all),
            _ => all,
        };
        let config = scope
            .config(Seen { state, entries })
            .await
            .map_err(|e| format!("failed to build step context: failed to get step config: {e}"))?;
        let started_at = own
            .and_then(|i| all.get(i))
            .and_then(|e| times::read(e.started_at.as_ref()))
            .unwrap_or_else(|| (self.engine.now)());
        let messages = entries.iter().filter(|e| e.alias != at.alias);
        Ok(StepContext {
            project: run.project.clone(),
            stage: run.stage.clone(),
            promotion: run.promotion.clone(),
            promotion_uid: run.promotion_uid.clone(),
            actor: run.actor.clone(),
            alias: at.alias.to_owned(),
            started_at,
            attempt,
            config,
            state: outputs::persisted(state.clone()),
            messages: messages.map(|e| (e.alias.clone(), e.message.clone())).collect(),
            freight_requests: run.freight_requests.clone(),
            freight: run.freight.clone(),
            target_freight: run.target_freight.clone(),
            workdir: self.workdir.clone(),
            intents: Arc::new(intents::NoIntents),
            cancel: run.cancel.child_token(),
        })
    }

    /// The attempt without the secret values that its expressions saw, and
    /// no larger than a status takes.
    fn fit_to_keep(&self, alias: &str, attempted: Attempted) -> Attempted {
        match attempted {
            Ok(mut result) => {
                let left_out = self.fit_output(alias, result.output.as_mut())?;
                result.message = self.fit_message(result.message, left_out);
                if let Some(check) = result.health_check.as_mut() {
                    check.config = self.secrets.mask_json(&check.config);
                }
                Ok(result)
            }
            Err(mut error) => {
                // The error says more than that its output is too large.
                let left_out = self.fit_output(alias, error.output.as_deref_mut());
                if left_out.is_err() {
                    error.output = None;
                }
                error.message = self.fit_message(error.message, left_out.unwrap_or_default());
                Err(error)
            }
        }
    }

    /// Masks the output and leaves out what is too large; says what.
    fn fit_output(
        &self,
        alias: &str,
        output: Option<&mut Map<String, Value>>,
    ) -> Result<String, StepError> {
        let Some(output) = output else { return Ok(String::new()) };
        if let Value::Object(masked) =
            self.secrets.mask_json(&Value::Object(std::mem::take(output)))
        {
            *output = masked;
        }
        bounds::output(&self.state, alias, output)
    }

    fn fit_message(&self, text: String, left_out: String) -> String {
        let text = match (text.as_str(), left_out.as_str()) {
            (_, "") => text,
            ("", _) => left_out,
            _ => format!("{text}; {left_out}"),
        };
        bounds::message(&self.secrets.mask(&text))
    }

    /// Writes what was done and what is about to be done.
    pub(super) async fn record(&mut self) -> Result<(), Interruption> {
        let status = self.to_record();
        self.recorder.record(&status).await?;
        self.unrecorded_result = false;
        self.touch(false)
    }

    /// The status as it is to be written.
    fn to_record(&self) -> PromotionStatus {
        let state = outputs::persisted(self.state.clone());
        PromotionStatus { state: (!state.is_empty()).then_some(state), ..self.status.clone() }
    }

    /// Marks the working directory as ahead of the status, or not.
    fn touch(&self, ahead: bool) -> Result<(), Interruption> {
        let base = &self.run.workdir;
        if self.half_done && !ahead {
            return Ok(());
        }
        let marked = if ahead { journal::unrecorded(base) } else { journal::recorded(base) };
        marked.map_err(|e| RecordError::Failed(e.to_string()).into())
    }
}

/// A task that does not outlive the pass.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What bounds the step: its own retry settings, else its kind's. No limit on
/// time where it is zero or negative.
pub fn limits(step: &PromotionStep, kind: &dyn Step) -> Limits {
    let retry = step.retry.as_ref();
    let threshold = retry.map(|r| r.error_threshold).filter(|n| *n > 0);
    let timeout = match retry.and_then(|r| r.timeout) {
        Some(timeout) => Some(timeout.to_std()),
        None => kind.default_timeout(),
    };
    Limits {
        error_threshold: threshold.unwrap_or_else(|| kind.default_error_threshold().max(1)),
        timeout: timeout.filter(|t| !t.is_zero()),
    }
}

/// What of the step's retry settings cannot be read: it must not run as if it
/// had none (`api` 3.4).
fn retry_problem(step: &PromotionStep) -> Option<String> {
    let (field, value, detail) = step.retry.as_ref()?.problem()?;
    Some(format!("retry.{field}: {value} {detail}"))
}

/// Whether evaluating the step may look a Secret up.
fn mentions_secrets(run: &Run, step: &PromotionStep) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains("secret");
    let config = step.config.as_ref().map(Value::to_string).unwrap_or_default();
    says(&config) || run.vars.iter().chain(&step.vars).any(|var| says(&var.value))
}

fn index_of(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
