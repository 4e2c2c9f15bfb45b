//! What a step's expressions see (`expressions` 11.5 to 11.7).

use std::sync::Arc;

use api::{PromotionStepStatus as Status, StepExecutionMetadata};
use serde_json::{Value, json};

use super::scope::{Scope, Seen};
use super::tests::{run_of, step};
use super::*;
use crate::functions::{FunctionContext, install};

/// Kargo's functions without anything to look up.
struct Offline;

#[async_trait::async_trait]
impl Functions for Offline {
    fn install(&self, env: &mut expr::Env, cache: &expr::LookupCache, run: &Run) {
        install(env, cache, FunctionContext::of_run(run));
    }

    async fn resolve(&self, _: &Run, key: &expr::LookupKey) -> Result<expr::Value, String> {
        Err(format!("{key} cannot be looked up"))
    }
}

/// A case's step: its alias, the variables, the state, the entries.
#[derive(Default)]
struct Case {
    alias: &'static str,
    promotion_vars: Vec<(&'static str, &'static str)>,
    step_vars: Vec<(&'static str, &'static str)>,
    state: Value,
    entries: Vec<(&'static str, Status)>,
    condition: &'static str,
}

impl Case {
    async fn with<T>(&self, ask: impl AsyncFnOnce(Scope<'_>, Seen<'_>) -> T) -> T {
        let vars = |pairs: &[(&str, &str)]| -> Value {
            pairs.iter().map(|(n, v)| json!({"name": n, "value": v})).collect()
        };
        let temp = tempfile::tempdir().unwrap();
        let step = step(json!({
            "uses": "x", "as": self.alias, "vars": vars(&self.step_vars), "if": self.condition,
        }));
        let mut run = run_of(vec![step.clone()], &temp);
        run.vars = serde_json::from_value(vars(&self.promotion_vars)).unwrap();
        let state = self.state.as_object().cloned().unwrap_or_default();
        let entries: Vec<StepExecutionMetadata> = self
            .entries
            .iter()
            .map(|(alias, status)| StepExecutionMetadata {
                alias: (*alias).to_owned(),
                status: *status,
                ..Default::default()
            })
            .collect();
        let scope = Scope::new(&run, &step, self.alias, Arc::new(Offline), expr::Secrets::new());
        ask(scope, Seen { state: &state, entries: &entries }).await
    }

    /// What `${{ expression }}` gives in the step's config.
    async fn value(&self, expression: &str) -> Result<Value, String> {
        let config = json!({"v": format!("${{{{ {expression} }}}}")});
        let evaluated = self.with(async |scope, seen| scope.evaluate(&config, seen).await).await?;
        Ok(evaluated["v"].clone())
    }
}

#[tokio::test]
async fn variables() {
    for (id, case, expression, want) in [
        (
            "expressions/11.5-1",
            Case {
                promotion_vars: vec![("str", "foo"), ("bool", "true"), ("num", "42")],
                ..Case::default()
            },
            "[vars.str, type(vars.bool), type(vars.num)]",
            json!(["foo", "string", "string"]),
        ),
        (
            "expressions/11.5-2",
            Case {
                promotion_vars: vec![
                    ("a", "${{ 'f'+'o'+'o' }}"),
                    ("b", "${{ 1 == 1 }}"),
                    ("c", "${{ 40 + 2 }}"),
                ],
                ..Case::default()
            },
            "[vars.a, vars.b, vars.c, type(vars.c)]",
            json!(["foo", true, 42, "float"]),
        ),
        (
            "expressions/11.5-5",
            Case {
                step_vars: vec![("v1", "x"), ("v2", "${{ vars.v1 + '-s' }}")],
                ..Case::default()
            },
            "vars.v2",
            json!("x-s"),
        ),
        (
            "expressions/11.5-8",
            Case {
                step_vars: vec![("v", "${{ outputs.o + '-s' }}")],
                state: json!({"o": "v"}),
                ..Case::default()
            },
            "vars.v",
            json!("v-s"),
        ),
        (
            "expressions/11.5-9",
            Case {
                alias: "task::other",
                step_vars: vec![("v", "${{ task.outputs.alias.foo }}")],
                state: json!({"task::alias": {"foo": "baz"}}),
                ..Case::default()
            },
            "vars.v",
            json!("baz"),
        ),
        (
            "expressions/11.5-12",
            Case { promotion_vars: vec![("v", "${{ warehouse('w') }}")], ..Case::default() },
            "vars.v",
            json!({"kind": "Warehouse", "name": "w"}),
        ),
    ] {
        assert_eq!(case.value(expression).await, Ok(want), "{id}");
    }
    // "expressions/11.5-11"
    let case = Case { step_vars: vec![("v", "${{ invalid.expression }}")], ..Case::default() };
    let error = case.value("vars.v").await.unwrap_err();
    let want = "error pre-processing promotion variable \"v\": cannot fetch expression from <nil>";
    assert!(error.starts_with(want), "{error}");
}

#[tokio::test]
async fn conditions() {
    // `expressions` 11.6
    let failed = || vec![("a", Status::Failed)];
    for (condition, entries, want) in [
        ("", failed(), Ok(false)),
        ("", vec![], Ok(true)),
        ("${{ vars.foo == 'bar' }}", failed(), Ok(true)),
        ("${{ task.outputs.alias.foo == 'bar' }}", vec![], Ok(false)),
        ("invalid condition", vec![], Err("expression must evaluate to a boolean, got string")),
        ("${{ 1 }}", vec![], Err("expression must evaluate to a boolean, got float64")),
        ("${{ nil }}", vec![], Err("expression must evaluate to a boolean, got <nil>")),
        ("true", vec![], Err("expression must evaluate to a boolean, got string")),
        ("${{ \"true\" }}", vec![], Ok(true)),
        ("${{ status('x') == 'Errored' }}", vec![("t::x", Status::Errored)], Ok(true)),
        ("${{ status('x') == 'Errored' }}", vec![("x", Status::Errored)], Ok(false)),
    ] {
        let case = Case {
            alias: "t::me",
            promotion_vars: vec![("foo", "bar")],
            state: json!({"t::alias": {"foo": "baz"}}),
            entries,
            condition,
            ..Case::default()
        };
        let got = case.with(async |scope, seen| scope.condition(seen).await).await;
        assert_eq!(got, want.map_err(str::to_owned), "{condition}");
    }
}

#[tokio::test]
async fn whose_status_a_step_sees() {
    for (id, alias, entries, asked, want) in [
        ("expressions/11.7-28", "step-2", vec![], "nope", ""),
        (
            "expressions/11.7-29",
            "task-2::step-2",
            vec![("step-1", Status::Succeeded), ("task-1::step-2", Status::Succeeded)],
            "step-1",
            "",
        ),
        (
            "expressions/11.7-30",
            "task-2::step-2",
            vec![("task-2::step-1", Status::Succeeded)],
            "step-1",
            "Succeeded",
        ),
        (
            "expressions/11.7-31",
            "step-2",
            vec![("step-1", Status::Succeeded)],
            "step-1",
            "Succeeded",
        ),
    ] {
        let case = Case { alias, entries, ..Case::default() };
        assert_eq!(case.value(&format!("status({asked:?})")).await, Ok(json!(want)), "{id}");
    }
    let error = Case::default().value("status('')").await.unwrap_err();
    assert!(error.contains("argument must not be empty"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let error =
        Case { alias: "update-image", ..Case::default() }.value("image.tag").await.unwrap_err();
    insta::assert_snapshot!(error);
}
