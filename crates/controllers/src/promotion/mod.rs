//! Promotions: a Stage's steps run for one piece of Freight (`promotions` 4 to
//! 8 and 10).
//!
//! What wakes a Promotion: its creation; a change of its spec, a refresh or an
//! abort; its Stage naming it as the current one; a change of an Argo CD
//! Application that it waits for. A timer is the backstop ([`requeue`]).
//!
//! [`reconcile`] is the pass. What it decides with is pure: [`abort`],
//! [`complete`], [`events`], [`freight_collection`], [`requeue`], [`status`].
//! The steps themselves are run by `promotion::engine`, which writes its
//! progress through [`record`]; [`lookups`] is what expressions read,
//! [`memory`] what is kept between passes, and [`metrics`] what is counted.

pub mod abort;
pub mod complete;
pub mod events;
pub mod freight_collection;
pub mod lookups;
pub mod memory;
pub mod metrics;
pub mod reconcile;
pub mod record;
pub mod requeue;
pub mod status;
mod sweep;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::promotion::engine::Engine;
use api::{Promotion, Stage};
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use self::memory::Memory;
use crate::Context;
use crate::queue::Queue;
use crate::store::{Change, Key};

/// What the Promotion controller needs beside the context.
#[derive(Clone)]
pub struct Parts {
    /// Runs the steps.
    pub engine: Engine,
    /// Where the working directories are.
    pub workdirs: PathBuf,
}

impl Parts {
    /// Parts whose working directories are in the machine's directory for
    /// temporary files.
    pub fn new(engine: Engine) -> Self {
        Self { engine, workdirs: std::env::temp_dir() }
    }

    /// The same parts with the working directories elsewhere.
    #[must_use]
    pub fn with_workdirs(mut self, workdirs: impl Into<PathBuf>) -> Self {
        self.workdirs = workdirs.into();
        self
    }

    /// The Promotion's working directory (`promotions` 6.3).
    pub fn workdir_of(&self, promotion: &Promotion) -> PathBuf {
        workdir(&self.workdirs, promotion)
    }
}

fn workdir(workdirs: &Path, promotion: &Promotion) -> PathBuf {
    workdirs.join(format!("promotion-{}", promotion.uid().unwrap_or_default()))
}

/// Runs the Promotion controller until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let queue = Queue::new();
    let memory = Memory::default();
    watch(&context, &queue, &memory);
    sweep::start(&context);
    let workers = context.settings.workers.promotion;
    let metrics = context.metrics.clone();
    let cancel = shutdown.clone();
    queue
        .run("promotion", workers, metrics, shutdown, move |key| {
            let context = Arc::clone(&context);
            let memory = memory.clone();
            let cancel = cancel.child_token();
            async move { reconcile::reconcile(&context, &memory, &key, cancel).await }
        })
        .await;
}

/// What wakes Promotions.
fn watch(context: &Arc<Context>, queue: &Queue, memory: &Memory) {
    let (to, known) = (queue.clone(), memory.clone());
    let workdirs = context.promotion.workdirs.clone();
    context.stores.promotions.subscribe(move |change| match change {
        Change::Added(new) => {
            if !status::phase(new).is_terminal() {
                to.add(Key::of(new.as_ref()));
            }
        }
        Change::Updated { old, new } => {
            if status::is_woken(old, new) {
                to.add(Key::of(new.as_ref()));
            }
        }
        Change::Deleted(old) => {
            known.forget(&Key::of(old.as_ref()));
            let path = workdir(&workdirs, old);
            // Removing may take long; the watch goes on meanwhile.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { reconcile::remove(&path).await });
            }
        }
    });
    let to = queue.clone();
    context.stores.stages.subscribe(move |change| {
        let (old, new) = match change {
            Change::Added(new) => (None, new),
            Change::Updated { old, new } => (current(old), new),
            Change::Deleted(_) => return,
        };
        if let Some(name) = current(new).filter(|name| old != Some(name)) {
            to.add(Key::new(new.namespace().unwrap_or_default(), name));
        }
    });
    let (to, known) = (queue.clone(), memory.clone());
    context.stores.applications.subscribe(move |change| {
        for key in known.wake(change) {
            to.add(key);
        }
    });
}

/// The name of the Stage's current Promotion.
fn current(stage: &Stage) -> Option<&str> {
    stage.status.as_ref()?.current_promotion.as_ref().map(|p| p.name.as_str())
}
