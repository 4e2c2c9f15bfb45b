//! Keys that commits and tags are signed with, and whose signatures are ours.
//!
//! OpenPGP (`openpgp`) and SSH (`ssh`). A signature depends on nothing but the
//! key, the text and the time that it is given: a replayed step makes the same
//! bytes, and so the same commit. The schemes of both (EdDSA, RSA with PKCS#1
//! 1.5, ECDSA and DSA by RFC 6979) need no randomness.

mod openpgp;
mod ssh;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::GitError;

/// A key to sign with. Its `Debug` hides it.
#[derive(Clone)]
pub struct SigningKey {
    text: Arc<Zeroizing<String>>,
    key: Arc<Key>,
}

enum Key {
    OpenPgp(Box<openpgp::Key>),
    Ssh(Box<ssh::Key>),
}

/// How long a key may be, in bytes: a large OpenPGP key with many signatures
/// of others takes some 100 KiB.
const MAX_KEY_BYTES: usize = 1 << 20;

impl SigningKey {
    /// Reads a private key: OpenPGP in ASCII armour, or OpenSSH's format.
    ///
    /// # Errors
    /// [`GitError::Config`] for what is no private key, has a passphrase, or
    /// cannot sign. No part of the key is in the message.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        if text.len() > MAX_KEY_BYTES {
            return Err(GitError::Config(format!(
                "the signing key is larger than {MAX_KEY_BYTES} bytes"
            )));
        }
        let key = if text.contains("-----BEGIN PGP ") {
            Key::OpenPgp(Box::new(openpgp::Key::parse(text)?))
        } else if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            Key::Ssh(Box::new(ssh::Key::parse(text)?))
        } else {
            return Err(GitError::Config(
                "the signing key is neither an OpenPGP private key in ASCII armour (-----BEGIN PGP PRIVATE KEY BLOCK-----) nor an OpenSSH private key (-----BEGIN OPENSSH PRIVATE KEY-----)"
                    .to_owned(),
            ));
        };
        Ok(Self { text: Arc::new(Zeroizing::new(text.to_owned())), key: Arc::new(key) })
    }

    /// The key as it was given, for keeping it where only we can read it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Signs what a commit or tag says, as of `time`. `name` and `email` are
    /// the committer's: an OpenPGP key must carry them in one of its user ids,
    /// as gpg wants it (`steps-git` 4.4 rule 7).
    pub(crate) fn sign(
        &self,
        name: &str,
        email: &str,
        time: jiff::Timestamp,
        content: &[u8],
    ) -> Result<String, GitError> {
        match &*self.key {
            Key::OpenPgp(key) => key.sign(name, email, time, content),
            Key::Ssh(key) => key.sign(content),
        }
    }

    /// Whether a signature of a commit was made with this key over `content`.
    pub(crate) fn made(&self, signature: &str, content: &[u8]) -> bool {
        match &*self.key {
            Key::OpenPgp(key) => key.made(signature, content),
            Key::Ssh(key) => key.made(signature, content),
        }
    }

    /// The first user id of the key, where it has any: the signer as `git log`
    /// names it (`%GS`).
    pub(crate) fn user_id(&self) -> Option<String> {
        match &*self.key {
            Key::OpenPgp(key) => key.user_id(),
            Key::Ssh(_) => None,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.key {
            Key::OpenPgp(_) => "SigningKey(OpenPGP ***)",
            Key::Ssh(_) => "SigningKey(SSH ***)",
        })
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SigningKey {}

/// What a commit's signature is to us (`steps-git` 4.7 rule 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It has none.
    Unsigned,
    /// It was made with our key.
    Trusted,
    /// Somebody else's, or broken.
    Untrusted,
}

/// Looks at the signature of a commit.
pub(crate) fn trust(
    repository: &git2::Repository,
    commit: git2::Oid,
    key: Option<&SigningKey>,
) -> Trust {
    let Ok((signature, content)) = repository.extract_signature(&commit, None) else {
        return Trust::Unsigned;
    };
    let made = |key: &SigningKey| {
        std::str::from_utf8(&signature).is_ok_and(|signature| key.made(signature, &content))
    };
    if key.is_some_and(made) { Trust::Trusted } else { Trust::Untrusted }
}

/// A signer taken apart at the last `<` and `>`: name and e-mail address.
/// Without brackets all of it is the name (`steps-git` 4.5).
pub(crate) fn parse_signer(signer: &str) -> (String, String) {
    match (signer.rfind('<'), signer.rfind('>')) {
        (Some(open), Some(close)) if open < close => {
            let name = signer.get(..open).unwrap_or_default().trim();
            let email = signer.get(open + 1..close).unwrap_or_default().trim();
            (name.to_owned(), email.to_owned())
        }
        _ => (signer.trim().to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_are_taken_apart() {
        // spec: steps-git/16-3
        for (signer, name, email) in [
            ("Alice <Bot> Smith <a@e>", "Alice <Bot> Smith", "a@e"),
            ("<a@e>", "", "a@e"),
            ("Alice", "Alice", ""),
            ("> Alice <", "> Alice <", ""),
            ("", "", ""),
        ] {
            assert_eq!(parse_signer(signer), (name.to_owned(), email.to_owned()), "{signer}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for (text, expected) in [
            ("canary", "neither an OpenPGP private key"),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\ncanary",
                "OpenPGP signing key cannot be read",
            ),
            (
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ncanary",
                "OpenPGP signing key cannot be read",
            ),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\ncanary", "SSH signing key cannot be read"),
        ] {
            let error = SigningKey::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        assert!(SigningKey::parse(&long).unwrap_err().to_string().contains("larger than"));
    }
}
