//! What the APIs can read.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            engine::Engine,
            filter::{self, Filter},
        },
        state::{
            accounts::Accounts,
            memo::{self, Rendering},
            model::{Infrastructure, Lifecycle, State, Vm},
            render, states,
        },
        work::refresh,
    },
    store::{StoreError, StoredEvent},
};
use radl::Radl;
use std::{convert::Infallible, sync::Arc};

/// An infrastructure as it was at one moment.
pub type Snapshot = Arc<Infrastructure>;

impl Engine {
    /// Ids of the infrastructures of the caller, newest first; with `filter` those in the text of whose documents this
    /// regular expression is found.
    ///
    /// # Errors
    /// A filter that is none or takes too long; the store, when a filter needs it.
    pub async fn list(&self, caller: &Caller, filter: Option<&str>) -> Result<Vec<String>, OperationError> {
        let filter = match filter.map(str::to_owned) {
            Some(filter) => Some(self.apart(caller.user(), move || Filter::new(&filter, filter::TIME)).await??),
            None => None,
        };
        self.listed(caller, filter).await.map_err(OperationError::of_reading)
    }

    async fn listed(&self, caller: &Caller, filter: Option<Filter>) -> Result<Vec<String>, OperationError> {
        let mut ids = Vec::new();
        if self.services.cluster.is_some() {
            let is_filtered = filter.is_some();
            match self.list_of_all(caller, filter).await {
                // While the database is away, what is known here is told.
                Err(OperationError::Unavailable(_)) if !is_filtered => return Ok(self.keepers.known(caller)),
                listed => return listed,
            }
        }
        let mut models = Vec::new();
        for (id, slot) in self.keepers.directory.newest_first() {
            let is_owned = match slot.handle.get() {
                Some(handle) => caller.may_access(&handle.snapshot().owners),
                None => caller.admin || caller.identities.iter().any(|who| slot.owners.contains(&who.key)),
            };
            if !is_owned {
                continue;
            }
            match filter {
                Some(_) => match self.keepers.load(&id).await {
                    Ok(handle) => models.push(handle.snapshot()),
                    // Named in the log; or deleted meanwhile.
                    Err(OperationError::Damaged(_) | OperationError::UnknownInfrastructure) => {}
                    Err(error) => return Err(error),
                },
                None => ids.push(id),
            }
        }
        match filter {
            Some(filter) => self.found(caller, filter, models).await,
            None => Ok(ids),
        }
    }

    /// Ids of those of the infrastructures in whose documents the filter is found.
    async fn found(
        &self,
        caller: &Caller,
        mut filter: Filter,
        models: Vec<Snapshot>,
    ) -> Result<Vec<String>, OperationError> {
        let find = move || {
            let mut ids = Vec::new();
            for model in models {
                if filter.matches(|| model.radl.without_internal().to_text())? {
                    ids.push(model.id.clone());
                }
            }
            Ok(ids)
        };
        self.apart(caller.user(), find).await?
    }

    /// The same where several daemons keep infrastructures.
    async fn list_of_all(&self, caller: &Caller, filter: Option<Filter>) -> Result<Vec<String>, OperationError> {
        let keys: Vec<String> = caller.identities.iter().map(|who| who.key.clone()).collect();
        let Some(cluster) = &self.services.cluster else { return Ok(Vec::new()) };
        let rows = cluster.owned((!caller.admin).then_some(keys)).await?;
        let Some(filter) = filter else { return Ok(rows.into_iter().map(|row| row.id).collect()) };
        let mut models = Vec::new();
        for row in rows {
            match self.keepers.view(caller, &row.id).await {
                Ok((_, model)) => models.push(model),
                // Named in the log; or deleted meanwhile.
                Err(OperationError::Damaged(_) | OperationError::UnknownInfrastructure) => {}
                Err(error) => return Err(error),
            }
        }
        self.found(caller, filter, models).await
    }

    /// The infrastructure as it is now, if it is the caller's. Asks the clouds for news in the background.
    ///
    /// # Errors
    /// Unknown, deleted, not the caller's.
    pub async fn infrastructure(&self, caller: &Caller, id: &str) -> Result<Arc<Infrastructure>, OperationError> {
        let (handle, model) = self.keepers.view(caller, id).await?;
        let Some(handle) = handle else {
            self.refresh_elsewhere(caller, id);
            return Ok(model);
        };
        if handle.is_due(self.services.uptime(), self.services.settings.vm_info_update_frequency) {
            let (services, credentials, model) = (self.services.clone(), caller.credentials.clone(), model.clone());
            tokio::spawn(async move {
                let numbers: Vec<u32> = model.vms.iter().map(|vm| vm.number).collect();
                // Lines that cannot be read are no account.
                let Ok(accounts) = Accounts::try_from(&*credentials) else { return };
                refresh::observe(&services, &handle, &model, numbers, Some(&accounts)).await;
            });
        }
        Ok(model)
    }

    /// As [`Engine::infrastructure`], and one machine of it.
    ///
    /// # Errors
    /// As there, and unknown or deleted machine.
    pub async fn vm(&self, caller: &Caller, id: &str, number: u32) -> Result<(Snapshot, Arc<Vm>), OperationError> {
        let infrastructure = self.infrastructure(caller, id).await?;
        let vm = existing(&infrastructure, number)?.clone();
        Ok((infrastructure, vm))
    }

