//! How a Secret, or the controller's surroundings, become a credential
//! (`credentials` 5 and 6).
//!
//! The choice and everything that can be said without asking anybody is a pure
//! function ([`plan`]); [`Minting`] asks those that mint tokens.
//!
//! * [`ssh_key`]: SSH private keys.
//! * [`github_app`]: installation tokens of GitHub Apps, signed for by [`jwt`].
//! * [`ecr`]: Amazon ECR, with [`aws`] for signatures and identities.
//! * [`google`]: Google Artifact Registry and Container Registry.
//! * [`acr`]: Azure Container Registry.

mod acr;
mod aws;
mod ecr;
mod github_app;
mod google;
mod jwt;
mod minting;
mod ssh_key;

use sha2::{Digest, Sha256};

use crate::credential::{CredentialKind, Login, Matched, Provider, Scope, StoredSecret};
use crate::error::Unusable;
use crate::select::Asked;

pub use minting::{AmbientSettings, Minting};

/// The Secret that covers a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As read.
    pub secret: StoredSecret,
    /// In which namespace it was.
    pub scope: Scope,
    /// Why it covers the URL.
    pub matched: Matched,
}

/// Which identities the controller's surroundings give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ambient {
    /// Azure workload identity.
    pub azure: bool,
    /// EKS Pod Identity or IAM roles for service accounts.
    pub aws: bool,
    /// Google's metadata server, which may turn out not to be there.
    pub google: bool,
}

impl Ambient {
    /// As if it had all: for a look-up elsewhere than in the controller.
    pub const ALL: Self = Self { azure: true, aws: true, google: true };
}

/// What a provider makes of a Secret before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// This is presented.
    Present(Login),
    /// A token has to be minted.
    Mint(Mint),
    /// No credential, for this reason; that answer is final.
    Nothing(String),
}

/// A token to be minted, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mint {
    /// A refresh token of an Azure registry.
    Acr(acr::Registry),
    /// A login of an ECR registry by a static key.
    EcrKey(ecr::AccessKey),
    /// A login of an ECR registry by the Project's or the controller's role.
    EcrIdentity(ecr::Registry),
    /// An access token by a Google service account's key.
    GoogleKey(google::ServiceAccountKey),
    /// An access token of the Project's or the controller's Google account.
    GoogleIdentity,
    /// An installation token of a GitHub App.
    Github(github_app::Installation),
}

/// Whether the provider is the one to ask (`credentials` 6, "Supports").
fn supports(
    provider: Provider,
    asked: &Asked,
    secret: Option<&StoredSecret>,
    ambient: Ambient,
) -> bool {
    let has = |keys: &[&str]| secret.is_some_and(|secret| keys.iter().all(|key| secret.has(key)));
    let is_registry = asked.kind != CredentialKind::Git;
    let url = asked.normalized.as_str();
    match provider {
        Provider::Basic => has(&["username", "password"]),
        Provider::Ssh => has(&["sshPrivateKey"]),
        Provider::AcrWorkloadIdentity => {
            ambient.azure && is_registry && acr::Registry::of(url).is_some()
        }
        Provider::EcrAccessKey => {
            has(&ecr::KEYS) && is_registry && ecr::Registry::of(url).is_some()
        }
        Provider::EcrManagedIdentity => {
            ambient.aws && is_registry && ecr::Registry::of(url).is_some()
        }
        Provider::GarServiceAccountKey => {
            has(&[google::KEY]) && is_registry && google::is_registry(url)
        }
        Provider::GarWorkloadIdentity => ambient.google && is_registry && google::is_registry(url),
        Provider::GithubApp => {
            asked.kind == CredentialKind::Git
                && secret.is_some_and(|s| github_app::supports(url, s))
        }
    }
}

/// The provider whose answer counts: the first in order that supports the
/// request (`credentials` 5).
pub fn choose(asked: &Asked, secret: Option<&StoredSecret>, ambient: Ambient) -> Option<Provider> {
    Provider::ORDER.into_iter().find(|provider| supports(*provider, asked, secret, ambient))
}

