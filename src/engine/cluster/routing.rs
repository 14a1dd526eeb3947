//! Where a change is to be made: here, or by the daemon that keeps the infrastructure.

use super::peer::Peer;
use crate::{
    auth::Caller,
    engine::{
        Engine,
        error::OperationError,
        keeper::Handle,
        keepers::{Seized, admit_if, may_use},
        model::Infrastructure,
        refresh,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Wait before a daemon that did not answer is asked again, or its lease has lapsed.
const PAUSE: Duration = Duration::from_millis(200);

/// Who is to make a change.
pub enum Held {
    /// This daemon.
    Here(Handle, Arc<Infrastructure>),
    /// Another one, which waits for the request.
    Elsewhere(Box<Peer>),
}

impl Engine {
    /// The keeper of an infrastructure of the caller, here or elsewhere. The infrastructure of a daemon that does not answer
    /// is taken over once its session lapses.
    pub(in crate::engine) async fn hold(&self, caller: &Caller, id: &str) -> Result<Held, OperationError> {
        self.hold_if(id, |model| may_use(caller, id, model)).await
    }

    /// The same of one that `may` be used.
    pub(in crate::engine) async fn hold_if(
        &self,
        id: &str,
        may: impl FnOnce(&Infrastructure) -> bool,
    ) -> Result<Held, OperationError> {
        let Some(cluster) = &self.inner.cluster else {
            let (handle, model) = self.inner.keeper_if(id, may).await?;
            return Ok(Held::Here(handle, model));
        };
        cluster.reachable()?;
        let patience = Instant::now() + cluster.settings.lease_time * 2 + Duration::from_secs(2);
        loop {
            let holder = match self.inner.seize(id).await? {
                Seized::Here(handle) => {
                    let model = admit_if(handle.snapshot(), may)?;
                    return Ok(Held::Here(handle, model));
                }
                Seized::By(holder) => holder,
            };
            if !self.forwards {
                return Err(OperationError::Moved);
            }
            match Peer::greet(cluster, &holder, id).await {
                Ok(Some(peer)) => return Ok(Held::Elsewhere(Box::new(peer))),
                Ok(None) => tracing::debug!(inf = id, url = holder.url, "it moved meanwhile"),
                Err(error) => {
                    tracing::warn!(inf = id, url = holder.url, %error, "the daemon that keeps it was not reached")
                }
            }
            if Instant::now() > patience {
                return Err(OperationError::Moved);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks the clouds for news of an infrastructure, where it is kept.
    ///
    /// # Errors
    /// As [`Engine::infrastructure`]; the store.
    pub async fn refresh(&self, caller: &Caller, id: &str) -> Result<(), OperationError> {
        match self.hold(caller, id).await? {
            Held::Here(handle, model) => {
                if handle.is_due(self.inner.uptime(), self.inner.settings.vm_info_update_frequency) {
                    let numbers: Vec<u32> = model.vms.iter().map(|vm| vm.number).collect();
                    let accounts = self.inner.shown(caller)?.accounts;
                    refresh::observe(&self.inner, &handle, &model, numbers, Some(&accounts)).await;
                }
                Ok(())
            }
            Held::Elsewhere(peer) => peer.ask(caller, super::wire::Request::Refresh).await,
        }
    }
}
