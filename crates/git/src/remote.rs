//! A repository at a server: its addresses, its credentials, and the
//! conversation with it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use git2::{CertificateCheckStatus, CredentialType, ErrorClass as C, ErrorCode, RemoteCallbacks};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::address::{self, Address, Place, UrlRewrites};
use crate::error::{GitError, tidy};
use crate::http::{self, Clients};
use crate::known_hosts::{self, Known};

/// A value that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(Arc<Zeroizing<String>>);

impl Hidden {
    fn new(value: &str) -> Self {
        Self(Arc::new(Zeroizing::new(value.to_owned())))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    Basic { username: Hidden, password: Hidden },
    SshKey { key: Hidden, known_hosts: Option<Arc<str>> },
}

impl Login {
    /// Every way in which the secret part may stand in a text, the longest
    /// first: as it is, percent-encoded as in a URL, and in base64 as it is
    /// sent. Values too short to be secret are left out.
    fn spellings(&self) -> Vec<Zeroizing<String>> {
        let mut all = Vec::new();
        let mut add = |secret: &str| {
            if secret.len() > 3 {
                let encoded: String =
                    url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                all.extend([Zeroizing::new(secret.to_owned()), Zeroizing::new(encoded)]);
            }
        };
        match self {
            Self::SshKey { key, .. } => add(&key.0),
            Self::Basic { username, password } => {
                add(&password.0);
                // A token may stand where the user name belongs.
                if password.0.is_empty() {
                    add(&username.0);
                }
                let pair =
                    Zeroizing::new(format!("{}:{}", username.0.as_str(), password.0.as_str()));
                let sent = STANDARD_NO_PAD.encode(pair.as_bytes());
                if pair.len() > 4 {
                    all.push(Zeroizing::new(sent));
                }
            }
        }
        all.sort_by_key(|text| std::cmp::Reverse(text.len()));
        all
    }
}

/// What to present to a server, and where it comes from. Its `Debug` hides
/// the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    login: Login,
    source: String,
    identity: String,
}

impl Auth {
    /// A user name with a password or token.
    ///
    /// `source` names where they come from, for messages (`Secret ns/name`);
    /// `identity` is what stays the same when the password changes (the
    /// Secret's UID): shared data is kept apart by it.
    pub fn basic(username: &str, password: &str, source: &str, identity: &str) -> Self {
        Self {
            login: Login::Basic {
                // Tokens stand here as well: it is not shown either.
                username: Hidden::new(username),
                password: Hidden::new(password),
            },
            source: source.to_owned(),
            identity: identity.to_owned(),
        }
    }

    /// An SSH private key (PEM, without passphrase), shown to any server that
    /// is at the address. See [`Auth::basic`] and [`Auth::with_known_hosts`].
    pub fn ssh_key(key: &str, source: &str, identity: &str) -> Self {
        Self {
            login: Login::SshKey { key: Hidden::new(key), known_hosts: None },
            source: source.to_owned(),
            identity: identity.to_owned(),
        }
    }

    /// Presented only to servers whose host key these lines of a `known_hosts`
    /// file have. Without effect on passwords, which go over TLS.
    #[must_use]
    pub fn with_known_hosts(mut self, lines: &str) -> Self {
        if let Login::SshKey { known_hosts, .. } = &mut self.login {
            *known_hosts = Some(lines.into());
        }
        self
    }

    /// A digest of the values themselves: another one after they changed.
    fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        match &self.login {
            Login::Basic { username, password } => {
                digest.update(username.0.as_bytes());
                digest.update([0]);
                digest.update(password.0.as_bytes());
            }
            Login::SshKey { key, known_hosts } => {
                digest.update(key.0.as_bytes());
                digest.update([0]);
                digest.update(known_hosts.as_deref().unwrap_or_default().as_bytes());
            }
        }
        hex::encode(digest.finalize())
    }
}

/// A repository at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    public: String,
    access: Address,
    auth: Option<Auth>,
    insecure_skip_tls_verify: bool,
}

