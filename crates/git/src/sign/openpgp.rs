//! Signatures with an OpenPGP key, as `git` makes them with gpg.

use std::collections::HashSet;

use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId};
use pgp::types::{
    KeyDetails, KeyVersion, Password, SecretParams, SigningKey, Timestamp, VerifyingKey,
};
use sha2::{Digest, Sha512};

use crate::error::GitError;

pub(super) struct Key {
    key: SignedSecretKey,
    signer: Signer,
}

/// Which part of the key signs.
#[derive(Clone, Copy)]
enum Signer {
    Primary,
    Subkey(usize),
}

fn unreadable() -> GitError {
    GitError::Config(
        "the OpenPGP signing key cannot be read; give a whole private key, as `gpg --armor --export-secret-keys` prints it"
            .to_owned(),
    )
}

impl Key {
    pub(super) fn parse(text: &str) -> Result<Self, GitError> {
        let (key, _) = SignedSecretKey::from_string(text.trim()).map_err(|_| unreadable())?;
        key.verify_bindings().map_err(|_| {
            GitError::Config(
                "the OpenPGP signing key's own signatures do not hold; export it again".to_owned(),
            )
        })?;
        if !key.details.revocation_signatures.is_empty() {
            return Err(GitError::Config("the OpenPGP signing key is revoked".to_owned()));
        }
        let signer = choose(&key).ok_or_else(|| {
            let locked = |params: &SecretParams| matches!(params, SecretParams::Encrypted(_));
            let passphrase = locked(key.primary_key.secret_params())
                || key.secret_subkeys.iter().any(|s| locked(s.key.secret_params()));
            GitError::Config(if passphrase {
                "the OpenPGP signing key has a passphrase; give a key without one".to_owned()
            } else {
                "the OpenPGP signing key has no part that may sign".to_owned()
            })
        })?;
        Ok(Self { key, signer })
    }

    fn users(&self) -> impl Iterator<Item = &UserId> {
        self.key.details.users.iter().map(|user| &user.id)
    }

    pub(super) fn user_id(&self) -> Option<String> {
        self.users().next().map(|id| String::from_utf8_lossy(id.id()).into_owned())
    }

    pub(super) fn sign(
        &self,
        name: &str,
        email: &str,
        time: jiff::Timestamp,
        content: &[u8],
    ) -> Result<String, GitError> {
        self.check_user(name, email)?;
        let time = u32::try_from(time.as_second()).map(Timestamp::from_secs).map_err(|_| {
            GitError::Config("the commit's time does not fit into a signature".to_owned())
        })?;
        let signed = match self.signer {
            Signer::Primary => sign(&self.key.primary_key, time, content),
            Signer::Subkey(n) => match self.key.secret_subkeys.get(n) {
                Some(subkey) => sign(&subkey.key, time, content),
                None => return Err(unreadable()),
            },
        };
        signed
            .map_err(|e| GitError::Config(format!("the OpenPGP signing key cannot sign here: {e}")))
    }

    /// gpg finds the key by the committer as a part of a user id.
    fn check_user(&self, name: &str, email: &str) -> Result<(), GitError> {
        let wanted = format!("{name} <{email}>");
        let lower = wanted.to_lowercase();
        let ids: Vec<String> =
            self.users().map(|id| String::from_utf8_lossy(id.id()).into_owned()).collect();
        if ids.iter().any(|id| id.to_lowercase().contains(&lower)) {
            return Ok(());
        }
        Err(GitError::Config(format!(
            "the OpenPGP signing key has no user id {wanted:?}, so it cannot sign for that committer; it has {}: give the committer that name and address, or another key",
            if ids.is_empty() { "none".to_owned() } else { format!("{ids:?}") }
        )))
    }

    pub(super) fn made(&self, signature: &str, content: &[u8]) -> bool {
        let Ok((signature, _)) = DetachedSignature::from_string(signature) else { return false };
        let key = &self.key;
        verifies(&signature, key.primary_key.public_key(), content)
            || key.secret_subkeys.iter().any(|s| verifies(&signature, s.key.public_key(), content))
            || key.public_subkeys.iter().any(|s| verifies(&signature, &s.key, content))
    }
}

fn verifies(signature: &DetachedSignature, key: &impl VerifyingKey, content: &[u8]) -> bool {
    signature.verify(key, content).is_ok()
}

/// The newest subkey that may sign and is neither revoked nor locked, else the
/// primary key: what gpg takes.
fn choose(key: &SignedSecretKey) -> Option<Signer> {
    let plain = |params: &SecretParams| matches!(params, SecretParams::Plain(_));
    let subkey = key
        .secret_subkeys
        .iter()
        .enumerate()
        .filter(|(_, s)| {
            let revoked =
                s.signatures.iter().any(|sig| sig.typ() == Some(SignatureType::SubkeyRevocation));
            let may_sign = s.signatures.iter().any(|sig| sig.key_flags().sign());
            !revoked && may_sign && plain(s.key.secret_params())
        })
        .max_by_key(|(_, s)| s.key.created_at());
    if let Some((n, _)) = subkey {
        return Some(Signer::Subkey(n));
    }
    let signatures = key.details.users.iter().flat_map(|user| &user.signatures);
    let mut flags = signatures.chain(&key.details.direct_signatures).map(Signature::key_flags);
    // Without flags of its own a primary key may do all that its kind can.
    let unflagged = flags.clone().all(|f| f == Default::default());
    let may_sign = unflagged || flags.any(|f| f.sign());
    (may_sign && plain(key.primary_key.secret_params())).then_some(Signer::Primary)
}

/// A detached signature in ASCII armour, with the time given and nothing random.
fn sign(
    key: &impl SigningKey,
    time: Timestamp,
    content: &[u8],
) -> Result<String, pgp::errors::Error> {
    let hash = strong(key.hash_alg());
    let mut config = match key.version() {
        KeyVersion::V6 => {
            // The salt must be the same when the step is replayed.
            let mut salt = Sha512::new();
            salt.update(key.fingerprint().as_bytes());
            salt.update(time.as_secs().to_be_bytes());
            salt.update(content);
            let mut salt = salt.finalize().to_vec();
            salt.truncate(hash.salt_len().unwrap_or(32));
            SignatureConfig::v6_with_salt(SignatureType::Binary, key.algorithm(), hash, salt)
        }
        _ => SignatureConfig::v4(SignatureType::Binary, key.algorithm(), hash),
    };
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        Subpacket::critical(SubpacketData::SignatureCreationTime(time))?,
    ];
    if key.version() < KeyVersion::V6 {
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
    }
    let signature = DetachedSignature::new(config.sign(key, &Password::empty(), content)?);
    signature.to_armored_string(ArmorOptions::default())
}

/// At least SHA-256, whatever an old key prefers.
fn strong(hash: HashAlgorithm) -> HashAlgorithm {
    let weak: HashSet<HashAlgorithm> =
        [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224]
            .into();
    if weak.contains(&hash) { HashAlgorithm::Sha256 } else { hash }
}
