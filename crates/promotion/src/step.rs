//! What a step is, and what the engine hands to it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::engine::{RecordError, intents, schema};
use crate::error::{ErrorClass, StepError};
use crate::observe::Observer;
use crate::workdir::WorkDir;
use crate::world::World;

/// What a step does to the world. It decides how a Promotion resumes
/// (house rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reads only.
    Reads,
    /// Touches the working directory alone. May be replayed from recorded
    /// inputs when the directory was lost.
    WorkingDirectory,
    /// Acts outside: pushes, opens pull requests, patches Applications. Is
    /// never replayed once it finished; when its intent is on the status it
    /// first looks for its own earlier act.
    Outside,
}

/// Why the step runs now.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt {
    /// For the first time.
    First,
    /// It had been started before, by this process or an earlier one, and has
    /// not finished: look for what it may already have done.
    Again {
        /// What its last attempt left in the shared state, if anything.
        output: Option<Map<String, Value>>,
    },
    /// It finished before, but the working directory was lost: do to the
    /// directory what was done then, to the same bytes.
    Replay {
        /// The output that it recorded then.
        output: Map<String, Value>,
    },
}

/// A health check that a finished step leaves to the Stage.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// The checker's kind, for example `argocd-update`.
    pub uses: String,
    /// The checker's input.
    pub config: Value,
}

/// How an attempt ended, if it did not end in an error.
#[derive(Clone, Debug, PartialEq)]
pub struct StepResult {
    /// Succeeded, Skipped, Running, Failed.
    pub status: api::PromotionStepStatus,
    /// For people.
    pub message: String,
    /// What later steps see as `outputs.<alias>`.
    pub output: Option<Map<String, Value>>,
    /// Left to the Stage when the step succeeded.
    pub health_check: Option<HealthCheck>,
    /// When a Running step wants to be asked again at the latest.
    pub retry_after: Option<Duration>,
}

impl StepResult {
    /// A step that is done and has nothing to pass on.
    pub fn succeeded() -> Self {
        Self {
            status: api::PromotionStepStatus::Succeeded,
            message: String::new(),
            output: None,
            health_check: None,
            retry_after: None,
        }
    }

    /// A step that found nothing to do.
    pub fn skipped(message: impl Into<String>) -> Self {
        Self {
            status: api::PromotionStepStatus::Skipped,
            message: message.into(),
            ..Self::succeeded()
        }
    }

    /// A step that waits for something outside.
    pub fn running(message: impl Into<String>) -> Self {
        Self {
            status: api::PromotionStepStatus::Running,
            message: message.into(),
            ..Self::succeeded()
        }
    }

    /// The same result with an output.
    #[must_use]
    pub fn with_output(mut self, output: Map<String, Value>) -> Self {
        self.output = Some(output);
        self
    }
}

/// Where a step writes down what it is about to do outside
/// ([`Step::records_intent`]).
#[async_trait]
pub trait Intents: std::fmt::Debug + Send + Sync {
    /// Writes it to the Promotion's status, on the condition that nobody else
    /// wrote that in the meantime, in place of the step's earlier intent.
    ///
    /// # Errors
    /// It is not there: the step must not act.
    async fn record(&self, intent: Map<String, Value>) -> Result<(), RecordError>;
}

/// What the engine hands to a step: who asks, for what, and with which config.
/// Everything in it is a copy; a step changes shared state only by its output.
#[derive(Clone, Debug)]
pub struct StepContext {
    /// The Project, which is the namespace.
    pub project: String,
    /// The Stage that is promoted to.
    pub stage: String,
    /// The Promotion's name.
    pub promotion: String,
    /// The Promotion's UID.
    pub promotion_uid: String,
    /// Who asked for the Promotion (`promotions` 6.1), empty when nobody did.
    pub actor: String,
    /// The step's alias, by which later steps see its output.
    pub alias: String,
    /// When the step first started, as recorded on the Promotion's status.
    /// Commits take this as their time, so that a replay yields the same id.
    pub started_at: Timestamp,
    /// Why the step runs now.
    pub attempt: Attempt,
    /// The step's config with every expression evaluated; `{}` if none.
    pub config: Value,
    /// Outputs of earlier steps by alias.
    pub state: Map<String, Value>,
    /// Messages of earlier steps by alias (for `messageFromSteps`).
    pub messages: Vec<(String, String)>,
    /// What the Stage asks for.
    pub freight_requests: Vec<api::FreightRequest>,
    /// The Freight that the Promotion brings, with what the Stage already has.
    pub freight: api::FreightCollection,
    /// The Freight that is promoted.
    pub target_freight: api::FreightReference,
    /// The directory that the steps work in.
    pub workdir: WorkDir,
    /// Where its intents go.
    pub intents: Arc<dyn Intents>,
    /// Cancelled when the process ends or loses its lease: no outside effect
    /// may begin after that.
    pub cancel: CancellationToken,
}