impl Remote {
    /// The repository at `url`, asked for where `rewrites` say. Userinfo in
    /// the URL is taken out of it and used as credentials only where `auth` is
    /// absent.
    ///
    /// # Errors
    /// [`GitError::Config`] for what is no URL of a repository.
    pub fn new(
        url: &str,
        rewrites: &UrlRewrites,
        auth: Option<Auth>,
        insecure_skip_tls_verify: bool,
    ) -> Result<Self, GitError> {
        let public = address::parse(url)?;
        let access = address::parse(&rewrites.apply(&public.clean))?;
        let in_url = match (&public.user, &public.password) {
            (Some(user), Some(password)) => Some((user.as_str(), password.as_str())),
            // A lone token, as in https://TOKEN@host/path.
            (Some(token), None) if public.place.scheme != "ssh" => Some((token.as_str(), "")),
            _ => None,
        };
        let auth = auth.or_else(|| {
            in_url.map(|(user, password)| {
                let auth = Auth::basic(user, password, "the URL's userinfo", "");
                Auth { identity: format!("url:{}", auth.fingerprint()), ..auth }
            })
        });
        Ok(Self { public: public.clean, access, auth, insecure_skip_tls_verify })
    }

    /// The address that people know it by, without userinfo.
    pub fn url(&self) -> &str {
        &self.public
    }

    /// With the other's credentials, where it has none of its own and is at the
    /// same server.
    #[must_use]
    pub fn or_auth_of(mut self, other: &Remote) -> Self {
        if self.auth.is_none() && self.access.place.same_server(&other.access.place) {
            self.auth = other.auth.clone();
        }
        self
    }

    /// The server that is asked, with its port where it is unusual.
    pub fn host(&self) -> String {
        self.public_place().map_or_else(|| self.access.place.shown_host(), |p| p.shown_host())
    }

    fn public_place(&self) -> Option<Place> {
        address::parse(&self.public).ok().map(|a| a.place)
    }

    pub(crate) fn access_url(&self) -> &str {
        &self.access.clean
    }

    pub(crate) fn insecure(&self) -> bool {
        self.insecure_skip_tls_verify
    }

    /// What a mirror of it is kept under: scheme, host, port, path, and whose
    /// credentials it was read with.
    pub(crate) fn mirror_key(&self) -> String {
        let Place { scheme, host, port, path } = &self.access.place;
        let who = self.auth.as_ref().map_or("anonymous", |a| a.identity.as_str());
        let mut digest = Sha256::new();
        for part in [scheme.as_str(), host, &port.to_string(), path, who] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        hex::encode(digest.finalize()).chars().take(40).collect()
    }

    /// Changes when the credentials' values do.
    pub(crate) fn fingerprint(&self) -> String {
        self.auth.as_ref().map_or_else(|| "anonymous".to_owned(), Auth::fingerprint)
    }

    fn used(&self) -> String {
        self.auth.as_ref().map_or_else(|| "anonymous access".to_owned(), |a| a.source.clone())
    }

    /// User name and password, where there are any.
    pub(crate) fn basic_auth(&self) -> Option<(&str, &str)> {
        match &self.auth.as_ref()?.login {
            Login::Basic { username, password } => Some((&username.0, &password.0)),
            _ => None,
        }
    }

    /// Whether an address is at the server that the credentials are for.
    pub(crate) fn is_at_server(&self, address: &str) -> bool {
        address::parse(address).is_ok_and(|a| a.place.same_server(&self.access.place))
    }

    /// That the server sends us elsewhere.
    pub(crate) fn redirected(&self, to: &url::Url) -> GitError {
        let asking = address::parse(to.as_str())
            .map_or_else(|_| "another server".to_owned(), |a| a.place.shown_host());
        let (host, url) = (self.host(), &self.public);
        match &self.auth {
            Some(auth) => GitError::OtherHost { asking, host, source_of: auth.source.clone() },
            None => GitError::Config(format!(
                "{host} redirects {url} to {asking}, which is not followed; use the address there as repoURL if you trust it"
            )),
        }
    }

