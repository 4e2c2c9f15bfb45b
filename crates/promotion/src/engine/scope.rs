//! Evaluates what a step wrote: its condition, its variables, its config
//! (`promotions` 7.3 and 7.7, `expressions` 8 places A to D).

use std::sync::Arc;

use api::{PromotionStep, StepExecutionMetadata};
use async_trait::async_trait;
use expr::{Env, LookupCache, LookupKey, Map, Secrets, Value};
use serde_json::{Map as Json, Value as JsonValue, json};

use crate::engine::run::Run;
use crate::engine::{environment, skip, status_functions};

/// The functions that expressions may call beyond the engine's own.
#[async_trait]
pub trait Functions: Send + Sync {
    /// Adds the functions to an environment. What they must fetch they ask
    /// `cache` for.
    fn install(&self, env: &mut Env, cache: &LookupCache, run: &Run);

    /// Fetches what a function asked for.
    ///
    /// # Errors
    /// Why it cannot be had; becomes the function's failure.
    async fn resolve(&self, run: &Run, key: &LookupKey) -> Result<Value, String>;
}

/// No functions beyond the engine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

#[async_trait]
impl Functions for NoFunctions {
    fn install(&self, _: &mut Env, _: &LookupCache, _: &Run) {}

    async fn resolve(&self, _: &Run, key: &LookupKey) -> Result<Value, String> {
        Err(format!("{} is not available here", key.function))
    }
}

/// What one attempt at a step evaluates with: answers that functions fetched
/// are kept for the attempt and no longer.
pub struct Scope<'a> {
    run: &'a Run,
    step: &'a PromotionStep,
    alias: &'a str,
    functions: Arc<dyn Functions>,
    cache: LookupCache,
    secrets: Secrets,
}

/// The shared state and the steps' entries, as an attempt sees them.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Outputs by alias.
    pub state: &'a Json<String, JsonValue>,
    /// The entries of the steps visited so far.
    pub entries: &'a [StepExecutionMetadata],
}

/// Why something could not be evaluated.
enum Problem {
    /// Something must be fetched first.
    Lookup(expr::Error),
    /// In words.
    Text(String),
}

impl Problem {
    /// An expression's error, with what was evaluated, the place, and what is
    /// in scope where a name is not.
    fn of(doing: &str, error: expr::Error, env: &Env) -> Self {
        if error.lookup_key().is_some() {
            return Self::Lookup(error);
        }
        let mut text = format!("{doing}{}", error.render());
        if error.hint().is_some_and(|h| h.contains("is not defined; did you mean")) {
            let variables = env.variables().map(|(name, _)| name);
            let functions = env.functions().map(expr::Function::name);
            let names: Vec<&str> = variables.chain(functions).take(MOST_NAMES).collect();
            text.push_str("\ndefined here are ");
            text.push_str(&names.join(", "));
        }
        Self::Text(text)
    }
}

/// How many names an error lists.
const MOST_NAMES: usize = 40;

impl<'a> Scope<'a> {
    /// The scope of an attempt.
    pub fn new(
        run: &'a Run,
        step: &'a PromotionStep,
        alias: &'a str,
        functions: Arc<dyn Functions>,
        secrets: Secrets,
    ) -> Self {
        Self { run, step, alias, functions, cache: LookupCache::new(), secrets }
    }

    /// Whether the step runs (`promotions` 7.3).
    ///
    /// # Errors
    /// The condition cannot be evaluated, or is no boolean.
    pub async fn condition(&self, seen: Seen<'_>) -> Result<bool, String> {
        let condition = &self.step.condition;
        if condition.is_empty() {
            return Ok(!skip::has_failures(seen.entries));
        }
        self.drive(|| {
            let mut env = self.variables(seen)?;
            status_functions::install(&mut env, seen.entries, self.alias);
            let value = expr::template::evaluate_value(condition, &env)
                .map_err(|error| Problem::of("if: ", error, &env))?;
            skip::condition(&value).map_err(Problem::Text)
        })
        .await
    }

    /// The step's config with every expression evaluated; `{}` where it has
    /// none, without evaluating any variable.
    ///
    /// # Errors
    /// An expression failed: names the step, the field and the place.
    pub async fn config(&self, seen: Seen<'_>) -> Result<JsonValue, String> {
        let Some(written) = &self.step.config else { return Ok(json!({})) };
        let named = format!("step {:?} ({})", self.alias, self.step.uses);
        self.evaluate(written, seen).await.map_err(|e| format!("{named}: {e}"))
    }

    /// A part of the step's config with every expression evaluated.
    ///
    /// # Errors
    /// An expression failed: names the field and the place.
    pub async fn evaluate(&self, written: &JsonValue, seen: Seen<'_>) -> Result<JsonValue, String> {
        self.drive(|| {
            let mut env = self.variables(seen)?;
            status_functions::install(&mut env, seen.entries, self.alias);
            expr::template::evaluate_json(written, &env).map_err(|e| {
                let doing = match e.path.as_str() {
                    "" => "config: ".to_owned(),
                    path => format!("config field {path}: "),
                };
                Problem::of(&doing, e.error, &env)
            })
        })
        .await
    }

    /// The environment with the Promotion's and the step's variables.
    fn variables(&self, seen: Seen<'_>) -> Result<Env, Problem> {
        let mut env = Env::new().with_secrets(self.secrets.clone());
        environment::set_context(&mut env, self.run, self.alias);
        self.functions.install(&mut env, &self.cache, self.run);
        let mut vars = Map::new();
        add_vars(&mut env, &mut vars, &self.run.vars)?;
        environment::set_outputs(&mut env, seen.state, seen.entries, self.alias);
        add_vars(&mut env, &mut vars, &self.step.vars)?;
        Ok(env)
    }

    /// Evaluates until nothing more must be fetched.
    async fn drive<T>(
        &self,
        mut evaluate: impl FnMut() -> Result<T, Problem>,
    ) -> Result<T, String> {
        let done = expr::lookup::drive(
            &self.cache,
            || match evaluate() {
                Ok(value) => Ok(Ok(value)),
                Err(Problem::Lookup(error)) => Err(error),
                Err(Problem::Text(text)) => Ok(Err(text)),
            },
            async |key: LookupKey| self.functions.resolve(self.run, &key).await,
        )
        .await;
        match done {
            Ok(result) => result,
            Err(error) => Err(error.render()),
        }
    }
}

/// Evaluates variables in order, each seeing the earlier ones; a repeated
/// name overrides.
fn add_vars(
    env: &mut Env,
    vars: &mut Map,
    written: &[api::ExpressionVariable],
) -> Result<(), Problem> {
    env.set("vars", Value::Map(vars.clone().into()));
    for var in written {
        let value = expr::template::evaluate_value(&var.value, env).map_err(|error| {
            let doing = format!("error pre-processing promotion variable {:?}: ", var.name);
            Problem::of(&doing, error, env)
        })?;
        vars.insert(var.name.as_str(), value);
        env.set("vars", Value::Map(vars.clone().into()));
    }
    Ok(())
}
