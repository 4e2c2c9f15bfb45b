//! SSH private keys (`credentials` 6.2): looked at before they are used, so
//! that a wrong one is told in words and not as a refusal of the server.

use crate::credential::{CredentialKind, Login, SshKey, StoredSecret};
use crate::error::Unusable;
use crate::secret::Secret;

use super::Plan;

/// The data key with lines of a `known_hosts` file; ours, upstream has none.
pub(crate) const KNOWN_HOSTS: &str = "sshKnownHosts";

/// The key as it is presented.
pub(super) fn plan(kind: CredentialKind, secret: &StoredSecret) -> Result<Plan, Unusable> {
    let written = secret.text("sshPrivateKey");
    if written.is_empty() {
        return Ok(Plan::Nothing("its sshPrivateKey is empty; fill it in".to_owned()));
    }
    if kind != CredentialKind::Git {
        return Ok(Plan::Nothing(
            "an SSH key serves Git repositories only; label the Secret git".to_owned(),
        ));
    }
    check(written).map_err(|wrong| Unusable::config(format!("its sshPrivateKey {wrong}")))?;
    // Libraries insist on the last line break and on plain ones.
    let mut text = written.trim().replace("\r\n", "\n");
    text.push('\n');
    let known_hosts =
        Some(secret.text(KNOWN_HOSTS)).filter(|text| !text.trim().is_empty()).map(str::to_owned);
    Ok(Plan::Present(Login::SshKey(SshKey { private_key: Secret::new(text), known_hosts })))
}

/// What is wrong with a key, without telling any of it.
fn check(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    let first = text.lines().next().unwrap_or_default().trim();
    if ["ssh-", "ecdsa-", "sk-"].iter().any(|start| first.starts_with(start))
        || first.contains("PUBLIC KEY")
    {
        return Err("is a public key; give the private one, the file without .pub");
    }
    if first.starts_with("PuTTY-User-Key-File") {
        return Err(
            "is in PuTTY's format; export it as an OpenSSH key (puttygen -O private-openssh)",
        );
    }
    if !(first.starts_with("-----BEGIN ") && first.ends_with("PRIVATE KEY-----")) {
        return Err(
            "is no private key: it does not start with -----BEGIN … PRIVATE KEY-----; give the whole file as it is",
        );
    }
    let last = text.lines().last().unwrap_or_default().trim();
    if !(last.starts_with("-----END ") && last.ends_with("PRIVATE KEY-----")) {
        return Err("is cut off: it does not end with -----END … PRIVATE KEY-----");
    }
    if is_encrypted(text) {
        return Err(
            "is protected by a passphrase, which nobody is here to type; give one without (ssh-keygen -p)",
        );
    }
    Ok(())
}

/// Whether a passphrase is needed, in each of the three formats.
fn is_encrypted(text: &str) -> bool {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return true;
    }
    if !text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return false;
    }
    // "openssh-key-v1\0", then the cipher's name with its length before it.
    let body: String =
        text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let Some(bytes) = super::decode_base64(&body) else { return false };
    let Some(rest) = bytes.strip_prefix(b"openssh-key-v1\0") else { return false };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return false };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length).is_some_and(|cipher| cipher != b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_told_in_words() {
        let open = "-----BEGIN OPENSSH PRIVATE KEY-----";
        let cases = [
            ("ssh-ed25519 AAAAC3canary me@host".to_owned(), "is a public key"),
            ("-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----".to_owned(), "is a public key"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\ncanary".to_owned(), "is in PuTTY's format"),
            ("canary".to_owned(), "is no private key"),
            (format!("{open}\ncanary"), "is cut off"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary\n-----END ENCRYPTED PRIVATE KEY-----".to_owned(),
                "is protected by a passphrase",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\ncanary\n-----END RSA PRIVATE KEY-----".to_owned(),
                "is protected by a passphrase",
            ),
            (
                // The head of a key made with ssh-keygen -N word.
                format!("{open}\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0\n-----END OPENSSH PRIVATE KEY-----"),
                "is protected by a passphrase",
            ),
        ];
        for (key, start) in cases {
            let said = check(&key).unwrap_err();
            assert!(said.starts_with(start), "{said}");
            assert!(!said.contains("canary"));
        }
        let plain = format!(
            "{open}\r\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\r\n-----END OPENSSH PRIVATE KEY-----\r\n"
        );
        assert_eq!(check(&plain), Ok(()));
    }
}
