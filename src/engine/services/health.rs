//! What the engine knows of the store beyond single answers: whether it takes changes at the moment, and what in it is
//! damaged.

use crate::{
    engine::{error::OperationError, services::Services},
    store::StoreError,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// For so long after a change was refused the daemon is not ready, unless one was stored since. A nearly full disk takes the
/// small change of a check where it refuses greater ones.
const DISTRUST: Duration = Duration::from_secs(10);

/// What was seen of the store.
#[derive(Default)]
pub struct Health {
    refused: Mutex<Option<(Instant, StoreError)>>,
    damaged: Mutex<BTreeSet<String>>,
}

impl Health {
    fn refused(&self) -> MutexGuard<'_, Option<(Instant, StoreError)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// Takes note of how a change went.
    pub fn note_write<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => *self.health.refused() = None,
            Err(error @ (StoreError::Unavailable(_) | StoreError::InDoubt(_))) => {
                *self.health.refused() = Some((Instant::now(), error.clone()));
            }
            Err(_) => {}
        }
    }

    /// Why the last change was refused, if that was a moment ago.
    pub fn refused_lately(&self) -> Option<StoreError> {
        let refused = self.health.refused();
        refused.as_ref().filter(|(when, _)| when.elapsed() < DISTRUST).map(|(_, error)| error.clone())
    }

    /// Refuses what could not be stored afterwards: the store takes no changes, or waits for changes of this infrastructure.
    pub async fn writable(&self, id: &str) -> Result<(), OperationError> {
        self.reachable()?;
        let waiting = self.unsaved().get(id).cloned();
        if let Some(error) = waiting.or_else(|| self.refused_lately()) {
            return Err(error.into());
        }
        self.probe().await
    }

    /// Whether the store takes a small change now; whatever keeps it from that, nothing can be done.
    pub async fn probe(&self) -> Result<(), OperationError> {
        self.store.check().await.map_err(|error| OperationError::Unavailable(error.to_string()))
    }

    /// Forgets what was said of an infrastructure: it is gone.
    pub fn forget_damage(&self, id: &str) {
        self.health.damaged().remove(id);
    }

    /// Says in the log, once, what is damaged of an infrastructure.
    pub fn tell_damaged(&self, id: &str, why: &str) {
        if self.health.damaged().insert(id.to_owned()) {
            tracing::error!(inf = id, "what is stored of this infrastructure is damaged: {why}");
        }
    }
}
