//! Pure: whether the tasks that a Stage's steps name exist, said before the
//! first Promotion fails for it.

use api::Stage;
use kube::ResourceExt;

use super::status::quote;

/// The tasks that there are, by name.
#[derive(Debug, Default)]
pub struct Known {
    /// PromotionTasks of the Stage's namespace.
    pub namespaced: Vec<String>,
    /// ClusterPromotionTasks.
    pub cluster: Vec<String>,
}

/// What to say about tasks that do not exist; none if all do.
pub fn missing(stage: &Stage, known: &Known) -> Option<String> {
    let template = stage.spec.promotion_template.as_ref()?;
    let mut said = Vec::new();
    for (at, step) in template.spec.steps.iter().enumerate() {
        let Some(task) = &step.task else { continue };
        let is_cluster = task.kind == "ClusterPromotionTask";
        let (kind, names, place) = if is_cluster {
            ("ClusterPromotionTask", &known.cluster, String::new())
        } else {
            let place = format!(" in namespace {}", quote(&stage.namespace().unwrap_or_default()));
            ("PromotionTask", &known.namespaced, place)
        };
        if names.contains(&task.name) {
            continue;
        }
        let there = if names.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there {}: {}", if names.len() == 1 { "is" } else { "are" }, listed(names))
        };
        let hint = if !is_cluster && known.cluster.contains(&task.name) {
            "; a ClusterPromotionTask of that name exists: set the task's kind to ClusterPromotionTask"
        } else {
            ""
        };
        said.push(format!(
            "step {} (spec.promotionTemplate.spec.steps[{at}]) names {kind} {}, which does not exist{place}; {there}{hint}",
            at + 1,
            quote(&task.name),
        ));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// Names for people, at most ten.
fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(10).map(|n| quote(n)).collect();
    if names.len() > 10 {
        shown.push(format!("and {} more", names.len() - 10));
    }
    shown.join(", ")
}
