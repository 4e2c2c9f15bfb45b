//! `always()`, `failure()`, `success()` and `status(alias)`: what a step's
//! condition and config may ask about other steps (`expressions` 7).

use std::sync::Arc;

use api::StepExecutionMetadata;
use expr::{Env, Function, Value};

use crate::engine::outputs::task_of;
use crate::engine::skip::has_failures;

/// Adds the functions, as the step of `alias` sees the `entries`.
pub fn install(env: &mut Env, entries: &[StepExecutionMetadata], alias: &str) {
    let failed = has_failures(entries);
    env.set_function(
        Function::new("always", |_| Ok(Value::from(true)))
            .with_arity(0..=0)
            .with_signature("always()"),
    );
    env.set_function(
        Function::new("failure", move |_| Ok(Value::from(failed)))
            .with_arity(0..=0)
            .with_signature("failure()"),
    );
    env.set_function(
        Function::new("success", move |_| Ok(Value::from(!failed)))
            .with_arity(0..=0)
            .with_signature("success()"),
    );
    let statuses = Arc::new(visible(entries, alias));
    env.set_function(
        Function::new("status", move |arguments| {
            let wanted = match arguments.first() {
                Some(Value::String(alias)) => alias.clone(),
                Some(other) => {
                    return Err(format!("argument must be string, got {}", other.go_type()).into());
                }
                None => return Err("expected 1 argument, got 0".into()),
            };
            if wanted.is_empty() {
                return Err("argument must not be empty".into());
            }
            let found = statuses.iter().find(|(short, _)| *short == *wanted);
            Ok(Value::from(found.map_or("", |(_, status)| *status)))
        })
        .with_arity(1..=1)
        .with_signature("status(alias)"),
    );
}

/// The steps that share the task of `alias`, or the lack of one, by their
/// short aliases (`expressions` 7.2).
fn visible(entries: &[StepExecutionMetadata], alias: &str) -> Vec<(String, &'static str)> {
    let task = task_of(alias);
    entries
        .iter()
        .filter(|e| task_of(&e.alias) == task)
        .map(|e| {
            let short = match task_of(&e.alias) {
                Some(task) => e.alias.get(task.len() + 2..).unwrap_or_default(),
                None => &e.alias,
            };
            (short.to_owned(), e.status.as_str())
        })
        .collect()
}
