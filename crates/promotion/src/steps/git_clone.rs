//! `git-clone`: clones a repository and checks out branches, tags or commits.
//!
//! | config | | |
//! |---|---|---|
//! | `repoURL` | required | `https://…`, `ssh://…` or `user@host:path` |
//! | `checkout[].path` | required | where the files go, beneath the working directory; must not exist or be empty |
//! | `checkout[].as` | | the name under which the commit appears in the output; the path where absent |
//! | `checkout[].branch`, `.commit`, `.tag` | | what to check out: one of them, or none for the default branch |
//! | `checkout[].create` | `false` | makes a branch that does not exist, with one empty commit |
//! | `checkout[].sparse` | | only these folders, and the files in the folders above them |
//! | `author.name`, `.email` | the system's | who commits and tags |
//! | `author.signingKey` | | the private key, OpenPGP or SSH, that commits and tags are signed with; without it those of a named author are not signed |
//! | `insecureSkipTLSVerify` | `false` | takes the server's certificate unseen |
//! | `recurseSubmodules` | `false` | also writes the files of submodules, and of theirs |
//! | `blobless` | `false` | accepted; clones share a full mirror here, so it changes nothing |
//!
//! Credentials are those of the Project (or shared) for `repoURL`. A checkout
//! has no `.git`: Git's own files lie outside of what steps see.
//!
//! Output: `commits`, a map from each checkout's `as` or `path` to the id of
//! the commit that was checked out. A Promotion that is resumed after its
//! working directory was lost starts again from these very commits.
//!
//! Errors: a branch, tag or commit that does not exist (what does exist is
//! listed), refused credentials (server and Secret are named), a path that is
//! taken.
//!
//! ```yaml
//! - uses: git-clone
//!   config:
//!     repoURL: https://github.com/example/deploy.git
//!     checkout:
//!     - branch: main
//!       path: ./src
//!     - branch: stage/dev
//!       create: true
//!       path: ./out
//! ```
//!
//! Source of the rules: `steps-git` 5.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorClass, StepError};
use crate::git_access::{self, Author, GitAccess, step_error};
use crate::step::{Attempt, Effect, Step, StepContext, StepResult};
use crate::world::World;

const KIND: &str = "git-clone";

/// How deep submodules may lie in one another, and how many there may be.
const MAX_SUBMODULE_DEPTH: usize = 8;
const MAX_SUBMODULES: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    #[serde(rename = "repoURL")]
    repo_url: String,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    insecure_skip_tls_verify: bool,
    #[serde(default)]
    recurse_submodules: bool,
    #[serde(default, rename = "blobless")]
    _blobless: bool,
    author: Option<Author>,
    checkout: Vec<CheckoutConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckoutConfig {
    path: String,
    #[serde(default, rename = "as")]
    alias: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    commit: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    sparse: Vec<String>,
}

impl CheckoutConfig {
    fn key(&self) -> &str {
        if self.alias.is_empty() { &self.path } else { &self.alias }
    }
}

/// The step kind `git-clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitClone;

#[async_trait]
impl Step for GitClone {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// A branch that `create` makes is made once: it is there the next time.
    fn effect(&self) -> Effect {
        Effect::WorkingDirectory
    }

