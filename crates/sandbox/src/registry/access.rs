//! Who may pull and push, and the tokens that say so (the token flow of the
//! distribution protocol: 401 with a realm, a token for a scope, the token as
//! a bearer).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Tokens that are remembered; the oldest goes first.
const TOKENS: usize = 1000;
/// How long a token is good.
const LIFETIME: Duration = Duration::from_secs(300);
/// The `service` of the challenge.
pub(super) const SERVICE: &str = "supercargo-sandbox";

/// Who may pull and push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who sends this name and password with each request.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// Who brings a token of `/token`, which gives one for this name and
    /// password.
    Token {
        /// The name.
        username: String,
        /// The password.
        password: String,
        /// Whether anybody gets a token to pull with, as at Docker Hub.
        anonymous_pull: bool,
    },
}

struct Token {
    value: String,
    /// What it is good for: repository and action (`pull`, `push`).
    grants: Vec<(String, String)>,
    until: Instant,
}

/// The door keeper: checks requests and issues tokens.
pub(super) struct Tokens {
    access: Access,
    issued: Mutex<VecDeque<Token>>,
}

/// What is asked for: an action on a repository, or nothing (`/v2/`).
pub(super) type Wanted<'a> = Option<(&'a str, &'a str)>;

impl Tokens {
    pub(super) fn new(access: Access) -> Self {
        Self { access, issued: Mutex::default() }
    }

    pub(super) fn revoke(&self) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether the `Authorization` header opens the door for `wanted`; else
    /// the challenge to answer with. `host` is the host that was asked.
    pub(super) fn check(
        &self,
        header: Option<&str>,
        wanted: Wanted<'_>,
        host: &str,
    ) -> Result<(), String> {
        match &self.access {
            Access::Open => Ok(()),
            Access::Basic { username, password } => match header.and_then(basic) {
                Some((u, p)) if u == *username && p == *password => Ok(()),
                _ => Err("Basic realm=\"supercargo-sandbox\"".to_owned()),
            },
            Access::Token { .. } => {
                let bearer = header.and_then(|h| strip_scheme(h, "bearer"));
                if bearer.is_some_and(|token| self.is_good(token, wanted)) {
                    return Ok(());
                }
                let mut challenge =
                    format!("Bearer realm=\"http://{host}/token\",service=\"{SERVICE}\"");
                if let Some((repository, action)) = wanted {
                    let actions = if action == "push" { "pull,push" } else { action };
                    challenge.push_str(&format!(",scope=\"repository:{repository}:{actions}\""));
                }
                if bearer.is_some() {
                    challenge.push_str(",error=\"invalid_token\"");
                }
                Err(challenge)
            }
        }
    }

    fn is_good(&self, token: &str, wanted: Wanted<'_>) -> bool {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        issued.iter().filter(|t| t.value == token && t.until > now).any(|t| match wanted {
            None => true,
            Some((repository, action)) => {
                t.grants.iter().any(|(r, a)| r == repository && a == action)
            }
        })
    }

    /// Answers `/token`: the token document, or none where the name and
    /// password are wrong. `scopes` as asked, `repository:<name>:<actions>`.
    pub(super) fn issue(&self, header: Option<&str>, scopes: &[String]) -> Option<Value> {
        let Access::Token { username, password, anonymous_pull } = &self.access else {
            return Some(json!({ "token": "open" }));
        };
        let known = match header.and_then(basic) {
            Some((u, p)) if u == *username && p == *password => true,
            Some(_) => return None,
            None if *anonymous_pull => false,
            None => return None,
        };
        let mut grants = Vec::new();
        for scope in scopes.iter().flat_map(|s| s.split(' ')) {
            let Some((repository, actions)) =
                scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'))
            else {
                continue;
            };
            for action in actions.split(',').filter(|a| known || *a == "pull").take(4) {
                grants.push((repository.to_owned(), action.to_owned()));
            }
        }
        let value = format!("{:032x}", rand::random::<u128>());
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= TOKENS {
            issued.pop_front();
        }
        issued.push_back(Token { value: value.clone(), grants, until: Instant::now() + LIFETIME });
        Some(json!({
            "token": value,
            "access_token": value,
            "expires_in": LIFETIME.as_secs(),
        }))
    }
}

fn strip_scheme<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (name, rest) = header.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then_some(rest.trim())
}

fn basic(header: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(strip_scheme(header, "basic")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}
