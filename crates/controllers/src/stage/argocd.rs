//! The one kind of health check: the Argo CD Applications that a Promotion
//! updated (`stages` 11), read from the shared store.

use std::time::Duration;

use ::promotion::argocd::ancestry::Ancestry;
use ::promotion::argocd::application::{Application, REFRESH};
use ::promotion::argocd::health as check;
use ::promotion::argocd::patch::refresh_request;
use api::StageStatus;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::health::{Checked, Checker};
use crate::Context;
use crate::store::Key;

/// Runs health checks over the Applications that the process knows.
pub struct Checks<'a> {
    context: &'a Context,
    now: Timestamp,
    refresh: Vec<Key>,
    /// When to look again although no event may come.
    pub look_again_after: Option<Duration>,
    /// Whether an Application's state is from before its last sync's end.
    pub is_unsettled: bool,
}

impl<'a> Checks<'a> {
    /// Checks over `context`'s Applications.
    pub fn new(context: &'a Context) -> Self {
        Self {
            context,
            now: context.clock.now(),
            refresh: Vec::new(),
            look_again_after: None,
            is_unsettled: false,
        }
    }

    fn ancestry(&self) -> Ancestry {
        let git = self.context.promotion.engine.world.git.as_ref();
        git.map(|git| git.ancestry.clone()).unwrap_or_default()
    }

    /// Finds out which revisions contain the commits that the last
    /// Promotion's checks desire, where that is not known yet.
    pub async fn look_up_commits(&self, project: &str, status: &StageStatus) {
        let last = status.last_promotion.as_ref().and_then(|l| l.status.as_ref());
        let ancestry = self.ancestry();
        let mut open = Vec::new();
        for step in last.into_iter().flat_map(|s| &s.health_checks) {
            let config = step.config.as_ref().filter(|_| step.uses == check::KIND);
            let Some(Ok(input)) = config.map(check::input) else { continue };
            for app in &input.apps {
                let namespace = app.namespace_or(&self.context.settings.argocd_namespace);
                let key = Key::new(namespace, &app.name);
                let Some(found) = self.context.stores.applications.get(&key) else { continue };
                let desired = app.desired_revisions.as_deref().unwrap_or_default();
                open.extend(check::open_questions(&found, desired, &ancestry));
            }
        }
        let world = &self.context.promotion.engine.world;
        ancestry.look_up(&open, project, world, &CancellationToken::new()).await;
    }

    /// Asks Argo CD to look again at the Applications whose health could not
    /// be trusted, unless somebody has asked already. Failure is only logged.
    pub async fn ask_for_refreshes(&self) {
        for key in &self.refresh {
            let Some(app) = self.context.stores.applications.get(key) else { continue };
            let annotations = app.metadata.annotations.as_ref();
            if annotations.is_some_and(|a| a.contains_key(REFRESH)) {
                continue;
            }
            let api: Api<Application> =
                Api::namespaced(self.context.argocd.clone(), &key.namespace);
            self.context.metrics.wrote("Application");
            let patch = Patch::Merge(refresh_request());
            match api.patch(&key.name, &PatchParams::default(), &patch).await {
                Ok(app) => self.context.stores.applications.apply(app),
                Err(e) => {
                    tracing::warn!(application = %key, error = crate::error::said(&e), "cannot ask Argo CD to refresh");
                }
            }
        }
    }
}

impl Checker for Checks<'_> {
    fn check(&mut self, uses: &str, config: &Value) -> Option<Checked> {
        if uses != check::KIND {
            return None;
        }
        let stores = &self.context.stores;
        let found = if !stores.applications.is_available() {
            if self.context.settings.argocd_enabled {
                check::Assessment::absent()
            } else {
                check::Assessment::disabled()
            }
        } else {
            match check::input(config) {
                Err(assessment) => *assessment,
                Ok(input) => {
                    let namespace = &self.context.settings.argocd_namespace;
                    check::assess(
                        &input,
                        namespace,
                        &self.ancestry(),
                        self.now,
                        |namespace, name| match stores.applications.get(&Key::new(namespace, name))
                        {
                            None => check::Lookup::Missing,
                            Some(app) => check::Lookup::Found {
                                settled: self.context.settled.is_settled(&app),
                                app: Box::new((*app).clone()),
                            },
                        },
                    )
                }
            }
        };
        self.is_unsettled |= found.look_again_after.is_some() || !found.refresh.is_empty();
        self.refresh.extend(found.refresh.into_iter().map(|(ns, name)| Key::new(ns, name)));
        if let Some(after) = found.look_again_after {
            self.look_again_after = Some(self.look_again_after.map_or(after, |old| old.min(after)));
        }
        Some(Checked { state: found.state, issues: found.issues, output: found.output })
    }
}
