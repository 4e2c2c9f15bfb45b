//! Projects end to end in a cluster in memory: namespace, permissions,
//! numbers, policies, deletion.
#![allow(clippy::unwrap_used)]

mod cluster;

use cluster::*;
use controllers::store::Key;
use k8s_openapi::api::core::v1::{Event, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

async fn project(cluster: &Cluster, what: &str, is: impl Fn(&str) -> bool) -> api::Project {
    cluster
        .until(what, |c| {
            let project = c.stores.projects.get(&Key::cluster("p"))?;
            let status = project.status.clone().unwrap_or_default();
            let all: Vec<String> = status
                .conditions
                .iter()
                .map(|c| format!("{}={}/{}: {}", c.type_, c.status, c.reason, c.message))
                .collect();
            is(&all.join("\n")).then(|| (*project).clone())
        })
        .await
}

fn plain() -> Value {
    json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Project", "metadata": {"name": "p"},
    })
}

const READY: &str = "Ready=True/Synced: Project is synced and ready for use";

#[tokio::test(start_paused = true)]
async fn a_project_gets_its_namespace_and_its_roles() {
    let cluster = Cluster::start().await;
    cluster.create_global::<Namespace>(json!({"metadata": {"name": "kargo"}})).await;
    for name in ["controller-a", "controller-b"] {
        let account = json!({"metadata": {
            "namespace": "kargo", "name": name,
            "labels": {"app.kubernetes.io/component": "controller"},
        }});
        let account: ServiceAccount = serde_json::from_value(account).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "kargo");
        accounts.create(&Default::default(), &account).await.unwrap();
    }
    cluster.create_global::<api::Project>(plain()).await;
    let ready = project(&cluster, "a Project that is ready", |s| s.contains(READY)).await;
    let conditions = &ready.status.as_ref().unwrap().conditions;
    assert_eq!(said(conditions, "Reconciling"), "", "projects/P16");

    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = namespaces.get("p").await.unwrap().metadata;
    let labels = namespace.labels.unwrap();
    assert_eq!(
        labels.get("kargo.akuity.io/project").map(String::as_str),
        Some("true"),
        "projects/P12"
    );
    assert_eq!(
        namespace.finalizers.unwrap_or_default(),
        ["kargo.akuity.io/finalizer"],
        "projects/P12"
    );
    assert!(namespace.owner_references.unwrap_or_default().is_empty(), "projects/P12");

    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), "p");
    for name in ["controller-a-read-secrets", "controller-b-read-secrets"] {
        assert!(bindings.get_opt(name).await.unwrap().is_some(), "projects/P27 {name}");
    }
    let roles: Api<Role> = Api::namespaced(cluster.client.clone(), "p");
    for name in ["kargo-admin", "kargo-viewer", "kargo-promoter"] {
        assert!(roles.get_opt(name).await.unwrap().is_some(), "{name}");
    }

    // What was edited is put right at the next pass, what was not is left alone.
    let change = json!({"rules": []});
    roles.patch("kargo-viewer", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    let change = json!({"subjects": [{"kind": "User", "name": "x", "apiGroup": "rbac.authorization.k8s.io"}]});
    let params = PatchParams::default();
    bindings.patch("kargo-project-admin", &params, &Patch::Merge(&change)).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "p");
    let change = json!({"metadata": {"annotations": {"mine": "yes"}}});
    accounts.patch("kargo-admin", &params, &Patch::Merge(&change)).await.unwrap();
    let before = cluster.api.requests();
    tokio::time::sleep(std::time::Duration::from_secs(400)).await;
    let viewer = roles.get("kargo-viewer").await.unwrap();
    assert_eq!(viewer.rules.unwrap_or_default().len(), 4, "projects/P23");
    let admin = bindings.get("kargo-project-admin").await.unwrap();
    assert_eq!(admin.subjects.unwrap_or_default().len(), 2, "projects/P21");
    let account = accounts.get("kargo-admin").await.unwrap();
    assert!(account.metadata.annotations.unwrap().contains_key("mine"), "projects/P22");
    let since = cluster.api.requests().since(&before);
    assert_eq!(since.of("update", "rolebindings"), 1, "projects/P20");
    assert_eq!(since.of("update", "serviceaccounts"), 0, "projects/P22");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_of_somebody_else_is_left_alone() {
    let cluster = Cluster::start().await;
    cluster
        .create_global::<Namespace>(json!({"metadata": {
            "name": "p", "labels": {"kargo.akuity.io/project": "yes"},
        }}))
        .await;
    cluster.create_global::<api::Project>(plain()).await;
    let stalled = project(&cluster, "a stalled Project", |s| s.contains("Stalled=True")).await;
    let conditions = &stalled.status.as_ref().unwrap().conditions;
    let case = "projects/P14";
    assert_eq!(
        said(conditions, "Stalled"),
        "True/ExistingNamespaceMissingLabel: Namespace \"p\" already exists but is not labeled as a Project namespace using label \"kargo.akuity.io/project\"",
        "{case}"
    );
    assert!(
        said(conditions, "Ready").starts_with("False/EnsuringNamespaceFailed: Failed to ensure"),
        "{case}"
    );
    // With what to do about it.
    let command = "kubectl label namespace p --overwrite kargo.akuity.io/project=true";
    assert!(said(conditions, "Ready").ends_with(command));
    assert!(said(conditions, "Reconciling").starts_with("True/Syncing"), "{case}");
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    assert!(namespaces.get("p").await.unwrap().metadata.finalizers.is_none(), "{case}");

    // Once its owner labels it, it is adopted.
    let label = json!({"metadata": {"labels": {"kargo.akuity.io/project": "true"}}});
    namespaces.patch("p", &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    let ready = project(&cluster, "an adopted namespace", |s| s.contains(READY)).await;
    assert_eq!(said(&ready.status.as_ref().unwrap().conditions, "Stalled"), "");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_project_that_goes_takes_its_namespace_with_it() {
    for (case, keep) in
        [("projects/P3", None), ("projects/P6", Some("true")), ("projects/P8", Some("TRUE"))]
    {
        let cluster = Cluster::start().await;
        let mut object = plain();
        if let Some(keep) = keep {
            object["metadata"]["annotations"] = json!({"kargo.akuity.io/keep-namespace": keep});
        }
        cluster.create_global::<api::Project>(object).await;
        project(&cluster, "a Project that is ready", |s| s.contains(READY)).await;
        let projects: Api<api::Project> = Api::all(cluster.client.clone());
        projects.delete("p", &Default::default()).await.unwrap();
        cluster
            .until("the Project to be gone", |c| c.stores.projects.is_empty().then_some(()))
            .await;
        let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
        assert!(roles.get_opt("kargo-project-admin-p").await.unwrap().is_none(), "{case}");
        let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
        assert!(bindings.get_opt("kargo-project-admin-p").await.unwrap().is_none(), "{case}");
        let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
        let left = namespaces.get_opt("p").await.unwrap();
        match keep {
            Some("true") => {
                let finalizers = left.unwrap().metadata.finalizers.unwrap_or_default();
                assert!(finalizers.is_empty(), "{case}");
            }
            _ => assert!(left.is_none_or(|n| n.metadata.deletion_timestamp.is_some()), "{case}"),
        }
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_takes_its_project_with_it() {
    let cluster = Cluster::start().await;
    cluster.create_global::<api::Project>(plain()).await;
    project(&cluster, "a Project that is ready", |s| s.contains(READY)).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("p", &Default::default()).await.unwrap();
    cluster
        .until("the Project to be gone (projects/N3)", |c| {
            c.stores.projects.is_empty().then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_project_counts_what_it_has() {
    let cluster = Cluster::start().await;
    cluster.create_global::<api::Project>(plain()).await;
    project(&cluster, "a Project that is ready", |s| s.contains(READY)).await;
    cluster.create::<api::Warehouse>(warehouse()).await;
    let mut second = warehouse();
    second["metadata"]["name"] = json!("w2");
    cluster.create::<api::Warehouse>(second).await;
    let healthy = |state: &str| {
        json!({"conditions": [{
            "type": "Healthy", "status": state, "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})
    };
    cluster.patch_status::<api::Warehouse>("w", healthy("True")).await;
    cluster.patch_status::<api::Warehouse>("w2", healthy("False")).await;
    for name in ["s1", "s2"] {
        cluster.create::<api::Stage>(stage_from(name, json!({"direct": true}))).await;
    }
    let mut gate = stage_from("gate", json!({"direct": true}));
    gate["spec"].as_object_mut().unwrap().remove("promotionTemplate");
    cluster.create::<api::Stage>(gate).await;
    let stats = cluster
        .until("the numbers (projects/P19)", |c| {
            let project = c.stores.projects.get(&Key::cluster("p"))?;
            let stats = project.status.as_ref()?.stats.clone()?;
            (stats.stages.count == 2 && stats.warehouses.health.healthy == 1).then_some(stats)
        })
        .await;
    assert_eq!(stats.warehouses.count, 2, "projects/P19");
    assert_eq!(stats.stages.health.healthy, 0, "projects/P19");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_legacy_policies_are_honoured_and_their_owner_is_told() {
    let cluster = Cluster::start().await;
    cluster.create_global::<api::Project>(project_with(&["test"])).await;
    let told =
        project(&cluster, "the notice", |s| s.contains("LegacyPromotionPolicies=True")).await;
    let notice = said(&told.status.as_ref().unwrap().conditions, "LegacyPromotionPolicies");
    assert!(notice.contains("ProjectConfig named \"p\" in namespace \"p\""), "{notice}");
    project(&cluster, "a Project that is ready", |s| s.contains(READY)).await;
    tokio::time::sleep(std::time::Duration::from_secs(900)).await;
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
    let events = events.list(&Default::default()).await.unwrap();
    let warned: Vec<_> =
        events.iter().filter(|e| e.reason.as_deref() == Some("LegacyPromotionPolicies")).collect();
    assert_eq!(warned.len(), 1, "said once, not at every pass");
    assert_eq!(warned.first().and_then(|e| e.type_.as_deref()), Some("Warning"));

    // A ProjectConfig's policy for the same Stage wins.
    cluster.create::<api::Warehouse>(warehouse()).await;
    cluster
        .create::<api::ProjectConfig>(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig",
            "metadata": {"namespace": "p", "name": "p"},
            "spec": {"promotionPolicies": [{"stage": "test", "autoPromotionEnabled": false}]},
        }))
        .await;
    let config = cluster
        .until("the ProjectConfig (projects/C1)", |c| {
            let config = c.stores.project_configs.get(&Key::new("p", "p"))?;
            is_true(&config.status.as_ref()?.conditions, "Ready").then_some(config)
        })
        .await;
    let status = config.status.clone().unwrap();
    let expected = "True/Synced: ProjectConfig is synced and ready for use";
    assert_eq!(said(&status.conditions, "Ready"), expected, "projects/C1");
    cluster.create::<api::Freight>(freight_at("f1", 1)).await;
    cluster.create::<api::Stage>(stage_from("test", json!({"direct": true}))).await;
    let waits = |s: &api::Stage| stage_said(s, "FreightWaiting").contains("AutoPromotionDisabled");
    cluster.stage("test", "that a policy says no", waits).await;
    assert!(cluster.context.stores.promotions.is_empty());
    cluster.stop().await;
}
