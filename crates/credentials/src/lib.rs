//! Which credential serves a URL, and secret values that cannot be printed.
//!
//! * [`Secret`]: a value that has no printable form; [`Masker`] takes such
//!   values out of text.
//! * [`Credential`]: what to present to a repository, and the Kubernetes
//!   Secret that it comes from.
//! * [`select`]: the choice among Secrets, as pure functions (`credentials` 3).
//! * [`CredentialStore`]: the look-up, in a cluster or in a fixed list.
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
//!
//! Tokens that clouds and GitHub Apps mint (`credentials` 6.3 to 6.6) are not
//! made here yet: such a Secret yields no credential.

mod credential;
mod secret;
pub mod select;
mod store;

pub use credential::{CRED_TYPE_LABEL, Credential, CredentialKind, Login, SecretRef, StoredSecret};
pub use secret::{MASK, MIN_MASKED_BYTES, Masker, Secret};
pub use store::{
    CredentialError, CredentialStore, DEFAULT_CACHE, ErrorClass, FixedCredentials, KubeCredentials,
    LookupOptions,
};
