//! Where a change is to be made: here, or by the daemon that keeps the infrastructure.

use crate::{
    auth::Caller,
    engine::{
        cluster::peer::Peer,
        error::OperationError,
        keeper::{handle::Handle, keepers::Seized},
        operations::engine::Engine,
        state::{model::Infrastructure, rights::Right},
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
    /// The keeper of an infrastructure, here or elsewhere, for a caller who has this right to it. The infrastructure of a
    /// daemon that does not answer is taken over once its session lapses.
    pub(super) async fn hold(&self, caller: &Caller, id: &str, right: Right) -> Result<Held, OperationError> {
        let Some(cluster) = &self.services.cluster else {
            let (handle, model) = self.keepers.keeper(caller, id, right).await?;
            return Ok(Held::Here(handle, model));
        };
        cluster.reachable()?;
        let patience = Instant::now() + cluster.settings.lease_time * 2 + Duration::from_secs(2);
        loop {
            let holder = match self.keepers.seize(id).await? {
                Seized::Here(handle) => {
                    let model = right.admit(caller, handle.snapshot())?;
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
}
