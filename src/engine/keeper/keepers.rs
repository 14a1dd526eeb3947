//! From an id to its keeper: found in memory, started from the store, or made new.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        keeper::{
            commit_point,
            crew::Hire,
            directory::Directory,
            doubt,
            handle::Handle,
            resuming::Resuming,
            task::{self, Stored, Waiters},
            views::Views,
        },
        services::Services,
        state::{
            draft::{Draft, Effect, WorkResult},
            model::Infrastructure,
            rights::Right,
            rows,
        },
        transitions,
    },
    store::{
        IndexRow, StoreError,
        leases::{Acquired, Holder},
    },
};
use std::sync::Arc;
use tokio::sync::{OnceCell, oneshot};

/// From an id to its keeper.
pub struct Keepers {
    pub services: Arc<Services>,
    /// Shared with the keepers, which leave it when they end.
    pub directory: Arc<Directory>,
    pub(super) views: Views,
    pub resuming: Resuming,
    hire: Hire,
}

impl Keepers {
    /// Of the infrastructures in the index of the store; `hire` finds the crew of each keeper.
    #[must_use]
    pub fn new(services: Arc<Services>, index: Vec<IndexRow>, hire: Hire) -> Self {
        Self {
            services,
            directory: Arc::new(Directory::new(index)),
            views: Views::default(),
            resuming: Resuming::default(),
            hire,
        }
    }

    fn spawn(&self, stored: Stored, effects: Vec<Effect>, waiters: Waiters) -> Handle {
        let Self { services, directory, hire, .. } = self;
        task::spawn(services.clone(), directory.clone(), *hire, stored, effects, waiters)
    }

    /// Forgets a deleted infrastructure.
    pub fn forget(&self, id: &str) {
        self.directory.remove(id);
    }

    /// The keeper of an infrastructure, started from the store if need be.
    pub async fn load(&self, id: &str) -> Result<Handle, OperationError> {
        let slot = self.directory.get(id).ok_or(OperationError::UnknownInfrastructure)?;
        slot.handle.get_or_try_init(|| self.start(id, None)).await.cloned()
    }

    async fn start(&self, id: &str, token: Option<u64>) -> Result<Handle, OperationError> {
        let read = async {
            let stored = self.services.store.load(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
            let (version, size) = (stored.version, stored.size());
            Ok((version, size, rows::model(stored)?))
        };
        let (version, size, model) = read.await.inspect_err(|error| {
            if let OperationError::Damaged(why) = error {
                self.services.tell_damaged(id, why);
            }
        })?;
        if model.deleted {
            return Err(OperationError::UnknownInfrastructure);
        }
        let last = self.services.store.last_sequence(id).await?;
        let effects = transitions::resume(&model);
        let goes_on = !effects.is_empty();
        let stored = Stored { model, version, last_sequence: last, token };
        let handle = self.spawn(stored, effects, Default::default());
        if goes_on {
            self.resuming.begin(size, handle.watch());
        }
        Ok(handle)
    }

    /// The keeper of an infrastructure, if no other daemon has it.
    pub async fn seize(&self, id: &str) -> Result<Seized, OperationError> {
        let Some(cluster) = &self.services.cluster else { return self.load(id).await.map(Seized::Here) };
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

    /// An infrastructure as it is now, for a caller who has this right to it, and its keeper if it is here.
    pub async fn view(
        &self,
        caller: &Caller,
        id: &str,
        right: Right,
    ) -> Result<(Option<Handle>, Arc<Infrastructure>), OperationError> {
        let Some(cluster) = &self.services.cluster else {
            let kept = self.keeper(caller, id, right).await.map_err(OperationError::of_reading);
            return kept.map(|(handle, model)| (Some(handle), model));
        };
        let kept = self.directory.handle(id).filter(|handle| !handle.is_over());
        match kept {
            Some(handle) if cluster.is_member() => {
                let model = right.admit(caller, handle.snapshot())?;
                Ok((Some(handle), model))
            }
            // Without a session the snapshot may be out of date.
            kept => {
                let model =
                    self.view_elsewhere(cluster, id, kept.as_ref()).await.map_err(OperationError::of_reading)?;
                Ok((None, right.admit(caller, model)?))
            }
        }
    }

    /// The keeper of an infrastructure, for a caller who has this right to it.
    pub async fn keeper(
        &self,
        caller: &Caller,
        id: &str,
        right: Right,
    ) -> Result<(Handle, Arc<Infrastructure>), OperationError> {
        let handle = match self.seize(id).await? {
            Seized::Here(handle) => handle,
            // Who asks again may come to the daemon that keeps it.
            Seized::By(_) => return Err(OperationError::Moved),
        };
        let model = right.admit(caller, handle.snapshot())?;
        Ok((handle, model))
    }

    pub async fn store_new(
        &self,
        draft: Draft,
        waiter: (u64, oneshot::Sender<WorkResult>),
    ) -> Result<Handle, OperationError> {
        self.services.reachable()?;
        let mut changes = rows::changes(&draft, 1)?;
        let token = self.services.cluster.as_ref().map(|_| 1);
        let lease = self.services.lease(token);
        changes.lease.clone_from(&lease);
        commit_point::pass();
        let created = self.services.store.create(rows::index_row(&draft), changes).await;
        self.services.note_write(&created);
        if let Err(error) = created {
            if matches!(error, StoreError::InDoubt(_)) {
                doubt::take_back(&self.services, draft.model.id, lease);
            }
            return Err(error.into());
        }
        commit_point::pass();
        let last = draft.events.len() as u64;
        let waiters = [(waiter.0, vec![waiter.1])].into();
        let stored = Stored { model: draft.model, version: 1, last_sequence: last, token };
        Ok(self.spawn(stored, draft.effects, waiters))
    }
}

/// Who keeps an infrastructure.
pub enum Seized {
    /// This daemon.
    Here(Handle),
    /// Another one.
    By(Holder),
}