    /// State of the infrastructure now.
    #[must_use]
    pub fn state(&self, infrastructure: &Infrastructure) -> State {
        states::infrastructure_state(infrastructure, self.services.clock())
    }

    /// State of a machine now.
    #[must_use]
    pub fn vm_state(&self, infrastructure: &Infrastructure, vm: &Vm) -> State {
        states::vm_state(infrastructure, vm, self.services.clock())
    }

    /// The machine's document as `GetVMInfo` shows it: its networks and its one system, with `state`.
    #[must_use]
    pub fn vm_info(&self, infrastructure: &Infrastructure, vm: &Vm) -> Radl {
        self.services.vm_info(vm, self.vm_state(infrastructure, vm))
    }

    /// The same as text.
    #[must_use]
    pub fn vm_info_text(&self, infrastructure: &Infrastructure, vm: &Vm) -> Rendering {
        let state = self.vm_state(infrastructure, vm);
        let render = || Ok::<_, Infallible>(self.services.vm_info(vm, state).to_text().into());
        vm.text.get_or_try(state, memo::OF_MACHINE, render).unwrap_or_else(|never| match never {})
    }

    /// One value of the machine's system, as [`radl::Features::value_json`] gives it; none if it has no such feature.
    #[must_use]
    pub fn vm_property(&self, infrastructure: &Infrastructure, vm: &Vm, name: &str) -> Option<serde_json::Value> {
        if name == "state" {
            return Some(self.vm_state(infrastructure, vm).name().into());
        }
        let mut system = vm.info.systems.first()?.clone();
        self.services.name(&mut system, vm);
        system.features.value_json(name)
    }

    /// A rendering of the states of the infrastructure and all its machines, made at most once for a state.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn states<E>(
        &self,
        infrastructure: &Infrastructure,
        render: impl FnOnce() -> Result<Rendering, E>,
    ) -> Result<Rendering, E> {
        // While a cloud is silent the states change by the mere time.
        let failing = |vm: &Arc<Vm>| vm.observed.is_some_and(|observed| observed.failing_since.is_some());
        if infrastructure.vms.iter().any(failing) {
            return render();
        }
        infrastructure.states.get_or_try((), memo::OF_INFRASTRUCTURE, render)
    }

    /// The stored document as users see it.
    #[must_use]
    pub fn document(&self, infrastructure: &Infrastructure) -> Radl {
        infrastructure.radl.without_internal()
    }

    /// The log: the infrastructure's header, then every machine's unless `header_only` (docs/spec/api.md 5.5).
    ///
    /// # Errors
    /// As [`Engine::infrastructure`], and the store.
    pub async fn contextualization_log(
        &self,
        caller: &Caller,
        id: &str,
        header_only: bool,
    ) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let header = self.read(self.services.store.log(id, None)).await?;
        if header_only {
            return Ok(header);
        }
        let mut stored: std::collections::HashMap<u32, String> =
            self.read(self.services.store.vm_logs(id)).await?.into_iter().collect();
        let vms: Vec<(u32, String)> = model
            .live_vms()
            .map(|vm| (vm.number, render::vm_log(vm, &stored.remove(&vm.number).unwrap_or_default())))
            .filter(|(_, log)| !log.is_empty())
            .collect();
        Ok(render::contextualization_log(&header, &vms))
    }

    /// The log of one machine.
    ///
    /// # Errors
    /// As [`Engine::vm`], and the store.
    pub async fn vm_log(&self, caller: &Caller, id: &str, number: u32) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let vm = existing(&model, number)?;
        Ok(render::vm_log(vm, &self.read(self.services.store.log(id, Some(number))).await?))
    }

    /// The answer of the store, which is not asked while it is known to be away.
    pub(in crate::engine) async fn read<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, OperationError> {
        let answer = match self.services.reachable() {
            Ok(()) => question.await.map_err(OperationError::from),
            Err(error) => Err(error),
        };
        answer.map_err(OperationError::of_reading)
    }

    /// Stored events after sequence `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Engine::infrastructure`], and the store.
    pub async fn events(
        &self,
        caller: &Caller,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, OperationError> {
        self.keepers.view(caller, id).await?;
        self.last_events(id, after, limit).await
    }

    /// The same for who was admitted while the infrastructure existed, and is told its end.
    ///
    /// # Errors
    /// The store.
    pub async fn last_events(&self, id: &str, after: u64, limit: usize) -> Result<Vec<StoredEvent>, OperationError> {
        self.read(self.services.store.events(id, after, limit)).await
    }

    /// Wakes whenever events were stored; the value is the last sequence. Closed when the infrastructure is gone.
    ///
    /// # Errors
    /// As [`Engine::infrastructure`].
    pub async fn watch_events(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<tokio::sync::watch::Receiver<u64>, OperationError> {
        let (handle, _) = self.keepers.view(caller, id).await?;
        Ok(match (handle, &self.services.cluster) {
            (None, Some(cluster)) => self.keepers.follow_elsewhere(cluster, id),
            (Some(handle), _) => handle.watch_events(),
            (None, None) => return Err(OperationError::UnknownInfrastructure),
        })
    }
}

/// A machine that was not deleted.
pub(super) fn existing(model: &Infrastructure, number: u32) -> Result<&Arc<Vm>, OperationError> {
    let vm = model.vm(number).ok_or(OperationError::UnknownVm)?;
    if vm.lifecycle == Lifecycle::Gone { Err(OperationError::DeletedVm) } else { Ok(vm) }
}
