//! Operations that change infrastructures: check, plan with the clouds, hand over to the keeper, wait.

use super::{
    Engine, admission,
    cluster::{Held, wire::Request},
    draft::{Done, Draft},
    error::OperationError,
    keepers::user_only,
    model::{IfAllFail, Infrastructure, Lifecycle, Vm},
    operations::existing,
    placement, refresh, render,
    settings::Access,
    transitions::{self, Placement},
};
use crate::auth::Caller;
use connectors::{ConnectorError, ImageIntent, ImageUid, PowerOperation, Resize};
use contextualization::Cause;
use futures::{StreamExt, stream};
use radl::Radl;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// How long the answer to a change of power waits for the look at the machines after it: the change is made.
const LOOK: Duration = Duration::from_secs(10);

impl Engine {
    /// Creates an infrastructure and launches its machines. `document` is parsed and checked. With `asynchronous` it
    /// returns once the work is durable, else when every launch has ended.
    ///
    /// # Errors
    /// Boot mode, document, credentials, clouds (nothing is left then) and the store.
    pub async fn create(&self, caller: &Caller, document: Radl, asynchronous: bool) -> Result<String, OperationError> {
        self.inner.allow(Access::Change)?;
        user_only(caller)?;
        self.check_roles(&document)?;
        let id = uuid::Uuid::new_v4().to_string();
        let model = Infrastructure::new(id, self.inner.now() / 1_000_000, caller.owners());
        let id = model.id.clone();
        let credentials = caller.credentials.clone();
        let mut draft = Draft::new(model, self.inner.terms());
        draft.infrastructure();
        let work = if asynchronous {
            admission::admit(&self.inner.settings, &draft.model, &document)?;
            transitions::place(&mut draft, Arc::new(document), credentials)?
        } else {
            let placement = placement::choose(&self.inner, &draft.model, &document, &credentials).await?;
            if let Some(why) = placement.refusal() {
                return Err(OperationError::Cloud(why));
            }
            transitions::add(&mut draft, &document, placement, true, IfAllFail::Destroy, credentials)?
        };
        let (done, end) = tokio::sync::oneshot::channel();
        let handle = self.inner.store_new(draft, (work, done)).await?;
        let model = handle.snapshot();
        let owners = model.owners.iter().map(|owner| owner.key.clone()).collect();
        self.inner.directory.insert(id.clone(), owners, Arc::new(OnceCell::new_with(Some(handle.clone()))));
        if handle.snapshot().deleted {
            // It went before it was listed, when its keeper had nothing to take off the list.
            self.inner.forget(&id);
        }
        if !asynchronous {
            let untold = "the infrastructure is being made; its end cannot be told, for it cannot be stored now or the \
                          daemon is stopping";
            let ended = end.await.map_err(|_| OperationError::InDoubt(untold.to_owned()))?;
            ended.map_err(OperationError::Invalid)?;
        }
        Ok(id)
    }

