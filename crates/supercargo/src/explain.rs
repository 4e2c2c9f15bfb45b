//! `supercargo credentials explain`: which Secret serves a repository, why, and
//! why others do not.

use credentials::{CredentialKind, CredentialStore, KubeCredentials, LookupOptions};

use crate::cli::{CredentialsArgs, CredentialsCommand, ExplainArgs, RepositoryKind};

/// Asks the cluster of KUBECONFIG, or the one it runs in, and prints the
/// answer.
///
/// # Errors
/// Where the cluster does not answer, or refuses.
pub async fn run(args: CredentialsArgs) -> Result<(), String> {
    let CredentialsCommand::Explain(args) = args.command;
    let client = kube::Client::try_default()
        .await
        .map_err(|e| format!("no cluster: {e}; set KUBECONFIG to a kubeconfig"))?;
    println!("{}", explain(client, &args).await?);
    Ok(())
}

/// The answer: a part for each kind of repository that was asked for, or for
/// all. No secret value is in it, and no token is minted for it.
///
/// # Errors
/// Where Secrets cannot be listed.
pub async fn explain(client: kube::Client, args: &ExplainArgs) -> Result<String, String> {
    let store = KubeCredentials::new(
        client,
        LookupOptions {
            shared_namespace: Some(args.shared_resources_namespace.clone()),
            allow_http: args.allow_credentials_over_http,
            ..LookupOptions::default()
        },
    );
    let kinds: Vec<CredentialKind> = match args.kinds.as_slice() {
        [] => vec![CredentialKind::Git, CredentialKind::Image, CredentialKind::Helm],
        kinds => kinds.iter().map(|kind| (*kind).into()).collect(),
    };
    let mut parts = Vec::new();
    for kind in kinds {
        let answer = store.explain(&args.project, kind, &args.url).await;
        parts.push(answer.map_err(|e| e.to_string())?.to_string());
    }
    Ok(parts.join("\n"))
}

impl From<RepositoryKind> for CredentialKind {
    fn from(kind: RepositoryKind) -> Self {
        match kind {
            RepositoryKind::Git => Self::Git,
            RepositoryKind::Image => Self::Image,
            RepositoryKind::Helm => Self::Helm,
        }
    }
}
