//! One request to a registry: where it goes, how it presents itself, what its
//! answer is.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use credentials::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::auth::{Challenge, Scheme};
use super::line::{Attempts, Unanswered, is_certificate, is_plain, retry_after};
use super::repository::{Plain, Repository};
use super::turns::Held;
use super::words::{REGISTRY, Subject, told};
use crate::error::{Error, ErrorClass};

/// The largest answer of a token server, and the most that is read of an error.
pub(super) const LARGEST_SMALL: usize = 64 * 1024;

/// A successful answer.
pub(super) struct Answered {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a request names.
pub(super) enum Path {
    /// `/v2/`.
    Root,
    /// Something below `/v2/<repository>/`.
    Below(String),
}

/// What a request asks for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: Path,
    /// The path and query of a further page, as the registry named it.
    pub(super) next: Option<&'a Url>,
    pub(super) accept: &'static str,
    pub(super) limit: usize,
}

impl Repository {
    /// The address of something in this repository by its public name.
    pub(super) fn public(&self, path: &str) -> String {
        format!("https://{}/v2/{}/{path}", self.address.registry(), self.address.repository())
    }

    pub(super) fn shown(&self, path: &Path) -> String {
        match path {
            Path::Root => format!("https://{}/v2/", self.address.registry()),
            Path::Below(path) => self.public(path),
        }
    }

    pub(super) fn subject(&self) -> Subject {
        let host = self.address.registry();
        Subject {
            host: host.to_owned(),
            what: self.address.repository().to_owned(),
            source: self.session.source.clone(),
            kind: self.kind,
            server: REGISTRY,
            through_mirror: self.client.settings().mirrors.of(host).is_some(),
        }
    }

    /// What an unanswered request is told as.
    pub(super) fn unanswered(&self, method: &str, url: String, error: Unanswered) -> Error {
        match error {
            Unanswered::Lost(error) => self.subject().lost(method, url, &error),
            Unanswered::Held(Held::Paused(wait)) => self.subject().paused(url, wait),
            Unanswered::Held(Held::Broken(wait, reason)) => {
                self.subject().broken(method, url, wait, &reason)
            }
        }
    }

    /// Where the registry is, without `/v2/`.
    async fn base(&self) -> Result<Url, Error> {
        let registry = self.address.registry();
        if let Some(mirror) = self.client.settings().mirrors.of(registry) {
            return Ok(mirror.clone());
        }
        let plain = match self.plain {
            Plain::Never => false,
            _ => *self.session.plain.get_or_try_init(|| self.probe()).await?,
        };
        let scheme = if plain { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{registry}"))
            .map_err(|_| Error::Config(format!("{registry:?} is no host; check the repoURL")))
    }

    /// Whether the registry speaks plain HTTP: HTTPS is tried first.
    async fn probe(&self) -> Result<bool, Error> {
        let registry = self.address.registry();
        let shown = || format!("https://{registry}/v2/");
        let ask = |scheme: &'static str| {
            let url = format!("{scheme}://{registry}/v2/");
            async move { self.line.send(&mut Attempts::default(), |h| h.get(&url)).await }
        };
        let error = match ask("https").await {
            Ok(_) => return Ok(false),
            Err(Unanswered::Lost(error)) => error,
            Err(held) => return Err(self.unanswered("GET", shown(), held)),
        };
        if is_certificate(&error) {
            return Err(self.subject().lost("GET", shown(), &error));
        }
        if self.plain == Plain::IfNotTls {
            let answered = ask("http").await;
            return match answered {
                Ok(_) => Ok(true),
                Err(error) => Err(self.unanswered("GET", shown(), error)),
            };
        }
        if !is_plain(&error) {
            // The request itself will say what is wrong.
            return Ok(false);
        }
        match &self.session.source {
            None => Ok(true),
            Some(source) => Err(self.subject().silence(
                "GET",
                shown(),
                told(&error),
                format!(
                    "{registry} answers plain HTTP, over which the credential of {source} is not sent: have it serve HTTPS"
                ),
                ErrorClass::Config,
            )),
        }
    }

    pub(super) fn scope(&self) -> String {
        format!("repository:{}:pull", self.address.repository())
    }

