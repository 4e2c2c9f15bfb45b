//! Which Argo CD Applications a Promotion's steps look at, so that a change
//! of one wakes it (`promotions` 8).

use std::collections::BTreeSet;

use expr::Secrets;
use serde_json::{Value, json};

use crate::argocd::wakeups::{Interests, STEP_KINDS, applications};
use crate::engine::run::{Engine, Run, alias_of};
use crate::engine::scope::{Scope, Seen};

impl Engine {
    /// The Applications that the Promotion's steps look at, as far as their
    /// names and selectors can be evaluated with what `status` holds. What
    /// cannot is left out: the timer is the backstop.
    pub async fn applications(
        &self,
        run: &Run,
        status: &api::PromotionStatus,
        default_namespace: &str,
    ) -> Interests {
        self.looked_at(run, status, default_namespace, &STEP_KINDS, &Secrets::new()).await
    }

    /// The Applications that the Promotion's Events tell of, (namespace,
    /// name): those of `argocd-update` steps, one addressed by a selector
    /// without a name (`promotions` 10). Values of Secrets are masked.
    pub async fn applications_told(
        &self,
        run: &Run,
        status: &api::PromotionStatus,
        default_namespace: &str,
    ) -> BTreeSet<(String, String)> {
        let secrets = Secrets::new();
        let kinds = ["argocd-update"];
        let found = self.looked_at(run, status, default_namespace, &kinds, &secrets).await;
        let selected = found.selectors.into_iter().map(|(namespace, _)| (namespace, String::new()));
        let all = found.names.into_iter().chain(selected);
        all.map(|(namespace, name)| (secrets.mask(&namespace), secrets.mask(&name))).collect()
    }

    async fn looked_at(
        &self,
        run: &Run,
        status: &api::PromotionStatus,
        default_namespace: &str,
        kinds: &[&str],
        secrets: &Secrets,
    ) -> Interests {
        let mut interests = Interests::default();
        let state = status.state.clone().unwrap_or_default();
        for (index, step) in run.steps.iter().enumerate() {
            if !kinds.contains(&step.uses.as_str()) {
                continue;
            }
            let Some(apps) =
                step.config.as_ref().and_then(|c| c.get("apps")).and_then(Value::as_array)
            else {
                continue;
            };
            let alias = alias_of(step, index);
            let scope = Scope::new(
                run,
                step,
                &alias,
                std::sync::Arc::clone(&self.functions),
                secrets.clone(),
            );
            let seen = Seen { state: &state, entries: &status.step_execution_metadata };
            for app in apps {
                let mut wanted = json!({});
                for key in ["name", "namespace", "selector"] {
                    if let (Some(value), Some(wanted)) = (app.get(key), wanted.as_object_mut()) {
                        wanted.insert(key.to_owned(), value.clone());
                    }
                }
                if let Ok(app) = scope.evaluate(&wanted, seen).await {
                    interests.extend(applications(&json!({"apps": [app]}), default_namespace));
                }
            }
        }
        interests
    }
}
