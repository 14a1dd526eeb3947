//! What the engine knows of the store beyond single answers: whether it takes changes at the moment, and what in it is
//! damaged.

use super::{Engine, Inner, error::OperationError};
use crate::{
    auth::Caller,
    store::{Changes, StoreError, leases::Acquired},
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
pub(super) struct Health {
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

impl Inner {
    /// Takes note of how a change went.
    pub(super) fn note_write<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => *self.health.refused() = None,
            Err(error @ (StoreError::Unavailable(_) | StoreError::InDoubt(_))) => {
                *self.health.refused() = Some((Instant::now(), error.clone()));
            }
            Err(_) => {}
        }
    }

    /// Why the last change was refused, if that was a moment ago.
    pub(super) fn refused_lately(&self) -> Option<StoreError> {
        let refused = self.health.refused();
        refused.as_ref().filter(|(when, _)| when.elapsed() < DISTRUST).map(|(_, error)| error.clone())
    }

    /// Refuses what could not be stored afterwards: the store takes no changes, or waits for changes of this infrastructure.
    pub(super) async fn writable(&self, id: &str) -> Result<(), OperationError> {
        self.reachable()?;
        let waiting = self.unsaved().get(id).cloned();
        if let Some(error) = waiting.or_else(|| self.refused_lately()) {
            return Err(error.into());
        }
        self.probe().await
    }

    /// Whether the store takes a small change now; whatever keeps it from that, nothing can be done.
    pub(super) async fn probe(&self) -> Result<(), OperationError> {
        self.store.check().await.map_err(|error| OperationError::Unavailable(error.to_string()))
    }

    /// Says in the log, once, what is damaged of an infrastructure.
    pub(super) fn tell_damaged(&self, id: &str, why: &str) {
        if self.health.damaged().insert(id.to_owned()) {
            tracing::error!(inf = id, "what is stored of this infrastructure is damaged: {why}");
        }
    }
}

impl Engine {
    /// Deletes an infrastructure that cannot be read. Its machines are not known, so nothing of them is deleted.
    ///
    /// # Errors
    /// Only administrators may; another daemon keeps it; the store.
    pub(super) async fn discard(
        &self,
        caller: &Caller,
        id: &str,
        damage: OperationError,
    ) -> Result<Vec<String>, OperationError> {
        if !caller.admin {
            return Err(damage);
        }
        let token = match &self.inner.cluster {
            Some(cluster) => match cluster.acquire(id).await? {
                Acquired::Held(token) => Some(token),
                Acquired::By(_) => return Err(OperationError::Moved),
            },
            None => None,
        };
        let version = self.inner.store.version(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
        let lease = self.inner.lease(token);
        let gone = Changes { deleted: Some(true), pending: Some(false), lease, ..Changes::default() };
        self.inner.store.commit(id, version, gone).await?;
        self.inner.forget(id);
        self.inner.health.damaged().remove(id);
        tracing::warn!(
            inf = id,
            "an administrator deleted this infrastructure, which could not be read: machines of it that are left in clouds \
             carry its id"
        );
        Ok(vec!["the infrastructure could not be read: machines of it that are left in clouds carry its id".to_owned()])
    }
}
