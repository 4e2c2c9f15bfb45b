//! The queues of pushes: one a repository, branch and credential.
//!
//! Pushes of this process to one branch never race each other. While one is
//! under way the others wait; those that have waited go together
//! ([`crate::batch`]), so a hundred Promotions cost a few pushes, not a hundred
//! lost races.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::batch::{self, Landed, Member};
use crate::error::GitError;
use crate::push::Pushed;
use crate::remote::Bounds;

/// How many pushes go together.
const MAX_TOGETHER: usize = 100;

/// How many branches are remembered that nobody pushes to just now.
const MAX_IDLE: usize = 64;

/// What pushes must have in common to go together: they are sent in one
/// conversation, with one credential, and borrow from one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    url: String,
    branch: String,
    credential: String,
    insecure: bool,
    mirror: Option<PathBuf>,
}

#[derive(Debug)]
struct Waiting {
    member: Member,
    /// Set by whoever comes first: the worker that takes it on, or the caller
    /// that gives up.
    taken: Arc<AtomicBool>,
    outcome: oneshot::Sender<Result<Pushed, GitError>>,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Waiting>,
    at_work: bool,
    landed: Option<Landed>,
    used: Instant,
}

/// All queues of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushes(Arc<Mutex<HashMap<Key, Queue>>>);

impl Pushes {
    fn queues(&self) -> MutexGuard<'_, HashMap<Key, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the branch and pushes, with the time that `bounds` allow from
    /// when its turn has come. A caller that is cancelled while it
    /// waits is gone at once; one whose push is under way hears how it ended.
    pub(crate) async fn push(
        &self,
        member: Member,
        turns: &Arc<Semaphore>,
        bounds: &Bounds,
    ) -> Result<Pushed, GitError> {
        let cancelled = || GitError::Cancelled { doing: "pushing".to_owned() };
        let key = Key {
            url: member.remote.access_url().to_owned(),
            branch: member.request.target.clone(),
            credential: member.remote.fingerprint(),
            insecure: member.remote.insecure(),
            mirror: member.mirror_objects(),
        };
        let cancel = member.cancel.clone();
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let (outcome, mut told) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let waiting = Waiting { member, taken: taken.clone(), outcome };
        if self.join(&key, waiting) {
            // A task of its own: no caller that goes away takes the others along.
            tokio::spawn(self.clone().work(key, turns.clone(), bounds.clone()));
        }
        tokio::select! {
            told = &mut told => told.unwrap_or_else(|_| Err(lost())),
            () = cancel.cancelled() => {
                if taken.swap(true, Ordering::SeqCst) {
                    told.await.unwrap_or_else(|_| Err(lost()))
                } else {
                    Err(cancelled())
                }
            }
        }
    }

    /// Joins the queue; whether a worker is to be started for it.
    fn join(&self, key: &Key, waiting: Waiting) -> bool {
        let mut queues = self.queues();
        if !queues.contains_key(key) {
            forget_idle(&mut queues);
        }
        let queue = queues.entry(key.clone()).or_insert_with(|| Queue {
            waiting: VecDeque::new(),
            at_work: false,
            landed: None,
            used: Instant::now(),
        });
        queue.used = Instant::now();
        queue.waiting.push_back(waiting);
        !std::mem::replace(&mut queue.at_work, true)
    }

    /// Those that go together next; none ends the work.
    fn take(&self, key: &Key) -> (Vec<Waiting>, Option<Landed>) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(key) else { return (Vec::new(), None) };
        let mut together: Vec<Waiting> = Vec::new();
        while let Some(next) = queue.waiting.front() {
            // Forced pushes go alone: what they overwrite is for them to judge.
            let alone = next.member.request.force;
            if !together.is_empty() && (alone || together.len() >= MAX_TOGETHER) {
                break;
            }
            let Some(next) = queue.waiting.pop_front() else { break };
            if next.outcome.is_closed() || next.taken.swap(true, Ordering::SeqCst) {
                continue;
            }
            together.push(next);
            if alone {
                break;
            }
        }
        if together.is_empty() {
            queue.at_work = false;
        }
        (together, queue.landed.clone())
    }

    async fn work(self, key: Key, turns: Arc<Semaphore>, bounds: Bounds) {
        loop {
            // Whoever is ready by the time that a turn is free goes along.
            let turn = turns.clone().acquire_owned().await;
            let (together, mut landed) = self.take(&key);
            if together.is_empty() {
                return;
            }
            let (members, told): (Vec<_>, Vec<_>) =
                together.into_iter().map(|w| (w.member, w.outcome)).unzip();
            // Each attempt has its own time; the members bring their own
            // cancellation.
            let bounds = Bounds {
                deadline: Instant::now() + bounds.limit,
                cancel: CancellationToken::new(),
                ..bounds.clone()
            };
            let done = crate::blocking("pushing", move || {
                let outcomes = batch::push(&members, &mut landed, &bounds);
                Ok((outcomes, landed))
            })
            .await;
            drop(turn);
            let (outcomes, landed) = match done {
                Ok(done) => done,
                Err(error) => (told.iter().map(|_| Err(error.clone())).collect(), None),
            };
            if let Some(queue) = self.queues().get_mut(&key) {
                queue.landed = landed;
                queue.used = Instant::now();
            }
            for (told, outcome) in told.into_iter().zip(outcomes) {
                // Who does not listen any more finds its push when it looks again.
                let _ = told.send(outcome);
            }
        }
    }
}

fn lost() -> GitError {
    GitError::Internal {
        doing: "pushing".to_owned(),
        message: "the push ended without an outcome".to_owned(),
    }
}

/// Makes room: forgets the branches that were idle for longest.
fn forget_idle(queues: &mut HashMap<Key, Queue>) {
    let mut idle: Vec<(Instant, Key)> = queues
        .iter()
        .filter(|(_, queue)| !queue.at_work)
        .map(|(key, queue)| (queue.used, key.clone()))
        .collect();
    idle.sort_by_key(|(used, _)| *used);
    let too_many = (idle.len() + 1).saturating_sub(MAX_IDLE);
    for (_, key) in idle.into_iter().take(too_many) {
        queues.remove(&key);
    }
}
