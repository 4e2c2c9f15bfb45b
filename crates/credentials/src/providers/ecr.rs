//! Amazon ECR (`credentials` 6.3): a login of a registry, by a static key or
//! by the role of the Project.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::credential::{Login, StoredSecret, bounded};
use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::token_cache::{Loaded, Minted, Now, Terms};
use crate::transport::{TokenRequest, Transport};

use super::aws::identity::Settings;
use super::aws::sigv4::Signing;
use super::aws::sts::Role;
use super::aws::{Keys, Refused, is_region, refused, silence};
use super::{cache_key, decode_base64};

/// ECR's logins live for twelve hours.
pub(super) const TERMS: Terms =
    Terms { limit: Duration::from_secs(30), default_ttl: SignedDuration::from_hours(10) };

/// What a Secret with a static key has.
pub(super) const KEYS: [&str; 3] = ["awsRegion", "awsAccessKeyID", "awsSecretAccessKey"];

const FAILED: &str = "error getting ECR auth token";

/// A registry by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Twelve digits.
    pub account: String,
    /// For example `eu-west-1`.
    pub region: String,
}

impl Registry {
    /// The registry of a normalised URL. The region is one label: what is
    /// matched here decides who is sent a login.
    pub fn of(url: &str) -> Option<Self> {
        static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/").ok()
        });
        let found = HOST.as_ref()?.captures(url)?;
        let region = found.get(2)?.as_str();
        is_region(region).then(|| Self { account: found[1].to_owned(), region: region.to_owned() })
    }
}

/// A static key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    region: String,
    id: String,
    secret: Secret,
}

impl AccessKey {
    /// The key that a Secret holds; `None` where a part is empty.
    ///
    /// # Errors
    /// A region that is none.
    pub(super) fn of(secret: &StoredSecret) -> Result<Option<Self>, Unusable> {
        let [region, id, key] = KEYS.map(|key| secret.text(key).trim());
        if region.is_empty() || id.is_empty() || key.is_empty() {
            return Ok(None);
        }
        if !is_region(region) {
            return Err(Unusable::config(format!(
                "its awsRegion {:?} is no region; write one such as eu-west-1",
                bounded(region, 40)
            )));
        }
        Ok(Some(Self { region: region.to_owned(), id: id.to_owned(), secret: Secret::new(key) }))
    }

    pub(super) fn cache_key(&self) -> String {
        cache_key(&[&self.region, &self.id, self.secret.expose()])
    }

    pub(super) async fn mint(
        self,
        http: &dyn Transport,
        now: &Now,
        endpoint: Option<&str>,
    ) -> Loaded {
        let keys = Keys { id: self.id, secret: self.secret, session: None };
        authorization(http, now(), endpoint, &self.region, &keys)
            .await
            .map(Some)
            .map_err(|e| Unusable::from(e).after(FAILED))
    }
}

/// The roles and keys that the controller's pod has, and what is known of
/// them.
pub(super) struct PodIdentity {
    settings: Settings,
    shard: String,
    account: OnceCell<String>,
}

/// What a registry is asked as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A role, assumed first.
    Role(Role),
    /// The pod's own keys.
    Own,
}

/// The identities tried for a registry, in order (`credentials` 6.3).
pub(super) fn identities(
    registry: &str,
    controller: &str,
    project: &str,
    shard: &str,
) -> Vec<Identity> {
    let mut accounts = vec![registry];
    if controller != registry {
        accounts.push(controller);
    }
    let mut identities: Vec<Identity> = accounts
        .into_iter()
        .map(|account| {
            Identity::Role(Role {
                arn: format!("arn:aws:iam::{account}:role/kargo-project-{project}"),
                session: session_name(shard),
                external_id: format!("kargo-project-{project}"),
            })
        })
        .collect();
    identities.push(Identity::Own);
    identities
}

/// What the trail of a role's use is kept under: at most 64 characters.
pub(super) fn session_name(shard: &str) -> String {
    let name = match shard {
        "" => "kargo-controller".to_owned(),
        shard => format!("kargo-controller-{shard}"),
    };
    name.chars().take(64).collect()
}

impl PodIdentity {
    pub(super) fn new(settings: Settings, shard: String) -> Self {
        Self { settings, shard, account: OnceCell::new() }
    }

    pub(super) fn cache_key(registry: &Registry, project: &str) -> String {
        cache_key(&[&registry.region, &registry.account, project])
    }

