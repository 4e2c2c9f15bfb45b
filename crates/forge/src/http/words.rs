//! What is told of an answer that is no success: the public address, the
//! status, what the provider said, and what to check. Never a token.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credentials::{Masker, Secret};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::budget::LONGEST_PAUSE;
use super::request::Ask;
use super::{Api, Scheme};
use crate::error::{ErrorClass, ForgeError, Refusal};

/// The longest text of a provider that is kept, in characters.
const LONGEST_SAID: usize = 300;

/// The pause where a provider refuses for too many requests and says no time.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);

impl Api {
    /// The error of an answer that is no success.
    pub(super) fn refusal(
        &self,
        ask: &Ask<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> ForgeError {
        let said = self.masker().mask(&said(body));
        let now = Timestamp::now();
        let class = class(status, headers, &said, now);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        ForgeError::Refused(Box::new(Refusal {
            method: method(&ask.method),
            url: self.shown(ask),
            code: status.as_u16(),
            status: status.to_string(),
            said,
            check: self.check(class, status),
            class,
        }))
    }

    /// A refusal that is for lack of rights, where the status does not say so.
    pub(crate) fn lacks_rights(&self, error: ForgeError) -> ForgeError {
        match error {
            ForgeError::Refused(refusal) => ForgeError::Refused(Box::new(Refusal {
                class: ErrorClass::Auth,
                check: self.check(ErrorClass::Auth, StatusCode::FORBIDDEN),
                ..*refusal
            })),
            other => other,
        }
    }

    /// What the user can check.
    fn check(&self, class: ErrorClass, status: StatusCode) -> String {
        let host = self.host();
        match class {
            ErrorClass::Auth => match &self.source {
                Some(source) => format!(
                    "{host} refused the token of {source}: check that it is valid and may write pull requests of the repository"
                ),
                None => format!(
                    "no token was found: make a Secret labelled kargo.akuity.io/cred-type: git for the repository, with a password that is a token of {host}"
                ),
            },
            ErrorClass::NotFound => match &self.source {
                Some(source) => format!(
                    "check repoURL, branch and pull request number, and that the token of {source} may see them"
                ),
                None => "check repoURL, branch and pull request number; without a token private repositories look as if they did not exist".to_owned(),
            },
            ErrorClass::RateLimited { retry_after } => {
                format!("{host} wants fewer requests; asking again in {} s", retry_after.as_secs().max(1))
            }
            ErrorClass::Transient => format!("{host} has trouble; asking again by and by"),
            _ if status.is_redirection() || status.is_success() => {
                format!("check that {host} is the provider and that the token is valid")
            }
            _ => "check the step's config and the repository's rules".to_owned(),
        }
    }

    fn masker(&self) -> Masker {
        let mut masker = Masker::new();
        if let Some(token) = &self.token {
            masker.add(token);
            if self.scheme == Scheme::Basic {
                masker.add(&Secret::new(STANDARD_NO_PAD.encode(format!(":{}", token.expose()))));
            }
        }
        masker
    }
}

/// What is to be done about a status.
fn class(status: StatusCode, headers: &HeaderMap, said: &str, now: Timestamp) -> ErrorClass {
    let limited = || ErrorClass::RateLimited {
        retry_after: retry_after(headers, now)
            .or_else(|| exhausted(headers, now))
            .unwrap_or(DEFAULT_PAUSE)
            .min(LONGEST_PAUSE),
    };
    match status.as_u16() {
        // GitHub refuses with 403 and these signs.
        403 if headers.contains_key(RETRY_AFTER)
            || exhausted(headers, now).is_some()
            || said.to_lowercase().contains("rate limit") =>
        {
            limited()
        }
        203 | 401 | 403 => ErrorClass::Auth,
        404 | 410 => ErrorClass::NotFound,
        409 => ErrorClass::Conflict,
        429 => limited(),
        // Bitbucket's 555: the merge took too long and goes on.
        408 | 500..=599 if headers.contains_key(RETRY_AFTER) => limited(),
        408 | 500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Config,
    }
}

/// `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok().map(|d| d.min(LONGEST_PAUSE));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(until(at, now))
}

/// How long a provider will answer no more, where it says so: nothing is left
/// and the time of the reset is given (`X-RateLimit-…` of GitHub and Azure,
/// `RateLimit-…` of GitLab).
pub(super) fn exhausted(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    for prefix in ["x-ratelimit", "ratelimit"] {
        if number(&format!("{prefix}-remaining")) == Some(0) {
            let reset = number(&format!("{prefix}-reset")).unwrap_or_default();
            let at = Timestamp::from_second(reset).unwrap_or(now);
            let wait = until(at, now);
            return (!wait.is_zero()).then_some(wait);
        }
    }
    None
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO).min(LONGEST_PAUSE)
}

