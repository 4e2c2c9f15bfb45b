//! The client: what all of the process's requests to registries share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credentials::{Credential, Login, Secret};
use sha2::{Digest, Sha256};

use super::address::Address;
use super::auth::AuthState;
use super::limit::Limit;
use super::mirror::Mirrors;
use super::repository::Repository;
use super::request::is_inside;
use super::words::told;
use crate::error::Error;

/// Sessions (registry and credential) that are remembered.
const SESSIONS: usize = 1_000;
/// What the client is set to.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Registries that are read at another address.
    pub mirrors: Mirrors,
    /// Requests a second and registry (`IMAGE_REGISTRY_RATE_LIMIT`), at least 1.
    pub requests_per_second: u32,
    /// The wait before the second attempt; three times that before the third.
    pub retry_delay: Duration,
    /// The longest that one attempt may take, body included.
    pub request_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            mirrors: Mirrors::default(),
            requests_per_second: 20,
            retry_delay: Duration::from_secs(1),
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// Reads image registries. One for the process: clones share connections,
/// tokens and rate limits.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: ClientSettings,
    checked: reqwest::Client,
    unchecked: reqwest::Client,
    limits: Mutex<HashMap<String, Arc<Limit>>>,
    sessions: Mutex<HashMap<SessionKey, Arc<Session>>>,
}

/// Who asks which registry. A credential is told by its Secret and a hash of
/// its value, so a changed password starts a new session.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    registry: String,
    insecure: bool,
    credential: Option<String>,
}

pub(super) struct Session {
    pub(super) limit: Arc<Limit>,
    pub(super) login: Option<(String, Secret)>,
    pub(super) source: Option<String>,
    pub(super) auth: tokio::sync::Mutex<AuthState>,
    /// The scheme that answered, where both may be tried.
    pub(super) plain: tokio::sync::OnceCell<bool>,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// A TLS set-up that cannot be had.
    pub fn new(settings: ClientSettings) -> Result<Self, Error> {
        // The process's provider; where one is installed already it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let build = |insecure: bool| {
            reqwest::Client::builder()
                .user_agent(concat!("supercargo/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(30))
                .read_timeout(Duration::from_secs(30))
                .timeout(settings.request_timeout)
                .pool_max_idle_per_host(8)
                .tls_danger_accept_invalid_certs(insecure)
                .redirect(redirects())
                .build()
                .map_err(|e| Error::Unexpected(format!("HTTPS cannot be set up: {}", told(&e))))
        };
        Ok(Self(Arc::new(Inner {
            checked: build(false)?,
            unchecked: build(true)?,
            settings,
            limits: Mutex::default(),
            sessions: Mutex::default(),
        })))
    }

    /// A repository as the holder of that credential sees it. Any login but a
    /// name with a password counts as none. `insecure` switches the check of
    /// certificates off.
    pub fn repository(
        &self,
        address: &Address,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> Repository {
        let login = credential.and_then(|credential| match &credential.login {
            Login::Basic { username, password } if !username.is_empty() && !password.is_empty() => {
                Some((username.clone(), password.clone()))
            }
            _ => None,
        });
        let source = login.is_some().then(|| credential.map(|c| c.source.to_string())).flatten();
        let key = SessionKey {
            registry: address.registry().to_owned(),
            insecure,
            credential: login.as_ref().map(|(username, password)| {
                let mut hash = Sha256::new();
                for part in [username, password.expose(), source.as_deref().unwrap_or_default()] {
                    hash.update(part.len().to_be_bytes());
                    hash.update(part.as_bytes());
                }
                hex::encode(hash.finalize())
            }),
        };
        let limit = self.limit(address.registry());
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS && !sessions.contains_key(&key) {
            sessions.clear();
        }
        let session = sessions.entry(key).or_insert_with(|| {
            Arc::new(Session {
                limit,
                login,
                source,
                auth: tokio::sync::Mutex::default(),
                plain: tokio::sync::OnceCell::new(),
            })
        });
        Repository {
            client: self.clone(),
            session: Arc::clone(session),
            address: address.clone(),
            insecure,
        }
    }

    pub(super) fn settings(&self) -> &ClientSettings {
        &self.0.settings
    }

    pub(super) fn http(&self, insecure: bool) -> &reqwest::Client {
        if insecure { &self.0.unchecked } else { &self.0.checked }
    }

    fn limit(&self, registry: &str) -> Arc<Limit> {
        let mut limits = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.len() >= SESSIONS && !limits.contains_key(registry) {
            limits.clear();
        }
        let limit = limits
            .entry(registry.to_owned())
            .or_insert_with(|| Arc::new(Limit::new(self.0.settings.requests_per_second)));
        Arc::clone(limit)
    }
}

/// Redirects are followed (blobs lie elsewhere), without the `Authorization`
/// header, which the HTTP client leaves out at another host, and never to an
/// address inside the network at another host.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last();
        let moved = from.is_some_and(|from| from.host_str() != attempt.url().host_str());
        if moved && is_inside(attempt.url()) {
            return attempt.error("redirect to a private address of another host was refused");
        }
        if attempt.previous().len() > 10 {
            return attempt.error("too many redirects");
        }
        attempt.follow()
    })
}
