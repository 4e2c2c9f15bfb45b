//! GitHub Apps (`credentials` 6.5): a token of the App's installation, good for
//! one repository and one hour.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde::Deserialize;
use serde_json::json;

use crate::credential::{CredentialKind, Login, StoredSecret, bounded};
use crate::error::{ErrorClass, Unusable};
use crate::secret::{Masker, Secret};
use crate::select::Asked;
use crate::token_cache::{Loaded, Minted, Now, Terms};
use crate::transport::{TokenAnswer, TokenRequest, Transport};

use super::{Mint, Plan, cache_key, decode_base64, jwt};

/// A mint, four looks whether the token works, and the pauses between them.
pub(super) const TERMS: Terms =
    Terms { limit: Duration::from_secs(93), default_ttl: SignedDuration::from_mins(40) };

/// The pauses between looks whether a new token works.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(10);

/// What GitHub's `Retry-After` may cost us at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The annotation that says which Project may use which repositories.
const SCOPES: &str = "kargo.akuity.io/github-token-scopes";

/// The user name that goes with a token.
const USERNAME: &str = "kargo";

/// An App's installation and the repository that a token is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The App's client ID, or its number.
    app: String,
    installation: i64,
    /// PEM.
    key: Secret,
    /// The repository's name.
    repository: String,
    /// Where GitHub's API is, without a slash at the end.
    api: String,
    /// Owner and repository, where the URL has just these.
    path: Option<String>,
    cache_key: String,
}

/// Whether any of its keys is there.
pub(super) fn mentioned(secret: &StoredSecret) -> bool {
    secret.data.keys().any(|key| key.starts_with("githubApp") && secret.filled(key))
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn app_id(secret: &StoredSecret) -> &str {
    match secret.text("githubAppClientID") {
        "" => secret.text("githubAppID"),
        id => id,
    }
}

/// Whether the Secret has all of an App, and the repository is asked by HTTP.
pub(super) fn supports(url: &str, secret: &StoredSecret) -> bool {
    is_web(url)
        && !app_id(secret).is_empty()
        && secret.filled("githubAppInstallationID")
        && secret.filled("githubAppPrivateKey")
}

/// Why an App that is there cannot be used.
pub(super) fn unsuitable(asked: &Asked, secret: &StoredSecret) -> String {
    if asked.kind != CredentialKind::Git {
        return "a GitHub App serves Git repositories only; label the Secret git".to_owned();
    }
    if !is_web(&asked.normalized) {
        return "a GitHub App serves https:// URLs only; write the repository's URL so".to_owned();
    }
    let mut absent = Vec::new();
    if app_id(secret).is_empty() {
        absent.push("githubAppClientID");
    }
    absent.extend(
        ["githubAppInstallationID", "githubAppPrivateKey"].iter().filter(|key| !secret.filled(key)),
    );
    format!("it lacks {}; add it", absent.join(" and "))
}

/// Where the API of the GitHub is that serves a normalised URL.
fn api_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(match (scheme, host) {
        ("https", "github.com") => "https://api.github.com".to_owned(),
        _ if host.starts_with("api.") || host.contains(".api.") => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}/api/v3"),
    })
}