    /// Asks, with tokens, back-off and further attempts as they are needed.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<(Answered, Url), Error> {
        let base = self.base().await?;
        let url = match (ask.next, &ask.path) {
            (Some(url), _) => url.clone(),
            (None, Path::Root) => root(&base)?,
            (None, Path::Below(path)) => below(&base, self.address.repository(), path)?,
        };
        if self.session.login.is_some() {
            self.learn_scheme(&base).await?;
        }
        let mut attempts = Attempts::default();
        let mut renewed = false;
        loop {
            let (header, token) = self.authorization(&base).await?;
            let answered = self
                .line
                .send(&mut attempts, |http| {
                    let request =
                        http.request(ask.method.clone(), url.clone()).header(ACCEPT, ask.accept);
                    match &header {
                        Some(header) => request.header(AUTHORIZATION, header.clone()),
                        None => request,
                    }
                })
                .await;
            let shown = || self.shown(&ask.path);
            let response = match answered {
                Ok(response) => response,
                Err(error) => return Err(self.unanswered(ask.method.as_str(), shown(), error)),
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
                            shown(),
                            ask.limit / 1024 / 1024,
                            self.address.registry()
                        )));
                    }
                    Err(Unread::Broken(error)) if self.line.again(&attempts, &error).await => {
                        continue;
                    }
                    Err(Unread::Broken(error)) => {
                        return Err(self.subject().lost(ask.method.as_str(), shown(), &error));
                    }
                }
            }
            if status == StatusCode::UNAUTHORIZED && !renewed {
                let challenge = challenge(&response);
                if self.take_challenge(&base, challenge, token.as_ref()).await? {
                    renewed = true;
                    attempts = Attempts::default();
                    continue;
                }
            }
            let wait = retry_after(&response);
            let said = Subject::said(response, self.session.login.as_ref()).await;
            let refusal = self.subject().refusal(ask.method.as_str(), shown(), status, said, wait);
            return Err(Error::Answer(Box::new(refusal)));
        }
    }

    /// A registry may let anybody ask and answer 404 for what only some may
    /// see, so who has a credential first finds out how to show it.
    async fn learn_scheme(&self, base: &Url) -> Result<(), Error> {
        let mut auth = self.session.auth.lock().await;
        if !matches!(auth.scheme, Scheme::Unknown) {
            return Ok(());
        }
        let url = root(base)?;
        let answered = self.line.send(&mut Attempts::default(), |http| http.get(url.clone())).await;
        let Ok(response) = answered else {
            // The request itself will say what is wrong.
            return Ok(());
        };
        auth.scheme = match challenge(&response) {
            Some(Challenge::Bearer { realm, service, .. })
                if response.status() == StatusCode::UNAUTHORIZED =>
            {
                Scheme::Bearer { realm: self.checked_realm(&realm, base)?, service }
            }
            _ if response.status().is_server_error()
                || response.status() == StatusCode::TOO_MANY_REQUESTS =>
            {
                Scheme::Unknown
            }
            _ => Scheme::Basic,
        };
        Ok(())
    }

    /// The header to send, and the token in it.
    async fn authorization(
        &self,
        base: &Url,
    ) -> Result<(Option<HeaderValue>, Option<Secret>), Error> {
        let (realm, service, slot) = {
            let mut auth = self.session.auth.lock().await;
            let slot = auth.slot(&self.scope());
            match &auth.scheme {
                Scheme::Unknown => return Ok((None, None)),
                Scheme::Basic => return Ok((basic(self.session.login.as_ref()), None)),
                Scheme::Bearer { realm, service } => (realm.clone(), service.clone(), slot),
            }
        };
        let token = self.token(base, &realm, service.as_deref(), &slot).await?;
        Ok((sensitive(&format!("Bearer {}", token.expose())), Some(token)))
    }

    /// Learns from a 401; returns whether it is worth asking again.
    async fn take_challenge(
        &self,
        base: &Url,
        challenge: Option<Challenge>,
        refused: Option<&Secret>,
    ) -> Result<bool, Error> {
        let mut auth = self.session.auth.lock().await;
        match challenge {
            Some(Challenge::Bearer { realm, service, .. }) => {
                auth.scheme = Scheme::Bearer { realm: self.checked_realm(&realm, base)?, service };
                let slot = auth.slot(&self.scope());
                drop(auth);
                let mut token = slot.lock().await;
                // Only the very token that was refused: another caller may
                // have got a new one meanwhile.
                if token.as_ref().map(|t| &t.value) == refused {
                    *token = None;
                }
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
}

/// The header that shows a name and password.
pub(super) fn basic(login: Option<&(String, Secret)>) -> Option<HeaderValue> {
    use base64::Engine;
    let (username, password) = login?;
    let text = format!("{username}:{}", password.expose());
    sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
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
