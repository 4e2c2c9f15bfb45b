//! The kinds that are there from the start. They have no deep schema: the real API server's checks of
//! them are not what this one is for (design, settled 20).

use super::resource::{Column, Resource};

fn resource(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        status: false,
        custom: false,
        review: false,
        columns: vec![Column::new("Age", "date", ".metadata.creationTimestamp")],
        schema: None,
        raw_schema: None,
        storage: if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") },
    }
}

fn named(mut resource: Resource, short: &[&str], columns: &[(&str, &str, &str)]) -> Resource {
    resource.short_names = short.iter().map(|&name| name.to_owned()).collect();
    let mut all: Vec<Column> =
        columns.iter().map(|&(name, kind, path)| Column::new(name, kind, path)).collect();
    all.append(&mut resource.columns);
    resource.columns = all;
    resource
}

/// All built-in kinds, in the order in which discovery lists them.
pub fn resources() -> Vec<Resource> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let mut all = vec![
        Resource {
            status: true,
            ..named(
                resource("", "v1", "Namespace", "namespaces", false),
                &["ns"],
                &[("Status", "string", ".status.phase")],
            )
        },
        named(
            resource("", "v1", "Secret", "secrets", true),
            &[],
            &[("Type", "string", ".type"), ("Data", "count", ".data")],
        ),
        named(
            resource("", "v1", "ConfigMap", "configmaps", true),
            &["cm"],
            &[("Data", "count", ".data")],
        ),
        named(
            resource("", "v1", "ServiceAccount", "serviceaccounts", true),
            &["sa"],
            &[("Secrets", "count", ".secrets")],
        ),
        Resource {
            columns: event_columns(),
            ..named(resource("", "v1", "Event", "events", true), &["ev"], &[])
        },
        Resource {
            columns: event_columns(),
            storage: "events".to_owned(),
            ..named(resource("events.k8s.io", "v1", "Event", "events", true), &["ev"], &[])
        },
        named(
            resource("coordination.k8s.io", "v1", "Lease", "leases", true),
            &[],
            &[("Holder", "string", ".spec.holderIdentity")],
        ),
        named(resource(RBAC, "v1", "Role", "roles", true), &[], &[]),
        named(
            resource(RBAC, "v1", "RoleBinding", "rolebindings", true),
            &[],
            &[("Role", "string", ".roleRef.name")],
        ),
        named(resource(RBAC, "v1", "ClusterRole", "clusterroles", false), &[], &[]),
        named(
            resource(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", false),
            &[],
            &[("Role", "string", ".roleRef.name")],
        ),
        Resource {
            status: true,
            columns: vec![Column::new("Created At", "timestamp", ".metadata.creationTimestamp")],
            ..named(
                resource(
                    "apiextensions.k8s.io",
                    "v1",
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                    false,
                ),
                &["crd", "crds"],
                &[],
            )
        },
    ];
    for (group, kind, plural, namespaced) in [
        ("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
        ("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", false),
        ("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
        ("authentication.k8s.io", "TokenReview", "tokenreviews", false),
        ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", false),
    ] {
        all.push(Resource { review: true, ..resource(group, "v1", kind, plural, namespaced) });
    }
    all
}

fn event_columns() -> Vec<Column> {
    vec![
        Column::new("Last Seen", "last-seen", ".lastTimestamp"),
        Column::new("Type", "string", ".type"),
        Column::new("Reason", "string", ".reason"),
        Column::new("Object", "object", ".involvedObject"),
        Column::new("Message", "string", ".message"),
    ]
}
