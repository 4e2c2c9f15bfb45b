//! The Applications that a Promotion touched, as the Stage's annotation tells
//! user interfaces (`api` 7.17).

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::promotion::Promotion;
use crate::requests::go_json;

#[derive(Serialize)]
struct App<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// The annotation's value; none where there are no Applications.
pub fn argocd_context(promotion: &Promotion) -> Option<String> {
    let status = promotion.status.as_ref()?;
    let outputs = promotion
        .spec
        .steps
        .iter()
        .filter(|s| {
            matches!(s.uses.as_str(), "argocd-update" | "argocd-wait") && !s.alias.is_empty()
        })
        .filter_map(|s| status.state.as_ref()?.get(&s.alias)?.get("apps"));
    let checks = status.health_checks.iter().filter_map(|c| c.config.as_ref()?.get("apps"));
    let mut seen = BTreeSet::new();
    let apps: Vec<App<'_>> = outputs
        .chain(checks)
        .filter_map(Value::as_array)
        .flatten()
        .filter(|a| a.is_object())
        .map(|a| App {
            name: a.get("name").and_then(Value::as_str).unwrap_or_default(),
            namespace: a.get("namespace").and_then(Value::as_str).unwrap_or_default(),
        })
        .filter(|a| !a.name.is_empty() && seen.insert((a.namespace, a.name)))
        .collect();
    if apps.is_empty() { None } else { go_json(&apps).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::HealthCheckStep;
    use crate::promotion::{PromotionSpec, PromotionStatus};
    use crate::step::PromotionStep;
    use serde_json::json;

    fn promotion(uses: &str, state: Value, checks: &[Value]) -> Promotion {
        let step = PromotionStep { uses: uses.into(), alias: "wait".into(), ..Default::default() };
        let mut promotion =
            Promotion::new("p", PromotionSpec { steps: vec![step], ..Default::default() });
        promotion.status = Some(PromotionStatus {
            state: state.as_object().cloned(),
            health_checks: checks
                .iter()
                .map(|c| HealthCheckStep { uses: "argocd-update".into(), config: Some(c.clone()) })
                .collect(),
            ..Default::default()
        });
        promotion
    }

    #[test]
    fn applications_of_outputs_and_checks() {
        let odd = json!({"wait": {"apps": "x"}, "other": {"apps": [42, {}]}});
        let app = json!({"apps": [{"name": "a", "namespace": "n"}]});
        let cases = [
            ("api/argo-cd-context-Y1", "argocd-wait", odd, vec![], None),
            (
                "api/argo-cd-context-Y2",
                "argocd-update",
                json!({"wait": app}),
                vec![app.clone()],
                Some(r#"[{"name":"a","namespace":"n"}]"#),
            ),
            ("api/argo-cd-context-Y3", "argocd-update", json!("unreadable"), vec![], None),
            ("api/argo-cd-context-Y4", "compose-output", json!({"wait": app}), vec![], None),
            (
                "api/argo-cd-context-Y5",
                "argocd-update",
                json!({"wait": {"apps": [{"name": "a"}]}}),
                vec![],
                Some(r#"[{"name":"a","namespace":""}]"#),
            ),
        ];
        for (case, uses, state, checks, wanted) in cases {
            assert_eq!(
                argocd_context(&promotion(uses, state, &checks)).as_deref(),
                wanted,
                "{case}"
            );
        }
    }
}
