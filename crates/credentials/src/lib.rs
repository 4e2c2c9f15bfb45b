//! Which credential serves a URL, and secret values that cannot be printed.
//!
//! * [`Secret`]: a value that has no printable form; [`Masker`] takes such
//!   values out of text.
//! * [`Credential`]: what to present to a repository, and as [`Source`] the
//!   Kubernetes Secret that it comes from, with the reason.
//! * [`select`]: the choice among Secrets, as pure functions (`credentials` 3).
//! * [`CredentialStore`]: the look-up, in a cluster or in a fixed list.
//! * [`Explanation`]: the same in words, with the Secrets that were passed over.
//! * [`providers`]: what is made of a Secret (`credentials` 5 and 6).
//! * [`Minting`]: tokens of GitHub Apps and clouds, kept until shortly before
//!   they expire (`credentials` 7).
//!
//! ```
//! use credentials::{CredentialKind, CredentialStore, FixedCredentials, LookupOptions, Secret};
//!
//! # async fn example() -> Result<(), credentials::CredentialError> {
//! let store = FixedCredentials::new(vec![], LookupOptions::default());
//! let url = "https://github.com/example/deploy.git";
//! let found = store.get("my-project", CredentialKind::Git, url).await?;
//! assert!(found.is_none(), "anonymous access");
//! # Ok(())
//! # }
//! assert_eq!(format!("{:?}", Secret::new("token")), "***");
//! ```

mod cluster;
mod credential;
mod error;
mod explain;
#[cfg(test)]
mod fake;
mod lookup;
pub mod providers;
mod secret;
pub mod select;
mod store;
mod token_cache;
mod transport;

pub use cluster::KubeCredentials;
pub use credential::{
    CRED_TYPE_LABEL, Credential, CredentialKind, Login, Matched, Provider, Scope, SecretRef,
    Source, SshKey, StoredSecret,
};
pub use error::{CredentialError, ErrorClass, Unusable};
pub use explain::{Considered, Explanation, Outcome};
pub use providers::{AmbientSettings, Minting};
pub use secret::{MASK, MIN_MASKED_BYTES, Masker, Secret};
pub use store::{CredentialStore, DEFAULT_CACHE, FixedCredentials, LookupOptions};
pub use token_cache::{Now, system_clock};
pub use transport::{HttpTransport, TokenAnswer, TokenRequest, Transport};
