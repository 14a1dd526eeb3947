//! From an id to its keeper: found in memory, started from the store, or made new.

use super::{
    Inner, commit_point, doubt,
    draft::{Draft, Terms, WorkResult},
    error::OperationError,
    keeper::{self, Handle, Stored},
    model::Infrastructure,
    rows,
    settings::Access,
    transitions,
};
use crate::{
    auth::Caller,
    store::{
        Lease, StoreError,
        leases::{Acquired, Holder},
    },
};
use std::sync::Arc;
use tokio::sync::{OnceCell, oneshot};

impl Inner {
    pub(super) fn allow(&self, access: Access) -> Result<(), OperationError> {
        if self.settings.boot_mode.allows(access) { Ok(()) } else { Err(OperationError::Disabled) }
    }

    /// Forgets a deleted infrastructure.
    pub(super) fn forget(&self, id: &str) {
        self.directory.remove(id);
    }

    /// The keeper of an infrastructure, started from the store if need be.
    pub(super) async fn load(self: &Arc<Self>, id: &str) -> Result<Handle, OperationError> {
        let slot = self.directory.get(id).ok_or(OperationError::UnknownInfrastructure)?;
        slot.handle.get_or_try_init(|| self.start(id, None)).await.cloned()
    }

    async fn start(self: &Arc<Self>, id: &str, token: Option<u64>) -> Result<Handle, OperationError> {
        let read = async {
            let stored = self.store.load(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
            let version = stored.version;
            Ok((version, rows::model(stored)?))
        };
        let (version, model) = read.await.inspect_err(|error| {
            if let OperationError::Damaged(why) = error {
                self.tell_damaged(id, why);
            }
        })?;
        if model.deleted {
            return Err(OperationError::UnknownInfrastructure);
        }
        let last = self.store.last_sequence(id).await?;
        let effects = transitions::resume(&model);
        let stored = Stored { model, version, last_sequence: last, token };
        Ok(keeper::spawn(self, stored, effects, Default::default()))
    }

    /// The keeper of an infrastructure, if no other daemon has it.
    pub(super) async fn seize(self: &Arc<Self>, id: &str) -> Result<Seized, OperationError> {
        let Some(cluster) = &self.cluster else { return self.load(id).await.map(Seized::Here) };
        let kept = || self.directory.handle(id).filter(|handle| cluster.is_member() && !handle.is_over());
        if let Some(handle) = kept() {
            return Ok(Seized::Here(handle));
        }
        let _turn = cluster.turn(id).await;
        if let Some(handle) = kept() {
            return Ok(Seized::Here(handle));
        }
        let token = match cluster.acquire(id).await? {
            Acquired::Held(token) => token,
            Acquired::By(holder) => return Ok(Seized::By(holder)),
        };
        // One that lost its lease may not have noticed yet.
        if let Some(former) = self.directory.handle(id) {
            former.leave();
            self.directory.remove(id);
        }
        let handle = match self.start(id, Some(token)).await {
            Err(error @ OperationError::Unavailable(_)) => {
                cluster.unattended(id);
                return Err(error);
            }
            started => started?,
        };
        let owners = handle.snapshot().owners.iter().map(|owner| owner.key.clone()).collect();
        self.directory.insert(id.to_owned(), owners, Arc::new(OnceCell::new_with(Some(handle.clone()))));
        Ok(Seized::Here(handle))
    }

    /// An infrastructure of the caller as it is now, and its keeper if it is here.
    pub(super) async fn view(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
    ) -> Result<(Option<Handle>, Arc<Infrastructure>), OperationError> {
        self.view_if(id, |model| may_use(caller, id, model)).await
    }

    /// The same of one that `may` be used.
    pub(super) async fn view_if(
        self: &Arc<Self>,
        id: &str,
        may: impl FnOnce(&Infrastructure) -> bool,
    ) -> Result<(Option<Handle>, Arc<Infrastructure>), OperationError> {
        let Some(cluster) = &self.cluster else {
            let kept = self.keeper_if(id, may).await.map_err(OperationError::of_reading);
            return kept.map(|(handle, model)| (Some(handle), model));
        };
        let kept = self.directory.handle(id).filter(|handle| !handle.is_over());
        match kept {
            Some(handle) if cluster.is_member() => {
                let model = admit_if(handle.snapshot(), may)?;
                Ok((Some(handle), model))
            }
            // Without a session the snapshot may be out of date.
            kept => {
                let model = cluster.view(self, id, kept.as_ref()).await.map_err(OperationError::of_reading)?;
                Ok((None, admit_if(model, may)?))
            }
        }
    }

    /// The keeper of an infrastructure that `may` be used.
    pub(super) async fn keeper_if(
        self: &Arc<Self>,
        id: &str,
        may: impl FnOnce(&Infrastructure) -> bool,
    ) -> Result<(Handle, Arc<Infrastructure>), OperationError> {
        let handle = match self.seize(id).await? {
            Seized::Here(handle) => handle,
            // Who asks again may come to the daemon that keeps it.
            Seized::By(_) => return Err(OperationError::Moved),
        };
        let model = admit_if(handle.snapshot(), may)?;
        Ok((handle, model))
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            now: self.now(),
            steady: self.steady(),
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
        self.reachable()?;
        let mut changes = rows::changes(&draft, 1)?;
        let token = self.cluster.as_ref().map(|_| 1);
        let lease = self.lease(token);
        changes.lease.clone_from(&lease);
        commit_point::pass();
        let created = self.store.create(rows::index_row(&draft), changes).await;
        self.note_write(&created);
        if let Err(error) = created {
            if matches!(error, StoreError::InDoubt(_)) {
                doubt::take_back(self, draft.model.id, lease);
            }
            return Err(error.into());
        }
        commit_point::pass();
        let last = draft.events.len() as u64;
        let waiters = [(waiter.0, vec![waiter.1])].into();
        let stored = Stored { model: draft.model, version: 1, last_sequence: last, token };
        Ok(keeper::spawn(self, stored, draft.effects, waiters))
    }

    /// Refuses at once what needs the database while it is away.
    pub(super) fn reachable(&self) -> Result<(), OperationError> {
        Ok(self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.reachable())?)
    }

    /// The lease that a token stands for.
    pub(super) fn lease(&self, token: Option<u64>) -> Option<Lease> {
        Some(self.cluster.as_ref()?.lease(token?))
    }
}

/// Who keeps an infrastructure.
pub(super) enum Seized {
    /// This daemon.
    Here(Handle),
    /// Another one.
    By(Holder),
}

/// Whether the caller may use it.
pub(super) fn may_use(caller: &Caller, id: &str, model: &Infrastructure) -> bool {
    caller.may_access(&model.owners) || caller.is_infrastructure(id)
}

/// The model, if it `may` be used.
pub(super) fn admit_if(
    model: Arc<Infrastructure>,
    may: impl FnOnce(&Infrastructure) -> bool,
) -> Result<Arc<Infrastructure>, OperationError> {
    if !may(&model) {
        return Err(OperationError::NotOwner);
    }
    if model.deleted { Err(OperationError::DeletedInfrastructure) } else { Ok(model) }
}

/// Refuses callers that only show the token of an infrastructure.
pub(super) fn user_only(caller: &Caller) -> Result<(), OperationError> {
    if caller.is_user() {
        return Ok(());
    }
    Err(OperationError::Invalid("These credentials are for one infrastructure only.".to_owned()))
}
