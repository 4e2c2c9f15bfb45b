//! What stands before a peer and fails as asked: a proxy that is away, answers
//! in the peer's place, or does what it was asked and keeps the answer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The largest request that is handed on, in bytes.
const LARGEST: usize = 16 << 20;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    Nothing,
    /// Connections are cut until then.
    Down(Instant),
    /// Requests to the API get this status and these seconds of `Retry-After`
    /// until then.
    Answers(u16, Option<u32>, Instant),
    /// The next request of that method whose path ends so is done, and its
    /// answer lost.
    Loses(&'static str, &'static str),
}

/// A running proxy; it ends when it is dropped.
pub struct Front {
    url: String,
    state: Arc<State>,
    ends: CancellationToken,
}

struct State {
    peer: String,
    http: reqwest::Client,
    trouble: Mutex<Trouble>,
    /// Method and path of every request that was handed on, with the status.
    handed: Mutex<Vec<(String, String, u16)>>,
    /// How many were not.
    met: Mutex<usize>,
    connections: Mutex<CancellationToken>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ends.cancel();
        locked(&self.state.connections).cancel();
    }
}

fn locked<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Front {
    /// Stands before the peer at that address.
    ///
    /// # Panics
    /// When there is no address for it.
    pub async fn before(peer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let state = Arc::new(State {
            peer: peer.trim_end_matches('/').to_owned(),
            http,
            trouble: Mutex::new(Trouble::Nothing),
            handed: Mutex::default(),
            met: Mutex::default(),
            connections: Mutex::default(),
        });
        let ends = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&state), ends.clone()));
        Self { url: format!("http://{address}"), state, ends }
    }

    /// Its address, without a `/` at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on this goes wrong; being down and answering, for so long.
    pub fn set(&self, trouble: Trouble) {
        let cuts = matches!(trouble, Trouble::Down(_));
        *locked(&self.state.trouble) = trouble;
        *locked(&self.state.met) = 0;
        if cuts {
            std::mem::take(&mut *locked(&self.state.connections)).cancel();
        }
    }

    /// Is away for so long.
    pub fn down_for(&self, time: Duration) {
        self.set(Trouble::Down(Instant::now() + time));
    }

    /// Answers requests to the API with a status for so long.
    pub fn answers_for(&self, status: u16, retry_after: Option<u32>, time: Duration) {
        self.set(Trouble::Answers(status, retry_after, Instant::now() + time));
    }

    /// How often the trouble was met since it was set.
    pub fn met(&self) -> usize {
        *locked(&self.state.met)
    }

    /// Method, path and status of what was handed on.
    pub fn handed(&self) -> Vec<(String, String, u16)> {
        locked(&self.state.handed).clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, ends: CancellationToken) {
    loop {
        let stream = tokio::select! {
            taken = listener.accept() => match taken { Ok((stream, _)) => stream, Err(_) => continue },
            () = ends.cancelled() => return,
        };
        if let Trouble::Down(until) = &*locked(&state.trouble)
            && Instant::now() < *until
        {
            *locked(&state.met) += 1;
            continue;
        }
        let open = locked(&state.connections).clone();
        let state = Arc::clone(&state);
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
    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let trouble = locked(&self.trouble).clone();
        match trouble {
            Trouble::Answers(status, retry_after, until)
                if Instant::now() < until && path.starts_with("/api/") =>
            {
                *locked(&self.met) += 1;
                return in_its_place(status, retry_after);
            }
            Trouble::Loses(method, end) if request.method() == method && path.ends_with(end) => {
                *locked(&self.trouble) = Trouble::Nothing;
                *locked(&self.met) += 1;
                self.forward(request).await;
                // Cut with the connection; who asked cannot know whether it was done.
                std::mem::take(&mut *locked(&self.connections)).cancel();
                return in_its_place(502, None);
            }
            _ => {}
        }
        self.forward(request).await
    }

    async fn forward(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LARGEST).await.unwrap_or_default();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let url = format!("{}{path}", self.peer);
        let mut headers = parts.headers;
        headers.remove("host");
        let method = parts.method.to_string();
        let sent = self.http.request(parts.method, url).headers(headers).body(body).send().await;
        let Ok(answer) = sent else { return in_its_place(502, None) };
        let status = answer.status();
        locked(&self.handed).push((method, path, status.as_u16()));
        let mut response = Response::builder().status(status);
        for (name, value) in answer.headers() {
            if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
                response = response.header(name, value);
            }
        }
        let body = Body::from_stream(answer.bytes_stream());
        response.body(body).unwrap_or_else(|_| in_its_place(500, None))
    }
}

fn in_its_place(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut response = Response::new(Body::from("the test says so"));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}
