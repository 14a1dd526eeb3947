//! The event stream of an infrastructure.

use crate::{
    auth::Caller,
    engine::{error::OperationError, operations::engine::Engine, state::rights::Right},
    store::StoredEvent,
};
use tokio::sync::watch;

impl Engine {
    /// Stored events after sequence `after`, at most `limit`.
    ///
    /// # Errors
    /// Those of [`Engine::infrastructure`]; the store.
    pub async fn events(
        &self,
        caller: &Caller,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, OperationError> {
        self.keepers.view(caller, id, Right::Use).await?;
        self.last_events(id, after, limit).await
    }

    /// Stored events after sequence `after`, at most `limit`, for who was admitted while the infrastructure existed, and is
    /// told its end.
    ///
    /// # Errors
    /// The store.
    pub async fn last_events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, OperationError> {
        self.read(self.services.store.events(id, after, limit)).await
    }

    /// Wakes whenever events were stored; the value is the last sequence. Closed when the infrastructure is gone.
    ///
    /// # Errors
    /// Those of [`Engine::infrastructure`].
    pub async fn watch_events(&self, caller: &Caller, id: &str) -> Result<watch::Receiver<u64>, OperationError> {
        let (handle, _) = self.keepers.view(caller, id, Right::Use).await?;
        Ok(match (handle, &self.services.cluster) {
            (None, Some(cluster)) => self.keepers.follow_elsewhere(cluster, id),
            (Some(handle), _) => handle.watch_events(),
            (None, None) => return Err(OperationError::UnknownInfrastructure),
        })
    }
}
