//! A host that serves files: a classic chart repository.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::client::{Session, SessionKey};
use super::line::{Attempts, Line, Unanswered, retry_after};
use super::request::basic;
use super::turns::Held;
use super::words::{Subject, told};
use crate::error::{Error, ErrorClass};

/// One asker's view of a host: what is kept of it may be kept by this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SiteKey(pub(super) SessionKey);

/// A host as the holder of one credential sees it.
pub(crate) struct Site {
    pub(super) host: String,
    pub(super) session: Arc<Session>,
    pub(super) key: SiteKey,
    pub(super) line: Line,
    pub(super) timeout: Duration,
}

impl Site {
    pub(crate) fn key(&self) -> SiteKey {
        self.key.clone()
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.line.sent.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Gets a file, showing name and password where there are any.
    ///
    /// # Errors
    /// No answer. Any status is one.
    pub(crate) async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Received, Error> {
        let subject = self.subject();
        let authorization = basic(self.session.login.as_ref());
        let answered = self
            .line
            .send(&mut Attempts::default(), |http| {
                let request = http.get(url.clone()).headers(headers.clone()).timeout(self.timeout);
                match &authorization {
                    Some(header) => request.header(AUTHORIZATION, header.clone()),
                    None => request,
                }
            })
            .await;
        match answered {
            Ok(response) => Ok(Received {
                url: url.to_string(),
                subject,
                line: self.line.clone(),
                session: Arc::clone(&self.session),
                response,
            }),
            Err(Unanswered::Lost(error)) => {
                Err(subject.lost(Method::GET.as_str(), url.to_string(), &error))
            }
            Err(Unanswered::Held(Held::Paused(wait))) => Err(subject.paused(url.to_string(), wait)),
            Err(Unanswered::Held(Held::Broken(wait, reason))) => {
                Err(subject.broken("GET", url.to_string(), wait, &reason))
            }
        }
    }

    fn subject(&self) -> Subject {
        Subject {
            host: self.host.clone(),
            what: "the index".to_owned(),
            source: self.session.source.clone(),
            kind: "helm",
            server: "Helm chart repository",
            through_mirror: false,
        }
    }
}

/// An answer whose body is still to come.
pub(crate) struct Received {
    url: String,
    subject: Subject,
    line: Line,
    session: Arc<Session>,
    response: Response,
}

impl Received {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// A connection that broke, a time that was up.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        self.response.chunk().await.map_err(|error| {
            self.line.host.failed(&told(&error));
            self.subject.lost("GET", self.url.clone(), &error)
        })
    }

    /// The error that a status which is no success is.
    pub(crate) async fn refused(self) -> Error {
        let (status, wait) = (self.response.status(), retry_after(&self.response));
        let said = Subject::said(self.response, self.session.login.as_ref()).await;
        Error::Answer(Box::new(self.subject.refusal("GET", self.url, status, said, wait)))
    }
}

impl Subject {
    /// The host asked for a pause that is not over.
    pub(super) fn paused(&self, url: String, wait: Duration) -> Error {
        let said = ": it asked for a pause that is not over".to_owned();
        let refusal = self.refusal("GET", url, StatusCode::TOO_MANY_REQUESTS, said, Some(wait));
        debug_assert!(matches!(refusal.class, ErrorClass::RateLimited { .. }));
        Error::Answer(Box::new(refusal))
    }
}
