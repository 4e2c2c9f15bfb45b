//! Argo CD's custom resources as far as a cluster must know them: names and
//! scope; any content is accepted.

use serde_json::{Value, json};

/// The CustomResourceDefinitions of Applications, ApplicationSets and
/// AppProjects. As in the real ones there is no status subresource: status is
/// written on the object itself.
pub fn all() -> Vec<Value> {
    [
        ("Application", "applications", &["app", "apps"][..]),
        ("ApplicationSet", "applicationsets", &["appset", "appsets"][..]),
        ("AppProject", "appprojects", &["appproj", "appprojs"][..]),
    ]
    .into_iter()
    .map(|(kind, plural, short)| definition(kind, plural, short))
    .collect()
}

fn definition(kind: &str, plural: &str, short: &[&str]) -> Value {
    let columns = match kind {
        "Application" => json!([
            {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
            {"name": "Health Status", "type": "string", "jsonPath": ".status.health.status"},
            {"name": "Revision", "type": "string", "jsonPath": ".status.sync.revision", "priority": 10},
        ]),
        _ => json!([]),
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.argoproj.io")},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
                "shortNames": short,
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}
