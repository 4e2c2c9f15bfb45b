//! Requests to registries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use credentials::{Credential, Login, Masker, Secret};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::address::Address;
use super::auth::{AuthState, Challenge, Scheme, TokenAnswer};
use super::limit::Limit;
use super::mirror::Mirrors;
use crate::error::{Error, ErrorClass, Refusal, Silence};

/// The largest manifest, and the largest image config.
const LARGEST: usize = 8 * 1024 * 1024;
/// The largest page of tags.
const LARGEST_PAGE: usize = 8 * 1024 * 1024;
/// The largest answer of a token server, and the most that is read of an error.
const LARGEST_SMALL: usize = 64 * 1024;
/// Pages and tags of one listing.
const MOST_PAGES: usize = 2_000;
const MOST_TAGS: usize = 500_000;
/// Attempts of one request.
const ATTEMPTS: u32 = 3;
/// A `Retry-After` up to that long is waited for; beyond it the caller is told.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that is believed.
const LONGEST_CLOSED: Duration = Duration::from_secs(3600);
/// Sessions (registry and credential) that are remembered.
const SESSIONS: usize = 1_000;
/// The content digest header of registries.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.index.v1+json";

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

struct Session {
    limit: Arc<Limit>,
    login: Option<(String, Secret)>,
    source: Option<String>,
    auth: tokio::sync::Mutex<AuthState>,
    /// The scheme that answered, where both may be tried.
    plain: tokio::sync::OnceCell<bool>,
}

/// A repository as one asker sees it.
#[derive(Clone)]
pub struct Repository {
    client: Client,
    session: Arc<Session>,
    address: Address,
    insecure: bool,
}

/// A manifest, index or config as it was answered.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The exact `Content-Type`.
    pub content_type: String,
    /// The SHA-256 of the body, `sha256:<hex>`.
    pub digest: String,
    /// The body.
    pub bytes: Bytes,
}

/// A successful answer.
struct Answered {
    headers: reqwest::header::HeaderMap,
    body: Bytes,
}

/// What a request asks for.
struct Ask<'a> {
    method: Method,
    /// Below `/v2/<repository>/`.
    path: String,
    /// The path and query of a further page, as the registry named it.
    next: Option<&'a Url>,
    accept: &'static str,
    limit: usize,
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

