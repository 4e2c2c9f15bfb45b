//! JSON Web Tokens signed with RS256 (RFC 7519, RFC 7518 3.3): what GitHub and
//! Google take as proof that one holds an RSA key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::secret::Secret;

/// An RSA private key from PEM, in PKCS #1 or PKCS #8.
///
/// # Errors
/// In words that tell nothing of the key.
pub(super) fn rsa_key(pem: &[u8]) -> Result<RsaKeyPair, &'static str> {
    const NONE: &str =
        "is no RSA private key in PEM; give the whole file, from -----BEGIN to -----END";
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| NONE)?;
    let parsed = match &der {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err("is not of kind RSA"),
    };
    parsed.map_err(|_| "cannot be used: RSA keys of 2048 to 4096 bits are")
}

/// The token with these claims. `key_id` goes into the header where it is not
/// empty.
///
/// # Errors
/// Where the key cannot sign.
pub(super) fn sign(key: &RsaKeyPair, key_id: &str, claims: &Value) -> Result<Secret, &'static str> {
    let header = if key_id.is_empty() {
        json!({"alg": "RS256", "typ": "JWT"})
    } else {
        json!({"alg": "RS256", "kid": key_id, "typ": "JWT"})
    };
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "cannot sign")?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
