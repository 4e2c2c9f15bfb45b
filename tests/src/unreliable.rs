//! A way to the Kubernetes API that fails as asked: between the controllers
//! and the API server stands a proxy that loses connections, refuses, is slow,
//! or forgets to hand the answer on.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures::{StreamExt, TryStreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The largest request that is handed on, in bytes.
const LARGEST: usize = 16 << 20;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// Connections are cut and none is taken.
    Down,
    /// A quarter of the requests that are no watches are refused with that status.
    Refuses(u16),
    /// A quarter of the writes is done, and then answered with 504.
    LosesAnswers,
    /// Each request waits so long.
    Slow(Duration),
    /// A quarter of the watches gets 410: their version is too old.
    Forgets,
}

/// The proxy. It ends when it is dropped.
pub struct Unreliable {
    kubeconfig: PathBuf,
    state: Arc<State>,
    ends: CancellationToken,
}

struct State {
    server: String,
    http: reqwest::Client,
    fault: Mutex<Fault>,
    /// Requests (or, while it is down, connections) that met the fault.
    met: AtomicUsize,
    seen: AtomicUsize,
    /// Cancelled and made anew to cut what is open.
    connections: Mutex<CancellationToken>,
    watches: Mutex<CancellationToken>,
}

impl Drop for Unreliable {
    fn drop(&mut self) {
        self.ends.cancel();
        current(&self.state.connections).cancel();
    }
}

fn current(token: &Mutex<CancellationToken>) -> CancellationToken {
    token.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn cut(token: &Mutex<CancellationToken>) {
    let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *token).cancel();
}

impl Unreliable {
    /// Stands before the API server of a kubeconfig in JSON, and writes one
    /// that leads here beside it.
    ///
    /// # Panics
    /// When the kubeconfig cannot be used.
    pub async fn before(kubeconfig: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig).expect("the kubeconfig can be read");
        let mut file: serde_json::Value =
            serde_yaml::from_str(&text).expect("the kubeconfig is YAML");
        let cluster = &mut file["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().expect("it names a server").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        *cluster = json!({"server": format!("http://{address}")});
        let path = kubeconfig.with_extension("unreliable");
        std::fs::write(&path, file.to_string()).expect("the kubeconfig can be written");
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .expect("a client");
        let state = Arc::new(State {
            server,
            http,
            fault: Mutex::new(Fault::Nothing),
            met: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
            connections: Mutex::default(),
            watches: Mutex::default(),
        });
        let ends = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&state), ends.clone()));
        Self { kubeconfig: path, state, ends }
    }

    /// The kubeconfig that leads here.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// From now on this goes wrong.
    pub fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.state.met.store(0, Ordering::SeqCst);
        if fault == Fault::Down {
            cut(&self.state.connections);
        }
    }

    /// Ends every watch, as an API server does now and then.
    pub fn close_watches(&self) {
        cut(&self.state.watches);
    }

    /// How often the fault was met since it was set.
    pub fn met(&self) -> usize {
        self.state.met.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, ends: CancellationToken) {
    loop {
        let stream = tokio::select! {
            taken = listener.accept() => match taken { Ok((stream, _)) => stream, Err(_) => continue },
            () = ends.cancelled() => return,
        };
        if state.fault() == Fault::Down {
            state.met.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let (state, open) = (Arc::clone(&state), current(&state.connections));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = open.cancelled() => {}
            }
        });
    }
}

impl State {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one meets the fault. A quarter of them do, in no rhythm that a
    /// client's own could keep step with.
    fn strikes(&self) -> bool {
        let n = self.seen.fetch_add(1, Ordering::SeqCst);
        let strikes = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).count_ones().is_multiple_of(4);
        if strikes {
            self.met.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let watches = request.uri().query().is_some_and(|q| q.contains("watch=true"));
        let writes = request.method() != "GET";
        match self.fault() {
            Fault::Refuses(code) if !watches && self.strikes() => return refusal(code),
            Fault::Forgets if watches && self.strikes() => return refusal(410),
            Fault::LosesAnswers if writes && self.strikes() => {
                self.forward(request, false).await;
                return refusal(504);
            }
            Fault::Slow(wait) => {
                self.met.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(wait).await;
            }
            _ => {}
        }
        self.forward(request, watches).await
    }

    async fn forward(
        &self,
        request: Request<hyper::body::Incoming>,
        watches: bool,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LARGEST).await.unwrap_or_default();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let url = format!("{}{path}", self.server.trim_end_matches('/'));
        let mut headers = parts.headers;
        headers.remove("host");
        let sent = self.http.request(parts.method, url).headers(headers).body(body).send().await;
        let Ok(answer) = sent else { return refusal(503) };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
                response = response.header(name, value);
            }
        }
        let bytes = answer.bytes_stream().map_err(std::io::Error::other);
        let body = if watches {
            let ends = current(&self.watches);
            Body::from_stream(bytes.take_until(async move { ends.cancelled().await }))
        } else {
            Body::from_stream(bytes)
        };
        response.body(body).unwrap_or_else(|_| refusal(500))
    }
}

/// An answer as the API server gives it.
fn refusal(code: u16) -> Response<Body> {
    let reason = match code {
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the test says {code}"), "reason": reason, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", axum::http::HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert("retry-after", axum::http::HeaderValue::from_static("1"));
    }
    response
}
