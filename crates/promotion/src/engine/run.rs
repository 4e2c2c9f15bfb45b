//! The loop over a Promotion's steps (`promotions` 7.2).
//!
//! # Durability
//!
//! The Promotion's status is the journal (house rule 5). Before a step that
//! acts outside runs, its entry (Running, `startedAt`) is on the status,
//! together with the results of all steps before it; that one write is both
//! its intent and their result. A step that only reads or touches the working
//! directory needs no write of its own: were it lost, nobody outside has seen
//! its effect, and it runs anew. A step that pushes takes in others' commits
//! first and records its intent itself, with the commit's id, at the last moment
//! ([`super::intents`]). A commit's time is the recorded start of
//! `git-commit`, and it is recorded before the push that shows the commit to
//! anyone. So a Promotion of six steps (clone, parse, update, commit, push,
//! sync) costs one write in the push, one between push and sync, and one
//! at the end of each pass.
//!
//! Further writes happen only where somebody watches: when a step takes
//! longer than [`Engine::show_after`] the progress so far is written while it
//! runs; and after a step that acted outside, before one that does not.
//!
//! A pass that finds an earlier one's status resumes at `currentStep`
//! ([`super::plan`]); a working directory that is missing, or holds more than
//! the status says ([`super::journal`]), is rebuilt first by replaying the steps that
//! touch it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{PromotionPhase, PromotionStatus, PromotionStep};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::engine::pass::Pass;
use crate::engine::record::{RecordError, Recorder};
use crate::engine::scope::Functions;
use crate::engine::{completion, full_disk, journal, times};
use crate::error::StepError;
use crate::step::Registry;
use crate::workdir::WorkDirError;
use crate::world::World;

/// What a Promotion asks for: everything that does not change while it runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// The Project, which is the namespace.
    pub project: String,
    /// The Stage that is promoted to.
    pub stage: String,
    /// The Promotion's name.
    pub promotion: String,
    /// The Promotion's UID.
    pub promotion_uid: String,
    /// Who asked for it, without the prefix (`promotions` 6.1).
    pub actor: String,
    /// Whether it rolls the Stage back (annotation `kargo.akuity.io/rollback`).
    pub rollback: bool,
    /// The base address of the user interface, for `ctx.uiBaseUrl`.
    pub ui_base_url: String,
    /// The Promotion's variables.
    pub vars: Vec<api::ExpressionVariable>,
    /// The Promotion's steps, tasks inflated, each with its alias.
    pub steps: Vec<PromotionStep>,
    /// What the Stage asks for.
    pub freight_requests: Vec<api::FreightRequest>,
    /// The Freight that the Promotion brings, with what the Stage has already.
    pub freight: api::FreightCollection,
    /// The Freight that is promoted.
    pub target_freight: api::FreightReference,
    /// The target Freight's alias as it is now.
    pub target_alias: String,
    /// Where the working directory is or is to be: `…/promotion-<uid>`.
    pub workdir: PathBuf,
    /// Cancelled when the process ends or loses its lease.
    pub cancel: CancellationToken,
}

/// How a pass ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All steps are done: the phase is final. The caller writes the status.
    Finished(PromotionStatus),
    /// A step is to be run again. The caller writes the status.
    Waiting {
        /// As it is to be written: Running.
        status: PromotionStatus,
        /// When the step wants to be asked again at the latest.
        retry_after: Option<Duration>,
        /// Why it must run again, where that is an error: back off.
        error: Option<StepError>,
        /// Whether the working directory is to be rebuilt before the next
        /// attempt: a step failed half-way in it.
        rebuild: bool,
    },
    /// The pass was cut short; what was written so far stands and the next
    /// pass resumes. The caller writes nothing.
    Interrupted(Interruption),
}

/// Why a pass was cut short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interruption {
    /// The process ends, or lost its lease.
    #[error("execution canceled: context canceled")]
    Cancelled,
    /// The status could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Runs Promotions. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// The step kinds.
    pub registry: Registry,
    /// What steps reach outside of their working directory.
    pub world: World,
    /// The functions of expressions.
    pub functions: Arc<dyn Functions>,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How long a step may run before its progress is written for people to
    /// see.
    pub show_after: Duration,
}

/// The usual [`Engine::show_after`].
pub const SHOW_AFTER: Duration = Duration::from_secs(2);

impl Outcome {
    /// Notes that the caller wrote the status of a waiting Promotion: the
    /// working directory beneath `workdir` may be used by the next pass.
    ///
    /// # Errors
    /// What the file system says; the next pass then rebuilds the directory.
    pub fn written(&self, workdir: &std::path::Path) -> Result<(), WorkDirError> {
        match self {
            Self::Waiting { rebuild: false, .. } => journal::recorded(workdir),
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// An engine with the machine's clock and the usual [`SHOW_AFTER`].
    pub fn new(registry: Registry, world: World, functions: impl Functions + 'static) -> Self {
        Self {
            registry,
            world,
            functions: Arc::new(functions),
            now: Arc::new(Timestamp::now),
            show_after: SHOW_AFTER,
        }
    }

    /// Runs the Promotion as far as it goes now, from what `status` says was
    /// done. Never fails: what goes wrong is in the outcome.
    pub async fn run(
        &self,
        run: &Run,
        status: PromotionStatus,
        recorder: &mut dyn Recorder,
    ) -> Outcome {
        // A directory to be thrown away may hold a large clone.
        let base = run.workdir.clone();
        let opened = tokio::task::spawn_blocking(move || journal::open(&base)).await;
        const MAKING: &str = "error creating working directory";
        let (workdir, lost) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(e)) if full_disk::is_why(&e) => {
                return waiting(status, full_disk::error(MAKING, &e), (self.now)());
            }
            Ok(Err(e)) => return errored(status, format!("{MAKING}: {e}")),
            Err(e) => return errored(status, format!("{MAKING}: {e}")),
        };
        let mut pass = Pass::new(self, run, recorder, workdir, status);
        match pass.steps(lost).await {
            Ok(outcome) => outcome,
            Err(Interruption::Cancelled) => {
                // What is done is done; the next process need not do it again.
                if let Err(e) = pass.record().await {
                    tracing::debug!(promotion = run.promotion, "progress not recorded: {e}");
                }
                Outcome::Interrupted(Interruption::Cancelled)
            }
            Err(other) => Outcome::Interrupted(other),
        }
    }
}

/// A Promotion that ends before any step could run.
fn errored(mut status: PromotionStatus, message: String) -> Outcome {
    status.phase = PromotionPhase::Errored;
    status.message = message;
    Outcome::Finished(status)
}

/// A Promotion that cannot begin a pass now.
fn waiting(mut status: PromotionStatus, error: StepError, now: Timestamp) -> Outcome {
    status.phase = PromotionPhase::Running;
    status.message.clone_from(&error.message);
    let since = times::read(status.started_at.as_ref());
    let retry_after = Some(completion::back_off(error.class, since, now));
    Outcome::Waiting { status, retry_after, error: Some(error), rebuild: true }
}

/// The alias of the step at `index`; admission always sets one.
pub fn alias_of(step: &PromotionStep, index: usize) -> String {
    match step.alias.as_str() {
        "" => format!("step-{}", index + 1),
        alias => alias.to_owned(),
    }
}
