//! What serves a repository, and where it comes from.

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::{Masker, Secret};

/// The label that marks a Secret as a credential (`credentials` 1).
pub const CRED_TYPE_LABEL: &str = "kargo.akuity.io/cred-type";

/// What a credential is for: the value of [`CRED_TYPE_LABEL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// Git repositories.
    Git,
    /// Container image repositories.
    Image,
    /// Helm chart repositories.
    Helm,
}

impl CredentialKind {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Image => "image",
            Self::Helm => "helm",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The Kubernetes Secret that a credential was read from. Shown to users, so
/// that they know which Secret to mend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: the identity under which shared data (Git mirrors) is kept.
    pub uid: String,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}/{}", self.namespace, self.name)
    }
}

/// What to present to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// User name and password (or token). Only GitHub may have given an empty
    /// token; all others are not empty.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// An SSH private key.
    SshKey(SshKey),
}

/// An SSH private key, and the servers that it may be shown to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// The key: PEM, without a passphrase.
    pub private_key: Secret,
    /// Lines of a `known_hosts` file; where absent, any host key is taken.
    pub known_hosts: Option<String>,
}

/// How a credential is made of what a Secret, or the controller's
/// surroundings, hold (`credentials` 5). In the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// `username` and `password`.
    Basic,
    /// `sshPrivateKey`.
    Ssh,
    /// Azure Container Registry by Azure workload identity.
    AcrWorkloadIdentity,
    /// Amazon ECR by `awsAccessKeyID` and `awsSecretAccessKey`.
    EcrAccessKey,
    /// Amazon ECR by EKS Pod Identity or IAM roles for service accounts.
    EcrManagedIdentity,
    /// Google Artifact Registry by `gcpServiceAccountKey`.
    GarServiceAccountKey,
    /// Google Artifact Registry by workload identity federation.
    GarWorkloadIdentity,
    /// A GitHub App's installation.
    GithubApp,
}

impl Provider {
    /// All, in the order in which they are asked.
    pub const ORDER: [Self; 8] = [
        Self::Basic,
        Self::Ssh,
        Self::AcrWorkloadIdentity,
        Self::EcrAccessKey,
        Self::EcrManagedIdentity,
        Self::GarServiceAccountKey,
        Self::GarWorkloadIdentity,
        Self::GithubApp,
    ];
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "user name and password",
            Self::Ssh => "SSH key",
            Self::AcrWorkloadIdentity => "Azure workload identity",
            Self::EcrAccessKey => "AWS access key",
            Self::EcrManagedIdentity => "AWS identity",
            Self::GarServiceAccountKey => "Google service account key",
            Self::GarWorkloadIdentity => "Google workload identity",
            Self::GithubApp => "GitHub App",
        })
    }
}

/// In which of the namespaces searched a Secret lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The Project's own.
    Project,
    /// That of the Secrets which all Projects share.
    Shared,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Project => "the Project's namespace",
            Self::Shared => "the shared namespace",
        })
    }
}

/// Why a Secret's `repoURL` covers a URL. The texts are fit to be shown:
/// without userinfo, and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Matched {
    /// It is the same address, both normalised.
    Exact(String),
    /// It is a regular expression that matches.
    Pattern(String),
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(url) => write!(f, "its repoURL {url} is this repository"),
            Self::Pattern(pattern) => write!(f, "its pattern {pattern} matches"),
        }
    }
}

/// Where a credential comes from and why it was chosen: for statuses, events
/// and messages. It holds no secret value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A Secret.
    Secret {
        /// Which one.
        reference: SecretRef,
        /// In which namespace it was found.
        scope: Scope,
        /// Why it covers the URL.
        matched: Matched,
        /// What was made of it.
        provider: Provider,
    },
    /// No Secret: the identity that the controller's surroundings give it.
    Ambient {
        /// For which Project, since its rights may be the Project's own.
        project: String,
        /// Whose identity it is.
        provider: Provider,
    },
}

impl Source {
    /// As of a Project's Secret with user name and password whose `repoURL` is
    /// the repository: for callers that hold a Secret without a look-up.
    pub fn of_project(reference: SecretRef, repo_url: &str) -> Self {
        Self::Secret {
            reference,
            scope: Scope::Project,
            matched: Matched::Exact(shown(repo_url)),
            provider: Provider::Basic,
        }
    }

