//! The one HTTP client: what all of the process's requests to providers
//! share.
//!
//! * [`budget`]: how often a host is asked.
//! * [`request`]: one request, its deadline, redirects and further attempts.
//! * [`words`]: what is told of an answer that is no success.

pub(crate) mod budget;
pub(crate) mod request;
pub(crate) mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use credentials::Secret;
use reqwest::header::HeaderValue;
use url::Url;

use crate::error::ForgeError;
use budget::Budget;

/// Hosts that are remembered.
const MAX_HOSTS: usize = 1_000;

/// How requests are bounded.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The longest that one attempt may take, body included.
    pub(crate) request_timeout: Duration,
    /// The wait before a read's second attempt; three times that before the
    /// third.
    pub(crate) retry_delay: Duration,
    /// Requests a second and host.
    pub(crate) requests_per_second: u32,
}

/// Connections and budgets of the process.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) bounds: Bounds,
    checked: reqwest::Client,
    /// Made when first asked for.
    unchecked: OnceLock<Option<reqwest::Client>>,
    budgets: Mutex<HashMap<String, Arc<Budget>>>,
}

impl Http {
    pub(crate) fn new(bounds: Bounds) -> Result<Self, ForgeError> {
        // The process's provider; where one is installed already it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let checked = build(&bounds, false).map_err(|e| {
            ForgeError::Unexpected(format!("HTTPS cannot be set up: {}", words::told(&e)))
        })?;
        Ok(Self { checked, unchecked: OnceLock::new(), bounds, budgets: Mutex::default() })
    }

    fn client(&self, insecure: bool) -> &reqwest::Client {
        if !insecure {
            return &self.checked;
        }
        let unchecked = self.unchecked.get_or_init(|| build(&self.bounds, true).ok());
        // Without it certificates are checked after all.
        unchecked.as_ref().unwrap_or(&self.checked)
    }

    fn budget(&self, host: &str) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= MAX_HOSTS && !budgets.contains_key(host) {
            budgets.clear();
        }
        let budget = budgets
            .entry(host.to_owned())
            .or_insert_with(|| Arc::new(Budget::new(self.bounds.requests_per_second)));
        Arc::clone(budget)
    }
}

fn build(bounds: &Bounds, insecure: bool) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("supercargo/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10).min(bounds.request_timeout))
        .timeout(bounds.request_timeout)
        .pool_max_idle_per_host(4)
        .tls_danger_accept_invalid_certs(insecure)
        // Followed by hand, at the same host only.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Authorization: Bearer <token>`.
    Bearer,
    /// `Authorization: token <token>`.
    Token,
    /// `PRIVATE-TOKEN: <token>`.
    PrivateToken,
    /// `Authorization: Basic` of an empty user name and the token.
    Basic,
}

impl Scheme {
    /// The header's name and value.
    fn header(self, token: &Secret) -> Option<(&'static str, HeaderValue)> {
        use base64::Engine;
        let (name, text) = match self {
            Self::Bearer => ("authorization", format!("Bearer {}", token.expose())),
            Self::Token => ("authorization", format!("token {}", token.expose())),
            Self::PrivateToken => ("private-token", token.expose().to_owned()),
            Self::Basic => {
                let pair = format!(":{}", token.expose());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                ("authorization", format!("Basic {encoded}"))
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// A provider's API, as the holder of one token sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Arc<Http>,
    budget: Arc<Budget>,
    /// By its public name, for messages.
    public: Url,
    /// Where it is asked.
    asked: Url,
    scheme: Scheme,
    token: Option<Secret>,
    /// Which Secret the token is from.
    source: Option<String>,
    insecure: bool,
    /// Sent with every request.
    headers: Vec<(&'static str, &'static str)>,
    /// Sent with every request.
    query: Vec<(&'static str, String)>,
}

/// What an [`Api`] is made of.
pub(crate) struct ApiParts {
    pub(crate) http: Arc<Http>,
    pub(crate) public: Url,
    pub(crate) asked: Url,
    pub(crate) scheme: Scheme,
    pub(crate) token: Option<Secret>,
    pub(crate) source: Option<String>,
    pub(crate) insecure: bool,
}

impl Api {
    pub(crate) fn new(parts: ApiParts) -> Self {
        let ApiParts { http, public, asked, scheme, token, source, insecure } = parts;
        let host = host_and_port(&public);
        let budget = http.budget(&host);
        let token = token.filter(|t| !t.is_empty());
        Self {
            http,
            budget,
            public,
            asked,
            scheme,
            token,
            source,
            insecure,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }

    /// With a header that goes with every request.
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a parameter that goes with every request.
    pub(crate) fn with_query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    /// The host by its public name.
    pub(crate) fn host(&self) -> String {
        host_and_port(&self.public)
    }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
