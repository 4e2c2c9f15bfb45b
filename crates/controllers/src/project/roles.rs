//! Who may do what in a Project's namespace (`projects` 4.5): the objects as
//! they should be, and writing those that differ.
//!
//! Each kind is compared in one field only (subjects or rules) and replaced in
//! that field; labels, annotations and `roleRef` of existing objects are never
//! touched, and an existing ServiceAccount is left alone.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, is_not_found};
use crate::metrics::Metrics;

const RBAC: &str = "rbac.authorization.k8s.io";
const KARGO: &str = "kargo.akuity.io";
const ARGO: &str = "argoproj.io";
const READ: &[&str] = &["get", "list", "watch"];

/// The user roles that every Project has, in the order of creation.
pub const USER_ROLES: [&str; 3] = ["kargo-admin", "kargo-viewer", "kargo-promoter"];

/// The RoleBindings of the system's own ServiceAccounts (`projects` 4.5.1).
pub fn system_bindings(project: &str, kargo: &str) -> Vec<RoleBinding> {
    [
        ("kargo-project-admin", &["kargo-api", "kargo-admin"][..]),
        ("kargo-project-secrets-reader", &["kargo-external-webhooks-server"][..]),
    ]
    .into_iter()
    .map(|(name, accounts)| RoleBinding {
        metadata: named(Some(project), name),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(accounts.iter().map(|a| account(kargo, a)).collect()),
    })
    .collect()
}

/// The RoleBinding by which one controller's ServiceAccount reads the
/// Project's Secrets (`projects` 4.5.2).
pub fn controller_binding(project: &str, kargo: &str, service_account: &str) -> RoleBinding {
    RoleBinding {
        metadata: named(Some(project), &format!("{service_account}-read-secrets")),
        role_ref: role_ref("ClusterRole", "kargo-controller-read-secrets"),
        subjects: Some(vec![account(kargo, service_account)]),
    }
}

/// The claims annotation that the Project's creator gives to its default
/// ServiceAccounts (`projects` 4.5.3), if any.
pub fn claims(create_actor: Option<&str>) -> Option<String> {
    let actor = create_actor?;
    if actor.starts_with("kubernetes:") {
        return None;
    }
    let (claim, value) = actor.split_once(':')?;
    Some(serde_json::json!({ claim: [value] }).to_string())
}

/// A default ServiceAccount of the Project.
pub fn service_account(project: &str, name: &str, create_actor: Option<&str>) -> ServiceAccount {
    let mut metadata = managed(project, name);
    if let (Some(claims), Some(annotations)) = (claims(create_actor), metadata.annotations.as_mut())
    {
        annotations.insert("rbac.kargo.akuity.io/claims".to_owned(), claims);
    }
    ServiceAccount { metadata, ..ServiceAccount::default() }
}

/// A default Role of the Project; one of [`USER_ROLES`].
pub fn role(project: &str, name: &str) -> Role {
    let rules = match name {
        "kargo-admin" => admin_rules(),
        "kargo-viewer" => viewer_rules(),
        _ => promoter_rules(),
    };
    Role { metadata: managed(project, name), rules: Some(rules) }
}

/// The binding of a default Role to the ServiceAccount of its name.
pub fn role_binding(project: &str, name: &str) -> RoleBinding {
    RoleBinding {
        metadata: managed(project, name),
        role_ref: role_ref("Role", name),
        subjects: Some(vec![account(project, name)]),
    }
}

/// The name of the pair that lets a Project's admins change the Project.
pub fn project_admin_name(project: &str) -> String {
    api::shorten_resource_name(&format!("kargo-project-admin-{project}"))
}

/// The ClusterRole of that pair.
pub fn project_admin_role(project: &str) -> ClusterRole {
    let mut rule = rule(KARGO, &["projects"], &["delete", "update"]);
    rule.resource_names = Some(vec![project.to_owned()]);
    ClusterRole {
        metadata: named(None, &project_admin_name(project)),
        rules: Some(vec![rule]),
        ..ClusterRole::default()
    }
}

