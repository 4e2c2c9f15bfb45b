//! Who is told of every attempt at a step: metrics, the demo, benchmarks.

use std::time::Instant;

use api::PromotionStepStatus;
use tokio::sync::mpsc::UnboundedSender;

use crate::error::{ErrorClass, StepError};
use crate::step::StepResult;

/// One attempt at a step, as it went.
#[derive(Clone, Debug)]
pub struct StepRun {
    /// The Promotion's name.
    pub promotion: String,
    /// The step's alias.
    pub alias: String,
    /// The step's kind.
    pub kind: &'static str,
    /// How it ended.
    pub end: End,
    /// What it said.
    pub message: String,
    /// The output's `commit`, if it has one.
    pub commit: Option<String>,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a status.
    Status(PromotionStepStatus),
    /// In an error, which the engine may try again.
    Error(ErrorClass),
}

impl End {
    /// In a word, one of a fixed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Error(ErrorClass::Transient) => "transient",
            Self::Error(ErrorClass::RateLimited { .. }) => "rate_limited",
            Self::Error(ErrorClass::Auth) => "auth",
            Self::Error(ErrorClass::Config) => "config",
            Self::Error(ErrorClass::Conflict) => "conflict",
            Self::Error(ErrorClass::NotFound) => "not_found",
            Self::Error(ErrorClass::Internal) => "internal",
        }
    }
}

impl StepRun {
    /// What is told of an attempt that began at `began` and ends now.
    pub fn new(
        (promotion, alias, kind): (String, String, &'static str),
        began: Instant,
        result: &Result<StepResult, StepError>,
    ) -> Self {
        let (end, message, output) = match result {
            Ok(result) => (End::Status(result.status), &result.message, result.output.as_ref()),
            Err(error) => (End::Error(error.class), &error.message, error.output.as_deref()),
        };
        let commit = output.and_then(|o| o.get("commit")).and_then(|c| c.as_str());
        Self {
            promotion,
            alias,
            kind,
            end,
            message: message.clone(),
            commit: commit.map(str::to_owned),
            began,
            ended: Instant::now(),
        }
    }
}

/// Is told of attempts. What it does must be quick and cannot change anything.
pub trait Observer: Send + Sync {
    /// An attempt ended. Replays of steps into a lost working directory count.
    fn ran(&self, run: &StepRun);
}

/// Hands every attempt on. That nobody listens any more is no concern of the
/// step's.
impl Observer for UnboundedSender<StepRun> {
    fn ran(&self, run: &StepRun) {
        let _ = self.send(run.clone());
    }
}
