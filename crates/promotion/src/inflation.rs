//! A template's steps with those of the tasks it refers to in their place
//! (`promotions` 2.4).

use std::collections::{BTreeMap, BTreeSet};

use api::{ExpressionVariable, PromotionStep, PromotionTaskReference, PromotionTaskSpec};

/// Where a task lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// In the Project.
    PromotionTask,
    /// For the whole cluster.
    ClusterPromotionTask,
}

impl TaskKind {
    /// The kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PromotionTask => "PromotionTask",
            Self::ClusterPromotionTask => "ClusterPromotionTask",
        }
    }

    fn resource(self) -> &'static str {
        match self {
            Self::PromotionTask => "promotiontasks.kargo.akuity.io",
            Self::ClusterPromotionTask => "clusterpromotiontasks.kargo.akuity.io",
        }
    }
}

/// The tasks that a Stage's steps may refer to.
pub trait TaskLookup {
    /// The task of that kind and name.
    fn task(&self, kind: TaskKind, name: &str) -> Option<PromotionTaskSpec>;

    /// The names of all tasks of that kind.
    fn names(&self, kind: TaskKind) -> Vec<String>;
}

/// Tasks by kind and name.
pub type Tasks = BTreeMap<(TaskKind, String), PromotionTaskSpec>;

impl TaskLookup for Tasks {
    fn task(&self, kind: TaskKind, name: &str) -> Option<PromotionTaskSpec> {
        self.get(&(kind, name.to_owned())).cloned()
    }

    fn names(&self, kind: TaskKind) -> Vec<String> {
        self.keys().filter(|(k, _)| *k == kind).map(|(_, name)| name.clone()).collect()
    }
}

/// Why a step could not be replaced by its task's steps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflationError {
    /// There is no such task.
    #[error("{} {name:?} not found; {}", .kind.resource(), there_are(*.kind, .name, .existing))]
    NotFound {
        /// The kind referred to.
        kind: TaskKind,
        /// The name referred to.
        name: String,
        /// The tasks of that kind that there are.
        existing: Vec<String>,
    },
    /// The reference's kind is no kind of task.
    #[error("unknown task reference kind {0:?}")]
    UnknownKind(String),
    /// The step refers to no task.
    #[error("missing task reference")]
    MissingReference,
    /// A variable of the task has no default and is given no value.
    #[error("missing value for variable {0:?}")]
    MissingValue(String),
}

fn there_are(kind: TaskKind, name: &str, existing: &[String]) -> String {
    const MOST: usize = 20;
    if existing.is_empty() {
        return format!(
            "there is no {} at all; create it or correct the step's task",
            kind.as_str()
        );
    }
    let mut names: Vec<String> = existing.iter().take(MOST).map(|n| format!("{n:?}")).collect();
    if existing.len() > MOST {
        names.push(format!("and {} more", existing.len() - MOST));
    }
    format!(
        "the existing {}s are: {}; create {name:?} or correct the step's task",
        kind.as_str(),
        names.join(", ")
    )
}

/// The alias of the step at `index` of a template: its own, or one made of
/// its position (`promotions` 2.4). A blank alias is an alias.
pub fn alias(step: &PromotionStep, index: usize) -> String {
    match (step.alias.as_str(), &step.task) {
        ("", Some(_)) => format!("task-{}", index + 1),
        ("", None) => format!("step-{}", index + 1),
        (alias, _) => alias.to_owned(),
    }
}

/// Replaces each step that refers to a task by the task's steps.
/// `promotion_vars` are the Promotion's own variables.
///
/// # Errors
/// The task's name, its alias, and what is wrong with it.
pub fn inflate(
    steps: &[PromotionStep],
    promotion_vars: &[ExpressionVariable],
    tasks: &dyn TaskLookup,
) -> Result<Vec<PromotionStep>, (String, String, InflationError)> {
    let given = non_empty(promotion_vars);
    let mut out = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let alias = alias(step, index);
        let Some(reference) = &step.task else {
            out.push(PromotionStep { alias, ..step.clone() });
            continue;
        };
        let inflated = inflate_one(step, reference, &alias, &given, tasks);
        out.extend(inflated.map_err(|e| (reference.name.clone(), alias.clone(), e))?);
    }
    Ok(out)
}

