//! Azure Container Registry (`credentials` 6.6): a refresh token of the
//! registry, for the workload identity that Azure gives the pod.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::SignedDuration;
use regex::Regex;
use serde::Deserialize;

use crate::credential::{Login, bounded};
use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::token_cache::{Loaded, Minted, Terms};
use crate::transport::{TokenAnswer, TokenRequest, Transport};

use super::aws::identity::{local_or_https, token_in};
use super::cache_key;

/// Refresh tokens live for three hours and tell no time.
pub(super) const TERMS: Terms =
    Terms { limit: Duration::from_secs(30), default_ttl: SignedDuration::from_mins(150) };

const FAILED: &str = "error getting ACR access token";
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";
const SCOPE: &str = "https://containerregistry.azure.net/.default";

/// A registry by its host's first label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry(pub String);

impl Registry {
    /// The registry of a normalised URL.
    pub fn of(url: &str) -> Option<Self> {
        static HOST: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"^([a-zA-Z0-9-]+)\.azurecr\.io/").ok());
        Some(Self(HOST.as_ref()?.captures(url)?[1].to_owned()))
    }

    pub(super) fn cache_key(&self) -> String {
        cache_key(&["acr", &self.0])
    }
}

/// What Azure's webhook puts into the pod's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkloadIdentity {
    tenant: String,
    client: String,
    token_file: PathBuf,
    authority: String,
}

impl WorkloadIdentity {
    /// `None` where the pod has none.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub(super) fn from_environment(
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let (Some(tenant), Some(client), Some(file)) =
            (read("AZURE_TENANT_ID"), read("AZURE_CLIENT_ID"), read("AZURE_FEDERATED_TOKEN_FILE"))
        else {
            return Ok(None);
        };
        if !tenant.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) {
            return Err(format!("AZURE_TENANT_ID: {tenant:?} is no tenant"));
        }
        let authority = read("AZURE_AUTHORITY_HOST")
            .map(|url| local_or_https("AZURE_AUTHORITY_HOST", url))
            .transpose()?
            .unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
        let authority = authority.trim_end_matches('/').to_owned();
        Ok(Some(Self { tenant, client, token_file: file.into(), authority }))
    }

    pub(super) async fn mint(&self, registry: &Registry, http: &dyn Transport) -> Loaded {
        let attempt = async {
            let directory = self
                .directory_token(http)
                .await
                .map_err(|e| e.after("failed to get Azure AD access token for ACR"))?;
            exchange(registry, &directory, http).await
        };
        attempt.await.map_err(|e: Unusable| e.after(FAILED))
    }

    /// A token of Azure's directory, for the pod's own.
    async fn directory_token(&self, http: &dyn Transport) -> Result<Secret, Unusable> {
        #[derive(Deserialize)]
        struct Body {
            access_token: String,
        }
        let assertion = token_in(&self.token_file).await.map_err(Unusable::from)?;
        let request = TokenRequest::form(
            format!("{}/{}/oauth2/v2.0/token", self.authority, self.tenant),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &self.client),
                ("scope", SCOPE),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.expose()),
            ],
        );
        let answer = send(http, request, "Azure's directory").await?;
        let body: Body = serde_json::from_slice(&answer.body).map_err(|_| {
            Unusable::new(ErrorClass::Transient, "Azure's directory answered with something else")
        })?;
        Ok(Secret::new(body.access_token))
    }
}

/// The registry's own token for the directory's.
async fn exchange(registry: &Registry, directory: &Secret, http: &dyn Transport) -> Loaded {
    #[derive(Deserialize)]
    struct Body {
        refresh_token: Option<String>,
    }
    let host = format!("{}.azurecr.io", registry.0);
    let request = TokenRequest::form(
        format!("https://{host}/oauth2/exchange"),
        &[("grant_type", "access_token"), ("service", &host), ("access_token", directory.expose())],
    );
    let answer = send(http, request, &host)
        .await
        .map_err(|e| e.after("failed to exchange Azure AD token for ACR refresh token"))?;
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| {
        Unusable::new(ErrorClass::Transient, format!("{host} answered with something else"))
            .after("failed to exchange Azure AD token for ACR refresh token")
    })?;
    match body.refresh_token {
        None => Err(Unusable::new(ErrorClass::Transient, "received empty ACR refresh token")),
        Some(token) if token.is_empty() => Ok(None),
        Some(token) => {
            let password = Secret::new(token);
            let login = Login::Basic { username: USERNAME.to_owned(), password };
            Ok(Some(Minted { login, expires: None }))
        }
    }
}

async fn send(
    http: &dyn Transport,
    request: TokenRequest,
    service: &str,
) -> Result<TokenAnswer, Unusable> {
    let answer = http.send(request).await.map_err(|e| {
        Unusable::new(ErrorClass::Transient, format!("no answer from {service}: {e}"))
    })?;
    if answer.is_success() {
        return Ok(answer);
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said: Vec<String> = [&body["error"], &body["error_description"]]
        .iter()
        .filter_map(|text| text.as_str())
        .map(|text| bounded(text, 200))
        .collect();
    let transient = answer.status == 429 || answer.status >= 500;
    let class = if transient { ErrorClass::Transient } else { ErrorClass::Auth };
    Err(Unusable::new(class, format!("{service} answered {}: {}", answer.status, said.join(": "))))
}

#[cfg(test)]
#[path = "acr_tests.rs"]
mod tests;
