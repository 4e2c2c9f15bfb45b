//! A repository: its tags, manifests and blobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, LINK};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::address::Address;
use super::client::{Client, Session};
use super::line::Line;
use super::request::{Answered, Ask, Path};
use crate::error::Error;

/// The largest manifest, and the largest image config.
const LARGEST: usize = 8 * 1024 * 1024;
/// The largest page of tags.
const LARGEST_PAGE: usize = 8 * 1024 * 1024;
/// Pages and tags of one listing.
const MOST_PAGES: usize = 2_000;
const MOST_TAGS: usize = 500_000;
/// The content digest header of registries.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.index.v1+json";

/// Whether plain HTTP may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Never.
    Never,
    /// Where HTTPS fails, whatever the reason: on this machine and in private
    /// networks.
    IfNotTls,
    /// Where plain HTTP is answered to TLS, and no credential is to be shown.
    IfShown,
}

/// A repository as one asker sees it.
#[derive(Clone)]
pub struct Repository {
    pub(super) client: Client,
    pub(super) line: Line,
    pub(super) session: Arc<Session>,
    pub(super) address: Address,
    pub(super) plain: Plain,
    /// The type of credentials for it, `image` or `helm`.
    pub(super) kind: &'static str,
}

/// A manifest, index or config as it was answered.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The exact `Content-Type`.
    pub content_type: String,
    /// The SHA-256 of the body, `sha256:<hex>`.
    pub digest: String,
    /// The body.
    pub bytes: Bytes,
}

impl Repository {
    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many requests were sent for it, by this and its clones.
    pub fn sent(&self) -> u64 {
        self.line.sent.load(Ordering::Relaxed)
    }

    /// Tries the login: once a session, unless it is refused.
    ///
    /// # Errors
    /// A registry that refuses or does not answer.
    pub async fn log_in(&self) -> Result<(), Error> {
        let ask = Ask {
            method: Method::GET,
            path: Path::Root,
            next: None,
            accept: "*/*",
            limit: LARGEST_PAGE,
        };
        let tried = async { self.ask(&ask).await.map(|_| ()) };
        self.session.logged_in.get_or_try_init(|| tried).await.copied()
    }

    /// All tags, in the registry's order (`warehouses` 6.8 P4).
    ///
    /// # Errors
    /// A registry that does not answer, or not with tags.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next: Option<Url> = None;
        for _ in 0..MOST_PAGES {
            let ask = Ask {
                method: Method::GET,
                path: Path::Below("tags/list?n=1000".to_owned()),
                next: next.as_ref(),
                accept: "application/json",
                limit: LARGEST_PAGE,
            };
            let (answer, asked) = self.ask(&ask).await?;
            let page: Page = serde_json::from_slice(&answer.body).map_err(|e| {
                Error::Unexpected(format!(
                    "GET {}: the answer is no list of tags ({e}); check that {} is a container registry",
                    self.public("tags/list"),
                    self.address.registry()
                ))
            })?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > MOST_TAGS {
                return Err(Error::Config(format!(
                    "{} has more than {MOST_TAGS} tags, which is more than can be looked through; remove old tags",
                    self.address
                )));
            }
            match self.next_page(&answer, &asked)? {
                Some(url) => next = Some(url),
                None => return Ok(tags),
            }
        }
        Err(Error::Unexpected(format!(
            "{} answers with more than {MOST_PAGES} pages of tags; remove old tags",
            self.address
        )))
    }

    /// The digest that a tag has now; none where the registry does not say.
    ///
    /// # Errors
    /// No such tag, or a registry that does not answer.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>, Error> {
        let ask = Ask {
            method: Method::HEAD,
            path: Path::Below(format!("manifests/{tag}")),
            next: None,
            accept: MANIFESTS,
            limit: 0,
        };
        let answer = match self.ask(&ask).await {
            Ok((answer, _)) => answer,
            // Registries that do not know HEAD here.
            Err(Error::Answer(refusal)) if refusal.status.starts_with("405") => return Ok(None),
            Err(error) => return Err(error),
        };
        let digest = answer.headers.get(CONTENT_DIGEST).and_then(|v| v.to_str().ok());
        Ok(digest.filter(|d| d.starts_with("sha256:")).map(str::to_owned))
    }

    /// The manifest or index under a tag or digest. What was asked for by
    /// digest must have it.
    ///
    /// # Errors
    /// No such manifest, a registry that does not answer, or other content.
    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        self.fetch(format!("manifests/{reference}"), MANIFESTS, reference).await
    }

    /// The same by digest only: what names itself or a tag is refused.
    ///
    /// # Errors
    /// As [`Repository::manifest`], and a reference that is no digest.
    pub async fn manifest_of(&self, digest: &str) -> Result<Fetched, Error> {
        self.checked(digest)?;
        self.manifest(digest).await
    }

    /// A blob, here an image's config. It must have its digest.
    ///
    /// # Errors
    /// No such blob, a registry that does not answer, or other content.
    pub async fn blob(&self, digest: &str) -> Result<Bytes, Error> {
        self.checked(digest)?;
        self.fetch(format!("blobs/{digest}"), "*/*", digest).await.map(|f| f.bytes)
    }

    fn checked(&self, digest: &str) -> Result<(), Error> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(());
        }
        let shown: String = digest.chars().take(80).collect();
        Err(Error::Unexpected(format!(
            "an image in {} names {shown:?} where a digest must stand (sha256:…); push the image again",
            self.address
        )))
    }

    async fn fetch(
        &self,
        path: String,
        accept: &'static str,
        reference: &str,
    ) -> Result<Fetched, Error> {
        let path = Path::Below(path);
        let ask = Ask { method: Method::GET, path, next: None, accept, limit: LARGEST };
        let (answer, _) = self.ask(&ask).await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&answer.body)));
        if reference.starts_with("sha256:") && reference != digest {
            return Err(Error::Unexpected(format!(
                "GET {}: the content has digest {digest}; the registry or something before it changes what it serves",
                self.shown(&ask.path)
            )));
        }
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        Ok(Fetched { content_type, digest, bytes: answer.body })
    }

    /// The page that the `Link` header names, which must be at the same
    /// registry.
    fn next_page(&self, answer: &Answered, asked: &Url) -> Result<Option<Url>, Error> {
        let Some(link) = answer.headers.get(LINK).and_then(|v| v.to_str().ok()) else {
            return Ok(None);
        };
        if link.trim().is_empty() {
            return Ok(None);
        }
        let wrong = || {
            Error::Unexpected(format!(
                "GET {}: the next page is named {link:?}, which is not at this registry; report this to who runs {}",
                self.public("tags/list"),
                self.address.registry()
            ))
        };
        let (_, rest) = link.split_once('<').ok_or_else(wrong)?;
        let (target, _) = rest.split_once('>').ok_or_else(wrong)?;
        let next = asked.join(target).map_err(|_| wrong())?;
        if next.origin() != asked.origin() {
            return Err(wrong());
        }
        Ok(Some(next))
    }
}