fn inflate_one(
    step: &PromotionStep,
    reference: &PromotionTaskReference,
    alias: &str,
    given: &BTreeSet<&str>,
    tasks: &dyn TaskLookup,
) -> Result<Vec<PromotionStep>, InflationError> {
    if reference.name.is_empty() {
        return Err(InflationError::MissingReference);
    }
    let kind = match reference.kind.as_str() {
        "" | "PromotionTask" => TaskKind::PromotionTask,
        "ClusterPromotionTask" => TaskKind::ClusterPromotionTask,
        other => return Err(InflationError::UnknownKind(other.to_owned())),
    };
    let task = tasks.task(kind, &reference.name).ok_or_else(|| InflationError::NotFound {
        kind,
        name: reference.name.clone(),
        existing: tasks.names(kind),
    })?;
    let vars = task_vars(&task.vars, &step.vars, given)?;
    Ok(task
        .steps
        .into_iter()
        .enumerate()
        .map(|(index, inner)| PromotionStep {
            alias: format!("{alias}::{}", self::alias(&inner, index)),
            vars: vars.iter().cloned().chain(inner.vars).collect(),
            task: None,
            ..inner
        })
        .collect())
}

/// The variables that every step of the task gets: the task's defaults, then
/// what the referring step gives.
fn task_vars(
    declared: &[ExpressionVariable],
    step: &[ExpressionVariable],
    given: &BTreeSet<&str>,
) -> Result<Vec<ExpressionVariable>, InflationError> {
    let from_step = non_empty(step);
    let mut vars = Vec::new();
    for var in declared {
        if given.contains(var.name.as_str()) {
            // The Promotion's own value is visible at run time.
        } else if !var.value.is_empty() {
            vars.push(var.clone());
        } else if !from_step.contains(var.name.as_str()) {
            return Err(InflationError::MissingValue(var.name.clone()));
        }
    }
    vars.extend(step.iter().cloned());
    Ok(vars)
}