/// What is to be minted for a normalised URL.
pub(super) fn plan(project: &str, url: &str, secret: &StoredSecret) -> Result<Plan, Unusable> {
    let segments: Vec<&str> = url.split('/').collect();
    let (Some(repository), Some(api), true) = (segments.last(), api_of(url), segments.len() >= 5)
    else {
        return Ok(Plan::Nothing(
            "its GitHub App serves repositories, https://host/owner/name, only".to_owned(),
        ));
    };
    let scopes = secret.annotations.get(SCOPES).map_or("", String::as_str);
    if !scopes.is_empty() {
        let scopes: Option<std::collections::BTreeMap<String, Option<Vec<String>>>> =
            serde_json::from_str(scopes).map_err(|e| {
                Unusable::config(format!(
                    "error unmarshaling scope map: {e}; annotation {SCOPES} is written as {{\"project\": [\"repository\"]}}"
                ))
            })?;
        let allowed = scopes.as_ref().and_then(|scopes| scopes.get(project)?.as_ref());
        if !allowed.is_some_and(|allowed| allowed.iter().any(|name| name == repository)) {
            return Ok(Plan::Nothing(format!(
                "its annotation {SCOPES} does not give repository {} to Project {project}; names there are in lower case",
                bounded(repository, 100)
            )));
        }
    }
    let written = secret.text("githubAppInstallationID");
    let installation: i64 = written.parse().map_err(|_| {
        Unusable::config(format!(
            "error parsing installation ID: {:?} in githubAppInstallationID is no number; it is the last part of the installation's address at GitHub",
            bounded(written, 40)
        ))
    })?;
    let app = app_id(secret).to_owned();
    let stored = secret.text("githubAppPrivateKey");
    let key = private_key(stored)?;
    jwt::rsa_key(key.expose().as_bytes())
        .map_err(|wrong| Unusable::config(format!("its githubAppPrivateKey {wrong}")))?;
    let path = match segments.get(3..) {
        Some([owner, name]) if !owner.is_empty() && !name.contains(['?', '#']) => {
            Some(format!("{owner}/{name}"))
        }
        _ => None,
    };
    let cache_key = cache_key(&[&app, written, stored, url]);
    let repository = (*repository).to_owned();
    Ok(Plan::Mint(Mint::Github(Installation {
        app,
        installation,
        key,
        repository,
        api,
        path,
        cache_key,
    })))
}

/// The key in PEM, from PEM or from base64 of it.
fn private_key(stored: &str) -> Result<Secret, Unusable> {
    static LIKE_BASE64: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^[a-zA-Z0-9+/]*={0,2}$").ok());
    if let Some(decoded) = decode_base64(stored) {
        return Ok(Secret::new(String::from_utf8_lossy(&decoded)));
    }
    let joined: String = stored.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    if LIKE_BASE64.as_ref().is_some_and(|like| like.is_match(&joined)) {
        return Err(Unusable::config(
            "probable corrupt base64 encoding of private key; base64 encoding this key is no longer required and is discouraged: put the PEM text into githubAppPrivateKey",
        ));
    }
    Ok(Secret::new(stored))
}

#[derive(Deserialize)]
struct TokenBody {
    #[serde(default)]
    token: String,
    expires_at: Option<Timestamp>,
}

impl Installation {
    pub(super) fn cache_key(&self) -> &str {
        &self.cache_key
    }

    /// Mints a token and waits, within bounds, until GitHub takes it.
    pub(super) async fn mint(self, http: &dyn Transport, now: &Now) -> Loaded {
        let minted = self
            .ask_for_token(http, now)
            .await
            .map_err(|e| e.after("error minting installation access token"))?;
        let token = Secret::new(minted.token);
        if !token.is_empty() {
            self.await_use(http, now, &token).await;
        }
        let login = Login::Basic { username: USERNAME.to_owned(), password: token };
        Ok(Some(Minted { login, expires: minted.expires_at }))
    }

    /// The App's own token: good for ten minutes, its start a minute ago since
    /// clocks differ.
    fn app_token(&self, now: Timestamp) -> Result<Secret, Unusable> {
        let wrong = |wrong: &str| Unusable::config(format!("its githubAppPrivateKey {wrong}"));
        let key = jwt::rsa_key(self.key.expose().as_bytes()).map_err(wrong)?;
        let issued = now.as_second() - 60;
        let claims = json!({"exp": issued + 600, "iat": issued, "iss": self.app});
        jwt::sign(&key, "", &claims).map_err(wrong)
    }

