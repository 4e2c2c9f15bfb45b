//! The way to a repository at a provider, from its URL.

use std::sync::Arc;
use std::time::Duration;

use credentials::Secret;
use url::Url;

use crate::Forge;
use crate::address::Address;
use crate::azure::Azure;
use crate::bitbucket_cloud::BitbucketCloud;
use crate::bitbucket_data_center::BitbucketDataCenter;
use crate::commits::Commits;
use crate::error::ForgeError;
use crate::gitea::Gitea;
use crate::github::GitHub;
use crate::gitlab::GitLab;
use crate::http::{Api, ApiParts, Bounds, Http, Scheme};
use crate::provider::Provider;

/// API addresses that begin with `public` are asked for with `actual` in its
/// place. Messages keep the public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRewrite {
    /// The beginning of a public address, for example `https://git.example.com/`.
    pub public: String,
    /// What is asked instead, for example `http://127.0.0.1:3000/`.
    pub actual: String,
}

/// What all access to providers follows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// APIs that are asked at another address.
    pub rewrites: Vec<AddressRewrite>,
    /// Requests a second and host, at least 1; unused time adds up to 20.
    pub requests_per_second: u32,
    /// The longest that one attempt of a request may take, body included.
    pub request_timeout: Duration,
    /// The wait before a read's second attempt; three times that before the
    /// third.
    pub retry_delay: Duration,
    /// The pause between two looks at a merge that a provider does by and by;
    /// ten looks are made.
    pub merge_look: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rewrites: Vec::new(),
            requests_per_second: 10,
            request_timeout: Duration::from_secs(30),
            retry_delay: Duration::from_millis(500),
            merge_look: Duration::from_secs(1),
        }
    }
}

/// Which repository, and as whom.
#[derive(Clone, Debug, Default)]
pub struct OpenRequest {
    /// The repository's URL, as Git takes it.
    pub url: String,
    /// The provider's name; by the URL where absent.
    pub provider: Option<String>,
    /// The token to present; none for anonymous access.
    pub token: Option<Secret>,
    /// Which Secret the token is from, for messages.
    pub source: Option<String>,
    /// Whether certificates are not checked. Azure and Bitbucket Cloud always
    /// are.
    pub insecure_skip_tls_verify: bool,
}

/// Opens repositories at providers.
pub trait Forges: Send + Sync {
    /// The repository at its provider. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ForgeError::Config`]: no provider, or a URL that is not of its shape.
    fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Forge>, ForgeError>;

    /// The commits of a repository at GitHub. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ForgeError::Config`]: a URL that is not of GitHub's shape, or a way to
    /// providers that makes no commits.
    fn commits(&self, request: &OpenRequest) -> Result<Arc<dyn Commits>, ForgeError> {
        let _ = request;
        Err(ForgeError::Config("no commits can be made at Git providers here".to_owned()))
    }
}

/// Providers by their HTTP APIs. One for the process: connections and budgets
/// are shared.
#[derive(Clone, Debug)]
pub struct HttpForges {
    http: Arc<Http>,
    settings: Settings,
}

impl HttpForges {
    /// With these settings.
    ///
    /// # Errors
    /// A TLS set-up that cannot be had.
    pub fn new(settings: Settings) -> Result<Self, ForgeError> {
        let bounds = Bounds {
            request_timeout: settings.request_timeout,
            retry_delay: settings.retry_delay,
            requests_per_second: settings.requests_per_second,
        };
        Ok(Self { http: Arc::new(Http::new(bounds)?), settings })
    }

    fn api(
        &self,
        base: &str,
        scheme: Scheme,
        request: &OpenRequest,
        insecure: bool,
    ) -> Result<Api, ForgeError> {
        let wrong = |what: &str| ForgeError::Config(format!("{what:?} is no address of an API"));
        let public = Url::parse(base).map_err(|_| wrong(base))?;
        let actual = self.rewritten(base);
        let asked = Url::parse(&actual).map_err(|_| wrong(&actual))?;
        if asked.host_str().is_none() {
            return Err(wrong(base));
        }
        Ok(Api::new(ApiParts {
            http: Arc::clone(&self.http),
            public,
            asked,
            scheme,
            token: request.token.clone(),
            source: request.source.clone(),
            insecure,
        }))
    }