impl StepContext {
    /// What an earlier attempt recorded with [`StepContext::intents`].
    pub fn earlier_intent(&self) -> Option<&Map<String, Value>> {
        match &self.attempt {
            Attempt::Again { output: Some(output) } => output.get(intents::KEY)?.as_object(),
            _ => None,
        }
    }

    /// The config as the step's own type.
    ///
    /// # Errors
    /// A terminal failure in the words of `promotions` 7.4 when it does not fit.
    pub fn config<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Result<T, StepError> {
        serde_json::from_value(self.config.clone()).map_err(|e| {
            StepError::failed(
                ErrorClass::Config,
                format!("could not convert config into {kind} config: {e}"),
            )
        })
    }
}

/// A kind of step.
#[async_trait]
pub trait Step: Send + Sync {
    /// The name that `uses` gives, for example `git-clone`.
    fn kind(&self) -> &'static str;

    /// What it does to the world.
    fn effect(&self) -> Effect;

    /// Whether a step that acts outside records for itself, before each of its
    /// acts, what exactly it is about to do ([`StepContext::intents`]). The
    /// engine then writes nothing before it runs.
    fn records_intent(&self) -> bool {
        false
    }

    /// Whether it reads or writes the working directory. A Promotion that
    /// resumes without its directory rebuilds it only for steps that do.
    fn needs_workdir(&self) -> bool {
        true
    }

    /// Whether it is run again, with [`Attempt::Replay`], where a lost working
    /// directory is rebuilt. A step that acts outside does then to the directory
    /// what its act had done to it, and nothing outside.
    fn replays(&self) -> bool {
        self.effect() == Effect::WorkingDirectory
    }

    /// The soft limit on the step's whole time, if it has one.
    fn default_timeout(&self) -> Option<Duration> {
        None
    }

    /// How many errors end the step.
    fn default_error_threshold(&self) -> u32 {
        1
    }

    /// Whether its output is also put at its task's alias (`promotions` 7.5).
    fn propagates_task_output(&self) -> bool {
        false
    }

    /// JSON Schema of its config, used for validation before it runs.
    fn config_schema(&self) -> Value;

    /// Does the step's work once.
    ///
    /// # Errors
    /// See [`StepError`]; the engine decides about the next attempt.
    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError>;
}

/// The step kinds that an engine knows, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    observers: Vec<Arc<dyn Observer>>,
}

#[derive(Clone)]
struct Kind {
    step: Arc<dyn Step>,
    /// Compiled when first used.
    schema: Arc<OnceLock<Result<jsonschema::Validator, String>>>,
}

impl Registry {
    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, step: impl Step + 'static) -> Self {
        let name = step.kind();
        self.kinds.insert(name, Kind { step: Arc::new(step), schema: Arc::default() });
        self
    }

    /// Tells `observer` of every attempt at a step.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Those who are told of attempts.
    pub fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.observers
    }

    /// The kind of that name.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Step>> {
        self.kinds.get(kind).map(|k| &k.step)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// What is wrong with a config of that kind, one line a problem; empty
    /// when it fits (`promotions` 7.4).
    ///
    /// # Errors
    /// The kind's own schema is wrong, which is a defect.
    pub fn config_problems(&self, kind: &str, config: &Value) -> Result<Vec<String>, String> {
        let Some(kind) = self.kinds.get(kind) else { return Ok(Vec::new()) };
        kind.schema
            .get_or_init(|| schema::compile(&kind.step.config_schema()))
            .as_ref()
            .map(|validator| schema::problems(validator, config))
            .map_err(Clone::clone)
    }
}
