//! The look-up (`credentials` 3), over whatever lists Secrets: the namespaces
//! in their order, the provider whose answer counts, and the same again in
//! words.

use std::sync::Arc;

use async_trait::async_trait;

use crate::credential::{Credential, CredentialKind, Scope, Source, StoredSecret, shown};
use crate::error::{CredentialError, Unusable};
use crate::explain::{Considered, Explanation, Outcome};
use crate::providers::{Ambient, Found, Minting, Plan, choose, notes, plan, unsuitable};
use crate::select::{self, Asked, Verdict};
use crate::store::LookupOptions;

/// The Secrets of a namespace as one list.
pub(crate) type Listing = Arc<Vec<StoredSecret>>;

/// Lists Secrets.
#[async_trait]
pub(crate) trait Lists: Send + Sync {
    /// The Secrets of a namespace that are labelled with this kind.
    async fn list(
        &self,
        namespace: &str,
        kind: CredentialKind,
    ) -> Result<Listing, Arc<kube::Error>>;
}

/// One look-up.
pub(crate) struct Lookup<'a> {
    /// In the order in which they are asked.
    pub(crate) clusters: &'a [&'a dyn Lists],
    pub(crate) options: &'a LookupOptions,
    /// Who mints tokens; without it only passwords and SSH keys serve.
    pub(crate) minting: Option<&'a Minting>,
    pub(crate) project: &'a str,
    pub(crate) asked: Asked,
}

impl Lookup<'_> {
    fn namespaces(&self) -> impl Iterator<Item = (Scope, &str)> {
        [(Scope::Project, Some(self.project)), (Scope::Shared, self.options.shared())]
            .into_iter()
            .filter_map(|(scope, namespace)| Some((scope, namespace?)))
    }

    async fn list(
        &self,
        cluster: &dyn Lists,
        scope: Scope,
        namespace: &str,
    ) -> Result<Listing, CredentialError> {
        let kind = self.asked.kind;
        let (repo_url, namespace) = (self.asked.shown(), namespace.to_owned());
        cluster.list(&namespace, kind).await.map_err(|reason| match scope {
            Scope::Project => CredentialError::Project { kind, repo_url, namespace, reason },
            Scope::Shared => CredentialError::Shared { kind, repo_url, namespace, reason },
        })
    }

    fn is_forbidden(&self) -> bool {
        select::forbidden_over_http(&self.asked.repo_url, self.options.allow_http)
    }

    async fn find(&self) -> Result<Option<Found>, CredentialError> {
        for cluster in self.clusters {
            for (scope, namespace) in self.namespaces() {
                let listing = self.list(*cluster, scope, namespace).await?;
                if let Some((secret, matched)) = select::find(&self.asked, &listing) {
                    return Ok(Some(Found { secret: secret.clone(), scope, matched }));
                }
            }
        }
        Ok(None)
    }

    /// The credential, or none.
    pub(crate) async fn get(&self) -> Result<Option<Credential>, CredentialError> {
        if self.is_forbidden() {
            return Ok(None);
        }
        let found = self.find().await?;
        let secret = found.as_ref().map(|found| &found.secret);
        let ambient = self.minting.map(Minting::ambient).unwrap_or_default();
        let Some(provider) = choose(&self.asked, secret, ambient) else {
            if let Some(secret) = secret {
                let reason = unsuitable(&self.asked, secret);
                tracing::warn!(secret = %secret.reference, url = self.asked.shown(), "no credential: {reason}");
            }
            return Ok(None);
        };
        let source = match &found {
            Some(found) if !is_ambient(provider) => found.source(provider),
            _ => Source::Ambient { project: self.project.to_owned(), provider },
        };
        let wrong = |reason: Unusable| CredentialError::Unusable {
            kind: self.asked.kind,
            repo_url: self.asked.shown(),
            from: source.to_string(),
            reason,
        };
        let login = match plan(provider, self.project, &self.asked, secret).map_err(wrong)? {
            Plan::Present(login) => Some(login),
            Plan::Mint(mint) => match self.minting {
                Some(minting) => minting.mint(mint, self.project).await.map_err(wrong)?,
                None => None,
            },
            Plan::Nothing(reason) => {
                tracing::warn!(%source, url = self.asked.shown(), "no credential: {reason}");
                None
            }
        };
        Ok(login.map(|login| Credential { kind: self.asked.kind, login, source }))
    }

    /// The same in words. Nobody but the API server is asked. `ambient` tells
    /// which identities the controller is taken to have.
    pub(crate) async fn explain(&self, ambient: Ambient) -> Result<Explanation, CredentialError> {
        let mut explanation = Explanation {
            project: self.project.to_owned(),
            kind: self.asked.kind,
            repo_url: self.asked.shown(),
            normalized: shown(&self.asked.normalized),
            outcome: Outcome::PlainHttp,
            notes: Vec::new(),
            considered: Vec::new(),
        };
        if self.is_forbidden() {
            return Ok(explanation);
        }
        let mut found: Option<Found> = None;
        for cluster in self.clusters {
            for (scope, namespace) in self.namespaces() {
                let listing = self.list(*cluster, scope, namespace).await?;
                for secret in select::candidates(self.asked.kind, &listing) {
                    let verdict = select::judge(&self.asked, secret);
                    let mut chosen = false;
                    if let (None, Verdict::Covers(matched)) = (&found, &verdict) {
                        let (secret, matched) = (secret.clone(), matched.clone());
                        found = Some(Found { secret, scope, matched });
                        chosen = true;
                    }
                    let secret = secret.reference.clone();
                    explanation.considered.push(Considered { secret, scope, verdict, chosen });
                }
            }
        }
        explanation.outcome = self.outcome(found.as_ref(), ambient);
        if let (Some(found), Outcome::Served(source)) = (&found, &explanation.outcome) {
            explanation.notes = notes(source.provider(), &found.secret);
        }
        Ok(explanation)
    }

    fn outcome(&self, found: Option<&Found>, ambient: Ambient) -> Outcome {
        let secret = found.map(|found| &found.secret);
        let provider = choose(&self.asked, secret, ambient);
        match (provider, found) {
            (None, None) => Outcome::Anonymous,
            (None, Some(found)) => Outcome::Nothing {
                secret: found.secret.reference.clone(),
                reason: unsuitable(&self.asked, &found.secret),
            },
            (Some(provider), _) if is_ambient(provider) => Outcome::WhereAmbient(provider),
            (Some(_), None) => Outcome::Anonymous,
            (Some(provider), Some(found)) => {
                let secret = found.secret.reference.clone();
                match plan(provider, self.project, &self.asked, Some(&found.secret)) {
                    Ok(Plan::Nothing(reason)) => Outcome::Nothing { secret, reason },
                    Ok(_) => Outcome::Served(found.source(provider)),
                    Err(wrong) => Outcome::Wrong { secret, reason: wrong.message },
                }
            }
        }
    }
}

fn is_ambient(provider: crate::Provider) -> bool {
    use crate::Provider::{AcrWorkloadIdentity, EcrManagedIdentity, GarWorkloadIdentity};
    matches!(provider, AcrWorkloadIdentity | EcrManagedIdentity | GarWorkloadIdentity)
}

impl Found {
    fn source(&self, provider: crate::Provider) -> Source {
        Source::Secret {
            reference: self.secret.reference.clone(),
            scope: self.scope,
            matched: self.matched.clone(),
            provider,
        }
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