    /// What a status of HTTP refuses, if it is that kind of status.
    pub(crate) fn refused(&self, status: u16) -> Option<GitError> {
        let (host, url) = (self.host(), self.public.clone());
        match (status, &self.auth) {
            (401 | 403, None) => Some(GitError::NoCredential { host, url }),
            (401 | 403, Some(auth)) => {
                let detail = if status == 403 { " (HTTP 403)".to_owned() } else { String::new() };
                Some(GitError::Refused { host, url, source_of: auth.source.clone(), detail })
            }
            (404, _) => Some(GitError::RepositoryNotFound {
                url,
                detail: " (HTTP 404)".to_owned(),
                used: self.used(),
            }),
            _ => None,
        }
    }

    /// What a server or libgit2 said, fit to be shown.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let mut text = text.replace(&self.access.clean, &self.public);
        for secret in self.auth.iter().flat_map(|auth| auth.login.spellings()) {
            text = text.replace(secret.as_str(), "***");
        }
        tidy(&text)
    }

    /// Libgit2's error as ours.
    pub(crate) fn explain(
        &self,
        error: &git2::Error,
        doing: &str,
        state: &Conversation,
    ) -> GitError {
        if let Some(known) = state.reason() {
            return known;
        }
        let (host, url) = (self.host(), self.public.clone());
        let said = self.scrub(error.message());
        let status =
            said.rsplit_once("status code: ").and_then(|(_, code)| code.trim().parse::<u16>().ok());
        match (status, error.code(), error.class()) {
            (Some(401 | 403), _, _) | (_, ErrorCode::Auth, _) => match &self.auth {
                Some(auth) => GitError::Refused {
                    host,
                    url,
                    source_of: auth.source.clone(),
                    detail: format!(" ({said})"),
                },
                None => GitError::NoCredential { host, url },
            },
            (Some(404), _, _) => GitError::RepositoryNotFound {
                url,
                detail: " (HTTP 404)".to_owned(),
                used: self.used(),
            },
            // libgit2 has the code only where a callback refuses.
            (_, ErrorCode::Certificate, _) | (_, _, C::Ssl) if is_of_a_certificate(error) => {
                GitError::Config(format!(
                    "the certificate of {host} is not trusted: {said}; add its authority to the trusted certificates, or set insecureSkipTLSVerify"
                ))
            }
            // The disk speaks in this class, too.
            (_, _, C::Os) if !is_of_the_network(&said) => {
                GitError::Internal { doing: doing.to_owned(), message: said }
            }
            (Some(_), _, _)
            | (_, ErrorCode::Timeout | ErrorCode::Eof, _)
            | (_, _, C::Net | C::Http | C::Ssl | C::Ssh | C::Os) => {
                GitError::Network { host, doing: doing.to_owned(), message: said }
            }
            _ => GitError::Internal { doing: doing.to_owned(), message: said },
        }
    }
}

/// Whether an error is about a server's certificate.
fn is_of_a_certificate(error: &git2::Error) -> bool {
    error.code() == ErrorCode::Certificate || error.message().contains("certificate")
}

/// Whether an error of the operating system comes from a connection.
fn is_of_the_network(said: &str) -> bool {
    let said = said.to_lowercase();
    ["connect", "resolve", "socket", "timed out", "receiv", "send", "peer", "network", "poll"]
        .iter()
        .any(|word| said.contains(word))
}

/// The bounds of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) limit: Duration,
    pub(crate) cancel: CancellationToken,
    pub(crate) max_bytes: u64,
    pub(crate) clients: Clients,
}

