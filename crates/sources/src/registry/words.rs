//! What is told of a request that failed: the public names, the status, what
//! the registry said, and what to check. Never a mirror's address, never a
//! secret.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credentials::{Masker, Secret};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::repository::Repository;
use super::request::{Ask, LARGEST_SMALL, LONGEST_CLOSED, read};
use crate::error::{Error, ErrorClass, Refusal, Silence};

impl Repository {
    /// The address of something in this repository by its public name.
    pub(super) fn public(&self, path: &str) -> String {
        format!("https://{}/v2/{}/{path}", self.address.registry(), self.address.repository())
    }

    /// A token server's address for people: of a mirror, the public registry's.
    pub(super) fn shown_realm(&self, realm: &Url, base: &Url) -> String {
        if realm.host_str() == base.host_str() && realm.port() == base.port() {
            format!("https://{}{}", self.address.registry(), realm.path())
        } else {
            format!("{}{}", realm.origin().ascii_serialization(), realm.path())
        }
    }

    /// What an error's body says, as `: CODE: message`.
    pub(super) async fn said(&self, response: reqwest::Response) -> String {
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
        let text = masker(self.session.login.as_ref()).mask(&text);
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(300).collect();
        if line.is_empty() { line } else { format!(": {line}") }
    }

    pub(super) fn lost(&self, ask: &Ask<'_>, error: &reqwest::Error) -> Error {
        self.no_answer(method(&ask.method), self.public(&ask.path), told(error))
    }

    pub(super) fn no_answer(&self, method: &'static str, url: String, reason: String) -> Error {
        let host = self.address.registry();
        let mirror = self.client.settings().mirrors.of(host);
        let at =
            mirror.map_or(String::new(), |_| " (through the mirror that is set for it)".to_owned());
        Error::NoAnswer(Box::new(Silence {
            method,
            url,
            host: format!("{host}{at}"),
            reason,
            check: format!(
                "check that {host} is the right registry and that the controller can reach it (name, port, proxy, firewall, certificate)"
            ),
        }))
    }

    pub(super) fn answer_error(
        &self,
        ask: &Ask<'_>,
        status: StatusCode,
        said: String,
        wait: Option<Duration>,
    ) -> Error {
        Error::Answer(Box::new(self.refusal(ask, status, said, wait)))
    }

    pub(super) fn refusal(
        &self,
        ask: &Ask<'_>,
        status: StatusCode,
        said: String,
        wait: Option<Duration>,
    ) -> Refusal {
        let (registry, repository) = (self.address.registry(), self.address.repository());
        let (class, check) = match status.as_u16() {
            401 | 403 => (
                ErrorClass::Auth,
                match &self.session.source {
                    Some(source) => format!(
                        "{registry} refused the credential of {source}: check its username and password, and that they may pull {repository}"
                    ),
                    None => format!(
                        "no credential was found: if {repository} is private, make a Secret labelled kargo.akuity.io/cred-type: image in the Project for it; else check the repository's name"
                    ),
                },
            ),
            404 => (
                ErrorClass::NotFound,
                format!(
                    "check that the repository {repository} exists at {registry} and holds what was asked for{}",
                    if self.session.source.is_none() {
                        "; some registries answer so for a private repository that is asked for without a credential"
                    } else {
                        ""
                    }
                ),
            ),
            429 => {
                let wait = wait.unwrap_or(Duration::from_secs(30)).min(LONGEST_CLOSED);
                (
                    ErrorClass::RateLimited { retry_after: wait },
                    format!(
                        "{registry} wants fewer requests; asking again in {} s",
                        wait.as_secs().max(1)
                    ),
                )
            }
            408 | 499 | 500..=599 => match wait {
                Some(wait) => (
                    ErrorClass::RateLimited { retry_after: wait.min(LONGEST_CLOSED) },
                    format!("{registry} has trouble; asking again in {} s", wait.as_secs().max(1)),
                ),
                None => (
                    ErrorClass::Transient,
                    format!("{registry} has trouble; asking again by and by"),
                ),
            },
            _ => (
                ErrorClass::Config,
                format!(
                    "check that {registry} is a container registry and {repository} a repository in it"
                ),
            ),
        };
        Refusal {
            method: method(&ask.method),
            url: self.public(&ask.path),
            status: status.to_string(),
            said,
            check,
            class,
        }
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

fn method(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
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
