//! Who is told of requests to other people's servers.

use std::fmt;
use std::sync::Arc;

type Listener = dyn Fn(&str, Option<u16>) + Send + Sync;

/// Is told of each HTTP request, every attempt of it: the host, and the status
/// of its answer if there was one. SSH has no requests to tell of.
#[derive(Clone, Default)]
pub struct OnRequest(Option<Arc<Listener>>);

impl OnRequest {
    /// Tells `listener`, which must be quick.
    pub fn new(listener: impl Fn(&str, Option<u16>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// A request to `host` was answered with that status, or not at all.
    pub fn tell(&self, host: &str, status: Option<u16>) {
        if let Some(listener) = &self.0 {
            listener(host, status);
        }
    }
}

impl fmt::Debug for OnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnRequest({})", self.0.is_some())
    }
}
