//! Those that mint tokens, and the tokens kept.

use std::sync::Arc;

use crate::credential::Login;
use crate::error::Unusable;
use crate::token_cache::{Now, TokenCache};
use crate::transport::Transport;

use super::acr::WorkloadIdentity;
use super::aws::identity::{Settings, local_or_https};
use super::ecr::PodIdentity;
use super::google::ClusterIdentity;
use super::{Ambient, Mint, acr, ecr, github_app, google};

/// The identities that the controller's environment gives it. A cloud whose
/// variables are absent is not asked.
#[derive(Clone, Debug, Default)]
pub struct AmbientSettings {
    aws: Option<Settings>,
    azure: Option<WorkloadIdentity>,
    google: Option<Option<String>>,
    ecr: Option<String>,
    shard: String,
}

impl AmbientSettings {
    /// As the clouds' own variables say (`credentials` 6): for AWS
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, or `AWS_ROLE_ARN` and
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`; for Azure `AZURE_TENANT_ID`,
    /// `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`; for Google
    /// `GCE_METADATA_HOST`, or a metadata server that is found when it is first
    /// needed. `SHARD_NAME` becomes part of AWS's session names. `read` looks a
    /// variable up; one that is set but empty counts as unset.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let read = |name: &str| read(name).filter(|text| !text.is_empty());
        let metadata = read("GCE_METADATA_HOST");
        if let Some(host) = &metadata
            && url::Url::parse(&format!("http://{host}/"))
                .ok()
                .is_none_or(|url| url.path() != "/" || !url.username().is_empty())
        {
            return Err(format!("GCE_METADATA_HOST: {host:?} is no host or host:port"));
        }
        Ok(Self {
            aws: Settings::from_environment(&read)?,
            azure: WorkloadIdentity::from_environment(&read)?,
            google: Some(metadata),
            ecr: read("AWS_ENDPOINT_URL_ECR")
                .map(|url| local_or_https("AWS_ENDPOINT_URL_ECR", url))
                .transpose()?,
            shard: read("SHARD_NAME").unwrap_or_default(),
        })
    }
}

/// Mints tokens and keeps them until shortly before they expire. One for the
/// process.
pub struct Minting {
    http: Arc<dyn Transport>,
    now: Now,
    tokens: Arc<TokenCache>,
    aws: Option<Arc<PodIdentity>>,
    azure: Option<WorkloadIdentity>,
    google: Option<Arc<ClusterIdentity>>,
    ecr: Option<String>,
}

impl Minting {
    /// Asks through `http` what the time is by `now`.
    pub fn new(http: Arc<dyn Transport>, now: Now, ambient: AmbientSettings) -> Self {
        let AmbientSettings { aws, azure, google, ecr, shard } = ambient;
        Self {
            http,
            tokens: TokenCache::new(now.clone()),
            now,
            aws: aws.map(|settings| Arc::new(PodIdentity::new(settings, shard))),
            azure,
            google: google.map(|host| Arc::new(ClusterIdentity::new(host.as_deref()))),
            ecr,
        }
    }

    /// Which identities there are besides Secrets.
    pub fn ambient(&self) -> Ambient {
        Ambient {
            azure: self.azure.is_some(),
            aws: self.aws.is_some(),
            google: self.google.is_some(),
        }
    }

    /// The token, kept or new; `None` where no identity is let in.
    ///
    /// # Errors
    /// What the one that mints says.
    pub(crate) async fn mint(&self, mint: Mint, project: &str) -> Result<Option<Login>, Unusable> {
        let (http, now) = (Arc::clone(&self.http), self.now.clone());
        let project = project.to_owned();
        let ecr_url = self.ecr.clone();
        match mint {
            Mint::Github(app) => {
                let key = format!("github:{}", app.cache_key());
                let load = async move { app.mint(http.as_ref(), &now).await };
                self.tokens.get(&key, github_app::TERMS, load).await
            }
            Mint::EcrKey(access) => {
                let key = format!("ecr-key:{}", access.cache_key());
                let load =
                    async move { access.mint(http.as_ref(), &now, ecr_url.as_deref()).await };
                self.tokens.get(&key, ecr::TERMS, load).await
            }
            Mint::EcrIdentity(registry) => {
                let Some(pod) = self.aws.clone() else { return Ok(None) };
                let key = format!("ecr:{}", PodIdentity::cache_key(&registry, &project));
                let load = async move {
                    pod.mint(&registry, &project, http.as_ref(), &now, ecr_url.as_deref()).await
                };
                self.tokens.get(&key, ecr::TERMS, load).await
            }
            Mint::GoogleKey(account) => {
                let key = format!("google-key:{}", account.cache_key());
                let load = async move { account.mint(http.as_ref(), &now).await };
                self.tokens.get(&key, google::TERMS, load).await
            }
            Mint::GoogleIdentity => {
                let Some(cluster) = self.google.clone() else { return Ok(None) };
                let key = format!("google:{}", ClusterIdentity::cache_key(&project));
                let load = async move { cluster.mint(&project, http.as_ref(), &now).await };
                self.tokens.get(&key, google::TERMS, load).await
            }
            Mint::Acr(registry) => {
                let Some(identity) = self.azure.clone() else { return Ok(None) };
                let key = format!("acr:{}", registry.cache_key());
                let load = async move { identity.mint(&registry, http.as_ref()).await };
                self.tokens.get(&key, acr::TERMS, load).await
            }
        }
    }
}
