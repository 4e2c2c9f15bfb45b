//! Google Artifact Registry and Container Registry (`credentials` 6.4): access
//! tokens, by a service account's key or by the cluster's own identity.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::credential::{Login, StoredSecret, bounded};
use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::token_cache::{Loaded, Minted, Now, Terms};
use crate::transport::{TokenAnswer, TokenRequest, Transport};

use super::{cache_key, decode_base64, jwt};

/// Access tokens live for an hour.
pub(super) const TERMS: Terms =
    Terms { limit: Duration::from_secs(30), default_ttl: SignedDuration::from_mins(40) };

/// The data key with a service account's key.
pub(super) const KEY: &str = "gcpServiceAccountKey";

const FAILED: &str = "error getting GCP access token";
const USERNAME: &str = "oauth2accesstoken";
const READ_ONLY: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long "this Project has no account of its own" is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(12);

/// How long "there is no metadata server" is remembered.
const ABSENT: Duration = Duration::from_secs(300);

/// How long the metadata server, one hop away, may take.
const PROBE: Duration = Duration::from_secs(2);

/// How many Projects' decisions are remembered.
const MAX_DECISIONS: usize = 10_000;

/// Whether a normalised URL is at one of Google's registries. The host has to
/// end so, not any part of the path: what is matched here decides who is sent
/// a token.
pub(super) fn is_registry(url: &str) -> bool {
    static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z0-9.-]+\.)?gcr\.io)/").ok()
    });
    HOST.as_ref().is_some_and(|host| host.is_match(url))
}

fn minted(token: String, expires: Option<Timestamp>) -> Minted {
    let login = Login::Basic { username: USERNAME.to_owned(), password: Secret::new(token) };
    Minted { login, expires }
}

/// A service account's key, as Google gives it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountKey {
    email: String,
    key_id: String,
    key: Secret,
    token_uri: String,
    cache_key: String,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    token_uri: String,
}

impl ServiceAccountKey {
    /// The key that a Secret holds; `None` where it is empty.
    ///
    /// # Errors
    /// A key that is none.
    pub(super) fn of(secret: &StoredSecret) -> Result<Option<Self>, Unusable> {
        let encoded = secret.text(KEY);
        if encoded.is_empty() {
            return Ok(None);
        }
        let wrong = |said: String| Unusable::config(said).after(FAILED);
        let json = decode_base64(encoded).ok_or_else(|| {
            wrong(format!(
                "error decoding service account key: {KEY} holds the JSON file in base64, beside the base64 that every Secret has"
            ))
        })?;
        let file: KeyFile = serde_json::from_slice(&json).map_err(|_| {
            wrong(format!(
                "error parsing service account key: {KEY} is not the JSON file that Google gives out"
            ))
        })?;
        let key = Secret::new(file.private_key);
        if file.kind != "service_account" || file.client_email.is_empty() || key.is_empty() {
            return Err(wrong(format!(
                "error parsing service account key: {KEY} is not of type service_account with client_email and private_key"
            )));
        }
        jwt::rsa_key(key.expose().as_bytes()).map_err(|e| {
            wrong(format!("error parsing service account key: its private_key {e}"))
        })?;
        let token_uri = match file.token_uri.as_str() {
            "" => "https://oauth2.googleapis.com/token".to_owned(),
            uri if uri.starts_with("https://") => uri.to_owned(),
            _ => {
                return Err(wrong(
                    "error parsing service account key: its token_uri is not https".to_owned(),
                ));
            }
        };
        Ok(Some(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri,
            cache_key: cache_key(&[encoded]),
        }))
    }

    pub(super) fn cache_key(&self) -> &str {
        &self.cache_key
    }

    /// An access token for a signed request (RFC 7523).
    pub(super) async fn mint(self, http: &dyn Transport, now: &Now) -> Loaded {
        let issued = now();
        let wrong = |e: &str| Unusable::config(format!("its private_key {e}")).after(FAILED);
        let key = jwt::rsa_key(self.key.expose().as_bytes()).map_err(wrong)?;
        let claims = json!({
            "aud": self.token_uri,
            "exp": issued.as_second() + 3600,
            "iat": issued.as_second(),
            "iss": self.email,
            "scope": READ_ONLY,
        });
        let assertion = jwt::sign(&key, &self.key_id, &claims).map_err(wrong)?;
        let request = TokenRequest::form(
            &self.token_uri,
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.expose()),
            ],
        );
        let token = ask::<OauthToken>(http, request, "Google's token service").await;
        let token = token.map_err(|e| e.unusable().after(FAILED))?;
        Ok(Some(token.minted(issued)))
    }
}

#[derive(Deserialize)]
struct OauthToken {
    access_token: String,
    expires_in: Option<i64>,
}

impl OauthToken {
    fn minted(self, issued: Timestamp) -> Minted {
        let life = self.expires_in.map(SignedDuration::from_secs);
        minted(self.access_token, life.and_then(|life| issued.checked_add(life).ok()))
    }
}

/// Why Google gave nothing.
enum Fault {
    /// This status, and what it said.
    Status(u16, String),
    Silent(String),
}

impl Fault {
    fn unusable(self) -> Unusable {
        match self {
            Self::Status(status, said) => {
                let transient = status == 429 || status >= 500;
                let class = if transient { ErrorClass::Transient } else { ErrorClass::Auth };
                Unusable::new(class, said)
            }
            Self::Silent(said) => Unusable::new(ErrorClass::Transient, said),
        }
    }
}

