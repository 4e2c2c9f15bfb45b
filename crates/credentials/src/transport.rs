//! HTTP to those that mint tokens: small requests, bounded answers, no
//! redirects. A trait, so that tests answer in their place.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::secret::Secret;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A request to a token service.
#[derive(Clone)]
pub struct TokenRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The whole address.
    pub url: String,
    /// Headers; values may be secret.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body; it may hold secrets.
    pub body: Secret,
    /// How long the answer may take.
    pub limit: Duration,
    /// Whether a proxy must be passed by: services on the machine's own link.
    pub direct: bool,
}

impl TokenRequest {
    /// How long an answer may take unless told otherwise.
    pub const LIMIT: Duration = Duration::from_secs(10);

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET",
            url: url.into(),
            headers: Vec::new(),
            body: Secret::default(),
            limit: Self::LIMIT,
            direct: false,
        }
    }

    /// A `POST` of a body.
    pub fn post(url: impl Into<String>, content_type: &str, body: Secret) -> Self {
        Self { method: "POST", body, ..Self::get(url) }
            .header("content-type", content_type.to_owned())
    }

    /// A `POST` of a form.
    pub fn form(url: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.iter().copied())
            .finish();
        Self::post(url, "application/x-www-form-urlencoded", Secret::new(body))
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Secret>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Past any proxy.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// The value of a header.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.expose())
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// What a token service answered. Its body may hold secrets, so it has no
/// printable form.
#[derive(Clone, Default)]
pub struct TokenAnswer {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl TokenAnswer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} ({} bytes)", self.status, self.body.len())
    }
}

/// Sends requests to token services.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// In words, where there is no answer, or one too large.
    async fn send(&self, request: TokenRequest) -> Result<TokenAnswer, String>;
}

/// HTTP over the network, through the proxies of the environment.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    proxied: reqwest::Client,
    direct: reqwest::Client,
}

impl HttpTransport {
    /// With the machine's trusted certificates.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        // One TLS library for the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_LIMIT)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent("supercargo")
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|e| format!("cannot set up HTTP for token services: {e}"))
        };
        Ok(Self { proxied: built(client())?, direct: built(client().no_proxy())? })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: TokenRequest) -> Result<TokenAnswer, String> {
        let client = if request.direct { &self.direct } else { &self.proxied };
        let method =
            if request.method == "POST" { reqwest::Method::POST } else { reqwest::Method::GET };
        let mut builder = client.request(method, &request.url).timeout(request.limit);
        // `host` is there to be signed; HTTP sends it by itself.
        for (name, value) in request.headers.iter().filter(|(name, _)| *name != "host") {
            let mut value = reqwest::header::HeaderValue::from_str(value.expose())
                .map_err(|_| format!("the value for header {name} cannot be sent"))?;
            value.set_sensitive(true);
            builder = builder.header(*name, value);
        }
        if request.method == "POST" {
            builder = builder.body(request.body.expose().to_owned());
        }
        let mut response = builder.send().await.map_err(|e| reason(&e))?;
        let mut answer = TokenAnswer {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.to_string(), value.to_str().ok()?.to_owned()))
                })
                .collect(),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|e| reason(&e))? {
            if answer.body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

/// The innermost cause, without the address (the caller tells it).
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::routing::{get, post};

    use super::*;

    async fn server() -> String {
        let router = Router::new()
            .route(
                "/echo",
                post(|headers: HeaderMap, body: String| async move {
                    let word = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
                    ([("x-said", word)], (StatusCode::CREATED, body))
                }),
            )
            .route("/moved", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/echo")]) }))
            .route("/endless", get(|| async { "x".repeat(MAX_ANSWER + 1) }))
            .route("/silent", get(|| async { std::future::pending::<String>().await }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn requests_are_sent_as_they_are_and_answers_are_bounded() {
        let url = server().await;
        let http = HttpTransport::new().unwrap();
        let request = TokenRequest::form(format!("{url}/echo"), &[("a b", "c&d")])
            .header("authorization", "word".to_owned())
            .header("host", "is.signed.only".to_owned())
            .direct();
        let answer = http.send(request.clone()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"a+b=c%26d"[..]));
        assert_eq!(answer.header("x-said"), Some("word"));
        let shown = format!("{request:?} {answer:?}");
        assert_eq!(shown, format!("POST {url}/echo HTTP 201 (9 bytes)"));

        let asked = async |path: &str| {
            let request = TokenRequest::get(format!("{url}{path}")).direct();
            http.send(TokenRequest {
                limit: if path == "/silent" {
                    Duration::from_millis(200)
                } else {
                    TokenRequest::LIMIT
                },
                ..request
            })
            .await
        };
        assert_eq!(asked("/moved").await.unwrap().status, 302, "no redirect is followed");
        assert!(asked("/endless").await.unwrap_err().starts_with("the answer is longer than"));
        assert_eq!(asked("/silent").await.unwrap_err(), "no answer in time");
        let line =
            TokenRequest::get(format!("{url}/moved")).header("authorization", "a\nb".to_owned());
        let said = http.send(line).await.unwrap_err();
        assert_eq!(said, "the value for header authorization cannot be sent");
    }
}
