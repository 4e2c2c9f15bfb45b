//! Which host keys a server may show: lines of a `known_hosts` file, as
//! sshd(8) describes them ("SSH_KNOWN_HOSTS FILE FORMAT").

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::hmac;
use sha2::{Digest, Sha256};

/// How many lines are looked at.
const MAX_LINES: usize = 10_000;

/// What the lines say about a server's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is the server's.
    Yes,
    /// The server is known by other keys.
    ByOtherKeys,
    /// No line is about the server.
    No,
    /// The key was withdrawn.
    Revoked,
}

/// What the lines say about this key of the server at `host` and `port`.
/// Lines that cannot be read, and certificate authorities, count for nothing.
pub(crate) fn look_up(lines: &str, host: &str, port: u16, key: &[u8]) -> Known {
    let host = host.trim_matches(['[', ']']).to_lowercase();
    // The usual port is not written.
    let name = if port == 22 { host } else { format!("[{host}]:{port}") };
    let mut known = Known::No;
    for line in lines.lines().take(MAX_LINES) {
        let Some(line) = Line::read(line) else { continue };
        if !line.is_about(&name) {
            continue;
        }
        match (line.revoked, line.key == key) {
            (true, true) => return Known::Revoked,
            (false, true) => known = Known::Yes,
            (false, false) if known == Known::No => known = Known::ByOtherKeys,
            _ => {}
        }
    }
    known
}

/// A key as people compare it: `SHA256:…`.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

struct Line<'a> {
    revoked: bool,
    hosts: &'a str,
    key: Vec<u8>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let revoked = match marker {
            None => false,
            Some("@revoked") => true,
            Some(_) => return None,
        };
        let hosts = words.next().filter(|hosts| !hosts.starts_with('#'))?;
        let _kind = words.next()?;
        Some(Self { revoked, hosts, key: STANDARD.decode(words.next()?).ok()? })
    }

    fn is_about(&self, name: &str) -> bool {
        if let Some(hashed) = self.hosts.strip_prefix("|1|") {
            return is_hash_of(hashed, name).unwrap_or(false);
        }
        let mut about = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(pattern) if matches(pattern, name) => return false,
                None if matches(pattern, name) => about = true,
                _ => {}
            }
        }
        about
    }
}

/// `salt|hash`, both in base64: the HMAC-SHA-1 of the name.
fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &STANDARD.decode(salt).ok()?);
    Some(hmac::sign(&key, name.as_bytes()).as_ref() == STANDARD.decode(hash).ok()?)
}

/// Whether a pattern with `*` and `?` is about the name.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_lowercase();
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if wanted == byte || *wanted == b'?' => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_key_is_looked_up_as_ssh_does() {
        let key = STANDARD.encode(b"the key");
        let other = STANDARD.encode(b"another key");
        // As `ssh-keygen -H` writes a host's name.
        let salt = b"12345678901234567890";
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
        let hash = STANDARD.encode(hmac::sign(&mac, b"[your.git]:2222"));
        let hashed = format!("|1|{}|{hash} ssh-rsa {key}", STANDARD.encode(salt));
        let cases = [
            (format!("your.git ssh-rsa {key}"), 22, Known::Yes),
            (format!("# note\n\nother,your.git ssh-rsa {key} comment"), 22, Known::Yes),
            (format!("YOUR.git ssh-rsa {key}"), 22, Known::Yes),
            (format!("your.git ssh-rsa {key}"), 2222, Known::No),
            (format!("[your.git]:2222 ssh-rsa {key}"), 2222, Known::Yes),
            (format!("*.git ssh-rsa {key}"), 22, Known::Yes),
            (format!("y?ur.* ssh-rsa {key}"), 22, Known::Yes),
            (format!("*.git,!your.git ssh-rsa {key}"), 22, Known::No),
            (format!("your.git ssh-rsa {other}"), 22, Known::ByOtherKeys),
            (format!("your.git ssh-rsa {other}\nyour.git ssh-rsa {key}"), 22, Known::Yes),
            (format!("your.git ssh-rsa {key}\n@revoked * ssh-rsa {key}"), 22, Known::Revoked),
            (format!("@cert-authority * ssh-rsa {key}"), 22, Known::No),
            (format!("another.git ssh-rsa {key}"), 22, Known::No),
            (hashed.clone(), 2222, Known::Yes),
            (hashed, 22, Known::No),
            ("your.git ssh-rsa ***\nyour.git\n|1|x ssh-rsa eA==".to_owned(), 22, Known::No),
            (String::new(), 22, Known::No),
        ];
        for (lines, port, known) in cases {
            assert_eq!(look_up(&lines, "your.git", port, b"the key"), known, "{lines}");
        }
        assert_eq!(
            fingerprint(b"the key"),
            format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(b"the key")))
        );
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let name = "a".repeat(200);
        assert!(!matches(&format!("{}b", "*a".repeat(80)), &name));
        assert!(matches(&format!("{}*", "*a".repeat(80)), &name));
    }
}
