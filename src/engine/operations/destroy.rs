//! Infrastructures that are deleted.
//!
//! Races: while a deletion runs a further one joins it, and a forced one makes it forced. Without force it is refused while
//! machines are launched; with force launches are given up, and what they made is found by its mark and deleted. Images that
//! were accepted are made before their machines go.

use crate::{
    engine::{
        error::OperationError,
        operations::{
            change::{Change, Here, Unread},
            engine::Engine,
        },
        settings::Access,
        state::{
            draft::{Done, Draft},
            rights::Right,
        },
        transitions,
    },
    store::{Changes, leases::Acquired},
};
use serde::{Deserialize, Serialize};

/// Deletes everything.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destroy {
    /// Whether what the clouds refuse to delete is forgotten all the same. The token that recipes hold may not ask for it.
    pub force: bool,
    /// Whether the answer comes once the work is durable, not when it has ended.
    pub asynchronous: bool,
}

impl Change for Destroy {
    const NAME: &'static str = "destroy";
    const ACCESS: Access = Access::Destroy;
    /// What the clouds refused to delete, and was forgotten.
    type Answer = Vec<String>;

    fn right(&self) -> Right {
        if self.force { Right::Own } else { Right::Use }
    }

    /// [`OperationError::Conflict`] while machines are launched; refused for accounts that made something and are not among
    /// the caller's; by clouds, unless it is forced.
    async fn perform(self, mut here: Here<'_>) -> Result<Vec<String>, OperationError> {
        let shown = here.shown()?;
        here.claim(&shown.accounts).await;
        let destroy = move |draft: &mut Draft| {
            let work = transitions::destroy(draft, self.force, &shown.accounts)?;
            draft.keep(&shown);
            Ok(work)
        };
        if self.asynchronous {
            return here.handle.change(destroy).await.map(|_| Vec::new());
        }
        match here.handle.change_and_wait(destroy).await?.map_err(OperationError::Cloud)? {
            Done::Forgotten(left) => Ok(left),
            Done::Machines(_) | Done::Image(_) => Ok(Vec::new()),
        }
    }

    /// An administrator may delete what cannot be read.
    async fn perform_unread(self, unread: Unread<'_>) -> Result<Vec<String>, OperationError> {
        let Unread { engine, caller, id, damage } = unread;
        if caller.is_administrator() { discard(engine, id).await } else { Err(damage) }
    }
}

/// Deletes an infrastructure that cannot be read. Its machines are not known, so nothing of them is deleted.
///
/// # Errors
/// Another daemon keeps it; the store.
async fn discard(engine: &Engine, id: &str) -> Result<Vec<String>, OperationError> {
    let token = match &engine.services.cluster {
        Some(cluster) => match cluster.acquire(id).await? {
            Acquired::Held(token) => Some(token),
            Acquired::By(_) => return Err(OperationError::Moved),
        },
        None => None,
    };
    let version = engine.services.store.version(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
    let lease = engine.services.lease(token);
    let gone = Changes { deleted: Some(true), pending: Some(false), lease, ..Changes::default() };
    engine.services.store.commit(id, version, gone).await?;
    engine.keepers.forget(id);
    engine.services.forget_damage(id);
    tracing::warn!(
        inf = id,
        "an administrator deleted this infrastructure, which could not be read: machines of it that are left in clouds \
         carry its id"
    );
    Ok(vec!["the infrastructure could not be read: machines of it that are left in clouds carry its id".to_owned()])
}
