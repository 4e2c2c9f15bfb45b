//! What is told of a request that failed: the public names, the status, what
//! the registry said, and what to check. Never a mirror's address, never a
//! secret.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credentials::{Masker, Secret};
use reqwest::StatusCode;
use serde::Deserialize;

use super::line::is_certificate;
use super::request::{LARGEST_SMALL, read};
use super::turns::LONGEST_PAUSE;
use crate::error::{Error, ErrorClass, Refusal, Silence};

/// What serves repositories of images.
pub(super) const REGISTRY: &str = "container registry";

/// Who is asked for what, for messages.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The host by its public name.
    pub(super) host: String,
    /// What is asked for, for example a repository.
    pub(super) what: String,
    /// The Secret of the credential.
    pub(super) source: Option<String>,
    /// The credential's type, `image` or `helm`.
    pub(super) kind: &'static str,
    /// What the host should be.
    pub(super) server: &'static str,
    /// Whether a mirror is asked in its place.
    pub(super) through_mirror: bool,
}

impl Subject {
    /// What an error's body says, as `: CODE: message`.
    pub(super) async fn said(
        response: reqwest::Response,
        login: Option<&(String, Secret)>,
    ) -> String {
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
        let text = masker(login).mask(&text);
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(300).collect();
        if line.is_empty() { line } else { format!(": {line}") }
    }

    /// A request that got no answer.
    pub(super) fn lost(&self, method: &str, url: String, error: &reqwest::Error) -> Error {
        let host = &self.host;
        if is_certificate(error) {
            return self.silence(
                method,
                url,
                told(error),
                format!(
                    "give the controller the authority that signed {host}'s certificate, or set insecureSkipTLSVerify"
                ),
                ErrorClass::Config,
            );
        }
        if error.is_redirect() {
            let check = format!("check that {host} is the right {}", self.server);
            return self.silence(method, url, told(error), check, ErrorClass::Config);
        }
        self.silence(method, url, told(error), self.reachable(), ErrorClass::Transient)
    }

    /// A request that was not sent because the last ones got no answer.
    pub(super) fn broken(&self, method: &str, url: String, wait: Duration, reason: &str) -> Error {
        let reason = format!("{reason}; it is asked again in {} s", wait.as_secs().max(1));
        self.silence(method, url, reason, self.reachable(), ErrorClass::Transient)
    }

    fn reachable(&self) -> String {
        let Self { host, .. } = self;
        format!(
            "check that {host} is the right {} and that the controller can reach it (name, port, proxy, firewall, certificate)",
            self.server.rsplit(' ').next().unwrap_or_default()
        )
    }

    pub(super) fn silence(
        &self,
        method: &str,
        url: String,
        reason: String,
        check: String,
        class: ErrorClass,
    ) -> Error {
        let at = if self.through_mirror { " (through the mirror that is set for it)" } else { "" };
        Error::NoAnswer(Box::new(Silence {
            method: known(method),
            url,
            host: format!("{}{at}", self.host),
            reason,
            check,
            class,
        }))
    }

    /// An answer that is no success.
    pub(super) fn refusal(
        &self,
        method: &str,
        url: String,
        status: StatusCode,
        said: String,
        wait: Option<Duration>,
    ) -> Refusal {
        let Self { host, what, kind, server, .. } = self;
        let is_repository = *server == REGISTRY;
        let thing = if is_repository { format!("the repository {what}") } else { what.clone() };
        let (class, check) = match status.as_u16() {
            401 | 403 => (
                ErrorClass::Auth,
                match &self.source {
                    Some(source) => format!(
                        "{host} refused the credential of {source}: check its username and password, and that they may pull {what}"
                    ),
                    None => format!(
                        "no credential was found: if {what} is private, make a Secret labelled kargo.akuity.io/cred-type: {kind} in the Project for it; else check the repository's name"
                    ),
                },
            ),
            404 => (
                ErrorClass::NotFound,
                format!(
                    "check that {thing} exists at {host} and holds what was asked for{}",
                    if self.source.is_none() {
                        "; some registries answer so for a private repository that is asked for without a credential"
                    } else {
                        ""
                    }
                ),
            ),
            429 => {
                let wait = wait.unwrap_or(Duration::from_secs(30)).min(LONGEST_PAUSE);
                (
                    ErrorClass::RateLimited { retry_after: wait },
                    format!(
                        "{host} wants fewer requests; asking again in {} s",
                        wait.as_secs().max(1)
                    ),
                )
            }
            408 | 499 | 500..=599 => match wait {
                Some(wait) => (
                    ErrorClass::RateLimited { retry_after: wait.min(LONGEST_PAUSE) },
                    format!("{host} has trouble; asking again in {} s", wait.as_secs().max(1)),
                ),
                None => {
                    (ErrorClass::Transient, format!("{host} has trouble; asking again by and by"))
                }
            },
            _ => (ErrorClass::Config, format!("check that {host} is a {server} and holds {thing}")),
        };
        Refusal { method: known(method), url, status: status.to_string(), said, check, class }
    }
}

/// Knows a login's password, and the pair as it is sent.
fn masker(login: Option<&(String, Secret)>) -> Masker {
    let mut masker = Masker::new();
    if let Some((username, password)) = login {
        masker.add(password);
        let pair = format!("{username}:{}", password.expose());
        masker.add(&Secret::new(STANDARD_NO_PAD.encode(pair)));
    }
    masker
}

fn known(method: &str) -> &'static str {
    if method == "HEAD" { "HEAD" } else { "GET" }
}

/// What the network said, without the address, which may be a mirror's.
pub(super) fn told(error: &reqwest::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_repeats_of_a_password_is_not_shown() {
        let login = ("robots".to_owned(), Secret::new("p@ss/word"));
        let said = "p@ss/word p%40ss%2Fword Basic cm9ib3RzOnBAc3Mvd29yZA== robots";
        assert_eq!(masker(Some(&login)).mask(said), "*** *** Basic ***== robots");
        assert_eq!(masker(None).mask(said), said);
    }
}
