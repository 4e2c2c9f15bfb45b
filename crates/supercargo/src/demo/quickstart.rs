//! The quick start's manifests, as they stand in `examples/quickstart`, and
//! the names in them.

use std::time::Duration;

use ::sandbox::registry::NewImage;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Deserialize;
use serde_json::Value;

use crate::sandbox::world::World;

/// The Project.
pub const PROJECT: &str = "develop";
/// The Warehouse.
pub const WAREHOUSE: &str = "frontend-dev-image";
/// The Application, in namespace `argocd`.
pub const APPLICATION: &str = "wsp-web";
/// The image by its public name.
pub const IMAGE: &str = "docker.io/zxc204fghasd/wsp-web-server-v2";
/// The image as the sandbox's registry knows it.
pub const IMAGE_PATH: &str = "zxc204fghasd/wsp-web-server-v2";
/// The repository as the sandbox's Git host knows it.
pub const REPOSITORY: &str = "repo.git";
/// The file that promotions change.
pub const INSTANCE: &str = "develop/frontend/wsp-web-instance.yaml";
/// The tag that is there when the sandbox starts.
pub const FIRST_TAG: &str = "v1.0.0";

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../../../examples/quickstart/", $path))
    };
}

/// Fills registry and Git host with what the manifests speak of.
///
/// # Errors
/// What the sandbox says.
pub async fn fill(world: &World) -> Result<(), String> {
    let content = example!("repository/develop/frontend/wsp-web-instance.yaml");
    world
        .peers
        .git
        .create_repository(REPOSITORY, &[(INSTANCE, content)])
        .await
        .map_err(|e| e.to_string())?;
    push(world, FIRST_TAG).map(drop)
}

/// Publishes an image under a tag; returns its digest.
///
/// # Errors
/// What the registry says.
pub fn push(world: &World, tag: &str) -> Result<String, String> {
    let image = NewImage { content: tag.to_owned(), ..NewImage::created(jiff::Timestamp::now()) };
    world.peers.registry.push_tag(IMAGE_PATH, tag, &image).map_err(|e| e.to_string())
}

/// Applies the manifests as `kubectl apply --server-side` would, the Project
/// first; returns what was applied.
///
/// # Errors
/// What the API says.
pub async fn apply(client: &kube::Client, with_task: bool) -> Result<Vec<String>, String> {
    let stage = if with_task { example!("with-task/stage.yaml") } else { example!("stage.yaml") };
    let manifests = [
        example!("project.yaml"),
        example!("application.yaml"),
        example!("promotion-task.yaml"),
        stage,
        example!("warehouse.yaml"),
    ];
    let mut applied = Vec::new();
    for manifest in manifests {
        for document in serde_yaml::Deserializer::from_str(manifest) {
            let value = Value::deserialize(document).map_err(|e| e.to_string())?;
            applied.push(apply_one(client, value).await?);
        }
    }
    Ok(applied)
}

/// Applies one object. A namespace that a Project is about to make is waited
/// for.
async fn apply_one(client: &kube::Client, value: Value) -> Result<String, String> {
    let object: DynamicObject =
        serde_json::from_value(value).map_err(|e| format!("a manifest cannot be read: {e}"))?;
    let types = object.types.clone().unwrap_or_default();
    let kind = types.kind.clone();
    let gvk = GroupVersionKind::try_from(&types).map_err(|e| e.to_string())?;
    let resource = ApiResource::from_gvk(&gvk);
    let name = object.metadata.name.clone().unwrap_or_default();
    let cluster = matches!(kind.as_str(), "Project" | "ClusterConfig" | "ClusterPromotionTask");
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) if !cluster => {
            wait_for_namespace(client, namespace).await?;
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
        _ => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("supercargo-demo").force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .map_err(|e| format!("{kind} {name}: {e}"))?;
    Ok(format!("{kind} {name}"))
}

async fn wait_for_namespace(client: &kube::Client, name: &str) -> Result<(), String> {
    use k8s_openapi::api::core::v1::Namespace;
    let api: Api<Namespace> = Api::all(client.clone());
    let there =
        kube::runtime::wait::await_condition(api, name, |n: Option<&Namespace>| n.is_some());
    match tokio::time::timeout(Duration::from_secs(30), there).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("namespace {name}: {e}")),
        Err(_) => Err(format!("namespace {name} was not made within 30 s; is there a Project?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_read_by_our_types() {
        let project: api::Project = serde_yaml::from_str(example!("project.yaml")).unwrap();
        assert_eq!(project.spec.promotion_policies[0].stage, "frontend-dev-stage");
        let warehouse: api::Warehouse = serde_yaml::from_str(example!("warehouse.yaml")).unwrap();
        assert_eq!(warehouse.metadata.name.as_deref(), Some(WAREHOUSE));
        assert_eq!(api::Subscription::decode_all(&warehouse.spec.subscriptions).unwrap().len(), 1);
        for text in [example!("stage.yaml"), example!("with-task/stage.yaml")] {
            let stage: api::Stage = serde_yaml::from_str(text).unwrap();
            assert!(!stage.spec.promotion_template.unwrap().spec.steps.is_empty());
        }
        let task: api::PromotionTask =
            serde_yaml::from_str(example!("promotion-task.yaml")).unwrap();
        assert_eq!(task.spec.steps.len(), 6);
    }
}
