//! The work of an earlier daemon, or of one that ended, is gone on with in pieces. What is accepted over hours would
//! otherwise begin again in one moment, with memory for all of it.
//!
//! An infrastructure counts with the bytes that are stored of it, from the time when it is loaded until its launches and
//! other work ended, or wait for somebody else. The next one begins while those that count are few. Whoever asks for an
//! infrastructure that waits for its turn gets it at once.

use crate::engine::{keeper::keepers::Keepers, state::model::Infrastructure};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Bytes of infrastructures that go on at the same time. The last one that begins may go beyond it.
const MOST: usize = 4 << 20;
/// An infrastructure counts with so many bytes at least, so that their number is bounded as well.
const LEAST: usize = MOST / 128;
/// An infrastructure whose state does not change for so long waits for somebody else, such as a cloud.
const IDLE: Duration = Duration::from_secs(3);

/// Infrastructures that go on with work, and those that wait for their turn.
#[derive(Default)]
pub struct Resuming {
    /// Bytes of those that go on.
    bytes: watch::Sender<usize>,
    waiting: Mutex<VecDeque<String>>,
}

impl Resuming {
    /// An infrastructure of so many stored bytes goes on with its work from now on.
    pub fn begin(&self, stored: usize, state: watch::Receiver<Arc<Infrastructure>>) {
        let bytes = stored.max(LEAST);
        self.bytes.send_modify(|all| *all += bytes);
        let all = self.bytes.clone();
        tokio::spawn(async move {
            settled(state).await;
            all.send_modify(|all| *all -= bytes);
        });
    }

    /// Whether another one may begin.
    pub fn has_room(&self) -> bool {
        *self.bytes.borrow() < MOST
    }

    /// Waits until another one may begin.
    pub async fn room(&self) {
        // There is a sender as long as this exists.
        let _ = self.bytes.subscribe().wait_for(|bytes| *bytes < MOST).await;
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.queue().len()
    }

    /// One of them waits no more.
    fn done(&self, id: &str) {
        let mut queue = self.queue();
        if queue.front().is_some_and(|first| first == id) {
            queue.pop_front();
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Completes when all work of an infrastructure ended, or waits for somebody else, or its keeper ended.
async fn settled(mut state: watch::Receiver<Arc<Infrastructure>>) {
    while !state.borrow_and_update().work.is_empty() {
        if !matches!(tokio::time::timeout(IDLE, state.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Goes on with the work of these infrastructures: before it returns with as many as may begin now, beside the caller with
/// the others.
pub async fn resume(keepers: &Arc<Keepers>, pending: Vec<String>) {
    keepers.resuming.queue().extend(pending);
    while keepers.resuming.has_room() {
        if !next(keepers).await {
            return;
        }
    }
    let waiting = keepers.resuming.waiting();
    if waiting == 0 {
        return;
    }
    tracing::info!(waiting, "the work of further infrastructures goes on piece by piece");
    let keepers = keepers.clone();
    tokio::spawn(async move {
        loop {
            keepers.resuming.room().await;
            if !next(&keepers).await {
                return tracing::info!("the work of all infrastructures goes on");
            }
        }
    });
}

/// Goes on with the work of all that wait, without waiting for their turns.
pub async fn resume_all(keepers: &Keepers) {
    while next(keepers).await {}
}

/// Goes on with the work of the next one; false when none waits.
async fn next(keepers: &Keepers) -> bool {
    let Some(id) = keepers.resuming.queue().front().cloned() else { return false };
    let loaded = keepers.load(&id).await;
    // Not before: until then nothing else tells of its work.
    keepers.resuming.done(&id);
    let waiting = keepers.resuming.waiting();
    match loaded {
        Ok(_) => tracing::info!(inf = %id, waiting, "going on with the work of an earlier daemon"),
        Err(error) => tracing::error!(inf = %id, %error, "cannot go on with the work of an earlier daemon"),
    }
    true
}
