//! Text and JSON with expressions in it: `${{ … }}` and `${% … %}`
//! (`expressions` 2 to 5).

mod coerce;
mod quote;
mod split;
mod yaml;

use std::sync::Arc;

use crate::budget::Budget;
use crate::env::Env;
use crate::error::Error;
use crate::function::Function;
use crate::program::Program;
use crate::value::Value;

pub use split::{Part, split};

/// A compiled template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Arc<[Compiled]>,
    /// Whether it has no delimiter and stands for itself.
    literal: bool,
}

#[derive(Clone, Debug)]
enum Compiled {
    Literal(Box<str>),
    Expression(Program),
    /// An error that shows when the parts before it have been evaluated.
    Failure(Error),
}

impl Template {
    /// Compiles a template. Text without a delimiter stands for itself.
    ///
    /// # Errors
    /// What is wrong with the first expression that is not one.
    ///
    /// ```
    /// use expr::template::Template;
    /// let template = Template::compile("v${{ n + 1 }}").unwrap();
    /// let mut env = expr::Env::new();
    /// env.set("n", 1);
    /// assert_eq!(template.run(&env).unwrap(), expr::Value::from("v2"));
    /// ```
    pub fn compile(text: &str) -> Result<Self, Error> {
        if !text.contains("${{") && !text.contains("${%") {
            let parts = [Compiled::Literal(text.into())];
            return Ok(Self { parts: parts.into(), literal: true });
        }
        let mut parts = Vec::new();
        for part in split(text) {
            parts.push(match part {
                Ok(Part::Literal(text)) => Compiled::Literal(text.into()),
                Ok(Part::Expression(source)) => match Program::cached(source) {
                    Ok(program) => Compiled::Expression(program),
                    Err(error) => Compiled::Failure(error),
                },
                Err(error) => Compiled::Failure(error),
            });
        }
        if let Some(Compiled::Failure(error)) =
            parts.iter().find(|p| matches!(p, Compiled::Expression(_) | Compiled::Failure(_)))
        {
            return Err(error.clone());
        }
        Ok(Self { parts: parts.into(), literal: false })
    }

    /// [`compile`](Self::compile), through a cache of the texts used last.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn cached(text: &str) -> Result<Self, Error> {
        static CACHE: std::sync::LazyLock<crate::cache::Cache<Template>> =
            std::sync::LazyLock::new(crate::cache::Cache::default);
        CACHE.get(text, Self::compile)
    }

    /// Whether it has no expression in it.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Evaluates to a typed value (`expressions` 3): numbers are floats.
    ///
    /// # Errors
    /// The first error of an expression in it.
    pub fn run(&self, env: &Env) -> Result<Value, Error> {
        let mut text = String::new();
        for part in self.parts.iter() {
            match part {
                Compiled::Literal(literal) => {
                    if self.literal {
                        return Ok(Value::from(literal.as_ref()));
                    }
                    text.push_str(literal);
                }
                Compiled::Expression(program) => {
                    let value = program.run_with(env, quote::functions(), Budget::default())?;
                    match &value {
                        Value::String(s) => text.push_str(s),
                        other => text.push_str(&other.to_json_text()?),
                    }
                }
                Compiled::Failure(error) => return Err(error.clone()),
            }
        }
        Ok(coerce::coerce(&text))
    }
}

/// Evaluates a template to a typed value whose numbers are floats.
///
/// # Errors
/// The first error of an expression in it.
///
/// ```
/// let env = expr::Env::new();
/// let value = expr::template::evaluate_value("${{ 40 + 2 }}", &env).unwrap();
/// assert_eq!(value.type_name(), "float");
/// ```
pub fn evaluate_value(text: &str, env: &Env) -> Result<Value, Error> {
    Template::cached(text)?.run(env)
}

/// Evaluates a template to JSON: the typed result of a single expression, the
/// text of a mixed one, both by the textual rules of `expressions` 3. Whole
/// numbers become integers.
///
/// # Errors
/// The first error of an expression in it; [`crate::ErrorKind::Json`] when the
/// result is NaN or infinite.
///
/// ```
/// use serde_json::json;
/// let mut env = expr::Env::new();
/// env.set("tag", "1.10");
/// assert_eq!(expr::template::evaluate("${{ tag }}", &env).unwrap(), json!(1.1));
/// assert_eq!(expr::template::evaluate("${{ quote(tag) }}", &env).unwrap(), json!("1.10"));
/// assert_eq!(expr::template::evaluate("v${{ tag }}", &env).unwrap(), json!("v1.10"));
/// assert_eq!(expr::template::evaluate("42", &env).unwrap(), json!("42"));
/// ```
pub fn evaluate(text: &str, env: &Env) -> Result<serde_json::Value, Error> {
    evaluate_value(text, env)?.try_to_json()
}

/// An error in a JSON template, with the field that it is in.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateError {
    /// Where, for example `updates[0].value`; empty for the whole.
    pub path: String,
    /// What.
    pub error: Error,
}

