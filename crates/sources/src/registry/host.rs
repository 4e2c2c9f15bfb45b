//! One host and how it is asked: [`Turns`] with a clock, and somebody who
//! hands them out while requests wait. One for each host and process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::turns::{Asker, Deal, Held, Turns};

type Waiter = oneshot::Sender<Result<(), Held>>;

/// A host's state.
pub(super) struct Host(Arc<Mutex<State>>);

struct State {
    turns: Turns<Waiter>,
    /// Whether somebody hands out the turns.
    handing_out: bool,
}

impl Host {
    pub(super) fn new(per_second: u32) -> Self {
        let turns = Turns::new(per_second, Instant::now());
        Self(Arc::new(Mutex::new(State { turns, handing_out: false })))
    }

    /// Waits until a request may be sent. `free` says that the rate does not
    /// count (pauses do).
    ///
    /// # Errors
    /// A pause that is too long to be waited for.
    pub(super) async fn turn(&self, asker: &Asker, free: bool) -> Result<(), Held> {
        let turn = {
            let mut state = lock(&self.0);
            if let Some(turn) = state.turns.ask(free, Instant::now()) {
                return turn;
            }
            let (sender, turn) = oneshot::channel();
            state.turns.wait(asker, sender);
            if !std::mem::replace(&mut state.handing_out, true) {
                tokio::spawn(hand_out(Arc::clone(&self.0)));
            }
            turn
        };
        // The other end goes only where the runtime is shutting down.
        turn.await.unwrap_or(Ok(()))
    }

    /// The host wants to be left alone for that long.
    pub(super) fn pause(&self, wait: Duration) {
        lock(&self.0).turns.pause(wait, Instant::now());
    }

    /// The host answered.
    pub(super) fn answered(&self) {
        lock(&self.0).turns.answered();
    }

    /// The host did not answer.
    pub(super) fn failed(&self, reason: &str) {
        lock(&self.0).turns.failed(Instant::now(), rand::random(), reason);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands out turns until nobody waits.
async fn hand_out(state: Arc<Mutex<State>>) {
    loop {
        let until = {
            let mut state = lock(&state);
            match state.turns.deal(Instant::now(), Waiter::is_closed) {
                Deal::Nobody => {
                    state.handing_out = false;
                    return;
                }
                Deal::Turn(waiter, turn) => {
                    // Who gave up in this very moment wastes a turn.
                    let _ = waiter.send(turn);
                    continue;
                }
                Deal::NotBefore(until) => until,
            }
        };
        tokio::time::sleep_until(until).await;
    }
}
