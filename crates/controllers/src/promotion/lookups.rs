//! What expressions look up, from the cluster: each read is live, so that
//! what a step just wrote is seen (`expressions` 7). ConfigMaps and Secrets
//! are read on use and never watched.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use ::promotion::functions::{Entries, KargoFunctions, Lookups, Scope, SecretEntries};
use api::{Freight, FreightStatus, Stage, Warehouse};
use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::said;

/// The value of the label that lets all Projects read a shared Secret.
const GENERIC: &str = "generic";

/// The functions of expressions over a cluster. `shared` is the namespace of
/// what all Projects share (`SHARED_RESOURCES_NAMESPACE`); empty for none.
pub fn functions(client: Client, shared: impl Into<String>) -> KargoFunctions {
    let shared: Arc<str> = shared.into().into();
    KargoFunctions::new(move |project: &str| -> Arc<dyn Lookups> {
        Arc::new(ClusterLookups {
            client: client.clone(),
            project: project.to_owned(),
            shared: Arc::clone(&shared),
        })
    })
}

/// Reads from the cluster for one Project.
struct ClusterLookups {
    client: Client,
    project: String,
    shared: Arc<str>,
}

impl ClusterLookups {
    async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        // What is no name cannot be there; asking the API would be an error.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if namespace.is_empty() || name.is_empty() || !name.chars().all(is_name) {
            return Ok(None);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(|e| said(&e))
    }

    fn namespace(&self, scope: Scope) -> &str {
        match scope {
            Scope::Project => &self.project,
            Scope::Shared => &self.shared,
        }
    }
}

#[async_trait]
impl Lookups for ClusterLookups {
    async fn config_map(&self, scope: Scope, name: &str) -> Result<Option<Entries>, String> {
        let found: Option<ConfigMap> = self.get(self.namespace(scope), name).await?;
        Ok(found.map(|c| c.data))
    }

    async fn secret(&self, scope: Scope, name: &str) -> Result<Option<SecretEntries>, String> {
        let found: Option<Secret> = self.get(self.namespace(scope), name).await?;
        Ok(found.map(|secret| {
            let labels = secret.metadata.labels.unwrap_or_default();
            let text = |data: BTreeMap<String, k8s_openapi::ByteString>| {
                data.into_iter()
                    .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
                    .collect()
            };
            SecretEntries {
                entries: secret.data.map(text),
                is_generic: labels.get(api::labels::CRED_TYPE).is_some_and(|t| t == GENERIC),
            }
        }))
    }

    async fn freight_status(&self, name: &str) -> Result<Option<FreightStatus>, String> {
        let found: Option<Freight> = self.get(&self.project, name).await?;
        Ok(found.map(|f| f.status.unwrap_or_default()))
    }

    async fn stage_metadata(&self, name: &str) -> Result<Option<BTreeMap<String, Value>>, String> {
        let found: Option<Stage> = self.get(&self.project, name).await?;
        Ok(found.map(|s| s.status.unwrap_or_default().metadata))
    }

    async fn warehouse(&self, name: &str) -> Result<Option<Warehouse>, String> {
        self.get(&self.project, name).await
    }
}