    /// The Secret, where there is one.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret { reference, .. } => Some(reference),
            Self::Ambient { .. } => None,
        }
    }

    /// How the credential was made.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Secret { provider, .. } | Self::Ambient { provider, .. } => *provider,
        }
    }

    /// What stays the same when passwords and tokens change: the Secret's UID,
    /// or its name where it has none. Data that was read with the credential
    /// (Git mirrors) is kept apart by it.
    pub fn identity(&self) -> String {
        match self {
            Self::Secret { reference, .. } if reference.uid.is_empty() => reference.to_string(),
            Self::Secret { reference, .. } => reference.uid.clone(),
            Self::Ambient { project, provider } => format!("{provider} for {project}"),
        }
    }

    /// Which one and why, in one line: `Secret p/github (user name and
    /// password) in the Project's namespace: its pattern ^https://… matches`.
    pub fn describe(&self) -> String {
        match self {
            Self::Secret { scope, matched, provider, .. } => {
                format!("{self} ({provider}) in {scope}: {matched}")
            }
            Self::Ambient { .. } => {
                format!("{self}: no Secret covers this repository in another way")
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { reference, .. } => reference.fmt(f),
            Self::Ambient { project, provider } => {
                write!(f, "the controller's {provider} for Project {project}")
            }
        }
    }
}

/// The longest URL or pattern that is shown, in characters.
const MAX_SHOWN: usize = 256;

/// A URL or pattern as it may be shown: on one line, without userinfo,
/// bounded.
pub(crate) fn shown(text: &str) -> String {
    let cut = match text.split_once("://") {
        None => text.to_owned(),
        Some((scheme, rest)) => {
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            match rest.get(..authority).and_then(|a| a.rfind('@')) {
                Some(at) => {
                    let rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
                    // A pattern may have its anchor before the scheme.
                    format!("{scheme}://{rest}")
                }
                None => text.to_owned(),
            }
        }
    };
    bounded(&cut, MAX_SHOWN)
}

/// At most `most` characters, none of them a control character.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).take(most).collect();
    if text.chars().nth(most).is_some() {
        kept.push('…');
    }
    kept
}

/// A credential that was chosen for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialKind,
    /// What to present.
    pub login: Login,
    /// Where it comes from.
    pub source: Source,
}

impl Credential {
    /// The user name, empty for a key.
    pub fn username(&self) -> &str {
        match &self.login {
            Login::Basic { username, .. } => username,
            Login::SshKey(_) => "",
        }
    }

    /// The password or token, if it has one.
    pub fn password(&self) -> Option<&Secret> {
        match &self.login {
            Login::Basic { password, .. } => Some(password),
            Login::SshKey(_) => None,
        }
    }

    /// Masks its values.
    pub fn masker(&self) -> Masker {
        let mut masker = Masker::new();
        match &self.login {
            Login::Basic { password, .. } => masker.add(password),
            Login::SshKey(key) => masker.add(&key.private_key),
        }
        masker
    }
}

/// A Kubernetes Secret as read, its values tainted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Which one it is.
    pub reference: SecretRef,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its values by key. Bytes that are no UTF-8 are replaced by U+FFFD.
    pub data: BTreeMap<String, Secret>,
}

impl StoredSecret {
    /// The text of a key, empty where it is absent.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.data.get(key).map_or("", Secret::expose)
    }

    /// Whether the key is there, be it empty.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.data.contains_key(key)
    }

    /// Whether the key is there and not empty.
    pub(crate) fn filled(&self, key: &str) -> bool {
        !self.text(key).is_empty()
    }
}

impl From<k8s_openapi::api::core::v1::Secret> for StoredSecret {
    fn from(secret: k8s_openapi::api::core::v1::Secret) -> Self {
        let mut data: BTreeMap<String, Secret> = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, Secret::new(String::from_utf8_lossy(&value.0))))
            .collect();
        // Only a fake API server keeps `stringData`; a real one folds it in.
        for (key, value) in secret.string_data.unwrap_or_default() {
            data.insert(key, Secret::new(value));
        }
        Self {
            reference: SecretRef {
                namespace: secret.metadata.namespace.unwrap_or_default(),
                name: secret.metadata.name.unwrap_or_default(),
                uid: secret.metadata.uid.unwrap_or_default(),
            },
            labels: secret.metadata.labels.unwrap_or_default(),
            annotations: secret.metadata.annotations.unwrap_or_default(),
            data,
        }
    }
}
