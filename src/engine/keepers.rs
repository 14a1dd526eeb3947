//! From an id to its keeper: found in memory, started from the store, or made new.

use super::{
    Inner,
    draft::{Draft, Terms, WorkResult},
    error::OperationError,
    keeper::{self, Handle},
    model::Infrastructure,
    rows,
    settings::Access,
    transitions,
};
use crate::auth::Caller;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Inner {
    pub(super) fn allow(&self, access: Access) -> Result<(), OperationError> {
        if self.settings.boot_mode.allows(access) { Ok(()) } else { Err(OperationError::Disabled) }
    }

    /// Forgets a deleted infrastructure, or one that another daemon keeps.
    pub(super) fn forget(&self, id: &str) {
        self.directory.remove(id);
    }

    /// The keeper of an infrastructure, started from the store if need be.
    pub(super) async fn load(self: &Arc<Self>, id: &str) -> Result<Handle, OperationError> {
        let slot = self.directory.get(id).ok_or(OperationError::UnknownInfrastructure)?;
        let start = || async {
            let stored = self.store.load(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
            let (model, _) = rows::model(&stored)?;
            let last = self.store.last_sequence(id).await?;
            let effects = transitions::resume(&model);
            Ok::<_, OperationError>(keeper::spawn(self, model, stored.version, last, effects, Default::default()))
        };
        slot.handle.get_or_try_init(start).await.cloned()
    }

    /// The keeper of an infrastructure of the caller.
    pub(super) async fn keeper(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
    ) -> Result<(Handle, Arc<Infrastructure>), OperationError> {
        let handle = match self.directory.handle(id) {
            Some(handle) => handle,
            None => self.load(id).await?,
        };
        let model = handle.snapshot();
        if !caller.may_access(&model.owners) && !caller.is_infrastructure(id) {
            return Err(OperationError::NotOwner);
        }
        if model.deleted {
            return Err(OperationError::DeletedInfrastructure);
        }
        Ok((handle, model))
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            now: self.now(),
            max_contextualization: self.settings.max_contextualization,
            wait_running: self.settings.contextualization.wait_running,
            default_vm_name: self.settings.contextualization.default_vm_name.as_str().into(),
        }
    }

    pub(super) async fn store_new(
        self: &Arc<Self>,
        draft: Draft,
        waiter: (u64, oneshot::Sender<WorkResult>),
    ) -> Result<Handle, OperationError> {
        let changes = rows::changes(&draft, 1)?;
        self.store.create(rows::index_row(&draft), changes).await?;
        let last = draft.events.len() as u64;
        let waiters = [(waiter.0, vec![waiter.1])].into();
        Ok(keeper::spawn(self, draft.model, 1, last, draft.effects, waiters))
    }
}

/// Refuses callers that only show the token of an infrastructure.
pub(super) fn user_only(caller: &Caller) -> Result<(), OperationError> {
    if caller.is_user() {
        return Ok(());
    }
    Err(OperationError::Invalid("These credentials are for one infrastructure only.".to_owned()))
}
