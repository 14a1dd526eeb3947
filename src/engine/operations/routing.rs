//! Where a change is to be made: here, or by the daemon that keeps the infrastructure.

use crate::{
    auth::Caller,
    engine::{
        cluster::peer::Peer,
        error::OperationError,
        keeper::{
            handle::Handle,
            keepers::{Seized, admit_if, may_use},
        },
        operations::engine::Engine,
        state::model::Infrastructure,
        work::refresh,
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
        let Some(cluster) = &self.services.cluster else {
            let (handle, model) = self.keepers.keeper_if(id, may).await?;
            return Ok(Held::Here(handle, model));
        };
        cluster.reachable()?;
        let patience = Instant::now() + cluster.settings.lease_time * 2 + Duration::from_secs(2);
        loop {
            let holder = match self.keepers.seize(id).await? {
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
                if handle.is_due(self.services.uptime(), self.services.settings.vm_info_update_frequency) {
                    let numbers: Vec<u32> = model.vms.iter().map(|vm| vm.number).collect();
                    let accounts = self.services.shown(caller)?.accounts;
                    refresh::observe(&self.services, &handle, &model, numbers, Some(&accounts)).await;
                }
                Ok(())
            }
            Held::Elsewhere(peer) => peer.ask(caller, crate::engine::cluster::wire::Request::Refresh).await,
        }
    }

    /// Has the keeper ask the clouds for news of an infrastructure that was read here, if they are due.
    pub(super) fn refresh_elsewhere(&self, caller: &Caller, id: &str) {
        if !self.keepers.is_due_elsewhere(id, self.services.uptime(), self.services.settings.vm_info_update_frequency) {
            return;
        }
        let (engine, caller, id) = (self.clone(), caller.clone(), id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = engine.refresh(&caller, &id).await {
                tracing::debug!(inf = %id, %error, "no news from the clouds");
            }
        });
    }
}