impl TemplateError {
    /// The error, the place in the expression, and the field.
    pub fn render(&self) -> String {
        if self.path.is_empty() {
            self.error.render()
        } else {
            format!("{}\nin field {}", self.error.render(), self.path)
        }
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.error)
        } else {
            write!(f, "{} (in field {})", self.error, self.path)
        }
    }
}

impl std::error::Error for TemplateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        error.error
    }
}

/// Names that the environment of a JSON template must leave alone.
const RESERVED: [&str; 3] = ["quote", "asYAML", "asJSON"];

/// How deep a JSON template may nest.
const MAX_DEPTH: usize = 128;

/// Evaluates every text in a JSON object, at any depth; keys are left alone
/// (`expressions` 4). Null gives null.
///
/// # Errors
/// The first error with the path of its field. An input that is neither an
/// object nor null is refused.
///
/// ```
/// use serde_json::json;
/// let mut env = expr::Env::new();
/// env.set("n", 4);
/// let config = json!({"updates": [{"key": "replicas", "value": "${{ n * 2 }}"}]});
/// assert_eq!(
///     expr::template::evaluate_json(&config, &env).unwrap(),
///     json!({"updates": [{"key": "replicas", "value": 8}]})
/// );
/// let config = json!({"updates": [{"value": "${{ image.tag }}"}]});
/// let error = expr::template::evaluate_json(&config, &env).unwrap_err();
/// assert_eq!(error.path, "updates[0].value");
/// ```
pub fn evaluate_json(
    json: &serde_json::Value,
    env: &Env,
) -> Result<serde_json::Value, TemplateError> {
    let whole = |error| TemplateError { path: String::new(), error };
    if let Some(name) = RESERVED.iter().find(|name| env.get(name).is_some()) {
        return Err(whole(Error::compile(format!(
            "\"{name}\" is a forbidden key in the environment map; it is reserved for internal use"
        ))));
    }
    if !json.is_object() && !json.is_null() {
        return Err(whole(Error::compile(
            "input is not valid JSON; are all expressions enclosed in quotes? expected an object",
        )));
    }
    let mut path = Vec::new();
    let result = walk(json, env, &mut path)
        .map_err(|error| TemplateError { path: render_path(&path), error })?;
    if is_readable(&result) { Ok(result) } else { Ok(serde_json::Value::Null) }
}

/// As [`evaluate_json`], for JSON that is still text.
///
/// # Errors
/// As [`evaluate_json`], and for text that is not JSON.
///
/// ```
/// let error = expr::template::evaluate_json_text("{\"key\": ${{ true }} }", &expr::Env::new());
/// assert!(error.unwrap_err().to_string().starts_with("input is not valid JSON"));
/// ```
pub fn evaluate_json_text(text: &str, env: &Env) -> Result<serde_json::Value, TemplateError> {
    let json = serde_json::from_str(text).map_err(|e| TemplateError {
        path: String::new(),
        error: Error::compile(format!(
            "input is not valid JSON; are all expressions enclosed in quotes? {e}"
        )),
    })?;
    evaluate_json(&json, env)
}

enum Step {
    Key(String),
    Index(usize),
}

fn render_path(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Index(i) => out.push_str(&format!("[{i}]")),
            Step::Key(key) => {
                let plain = !key.is_empty()
                    && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
                if plain {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(key);
                } else {
                    out.push_str(&format!("[{}]", crate::gotext::quote(key)));
                }
            }
        }
    }
    out
}

/// On an error the path is left where the error is.
fn walk(
    json: &serde_json::Value,
    env: &Env,
    path: &mut Vec<Step>,
) -> Result<serde_json::Value, Error> {
    use serde_json::Value as Json;
    if path.len() > MAX_DEPTH {
        return Err(Error::budget(format!("the object nests deeper than {MAX_DEPTH} levels")));
    }
    Ok(match json {
        Json::String(text) => evaluate(text, env)?,
        Json::Array(items) => {
            let mut out = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                path.push(Step::Index(i));
                out.push(walk(item, env, path)?);
                path.pop();
            }
            out.into()
        }
        Json::Object(map) => {
            let mut out = serde_json::Map::new();
            for (key, item) in map {
                path.push(Step::Key(key.clone()));
                out.insert(key.clone(), walk(item, env, path)?);
                path.pop();
            }
            out.into()
        }
        Json::Number(n) => match n.as_f64() {
            Some(f) => crate::json::number(f)?,
            None => json.clone(),
        },
        other => other.clone(),
    })
}

/// Whether a YAML reader takes the result (`expressions` 4, rule 5): control
/// characters make the reference lose the whole config.
fn is_readable(json: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    let text = |s: &str| {
        !s.chars().any(
            |c| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}'),
        )
    };
    match json {
        Json::String(s) => text(s),
        Json::Array(items) => items.iter().all(is_readable),
        Json::Object(map) => map.iter().all(|(k, v)| text(k) && is_readable(v)),
        _ => true,
    }
}

/// The functions that every template has: `quote` and its family.
///
/// ```
/// assert!(expr::template::functions().iter().any(|f| f.name() == "quote"));
/// ```
pub fn functions() -> &'static [Function] {
    quote::functions()
}
