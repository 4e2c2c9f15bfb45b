//! Writes a Promotion's status while the engine runs it.
//!
//! Every write carries the resourceVersion that was last seen: a write that
//! somebody else's came before is refused, and nothing acts outside on a
//! status that is not ours. A change of annotations (a refresh) is no reason
//! to stop; a change of the status, an abort or a deletion is.

use ::promotion::engine::{RecordError, Recorder};
use api::{Promotion, PromotionStatus};
use async_trait::async_trait;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::Value;

use super::abort;
use crate::context::Context;
use crate::error::{Error, ErrorClass, said};
use crate::patch;

/// How often a write is tried against changes of annotations.
const ATTEMPTS: usize = 5;

/// Writes the status of one Promotion.
pub struct StatusWriter<'a> {
    api: Api<Promotion>,
    /// As the API server last gave it.
    known: Promotion,
    context: &'a Context,
    /// Whether what is written is the end that an abort asks for.
    aborts: bool,
}

/// Why a write did not take place.
#[derive(Debug)]
pub enum Refused {
    /// Nothing may be done for the Promotion any more in this pass.
    Superseded(String),
    /// What the API server said.
    Api(Error),
}

impl<'a> StatusWriter<'a> {
    /// A writer that goes on from `known`.
    pub fn new(api: Api<Promotion>, known: Promotion, context: &'a Context) -> Self {
        Self { api, known, context, aborts: false }
    }

    /// The Promotion as the API server last gave it.
    pub fn known(&self) -> &Promotion {
        &self.known
    }

    /// Whether `status` says no more than what is on the server but for
    /// outputs: of a step that was begun there and still waits.
    pub fn only_outputs_differ(&self, status: &PromotionStatus) -> bool {
        let Some(known) = &self.known.status else { return false };
        let but_for_outputs = PromotionStatus { state: known.state.clone(), ..status.clone() };
        as_json(Some(&but_for_outputs)) == as_json(Some(known))
    }

    /// Takes the object as the API server has it now; the stores hear of it
    /// too, long before the watch tells them.
    fn take(&mut self, object: Promotion) {
        self.context.stores.promotions.apply(object.clone());
        self.known = object;
    }

    /// The same writer for the status of a Promotion that is terminated.
    #[must_use]
    pub fn aborting(self) -> Self {
        Self { aborts: true, ..self }
    }

    /// Writes what differs from the last known status, if anything.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn write(&mut self, status: &PromotionStatus) -> Result<(), Refused> {
        let name = self.known.name_any();
        let metrics = &self.context.metrics;
        for _ in 0..ATTEMPTS {
            let version = self.known.resource_version();
            let before = self.known.status.as_ref();
            let written =
                patch::status(&self.api, &name, before, status, version.as_deref(), metrics);
            match written.await {
                Ok(Some(object)) => {
                    self.take(object);
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(error) if error.class() == ErrorClass::Conflict => self.read_again().await?,
                Err(error) if error.class() == ErrorClass::NotFound => {
                    return Err(Refused::Superseded("it was deleted".to_owned()));
                }
                Err(error) => return Err(Refused::Api(error)),
            }
        }
        Err(Refused::Superseded("it changes faster than it can be written".to_owned()))
    }

    /// Takes note of a change that was not ours, unless it ends our part.
    async fn read_again(&mut self) -> Result<(), Refused> {
        let name = self.known.name_any();
        let stop = |why: &str| Err(Refused::Superseded(why.to_owned()));
        let fresh = match self.api.get_opt(&name).await {
            Ok(Some(fresh)) => fresh,
            Ok(None) => return stop("it was deleted"),
            Err(e) => return Err(Refused::Api(Error::api("failed to get the Promotion", e))),
        };
        if fresh.uid() != self.known.uid() || fresh.metadata.deletion_timestamp.is_some() {
            return stop("it was deleted");
        }
        let other = as_json(fresh.status.as_ref()) != as_json(self.known.status.as_ref());
        let abort = !self.aborts && abort::requested(&fresh).is_some();
        // The next pass must not begin with what was overtaken.
        self.take(fresh);
        match (other, abort) {
            (true, _) => stop("another process wrote its status"),
            (_, true) => stop("it is to be terminated"),
            _ => Ok(()),
        }
    }
}

fn as_json(status: Option<&PromotionStatus>) -> Value {
    status.and_then(|s| serde_json::to_value(s).ok()).unwrap_or_default()
}

#[async_trait]
impl Recorder for StatusWriter<'_> {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        // The intent of a step that goes on is there already.
        if self.only_outputs_differ(status) {
            return Ok(());
        }
        self.intend(status).await
    }

    async fn intend(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.write(status).await.map_err(|refused| match refused {
            Refused::Superseded(why) => RecordError::Superseded(why),
            Refused::Api(error) => RecordError::Failed(error.to_string()),
        })
    }
}

/// The API server's own words, for a status it refused as invalid.
pub fn words(error: &Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .and_then(|e| e.downcast_ref::<kube::Error>())
        .map_or_else(|| error.to_string(), said)
}
