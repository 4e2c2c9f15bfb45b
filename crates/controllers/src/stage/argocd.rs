//! The one kind of health check: the Argo CD Applications that a Promotion
//! updated (`stages` 11), read from the shared store.

use std::time::Duration;

use ::promotion::argocd::application::{Application, REFRESH};
use ::promotion::argocd::health as check;
use ::promotion::argocd::patch::refresh_request;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::Value;

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
}

impl<'a> Checks<'a> {
    /// Checks over `context`'s Applications.
    pub fn new(context: &'a Context) -> Self {
        Self { context, now: context.clock.now(), refresh: Vec::new(), look_again_after: None }
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
                Api::namespaced(self.context.client.clone(), &key.namespace);
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
            check::Assessment::disabled()
        } else {
            match check::input(config) {
                Err(assessment) => *assessment,
                Ok(input) => {
                    let namespace = &self.context.settings.argocd_namespace;
                    check::assess(&input, namespace, self.now, |namespace, name| {
                        match stores.applications.get(&Key::new(namespace, name)) {
                            None => check::Lookup::Missing,
                            Some(app) => check::Lookup::Found {
                                settled: self.context.settled.is_settled(&app),
                                app: Box::new((*app).clone()),
                            },
                        }
                    })
                }
            }
        };
        self.refresh.extend(found.refresh.into_iter().map(|(ns, name)| Key::new(ns, name)));
        if let Some(after) = found.look_again_after {
            self.look_again_after = Some(self.look_again_after.map_or(after, |old| old.min(after)));
        }
        Some(Checked { state: found.state, issues: found.issues, output: found.output })
    }
}
