//! How steps get at Git: the repositories on disk, who commits, and which
//! credentials serve a URL. Shared by the `git-…` steps.

use std::sync::Arc;

use credentials::{CredentialKind, Login};

use crate::argocd::ancestry::Ancestry;
use crate::error::{ErrorClass, StepError};
use crate::git_user::{self, GitUsers};
use crate::step::StepContext;
use crate::workdir::WorkPath;
use crate::world::World;

/// Git, and the system's settings for it.
#[derive(Clone, Debug)]
pub struct GitAccess {
    /// Mirrors, clones and pushes.
    pub git: Arc<git::Git>,
    /// Who commits where neither a clone names an author nor the ClusterConfig
    /// a user (`steps-git` 4.4).
    pub identity: git::Identity,
    /// Where the user that the ClusterConfig names is looked up; absent where
    /// there is no cluster.
    pub users: Option<Arc<dyn GitUsers>>,
    /// How git-push takes in remote commits (`GIT_PUSH_INTEGRATION_POLICY`).
    pub policy: git::IntegrationPolicy,
    /// What is known about which commit came after which.
    pub ancestry: Ancestry,
    /// What github-push may do.
    pub github_push: GitHubPushSettings,
}

/// What `github-push` may do (`steps-git` 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GitHubPushSettings {
    /// How many commits are made at a time (`GITHUB_PUSH_MAX_REVISIONS`).
    pub max_revisions: usize,
    /// Whether GitHub signs commits that are not signed with the clone's own
    /// key (`GITHUB_PUSH_VERIFY_UNTRUSTED_COMMITS`).
    pub verify_untrusted: bool,
}

impl Default for GitHubPushSettings {
    fn default() -> Self {
        Self { max_revisions: 10, verify_untrusted: false }
    }
}

impl GitAccess {
    /// With Kargo's identity and policy.
    pub fn new(git: Arc<git::Git>) -> Self {
        Self {
            git,
            identity: git::Identity::default(),
            users: None,
            policy: git::IntegrationPolicy::AlwaysRebase,
            ancestry: Ancestry::default(),
            github_push: GitHubPushSettings::default(),
        }
    }

    /// With what the environment says: `GITCLIENT_NAME`, `GITCLIENT_EMAIL`,
    /// `GITCLIENT_SIGNING_KEY_TYPE`, `GITCLIENT_SIGNING_KEY_PATH` (`steps-git`
    /// 4.4), `GIT_PUSH_INTEGRATION_POLICY` (4.7), `GITHUB_PUSH_MAX_REVISIONS`
    /// and `GITHUB_PUSH_VERIFY_UNTRUSTED_COMMITS` (10). `read` looks a variable
    /// up.
    ///
    /// # Errors
    /// A policy that is none, a signing key that cannot be used.
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
        match text("GITCLIENT_SIGNING_KEY_TYPE").as_deref() {
            // The key itself tells which of them it is.
            None | Some("gpg" | "ssh") => {}
            Some(other) => {
                return Err(git::GitError::Config(format!(
                    "GITCLIENT_SIGNING_KEY_TYPE is {other:?}; it must be gpg or ssh"
                )));
            }
        }
        if let Some(path) = text("GITCLIENT_SIGNING_KEY_PATH") {
            let key = std::fs::read_to_string(&path).map_err(|e| {
                git::GitError::Config(format!("GITCLIENT_SIGNING_KEY_PATH {path}: {e}"))
            })?;
            access.identity.signing_key = Some(git::SigningKey::parse(&key)?);
        }
        if let Some(policy) = text("GIT_PUSH_INTEGRATION_POLICY") {
            access.policy = policy.parse()?;
        }
        let wrong = |name: &str, value: &str, must: &str| {
            git::GitError::Config(format!("{name} is {value:?}; it must be {must}"))
        };
        let name = "GITHUB_PUSH_MAX_REVISIONS";
        if let Some(value) = text(name) {
            let number = value.parse().ok().filter(|n| (1..=250).contains(n));
            access.github_push.max_revisions =
                number.ok_or_else(|| wrong(name, &value, "a number from 1 to 250"))?;
        }
        let name = "GITHUB_PUSH_VERIFY_UNTRUSTED_COMMITS";
        if let Some(value) = text(name) {
            access.github_push.verify_untrusted =
                value.parse().map_err(|_| wrong(name, &value, "true or false"))?;
        }
        Ok(access)
    }

    /// Who commits where a clone names no author.
    ///
    /// # Errors
    /// A Secret or key that is not there or cannot be used, an API server that
    /// does not answer.
    pub async fn system_user(&self) -> Result<git::Identity, StepError> {
        const PREFIX: &str = "error resolving system git user";
        let configured = match &self.users {
            Some(users) => users
                .configured()
                .await
                .map_err(|e| StepError { message: format!("{PREFIX}: {}", e.message), ..e })?,
            None => None,
        };
        git_user::system_user(&self.identity, configured).map_err(|e| step_error(PREFIX, &e))
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
    let Some(credential) = credential(project, world, bare.url()).await? else {
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

/// The credentials that the Project has for a URL without userinfo, if any.
pub(crate) async fn credential(
    project: &str,
    world: &World,
    url: &str,
) -> Result<Option<credentials::Credential>, StepError> {
    let Some(store) = &world.credentials else { return Ok(None) };
    store.get(project, CredentialKind::Git, url).await.map_err(|e| {
        StepError::new(e.class().into(), format!("error getting credentials for {url}: {e}"))
    })
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

/// Moves a checkout to the commit that a push recorded as its output: what the
/// push itself had done to the checkout before the directory was lost.
pub(crate) async fn follow_push(
    access: &GitAccess,
    checkout: &git::Checkout,
    output: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), StepError> {
    let Some(commit) = output.get("commit").and_then(serde_json::Value::as_str) else {
        return Ok(());
    };
    access
        .git
        .follow(checkout, commit)
        .await
        .map_err(|e| step_error("error syncing local branch after push", &e))
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

/// The author that a step's config names. It replaces the system's user whole:
/// without a key of its own nothing is signed (`steps-git` 4.4 rules 5 and 6).
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Author {
    name: String,
    email: String,
    #[serde(default)]
    signing_key: String,
}

impl std::fmt::Debug for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Author").field("name", &self.name).finish_non_exhaustive()
    }
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
    pub(crate) fn identity(&self) -> Result<git::Identity, StepError> {
        // `Name <address>` is a valid e-mail address here, as in Kargo.
        let email = match self.email.rsplit_once('<') {
            Some((_, rest)) => rest.trim_end().trim_end_matches('>'),
            None => &self.email,
        };
        let identity = git::Identity::new(&self.name, email);
        if self.signing_key.is_empty() {
            return Ok(identity);
        }
        let key = git::SigningKey::parse(&self.signing_key)
            .map_err(|e| step_error("author.signingKey", &e))?;
        Ok(identity.signing_with(key))
    }
}
