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
    /// User name and password (or token), both not empty.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// An SSH private key, PEM.
    SshKey(Secret),
}

/// A credential that was chosen for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialKind,
    /// What to present.
    pub login: Login,
    /// Where it comes from.
    pub source: SecretRef,
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
            Login::SshKey(key) => masker.add(key),
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
