//! Smart HTTP, as libgit2's transport for `http` and `https`.
//!
//! libgit2's own has no bound on what a listing may bring, none on the time
//! that a server which sends a byte a second may take, and follows redirects
//! to other ports of a host. Here every wait ends with the operation's
//! deadline or its cancellation, everything has a size, credentials go to the
//! server that they are for alone, and connections are kept and shared.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use crate::error::{GitError, tidy};
use crate::pace::{LOW_SPEED, Pace};
use crate::remote::{Bounds, Conversation};
use crate::settings::ProcessSettings;
use crate::told::OnRequest;

/// The largest listing of references, in bytes.
const MAX_LISTING: u64 = 128 << 20;
/// The largest request (a push's pack), in bytes.
const MAX_REQUEST: usize = 1 << 30;
/// How many redirects of one server are followed.
const MAX_REDIRECTS: usize = 5;
/// The longest that a server may ask us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The connections of one [`crate::Git`]. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    checked: Client,
    unchecked: Client,
    /// How long a server may send nothing, or next to nothing.
    patience: Duration,
    on_request: OnRequest,
}

impl Clients {
    /// Clients that trust the authorities that `settings` name.
    pub(crate) fn new(settings: &ProcessSettings, on_request: &OnRequest) -> Result<Self, String> {
        // Another part of the process may have done so; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut authorities = Vec::new();
        if let Some(file) = &settings.ca_file {
            let pem = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
            authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|e| format!("{}: {e}", file.display()))?;
        }
        let client = |insecure: bool| {
            let mut builder = Client::builder()
                .user_agent("git/2.0 (supercargo)")
                .connect_timeout(settings.connect_timeout)
                .tls_danger_accept_invalid_certs(insecure)
                .redirect(reqwest::redirect::Policy::none());
            if settings.ca_file.is_some() {
                builder = builder.tls_certs_only(authorities.iter().cloned());
            }
            builder.build().map_err(|e| e.to_string())
        };
        Ok(Self {
            checked: client(false)?,
            unchecked: client(true)?,
            patience: settings.server_timeout,
            on_request: on_request.clone(),
        })
    }
}

thread_local! {
    /// What this thread is about to say to a server: libgit2 makes transports
    /// without telling for whom.
    static CURRENT: RefCell<Option<Conversation>> = const { RefCell::new(None) };
}

/// The next connection of this thread belongs to `conversation`.
pub(crate) fn prepare(conversation: &Conversation) {
    CURRENT.with(|current| current.replace(Some(conversation.clone())));
}

/// Makes the transport of a connection.
pub(crate) fn transport(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let conversation = CURRENT.with(|current| current.borrow().clone()).ok_or_else(|| {
        git2::Error::from_str("a connection was made without a conversation to belong to")
    })?;
    Transport::smart(remote, true, Http { conversation, base: Arc::default() })
}

/// Where a repository was redirected to, if it was.
type Base = Arc<std::sync::Mutex<Option<Url>>>;

struct Http {
    conversation: Conversation,
    base: Base,
}

