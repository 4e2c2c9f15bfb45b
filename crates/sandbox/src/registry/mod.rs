//! A container registry on loopback: the OCI distribution protocol over
//! content kept in memory.
//!
//! * [`Registry`]: start, stop, address, and publishing without a client.
//! * [`access`]: who may pull and push, and the tokens for it.
//! * `content`: repositories, tags, manifests and blobs.
//! * `charts`: charts, in repositories of the registry and in classic ones.
//! * `protocol`: one HTTP request.
//! * `tls`: the same over HTTPS, with a certificate that nobody knows.
//! * [`traffic`]: what was asked, and the knobs that make it go wrong.
//!
//! Image clients (docker, crane, skopeo, oras) can push to it and pull from it;
//! nothing outlives the process.

pub mod access;
mod charts;
mod content;
mod protocol;
mod publish;
mod tls;
pub mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;

pub use access::Access;
use access::Tokens;
use content::Content;
pub use publish::NewImage;
pub use traffic::{Fault, RegistryRequest, RegistryTraffic, Trouble};

/// How a registry is set up. The default listens on a free loopback port and
/// lets everybody in.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may pull and push.
    pub access: Access,
    /// The most tags in one page of a listing, whatever a client asks for.
    pub page: usize,
    /// Whether to speak HTTPS (HTTP/2 where the client can), with a
    /// certificate of its own making.
    pub tls: bool,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access: Access::Open,
            page: 1000,
            tls: false,
        }
    }
}

/// What goes wrong with the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A socket failed.
    #[error("registry: {what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("registry: certificate: {0}")]
    Certificate(String),
    /// The name of a repository or tag that no registry takes.
    #[error(
        "registry: {0:?} cannot be used as a name here; repositories are lower case, tags have at most 128 of A-Z a-z 0-9 _ . -"
    )]
    Name(String),
}

/// What the server and the owner's handle share.
pub(crate) struct Shared {
    content: Mutex<Content>,
    tokens: Tokens,
    traffic: RegistryTraffic,
    page: usize,
}

impl Shared {
    fn content<T>(&self, f: impl FnOnce(&mut Content) -> T) -> T {
        f(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running registry. It stops when this is dropped.
pub struct Registry {
    /// Where it listens.
    pub addr: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Registry {
    /// Starts a registry.
    ///
    /// # Errors
    /// A port that cannot be had.
    pub async fn start(options: RegistryOptions) -> Result<Self, RegistryError> {
        let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(|source| {
            RegistryError::Io { what: format!("listening on {}", options.listen), source }
        })?;
        let addr = listener
            .local_addr()
            .map_err(|source| RegistryError::Io { what: "address".to_owned(), source })?;
        let shared = Arc::new(Shared {
            content: Mutex::default(),
            tokens: Tokens::new(options.access),
            traffic: RegistryTraffic::default(),
            page: options.page.max(1),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let (scheme, server) = if options.tls {
            let acceptor =
                crate::tls::acceptor(&["h2", "http/1.1"]).map_err(RegistryError::Certificate)?;
            ("https", tokio::spawn(tls::serve(listener, acceptor, router)))
        } else {
            let serve = async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::error!(%error, "the registry stopped");
                }
            };
            ("http", tokio::spawn(serve))
        };
        Ok(Self { addr, scheme, shared, server })
    }

    /// Its address, for example `http://127.0.0.1:5000`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Publishes a small image of its own under `tag` and returns the digest
    /// that the tag then has. A tag that is there already moves.
    ///
    /// # Errors
    /// A name that no registry takes.
    pub fn push_tag(
        &self,
        repository: &str,
        tag: &str,
        image: &NewImage,
    ) -> Result<String, RegistryError> {
        if !protocol::is_repository(repository) {
            return Err(RegistryError::Name(repository.to_owned()));
        }
        if !protocol::is_tag(tag) {
            return Err(RegistryError::Name(tag.to_owned()));
        }
        Ok(self.shared.content(|content| publish::publish(content, repository, tag, image)))
    }

    /// Puts a manifest or index as it is, whatever it names, and points a tag
    /// at it if one is given; returns its digest.
    pub fn push_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        content_type: &str,
        bytes: impl Into<bytes::Bytes>,
    ) -> String {
        let manifest =
            content::Manifest { content_type: content_type.to_owned(), bytes: bytes.into() };
        self.shared.content(|c| c.put_manifest(repository, tag, manifest))
    }

    /// Puts a blob and returns its digest.
    pub fn push_blob(&self, repository: &str, bytes: impl Into<bytes::Bytes>) -> String {
        self.shared.content(|c| c.put_blob(repository, bytes.into()))
    }

    /// Removes a tag; the repository and the image stay. Returns whether it
    /// was there.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> bool {
        self.shared.content(|content| content.remove_tag(repository, tag))
    }

    /// The tags of a repository, in ascending order.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.shared.content(|content| content.tags(repository).unwrap_or_default())
    }

    /// The names of all repositories, in ascending order.
    pub fn repositories(&self) -> Vec<String> {
        self.shared.content(|content| content.repositories())
    }

    /// What was asked, and the knobs.
    pub fn traffic(&self) -> &RegistryTraffic {
        &self.shared.traffic
    }

    /// Forgets all tokens that were issued, as a registry does whose tokens
    /// expire.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    request: axum::extract::Request,
) -> axum::response::Response {
    protocol::answer(&shared, request).await
}

#[cfg(test)]
mod tests;