impl Bounds {
    pub(crate) fn check(&self, doing: &str) -> Result<(), GitError> {
        if self.cancel.is_cancelled() {
            return Err(GitError::Cancelled { doing: doing.to_owned() });
        }
        if Instant::now() >= self.deadline {
            return Err(GitError::Timeout { doing: doing.to_owned(), limit: self.limit });
        }
        Ok(())
    }
}

/// How a push of one reference went.
#[derive(Clone, Debug)]
pub(crate) struct PushStatus {
    pub(crate) reference: String,
    pub(crate) refusal: Option<String>,
}

#[derive(Debug, Default)]
struct Noted {
    reason: Option<GitError>,
    said: String,
    pushed: Vec<PushStatus>,
}

/// One conversation with a server: what its callbacks note. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    remote: Remote,
    bounds: Bounds,
    doing: &'static str,
    tried: Arc<AtomicBool>,
    noted: Arc<Mutex<Noted>>,
}

/// How much of a server's remarks (`remote: …`) is kept, in bytes.
const MAX_REMARKS: usize = 4096;

impl Conversation {
    pub(crate) fn new(remote: &Remote, bounds: &Bounds, doing: &'static str) -> Self {
        Self {
            remote: remote.clone(),
            bounds: bounds.clone(),
            doing,
            tried: Arc::default(),
            noted: Arc::default(),
        }
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What is being done, for messages.
    pub(crate) fn doing(&self) -> &'static str {
        self.doing
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Option<GitError> {
        self.noted().reason.clone()
    }

    /// Notes why we break off, and makes libgit2 do so.
    pub(crate) fn stop(&self, reason: GitError) -> git2::Error {
        let error = git2::Error::new(ErrorCode::User, C::Callback, "stopped");
        self.noted().reason.get_or_insert(reason);
        error
    }

    fn go_on(&self) -> bool {
        match self.bounds.check(self.doing) {
            Ok(()) => true,
            Err(reason) => {
                self.stop(reason);
                false
            }
        }
    }

    /// What the server said on the side, fit to be shown.
    pub(crate) fn remarks(&self) -> String {
        self.remote.scrub(&self.noted().said)
    }

    pub(crate) fn pushed(&self) -> Vec<PushStatus> {
        self.noted().pushed.clone()
    }

    pub(crate) fn explain(&self, error: &git2::Error) -> GitError {
        self.remote.explain(error, self.doing, self)
    }

    fn credential(
        &self,
        asking: &str,
        in_url: Option<&str>,
        allowed: CredentialType,
    ) -> Result<git2::Cred, git2::Error> {
        let remote = &self.remote;
        let (host, url) = (remote.host(), remote.public.clone());
        let Some(auth) = &remote.auth else {
            return Err(self.stop(GitError::NoCredential { host, url }));
        };
        let place = address::parse(asking).map(|a| a.place);
        if !place.as_ref().is_ok_and(|place| place.same_server(&remote.access.place)) {
            let asking = place.map_or_else(|_| "another server".to_owned(), |p| p.shown_host());
            let source_of = auth.source.clone();
            return Err(self.stop(GitError::OtherHost { asking, host, source_of }));
        }
        match &auth.login {
            Login::SshKey { key, .. } => {
                let user = in_url.or(remote.access.user.as_deref()).unwrap_or("git");
                if allowed.contains(CredentialType::USERNAME) {
                    return git2::Cred::username(user);
                }
                self.once(auth)?;
                git2::Cred::ssh_key_from_memory(user, None, &key.0, None)
            }
            Login::Basic { username, password } => {
                self.once(auth)?;
                git2::Cred::userpass_plaintext(&username.0, &password.0)
            }
        }
    }

    /// The same credentials a second time means that they were refused.
    fn once(&self, auth: &Auth) -> Result<(), git2::Error> {
        if self.tried.swap(true, Ordering::SeqCst) {
            return Err(self.stop(GitError::Refused {
                host: self.remote.host(),
                url: self.remote.public.clone(),
                source_of: auth.source.clone(),
                detail: String::new(),
            }));
        }
        Ok(())
    }

    /// An SSH server's key is checked where the credential lists host keys;
    /// without such a list any is taken, as in Kargo.
    fn check_host_key(&self, shown: Option<&[u8]>) -> Result<(), git2::Error> {
        let Some(Auth { login: Login::SshKey { known_hosts: Some(lines), .. }, source, .. }) =
            &self.remote.auth
        else {
            return Ok(());
        };
        let Place { host, port, .. } = &self.remote.access.place;
        let shown = shown.unwrap_or_default();
        let wrong = match known_hosts::look_up(lines, host, *port, shown) {
            Known::Yes => return Ok(()),
            Known::No => "lists no key for this server",
            Known::ByOtherKeys => "lists other keys for this server",
            Known::Revoked => "lists this key as revoked",
        };
        Err(self.stop(GitError::Config(format!(
            "the host key {} of {} is not trusted: sshKnownHosts of {source} {wrong}; if the key is the server's, add what ssh-keyscan prints for it",
            known_hosts::fingerprint(shown),
            self.remote.access.place.shown_host(),
        ))))
    }

    /// The callbacks of one connection, which this thread is about to make.
    pub(crate) fn callbacks(&self) -> RemoteCallbacks<'static> {
        http::prepare(self);
        let mut callbacks = RemoteCallbacks::new();
        let this = self.clone();
        callbacks.credentials(move |asking, user, allowed| this.credential(asking, user, allowed));
        let this = self.clone();
        callbacks.certificate_check(move |certificate, _host| {
            if let Some(shown) = certificate.as_hostkey() {
                this.check_host_key(shown.hostkey())?;
                return Ok(CertificateCheckStatus::CertificateOk);
            }
            Ok(if this.remote.insecure() {
                CertificateCheckStatus::CertificateOk
            } else {
                CertificateCheckStatus::CertificatePassthrough
            })
        });
        let this = self.clone();
        callbacks.transfer_progress(move |progress| {
            if progress.received_bytes() as u64 > this.bounds.max_bytes {
                this.stop(GitError::TooLarge {
                    url: this.remote.public.clone(),
                    limit: this.bounds.max_bytes,
                });
                return false;
            }
            this.go_on()
        });
        let this = self.clone();
        callbacks.sideband_progress(move |said| {
            let mut noted = this.noted();
            let room = MAX_REMARKS.saturating_sub(noted.said.len());
            let text =
                String::from_utf8_lossy(said.get(..room.min(said.len())).unwrap_or_default());
            noted.said.push_str(&text);
            drop(noted);
            this.go_on()
        });
        let this = self.clone();
        callbacks.push_update_reference(move |reference, refusal| {
            let refusal = refusal.map(|text| this.remote.scrub(text));
            this.noted().pushed.push(PushStatus { reference: reference.to_owned(), refusal });
            Ok(())
        });
        callbacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_of_a_token_is_not_shown() {
        let remote = |username: &str, password: &str| {
            let auth = Auth::basic(username, password, "Secret a/b", "uid");
            let url = "https://your.git/repo.git";
            Remote::new(url, &UrlRewrites::new(), Some(auth), false).unwrap()
        };
        let cases = [
            ("robot", "p@ss/word", "no p@ss/word", "no ***"),
            ("robot", "p@ss/word", "no p%40ss%2Fword", "no ***"),
            // What is sent as Authorization, with and without its padding.
            ("robot", "p@ss/word", "Basic cm9ib3Q6cEBzcy93b3Jk", "Basic ***"),
            ("robots", "p@ss/word", "Basic cm9ib3RzOnBAc3Mvd29yZA==", "Basic ***=="),
            ("robot", "p@ss/word", "robot may not", "robot may not"),
            ("a-token", "", "a-token may not", "*** may not"),
            ("a", "b", "a b YTpi", "a b YTpi"),
        ];
        for (username, password, said, shown) in cases {
            assert_eq!(remote(username, password).scrub(said), shown, "{said}");
        }
    }
}