    /// Launches the machines of the document's deploys; returns their numbers when every launch has ended.
    /// With `context` a contextualization of the whole infrastructure follows; a document that adds nothing is then a
    /// reconfigure.
    ///
    /// # Errors
    /// As [`Engine::create`]; a refused document leaves the infrastructure untouched.
    pub async fn add(
        &self,
        caller: &Caller,
        id: &str,
        document: Radl,
        context: bool,
    ) -> Result<Vec<u32>, OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Add { document, context }).await,
        };
        self.check_roles(&document)?;
        let credentials = caller.credentials.clone();
        let placement = placement::choose(&self.inner, &model, &document, &credentials).await?;
        if let Some(why) = placement.refusal() {
            // Nothing of the document stays, so that the next one is merged into what there was.
            return Err(OperationError::Cloud(why));
        }
        if placement.vms.is_empty() && context && !model.vms.is_empty() {
            let keep = move |draft: &mut Draft| {
                let keep = IfAllFail::Keep;
                transitions::add(draft, &document, Placement::default(), false, keep, credentials)?;
                draft.start_generation(Cause::Reconfigure, None);
                Ok(Vec::new())
            };
            return handle.change(keep).await;
        }
        let result = handle
            .change_and_wait(move |draft| {
                let keep = IfAllFail::Keep;
                transitions::add(draft, &document, placement, context, keep, credentials)
            })
            .await?;
        result.map(Done::machines).map_err(OperationError::Cloud)
    }

    /// Refuses roles and collections that could never be installed.
    fn check_roles(&self, document: &Radl) -> Result<(), OperationError> {
        let mirror = self.inner.settings.contextualization.galaxy_server.as_deref();
        contextualization::galaxy::check(document, mirror).map_err(|error| OperationError::Invalid(error.to_string()))
    }

    /// Deletes machines. All numbers are checked before any is touched. Returns how many went.
    ///
    /// # Errors
    /// Unknown or deleted machine, clouds, store.
    pub async fn remove(&self, caller: &Caller, id: &str, vms: &[u32], context: bool) -> Result<usize, OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, _) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Remove { vms: vms.to_vec(), context }).await,
        };
        let credentials = caller.credentials.clone();
        let vms = vms.to_vec();
        let result =
            handle.change_and_wait(move |draft| transitions::remove(draft, &vms, context, credentials)).await?;
        result.map(|gone| gone.machines().len()).map_err(OperationError::Cloud)
    }

    /// Starts a new contextualization, with changes of recipes, credentials and applications if a document is given;
    /// with `vms` only those run the user's steps.
    ///
    /// # Errors
    /// Document, boot mode, store.
    pub async fn reconfigure(
        &self,
        caller: &Caller,
        id: &str,
        document: Option<Radl>,
        vms: Option<BTreeSet<u32>>,
    ) -> Result<(), OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Reconfigure { document, vms }).await,
        };
        if let Some(document) = &document {
            self.check_roles(document)?;
            let texts = transitions::new_credentials(document).flat_map(|(_, texts)| texts);
            let bytes = texts.map(|(_, text)| text.len() as u64).sum();
            admission::admit_texts(&self.inner.settings, bytes, model.live_vms().count())?;
        }
        let credentials = caller.credentials.clone();
        handle.change(move |draft| transitions::reconfigure(draft, document.as_ref(), vms, credentials)).await
    }

    /// Deletes everything. With `asynchronous` it returns once the work is durable. Idempotent while it runs.
    ///
    /// # Errors
    /// [`OperationError::Conflict`] while machines are launched; clouds, unless `force`.
    pub async fn destroy(
        &self,
        caller: &Caller,
        id: &str,
        force: bool,
        asynchronous: bool,
    ) -> Result<(), OperationError> {
        self.inner.allow(Access::Destroy)?;
        let (handle, _) = match self.hold(caller, id).await {
            Ok(Held::Here(handle, model)) => (handle, model),
            Ok(Held::Elsewhere(peer)) => return peer.ask(caller, Request::Destroy { force, asynchronous }).await,
            Err(damage @ OperationError::Damaged(_)) => return self.discard(caller, id, damage).await,
            Err(error) => return Err(error),
        };
        let credentials = caller.credentials.clone();
        let destroy = move |draft: &mut Draft| transitions::destroy(draft, force, credentials);
        if asynchronous {
            return handle.change(destroy).await.map(|_| ());
        }
        handle.change_and_wait(destroy).await?.map(|_| ()).map_err(OperationError::Cloud)
    }

    /// Starts, stops or reboots one machine, or all of them with `number` none.
    ///
    /// # Errors
    /// Clouds: the texts of all machines joined, one a line.
    pub async fn power(
        &self,
        caller: &Caller,
        id: &str,
        number: Option<u32>,
        operation: PowerOperation,
    ) -> Result<(), OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Power { number, operation }).await,
        };
        let vms: Vec<Arc<Vm>> = match number {
            Some(number) => vec![present(&model, number)?.clone()],
            None => model.vms.iter().filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))).cloned().collect(),
        };
        // What cannot be stored afterwards is not done: the caller would not be told.
        self.inner.writable(id).await?;
        let numbers: Vec<u32> = vms.iter().map(|vm| vm.number).collect();
        let errors: Vec<String> = stream::iter(vms)
            .map(|vm| async move { self.power_vm(caller, &vm, operation).await.err().map(|error| error.to_string()) })
            .buffered(self.inner.launch_slots())
            .filter_map(std::future::ready)
            .collect()
            .await;
        let look = refresh::observe(&self.inner, &handle, &model, numbers, Some(&caller.credentials));
        if tokio::time::timeout(LOOK, look).await.is_err() {
            tracing::warn!(inf = id, "what the cloud says after the change is not known or stored yet");
        }
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

    /// Changes sizes and disks of a machine; returns the infrastructure's document of the machine after it.
    ///
    /// # Errors
    /// A document without the machine's system, clouds, store.
    pub async fn alter(&self, caller: &Caller, id: &str, number: u32, document: Radl) -> Result<Radl, OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Alter { number, document }).await,
        };
        let vm = present(&model, number)?.clone();
        let Some(wanted) = document.system(&vm.system).cloned() else {
            let text = format!("Incorrect RADL no system with name {} provided.", vm.system);
            return Err(OperationError::Invalid(text));
        };
        // What cannot be done at all is no work.
        self.inner.connector(Some(&caller.credentials), &vm.cloud)?;
        let credentials = caller.credentials.clone();
        let alter = move |draft: &mut Draft| {
            let resize = resize(&wanted, present(&draft.model, number)?);
            transitions::alter(draft, number, resize, credentials)
        };
        handle.change_and_wait(alter).await?.map_err(|why| {
            OperationError::Cloud(format!("Error modifying the information about the VM {number}: {why}"))
        })?;
        let vm = handle.snapshot().vm(number).cloned().unwrap_or(vm);
        let info = render::vm_info(&vm, super::state::vm_state(&handle.snapshot(), &vm, self.inner.clock()));
        Ok(Radl { networks: info.networks, systems: info.systems, ..model.radl.without_internal() })
    }

    /// Makes an image of a disk; returns its URL. With `auto_delete` it goes with the infrastructure.
    ///
    /// # Errors
    /// Clouds, store.
    pub async fn snapshot(
        &self,
        caller: &Caller,
        id: &str,
        number: u32,
        disk: usize,
        name: &str,
        auto_delete: bool,
    ) -> Result<String, OperationError> {
        self.inner.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => {
                return peer.ask(caller, Request::Snapshot { number, disk, name: name.to_owned(), auto_delete }).await;
            }
        };
        // What cannot be done at all is no work.
        let connector = self.inner.connector(Some(&caller.credentials), &present(&model, number)?.cloud)?;
        if !connector.capabilities().snapshot {
            return Err(ConnectorError::unsupported().into());
        }
        let credentials = caller.credentials.clone();
        let uid = ImageUid(uuid::Uuid::new_v4().to_string());
        let image = ImageIntent { infrastructure: id.to_owned(), uid, disk, name: name.to_owned() };
        let snapshot = move |draft: &mut Draft| {
            present(&draft.model, number)?;
            Ok(transitions::snapshot(draft, number, image, auto_delete, credentials))
        };
        match handle.change_and_wait(snapshot).await?.map_err(OperationError::Cloud)? {
            Done::Image(url) => Ok(url),
            Done::Machines(_) => Err(OperationError::UnknownVm),
        }
    }

    async fn power_vm(&self, caller: &Caller, vm: &Vm, operation: PowerOperation) -> Result<(), OperationError> {
        let id = vm.provider_id().ok_or(OperationError::UnknownVm)?;
        let connector = self.inner.connector(Some(&caller.credentials), &vm.cloud)?;
        let _call = self.inner.cloud_call().await;
        connector.power(id, operation).await.map_err(OperationError::from)
    }
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