    fn config_schema(&self) -> Value {
        // What the reference expresses by `oneOf` over null and empty strings.
        let unset = json!({"maxLength": 0});
        let set = json!({"minLength": 1});
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["repoURL", "checkout"],
            "properties": {
                "repoURL": {"type": "string", "minLength": 1},
                "insecureSkipTLSVerify": {"type": "boolean"},
                "recurseSubmodules": {"type": "boolean"},
                "blobless": {"type": "boolean"},
                "author": Author::schema(),
                "checkout": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["path"],
                        "properties": {
                            "path": {"type": "string", "minLength": 1},
                            "as": {"type": "string"},
                            "branch": {"type": "string"},
                            "commit": {"type": "string"},
                            "tag": {"type": "string"},
                            "create": {"type": "boolean"},
                            "sparse": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "minLength": 1}
                            }
                        },
                        "oneOf": [
                            {"properties": {"branch": unset, "commit": unset, "tag": unset}},
                            {"required": ["branch"], "properties": {"branch": set, "commit": unset, "tag": unset}},
                            {"required": ["commit"], "properties": {"branch": unset, "commit": set, "tag": unset}},
                            {"required": ["tag"], "properties": {"branch": unset, "commit": unset, "tag": set}}
                        ]
                    }
                }
            }
        })
    }

    async fn run(&self, context: &StepContext, world: &World) -> Result<StepResult, StepError> {
        let config: Config = context.config(KIND)?;
        check_aliases(&config.checkout)?;
        let access = git_access::access(world)?;
        let identity = match &config.author {
            Some(author) => author.identity()?,
            None => access.system_user().await?,
        };
        let insecure = config.insecure_skip_tls_verify;
        let remote = git_access::remote(context, world, &config.repo_url, insecure).await?;
        let cloning = format!("error cloning {}", remote.url());
        let cloning = |e: git::GitError| step_error(&cloning, &e);

        // An attempt before this one may have left something half done.
        let dir = clone_dir(context);
        git::Repository::remove(&dir).map_err(cloning)?;
        let snapshot = access
            .git
            .snapshot(&remote, git::Freshness::Now, &context.cancel)
            .await
            .map_err(cloning)?;
        let about = git::About {
            url: remote.url().to_owned(),
            identity,
            insecure_skip_tls_verify: insecure,
        };
        let repository = access.git.clone_at(&dir, &snapshot, about).await.map_err(cloning)?;
        repository.remember_configured_url(&config.repo_url).map_err(cloning)?;

        let submodules = config.recurse_submodules;
        let clone =
            Clone { context, world, access, remote: &remote, repository, snapshot, submodules };
        let mut commits = Map::new();
        for checkout in &config.checkout {
            let commit = clone.check_out(checkout).await?;
            commits.insert(checkout.key().to_owned(), Value::String(commit));
        }
        let mut output = Map::new();
        output.insert("commits".to_owned(), Value::Object(commits));
        Ok(StepResult::succeeded().with_output(output))
    }
}

/// `steps-git` 5 rule 1.
fn check_aliases(checkouts: &[CheckoutConfig]) -> Result<(), StepError> {
    for (index, checkout) in checkouts.iter().enumerate() {
        let earlier = checkouts.iter().take(index);
        if !checkout.alias.is_empty() && earlier.into_iter().any(|c| c.alias == checkout.alias) {
            return Err(StepError::failed(
                ErrorClass::Config,
                format!("duplicate checkout alias {:?} at checkout[{index}]", checkout.alias),
            ));
        }
    }
    Ok(())
}

/// One directory a step: an attempt finds what the one before it left.
fn clone_dir(context: &StepContext) -> PathBuf {
    use sha1::{Digest, Sha1};
    let name = hex::encode(Sha1::digest(context.alias.as_bytes()));
    context.workdir.git_dir().join(Path::new(&format!("repo-{name}")))
}

struct Clone<'a> {
    context: &'a StepContext,
    world: &'a World,
    access: &'a GitAccess,
    remote: &'a git::Remote,
    repository: git::Repository,
    snapshot: git::Snapshot,
    submodules: bool,
}

