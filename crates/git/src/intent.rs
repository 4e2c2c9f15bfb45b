//! What a push is about to do, told before it is done.
//!
//! Whoever pushes may be killed at any moment. So that its next life can tell
//! whether the server took the push, the commit is written down first, as
//! exactly as the server will have it: after others' commits were taken in,
//! and before anything is sent. Later a branch at that commit, or after it, is
//! the push's own work; a branch that is not has not seen it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;

use crate::error::GitError;

/// What is about to be set at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The branch or tag, as the request names it.
    pub reference: String,
    /// The id that it is to have, or to lead to.
    pub id: String,
}

/// The writing down of an intent; an error says in words why it failed.
pub type Recording = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Where the intents of one push are written down.
pub trait Intents: fmt::Debug + Send + Sync {
    /// The id that was written down last, by this attempt or an earlier one: a
    /// branch at or after it means that it was pushed.
    fn recorded(&self) -> Option<String>;

    /// Writes one down. Nothing is sent unless this ends well.
    fn record(&self, intent: Intent) -> Recording;
}

/// How long a push waits for its intents. Its connection to the server is open
/// meanwhile, and others' pushes wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has intents written down, all at once, and waits for them. Returns those
/// that were not, by their number. For threads of the blocking pool.
pub(crate) fn record(
    recordings: Vec<(usize, String, Recording)>,
) -> Result<BTreeMap<usize, GitError>, GitError> {
    if recordings.is_empty() {
        return Ok(BTreeMap::new());
    }
    let runtime = Handle::try_current().map_err(|e| GitError::Internal {
        doing: "recording a push".to_owned(),
        message: e.to_string(),
    })?;
    let all = recordings.into_iter().map(|(number, reference, recording)| async move {
        let message = match tokio::time::timeout(PATIENCE, recording).await {
            Ok(Ok(())) => return None,
            Ok(Err(message)) => message,
            Err(_) => format!("it took longer than {} s", PATIENCE.as_secs()),
        };
        Some((number, GitError::NotRecorded { reference, message }))
    });
    Ok(runtime.block_on(join_all(all)).into_iter().flatten().collect())
}