/// The ClusterRoleBinding of that pair.
pub fn project_admin_binding(project: &str) -> ClusterRoleBinding {
    let name = project_admin_name(project);
    ClusterRoleBinding {
        metadata: named(None, &name),
        role_ref: role_ref("ClusterRole", &name),
        subjects: Some(vec![account(project, "kargo-admin")]),
    }
}

/// An object of which one field is kept as we want it.
pub trait Kept: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned {
    /// Whether the field is as wanted.
    fn is_as(&self, wanted: &Self) -> bool;
    /// Makes the field as wanted.
    fn become_as(&mut self, wanted: &Self);
}

macro_rules! kept {
    ($kind:ty, $($field:ident)?) => {
        impl Kept for $kind {
            fn is_as(&self, _wanted: &Self) -> bool {
                true $(&& self.$field == _wanted.$field)?
            }
            fn become_as(&mut self, _wanted: &Self) {
                $(self.$field.clone_from(&_wanted.$field);)?
            }
        }
    };
}
kept!(ServiceAccount,);
kept!(Role, rules);
kept!(ClusterRole, rules);
kept!(RoleBinding, subjects);
kept!(ClusterRoleBinding, subjects);

/// Creates `wanted`, or corrects the one that exists, or does nothing.
///
/// # Errors
/// What the API server answered.
pub async fn ensure<K: Kept>(api: &Api<K>, wanted: &K, metrics: &Metrics) -> Result<(), Error> {
    let name = wanted.meta().name.clone().unwrap_or_default();
    let kind = K::kind(&());
    let found = api
        .get_opt(&name)
        .await
        .map_err(|e| Error::api(format_args!("error getting {kind} {name:?}"), e))?;
    match found {
        None => {
            metrics.wrote(&kind);
            match api.create(&PostParams::default(), wanted).await {
                Ok(_) => Ok(()),
                Err(e) if crate::error::is_already_exists(&e) => Ok(()),
                Err(e) => Err(Error::api(format_args!("error creating {kind} {name:?}"), e)),
            }
        }
        Some(found) if found.is_as(wanted) => Ok(()),
        Some(mut found) => {
            found.become_as(wanted);
            metrics.wrote(&kind);
            api.replace(&name, &PostParams::default(), &found)
                .await
                .map(drop)
                .map_err(|e| Error::api(format_args!("error updating {kind} {name:?}"), e))
        }
    }
}

/// Deletes an object; one that is gone is fine.
///
/// # Errors
/// `error deleting <Kind> "<name>": ...`.
pub async fn delete<K>(api: &Api<K>, name: &str, metrics: &Metrics) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    metrics.wrote(&K::kind(&()));
    match api.delete(name, &Default::default()).await {
        Ok(_) => Ok(()),
        Err(e) if is_not_found(&e) => Ok(()),
        Err(e) => Err(Error::api(format_args!("error deleting {} {name:?}", K::kind(&())), e)),
    }
}

/// Ensures the default user roles (`projects` 4.5.3).
///
/// # Errors
/// The first that failed.
pub async fn ensure_user_roles(
    client: &Client,
    project: &str,
    create_actor: Option<&str>,
    metrics: &Metrics,
) -> Result<(), Error> {
    let accounts = Api::namespaced(client.clone(), project);
    let roles = Api::namespaced(client.clone(), project);
    let bindings = Api::namespaced(client.clone(), project);
    for name in USER_ROLES {
        ensure(&accounts, &service_account(project, name, create_actor), metrics).await?;
    }
    for name in USER_ROLES {
        ensure(&roles, &role(project, name), metrics).await?;
    }
    for name in USER_ROLES {
        ensure(&bindings, &role_binding(project, name), metrics).await?;
    }
    ensure(&Api::all(client.clone()), &project_admin_role(project), metrics).await?;
    ensure(&Api::all(client.clone()), &project_admin_binding(project), metrics).await
}