impl Repository {
    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// All tags, in the registry's order (`warehouses` 6.8 P4).
    ///
    /// # Errors
    /// A registry that does not answer, or not with tags.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next: Option<Url> = None;
        for _ in 0..MOST_PAGES {
            let path = "tags/list?n=1000".to_owned();
            let ask = Ask {
                method: Method::GET,
                path,
                next: next.as_ref(),
                accept: "application/json",
                limit: LARGEST_PAGE,
            };
            let (answer, asked) = self.ask(&ask).await?;
            let page: Page = serde_json::from_slice(&answer.body).map_err(|e| {
                Error::Unexpected(format!(
                    "GET {}: the answer is no list of tags ({e}); check that {} is a container registry",
                    self.public("tags/list"),
                    self.address.registry()
                ))
            })?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > MOST_TAGS {
                return Err(Error::Config(format!(
                    "{} has more than {MOST_TAGS} tags, which is more than can be looked through; remove old tags",
                    self.address
                )));
            }
            match self.next_page(&answer, &asked)? {
                Some(url) => next = Some(url),
                None => return Ok(tags),
            }
        }
        Err(Error::Unexpected(format!(
            "{} answers with more than {MOST_PAGES} pages of tags; remove old tags",
            self.address
        )))
    }

    /// The digest that a tag has now; none where the registry does not say.
    ///
    /// # Errors
    /// No such tag, or a registry that does not answer.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>, Error> {
        let ask = Ask {
            method: Method::HEAD,
            path: format!("manifests/{tag}"),
            next: None,
            accept: MANIFESTS,
            limit: 0,
        };
        let answer = match self.ask(&ask).await {
            Ok((answer, _)) => answer,
            // Registries that do not know HEAD here.
            Err(Error::Answer(refusal)) if refusal.status.starts_with("405") => return Ok(None),
            Err(error) => return Err(error),
        };
        let digest = answer.headers.get(CONTENT_DIGEST).and_then(|v| v.to_str().ok());
        Ok(digest.filter(|d| d.starts_with("sha256:")).map(str::to_owned))
    }

    /// The manifest or index under a tag or digest. What was asked for by
    /// digest must have it.
    ///
    /// # Errors
    /// No such manifest, a registry that does not answer, or other content.
    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        self.fetch(format!("manifests/{reference}"), MANIFESTS, reference).await
    }

    /// A blob, here an image's config. It must have its digest.
    ///
    /// # Errors
    /// No such blob, a registry that does not answer, or other content.
    pub async fn blob(&self, digest: &str) -> Result<Bytes, Error> {
        self.fetch(format!("blobs/{digest}"), "*/*", digest).await.map(|f| f.bytes)
    }

    async fn fetch(
        &self,
        path: String,
        accept: &'static str,
        reference: &str,
    ) -> Result<Fetched, Error> {
        let ask = Ask { method: Method::GET, path, next: None, accept, limit: LARGEST };
        let (answer, _) = self.ask(&ask).await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&answer.body)));
        if reference.starts_with("sha256:") && reference != digest {
            return Err(Error::Unexpected(format!(
                "GET {}: the content has digest {digest}; the registry or something before it changes what it serves",
                self.public(&ask.path)
            )));
        }
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        Ok(Fetched { content_type, digest, bytes: answer.body })
    }

    /// The page that the `Link` header names, which must be at the same
    /// registry.
    fn next_page(&self, answer: &Answered, asked: &Url) -> Result<Option<Url>, Error> {
        let Some(link) = answer.headers.get(LINK).and_then(|v| v.to_str().ok()) else {
            return Ok(None);
        };
        if link.trim().is_empty() {
            return Ok(None);
        }
        let wrong = || {
            Error::Unexpected(format!(
                "GET {}: the next page is named {link:?}, which is not at this registry; report this to who runs {}",
                self.public("tags/list"),
                self.address.registry()
            ))
        };
        let (_, rest) = link.split_once('<').ok_or_else(wrong)?;
        let (target, _) = rest.split_once('>').ok_or_else(wrong)?;
        let next = asked.join(target).map_err(|_| wrong())?;
        if next.origin() != asked.origin() {
            return Err(wrong());
        }
        Ok(Some(next))
    }

    /// The address of something in this repository by its public name.
    fn public(&self, path: &str) -> String {
        format!("https://{}/v2/{}/{path}", self.address.registry(), self.address.repository())
    }

    fn http(&self) -> &reqwest::Client {
        if self.insecure { &self.client.0.unchecked } else { &self.client.0.checked }
    }

    /// Where the registry is, without `/v2/`.
    async fn base(&self) -> Result<Url, Error> {
        let registry = self.address.registry();
        if let Some(mirror) = self.client.0.settings.mirrors.of(registry) {
            return Ok(mirror.clone());
        }
        let plain = if self.address.may_be_plain() {
            *self.session.plain.get_or_try_init(|| self.probe()).await?
        } else {
            false
        };
        let scheme = if plain { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{registry}"))
            .map_err(|_| Error::Config(format!("{registry:?} is no host; check the repoURL")))
    }

    /// Whether the registry speaks plain HTTP: HTTPS is tried first.
    async fn probe(&self) -> Result<bool, Error> {
        let registry = self.address.registry();
        let mut reason = String::new();
        for (plain, scheme) in [(false, "https"), (true, "http")] {
            self.session.limit.turn().await;
            match self.http().get(format!("{scheme}://{registry}/v2/")).send().await {
                Ok(_) => return Ok(plain),
                Err(error) => reason = told(&error),
            }
        }
        Err(self.no_answer("GET", format!("https://{registry}/v2/"), reason))
    }

    fn scope(&self) -> String {
        format!("repository:{}:pull", self.address.repository())
    }

    /// Asks, with tokens, back-off and further attempts as they are needed.
    async fn ask(&self, ask: &Ask<'_>) -> Result<(Answered, Url), Error> {
        if let Some(wait) = self.session.limit.closed_for(Instant::now()) {
            return Err(self.answer_error(
                ask,
                StatusCode::TOO_MANY_REQUESTS,
                ": it asked for a pause that is not over".to_owned(),
                Some(wait),
            ));
        }
        let base = self.base().await?;
        let url = match ask.next {
            Some(url) => url.clone(),
            None => below(&base, self.address.repository(), &ask.path)?,
        };
        if self.session.login.is_some() {
            self.learn_scheme(&base).await?;
        }
        let mut attempt = 0;
        let mut renewed = false;
        loop {
            attempt += 1;
            let (header, token) = self.authorization(ask, &base).await?;
            self.session.limit.turn().await;
            let mut request =
                self.http().request(ask.method.clone(), url.clone()).header(ACCEPT, ask.accept);
            if let Some(header) = header {
                request = request.header(AUTHORIZATION, header);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    tokio::time::sleep(self.delay(attempt)).await;
                    continue;
                }
                Err(error) => return Err(self.lost(ask, &error)),
            };
            let status = response.status();
            if status.is_success() {
                let headers = response.headers().clone();
                match read(response, ask.limit).await {
                    Ok(body) => return Ok((Answered { headers, body }, url)),
                    Err(Unread::TooLarge) => {
                        return Err(Error::Unexpected(format!(
                            "{} {}: the answer is larger than {} MiB; check that {} is a container registry",
                            ask.method,
                            self.public(&ask.path),
                            ask.limit / 1024 / 1024,
                            self.address.registry()
                        )));
                    }
                    Err(Unread::Broken(_)) if attempt < ATTEMPTS => {
                        tokio::time::sleep(self.delay(attempt)).await;
                        continue;
                    }
                    Err(Unread::Broken(error)) => return Err(self.lost(ask, &error)),
                }
            }
            if status == StatusCode::UNAUTHORIZED && !renewed {
                let challenge = challenge(&response);
                if self.take_challenge(ask, &base, challenge, token.as_ref()).await? {
                    renewed = true;
                    attempt -= 1;
                    continue;
                }
            }
            let wait = retry_after(&response);
            if may_be_tried_again(status) {
                let delay = wait.unwrap_or_else(|| self.delay(attempt));
                if attempt < ATTEMPTS && delay <= LONGEST_WAIT {
                    tokio::time::sleep(delay).await;
                    continue;
                }
                if let Some(wait) = wait {
                    self.session.limit.close(Instant::now(), wait.min(LONGEST_CLOSED));
                }
            }
            let said = self.said(response).await;
            return Err(self.answer_error(ask, status, said, wait));
        }
    }

    /// A registry may let anybody ask and answer 404 for what only some may
    /// see, so who has a credential first finds out how to show it.
    async fn learn_scheme(&self, base: &Url) -> Result<(), Error> {
        let mut auth = self.session.auth.lock().await;
        if !matches!(auth.scheme, Scheme::Unknown) {
            return Ok(());
        }
        self.session.limit.turn().await;
        let url = root(base)?;
        let Ok(response) = self.http().get(url).send().await else {
            // The request itself will say what is wrong.
            return Ok(());
        };
        auth.scheme = match challenge(&response) {
            Some(Challenge::Bearer { realm, service, .. })
                if response.status() == StatusCode::UNAUTHORIZED =>
            {
                Scheme::Bearer { realm: self.checked_realm(&realm, base)?, service }
            }
            _ if response.status().is_success() => Scheme::Basic,
            Some(Challenge::Basic) => Scheme::Basic,
            _ => return Ok(()),
        };
        Ok(())
    }

    /// The header to send, and the token in it.
    async fn authorization(
        &self,
        ask: &Ask<'_>,
        base: &Url,
    ) -> Result<(Option<reqwest::header::HeaderValue>, Option<Secret>), Error> {
        let mut auth = self.session.auth.lock().await;
        match &auth.scheme {
            Scheme::Unknown => Ok((None, None)),
            Scheme::Basic => Ok((self.basic(), None)),
            Scheme::Bearer { realm, service } => {
                let scope = self.scope();
                let (realm, service) = (realm.clone(), service.clone());
                let token = match auth.token(&scope, Instant::now()) {
                    Some(token) => token,
                    None => {
                        let (token, lifetime) =
                            self.get_token(ask, base, &realm, service.as_deref(), &scope).await?;
                        auth.keep(&scope, token.clone(), lifetime, Instant::now());
                        token
                    }
                };
                Ok((sensitive(&format!("Bearer {}", token.expose())), Some(token)))
            }
        }
    }

    fn basic(&self) -> Option<reqwest::header::HeaderValue> {
        use base64::Engine;
        let (username, password) = self.session.login.as_ref()?;
        let text = format!("{username}:{}", password.expose());
        sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
    }

    /// Learns from a 401; returns whether it is worth asking again.
    async fn take_challenge(
        &self,
        _ask: &Ask<'_>,
        base: &Url,
        challenge: Option<Challenge>,
        refused: Option<&Secret>,
    ) -> Result<bool, Error> {
        let mut auth = self.session.auth.lock().await;
        match challenge {
            Some(Challenge::Bearer { realm, service, .. }) => {
                auth.scheme = Scheme::Bearer { realm: self.checked_realm(&realm, base)?, service };
                auth.forget(&self.scope(), refused);
                Ok(true)
            }
            Some(Challenge::Basic) => {
                let known = matches!(auth.scheme, Scheme::Basic);
                auth.scheme = Scheme::Basic;
                Ok(!known && self.session.login.is_some())
            }
            None => Ok(false),
        }
    }

    /// Tokens are fetched over HTTPS, or over HTTP where the registry itself
    /// is; and not from other hosts inside the network (`warehouses` 6.8 P3).
    fn checked_realm(&self, realm: &str, base: &Url) -> Result<String, Error> {
        let registry = self.address.registry();
        let wrong = || {
            Error::Unexpected(format!(
                "{registry} names {realm:?} as its token server, which is not trusted: it must use https, and no private address of another host"
            ))
        };
        let url = Url::parse(realm).map_err(|_| wrong())?;
        let plain_is_fine = base.scheme() == "http";
        if url.scheme() != "https" && !(url.scheme() == "http" && plain_is_fine) {
            return Err(wrong());
        }
        if is_inside(&url) && url.host_str() != base.host_str() {
            return Err(wrong());
        }
        Ok(realm.to_owned())
    }

    async fn get_token(
        &self,
        ask: &Ask<'_>,
        base: &Url,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(Secret, Duration), Error> {
        let wrong = || Error::Unexpected(format!("{realm:?} is no address of a token server"));
        let mut url = Url::parse(realm).map_err(|_| wrong())?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", scope);
            if let Some(service) = service {
                query.append_pair("service", service);
            }
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.session.limit.turn().await;
            let mut request = self.http().get(url.clone());
            if let Some(header) = self.basic() {
                request = request.header(AUTHORIZATION, header);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    tokio::time::sleep(self.delay(attempt)).await;
                    continue;
                }
                Err(error) => {
                    let shown = self.shown_realm(&url, base);
                    return Err(self.no_answer("GET", shown, told(&error)));
                }
            };
            let status = response.status();
            if status.is_success() {
                let body = read(response, LARGEST_SMALL).await.unwrap_or_default();
                let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
                return answer.and_then(TokenAnswer::token).ok_or_else(|| {
                    Error::Unexpected(format!(
                        "GET {}: the answer holds no token; check what runs at {}",
                        self.shown_realm(&url, base),
                        self.address.registry()
                    ))
                });
            }
            let wait = retry_after(&response);
            let delay = wait.unwrap_or_else(|| self.delay(attempt));
            if may_be_tried_again(status) && attempt < ATTEMPTS && delay <= LONGEST_WAIT {
                tokio::time::sleep(delay).await;
                continue;
            }
            let said = self.said(response).await;
            let refusal = self.refusal(ask, status, said, wait);
            let url = self.shown_realm(&url, base);
            return Err(Error::Answer(Box::new(Refusal { method: "GET", url, ..refusal })));
        }
    }

    /// A token server's address for people: of a mirror, the public registry's.
    fn shown_realm(&self, realm: &Url, base: &Url) -> String {
        if realm.host_str() == base.host_str() && realm.port() == base.port() {
            format!("https://{}{}", self.address.registry(), realm.path())
        } else {
            format!("{}{}", realm.origin().ascii_serialization(), realm.path())
        }
    }

    fn delay(&self, attempt: u32) -> Duration {
        let first = self.client.0.settings.retry_delay;
        let delay = if attempt <= 1 { first } else { first * 3 };
        delay.mul_f64(1.0 + rand::random::<f64>() / 10.0)
    }

    /// What an error's body says, as `: CODE: message`.
    async fn said(&self, response: reqwest::Response) -> String {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            errors: Vec<One>,
            #[serde(default)]
            details: Option<String>,
        }
        #[derive(Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let bytes = match read(response, LARGEST_SMALL).await {
            Ok(bytes) => bytes,
            Err(_) => return String::new(),
        };
        let text = match serde_json::from_slice::<Body>(&bytes) {
            Ok(Body { errors, details }) => {
                let parts = errors.into_iter().take(3).map(|e| match e.message.as_str() {
                    "" => e.code,
                    message => format!("{}: {message}", e.code),
                });
                let parts: Vec<String> = parts.chain(details).collect();
                parts.join("; ")
            }
            Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let text = self.masker().mask(&text);
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(300).collect();
        if line.is_empty() { line } else { format!(": {line}") }
    }

    fn masker(&self) -> Masker {
        let mut masker = Masker::new();
        if let Some((_, password)) = &self.session.login {
            masker.add(password);
        }
        masker
    }

    fn lost(&self, ask: &Ask<'_>, error: &reqwest::Error) -> Error {
        self.no_answer(method(&ask.method), self.public(&ask.path), told(error))
    }

    fn no_answer(&self, method: &'static str, url: String, reason: String) -> Error {
        let host = self.address.registry();
        let mirror = self.client.0.settings.mirrors.of(host);
        let at =
            mirror.map_or(String::new(), |_| " (through the mirror that is set for it)".to_owned());
        Error::NoAnswer(Box::new(Silence {
            method,
            url,
            host: format!("{host}{at}"),
            reason,
            check: format!(
                "check that {host} is the right registry and that the controller can reach it (name, port, proxy, firewall, certificate)"
            ),
        }))
    }

    fn answer_error(
        &self,
        ask: &Ask<'_>,
        status: StatusCode,
        said: String,
        wait: Option<Duration>,
    ) -> Error {
        Error::Answer(Box::new(self.refusal(ask, status, said, wait)))
    }

    fn refusal(
        &self,
        ask: &Ask<'_>,
        status: StatusCode,
        said: String,
        wait: Option<Duration>,
    ) -> Refusal {
        let (registry, repository) = (self.address.registry(), self.address.repository());
        let (class, check) = match status.as_u16() {
            401 | 403 => (
                ErrorClass::Auth,
                match &self.session.source {
                    Some(source) => format!(
                        "{registry} refused the credential of {source}: check its username and password, and that they may pull {repository}"
                    ),
                    None => format!(
                        "no credential was found: if {repository} is private, make a Secret labelled kargo.akuity.io/cred-type: image in the Project for it; else check the repository's name"
                    ),
                },
            ),
            404 => (
                ErrorClass::NotFound,
                format!(
                    "check that the repository {repository} exists at {registry} and holds what was asked for{}",
                    if self.session.source.is_none() {
                        "; some registries answer so for a private repository that is asked for without a credential"
                    } else {
                        ""
                    }
                ),
            ),
            429 => {
                let wait = wait.unwrap_or(Duration::from_secs(30)).min(LONGEST_CLOSED);
                (
                    ErrorClass::RateLimited { retry_after: wait },
                    format!(
                        "{registry} wants fewer requests; asking again in {} s",
                        wait.as_secs().max(1)
                    ),
                )
            }
            408 | 499 | 500..=599 => match wait {
                Some(wait) => (
                    ErrorClass::RateLimited { retry_after: wait.min(LONGEST_CLOSED) },
                    format!("{registry} has trouble; asking again in {} s", wait.as_secs().max(1)),
                ),
                None => (
                    ErrorClass::Transient,
                    format!("{registry} has trouble; asking again by and by"),
                ),
            },
            _ => (
                ErrorClass::Config,
                format!(
                    "check that {registry} is a container registry and {repository} a repository in it"
                ),
            ),
        };
        Refusal {
            method: method(&ask.method),
            url: self.public(&ask.path),
            status: status.to_string(),
            said,
            check,
            class,
        }
    }
}