/// What an error's body says, in one line: providers put it into `message`,
/// `error`, `errors` or `error_description`, as a text, a list or a table.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut parts = Vec::new();
            collect(&value, 0, &mut parts);
            parts.truncate(5);
            parts.join("; ")
        }
        // A page for browsers says nothing to the one who reads a status.
        Err(_) if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<') => String::new(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text.split(|c: char| c.is_control() || c.is_whitespace()).collect();
    let line = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_SAID).collect()
}

fn collect(value: &Value, depth: usize, parts: &mut Vec<String>) {
    if depth > 4 || parts.len() > 5 {
        return;
    }
    match value {
        Value::String(text) if !text.trim().is_empty() && !parts.contains(text) => {
            parts.push(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth + 1, parts)),
        Value::Object(fields) => {
            let known = ["message", "error", "error_description", "detail", "errors"];
            let before = parts.len();
            for name in known {
                if let Some(inner) = fields.get(name) {
                    collect(inner, depth + 1, parts);
                }
            }
            // GitLab's table of fields and what is wrong with them; GitHub's
            // codes without a message.
            if parts.len() == before && depth > 0 {
                let text = |(name, value): (&String, &Value)| {
                    let value = match value {
                        Value::String(text) => text.clone(),
                        Value::Array(items) => {
                            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
                        }
                        _ => return None,
                    };
                    Some(format!("{name} {value}"))
                };
                let table: Vec<String> = fields.iter().take(4).filter_map(text).collect();
                if !table.is_empty() {
                    parts.push(table.join(", "));
                }
            }
        }
        _ => {}
    }
}

pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    }
}

/// What the network said, without the address, which may be another than the
/// public one.
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
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn what_providers_say_is_one_line() {
        for (body, expected) in [
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"A pull request already exists for o:b."}],"documentation_url":"https://x"}"#,
                "Validation Failed; A pull request already exists for o:b.",
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"}]}"#,
                "Validation Failed; code invalid, field head, resource PullRequest",
            ),
            (r#"{"message":["Another open"]}"#, "Another open"),
            (r#"{"message":{"labels":["is invalid"]}}"#, "labels is invalid"),
            (
                r#"{"error":"insufficient_scope","error_description":"needs more"}"#,
                "insufficient_scope; needs more",
            ),
            (r#"{"type":"error","error":{"message":"Bad","detail":"worse"}}"#, "Bad; worse"),
            (r#"{"errors":[{"context":null,"message":"No","exceptionName":"com.x"}]}"#, "No"),
            ("<html>sign in</html>", ""),
            ("plain\n\ttext", "plain text"),
            ("", ""),
            ("[[[[[[[[\"deep\"]]]]]]]]", ""),
        ] {
            assert_eq!(said(body.as_bytes()), expected, "{body}");
        }
        assert!(said("x".repeat(10_000).as_bytes()).len() <= LONGEST_SAID);
    }

    #[test]
    fn statuses_have_classes() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let limited = |s| ErrorClass::RateLimited { retry_after: Duration::from_secs(s) };
        let reset = (now.as_second() + 90).to_string();
        for (status, headers, said, expected) in [
            (401, headers(&[]), "", ErrorClass::Auth),
            (203, headers(&[]), "", ErrorClass::Auth),
            (403, headers(&[]), "Resource not accessible", ErrorClass::Auth),
            (403, headers(&[]), "API rate limit exceeded", limited(60)),
            (403, headers(&[("retry-after", "7")]), "", limited(7)),
            (
                403,
                headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]),
                "",
                limited(90),
            ),
            (
                429,
                headers(&[("ratelimit-remaining", "0"), ("ratelimit-reset", &reset)]),
                "",
                limited(90),
            ),
            (429, headers(&[]), "", limited(60)),
            (429, headers(&[("retry-after", "Wed, 25 Nov 2026 10:00:30 GMT")]), "", limited(30)),
            (429, headers(&[("retry-after", "99999999")]), "", limited(3600)),
            (503, headers(&[("retry-after", "5")]), "", limited(5)),
            (500, headers(&[]), "", ErrorClass::Transient),
            (555, headers(&[]), "", ErrorClass::Transient),
            (404, headers(&[]), "", ErrorClass::NotFound),
            (409, headers(&[]), "", ErrorClass::Conflict),
            (405, headers(&[]), "", ErrorClass::Config),
            (422, headers(&[]), "", ErrorClass::Config),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(class(status, &headers, said, now), expected, "{status} {headers:?}");
        }
    }
}
