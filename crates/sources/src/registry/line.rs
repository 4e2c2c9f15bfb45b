//! Sending a request: its turn, its attempts, and what its answer says of the
//! host.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use git::OnRequest;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::host::Host;
use super::turns::{Asker, Held, LONGEST_PAUSE, LONGEST_WAIT};
use super::words::told;

/// Attempts of one request.
const ATTEMPTS: u32 = 3;

/// The way to a host for one asker.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) http: reqwest::Client,
    pub(super) host: Arc<Host>,
    pub(super) asker: Asker,
    /// The wait before the second attempt; three times that before the third.
    pub(super) retry_delay: Duration,
    /// Whether the host's rate counts also on this machine.
    pub(super) limit_this_machine: bool,
    /// Requests that were sent.
    pub(super) sent: Arc<AtomicU64>,
    /// Who is told of them.
    pub(super) on_request: OnRequest,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The request was not sent.
    Held(Held),
    /// The network failed.
    Lost(reqwest::Error),
}

/// The attempts of one request.
#[derive(Default)]
pub(super) struct Attempts(u32);

impl Line {
    /// Sends a request, a few times if need be. Any status is an answer; one
    /// that may pass is returned after the last attempt.
    pub(super) async fn send(
        &self,
        attempts: &mut Attempts,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, Unanswered> {
        loop {
            attempts.0 += 1;
            match self.once(request(&self.http)).await {
                Ok(response) if attempts.0 < ATTEMPTS && may_pass(response.status()) => {
                    match retry_after(&response) {
                        // The pause is the host's; the next turn waits for it.
                        Some(wait) if wait <= LONGEST_WAIT => {}
                        Some(_) => return Ok(response),
                        None => tokio::time::sleep(self.delay(attempts)).await,
                    }
                }
                Err(Unanswered::Lost(error)) if attempts.0 < ATTEMPTS && by_chance(&error) => {
                    tokio::time::sleep(self.delay(attempts)).await;
                }
                other => return other,
            }
        }
    }

    /// Whether a body that broke off is worth another attempt; waits before it.
    pub(super) async fn again(&self, attempts: &Attempts, error: &reqwest::Error) -> bool {
        self.host.failed(&told(error));
        let again = attempts.0 < ATTEMPTS && by_chance(error);
        if again {
            tokio::time::sleep(self.delay(attempts)).await;
        }
        again
    }

    async fn once(&self, request: RequestBuilder) -> Result<Response, Unanswered> {
        let (client, request) = request.build_split();
        let request = request.map_err(Unanswered::Lost)?;
        let free = !self.limit_this_machine && is_this_machine(request.url());
        self.host.turn(&self.asker, free).await.map_err(Unanswered::Held)?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let answered = client.execute(request).await;
        self.on_request.tell(&host, answered.as_ref().ok().map(|r| r.status().as_u16()));
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                if failed_to_answer(&error) {
                    self.host.failed(&told(&error));
                }
                return Err(Unanswered::Lost(error));
            }
        };
        let status = response.status();
        let wait = retry_after(&response);
        match (status.as_u16(), wait) {
            // It lives and says when to come back.
            (429 | 503, Some(wait)) => {
                self.host.answered();
                self.host.pause(wait);
            }
            (429, None) => {
                self.host.answered();
                self.host.pause(self.delay(&Attempts(1)));
            }
            (502..=504 | 522, _) => self.host.failed(&format!("HTTP {}", status.as_u16())),
            _ => self.host.answered(),
        }
        Ok(response)
    }

    fn delay(&self, attempts: &Attempts) -> Duration {
        let delay = if attempts.0 <= 1 { self.retry_delay } else { self.retry_delay * 3 };
        delay.mul_f64(1.0 + rand::random::<f64>() / 10.0)
    }
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// Whether the network may have failed by chance. A refused connection, an
/// unknown name, a certificate, a time that was up have not.
fn by_chance(error: &reqwest::Error) -> bool {
    !error.is_builder() && !error.is_redirect() && !error.is_connect() && !error.is_timeout()
}

/// Whether the host is at fault, so that other requests would fail too.
fn failed_to_answer(error: &reqwest::Error) -> bool {
    !error.is_builder() && !error.is_redirect() && !is_certificate(error) && !is_plain(error)
}

/// `Retry-After` in seconds or as a date.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let seconds = at.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST_PAUSE))
}

/// Whether the host is written as an address of this machine.
fn is_this_machine(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether the other side's certificate was refused.
pub(super) fn is_certificate(error: &reqwest::Error) -> bool {
    tls(error).is_some_and(|e| matches!(e, rustls::Error::InvalidCertificate(_)))
}

/// Whether the other side answered plain HTTP to TLS.
pub(super) fn is_plain(error: &reqwest::Error) -> bool {
    let wrong = |e: &rustls::Error| {
        matches!(e, rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
    };
    tls(error).is_some_and(wrong)
}

fn tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    within(error.source()?, 16)
}

/// Looks for the TLS error that an error was caused by. What an I/O error
/// wraps is not among its sources.
fn within<'a>(
    error: &'a (dyn std::error::Error + 'static),
    depth: u8,
) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    let deeper = depth.checked_sub(1)?;
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.and_then(|inner| within(inner, deeper)).or_else(|| within(error.source()?, deeper))
}