impl SmartSubtransport for Http {
    fn action(
        &self,
        url: &str,
        action: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (suffix, kind, lists) = match action {
            Service::UploadPackLs => ("info/refs?service=git-upload-pack", "upload-pack", true),
            Service::UploadPack => ("git-upload-pack", "upload-pack", false),
            Service::ReceivePackLs => ("info/refs?service=git-receive-pack", "receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", "receive-pack", false),
        };
        let base = self.base.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let base = base.map_or_else(|| url.to_owned(), |url| url.to_string());
        let address = format!("{}/{suffix}", base.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|e| git2::Error::from_str(&e.to_string()))?;
        Ok(Box::new(Exchange {
            conversation: self.conversation.clone(),
            base: self.base.clone(),
            url,
            suffix,
            kind,
            lists,
            request: Vec::new(),
            response: None,
            left: Bytes::new(),
            pace: Pace::new(self.conversation.bounds().clients.patience, !lists),
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        *self.base.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(())
    }
}

/// One request, sent when its answer is first read, and the answer.
struct Exchange {
    conversation: Conversation,
    base: Base,
    url: Url,
    suffix: &'static str,
    kind: &'static str,
    lists: bool,
    request: Vec<u8>,
    response: Option<Response>,
    left: Bytes,
    pace: Pace,
}

impl Write for Exchange {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.request.len() + data.len() > MAX_REQUEST {
            return Err(self.stop(GitError::Config(format!(
                "a push of more than {MAX_REQUEST} bytes is not sent"
            ))));
        }
        self.request.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.response.is_none() {
            let response = self.send()?;
            self.response = Some(response);
        }
        while self.left.is_empty() {
            match self.chunk()? {
                Some(chunk) => self.left = chunk,
                None => return Ok(0),
            }
        }
        let n = into.len().min(self.left.len());
        let head = self.left.split_to(n);
        if let Some(into) = into.get_mut(..n) {
            into.copy_from_slice(&head);
        }
        Ok(n)
    }
}

impl Exchange {
    fn bounds(&self) -> &Bounds {
        self.conversation.bounds()
    }

    /// Breaks off, for a reason that the conversation remembers.
    fn stop(&self, reason: GitError) -> io::Error {
        let text = tidy(&reason.to_string());
        self.conversation.stop(reason);
        io::Error::other(text)
    }

    fn network(&self, message: impl Into<String>) -> io::Error {
        self.stop(GitError::Network {
            host: self.conversation.remote().host(),
            doing: self.conversation.doing().to_owned(),
            message: message.into(),
        })
    }

    /// Waits for something, but no longer than the bounds allow.
    fn wait<T>(
        &self,
        patience: Duration,
        what: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> io::Result<T> {
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|e| self.network(e.to_string()))?;
        let bounds = self.bounds().clone();
        let done = runtime.block_on(async move {
            tokio::select! {
                done = what => Ok(Some(done)),
                () = bounds.cancel.cancelled() => Err(bounds),
                () = tokio::time::sleep_until(bounds.deadline.into()) => Err(bounds),
                () = tokio::time::sleep(patience) => Ok(None),
            }
        });
        match done {
            Ok(Some(Ok(value))) => Ok(value),
            Ok(Some(Err(error))) => Err(self.failed(&error)),
            Ok(None) => Err(self.network(format!("it sent nothing for {} s", patience.as_secs()))),
            Err(bounds) => {
                let doing = self.conversation.doing();
                let ended = bounds.check(doing).err();
                let ended = ended
                    .unwrap_or(GitError::Timeout { doing: doing.to_owned(), limit: bounds.limit });
                Err(self.stop(ended))
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> io::Error {
        let mut said = String::new();
        let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.contains(&text) {
                said = if said.is_empty() { text } else { format!("{said}: {text}") };
            }
            next = cause.source();
        }
        if said.is_empty() {
            said = error.to_string();
        }
        let said = self.conversation.remote().scrub(&said);
        let host = self.conversation.remote().host();
        if said.contains("certificate") || said.contains("UnknownIssuer") {
            return self.stop(GitError::Config(format!(
                "the certificate of {host} is not trusted: {said}; add its authority to the trusted certificates, or set insecureSkipTLSVerify"
            )));
        }
        self.network(said)
    }

    fn send(&mut self) -> io::Result<Response> {
        let clients = self.bounds().clients.clone();
        let remote = self.conversation.remote().clone();
        let client = if remote.insecure() { &clients.unchecked } else { &clients.checked };
        let mut url = self.url.clone();
        let body = Bytes::from(std::mem::take(&mut self.request));
        for _ in 0..=MAX_REDIRECTS {
            let mut request = if self.lists {
                client.get(url.clone())
            } else {
                let kind = self.kind;
                client
                    .post(url.clone())
                    .header(CONTENT_TYPE, format!("application/x-git-{kind}-request"))
                    .header(ACCEPT, format!("application/x-git-{kind}-result"))
                    .body(body.clone())
            };
            if let Some((user, password)) = remote.basic_auth() {
                request = request.basic_auth(user, Some(password));
            }
            // What a server does before it answers counts as silence.
            let response = self.wait(clients.patience, request.send());
            let status = response.as_ref().ok().map(|r| r.status().as_u16());
            clients.on_request.tell(url.host_str().unwrap_or_default(), status);
            let response = response?;
            if !response.status().is_redirection() {
                return self.check(response);
            }
            let to = response
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok())
                .and_then(|to| url.join(to).ok())
                .ok_or_else(|| self.network("it redirects to no address"))?;
            if !remote.is_at_server(to.as_str()) {
                return Err(self.stop(remote.redirected(&to)));
            }
            // What comes after goes to where the listing was found.
            if let Some(base) = to.as_str().strip_suffix(self.suffix)
                && let Ok(base) = Url::parse(base)
            {
                *self.base.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(base);
            }
            url = to;
        }
        Err(self.network(format!("it redirects more than {MAX_REDIRECTS} times")))
    }

    fn check(&self, response: Response) -> io::Result<Response> {
        let status = response.status();
        if status.is_success() {
            let expected = if self.lists { "advertisement" } else { "result" };
            let expected = format!("application/x-git-{}-{expected}", self.kind);
            let given = response.headers().get(CONTENT_TYPE).and_then(|t| t.to_str().ok());
            return match given.unwrap_or_default() {
                given if given == expected => Ok(response),
                given => Err(self.network(format!(
                    "it answered with content type {:?}, as no Git server does; check repoURL",
                    tidy(given)
                ))),
            };
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            let after = after.and_then(|after| after.trim().parse().ok()).map(Duration::from_secs);
            return Err(self.stop(GitError::RateLimited {
                host: self.conversation.remote().host(),
                retry_after: after.unwrap_or(Duration::from_secs(60)).min(MAX_RETRY_AFTER),
            }));
        }
        let reason = self.conversation.remote().refused(status.as_u16());
        Err(reason
            .map_or_else(|| self.network(format!("HTTP {status}")), |reason| self.stop(reason)))
    }

    /// The next piece of the answer; `None` at its end.
    fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let patience = self.bounds().clients.patience;
        let Some(mut response) = self.response.take() else { return Ok(None) };
        let begun = Instant::now();
        let chunk = self.wait(patience, response.chunk())?;
        self.response = Some(response);
        let Some(chunk) = chunk else { return Ok(None) };
        let pace = self.pace.note(begun.elapsed(), chunk.len() as u64);
        let limit = if self.lists {
            MAX_LISTING.min(self.bounds().max_bytes)
        } else {
            self.bounds().max_bytes
        };
        if self.pace.received() > limit {
            let url = self.conversation.remote().url().to_owned();
            return Err(self.stop(GitError::TooLarge { url, limit }));
        }
        pace.map_err(|time| {
            let seconds = time.as_secs();
            self.network(format!("it sent less than {LOW_SPEED} bytes a second for {seconds} s"))
        })?;
        Ok(Some(chunk))
    }
}
