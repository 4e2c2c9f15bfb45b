//! `yaml-parse`: reads values out of a YAML file.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | the file, beneath the working directory |
//! | `outputs[].name` | required | the output's name |
//! | `outputs[].fromExpression` | required | an expression without `${{ }}` over the file's first document |
//!
//! In the expression the document's keys are names, and `$env` is the whole
//! document (for a list, or keys that are not names: `$env['my-key']`). `ctx`,
//! `vars` and `outputs` are not known here.
//!
//! Outputs: one an entry, by its name.
//!
//! ```yaml
//! - uses: yaml-parse
//!   as: parse
//!   config:
//!     path: ./src/values.yaml
//!     outputs:
//!     - name: oldTag
//!       fromExpression: spec.values.deployment.tag
//! ```
//!
//! Source of the rules: `steps-files` 8.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorClass, StepError};
use crate::step::{Effect, Step, StepContext, StepResult};
use crate::world::World;
use crate::yaml::value::{self, ValueError};

const KIND: &str = "yaml-parse";

/// The step's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
    outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Output {
    name: String,
    from_expression: String,
}

/// The step kind `yaml-parse`.
#[derive(Clone, Copy, Debug, Default)]
pub struct YamlParse;

#[async_trait]
impl Step for YamlParse {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn config_schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path", "outputs"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "outputs": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["name", "fromExpression"],
                        "properties": {
                            "name": {"type": "string", "minLength": 1},
                            "fromExpression": {"type": "string", "minLength": 1}
                        }
                    }
                }
            }
        })
    }

    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let reading = |class, problem: String| {
            StepError::new(class, format!("error reading YAML file \"{}\": {problem}", config.path))
        };
        let path = context
            .workdir
            .resolve(&config.path)
            .map_err(|e| reading(ErrorClass::Config, e.to_string()))?;
        let bytes = context
            .workdir
            .read(&path)
            .map_err(|e| reading(ErrorClass::NotFound, e.to_string()))?;
        let document = parse(&bytes, &config.path)?;
        let env = expr::Env::from(document);
        let mut outputs = Map::new();
        for output in &config.outputs {
            outputs.insert(output.name.clone(), extract(&output.from_expression, &env)?);
        }
        Ok(StepResult::succeeded().with_output(outputs))
    }
}

/// The file's first document as data.
fn parse(bytes: &[u8], path: &str) -> Result<Value, StepError> {
    if bytes.is_empty() {
        return Err(StepError::new(
            ErrorClass::Config,
            format!("could not parse empty YAML file: \"{path}\""),
        ));
    }
    let failed = |problem: &dyn std::fmt::Display| {
        StepError::new(
            ErrorClass::Config,
            format!("could not parse YAML file: \"{path}\": {problem}"),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8"))?;
    value::first_document(text).map_err(|e: ValueError| failed(&e))
}

/// An expression's value over the document, as it is kept in the state.
fn extract(expression: &str, env: &expr::Env) -> Result<Value, StepError> {
    let failed = |what: &str, problem: String| {
        StepError::new(
            ErrorClass::Config,
            format!(
                "failed to extract outputs: error {what} expression \"{expression}\": {problem}"
            ),
        )
    };
    let program =
        expr::Program::compile(expression).map_err(|e| failed("compiling", e.to_string()))?;
    let value = program.run(env).map_err(|e| failed("evaluating", e.to_string()))?;
    Ok(whole_numbers(value.to_json()))
}

/// All numbers of a YAML file are doubles; those without a fraction are kept
/// as integers, as JSON writes them.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64() {
            Some(x) if n.is_f64() && x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0 => {
                Value::from(x as i64)
            }
            _ => Value::Number(n),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(whole_numbers).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(k, v)| (k, whole_numbers(v))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, expression: &str) -> Result<Value, String> {
        let document = parse(text.as_bytes(), "a.yaml").map_err(|e| e.message)?;
        extract(expression, &expr::Env::from(document)).map_err(|e| e.message)
    }

    #[test]
    fn outputs_are_what_the_table_says() {
        let items = "x: [{name: p, v: 1},{name: q, v: 2}]\n";
        let cases = [
            ("steps-files 8 row 1", "app:\n  version: \"1.0.0\"\n", "app.version", json!("1.0.0")),
            (
                "steps-files 8 row 2",
                "features: {newFeature: false}\n",
                "features.newFeature",
                json!(false),
            ),
            ("steps-files 8 row 3", "config: {threshold: 10.0}\n", "config.threshold", json!(10)),
            ("steps-files 8 row 4", "{}\n", "missingKey", json!(null)),
            ("steps-files 8 row 6", "{}\n", "nonexistent?.path", json!(null)),
            ("steps-files 8 row 6", "a: 1\n", "b ?? 'd'", json!("d")),
            ("steps-files 8 row 14", "len: 5\nx: [1,2]\n", "len", json!(5)),
            ("steps-files 8 row 14", "len: 5\nx: [1,2]\n", "len(x)", json!(2)),
            ("steps-files 8 row 15", "a: 1\n", "a + 1", json!(2)),
            ("steps-files 8 row 15", "a: 1\n", "string(a)", json!("1")),
            ("steps-files 8 row 15", "a: 1\n", "42", json!(42)),
            ("steps-files 8 row 16", "a: 1000000\n", "string(a)", json!("1e+06")),
            ("steps-files 8 row 17", items, "filter(x, .name == 'q')[0].v", json!(2)),
            ("steps-files 8 row 17", items, "find(x, .name == 'q').v", json!(2)),
            ("steps-files 8 row 17", items, "map(x, .name)", json!(["p", "q"])),
            ("steps-files 8 row 20", "a: 1\n---\na: 2\n", "a", json!(1)),
            ("keys that are not names", "my-key: v\n", "$env['my-key']", json!("v")),
        ];
        for (case, text, expression, value) in cases {
            assert_eq!(run(text, expression), Ok(value), "{case}: {expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let cases = [
            (
                "steps-files 8 row 5",
                "{}\n",
                "nonexistent.path",
                "failed to extract outputs: error evaluating expression \"nonexistent.path\": ",
            ),
            (
                "steps-files 8 row 18",
                "a: 1\n",
                "(1 + 2",
                "failed to extract outputs: error compiling expression \"(1 + 2\": ",
            ),
            (
                "steps-files 8 row 19",
                "a: 1\n",
                "quote(a)",
                "failed to extract outputs: error evaluating expression \"quote(a)\": ",
            ),
            ("steps-files 8 row 21", "key: : value\n", "a", "could not parse YAML file"),
            ("an empty file", "", "a", "could not parse empty YAML file: \"a.yaml\""),
        ];
        for (case, text, expression, start) in cases {
            let error = run(text, expression).unwrap_err();
            assert!(error.starts_with(start), "{case}: {error}");
        }
    }
}
