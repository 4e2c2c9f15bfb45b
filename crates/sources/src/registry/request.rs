//! One request: where it goes, how it presents itself, how often it is tried.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use credentials::Secret;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, StatusCode};
use url::Url;

use super::auth::{Challenge, Scheme, TokenAnswer};
use super::repository::Repository;
use super::words::told;
use crate::error::{Error, Refusal};

/// The largest answer of a token server, and the most that is read of an error.
pub(super) const LARGEST_SMALL: usize = 64 * 1024;
/// Attempts of one request.
const ATTEMPTS: u32 = 3;
/// A `Retry-After` up to that long is waited for; beyond it the caller is told.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that is believed.
pub(super) const LONGEST_CLOSED: Duration = Duration::from_secs(3600);
/// A successful answer.
pub(super) struct Answered {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a request asks for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below `/v2/<repository>/`.
    pub(super) path: String,
    /// The path and query of a further page, as the registry named it.
    pub(super) next: Option<&'a Url>,
    pub(super) accept: &'static str,
    pub(super) limit: usize,
}

impl Repository {
    fn http(&self) -> &reqwest::Client {
        self.client.http(self.insecure)
    }

    /// Where the registry is, without `/v2/`.
    async fn base(&self) -> Result<Url, Error> {
        let registry = self.address.registry();
        if let Some(mirror) = self.client.settings().mirrors.of(registry) {
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

    /// Waits for a turn. A registry or mirror on this machine needs no such
    /// fairness.
    async fn turn(&self, base: &Url) {
        if !is_this_machine(base) {
            self.session.limit.turn().await;
        }
    }

    /// Whether the registry speaks plain HTTP: HTTPS is tried first.
    async fn probe(&self) -> Result<bool, Error> {
        let registry = self.address.registry();
        let mut reason = String::new();
        for (plain, scheme) in [(false, "https"), (true, "http")] {
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
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<(Answered, Url), Error> {
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
            self.turn(&base).await;
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
        self.turn(base).await;
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
    ) -> Result<(Option<HeaderValue>, Option<Secret>), Error> {
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

    fn basic(&self) -> Option<HeaderValue> {
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
            self.turn(base).await;
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

    fn delay(&self, attempt: u32) -> Duration {
        let first = self.client.settings().retry_delay;
        let delay = if attempt <= 1 { first } else { first * 3 };
        delay.mul_f64(1.0 + rand::random::<f64>() / 10.0)
    }
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

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn challenge(response: &reqwest::Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    Challenge::parse(headers.iter().filter_map(|v| v.to_str().ok()))
}

/// Whether the host is written as an address of this machine.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether the host is written as an address inside the network.
pub(super) fn is_inside(url: &Url) -> bool {
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

pub(super) enum Unread {
    TooLarge,
    Broken(reqwest::Error),
}

pub(super) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
