//! One request: where it goes, how often it is tried, when it is given up.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, HeaderMap, LINK, LOCATION};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{Api, words};
use crate::error::ForgeError;

/// The largest answer that is read, in bytes: a page of a hundred pull
/// requests is about two megabytes.
const LARGEST: usize = 16 << 20;

/// The most that is read of an error, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// Attempts of a read.
const ATTEMPTS: u32 = 3;

/// Redirects followed at the same host.
const MAX_REDIRECTS: u32 = 4;

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below the API's base, each segment as it is, to be encoded.
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) body: Option<Value>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn new(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        Self { method, path: path.into_iter().collect(), query: Vec::new(), body: None }
    }

    pub(crate) fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// A successful answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    /// Method and address, for messages.
    what: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|e| {
            ForgeError::Unexpected(format!(
                "{}: the answer is not what the provider's API gives ({e}); check repoURL and provider",
                self.what
            ))
        })
    }

    /// How many there are on all pages, where `X-Total-Count` says so: Gitea
    /// gives it with every list, and `Link` only with some.
    pub(crate) fn total(&self) -> Option<usize> {
        self.headers.get("x-total-count")?.to_str().ok()?.trim().parse().ok()
    }

    /// Whether the `Link` header names a further page.
    pub(crate) fn has_next(&self) -> bool {
        self.headers
            .get_all(LINK)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|link| link.split(';').skip(1).any(|p| p.trim() == "rel=\"next\""))
    }
}

impl Api {
    /// Asks and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, ForgeError> {
        self.send(ask).await?.json()
    }

    /// Asks. Reads are tried again where the network or the server failed;
    /// what changes something is sent once.
    pub(crate) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, ForgeError> {
        let now = Instant::now();
        if let Some(retry_after) = self.budget.paused_for(self.token.as_ref(), now) {
            return Err(ForgeError::Paused { host: self.host(), retry_after });
        }
        let attempts = if ask.method == Method::GET { ATTEMPTS } else { 1 };
        let mut attempt = 1;
        loop {
            match self.once(ask).await {
                Err(error) if attempt < attempts && may_pass(&error) => {
                    tracing::debug!(%error, "asking a provider again");
                    let first = self.http.bounds.retry_delay;
                    let delay = if attempt == 1 { first } else { first * 3 };
                    tokio::time::sleep(delay.mul_f64(1.0 + rand::random::<f64>() / 5.0)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, ForgeError> {
        let mut url = self.address(&self.asked, ask)?;
        let what = self.what(ask);
        let mut redirects = 0;
        loop {
            let _turn = self.budget.turn().await;
            let mut request = self
                .http
                .client(self.insecure)
                .request(ask.method.clone(), url.clone())
                .header(ACCEPT, "application/json");
            for (name, value) in &self.headers {
                request = request.header(*name, *value);
            }
            if let Some((name, value)) = self.token.as_ref().and_then(|t| self.scheme.header(t)) {
                request = request.header(name, value);
            }
            if let Some(body) = &ask.body {
                request = request.json(body);
            }
            let response = request.send().await.map_err(|e| self.silence(ask, words::told(&e)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.is_redirection()
                && let Some(next) = self.redirect(ask, &url, status, &headers)?
            {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    return Err(self.silence(ask, "it redirects in a circle".to_owned()));
                }
                url = next;
                continue;
            }
            // 203 is Azure's sign-in page.
            if status.is_success() && status != StatusCode::NON_AUTHORITATIVE_INFORMATION {
                let body = read(response, LARGEST).await.map_err(|e| match e {
                    Unread::TooLarge => ForgeError::Unexpected(format!(
                        "{what}: the answer is larger than {} MiB",
                        LARGEST >> 20
                    )),
                    Unread::Broken(e) => self.silence(ask, words::told(&e)),
                })?;
                self.heed(&headers);
                return Ok(Answer { status, headers, body, what });
            }
            let body = read(response, LARGEST_ERROR).await.unwrap_or_default();
            let error = self.refusal(ask, status, &headers, &body);
            if let crate::error::ErrorClass::RateLimited { retry_after } = error.class() {
                self.budget.pause(self.token.as_ref(), Instant::now(), retry_after);
            }
            return Err(error);
        }
    }

    /// Where a redirect leads, if it may be followed: at the same host, and
    /// with the same method. 301 is among those that keep it: Gitea gives it
    /// for everything below a repository that has another name now, and has
    /// done nothing yet (RFC 9110, 15.4.2, lets clients do either).
    fn redirect(
        &self,
        ask: &Ask<'_>,
        from: &Url,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Url>, ForgeError> {
        let Some(to) = headers.get(LOCATION).and_then(|v| v.to_str().ok()) else { return Ok(None) };
        let Ok(to) = from.join(to) else { return Ok(None) };
        let keeps_method = matches!(status.as_u16(), 301 | 307 | 308);
        if ask.method != Method::GET && !keeps_method {
            return Ok(None);
        }
        if to.origin() != from.origin() {
            return Err(ForgeError::Config(format!(
                "{}: {} redirects to {}, where the token does not belong; use the address that it redirects to as repoURL if you trust it, or check the token",
                self.what(ask),
                self.host(),
                to.host_str().unwrap_or("another host")
            )));
        }
        Ok(Some(to))
    }

    /// Heeds a provider that says it will answer no more for a while.
    fn heed(&self, headers: &HeaderMap) {
        if let Some(wait) = words::exhausted(headers, jiff::Timestamp::now()) {
            self.budget.pause(self.token.as_ref(), Instant::now(), wait);
        }
    }

    fn silence(&self, ask: &Ask<'_>, reason: String) -> ForgeError {
        ForgeError::NoAnswer {
            method: words::method(&ask.method),
            url: self.shown(ask),
            host: self.host(),
            reason,
        }
    }

    /// Method and public address.
    pub(super) fn what(&self, ask: &Ask<'_>) -> String {
        format!("{} {}", ask.method, self.shown(ask))
    }

    /// The public address without its query.
    pub(super) fn shown(&self, ask: &Ask<'_>) -> String {
        let bare = Ask { query: Vec::new(), ..ask.clone() };
        match self.address(&self.public, &bare) {
            Ok(mut url) => {
                url.set_query(None);
                url.to_string()
            }
            Err(_) => self.public.to_string(),
        }
    }

    fn address(&self, base: &Url, ask: &Ask<'_>) -> Result<Url, ForgeError> {
        let mut url = base.clone();
        let wrong = || ForgeError::Config(format!("{base} is no address of an API"));
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(&ask.path);
        if !ask.query.is_empty() || !self.query.is_empty() {
            let mut query = url.query_pairs_mut();
            for (name, value) in &ask.query {
                query.append_pair(name, value);
            }
            for (name, value) in &self.query {
                query.append_pair(name, value);
            }
        }
        Ok(url)
    }
}

/// Whether another attempt may end otherwise: the network or the server
/// failed, and the server did not say when to come back.
fn may_pass(error: &ForgeError) -> bool {
    match error {
        ForgeError::NoAnswer { .. } => true,
        ForgeError::Refused(refusal) => {
            matches!(refusal.class, crate::error::ErrorClass::Transient)
        }
        _ => false,
    }
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

/// The pause between looks at something that a provider does by and by.
pub(crate) async fn pause_between_looks(wait: Duration) {
    tokio::time::sleep(wait).await;
}
