//! How steps get at pull requests: the provider of a repository, the token
//! for it, and what its errors mean for a step. Shared by the `git-…-pr`
//! steps.

use std::sync::Arc;
use std::time::Duration;

use credentials::CredentialKind;
use forge::{Forge, ForgeError, Forges, OpenRequest};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::error::{ErrorClass, StepError};
use crate::step::StepContext;
use crate::world::World;

/// Git providers, and the system's settings for them.
#[derive(Clone)]
pub struct ForgeAccess {
    /// The way to a repository at its provider.
    pub forges: Arc<dyn Forges>,
    /// The base address of the user interface, which descriptions of pull
    /// requests point to; empty where there is none.
    pub ui_base_url: String,
}

impl std::fmt::Debug for ForgeAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForgeAccess")
            .field("ui_base_url", &self.ui_base_url)
            .finish_non_exhaustive()
    }
}

/// The repository that a step's config names.
pub(crate) struct Wanted<'a> {
    pub(crate) repo_url: &'a str,
    pub(crate) provider: Option<&'a str>,
    pub(crate) insecure_skip_tls_verify: bool,
}

/// The world's providers.
pub(crate) fn access(world: &World) -> Result<&ForgeAccess, StepError> {
    world.forge.as_ref().ok_or_else(|| {
        StepError::terminal(ErrorClass::Internal, "pull requests are not available to steps here")
    })
}

/// The repository at its provider, with the token that the Project has for it
/// (`steps-git` 4.10 rule 5).
pub(crate) async fn open(
    context: &StepContext,
    world: &World,
    wanted: Wanted<'_>,
) -> Result<Arc<dyn Forge>, StepError> {
    let access = access(world)?;
    let mut request = OpenRequest {
        url: wanted.repo_url.to_owned(),
        provider: wanted.provider.map(str::to_owned),
        insecure_skip_tls_verify: wanted.insecure_skip_tls_verify,
        ..OpenRequest::default()
    };
    if let Some(store) = &world.credentials {
        let found = store.get(&context.project, CredentialKind::Git, wanted.repo_url).await;
        let credential = found.map_err(|e| {
            let url = shown_url(wanted.repo_url);
            StepError::new(e.class().into(), format!("error getting credentials for {url}: {e}"))
        })?;
        if let Some(credential) = credential {
            request.token = credential.password().cloned();
            request.source = Some(credential.source.to_string());
        }
    }
    access
        .forges
        .open(&request)
        .map_err(|e| step_error("error creating git provider service: ", &e))
}

/// What a provider failed with, as a step tells it: `<prefix><error>`.
pub(crate) fn step_error(prefix: &str, error: &ForgeError) -> StepError {
    StepError::new(class(error), format!("{prefix}{error}"))
}

pub(crate) fn class(error: &ForgeError) -> ErrorClass {
    match error.class() {
        forge::ErrorClass::Transient => ErrorClass::Transient,
        forge::ErrorClass::RateLimited { retry_after } => ErrorClass::RateLimited { retry_after },
        forge::ErrorClass::Auth => ErrorClass::Auth,
        forge::ErrorClass::Config => ErrorClass::Config,
        forge::ErrorClass::Conflict => ErrorClass::Conflict,
        forge::ErrorClass::NotFound => ErrorClass::NotFound,
    }
}

/// How long until a provider may be asked again, where an error will pass by
/// itself.
pub(crate) fn passes_after(error: &ForgeError) -> Option<Duration> {
    match error.class() {
        forge::ErrorClass::Transient => Some(Duration::ZERO),
        forge::ErrorClass::RateLimited { retry_after } => Some(retry_after),
        _ => None,
    }
}

/// Nothing outside may begin once the process ends or has lost its lease.
pub(crate) fn check_cancelled(context: &StepContext) -> Result<(), StepError> {
    if context.cancel.is_cancelled() {
        return Err(StepError::new(ErrorClass::Transient, "execution canceled: context canceled"));
    }
    Ok(())
}

/// The longest pause between two looks where no `pollInterval` says another.
const LONGEST_POLL: Duration = Duration::from_secs(300);

/// When to look again: as configured; else `shortest`, and by and by more
/// seldom, for what has taken an hour need not be known within seconds. Events
/// come in between.
pub(crate) fn poll_interval(
    configured: Option<&str>,
    shortest: Duration,
    waited: Duration,
) -> Result<Duration, StepError> {
    match configured {
        Some(text) => text.parse::<api::GoDuration>().map(api::GoDuration::to_std).map_err(|e| {
            StepError::new(ErrorClass::Config, format!("error parsing pollInterval: {e}"))
        }),
        None => Ok((waited / 20).clamp(shortest, LONGEST_POLL)),
    }
}

/// How long the step has been at it.
pub(crate) fn waited(context: &StepContext) -> Duration {
    crate::engine::times::since(context.started_at, Timestamp::now())
}

/// The URL for people: without user name and password.
pub(crate) fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
}

/// A pull request as steps pass it on.
pub(crate) fn shown(pull: &forge::PullRequest) -> Map<String, Value> {
    let value = json!({"id": pull.number, "url": pull.url});
    value.as_object().cloned().unwrap_or_default()
}

/// The fields that all three steps have.
pub(crate) fn common_properties() -> Map<String, Value> {
    let value = json!({
        "repoURL": {"type": "string", "minLength": 1, "format": "uri"},
        "provider": {
            "type": "string",
            "enum": ["azure", "bitbucket", "gitea", "github", "gitlab"]
        },
        "insecureSkipTLSVerify": {"type": "boolean"}
    });
    value.as_object().cloned().unwrap_or_default()
}

/// The schema of a config with [`common_properties`] and these.
pub(crate) fn schema(required: &[&str], further: &Value) -> Value {
    let mut properties = common_properties();
    properties.extend(further.as_object().cloned().unwrap_or_default());
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// What a poll interval looks like; a search, so that more may be around it.
pub(crate) const POLL_PATTERN: &str = r"(?:\d+(ns|us|µs|ms|s|m|h))+";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_seldom() {
        let seconds = Duration::from_secs;
        for (configured, shortest, waited, expected) in [
            (None, 30, 0, 30),
            (None, 30, 600, 30),
            (None, 30, 1_200, 60),
            (None, 30, 1_000_000, 300),
            (None, 10, 100, 10),
            (Some("90s"), 30, 1_000_000, 90),
            (Some("1h30m"), 30, 0, 5_400),
        ] {
            let got = poll_interval(configured, seconds(shortest), seconds(waited)).unwrap();
            assert_eq!(got, seconds(expected), "{configured:?} {waited}");
        }
        let error = poll_interval(Some("abc5s"), seconds(30), seconds(0)).unwrap_err();
        assert!(error.message.starts_with("error parsing pollInterval: "), "{error}");
    }
}
