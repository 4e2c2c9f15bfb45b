//! Signatures with an SSH key, as `git` makes them with `gpg.format=ssh`.

use rsa::BigUint;
use rsa::signature::{SignatureEncoding, Signer};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::{Algorithm, HashAlg, LineEnding, Mpint, PrivateKey, Signature, SshSig};

use crate::error::GitError;

/// What `git` signs under (`ssh-keygen -Y sign -n git`).
const NAMESPACE: &str = "git";

pub(super) struct Key(PrivateKey);

impl Key {
    pub(super) fn parse(text: &str) -> Result<Self, GitError> {
        // A Secret's value often lacks the line break at the end.
        let text = format!("{}\n", text.trim());
        let key = PrivateKey::from_openssh(text).map_err(|_| {
            GitError::Config(
                "the SSH signing key cannot be read; give a whole OpenSSH private key".to_owned(),
            )
        })?;
        if key.is_encrypted() {
            return Err(GitError::Config(
                "the SSH signing key has a passphrase; give a key without one".to_owned(),
            ));
        }
        let key = Self(key);
        // Keys on security tokens and of retired kinds cannot sign here.
        key.sign(b"")?;
        Ok(key)
    }

    pub(super) fn sign(&self, content: &[u8]) -> Result<String, GitError> {
        let signed = match self.0.key_data() {
            KeypairData::Rsa(pair) => self.sign_rsa(pair, content),
            _ => self.0.sign(NAMESPACE, HashAlg::Sha512, content),
        };
        signed.and_then(|signature| signature.to_pem(LineEnding::LF)).map_err(|e| {
            GitError::Config(format!(
                "the SSH signing key ({}) cannot sign here: {e}; use an Ed25519, ECDSA or RSA key",
                self.0.algorithm()
            ))
        })
    }

    /// By hand: `ssh-key` 0.6 takes one of the two primes twice and then fails.
    fn sign_rsa(&self, pair: &RsaKeypair, content: &[u8]) -> Result<SshSig, ssh_key::Error> {
        let number = |mpint: &Mpint| {
            mpint.as_positive_bytes().map(BigUint::from_bytes_be).ok_or(ssh_key::Error::Crypto)
        };
        let crypto = |_: rsa::errors::Error| ssh_key::Error::Crypto;
        let key = rsa::RsaPrivateKey::from_components(
            number(&pair.public.n)?,
            number(&pair.public.e)?,
            number(&pair.private.d)?,
            vec![number(&pair.private.p)?, number(&pair.private.q)?],
        )
        .map_err(crypto)?;
        let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, content)?;
        let signature = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha512>::new(key)
            .try_sign(&data)
            .map_err(|_| ssh_key::Error::Crypto)?;
        let algorithm = Algorithm::Rsa { hash: Some(HashAlg::Sha512) };
        let signature = Signature::new(algorithm, signature.to_vec())?;
        let public = self.0.public_key().key_data().clone();
        SshSig::new(public, NAMESPACE, HashAlg::Sha512, signature)
    }

    pub(super) fn made(&self, signature: &str, content: &[u8]) -> bool {
        SshSig::from_pem(signature).is_ok_and(|signature| {
            self.0.public_key().verify(NAMESPACE, content, &signature).is_ok()
        })
    }
}
