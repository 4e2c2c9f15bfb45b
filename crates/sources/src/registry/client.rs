//! The client: what all of the process's requests to registries and chart
//! repositories share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credentials::{Credential, Login, Secret};
use git::OnRequest;
use sha2::{Digest, Sha256};
use url::Url;

use super::address::Address;
use super::auth::AuthState;
use super::host::Host;
use super::line::Line;
use super::mirror::Mirrors;
use super::repository::{Plain, Repository};
use super::request::is_inside;
use super::site::{Site, SiteKey};
use super::turns::Asker;
use super::words::told;
use crate::error::Error;

/// Sessions (host and credential), and hosts, that are remembered.
const SESSIONS: usize = 1_000;

/// What the client is set to.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Registries that are read at another address.
    pub mirrors: Mirrors,
    /// Requests a second and host (`IMAGE_REGISTRY_RATE_LIMIT`), at least 1.
    pub requests_per_second: u32,
    /// Whether that counts for hosts on this machine too. They need no such
    /// protection, so it does not unless a test or a measurement says so.
    pub limit_this_machine: bool,
    /// The wait before the second attempt; three times that before the third.
    pub retry_delay: Duration,
    /// The longest that a connection may take to come about.
    pub connect_timeout: Duration,
    /// The longest that may pass without a byte.
    pub read_timeout: Duration,
    /// The longest that one attempt may take, body included.
    pub request_timeout: Duration,
    /// The same for the index of a chart repository.
    pub index_timeout: Duration,
    /// Who is told of requests.
    pub on_request: OnRequest,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            mirrors: Mirrors::default(),
            requests_per_second: 20,
            limit_this_machine: false,
            retry_delay: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            index_timeout: Duration::from_secs(300),
            on_request: OnRequest::default(),
        }
    }
}

/// Reads image registries and chart repositories. One for the process: clones
/// share connections, tokens and rate limits.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// On whose behalf; without it, each repository is an asker of its own.
    asker: Option<Asker>,
}

struct Shared {
    settings: ClientSettings,
    checked: reqwest::Client,
    unchecked: reqwest::Client,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    sessions: Mutex<HashMap<SessionKey, Arc<Session>>>,
    askers: AtomicU64,
}

/// Who asks which host. A credential is told by its Secret and a hash of its
/// value, so a changed password starts a new session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    host: String,
    insecure: bool,
    credential: Option<String>,
}

