//! What is known of an infrastructure and its machines: the state as last stored, and how it is shown.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{engine::Engine, refresh::Refresh},
        state::{
            accounts::Accounts,
            memo::{self, Rendering},
            model::{Infrastructure, Lifecycle, State, Vm},
            rights::Right,
            states,
        },
        work::refresh,
    },
    store::StoreError,
};
use radl::Radl;
use std::{convert::Infallible, sync::Arc};

impl Engine {
    /// The infrastructure as it is now, if it is the caller's. Asks the clouds for news in the background.
    ///
    /// # Errors
    /// Unknown, deleted, not the caller's.
    pub async fn infrastructure(&self, caller: &Caller, id: &str) -> Result<Arc<Infrastructure>, OperationError> {
        let (handle, model) = self.keepers.view(caller, id, Right::Use).await?;
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

    /// The infrastructure as [`Engine::infrastructure`] has it, and one machine of it.
    ///
    /// # Errors
    /// Those of [`Engine::infrastructure`]; an unknown or deleted machine.
    pub async fn vm(
        &self,
        caller: &Caller,
        id: &str,
        number: u32,
    ) -> Result<(Arc<Infrastructure>, Arc<Vm>), OperationError> {
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

    /// The document of [`Engine::vm_info`] as text.
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

    /// Has the keeper ask the clouds for news of an infrastructure that was read here and is kept elsewhere, if they are due.
    fn refresh_elsewhere(&self, caller: &Caller, id: &str) {
        if !self.keepers.is_due_elsewhere(id, self.services.uptime(), self.services.settings.vm_info_update_frequency) {
            return;
        }
        let (engine, caller, id) = (self.clone(), caller.clone(), id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = engine.make(&caller, &id, Refresh {}).await {
                tracing::debug!(inf = %id, %error, "no news from the clouds");
            }
        });
    }
}

/// A machine that was not deleted.
pub(super) fn existing(model: &Infrastructure, number: u32) -> Result<&Arc<Vm>, OperationError> {
    let vm = model.vm(number).ok_or(OperationError::UnknownVm)?;
    if vm.lifecycle == Lifecycle::Gone { Err(OperationError::DeletedVm) } else { Ok(vm) }
}