    fn github(&self, address: &Address, request: &OpenRequest) -> Result<GitHub, ForgeError> {
        let (scheme, host) = (address.scheme, address.host.as_str());
        let (owner, name) = address.owner_and_name()?;
        let base = if address.hostname() == "github.com" {
            "https://api.github.com/".to_owned()
        } else if host.starts_with("api.") || host.contains(".api.") {
            format!("{scheme}://{host}/")
        } else {
            format!("{scheme}://{host}/api/v3/")
        };
        let api = self.api(&base, Scheme::Bearer, request, request.insecure_skip_tls_verify)?;
        Ok(GitHub::new(api, owner, name))
    }

    /// The address to ask; of several rewrites the longest beginning wins.
    fn rewritten(&self, base: &str) -> String {
        let rewrite = self
            .settings
            .rewrites
            .iter()
            .filter(|r| base.starts_with(&r.public))
            .max_by_key(|r| r.public.len());
        match rewrite {
            Some(rewrite) => {
                let rest = base.get(rewrite.public.len()..).unwrap_or_default();
                format!("{}{rest}", rewrite.actual)
            }
            None => base.to_owned(),
        }
    }
}

impl Forges for HttpForges {
    fn commits(&self, request: &OpenRequest) -> Result<Arc<dyn Commits>, ForgeError> {
        Ok(Arc::new(self.github(&Address::parse(&request.url)?, request)?))
    }

    fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Forge>, ForgeError> {
        let provider = Provider::choose(request.provider.as_deref(), &request.url)?;
        let address = Address::parse(&request.url)?;
        let (scheme, host) = (address.scheme, address.host.as_str());
        let insecure = request.insecure_skip_tls_verify;
        Ok(match provider {
            Provider::GitHub => Arc::new(self.github(&address, request)?),
            Provider::GitLab => {
                let project = address.path.join("/");
                if address.path.iter().any(String::is_empty) {
                    return Err(address.wrong_shape("https://host/group/…/project"));
                }
                let base = format!("{scheme}://{host}/api/v4");
                let api = self.api(&base, Scheme::PrivateToken, request, insecure)?;
                Arc::new(GitLab::new(api, project))
            }
            Provider::Gitea => {
                let (owner, name) = address.owner_and_name()?;
                let base = format!("{scheme}://{host}/api/v1");
                let api = self.api(&base, Scheme::Token, request, insecure)?;
                Arc::new(Gitea::new(api, owner, name))
            }
            Provider::Azure => {
                let place = crate::azure::Place::of(&address)?;
                if request.token.as_ref().is_none_or(Secret::is_empty) {
                    return Err(ForgeError::Config(
                        "token is required for Azure DevOps provider".to_owned(),
                    ));
                }
                let insecure = insecure && !place.is_cloud;
                let api = self.api(&place.base, Scheme::Basic, request, insecure)?;
                Arc::new(Azure::new(api, place, self.settings.merge_look))
            }
            Provider::Bitbucket if address.hostname() == "bitbucket.org" => {
                let (owner, name) = address.owner_and_name()?;
                let base = "https://api.bitbucket.org/2.0";
                let api = self.api(base, Scheme::Bearer, request, false)?;
                Arc::new(BitbucketCloud::new(api, owner, name, self.settings.merge_look))
            }
            Provider::Bitbucket => {
                let place = crate::bitbucket_data_center::Place::of(&address)?;
                let api = self.api(&place.base, Scheme::Bearer, request, insecure)?;
                Arc::new(BitbucketDataCenter::new(api, place))
            }
        })
    }
}
