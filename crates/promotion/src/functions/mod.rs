//! The functions that expressions of Stages and Promotions may call beside
//! the built-ins (`expressions` 7): Data, Freight and Utility. Status
//! functions are the engine's own.
//!
//! * [`install`] adds them to an environment, over a [`FunctionContext`].
//! * [`Lookups`] is what they fetch; [`resolve`] turns a key into such a call.
//!   A function that lacks its answer ends the evaluation with the key, and
//!   `expr::lookup::drive` fetches it and evaluates again.
//! * [`KargoFunctions`] brings both to the engine.

mod arguments;
mod artifacts;
mod data;
mod lookups;
mod origin;
mod semver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use expr::{Env, LookupCache, LookupKey, Value};

use crate::engine::{Functions, Run};

pub use lookups::{Entries, Lookups, Scope, SecretEntries, resolve};
pub use origin::origin;
pub use semver::{Difference, Version, difference};

/// What the functions know without fetching.
#[derive(Clone, Debug, Default)]
pub struct FunctionContext {
    /// The Project, which is the namespace.
    pub project: String,
    /// What the Stage asks for.
    pub freight_requests: Vec<api::FreightRequest>,
    /// The Freight that is searched, in ascending order of its origins.
    pub freight: Vec<api::FreightReference>,
}

impl FunctionContext {
    /// The context of a Promotion.
    pub fn of_run(run: &Run) -> Self {
        Self {
            project: run.project.clone(),
            freight_requests: run.freight_requests.clone(),
            freight: run.freight.items.values().cloned().collect(),
        }
    }
}

/// Adds all functions to an environment. Answers that must be fetched are
/// asked of `cache`; values of Secrets are remembered in the environment's
/// secrets.
///
/// ```
/// use promotion::functions::{FunctionContext, install};
///
/// let mut env = expr::Env::new();
/// install(&mut env, &expr::LookupCache::new(), FunctionContext::default());
/// let value = expr::template::evaluate("${{ semverDiff('1.0.0', '1.1.0') }}", &env);
/// assert_eq!(value.unwrap(), "Minor");
/// let value = expr::template::evaluate("${{ warehouse('w') }}", &env);
/// assert_eq!(value.unwrap(), serde_json::json!({"kind": "Warehouse", "name": "w"}));
/// ```
pub fn install(env: &mut Env, cache: &LookupCache, context: FunctionContext) {
    data::install(env, cache);
    artifacts::install(env, cache, Arc::new(context));
    semver::install(env);
    env.set_function(origin::function());
}

/// The functions for the engine, over lookups of one's own.
pub struct KargoFunctions {
    lookups: Arc<dyn LookupsOf>,
}

/// Gives the lookups for a namespace.
pub trait LookupsOf: Send + Sync {
    /// The lookups of a Project.
    fn project(&self, project: &str) -> Arc<dyn Lookups>;
}

impl<F> LookupsOf for F
where
    F: Fn(&str) -> Arc<dyn Lookups> + Send + Sync,
{
    fn project(&self, project: &str) -> Arc<dyn Lookups> {
        self(project)
    }
}

impl KargoFunctions {
    /// Functions that fetch with what `lookups` gives for a Project.
    pub fn new(lookups: impl LookupsOf + 'static) -> Self {
        Self { lookups: Arc::new(lookups) }
    }
}

#[async_trait]
impl Functions for KargoFunctions {
    fn install(&self, env: &mut Env, cache: &LookupCache, run: &Run) {
        install(env, cache, FunctionContext::of_run(run));
    }

    async fn resolve(&self, run: &Run, key: &LookupKey) -> Result<Value, String> {
        resolve(self.lookups.project(&run.project).as_ref(), key).await
    }
}