fn non_empty(vars: &[ExpressionVariable]) -> BTreeSet<&str> {
    vars.iter().filter(|v| !v.value.is_empty()).map(|v| v.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn steps(value: Value) -> Vec<PromotionStep> {
        serde_json::from_value(value).unwrap()
    }

    fn vars(pairs: &[(&str, &str)]) -> Vec<ExpressionVariable> {
        pairs
            .iter()
            .map(|(name, value)| ExpressionVariable {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect()
    }

    fn tasks(task_vars: &[(&str, &str)], task_steps: Value) -> Tasks {
        let spec = PromotionTaskSpec { vars: vars(task_vars), steps: steps(task_steps) };
        [
            ((TaskKind::PromotionTask, "promote-image".to_owned()), spec.clone()),
            ((TaskKind::ClusterPromotionTask, "shared".to_owned()), spec),
        ]
        .into()
    }

    fn aliases(steps: &[PromotionStep]) -> Vec<&str> {
        steps.iter().map(|s| s.alias.as_str()).collect()
    }

    #[test]
    fn task_steps_stand_in_the_tasks_place() {
        // "promotions/inflation-1"
        let tasks = tasks(&[], json!([{"uses": "x", "as": "sub"}, {"uses": "y"}]));
        let template =
            steps(json!([{"uses": "a"}, {"task": {"name": "promote-image"}}, {"uses": "b"}]));
        let inflated = inflate(&template, &[], &tasks).unwrap();
        assert_eq!(aliases(&inflated), ["step-1", "task-2::sub", "task-2::step-2", "step-3"]);
        assert!(inflated.iter().all(|s| s.task.is_none() && !s.uses.is_empty()));
        // "promotions/inflation-11"
        assert!(inflated.iter().all(|s| s.vars.is_empty()));
        // "promotions/inflation-12"
        let inner = self::tasks(&[], json!([{"uses": "x", "as": "apply::config"}]));
        let template = steps(json!([{"task": {"name": "promote-image"}, "as": "deploy::task"}]));
        let inflated = inflate(&template, &[], &inner).unwrap();
        assert_eq!(aliases(&inflated), ["deploy::task::apply::config"]);
        assert_eq!(crate::engine::outputs::task_of(&inflated[0].alias), None);
    }

    #[test]
    fn bad_references() {
        let tasks = tasks(&[], json!([{"uses": "x"}]));
        for (id, reference, want) in [
            (
                "promotions/inflation-2",
                json!({"name": "promote-kro-instance"}),
                "promotiontasks.kargo.akuity.io \"promote-kro-instance\" not found; the existing \
                 PromotionTasks are: \"promote-image\"; create \"promote-kro-instance\" or correct \
                 the step's task",
            ),
            (
                "promotions/inflation-3",
                json!({"name": "x", "kind": "UnknownKind"}),
                "unknown task reference kind \"UnknownKind\"",
            ),
            ("promotions/inflation-4", json!({"name": ""}), "missing task reference"),
        ] {
            let template = steps(json!([{"task": reference}]));
            let (_, alias, error) = inflate(&template, &[], &tasks).unwrap_err();
            assert_eq!(error.to_string(), want, "{id}");
            assert_eq!(alias, "task-1", "{id}");
        }
        let template = steps(json!([{"task": {"name": "shared", "kind": "ClusterPromotionTask"}}]));
        assert_eq!(aliases(&inflate(&template, &[], &tasks).unwrap()), ["task-1::step-1"]);
    }

    #[test]
    fn where_a_tasks_variables_come_from() {
        type Vars<'a> = &'a [(&'a str, &'a str)];
        /// Id, the task's variables, the Promotion's, the step's, the outcome.
        type Case<'a> = (&'a str, Vars<'a>, Vars<'a>, Vars<'a>, Result<Vars<'a>, &'a str>);
        let cases: [Case<'_>; 5] = [
            (
                "promotions/inflation-5",
                &[("input1", "")],
                &[],
                &[("input1", "")],
                Err("missing value for variable \"input1\""),
            ),
            (
                "promotions/inflation-6",
                &[("input1", "")],
                &[("input1", "v")],
                &[("input1", "")],
                Ok(&[("input1", "")]),
            ),
            ("promotions/inflation-7", &[("input1", "d")], &[], &[], Ok(&[("input1", "d")])),
            (
                "promotions/inflation-8",
                &[("input1", "d")],
                &[],
                &[("input1", "o")],
                Ok(&[("input1", "d"), ("input1", "o")]),
            ),
            ("promotions/inflation-9", &[("input1", "d")], &[("input1", "o")], &[], Ok(&[])),
        ];
        for (id, declared, promotion, step, want) in cases {
            let tasks = tasks(declared, json!([{"uses": "x"}]));
            let mut template = steps(json!([{"task": {"name": "promote-image"}}]));
            template[0].vars = vars(step);
            let got = inflate(&template, &vars(promotion), &tasks);
            match want {
                Ok(want) => assert_eq!(got.unwrap()[0].vars, vars(want), "{id}"),
                Err(want) => assert_eq!(got.unwrap_err().2.to_string(), want, "{id}"),
            }
        }
    }

    #[test]
    fn every_step_has_its_own_variables() {
        // "promotions/inflation-10"
        let tasks = tasks(
            &[("input1", ""), ("input2", "default2"), ("input3", "")],
            json!([{"uses": "x"}, {"uses": "y", "vars": [{"name": "input4", "value": "value4"}]}]),
        );
        let mut template = steps(json!([{"task": {"name": "promote-image"}}]));
        template[0].vars = vars(&[("input1", "value1"), ("input2", "value2")]);
        let inflated = inflate(&template, &vars(&[("input3", "value3")]), &tasks).unwrap();
        let shared = [("input2", "default2"), ("input1", "value1"), ("input2", "value2")];
        assert_eq!(inflated[0].vars, vars(&shared));
        let own: Vec<_> = shared.into_iter().chain([("input4", "value4")]).collect();
        assert_eq!(inflated[1].vars, vars(&own));
    }
}
