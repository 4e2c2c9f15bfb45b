//! How a registry wants to be shown who asks: challenges, and the tokens that
//! were got for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use credentials::Secret;
use serde::Deserialize;
use tokio::time::Instant;

/// Tokens that one session remembers.
const TOKENS: usize = 1000;
/// How long a token is good when its answer does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A token that ends sooner is got anew.
const MARGIN: Duration = Duration::from_secs(10);

/// A token is got anew after that time at the latest.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a `WWW-Authenticate` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and password with each request.
    Basic,
    /// A token of `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first Basic or Bearer challenge of the headers' values.
    pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers.filter_map(Self::read).next()
    }

    fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |key: &str| parameters.get(key).cloned().filter(|v| !v.is_empty());
        Some(Self::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }
}

/// `key="value"` pairs separated by commas; commas in quotes are part of the
/// value.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some((value, tail)) => (value, tail),
                None => (quoted, ""),
            },
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        if found.len() > 16 {
            break;
        }
        rest = tail.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

/// A token server's answer.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl TokenAnswer {
    /// The token and how long it is good.
    pub(super) fn token(self) -> Option<(Secret, Duration)> {
        let token =
            [self.access_token, self.token].into_iter().flatten().find(|t| !t.is_empty())?;
        let lifetime = self.expires_in.filter(|s| *s > 0).map(Duration::from_secs);
        Some((Secret::new(token), lifetime.unwrap_or(DEFAULT_LIFETIME)))
    }
}

/// What a session knows about how it is to present itself.
#[derive(Default)]
pub(super) enum Scheme {
    /// Nothing was asked for yet.
    #[default]
    Unknown,
    /// The registry lets anybody in, or wants a name and password.
    Basic,
    /// Tokens of that realm.
    Bearer { realm: String, service: Option<String> },
}

/// A token and when it ends. Who gets one holds the lock meanwhile, so that
/// others for the same scope wait for it and not for those of other scopes.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// A session's scheme and tokens.
#[derive(Default)]
pub(super) struct AuthState {
    pub(super) scheme: Scheme,
    tokens: HashMap<String, Slot>,
}

impl AuthState {
    /// The place of a scope's token.
    pub(super) fn slot(&mut self, scope: &str) -> Slot {
        if self.tokens.len() >= TOKENS && !self.tokens.contains_key(scope) {
            self.tokens.clear();
        }
        Arc::clone(self.tokens.entry(scope.to_owned()).or_default())
    }
}

/// A token that was got.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: Secret,
    until: Instant,
}

impl Token {
    /// A token that is good for so long, less a margin.
    pub(super) fn new(value: Secret, lifetime: Duration, now: Instant) -> Self {
        let lifetime = lifetime.min(LONGEST_LIFETIME);
        Self { value, until: now + lifetime - MARGIN.min(lifetime / 2) }
    }

    pub(super) fn is_good(&self, now: Instant) -> bool {
        self.until > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |scope: Option<&str>| Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: scope.map(str::to_owned),
        };
        for (headers, expected) in [
            (
                vec![
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                ],
                Some(bearer(Some("repository:a/b:pull,push"))),
            ),
            (
                vec![
                    "Negotiate",
                    r#"bearer service=registry.docker.io, realm="https://auth.docker.io/token""#,
                ],
                Some(bearer(None)),
            ),
            (vec![r#"Basic realm="x""#], Some(Challenge::Basic)),
            (vec!["Basic"], Some(Challenge::Basic)),
            (vec!["Bearer service=\"x\""], None),
            (vec!["Digest realm=\"x\""], None),
            (vec![], None),
        ] {
            assert_eq!(Challenge::parse(headers.iter().copied()), expected, "{headers:?}");
        }
    }

    #[test]
    fn tokens_end_before_the_registry_thinks_so() {
        let now = Instant::now();
        let answer: TokenAnswer =
            serde_json::from_str(r#"{"token":"a","access_token":"b","expires_in":60}"#).unwrap();
        let (value, lifetime) = answer.token().unwrap();
        assert_eq!(value.expose(), "b");
        let token = Token::new(value, lifetime, now);
        assert!(token.is_good(now + Duration::from_secs(49)));
        assert!(!token.is_good(now + Duration::from_secs(51)));
        let for_ever = Token::new(Secret::new("x"), Duration::from_secs(u64::MAX), now);
        assert!(!for_ever.is_good(now + Duration::from_secs(25 * 3600)));
        let empty: TokenAnswer = serde_json::from_str("{}").unwrap();
        assert!(empty.token().is_none());
    }
}
