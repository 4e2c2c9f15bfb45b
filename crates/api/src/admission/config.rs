//! What is refused in a ProjectConfig and in the ClusterConfig
//! (`admission` 2.3, 3.2, 3.3).

use std::collections::BTreeMap;

use super::field_error::FieldError;
use crate::policy::name_fits;
use crate::project_config::{
    GenericWebhookTarget, ProjectConfigSpec, PromotionPolicy, WebhookReceiverConfig,
};

/// The ClusterConfig's one name.
const CLUSTER: &str = "cluster";

/// What is wrong with a ProjectConfig's spec.
pub fn validate_project_config(spec: &ProjectConfigSpec) -> Vec<FieldError> {
    let mut errors = policies(&spec.promotion_policies);
    errors.extend(receivers(&spec.webhook_receivers));
    errors
}

/// What is wrong with a new ProjectConfig's name: it is the Project's, which is
/// that of the namespace.
pub fn validate_project_config_name(name: &str, namespace: &str) -> Option<FieldError> {
    (name != namespace).then(|| {
        FieldError::invalid(
            "metadata.name",
            name,
            format!("name {name:?} must match project name {namespace:?}"),
        )
    })
}

/// What is wrong with the ClusterConfig; its `name` counts when it `is_new`.
pub fn validate_cluster_config(
    name: &str,
    is_new: bool,
    spec: &crate::ClusterConfigSpec,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_new && name != CLUSTER {
        errors.push(FieldError::invalid(
            "metadata.name",
            name,
            format!("name {name:?} must be {CLUSTER:?}"),
        ));
    }
    errors.extend(receivers(&spec.webhook_receivers));
    errors
}

fn policies(policies: &[PromotionPolicy]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut repeated = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, policy) in policies.iter().enumerate() {
        let name = policy.stage_selector.as_ref().map_or(&*policy.stage, |s| &*s.name);
        if name.is_empty() {
            continue;
        }
        if name.contains(':') {
            errors.extend(pattern(i, name));
            continue;
        }
        if let Some(k) = first.get(name) {
            repeated.push(FieldError::invalid(
                format!("spec.promotionPolicies[{i}]"),
                name,
                format!("stage name already defined at spec.promotionPolicies[{k}]"),
            ));
        } else {
            first.insert(name, i);
        }
    }
    errors.append(&mut repeated);
    errors
}

fn pattern(i: usize, name: &str) -> Option<FieldError> {
    let (prefix, text) = name.split_once(':')?;
    let detail = match prefix {
        "glob" | "regex" | "regexp" => {
            name_fits(name, "").err()?;
            if prefix == "glob" {
                "syntax error in pattern".to_owned()
            } else {
                format!("error parsing regexp: `{text}`")
            }
        }
        other => format!(
            "invalid pattern identifier {other:?}: must be \"regex\", \"regexp\" or \"glob\""
        ),
    };
    let field = format!("spec.promotionPolicies[{i}].stageSelector.name");
    Some(FieldError::invalid(field, name, detail))
}

fn receivers(receivers: &[WebhookReceiverConfig]) -> Vec<FieldError> {
    const PATH: &str = "spec.webhookReceivers";
    let mut errors = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, receiver) in receivers.iter().enumerate() {
        if let Some(k) = first.get(&*receiver.name) {
            errors.push(FieldError::invalid(
                format!("{PATH}[{i}].name"),
                &*receiver.name,
                format!("webhook receiver name already defined at {PATH}[{k}]"),
            ));
        } else {
            first.insert(&receiver.name, i);
        }
    }
    for (i, receiver) in receivers.iter().enumerate() {
        let types = types(receiver);
        if types.len() > 1 {
            errors.push(FieldError::forbidden(
                format!("{PATH}[{i}]"),
                format!(
                    "cannot define a receiver that is of more than one type, found {}: [{}]",
                    types.len(),
                    types.join(" ")
                ),
            ));
        }
    }
    for (i, receiver) in receivers.iter().enumerate() {
        let actions = receiver.generic.iter().flat_map(|g| &g.actions).enumerate();
        for (a, action) in actions {
            for (t, target) in action.target_selection_criteria.iter().enumerate() {
                if !selects(target) {
                    errors.push(FieldError::invalid(
                        format!("{PATH}[{i}].generic.actions[{a}].targetSelectionCriteria[{t}]"),
                        serde_json::to_value(target).unwrap_or_default(),
                        "at least one of name, labelSelector, or indexSelector must be specified \
                         for target",
                    ));
                }
            }
        }
    }
    errors
}

/// The types of a receiver that are counted: Harbor's is not, as upstream, so
/// that manifests which pass there pass here.
fn types(receiver: &WebhookReceiverConfig) -> Vec<&'static str> {
    [
        (receiver.bitbucket.is_some(), "Bitbucket"),
        (receiver.dockerhub.is_some(), "DockerHub"),
        (receiver.github.is_some(), "GitHub"),
        (receiver.gitlab.is_some(), "GitLab"),
        (receiver.quay.is_some(), "Quay"),
        (receiver.artifactory.is_some(), "Artifactory"),
        (receiver.azure.is_some(), "Azure"),
        (receiver.gitea.is_some(), "Gitea"),
        (receiver.generic.is_some(), "Generic"),
    ]
    .into_iter()
    .filter_map(|(is_there, name)| is_there.then_some(name))
    .collect()
}