    /// A login of the registry, as the first identity that is let in; nothing
    /// where none is.
    pub(super) async fn mint(
        &self,
        registry: &Registry,
        project: &str,
        http: &dyn Transport,
        now: &Now,
        endpoint: Option<&str>,
    ) -> Loaded {
        let attempt = async {
            let own = self.settings.keys(http, now()).await?;
            let account = self.account(http, now, &own).await?;
            for identity in identities(&registry.account, account, project, &self.shard) {
                match self.try_as(&identity, &own, &registry.region, http, now, endpoint).await {
                    Err(Refused::Denied(said)) => {
                        tracing::debug!(?identity, said, "refused; the next identity is tried");
                    }
                    done => return done.map(Some),
                }
            }
            Ok(None)
        };
        attempt.await.map_err(|e: Refused| Unusable::from(e).after(FAILED))
    }

    async fn account(
        &self,
        http: &dyn Transport,
        now: &Now,
        own: &Keys,
    ) -> Result<&String, Refused> {
        self.account
            .get_or_try_init(|| async {
                let mut url = String::new();
                self.settings.sts(http, &mut url, now()).account(own).await
            })
            .await
            .map_err(|refused| {
                Refused::Failed(
                    Unusable::from(refused).after("cannot tell the controller's own account"),
                )
            })
    }

    async fn try_as(
        &self,
        identity: &Identity,
        own: &Keys,
        region: &str,
        http: &dyn Transport,
        now: &Now,
        endpoint: Option<&str>,
    ) -> Result<Minted, Refused> {
        let keys = match identity {
            Identity::Own => own.clone(),
            Identity::Role(role) => {
                let mut url = String::new();
                self.settings.sts(http, &mut url, now()).assume_role(own, role).await?
            }
        };
        authorization(http, now(), endpoint, region, &keys).await
    }
}

/// Asks ECR of a region for a login (GetAuthorizationToken).
async fn authorization(
    http: &dyn Transport,
    now: Timestamp,
    endpoint: Option<&str>,
    region: &str,
    keys: &Keys,
) -> Result<Minted, Refused> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        authorization_data: Vec<Data>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        #[serde(default)]
        authorization_token: String,
        expires_at: Option<f64>,
    }
    #[derive(Default, Deserialize)]
    struct Fault {
        #[serde(default, rename = "__type")]
        kind: String,
        #[serde(default, alias = "Message")]
        message: String,
    }
    let url = match endpoint {
        Some(url) => url.to_owned(),
        None => format!("https://api.ecr.{region}.amazonaws.com/"),
    };
    let request = TokenRequest::post(url, "application/x-amz-json-1.1", Secret::new("{}")).header(
        "x-amz-target",
        "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken".to_owned(),
    );
    let request = Signing { service: "ecr", region, now }
        .sign(keys, request)
        .ok_or_else(|| silence("ECR", "its address has no host"))?;
    let answer = http.send(request).await.map_err(|e| silence("ECR", &e))?;
    if !answer.is_success() {
        let fault: Fault = serde_json::from_slice(&answer.body).unwrap_or_default();
        let kind = fault.kind.rsplit('#').next().unwrap_or_default();
        return Err(refused("ECR", &answer, kind, &fault.message));
    }
    let odd = |said: &str| Refused::Failed(Unusable::new(ErrorClass::Transient, said));
    let body: Answer = serde_json::from_slice(&answer.body)
        .map_err(|_| odd("ECR answered with something else"))?;
    let data = body
        .authorization_data
        .into_iter()
        .next()
        .ok_or_else(|| odd("no authorization data returned"))?;
    if data.authorization_token.is_empty() {
        return Err(odd("no authorization token returned"));
    }
    #[allow(clippy::cast_possible_truncation)]
    let expires = data.expires_at.and_then(|at| Timestamp::from_second(at as i64).ok());
    let login = login(&data.authorization_token).map_err(Refused::Failed)?;
    Ok(Minted { login, expires })
}

/// The user name and password that a token is made of.
pub(super) fn login(token: &str) -> Result<Login, Unusable> {
    let odd = |said: &str| Unusable::new(ErrorClass::Transient, said);
    let decoded =
        decode_base64(token).ok_or_else(|| odd("error decoding token: it is no base64"))?;
    let text = Secret::new(
        String::from_utf8(decoded).map_err(|_| odd("error decoding token: it is no text"))?,
    );
    let (username, password) =
        text.expose().split_once(':').ok_or_else(|| odd("invalid token format"))?;
    Ok(Login::Basic { username: username.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
#[path = "ecr_tests.rs"]
mod tests;
