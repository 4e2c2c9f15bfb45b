//! What a step's expressions see besides functions: `ctx`, `outputs`, `task`,
//! `stepMetas` (`expressions` 8.2).

use api::StepExecutionMetadata;
use expr::{Env, Field, Record, Value};
use expr::{Map, MapKind};
use serde_json::{Map as Json, json};

use crate::engine::outputs::task_of;
use crate::engine::run::Run;
use crate::engine::times;

/// Sets `ctx`, which is there for all expressions of a Promotion.
pub fn set_context(env: &mut Env, run: &Run, alias: &str) {
    env.set(
        "ctx",
        Value::from(json!({
            "uiBaseUrl": run.ui_base_url,
            "project": run.project,
            "stage": run.stage,
            "promotion": run.promotion,
            "targetFreight": {
                "name": run.target_freight.name,
                "alias": run.target_alias,
                "origin": {"name": run.target_freight.origin.name},
            },
            "meta": {
                "promotion": {"actor": run.actor, "rollback": run.rollback},
                "step": {"alias": alias},
            },
        })),
    );
}

/// Sets `outputs`, `task` and `stepMetas`, which the Promotion's own variables
/// do not see.
///
/// A step that ran and left nothing reads as an empty map that equals nil,
/// whether or not the Promotion's status was reloaded since (`promotions`
/// 7.5, the quirk at its end): an expression must not give another value
/// after a restart.
pub fn set_outputs(
    env: &mut Env,
    state: &Json<String, serde_json::Value>,
    entries: &[StepExecutionMetadata],
    alias: &str,
) {
    let none = || Value::Map(Map::nil(MapKind::Any).into());
    let mut outputs = Map::new();
    for entry in entries.iter().filter(|e| e.started_at.is_some() && e.alias != alias) {
        outputs.insert(entry.alias.as_str(), none());
    }
    for (step, output) in state {
        let value =
            if output.is_null() { none() } else { Value::from_decoded_json(output.clone()) };
        outputs.insert(step.as_str(), value);
    }
    if let Some(task) = task_of(alias).filter(|t| !t.is_empty()) {
        let mut own = Map::new();
        for (step, output) in outputs.iter() {
            if let Some(short) = step.strip_prefix(task).and_then(|s| s.strip_prefix("::"))
                && !short.contains("::")
            {
                own.insert(short, output.clone());
            }
        }
        let task: Map = [("outputs", Value::Map(own.into()))].into_iter().collect();
        env.set("task", Value::Map(task.into()));
    }
    env.set("outputs", Value::Map(outputs.into()));
    let metas: Map = entries.iter().map(|e| (e.alias.as_str(), meta(e))).collect();
    env.set("stepMetas", Value::Map(metas.into()));
}

/// One member of `stepMetas` (`expressions` 7.4).
fn meta(entry: &StepExecutionMetadata) -> Value {
    let time = |t: Option<jiff::Timestamp>| {
        t.map_or(Value::Nil, |t| Value::Time(t.to_zoned(jiff::tz::TimeZone::UTC).into()))
    };
    let field = |name, json_name, value| Field { name, json_name, omit_empty: true, value };
    Record::new(
        "v1alpha1.StepExecutionMetadata",
        vec![
            field("Alias", "alias", entry.alias.as_str().into()),
            field("StartedAt", "startedAt", time(times::read(entry.started_at.as_ref()))),
            field("FinishedAt", "finishedAt", time(times::read(entry.finished_at.as_ref()))),
            field("ErrorCount", "errorCount", i64::from(entry.error_count).into()),
            field("Status", "status", entry.status.as_str().into()),
            field("Message", "message", entry.message.as_str().into()),
            field("ContinueOnError", "continueOnError", entry.continue_on_error.into()),
        ],
    )
    .into()
}