fn selects(target: &GenericWebhookTarget) -> bool {
    !target.name.is_empty()
        || target.label_selector.as_ref().is_some_and(|s| {
            s.match_labels.as_ref().is_some_and(|m| !m.is_empty())
                || s.match_expressions.as_ref().is_some_and(|m| !m.is_empty())
        })
        || target.index_selector.as_ref().is_some_and(|s| !s.match_indices.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn errors(spec: Value) -> Vec<(String, String)> {
        let spec: ProjectConfigSpec = serde_json::from_value(spec).unwrap();
        validate_project_config(&spec).into_iter().map(|e| (e.field, e.detail)).collect()
    }

    #[test]
    fn policies_name_a_stage_once_and_patterns_are_read() {
        let stages = |names: &[&str]| json!({"promotionPolicies": names.iter().map(|n| json!({"stage": n})).collect::<Vec<_>>()});
        let selectors = |names: &[&str]| {
            json!({"promotionPolicies":
                names.iter().map(|n| json!({"stageSelector": {"name": n}})).collect::<Vec<_>>()})
        };
        let at = |i: usize| format!("spec.promotionPolicies[{i}]");
        let name_at = |i: usize| format!("spec.promotionPolicies[{i}].stageSelector.name");
        let mixed = json!({"promotionPolicies": [
            {"stage": "stage-1"},
            {"stageSelector": {"name": "stage-2"}},
            {"stageSelector": {"name": "stage-1"}},
        ]});
        let cases: Vec<(&str, Value, Vec<String>)> = vec![
            ("admission/A20", stages(&["stage-1", "stage-1"]), vec![at(1)]),
            (
                "admission/A21",
                stages(&["stage-1", "stage-2", "stage-1", "stage-3", "stage-2"]),
                vec![at(2), at(4)],
            ),
            ("admission/A22", stages(&["stage-1", "stage-1", "stage-1"]), vec![at(1), at(2)]),
            ("admission/A23", mixed, vec![at(2)]),
            ("admission/A24", selectors(&["badpattern:stage-*"]), vec![name_at(0)]),
            ("api/candidates-P7", selectors(&["foo:bar"]), vec![name_at(0)]),
            ("admission/A25", selectors(&["glob:stage-*", "glob:stage-*"]), vec![]),
            ("admission/A26", selectors(&["regex:stage-[unclosed"]), vec![name_at(0)]),
            (
                "admission/A27",
                json!({"promotionPolicies": [{"stage": ""}, {"stageSelector": {"name": ""}}]}),
                vec![],
            ),
            ("admission/A28", selectors(&["a", "a", "glob:[x"]), vec![name_at(2), at(1)]),
        ];
        for (case, spec, wanted) in cases {
            let fields: Vec<String> = errors(spec).into_iter().map(|e| e.0).collect();
            assert_eq!(fields, wanted, "{case}");
        }
        let details: Vec<String> = ["badpattern:x", "regex:[x", "glob:[x"]
            .iter()
            .flat_map(|n| errors(selectors(&[n])))
            .map(|e| e.1)
            .collect();
        assert_eq!(
            details,
            [
                "invalid pattern identifier \"badpattern\": must be \"regex\", \"regexp\" or \"glob\"",
                "error parsing regexp: `[x`",
                "syntax error in pattern",
            ]
        );
        for (_, detail) in errors(stages(&["s", "s", "s"])) {
            assert_eq!(detail, "stage name already defined at spec.promotionPolicies[0]");
        }
    }

    #[test]
    fn receivers_have_one_name_and_one_type() {
        let secret = json!({"secretRef": {"name": "s"}});
        let named = |kinds: &[&str]| {
            let mut receiver = json!({"name": "r"});
            for kind in kinds {
                receiver[kind] = secret.clone();
            }
            receiver
        };
        let of = |receivers: Vec<Value>| errors(json!({"webhookReceivers": receivers}));
        let twice = of(vec![named(&["github"]), named(&["quay"])]);
        assert_eq!(twice[0].0, "spec.webhookReceivers[1].name", "admission/A29");
        assert_eq!(twice.len(), 1);
        assert_eq!(
            of(vec![named(&["github", "gitlab", "quay"])]),
            [(
                "spec.webhookReceivers[0]".to_owned(),
                "cannot define a receiver that is of more than one type, found 3: \
                 [GitHub GitLab Quay]"
                    .to_owned()
            )],
            "admission/A30"
        );
        assert!(of(vec![named(&["harbor", "github"])]).is_empty(), "admission/A31");
        let generic = json!({"name": "r", "generic": {"secretRef": {"name": "s"}, "actions": [
            {"action": "Refresh", "targetSelectionCriteria": [
                {"kind": "Warehouse", "name": "w"}, {"kind": "Warehouse", "labelSelector": {}}
            ]}
        ]}});
        assert_eq!(
            of(vec![generic])[0].0,
            "spec.webhookReceivers[0].generic.actions[0].targetSelectionCriteria[1]",
            "admission/A32"
        );
    }

    #[test]
    fn configs_have_the_names_that_are_theirs() {
        let error = validate_project_config_name("a", "b").unwrap();
        assert_eq!(error.detail, "name \"a\" must match project name \"b\"", "admission/A16");
        assert_eq!(validate_project_config_name("a", "a"), None);
        let spec = crate::ClusterConfigSpec::default();
        let error = validate_cluster_config("foo", true, &spec);
        assert_eq!(error[0].detail, "name \"foo\" must be \"cluster\"", "admission/A33");
        assert!(validate_cluster_config("cluster", true, &spec).is_empty());
        assert!(validate_cluster_config("foo", false, &spec).is_empty());
    }
}
