//! What an earlier test left in a cluster that outlives it. Only what the
//! suite has made is removed; where others have made such things, the suite
//! does not run.

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::await_that;
use crate::cluster::MANAGER;

/// Removes Applications, Projects and their namespaces, and waits until they
/// are gone.
///
/// # Errors
/// Where somebody else's are there, or they cannot be listed.
pub async fn remove(admin: &Client) -> Result<(), String> {
    for (group, kind, namespace) in
        [("argoproj.io", "Application", Some("argocd")), ("kargo.akuity.io", "Project", None)]
    {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1alpha1", kind));
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &resource),
            None => Api::all_with(admin.clone(), &resource),
        };
        let listed = match api.list(&Default::default()).await {
            Ok(listed) => listed.items,
            // The kind is not served yet: a new cluster.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(format!("{kind}: {error}")),
        };
        for object in listed {
            let name = object.name_any();
            if !is_ours(&object) {
                return Err(format!(
                    "{kind} {name} was not made by this suite, which wants a cluster of its own: \
                     point KUBECONFIG at one"
                ));
            }
            // No controllers run between the tests that would finish it.
            let change = json!({"metadata": {"finalizers": null}});
            let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await;
            let _ = api.delete(&name, &Default::default()).await;
            if kind == "Project" {
                empty(admin, &name).await?;
            }
        }
    }
    Ok(())
}

fn is_ours(object: &DynamicObject) -> bool {
    object.labels().contains_key(MANAGER)
}

/// Deletes a Project's namespace; Stages in it have finalizers too.
async fn empty(admin: &Client, namespace: &str) -> Result<(), String> {
    use k8s_openapi::api::core::v1::Namespace;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    if namespaces.get_opt(namespace).await.map_err(|e| e.to_string())?.is_none() {
        return Ok(());
    }
    let change = json!({"metadata": {"finalizers": null}});
    let none = Patch::Merge(&change);
    let _ = namespaces.patch(namespace, &PatchParams::default(), &none).await;
    namespaces.delete(namespace, &Default::default()).await.map_err(|e| e.to_string())?;
    let stages: Api<api::Stage> = Api::namespaced(admin.clone(), namespace);
    for stage in stages.list(&Default::default()).await.map_err(|e| e.to_string())? {
        let _ = stages.patch(&stage.name_any(), &PatchParams::default(), &none).await;
    }
    await_that::answer(&format!("the end of namespace {namespace}"), || async {
        matches!(namespaces.get_opt(namespace).await, Ok(None)).then_some(())
    })
    .await;
    Ok(())
}