impl Clone<'_> {
    /// The commit that this checkout had when the step ran before.
    fn recorded(&self, checkout: &CheckoutConfig) -> Option<String> {
        let Attempt::Replay { output } = &self.context.attempt else { return None };
        let commit = output.get("commits")?.get(checkout.key())?.as_str()?;
        Some(commit.to_owned())
    }

    async fn check_out(&self, config: &CheckoutConfig) -> Result<String, StepError> {
        let recorded = self.recorded(config);
        if !config.branch.is_empty() && recorded.is_none() {
            self.ensure_branch(config).await?;
        }
        let path = git_access::resolve(self.context, &config.path)?;
        let adding =
            format!("error adding work tree {} to repo {}", config.path, self.remote.url());
        let adding = |e: git::GitError| step_error(&adding, &e);
        let at = if !config.branch.is_empty() {
            git::At::Branch { name: config.branch.clone(), recorded }
        } else if !config.commit.is_empty() {
            git::At::Commit(config.commit.clone())
        } else if !config.tag.is_empty() {
            git::At::Tag { name: config.tag.clone(), recorded }
        } else {
            let name = self.snapshot.default_branch().ok_or_else(|| {
                adding(git::GitError::Empty { url: self.remote.url().to_owned() })
            })?;
            git::At::Branch { name: name.to_owned(), recorded }
        };
        let request = git::CheckoutRequest {
            path: path.as_str().to_owned(),
            on_disk: self.context.workdir.on_disk(&path),
            at,
            sparse: config.sparse.clone(),
        };
        let checkout = self
            .access
            .git
            .checkout(&self.repository, &self.snapshot, request)
            .await
            .map_err(adding)?;
        if self.submodules {
            self.write_submodules(&checkout, &self.context.workdir.on_disk(&path)).await.map_err(
                |e| StepError {
                    message: format!(
                        "error updating submodules for worktree at {}: {}",
                        config.path, e.message
                    ),
                    ..e
                },
            )?;
        }
        checkout.head().map_err(|e| {
            step_error(&format!("error resolving HEAD for worktree at {}", config.path), &e)
        })
    }

    /// Writes the files of submodules, theirs included. Each is read with the
    /// credentials that the Project has for its URL; where it has none, with
    /// the clone's, if it is at the same server.
    async fn write_submodules(
        &self,
        checkout: &git::Checkout,
        on_disk: &Path,
    ) -> Result<(), StepError> {
        let own = checkout.submodules().map_err(|e| step_error("", &e))?;
        let mut todo: Vec<(PathBuf, git::Submodule, usize)> =
            own.into_iter().map(|submodule| (on_disk.to_owned(), submodule, 1)).collect();
        let mut done = 0;
        while let Some((parent, submodule, depth)) = todo.pop() {
            done += 1;
            if depth > MAX_SUBMODULE_DEPTH || done > MAX_SUBMODULES {
                return Err(StepError::new(
                    ErrorClass::Config,
                    format!(
                        "more than {MAX_SUBMODULES} submodules, or more than {MAX_SUBMODULE_DEPTH} in one another"
                    ),
                ));
            }
            let insecure = self.repository.about().insecure_skip_tls_verify;
            let remote = git_access::remote(self.context, self.world, &submodule.url, insecure)
                .await?
                .or_auth_of(self.remote);
            let failed = format!("submodule {} from {}", submodule.path, remote.url());
            let failed = |e: git::GitError| step_error(&failed, &e);
            let git = &self.access.git;
            let snapshot = git
                .snapshot(&remote, git::Freshness::Now, &self.context.cancel)
                .await
                .map_err(failed)?;
            let (into, inner) =
                git.export(&snapshot, &remote, &submodule, &parent).await.map_err(failed)?;
            todo.extend(inner.into_iter().map(|inner| (into.clone(), inner, depth + 1)));
        }
        Ok(())
    }

    /// `steps-git` 5 rule 3a.
    async fn ensure_branch(&self, config: &CheckoutConfig) -> Result<(), StepError> {
        let missing = match self.snapshot.branch(&config.branch) {
            Ok(_) => return Ok(()),
            Err(missing) => missing,
        };
        let prefix = format!("error ensuring existence of remote branch {}", config.branch);
        if !config.create {
            let existing = match &missing {
                git::GitError::BranchNotFound { existing, .. } => existing.as_str(),
                _ => "",
            };
            return Err(StepError::new(
                ErrorClass::NotFound,
                format!(
                    "{prefix}: remote branch {:?} of repo {} does not exist; set create=true if you'd like a non-existent remote branch to be automatically created at checkout ({existing})",
                    config.branch,
                    self.remote.url(),
                ),
            ));
        }
        let identity = &self.repository.about().identity;
        self.access
            .git
            .create_branch(
                &self.repository,
                self.remote,
                &config.branch,
                identity,
                self.context.started_at,
                &self.context.cancel,
            )
            .await
            .map(drop)
            .map_err(|e| step_error(&prefix, &e))
    }
}
