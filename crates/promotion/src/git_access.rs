//! How steps get at Git: the repositories on disk, who commits, and which
//! credentials serve a URL. Shared by the `git-…` steps.

use std::sync::Arc;

use credentials::{CredentialKind, Login};

use crate::argocd::ancestry::Ancestry;
use crate::error::{ErrorClass, StepError};
use crate::step::StepContext;
use crate::workdir::WorkPath;
use crate::world::World;

/// Git, and the system's settings for it.
#[derive(Clone, Debug)]
pub struct GitAccess {
    /// Mirrors, clones and pushes.
    pub git: Arc<git::Git>,
    /// Who commits where a clone names no author (`steps-git` 4.4).
    pub identity: git::Identity,
    /// How git-push takes in remote commits (`GIT_PUSH_INTEGRATION_POLICY`).
    pub policy: git::IntegrationPolicy,
    /// What is known about which commit came after which.
    pub ancestry: Ancestry,
}

impl GitAccess {
    /// With Kargo's identity and policy.
    pub fn new(git: Arc<git::Git>) -> Self {
        Self {
            git,
            identity: git::Identity::default(),
            policy: git::IntegrationPolicy::AlwaysRebase,
            ancestry: Ancestry::default(),
        }
    }

    /// With what the environment says: `GITCLIENT_NAME`, `GITCLIENT_EMAIL`
    /// (`steps-git` 4.4) and `GIT_PUSH_INTEGRATION_POLICY` (4.7). `read` looks
    /// a variable up.
    ///
    /// # Errors
    /// A policy that is none.
    pub fn from_environment(
        git: Arc<git::Git>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, git::GitError> {
        let text = |name: &str| read(name).filter(|text| !text.is_empty());
        let mut access = Self::new(git);
        if let Some(name) = text("GITCLIENT_NAME") {
            access.identity.name = name;
        }
        if let Some(email) = text("GITCLIENT_EMAIL") {
            access.identity.email = email;
        }
        if let Some(policy) = text("GIT_PUSH_INTEGRATION_POLICY") {
            access.policy = policy.parse()?;
        }
        Ok(access)
    }
}

/// The world's Git.
pub(crate) fn access(world: &World) -> Result<&GitAccess, StepError> {
    world.git.as_ref().ok_or_else(|| {
        StepError::terminal(ErrorClass::Internal, "Git is not available to steps here")
    })
}

/// The repository at a URL as the step may see it: with the credentials that
/// the Project has for it, or none.
pub(crate) async fn remote(
    context: &StepContext,
    world: &World,
    url: &str,
    insecure_skip_tls_verify: bool,
) -> Result<git::Remote, StepError> {
    remote_of(&context.project, world, url, insecure_skip_tls_verify).await
}

/// The repository at a URL as a Project may see it.
pub(crate) async fn remote_of(
    project: &str,
    world: &World,
    url: &str,
    insecure_skip_tls_verify: bool,
) -> Result<git::Remote, StepError> {
    let git = &access(world)?.git;
    // For messages, and to refuse what is no URL before anybody is asked.
    let bare = git.remote(url, None, insecure_skip_tls_verify).map_err(|e| step_error("", &e))?;
    let Some(store) = &world.credentials else { return Ok(bare) };
    let found = store.get(project, CredentialKind::Git, bare.url()).await;
    let Some(credential) = found.map_err(|e| {
        let class = match e.class() {
            credentials::ErrorClass::Auth => ErrorClass::Auth,
            credentials::ErrorClass::Config => ErrorClass::Config,
            credentials::ErrorClass::RateLimited { retry_after } => {
                ErrorClass::RateLimited { retry_after }
            }
            credentials::ErrorClass::Transient => ErrorClass::Transient,
        };
        StepError::new(class, format!("error getting credentials for {}: {e}", bare.url()))
    })?
    else {
        return Ok(bare);
    };
    let source = credential.source.to_string();
    let identity = &credential.source.identity();
    let auth = match &credential.login {
        Login::Basic { username, password } => {
            git::Auth::basic(username, password.expose(), &source, identity)
        }
        Login::SshKey(key) => {
            let auth = git::Auth::ssh_key(key.private_key.expose(), &source, identity);
            match &key.known_hosts {
                Some(lines) => auth.with_known_hosts(lines),
                None => auth,
            }
        }
    };
    git.remote(url, Some(auth), insecure_skip_tls_verify).map_err(|e| step_error("", &e))
}

/// The checkout that a path of a step's config belongs to, and the path as
/// resolved.
pub(crate) async fn checkout(
    context: &StepContext,
    world: &World,
    configured: &str,
) -> Result<(git::Checkout, WorkPath), StepError> {
    let path = resolve(context, configured)?;
    let prefix = format!("error loading working tree from {configured}");
    let git = &access(world)?.git;
    let found = git
        .checkout_at(&context.workdir.git_dir(), path.as_str())
        .await
        .map_err(|e| step_error(&prefix, &e))?;
    let Some(checkout) = found else {
        return Err(StepError::new(
            ErrorClass::Config,
            format!(
                "{prefix}: no git-clone step of this Promotion has made a checkout at {path} or above it; check path"
            ),
        ));
    };
    Ok((checkout, path))
}

/// A path of a step's config beneath the working directory (`steps-git` 3).
pub(crate) fn resolve(context: &StepContext, configured: &str) -> Result<WorkPath, StepError> {
    context.workdir.resolve(configured).map_err(|e| {
        StepError::new(
            ErrorClass::Config,
            format!("error joining path {configured} with work dir: {e}"),
        )
    })
}

/// What a Git operation failed with, as a step tells it: `<prefix>: <error>`.
pub(crate) fn step_error(prefix: &str, error: &git::GitError) -> StepError {
    let class = match error.class() {
        git::ErrorClass::Transient => ErrorClass::Transient,
        git::ErrorClass::Auth => ErrorClass::Auth,
        git::ErrorClass::Config => ErrorClass::Config,
        git::ErrorClass::Conflict => ErrorClass::Conflict,
        git::ErrorClass::NotFound => ErrorClass::NotFound,
        git::ErrorClass::Internal => ErrorClass::Internal,
    };
    let message = if prefix.is_empty() { error.to_string() } else { format!("{prefix}: {error}") };
    StepError::new(class, message)
}

/// The author that a step's config names.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Author {
    name: String,
    email: String,
    #[serde(default)]
    signing_key: String,
}

impl Author {
    /// Its JSON Schema; git-commit requires neither part.
    pub(crate) fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "email"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "email": {"type": "string", "format": "email"},
                "signingKey": {"type": "string"}
            }
        })
    }

    /// Who that is.
    pub(crate) fn identity(&self, kind: &str) -> Result<git::Identity, StepError> {
        if !self.signing_key.is_empty() {
            return Err(StepError::failed(
                ErrorClass::Config,
                format!(
                    "invalid {kind} config: author.signingKey: signing commits is not available in this version; remove signingKey"
                ),
            ));
        }
        // `Name <address>` is a valid e-mail address here, as in Kargo.
        let email = match self.email.rsplit_once('<') {
            Some((_, rest)) => rest.trim_end().trim_end_matches('>'),
            None => &self.email,
        };
        Ok(git::Identity { name: self.name.clone(), email: email.to_owned() })
    }
}
