//! What the operations do: check, plan with the clouds, hand over to the keeper, wait.

use super::{
    Inner,
    draft::{Draft, Terms},
    error::OperationError,
    keeper::{self, Handle},
    model::{Infrastructure, Lifecycle, Vm},
    placement, refresh, render, rows,
    settings::Access,
    transitions::{self, Placement},
};
use crate::{auth::Caller, store::StoredEvent};
use connectors::{PowerOperation, Resize};
use contextualization::Cause;
use futures::{StreamExt, stream};
use radl::Radl;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::OnceCell;

impl Inner {
    fn allow(&self, access: Access) -> Result<(), OperationError> {
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
    async fn keeper(
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

    pub(super) async fn infrastructure(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
    ) -> Result<Arc<Infrastructure>, OperationError> {
        let (handle, model) = self.keeper(caller, id).await?;
        if handle.is_due(self.now(), self.settings.vm_info_update_frequency) {
            let (inner, credentials, model) = (self.clone(), caller.credentials.clone(), model.clone());
            tokio::spawn(async move {
                let numbers: Vec<u32> = model.vms.iter().map(|vm| vm.number).collect();
                refresh::observe(&inner, &handle, &model, numbers, Some(&credentials)).await;
            });
        }
        Ok(model)
    }

    pub(super) async fn list(
        self: &Arc<Self>,
        caller: &Caller,
        filter: Option<&regex::Regex>,
    ) -> Result<Vec<String>, OperationError> {
        let mut ids = Vec::new();
        for (id, slot) in self.directory.newest_first() {
            let is_owned = match slot.handle.get() {
                Some(handle) => caller.may_access(&handle.snapshot().owners),
                None => caller.admin || caller.identities.iter().any(|who| slot.owners.contains(&who.key)),
            };
            if !is_owned {
                continue;
            }
            if let Some(filter) = filter {
                let model = self.load(&id).await?.snapshot();
                if !filter.is_match(&model.radl.without_internal().to_text()) {
                    continue;
                }
            }
            ids.push(id);
        }
        Ok(ids)
    }

    pub(super) async fn create(
        self: &Arc<Self>,
        caller: &Caller,
        document: Radl,
        asynchronous: bool,
    ) -> Result<String, OperationError> {
        self.allow(Access::Change)?;
        if !caller.is_user() {
            let text = "These credentials are for one infrastructure only.";
            return Err(OperationError::Invalid(text.to_owned()));
        }
        let model = self.empty_infrastructure(caller);
        let id = model.id.clone();
        let credentials = caller.credentials.clone();
        let mut draft = Draft::new(model, self.terms());
        draft.infrastructure();
        let work = if asynchronous {
            transitions::place(&mut draft, Arc::new(document), credentials)?
        } else {
            let placement = placement::choose(self, &draft.model, &document, &credentials).await?;
            if let Some(why) = placement.refusal() {
                return Err(OperationError::Cloud(why));
            }
            transitions::add(&mut draft, &document, placement, true, super::model::IfAllFail::Destroy, credentials)?
        };
        let (done, end) = tokio::sync::oneshot::channel();
        let handle = self.store_new(draft, (work, done)).await?;
        let model = handle.snapshot();
        let owners = model.owners.iter().map(|owner| owner.key.clone()).collect();
        self.directory.insert(id.clone(), owners, Arc::new(OnceCell::new_with(Some(handle))));
        if !asynchronous {
            let ended = end.await.map_err(|_| {
                OperationError::Unavailable("the daemon is stopping; the infrastructure is being made".to_owned())
            })?;
            ended.map_err(OperationError::Invalid)?;
        }
        Ok(id)
    }

    fn empty_infrastructure(&self, caller: &Caller) -> Infrastructure {
        Infrastructure {
            id: uuid::Uuid::new_v4().to_string(),
            created: self.now() / 1_000_000,
            owners: caller.identities.clone(),
            radl: Arc::default(),
            private_networks: Default::default(),
            shared: Default::default(),
            vms: Vec::new(),
            configured: None,
            generation: None,
            master: None,
            work: Vec::new(),
            last_work: 0,
            deleted: false,
            credentials: None,
            ansible_key: None,
            snapshots: Vec::new(),
        }
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            now: self.now(),
            max_contextualization: self.settings.max_contextualization,
            default_vm_name: self.settings.contextualization.default_vm_name.as_str().into(),
        }
    }

    async fn store_new(
        self: &Arc<Self>,
        draft: Draft,
        waiter: (u64, tokio::sync::oneshot::Sender<super::draft::WorkResult>),
    ) -> Result<Handle, OperationError> {
        let changes = rows::changes(&draft, 1)?;
        self.store.create(rows::index_row(&draft.model), changes).await?;
        let last = draft.events.len() as u64;
        let waiters = [(waiter.0, vec![waiter.1])].into();
        Ok(keeper::spawn(self, draft.model, 1, last, draft.effects, waiters))
    }

    pub(super) async fn add(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        document: Radl,
        context: bool,
    ) -> Result<Vec<u32>, OperationError> {
        self.allow(Access::Change)?;
        let (handle, model) = self.keeper(caller, id).await?;
        let credentials = caller.credentials.clone();
        let placement = placement::choose(self, &model, &document, &credentials).await?;
        if let Some(why) = placement.refusal() {
            // Nothing of the document stays, so that the next one is merged into what there was.
            return Err(OperationError::Cloud(why));
        }
        if placement.vms.is_empty() && context && !model.vms.is_empty() {
            let keep = move |draft: &mut Draft| {
                let keep = super::model::IfAllFail::Keep;
                transitions::add(draft, &document, Placement::default(), false, keep, credentials)?;
                draft.start_generation(Cause::Reconfigure, None);
                Ok(Vec::new())
            };
            return handle.change(keep).await;
        }
        let result = handle
            .change_and_wait(move |draft| {
                let keep = super::model::IfAllFail::Keep;
                transitions::add(draft, &document, placement, context, keep, credentials)
            })
            .await?;
        result.map_err(OperationError::Cloud)
    }

    pub(super) async fn remove(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        vms: &[u32],
        context: bool,
    ) -> Result<usize, OperationError> {
        self.allow(Access::Change)?;
        let (handle, _) = self.keeper(caller, id).await?;
        let credentials = caller.credentials.clone();
        let vms = vms.to_vec();
        let result =
            handle.change_and_wait(move |draft| transitions::remove(draft, &vms, context, credentials)).await?;
        result.map(|gone| gone.len()).map_err(OperationError::Cloud)
    }

    pub(super) async fn reconfigure(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        document: Option<Radl>,
        vms: Option<BTreeSet<u32>>,
    ) -> Result<(), OperationError> {
        self.allow(Access::Change)?;
        let (handle, _) = self.keeper(caller, id).await?;
        let credentials = caller.credentials.clone();
        handle.change(move |draft| transitions::reconfigure(draft, document.as_ref(), vms, credentials)).await
    }

    pub(super) async fn destroy(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        force: bool,
        asynchronous: bool,
    ) -> Result<(), OperationError> {
        self.allow(Access::Destroy)?;
        let (handle, _) = self.keeper(caller, id).await?;
        let credentials = caller.credentials.clone();
        let destroy = move |draft: &mut Draft| transitions::destroy(draft, force, credentials);
        if asynchronous {
            return handle.change(destroy).await.map(|_| ());
        }
        handle.change_and_wait(destroy).await?.map(|_| ()).map_err(OperationError::Cloud)
    }

    pub(super) async fn power(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        number: Option<u32>,
        operation: PowerOperation,
    ) -> Result<(), OperationError> {
        self.allow(Access::Change)?;
        let (handle, model) = self.keeper(caller, id).await?;
        let vms: Vec<Arc<Vm>> = match number {
            Some(number) => vec![present(&model, number)?.clone()],
            None => model.vms.iter().filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))).cloned().collect(),
        };
        let numbers: Vec<u32> = vms.iter().map(|vm| vm.number).collect();
        let errors: Vec<String> = stream::iter(vms)
            .map(|vm| async move { self.power_vm(caller, &vm, operation).await.err().map(|error| error.to_string()) })
            .buffered(self.launch_slots())
            .filter_map(std::future::ready)
            .collect()
            .await;
        refresh::observe(self, &handle, &model, numbers, Some(&caller.credentials)).await;
        let gerund = match operation {
            PowerOperation::Start => "starting",
            PowerOperation::Stop => "stopping",
            PowerOperation::Reboot => "rebooting",
        };
        match (errors.is_empty(), number) {
            (true, _) => Ok(()),
            (_, Some(_)) => Err(OperationError::Cloud(format!("Error {gerund} the VM: {}", errors.join("\n")))),
            (_, None) => {
                Err(OperationError::Cloud(format!("Error {gerund} the infrastructure: {}\n", errors.join("\n"))))
            }
        }
    }

    async fn power_vm(&self, caller: &Caller, vm: &Vm, operation: PowerOperation) -> Result<(), OperationError> {
        let id = vm.provider_id().ok_or(OperationError::UnknownVm)?;
        let connector = self.connector(Some(&caller.credentials), &vm.cloud)?;
        connector.power(id, operation).await.map_err(OperationError::from)
    }

    pub(super) async fn alter(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        number: u32,
        document: Radl,
    ) -> Result<Radl, OperationError> {
        self.allow(Access::Change)?;
        let (handle, model) = self.keeper(caller, id).await?;
        let vm = present(&model, number)?.clone();
        let Some(wanted) = document.system(&vm.system) else {
            let text = format!("Incorrect RADL no system with name {} provided.", vm.system);
            return Err(OperationError::Invalid(text));
        };
        let provider_id = vm.provider_id().ok_or(OperationError::UnknownVm)?;
        let connector = self.connector(Some(&caller.credentials), &vm.cloud)?;
        connector.resize(provider_id, &resize(wanted, &vm)).await.map_err(|error| {
            OperationError::Cloud(format!("Error modifying the information about the VM {number}: {error}"))
        })?;
        refresh::observe(self, &handle, &model, [number], Some(&caller.credentials)).await;
        let vm = handle.snapshot().vm(number).cloned().unwrap_or(vm);
        let info = render::vm_info(&vm, super::state::vm_state(&handle.snapshot(), &vm, self.clock()));
        Ok(Radl { networks: info.networks, systems: info.systems, ..model.radl.without_internal() })
    }

    pub(super) async fn snapshot(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        number: u32,
        disk: usize,
        name: &str,
        auto_delete: bool,
    ) -> Result<String, OperationError> {
        self.allow(Access::Change)?;
        let (handle, model) = self.keeper(caller, id).await?;
        let vm = present(&model, number)?;
        let provider_id = vm.provider_id().ok_or(OperationError::UnknownVm)?;
        let connector = self.connector(Some(&caller.credentials), &vm.cloud)?;
        let url = connector.snapshot(provider_id, disk, name).await?;
        if auto_delete {
            let entry = (vm.cloud.id.clone(), url.clone());
            let remember = move |draft: &mut Draft| {
                draft.infrastructure().snapshots.push(entry);
                Ok(())
            };
            handle.change(remember).await?;
        }
        Ok(url)
    }

    pub(super) async fn contextualization_log(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        header_only: bool,
    ) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let header = self.store.log(id, None).await?;
        if header_only {
            return Ok(header);
        }
        let mut stored: std::collections::HashMap<u32, String> = self.store.vm_logs(id).await?.into_iter().collect();
        let vms: Vec<(u32, String)> = model
            .live_vms()
            .map(|vm| (vm.number, render::vm_log(vm, &stored.remove(&vm.number).unwrap_or_default())))
            .filter(|(_, log)| !log.is_empty())
            .collect();
        Ok(render::contextualization_log(&header, &vms))
    }

    pub(super) async fn vm_log(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        number: u32,
    ) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let vm = existing(&model, number)?;
        Ok(render::vm_log(vm, &self.store.log(id, Some(number)).await?))
    }

    pub(super) async fn events(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, OperationError> {
        self.keeper(caller, id).await?;
        Ok(self.store.events(id, after, limit).await?)
    }

    pub(super) async fn watch_events(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
    ) -> Result<tokio::sync::watch::Receiver<u64>, OperationError> {
        Ok(self.keeper(caller, id).await?.0.watch_events())
    }
}

