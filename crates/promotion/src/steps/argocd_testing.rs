//! What the tests of the Argo CD steps share.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::argocd::samples::FakeArgoCd;
use crate::step::{Attempt, StepContext};
use crate::workdir::WorkDir;
use crate::world::World;

/// A step's context, and the directory that it must outlive.
pub(crate) fn context(config: Value, attempt: Attempt) -> (StepContext, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let context = StepContext {
        project: "fake-project".into(),
        stage: "fake-stage".into(),
        promotion: "fake-promotion".into(),
        promotion_uid: "uid".into(),
        actor: String::new(),
        alias: "step".into(),
        started_at: "2026-11-24T21:47:35.4Z".parse().unwrap(),
        attempt,
        config,
        state: Map::new(),
        messages: Vec::new(),
        freight_requests: Vec::new(),
        freight: api::FreightCollection::default(),
        target_freight: api::FreightReference::default(),
        workdir: WorkDir::open(dir.path()).unwrap().0,
        intents: Arc::new(crate::engine::intents::NoIntents),
        cancel: CancellationToken::new(),
    };
    (context, dir)
}

/// A world with that Argo CD in it.
pub(crate) fn world(argocd: &Arc<FakeArgoCd>) -> World {
    World { argocd: Some(argocd.clone()), ..World::default() }
}
