//! Who commits where a `git-clone` names no author: the system's Git user
//! (`steps-git` 4.4, `promotions` 7.1).

use std::time::{Duration, Instant};

use async_trait::async_trait;
use credentials::Secret;
use kube::Api;
use tokio::sync::Mutex;

use crate::error::{ErrorClass, StepError};

/// The Git user that the ClusterConfig names.
#[derive(Clone, Debug)]
pub struct ConfiguredUser {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The key to sign with; absent where no Secret is named.
    pub signing_key: Option<Secret>,
}

/// Where the configured Git user is looked up.
#[async_trait]
pub trait GitUsers: Send + Sync + std::fmt::Debug {
    /// The user that the ClusterConfig's `spec.gitClient` names, if it does.
    ///
    /// # Errors
    /// A Secret or key that is not there, an API server that does not answer.
    async fn configured(&self) -> Result<Option<ConfiguredUser>, StepError>;
}

/// The system's user, from what the environment says and what is configured:
/// what is configured wins, but a configured user without a Secret signs as the
/// environment says. An empty name or address is Kargo's.
///
/// # Errors
/// A key that cannot be used.
pub fn system_user(
    environment: &git::Identity,
    configured: Option<ConfiguredUser>,
) -> Result<git::Identity, git::GitError> {
    let Some(ConfiguredUser { name, email, signing_key }) = configured else {
        return Ok(environment.clone());
    };
    let signing_key = match signing_key {
        Some(key) => Some(git::SigningKey::parse(key.expose())?),
        None => environment.signing_key.clone(),
    };
    let kargo = git::Identity::default();
    let or = |text: String, default: String| if text.is_empty() { default } else { text };
    Ok(git::Identity { name: or(name, kargo.name), email: or(email, kargo.email), signing_key })
}

/// The ClusterConfig's name: there is one.
const CLUSTER_CONFIG: &str = "cluster";

/// The key of the Secret's data that holds the signing key.
const SIGNING_KEY: &str = "signingKey";

/// How long an answer is kept: a hundred Promotions that start together ask
/// once.
const KEPT: Duration = Duration::from_secs(10);

/// Looks the user up in the cluster.
pub struct ClusterGitUsers {
    client: kube::Client,
    namespace: String,
    last: Mutex<Option<(Instant, Option<ConfiguredUser>)>>,
}

impl std::fmt::Debug for ClusterGitUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterGitUsers").field("namespace", &self.namespace).finish()
    }
}

impl ClusterGitUsers {
    /// With Secrets in `namespace` (`SYSTEM_RESOURCES_NAMESPACE`).
    pub fn new(client: kube::Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), last: Mutex::default() }
    }

    async fn look_up(&self) -> Result<Option<ConfiguredUser>, StepError> {
        let transient = |what: String| {
            move |e: kube::Error| StepError::new(ErrorClass::Transient, format!("{what}: {e}"))
        };
        let configs: Api<api::ClusterConfig> = Api::all(self.client.clone());
        let config = configs
            .get_opt(CLUSTER_CONFIG)
            .await
            .map_err(transient("error getting ClusterConfig".to_owned()))?;
        let Some(user) = config.and_then(|config| config.spec.git_client) else {
            return Ok(None);
        };
        let signing_key = match user.signing_key_secret {
            None => None,
            Some(reference) => {
                let name = reference.name;
                let secrets: Api<k8s_openapi::api::core::v1::Secret> =
                    Api::namespaced(self.client.clone(), &self.namespace);
                let found = secrets
                    .get_opt(&name)
                    .await
                    .map_err(transient(format!("error getting signing key Secret {name:?}")))?
                    .ok_or_else(|| missing_secret(&name, &self.namespace))?;
                let data = found.data.unwrap_or_default();
                let key = data.get(SIGNING_KEY).ok_or_else(|| missing_key(&name))?;
                Some(Secret::new(String::from_utf8_lossy(&key.0)))
            }
        };
        Ok(Some(ConfiguredUser { name: user.name, email: user.email, signing_key }))
    }
}

fn missing_secret(name: &str, namespace: &str) -> StepError {
    StepError::new(
        ErrorClass::Config,
        format!(
            "error getting signing key Secret {name:?}: there is none of that name in namespace {namespace:?}; create it, or correct spec.gitClient of the ClusterConfig"
        ),
    )
}

fn missing_key(name: &str) -> StepError {
    StepError::new(
        ErrorClass::Config,
        format!("secret {name:?} does not contain expected key {SIGNING_KEY:?}"),
    )
}

#[async_trait]
impl GitUsers for ClusterGitUsers {
    async fn configured(&self) -> Result<Option<ConfiguredUser>, StepError> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = last.as_ref()
            && at.elapsed() < KEPT
        {
            return Ok(found.clone());
        }
        let found = self.look_up().await?;
        *last = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}