fn existing(model: &Infrastructure, number: u32) -> Result<&Arc<Vm>, OperationError> {
    let vm = model.vm(number).ok_or(OperationError::UnknownVm)?;
    if vm.lifecycle == Lifecycle::Gone { Err(OperationError::DeletedVm) } else { Ok(vm) }
}

/// A machine that the cloud has.
fn present(model: &Infrastructure, number: u32) -> Result<&Arc<Vm>, OperationError> {
    let vm = existing(model, number)?;
    match &vm.lifecycle {
        Lifecycle::Present(_) => Ok(vm),
        Lifecycle::Failed { .. } => {
            Err(OperationError::Invalid("The VM could not be launched: there is none.".to_owned()))
        }
        Lifecycle::Deleting(_) => Err(OperationError::Conflict("deleting the VM".to_owned())),
        _ => Err(OperationError::Conflict("launching the VM".to_owned())),
    }
}

/// The sizes a document asks for, and its data disks that the machine does not have.
fn resize(wanted: &radl::System, vm: &Vm) -> Resize {
    let features = &wanted.features;
    let has = |name: &str| vm.info.systems.first().is_some_and(|system| system.features.has(name));
    let disks = (1..)
        .map(|index| (index, format!("disk.{index}.size")))
        .take_while(|(_, name)| features.has(name) || has(name))
        .filter(|(_, name)| !has(name))
        .filter_map(|(index, name)| Some((index, u64::try_from(features.integer(&name, "")?).ok()?)))
        .collect();
    Resize {
        cpu_count: features.number("cpu.count", ""),
        memory: features.integer("memory.size", "").and_then(|bytes| u64::try_from(bytes).ok()),
        gpu_count: features.number("gpu.count", ""),
        instance_type: features.text("instance_type").map(str::to_owned),
        disks,
    }
}