/// What is known of one host as the holder of one credential sees it.
pub(super) struct Session {
    pub(super) host: Arc<Host>,
    pub(super) login: Option<(String, Secret)>,
    pub(super) source: Option<String>,
    pub(super) auth: tokio::sync::Mutex<AuthState>,
    /// Whether plain HTTP is spoken, where that may be.
    pub(super) plain: tokio::sync::OnceCell<bool>,
    /// Set once a login was tried and accepted.
    pub(super) logged_in: tokio::sync::OnceCell<()>,
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
                .connect_timeout(settings.connect_timeout)
                .read_timeout(settings.read_timeout)
                .timeout(settings.request_timeout)
                .pool_max_idle_per_host(8)
                .tls_danger_accept_invalid_certs(insecure)
                .redirect(redirects())
                .build()
                .map_err(|e| Error::Unexpected(format!("HTTPS cannot be set up: {}", told(&e))))
        };
        let shared = Shared {
            checked: build(false)?,
            unchecked: build(true)?,
            settings,
            hosts: Mutex::default(),
            sessions: Mutex::default(),
            askers: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), asker: None })
    }

    /// The same client for one Warehouse: where many wait for one host, turns
    /// go round the Warehouses, so that each has its share. Without it each
    /// discovery counts as one of its own.
    #[must_use]
    pub fn on_behalf_of(&self, warehouse: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), asker: Some(Asker::from(warehouse)) }
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
        let session = self.session(address.registry(), credential, insecure);
        let plain = if address.may_be_plain() { Plain::IfNotTls } else { Plain::Never };
        self.repository_with(address, session, insecure, (plain, "image"))
    }

    /// The same for charts, whose registries may also speak plain HTTP
    /// elsewhere than on this machine and in private networks, if they show
    /// it by answering so to TLS.
    pub fn chart_repository(
        &self,
        address: &Address,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> Repository {
        let session = self.session(address.registry(), credential, insecure);
        let plain = if address.may_be_plain() { Plain::IfNotTls } else { Plain::IfShown };
        self.repository_with(address, session, insecure, (plain, "helm"))
    }

    fn repository_with(
        &self,
        address: &Address,
        session: Arc<Session>,
        insecure: bool,
        (plain, kind): (Plain, &'static str),
    ) -> Repository {
        Repository {
            client: self.clone(),
            line: self.line(&session, insecure),
            session,
            address: address.clone(),
            plain,
            kind,
        }
    }

    /// A classic chart repository, by the address of its index.
    pub(crate) fn site(&self, url: &Url, credential: Option<&Credential>, insecure: bool) -> Site {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        // Connections and pauses are the host's, whatever it serves.
        let session = self.session(&host, credential, insecure);
        let key = SiteKey(self.key(&host, &session, insecure));
        let line = self.line(&session, insecure);
        let timeout = self.shared.settings.index_timeout;
        Site { host, session, key, line, timeout }
    }

    fn session(&self, host: &str, credential: Option<&Credential>, insecure: bool) -> Arc<Session> {
        let login = credential.and_then(|credential| match &credential.login {
            Login::Basic { username, password } if !username.is_empty() && !password.is_empty() => {
                Some((username.clone(), password.clone()))
            }
            _ => None,
        });
        let source = login.is_some().then(|| credential.map(|c| c.source.to_string())).flatten();
        let key = SessionKey {
            host: host.to_owned(),
            insecure,
            credential: identity(login.as_ref(), source.as_deref()),
        };
        let host = self.host(host);
        let mut sessions = self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS && !sessions.contains_key(&key) {
            sessions.clear();
        }
        let session = sessions.entry(key).or_insert_with(|| {
            Arc::new(Session {
                host,
                login,
                source,
                auth: tokio::sync::Mutex::default(),
                plain: tokio::sync::OnceCell::new(),
                logged_in: tokio::sync::OnceCell::new(),
            })
        });
        Arc::clone(session)
    }

    fn key(&self, host: &str, session: &Session, insecure: bool) -> SessionKey {
        let credential = identity(session.login.as_ref(), session.source.as_deref());
        SessionKey { host: host.to_owned(), insecure, credential }
    }

    fn line(&self, session: &Session, insecure: bool) -> Line {
        let asker = self.asker.clone().unwrap_or_else(|| {
            Asker::from(format!("#{}", self.shared.askers.fetch_add(1, Ordering::Relaxed)))
        });
        Line {
            http: if insecure { &self.shared.unchecked } else { &self.shared.checked }.clone(),
            host: Arc::clone(&session.host),
            asker,
            retry_delay: self.shared.settings.retry_delay,
            limit_this_machine: self.shared.settings.limit_this_machine,
            sent: Arc::default(),
            on_request: self.shared.settings.on_request.clone(),
        }
    }

    pub(super) fn settings(&self) -> &ClientSettings {
        &self.shared.settings
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.shared.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= SESSIONS && !hosts.contains_key(name) {
            // Those that are in use stay.
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = hosts
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Host::new(self.shared.settings.requests_per_second)));
        Arc::clone(host)
    }
}

/// Tells credentials apart without keeping them.
fn identity(login: Option<&(String, Secret)>, source: Option<&str>) -> Option<String> {
    let (username, password) = login?;
    let mut hash = Sha256::new();
    for part in [username, password.expose(), source.unwrap_or_default()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    Some(hex::encode(hash.finalize()))
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