/// What the chosen provider makes of the Secret.
///
/// # Errors
/// What the user has to mend in the Secret.
pub fn plan(
    provider: Provider,
    project: &str,
    asked: &Asked,
    secret: Option<&StoredSecret>,
) -> Result<Plan, Unusable> {
    let url = asked.normalized.as_str();
    let gone = || Plan::Nothing("it does not suit this repository".to_owned());
    Ok(match (provider, secret) {
        (Provider::Basic, Some(secret)) => basic(secret)?,
        (Provider::Ssh, Some(secret)) => ssh_key::plan(asked.kind, secret)?,
        (Provider::EcrAccessKey, Some(secret)) => {
            ecr::AccessKey::of(secret)?.map_or_else(gone, |key| Plan::Mint(Mint::EcrKey(key)))
        }
        (Provider::GarServiceAccountKey, Some(secret)) => google::ServiceAccountKey::of(secret)?
            .map_or_else(gone, |key| Plan::Mint(Mint::GoogleKey(key))),
        (Provider::GithubApp, Some(secret)) => github_app::plan(project, url, secret)?,
        (Provider::AcrWorkloadIdentity, _) => {
            acr::Registry::of(url).map_or_else(gone, |at| Plan::Mint(Mint::Acr(at)))
        }
        (Provider::EcrManagedIdentity, _) => {
            ecr::Registry::of(url).map_or_else(gone, |at| Plan::Mint(Mint::EcrIdentity(at)))
        }
        (Provider::GarWorkloadIdentity, _) => Plan::Mint(Mint::GoogleIdentity),
        (_, None) => gone(),
    })
}

/// User name and password as they are, or nothing where one is empty
/// (`credentials` 6.1).
fn basic(secret: &StoredSecret) -> Result<Plan, Unusable> {
    for key in ["username", "password"] {
        if !secret.filled(key) {
            return Ok(Plan::Nothing(format!("its {key} is empty; fill it in")));
        }
        if secret.text(key).contains(char::REPLACEMENT_CHARACTER) {
            return Err(Unusable::config(format!("its {key} is not UTF-8 text; write it anew")));
        }
    }
    let password = secret.data.get("password").cloned().unwrap_or_default();
    Ok(Plan::Present(Login::Basic { username: secret.text("username").to_owned(), password }))
}

/// Why no provider can use a Secret that covers the URL.
pub fn unsuitable(asked: &Asked, secret: &StoredSecret) -> String {
    let missing = |keys: &[&str]| -> Option<String> {
        let there = keys.iter().any(|key| secret.filled(key));
        let absent: Vec<&str> = keys.iter().copied().filter(|key| !secret.filled(key)).collect();
        (there && !absent.is_empty()).then(|| format!("it lacks {}; add it", absent.join(" and ")))
    };
    if let Some(said) = missing(&["username", "password"]).or_else(|| missing(&ecr::KEYS)) {
        return said;
    }
    if github_app::mentioned(secret) {
        return github_app::unsuitable(asked, secret);
    }
    if ecr::KEYS.iter().all(|key| secret.filled(key)) {
        return "an AWS key serves images and charts at <account>.dkr.ecr.<region>.amazonaws.com only"
            .to_owned();
    }
    if secret.filled(google::KEY) {
        return "a Google service account key serves images and charts at *-docker.pkg.dev and gcr.io only"
            .to_owned();
    }
    "it has none of the keys that make a credential; add username and password, for example"
        .to_owned()
}

/// What is worth knowing about a Secret that serves.
pub fn notes(provider: Provider, secret: &StoredSecret) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |applies: bool, text: &str| {
        if applies {
            notes.push(text.to_owned());
        }
    };
    let ends_in_break = |key| secret.text(key).ends_with(['\n', '\r']);
    if provider == Provider::Basic {
        for key in ["username", "password"] {
            note(
                ends_in_break(key),
                &format!("its {key} ends with a line break, which is sent too"),
            );
        }
        note(
            secret.has("sshPrivateKey"),
            "its sshPrivateKey is not used: username and password go first",
        );
    }
    if provider != Provider::GithubApp {
        note(github_app::mentioned(secret), "its GitHub App is not used: other keys go first");
    } else {
        note(
            secret.filled("githubAppClientID") && secret.filled("githubAppID"),
            "its githubAppID is not used: githubAppClientID goes first",
        );
    }
    note(
        provider == Provider::Ssh && !secret.filled(ssh_key::KNOWN_HOSTS),
        "without sshKnownHosts any server's host key is taken",
    );
    notes
}

/// A name for what a token depends on, from which nothing can be read: the
/// SHA-256 of the parts joined with `:`, in hex (`credentials` 7).
pub(crate) fn cache_key(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.join(":").as_bytes()))
}

/// The standard alphabet, line breaks ignored, padding required.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
