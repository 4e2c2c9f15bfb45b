//! Which Argo CD Applications a Promotion's steps look at, so that a change
//! of one wakes it (`promotions` 8).

use serde_json::{Value, json};

use crate::argocd::wakeups::{Interests, applications};
use crate::engine::run::{Engine, Run, alias_of};
use crate::engine::scope::{Scope, Seen};

impl Engine {
    /// The Applications of the Promotion's steps of some `kinds`, as far as their names and
    /// selectors can be evaluated with what `status` holds. What cannot is
    /// left out: the timer is the backstop.
    pub async fn applications(
        &self,
        run: &Run,
        status: &api::PromotionStatus,
        default_namespace: &str,
        kinds: &[&str],
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
                expr::Secrets::new(),
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
