//! `yaml-update`: changes values in a YAML file.
//!
//! | config | | |
//! |---|---|---|
//! | `path` | required | the file, beneath the working directory |
//! | `updates[].key` | required | the value's key, parts divided by dots; a number addresses a list's item; `\.` is a literal dot |
//! | `updates[].value` | required | the new value: a string, number or boolean |
//!
//! Only the bytes of the addressed values change: comments, quotes, indentation,
//! blank lines, anchors and line ends of the rest stay. The keys must exist,
//! in the file's first document. If any update cannot be made, none is.
//!
//! Output: `commitMessage`, which says what was changed.
//!
//! ```yaml
//! - uses: yaml-update
//!   as: update-image
//!   config:
//!     path: ./src/develop/frontend/instance.yaml
//!     updates:
//!     - key: spec.values.deployment.tag
//!       value: ${{ quote(imageFrom(vars.imageRepo).Tag) }}
//! ```
//!
//! Source of the rules: `steps-files` 6.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorClass, StepError};
use crate::step::{Effect, Step, StepContext, StepResult};
use crate::world::World;
use crate::yaml::edit::{self, Update};
use crate::yaml::scalar::quote_if_needed;

const KIND: &str = "yaml-update";

/// The step's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
    updates: Vec<ConfigUpdate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigUpdate {
    key: String,
    value: Value,
}

/// The step kind `yaml-update`.
#[derive(Clone, Copy, Debug, Default)]
pub struct YamlUpdate;

#[async_trait]
impl Step for YamlUpdate {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn effect(&self) -> Effect {
        Effect::WorkingDirectory
    }

    fn config_schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path", "updates"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "updates": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["key", "value"],
                        "properties": {"key": {"type": "string", "minLength": 1}, "value": {}}
                    }
                }
            }
        })
    }

    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        let failed = |class, problem: String| {
            StepError::new(
                class,
                format!(
                    "values file update failed: error updating image references in values file \
                     \"{}\": {problem}",
                    config.path
                ),
            )
        };
        let path = context
            .workdir
            .resolve(&config.path)
            .map_err(|e| failed(ErrorClass::Config, e.to_string()))?;
        let bytes = context.workdir.read(&path).map_err(|e| {
            failed(ErrorClass::NotFound, format!("error reading file \"{}\": {e}", config.path))
        })?;
        let text = String::from_utf8(bytes).map_err(|_| {
            failed(
                ErrorClass::Config,
                "error mutating bytes: error unmarshaling input: the file is not UTF-8".to_owned(),
            )
        })?;
        let updates: Vec<Update> = config
            .updates
            .iter()
            .map(|u| Update { key: u.key.clone(), value: u.value.clone() })
            .collect();
        let changed = edit::apply(&text, &updates)
            .map_err(|e| failed(ErrorClass::Config, format!("error mutating bytes: {e}")))?;
        if changed != text {
            context.workdir.write(&path, changed.as_bytes()).map_err(|e| {
                failed(ErrorClass::Internal, format!("error writing file \"{}\": {e}", config.path))
            })?;
        }
        Ok(StepResult::succeeded().with_output(Map::from_iter([(
            "commitMessage".to_owned(),
            Value::String(commit_message(&config)),
        )])))
    }
}

/// What was changed, for `git-commit` (`steps-files` 6, 6).
fn commit_message(config: &Config) -> String {
    let mut message = format!("Updated {}\n", config.path);
    for update in &config.updates {
        let value = quote_if_needed(&update.value).unwrap_or_default();
        message.push_str(&format!("\n- {}: {value}", update.key));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_message_lists_what_was_changed() {
        let config = Config {
            path: "./src/a.yaml".into(),
            updates: vec![
                ConfigUpdate { key: "a.b".into(), value: json!("1.10") },
                ConfigUpdate { key: "c".into(), value: json!("v2") },
            ],
        };
        assert_eq!(commit_message(&config), "Updated ./src/a.yaml\n\n- a.b: \"1.10\"\n- c: v2");
    }
}
