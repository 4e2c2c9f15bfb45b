//! What a test's API server presents to its clients, and the key that signs
//! the tokens of ServiceAccounts. All of it lives as long as the server.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The names under which the API server is reached: from this machine, and
/// from pods.
const NAMES: [&str; 5] =
    ["127.0.0.1", "localhost", "10.0.0.1", "kubernetes", "kubernetes.default.svc"];

/// What clients of a server need to trust it.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The authority's certificate as PEM.
    pub pem: String,
    /// The same as DER.
    pub der: Vec<u8>,
}

/// Writes `server.crt`, `server.key`, `tokens.key` and `tokens.pub` into a
/// folder.
///
/// # Errors
/// What cannot be made or written.
pub fn write(folder: &Path) -> Result<Authority, String> {
    let (authority, server, key) = make().map_err(|e| format!("certificates: {e}"))?;
    let tokens = KeyPair::generate().map_err(|e| format!("the key of tokens: {e}"))?;
    for (name, text) in [
        ("server.crt", server),
        ("server.key", key),
        ("tokens.key", tokens.serialize_pem()),
        ("tokens.pub", tokens.public_key_pem()),
        ("authority.crt", authority.pem.clone()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(authority)
}

fn make() -> Result<(Authority, String, String), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "tests");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names: Vec<String> = NAMES.iter().map(|n| (*n).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let server = params.signed_by(&key, &issuer)?;
    let authority = Authority { pem: issuer.pem(), der: issuer.der().to_vec() };
    Ok((authority, server.pem(), key.serialize_pem()))
}