fn method(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
}

/// `<base>/v2/<repository>/<path>`; a base's path stands before the repository.
fn below(base: &Url, repository: &str, path: &str) -> Result<Url, Error> {
    let prefix = base.path().trim_matches('/');
    let repository = match prefix {
        "" => repository.to_owned(),
        prefix => format!("{prefix}/{repository}"),
    };
    base.join(&format!("/v2/{repository}/{path}"))
        .map_err(|_| Error::Config(format!("{repository:?} is no repository; check the repoURL")))
}

fn root(base: &Url) -> Result<Url, Error> {
    base.join("/v2/").map_err(|_| Error::Config(format!("{base} is no registry")))
}

fn sensitive(text: &str) -> Option<reqwest::header::HeaderValue> {
    let mut value = reqwest::header::HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn challenge(response: &reqwest::Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    Challenge::parse(headers.iter().filter_map(|v| v.to_str().ok()))
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

/// Whether the host is written as an address inside the network.
fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Some(url::Host::Ipv6(ip)) => {
            let mapped = ip.to_ipv4_mapped().map(IpAddr::V4);
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || mapped.is_some_and(|ip| matches!(ip, IpAddr::V4(ip) if ip.is_loopback() || ip.is_private() || ip.is_link_local()))
        }
        _ => false,
    }
}

/// Whether the network may have failed by chance. A refused connection or an
/// unknown name has not.
fn may_pass(error: &reqwest::Error) -> bool {
    !error.is_builder() && !error.is_redirect() && !error.is_connect()
}

fn may_be_tried_again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// `Retry-After` in seconds or as a date.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_CLOSED));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let seconds = at.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST_CLOSED))
}

enum Unread {
    TooLarge,
    Broken(reqwest::Error),
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What the network said, without the address, which may be a mirror's.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause = std::error::Error::source(error);
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    last.unwrap_or_else(|| "the request failed".to_owned())
}
