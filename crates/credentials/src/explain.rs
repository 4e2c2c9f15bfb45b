//! Which Secret serves a URL and why, and why others do not: a value for
//! people, which holds no secret.

use std::fmt;

use crate::credential::{CredentialKind, Provider, Scope, SecretRef, Source};
use crate::select::Verdict;

/// The answer to "which credential serves this URL?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The Project that asks.
    pub project: String,
    /// What the URL is taken for.
    pub kind: CredentialKind,
    /// The URL, without userinfo.
    pub repo_url: String,
    /// The URL in the form in which it is compared.
    pub normalized: String,
    /// What comes of it.
    pub outcome: Outcome,
    /// What is worth knowing about the Secret that serves.
    pub notes: Vec<String>,
    /// The Secrets of this kind, in the order in which they are asked.
    pub considered: Vec<Considered>,
}

/// What comes of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is asked: no credential goes over plain HTTP.
    PlainHttp,
    /// This serves it.
    Served(Source),
    /// This one is chosen but yields no credential, so access is anonymous.
    Nothing {
        /// Which one.
        secret: SecretRef,
        /// Why not, and what to do.
        reason: String,
    },
    /// This one is chosen but is wrong, so the look-up fails.
    Wrong {
        /// Which one.
        secret: SecretRef,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// No Secret covers it. A controller that has this identity uses it, any
    /// other goes on without a credential.
    WhereAmbient(Provider),
    /// No Secret covers it: access is anonymous.
    Anonymous,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str(
                "no credential, since the URL is plain HTTP; use https://, or start the controller with ALLOW_CREDENTIALS_OVER_HTTP=true",
            ),
            Self::Served(source) => f.write_str(&source.describe()),
            Self::Nothing { secret, reason } => {
                write!(f, "no credential: {secret} covers it, but {reason}")
            }
            Self::Wrong { secret, reason } => write!(f, "an error: {secret}: {reason}"),
            Self::WhereAmbient(provider) => write!(
                f,
                "the controller's {provider}, where it has one; otherwise no credential"
            ),
            Self::Anonymous => f.write_str("no credential: no Secret covers it"),
        }
    }
}

/// A Secret that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Which one.
    pub secret: SecretRef,
    /// In which namespace.
    pub scope: Scope,
    /// What its `repoURL` says.
    pub verdict: Verdict,
    /// Whether it is the one that is used.
    pub chosen: bool,
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, scope, verdict, chosen } = self;
        match (verdict, chosen, scope) {
            (Verdict::Covers(_), false, Scope::Project) => {
                write!(f, "{secret}: {verdict} too, but another's name sorts first")
            }
            (Verdict::Covers(_), false, Scope::Shared) => {
                write!(f, "{secret}: {verdict} too, but one that was asked before serves it")
            }
            (_, true, _) => write!(f, "{secret}: {verdict}: chosen"),
            _ => write!(f, "{secret}: {verdict}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.outcome)?;
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        for considered in &self.considered {
            write!(f, "\n  {considered}")?;
        }
        Ok(())
    }
}
