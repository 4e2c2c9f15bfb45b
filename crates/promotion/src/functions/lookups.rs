//! What the functions fetch, and how a key becomes a call.

use std::collections::BTreeMap;

use api::{Subscription, SubscriptionKind, Warehouse};
use async_trait::async_trait;
use expr::{LookupKey, Map, MapKind, Value};
use serde_json::Value as Json;

pub(super) const CONFIG_MAP: &str = "configMap";
pub(super) const SHARED_CONFIG_MAP: &str = "sharedConfigMap";
pub(super) const SECRET: &str = "secret";
pub(super) const SHARED_SECRET: &str = "sharedSecret";
pub(super) const FREIGHT_STATUS: &str = "freightStatus";
pub(super) const STAGE_METADATA: &str = "stageMetadata";
pub(super) const SUBSCRIPTIONS: &str = "subscriptions";

/// In which namespace a ConfigMap or Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The Project's.
    Project,
    /// That of resources that all Projects share.
    Shared,
}

/// The entries of a ConfigMap or Secret; none when it has no `data` at all.
pub type Entries = Option<BTreeMap<String, String>>;

/// The entries of a Secret and what decides whether they may be shared.
#[derive(Clone, Default)]
pub struct SecretEntries {
    /// Its data as text.
    pub entries: Entries,
    /// Whether it is labelled `kargo.akuity.io/cred-type: generic`.
    pub is_generic: bool,
}

impl std::fmt::Debug for SecretEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretEntries")
            .field("entries", &"***")
            .field("is_generic", &self.is_generic)
            .finish()
    }
}

/// Where the functions' answers come from. Every method reads live, gives
/// `None` for an object that is not there, and on failure the cause alone:
/// the function puts in words what it wanted.
#[async_trait]
pub trait Lookups: Send + Sync {
    /// A ConfigMap's `data`.
    async fn config_map(&self, scope: Scope, name: &str) -> Result<Option<Entries>, String>;

    /// A Secret's data.
    async fn secret(&self, scope: Scope, name: &str) -> Result<Option<SecretEntries>, String>;

    /// A Freight's status, `Some` of the default where it has none.
    async fn freight_status(&self, name: &str) -> Result<Option<api::FreightStatus>, String>;

    /// A Stage's `status.metadata`.
    async fn stage_metadata(&self, name: &str) -> Result<Option<BTreeMap<String, Json>>, String>;

    /// A Warehouse.
    async fn warehouse(&self, name: &str) -> Result<Option<Warehouse>, String>;
}

fn entries(found: Option<Entries>) -> Value {
    match found {
        None => Map::of_strings().into(),
        Some(None) => Map::nil(MapKind::Strings).into(),
        Some(Some(data)) => Value::string_map(data),
    }
}

/// Fetches what a function asked for.
///
/// # Errors
/// What the function is to fail with.
pub async fn resolve(lookups: &dyn Lookups, key: &LookupKey) -> Result<Value, String> {
    let name = key.argument(0);
    let failed =
        |what: &'static str| move |cause: String| format!("failed to get {what} {name}: {cause}");
    match key.function.as_ref() {
        CONFIG_MAP | SHARED_CONFIG_MAP => {
            let scope = scope(key, SHARED_CONFIG_MAP);
            lookups.config_map(scope, name).await.map(entries).map_err(failed("configmap"))
        }
        SECRET | SHARED_SECRET => {
            let scope = scope(key, SHARED_SECRET);
            let found = lookups.secret(scope, name).await.map_err(failed("secret"))?;
            let may = found.filter(|s| scope == Scope::Project || s.is_generic);
            Ok(entries(may.map(|s| s.entries)))
        }
        FREIGHT_STATUS => {
            let status = lookups.freight_status(name).await.map_err(failed("freight"))?;
            match status.map(serde_json::to_value).transpose() {
                Ok(json) => Ok(Value::from_decoded_json(json.unwrap_or_default())),
                Err(error) => Err(format!("failed to read freight {name}: {error}")),
            }
        }
        STAGE_METADATA => {
            let metadata = lookups.stage_metadata(name).await.map_err(failed("stage"))?;
            let metadata = metadata.filter(|m| !m.is_empty());
            let decode = |m: BTreeMap<String, Json>| {
                Value::from_decoded_json(Json::Object(m.into_iter().collect()))
            };
            Ok(metadata.map(decode).unwrap_or_default())
        }
        SUBSCRIPTIONS => {
            let warehouse = lookups.warehouse(name).await.map_err(failed("warehouse"))?;
            let Some(warehouse) = warehouse else {
                let namespace = key.argument(1);
                return Err(format!("Warehouse {name:?} not found in namespace {namespace:?}"));
            };
            subscriptions(&warehouse).map_err(|e| format!("Warehouse {name:?}: {e}"))
        }
        other => Err(format!("{other} is not a function that can be answered")),
    }
}

fn scope(key: &LookupKey, shared: &str) -> Scope {
    if key.function.as_ref() == shared { Scope::Shared } else { Scope::Project }
}

/// A Warehouse's subscriptions as the Freight functions read them: type, URL
/// and name.
fn subscriptions(warehouse: &Warehouse) -> Result<Value, api::SubscriptionError> {
    let all = Subscription::decode_all(&warehouse.spec.subscriptions)?;
    let entry = |s: &Subscription| {
        let (kind, url, name) = match &s.kind {
            SubscriptionKind::Git(git) => ("git", git.repo_url.as_str(), s.name.as_str()),
            SubscriptionKind::Image(image) => ("image", image.repo_url.as_str(), s.name.as_str()),
            SubscriptionKind::Chart(chart) => {
                ("chart", chart.repo_url.as_str(), chart.name.as_str())
            }
            SubscriptionKind::Generic(..) => ("artifact", "", s.name.as_str()),
        };
        let map: Map = [("kind", kind), ("url", url), ("name", name)].into_iter().collect();
        Value::from(map)
    };
    Ok(all.iter().map(entry).collect::<Vec<_>>().into())
}