fn admin_rules() -> Vec<PolicyRule> {
    let all = &["*"];
    vec![
        rule("", &["events"], READ),
        rule("", &["configmaps", "secrets", "serviceaccounts"], all),
        rule(RBAC, &["rolebindings", "roles"], all),
        rule(
            KARGO,
            &["freights", "projectconfigs", "promotiontasks", "stages", "targets", "warehouses"],
            all,
        ),
        rule(KARGO, &["stages"], &["promote"]),
        rule(KARGO, &["promotions"], &["create", "delete", "get", "list", "watch", "patch"]),
        rule(KARGO, &["freights/status"], &["patch"]),
        rule(ARGO, &["analysisruns"], &["delete", "get", "list", "watch"]),
        rule(ARGO, &["analysistemplates"], all),
    ]
}

fn viewer_rules() -> Vec<PolicyRule> {
    let kargo = &["freights", "projectconfigs", "promotions", "stages", "targets", "warehouses"];
    vec![
        rule("", &["configmaps", "events", "serviceaccounts"], READ),
        rule(RBAC, &["rolebindings", "roles"], READ),
        rule(KARGO, kargo, READ),
        rule(ARGO, &["analysisruns", "analysistemplates"], READ),
    ]
}

fn promoter_rules() -> Vec<PolicyRule> {
    vec![
        rule("", &["configmaps", "events", "serviceaccounts"], READ),
        rule(RBAC, &["rolebindings", "roles"], READ),
        rule(KARGO, &["freights", "stages", "warehouses", "projectconfigs"], READ),
        rule(KARGO, &["stages"], &["promote"]),
        rule(KARGO, &["promotions"], &["create", "get", "list", "watch"]),
        rule(KARGO, &["freights/status"], &["patch"]),
        rule(ARGO, &["analysisruns", "analysistemplates"], READ),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(RBAC.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

fn account(namespace: &str, name: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}

fn named(namespace: Option<&str>, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: namespace.map(str::to_owned),
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn managed(project: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        annotations: Some(BTreeMap::from([(
            "rbac.kargo.akuity.io/managed".to_owned(),
            "true".to_owned(),
        )])),
        ..named(Some(project), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creator_becomes_an_oidc_claim() {
        // The table of `projects` 4.5.3.
        for (actor, expected) in [
            (Some("email:tony@stark.io"), Some(r#"{"email":["tony@stark.io"]}"#)),
            (Some("subject:abc:def"), Some(r#"{"subject":["abc:def"]}"#)),
            (Some("admin"), None),
            (Some("kubernetes:system:serviceaccount:kargo-demo:ci-bot"), None),
            (None, None),
        ] {
            assert_eq!(claims(actor).as_deref(), expected, "{actor:?}");
        }
    }

    #[test]
    fn default_roles_hold_the_rules_of_the_specification() {
        let admin = role("p", "kargo-admin").rules.unwrap_or_default();
        assert_eq!(admin.len(), 9);
        assert_eq!(admin[4].verbs, ["promote"]);
        for name in ["kargo-viewer", "kargo-promoter"] {
            let rules = role("p", name).rules.unwrap_or_default();
            let resources: Vec<String> =
                rules.iter().flat_map(|r| r.resources.clone().unwrap_or_default()).collect();
            assert!(!resources.contains(&"secrets".to_owned()), "{name}");
            assert!(!resources.contains(&"promotiontasks".to_owned()), "{name}");
        }
        let binding = &system_bindings("p", "kargo")[0];
        let subjects = binding.subjects.clone().unwrap_or_default();
        assert_eq!(
            subjects.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["kargo-api", "kargo-admin"]
        );
        assert_eq!(subjects[0].namespace.as_deref(), Some("kargo"));
    }

    #[test]
    fn long_project_names_are_hashed() {
        let case = "projects/P24";
        let name = project_admin_name(&"a".repeat(253));
        assert_eq!(name.len(), 253, "{case}");
        assert!(name.ends_with("-3f2b9297"), "{case}: {name}");
    }
}
