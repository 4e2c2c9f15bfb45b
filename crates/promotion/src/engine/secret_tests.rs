//! Values of Secrets are masked wherever a Promotion says something: outputs,
//! messages, health checks, errors, what Events tell of, logs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use api::PromotionStatus;
use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::*;
use super::*;
use crate::error::{ErrorClass, StepError};
use crate::step::{HealthCheck, Registry, StepResult};

/// `secret('token')` is the canary.
struct OneSecret(String);

#[async_trait]
impl Functions for OneSecret {
    fn install(&self, env: &mut expr::Env, cache: &expr::LookupCache, _: &Run) {
        let (cache, secrets) = (cache.clone(), env.secrets().clone());
        env.set_function(expr::Function::new("secret", move |args| {
            let name = args.first().map(expr::Value::to_text).unwrap_or_default();
            let value = cache.get(expr::LookupKey::new("secret", [name]))?;
            secrets.add(value.as_str().unwrap_or_default());
            Ok(value)
        }));
    }

    async fn resolve(&self, _: &Run, _: &expr::LookupKey) -> Result<expr::Value, String> {
        Ok(self.0.as_str().into())
    }
}

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Line(&mut self.0.lock().unwrap()));
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line<'a>(&'a mut String);

impl tracing::field::Visit for Line<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0, "{}={value:?}", field.name());
    }
}

/// The token that a step was given.
fn token(context: &crate::step::StepContext) -> String {
    context.config["token"].as_str().unwrap_or_default().to_owned()
}

/// Kinds that say what they were given, each in another place.
fn leaks() -> Registry {
    registry()
        .with(mock("message", |c| {
            Ok(StepResult { message: format!("used {}", token(c)), ..StepResult::succeeded() })
        }))
        .with(mock("output", |c| {
            let output = json!({"plain": token(c), "in": [{"deep": format!("x{}y", token(c))}],
                token(c): "as a key"});
            Ok(StepResult::succeeded().with_output(object(output)))
        }))
        .with(mock("health", |c| {
            let check = HealthCheck { uses: "x".into(), config: json!({"token": token(c)}) };
            Ok(StepResult { health_check: Some(check), ..StepResult::succeeded() })
        }))
        .with(mock("error", |c| {
            let output = object(json!({"token": token(c)}));
            Err(StepError::new(ErrorClass::Internal, token(c)).with_output(output))
        }))
        .with(mock("auth", |c| Err(StepError::new(ErrorClass::Auth, token(c)))))
        .with(mock("busy", |c| Err(StepError::new(ErrorClass::Transient, token(c)))))
        .with(mock("panics", |c| panic!("cannot use {}", token(c))))
        .with(mock("waits", |c| Ok(StepResult::running(format!("waiting for {}", token(c))))))
        .with(Mock {
            schema: json!({"properties": {"token": {"enum": ["a"]}}}),
            ..mock("picky", |_| Ok(StepResult::succeeded()))
        })
        // Learns the token from a file, as it were, and not from its config.
        .with(mock("reads", |c| {
            let text = c.workdir.root().read_to_string("token");
            let output = object(json!({"text": text.unwrap_or_default()}));
            Ok(StepResult::succeeded().with_output(output))
        }))
}

/// Everything that became of the Promotion: each status that was written, the
/// end, the log, what an Event would tell.
async fn all_that_is_said(canary: &str, kinds: &[&str]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let given = json!({"token": "${{ secret('token') }}"});
    let mut steps: Vec<_> = kinds
        .iter()
        .enumerate()
        .map(|(i, uses)| {
            let alias = format!("s{i}");
            step(
                json!({"uses": uses, "as": alias, "continueOnError": true, "if": "${{ always() }}",
                "config": given}),
            )
        })
        .collect();
    // Expressions whose errors show the value.
    for (i, text) in
        ["${{ fromJSON(secret('token')) }}", "${{ int(secret('token')) }}"].iter().enumerate()
    {
        steps.push(step(json!({"uses": "ok", "as": format!("e{i}"), "continueOnError": true,
            "if": "${{ always() }}", "config": {"x": text}})));
    }
    steps.push(step(json!({"uses": "ok", "as": "c", "continueOnError": true,
        "if": "${{ secret('token') }}"})));
    steps.push(step(json!({"uses": "argocd-update", "as": "sync",
        "config": {"apps": [{"name": "${{ secret('token') }}"}]}})));
    let run = run_of(steps, &temp);
    let engine = Engine { functions: Arc::new(OneSecret(canary.to_owned())), ..engine(leaks()) };
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let mut kept = Kept::default();
    let outcome = engine.run(&run, running(), &mut kept).await;
    let mut said = String::new();
    if let Outcome::Waiting { error: Some(error), .. } = &outcome {
        let _ = writeln!(said, "{error}");
    }
    let status = status_of(outcome);
    let told = engine.applications_told(&run, &status, "argocd").await;
    assert_eq!(told.len(), 1, "the Event tells of the Application");
    let _ = writeln!(said, "{told:?}");
    for status in kept.0.iter().chain([&status]) {
        let _ = writeln!(said, "{}", serde_json::to_string(status).unwrap());
    }
    said.push_str(&log.0.lock().unwrap());
    said
}

/// The canary as it is, and as JSON and Rust would escape it.
fn spellings(canary: &str) -> Vec<String> {
    let json = Value::from(canary).to_string();
    let debug = format!("{canary:?}");
    let inner = |text: &str| text.trim_matches('"').to_owned();
    vec![canary.to_owned(), inner(&json), inner(&debug)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_canary_is_heard_nowhere(
        canary in "canary-[a-zA-Z0-9+/=_.:@%-]{8,40}",
        ends in prop::sample::select(vec!["ok", "waits", "busy", "panics"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let kinds =
            ["message", "output", "health", "error", "auth", "panics", "picky", ends];
        let said = runtime.block_on(all_that_is_said(&canary, &kinds));
        for spelling in spellings(&canary) {
            prop_assert!(!said.contains(&spelling), "{spelling} in:\n{said}");
        }
        prop_assert!(said.contains("***"));
    }
}

#[tokio::test]
async fn a_secret_of_an_earlier_pass_is_masked_too() {
    let canary = "canary-of-an-earlier-process";
    let temp = tempfile::tempdir().unwrap();
    let given = json!({"token": "${{ secret('token') }}"});
    let steps = vec![
        step(json!({"uses": "ok", "as": "writes", "config": given})),
        step(json!({"uses": "reads", "as": "reads"})),
    ];
    let run = run_of(steps, &temp);
    let engine = Engine { functions: Arc::new(OneSecret(canary.to_owned())), ..engine(leaks()) };
    // The first step ran in a process that is gone; its file is there.
    let (workdir, _) = journal::open(&run.workdir).unwrap();
    workdir.root().write("token", canary).unwrap();
    let status = PromotionStatus {
        current_step: 1,
        step_execution_metadata: vec![api::StepExecutionMetadata {
            alias: "writes".into(),
            status: api::PromotionStepStatus::Succeeded,
            started_at: times::api(start()),
            ..Default::default()
        }],
        ..running()
    };
    let status = status_of(engine.run(&run, status, &mut Kept::default()).await);
    assert_eq!(status.state.unwrap()["reads"], json!({"text": "***"}));
}