async fn ask<T: serde::de::DeserializeOwned>(
    http: &dyn Transport,
    request: TokenRequest,
    service: &str,
) -> Result<T, Fault> {
    let answer = http
        .send(request)
        .await
        .map_err(|e| Fault::Silent(format!("no answer from {service}: {e}")))?;
    if !answer.is_success() {
        return Err(Fault::Status(answer.status, refusal(service, &answer)));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| Fault::Silent(format!("{service} answered with something else")))
}

/// What an error's body says: OAuth's two texts, or Google's own form.
fn refusal(service: &str, answer: &TokenAnswer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let texts = [&body["error"], &body["error_description"], &body["error"]["message"]];
    let said: Vec<String> =
        texts.iter().filter_map(|text| text.as_str()).map(|text| bounded(text, 200)).collect();
    format!("{service} answered {}: {}", answer.status, said.join(": "))
}

/// The identity that Google gives the pod, through the metadata server.
pub(super) struct ClusterIdentity {
    metadata: String,
    /// Named in the environment, so that it must be there.
    required: bool,
    project: OnceCell<String>,
    absent: Mutex<Option<Instant>>,
    /// Projects without an account of their own, and until when that is taken
    /// to be so.
    default: Mutex<HashMap<String, Timestamp>>,
}

impl ClusterIdentity {
    /// Through the metadata server of this host (`GCE_METADATA_HOST`), or of
    /// the usual one.
    pub(super) fn new(host: Option<&str>) -> Self {
        Self {
            metadata: format!("http://{}/computeMetadata/v1", host.unwrap_or("169.254.169.254")),
            required: host.is_some(),
            project: OnceCell::new(),
            absent: Mutex::default(),
            default: Mutex::default(),
        }
    }

    pub(super) fn cache_key(project: &str) -> String {
        cache_key(&[project])
    }

    fn metadata(&self, path: &str) -> TokenRequest {
        let request = TokenRequest::get(format!("{}/{path}", self.metadata)).direct();
        TokenRequest { limit: PROBE, ..request }.header("metadata-flavor", "Google".to_owned())
    }

    /// The Google project that the cluster belongs to; `None` where there is
    /// no metadata server.
    async fn google_project(&self, http: &dyn Transport) -> Result<Option<&str>, Unusable> {
        let absent = *self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.required && absent.is_some_and(|since| since.elapsed() < ABSENT) {
            return Ok(None);
        }
        let found = self
            .project
            .get_or_try_init(|| async {
                let answer = http.send(self.metadata("project/project-id")).await?;
                let ours = answer.header("metadata-flavor") == Some("Google");
                let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
                let fits = !text.is_empty()
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
                if answer.is_success() && ours && fits {
                    return Ok(text);
                }
                Err(format!("it answered {} and no project", answer.status))
            })
            .await;
        match found {
            Ok(project) => Ok(Some(project)),
            Err(reason) if self.required => Err(Unusable::new(
                ErrorClass::Transient,
                format!("no answer from the metadata server of GCE_METADATA_HOST: {reason}"),
            )),
            Err(_) => {
                *self.absent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(None)
            }
        }
    }

    /// A token of the pod's own account.
    async fn own(&self, http: &dyn Transport, now: &Now) -> Result<Minted, Fault> {
        let request = self.metadata(&format!(
            "instance/service-accounts/default/token?scopes={}",
            url::form_urlencoded::byte_serialize(CLOUD_PLATFORM.as_bytes()).collect::<String>()
        ));
        let issued = now();
        Ok(ask::<OauthToken>(http, request, "the metadata server").await?.minted(issued))
    }

    fn uses_default(&self, project: &str, now: Timestamp) -> bool {
        let decisions = self.default.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.get(project).is_some_and(|until| now < *until)
    }

    fn remember_default(&self, project: &str, now: Timestamp) {
        let mut decisions = self.default.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.len() >= MAX_DECISIONS {
            decisions.retain(|_, until| now < *until);
        }
        if decisions.len() < MAX_DECISIONS
            && let Ok(until) = now.checked_add(REMEMBERED)
        {
            decisions.insert(project.to_owned(), until);
        }
    }

    /// A token of the Project's own account, or of the pod's where the Project
    /// has none; nothing where the pod is not at Google.
    pub(super) async fn mint(&self, project: &str, http: &dyn Transport, now: &Now) -> Loaded {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Generated {
            access_token: String,
            expire_time: Option<Timestamp>,
        }
        let failed = |e: Fault| e.unusable().after(FAILED);
        let found = self.google_project(http).await.map_err(|e| e.after(FAILED))?;
        let Some(google_project) = found else { return Ok(None) };
        let own = self.own(http, now).await.map_err(failed)?;
        if self.uses_default(project, now()) {
            return Ok(Some(own));
        }
        let Login::Basic { password, .. } = &own.login else { return Ok(Some(own)) };
        let account = format!("kargo-project-{project}@{google_project}.iam.gserviceaccount.com");
        let request = TokenRequest::post(
            format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            ),
            "application/json",
            Secret::new(json!({"scope": [CLOUD_PLATFORM]}).to_string()),
        )
        .header("authorization", format!("Bearer {}", password.expose()));
        match ask::<Generated>(http, request, "Google's IAM").await {
            Ok(token) => Ok(Some(minted(token.access_token, token.expire_time))),
            Err(fault) => {
                // Without the account, or without the right to it, it stays so.
                let settled = matches!(fault, Fault::Status(403 | 404, _));
                let said = fault.unusable().message;
                tracing::info!(project, account, said, "the controller's own account is used");
                if settled {
                    self.remember_default(project, now());
                }
                Ok(Some(own))
            }
        }
    }
}

#[cfg(test)]
#[path = "google_tests.rs"]
mod tests;