    async fn ask_for_token(&self, http: &dyn Transport, now: &Now) -> Result<TokenBody, Unusable> {
        let url = format!("{}/app/installations/{}/access_tokens", self.api, self.installation);
        let bearer = Secret::new(format!("Bearer {}", self.app_token(now())?.expose()));
        let body = Secret::new(json!({"repositories": [self.repository]}).to_string());
        let request = TokenRequest::post(&url, "application/json", body)
            .header("accept", "application/vnd.github+json".to_owned())
            .header("authorization", bearer.clone());
        let answer = send(http, now, request).await?;
        if !answer.is_success() {
            return Err(refusal(&url, &answer, now(), &bearer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| {
            Unusable::new(ErrorClass::Transient, format!("{url} answered with something else"))
        })
    }

    /// Returns when GitHub takes the token for the repository. A new token may
    /// take its time to be known everywhere; after the last look it is used as
    /// it is.
    async fn await_use(&self, http: &dyn Transport, now: &Now, token: &Secret) {
        let Some(path) = &self.path else { return };
        let url = format!("{}/repos/{path}", self.api);
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = TokenRequest::get(&url)
                .header("accept", "application/vnd.github+json".to_owned())
                .header("authorization", format!("Bearer {}", token.expose()));
            let look = tokio::time::timeout(LOOK, send(http, now, request)).await;
            // A redirect means that the repository was found under a new name.
            if matches!(&look, Ok(Ok(answer)) if (200..400).contains(&answer.status)) {
                return;
            }
            let Some(pause) = pauses.next() else {
                tracing::info!(
                    repository = path,
                    "GitHub does not take the new token for this repository yet; it is used all the same"
                );
                return;
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Sends it, once more where GitHub asks to wait.
async fn send(
    http: &dyn Transport,
    now: &Now,
    request: TokenRequest,
) -> Result<TokenAnswer, Unusable> {
    let silence = |reason: String| {
        Unusable::new(ErrorClass::Transient, format!("no answer from {}: {reason}", request.url))
    };
    let answer = http.send(request.clone()).await.map_err(silence)?;
    let Some(wait) = asked_to_wait(&answer, now()) else { return Ok(answer) };
    tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
    http.send(request.clone()).await.map_err(silence)
}

/// How long GitHub asks to wait, where it does.
fn asked_to_wait(answer: &TokenAnswer, now: Timestamp) -> Option<Duration> {
    let retry_after = answer.header("retry-after").and_then(|text| {
        text.trim().parse().map(Duration::from_secs).ok().or_else(|| {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
            Some(until(at, now))
        })
    });
    // Every answer tells when the budget is renewed; it matters when it is spent.
    let spent = answer.header("x-ratelimit-remaining").is_none_or(|left| left.trim() == "0");
    let reset = || {
        let second = answer.header("x-ratelimit-reset")?.trim().parse().ok()?;
        Some(until(Timestamp::from_second(second).ok()?, now))
    };
    let wait = retry_after.or_else(|| spent.then(reset).flatten());
    match answer.status {
        429 => Some(wait.unwrap_or(Duration::from_secs(1))),
        403 => wait,
        _ => None,
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// What GitHub's refusal to mint a token means.
fn refusal(url: &str, answer: &TokenAnswer, now: Timestamp, bearer: &Secret) -> Unusable {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        message: String,
    }
    let mut masker = Masker::new();
    masker.add(&Secret::new(bearer.expose().trim_start_matches("Bearer ")));
    let said = serde_json::from_slice::<Body>(&answer.body)
        .map(|body| format!(": {}", bounded(&masker.mask(&body.message), 200)))
        .unwrap_or_default();
    let (class, check) = match (asked_to_wait(answer, now), answer.status) {
        (Some(retry_after), _) => {
            (ErrorClass::RateLimited { retry_after }, "it is asked again later")
        }
        (_, 401) => (
            ErrorClass::Auth,
            "check that githubAppClientID and githubAppPrivateKey are of one App, and the clock",
        ),
        (_, 403 | 404) => {
            (ErrorClass::Auth, "check githubAppInstallationID, and that the App is still installed")
        }
        (_, 422) => (ErrorClass::Auth, "check that the App is installed for this repository"),
        (_, 500..) => (ErrorClass::Transient, "it is asked again later"),
        _ => (ErrorClass::Transient, "check the repository's address"),
    };
    Unusable::new(class, format!("{url} answered {}{said}; {check}", answer.status))
}

#[cfg(test)]
#[path = "github_app_tests.rs"]
mod tests;
