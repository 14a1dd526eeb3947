//! Operations that change infrastructures: check, plan with the clouds, hand over to the keeper, wait.

use crate::{
    auth::Caller,
    engine::{
        cluster::wire::Request,
        error::OperationError,
        keeper::keepers::user_only,
        operations::{engine::Engine, reading::existing, routing::Held},
        settings::Access,
        state::{
            accounts::Accounts,
            draft::{Done, Draft},
            model::{IfAllFail, Infrastructure, Lifecycle, Vm},
            states,
        },
        transitions::{self, Placement, alteration::alteration},
        work::{admission, placement, refresh},
    },
};
use connectors::{ConnectorError, ImageIntent, ImageUid, PowerOperation};
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
        self.services.allow(Access::Change)?;
        user_only(caller)?;
        self.check_ansible(&document).await?;
        let id = uuid::Uuid::new_v4().to_string();
        let model = Infrastructure::new(id, self.services.now() / 1_000_000, caller.owners());
        let id = model.id.clone();
        let shown = self.services.shown(caller)?;
        let mut draft = Draft::new(model, self.services.terms());
        draft.infrastructure();
        let work = if asynchronous {
            admission::admit(&self.services.settings, &draft.model, &document)?;
            transitions::place(&mut draft, Arc::new(document), shown.accounts.clone())?
        } else {
            let placement = placement::choose(&self.services, &draft.model, &document, &shown.accounts).await?;
            if let Some(why) = placement.refusal() {
                return Err(OperationError::Cloud(why));
            }
            transitions::add(&mut draft, &document, placement, true, IfAllFail::Destroy)?
        };
        draft.keep(&shown);
        let (done, end) = tokio::sync::oneshot::channel();
        let handle = self.keepers.store_new(draft, (work, done)).await?;
        let model = handle.snapshot();
        let owners = model.owners.iter().map(|owner| owner.key.clone()).collect();
        self.keepers.directory.insert(id.clone(), owners, Arc::new(OnceCell::new_with(Some(handle.clone()))));
        if handle.snapshot().deleted {
            // It went before it was listed, when its keeper had nothing to take off the list.
            self.keepers.forget(&id);
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
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Add { document, context }).await,
        };
        self.check_ansible(&document).await?;
        let shown = self.services.shown(caller)?;
        let placement = placement::choose(&self.services, &model, &document, &shown.accounts).await?;
        if let Some(why) = placement.refusal() {
            // Nothing of the document stays, so that the next one is merged into what there was.
            return Err(OperationError::Cloud(why));
        }
        if placement.vms.is_empty() && context && !model.vms.is_empty() {
            let keep = move |draft: &mut Draft| {
                let keep = IfAllFail::Keep;
                transitions::add(draft, &document, Placement::default(), false, keep)?;
                draft.start_generation(Cause::Reconfigure, None);
                draft.keep(&shown);
                Ok(Vec::new())
            };
            return handle.change(keep).await;
        }
        let result = handle
            .change_and_wait(move |draft| {
                let work = transitions::add(draft, &document, placement, context, IfAllFail::Keep)?;
                draft.keep(&shown);
                Ok(work)
            })
            .await?;
        result.map(Done::machines).map_err(OperationError::Cloud)
    }

    /// Refuses roles and collections that could never be installed, and what is no version of Ansible.
    async fn check_ansible(&self, document: &Radl) -> Result<(), OperationError> {
        let settings = &self.services.settings.contextualization;
        let mirror = settings.galaxy_server.as_deref();
        contextualization::galaxy::check(document, mirror)
            .map_err(|error| OperationError::Invalid(error.to_string()))?;
        contextualization::bootstrap::check(document, settings).await.map_err(OperationError::Invalid)
    }

    /// Deletes machines. All numbers are checked before any is touched. Returns how many went.
    ///
    /// # Errors
    /// Unknown or deleted machine, clouds, store.
    pub async fn remove(&self, caller: &Caller, id: &str, vms: &[u32], context: bool) -> Result<usize, OperationError> {
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Remove { vms: vms.to_vec(), context }).await,
        };
        let shown = self.services.shown(caller)?;
        refresh::claim(&self.services, &handle, model, &shown.accounts).await;
        let vms = vms.to_vec();
        let remove = move |draft: &mut Draft| {
            let work = transitions::remove(draft, &vms, context, &shown.accounts)?;
            draft.keep(&shown);
            Ok(work)
        };
        let result = handle.change_and_wait(remove).await?;
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
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Reconfigure { document, vms }).await,
        };
        if let Some(document) = &document {
            self.check_ansible(document).await?;
            let texts = transitions::new_credentials(document).flat_map(|(_, texts)| texts);
            let bytes = texts.map(|(_, text)| text.len() as u64).sum();
            admission::admit_texts(&self.services.settings, bytes, model.live_vms().count())?;
        }
        let shown = self.services.shown(caller)?;
        let reconfigure = move |draft: &mut Draft| {
            transitions::reconfigure(draft, document.as_ref(), vms)?;
            draft.keep(&shown);
            Ok(())
        };
        handle.change(reconfigure).await
    }

    /// Deletes everything. With `asynchronous` it returns once the work is durable. Idempotent while it runs. Returns what
    /// the clouds refused to delete: `force` forgets it all the same.
    ///
    /// # Errors
    /// [`OperationError::Conflict`] while machines are launched; accounts that made something and are not among the
    /// caller's; clouds, unless `force`, which the token that recipes hold may not ask for.
    pub async fn destroy(
        &self,
        caller: &Caller,
        id: &str,
        force: bool,
        asynchronous: bool,
    ) -> Result<Vec<String>, OperationError> {
        self.services.allow(Access::Destroy)?;
        let (handle, model) = match self.hold(caller, id).await {
            Ok(Held::Here(handle, model)) => (handle, model),
            Ok(Held::Elsewhere(peer)) => return peer.ask(caller, Request::Destroy { force, asynchronous }).await,
            Err(damage @ OperationError::Damaged(_)) => return self.discard(caller, id, damage).await,
            Err(error) => return Err(error),
        };
        if force && !caller.may_access(&model.owners) {
            return Err(OperationError::NotOwner);
        }
        let shown = self.services.shown(caller)?;
        refresh::claim(&self.services, &handle, model, &shown.accounts).await;
        let destroy = move |draft: &mut Draft| {
            let work = transitions::destroy(draft, force, &shown.accounts)?;
            draft.keep(&shown);
            Ok(work)
        };
        if asynchronous {
            return handle.change(destroy).await.map(|_| Vec::new());
        }
        match handle.change_and_wait(destroy).await?.map_err(OperationError::Cloud)? {
            Done::Forgotten(left) => Ok(left),
            Done::Machines(_) | Done::Image(_) => Ok(Vec::new()),
        }
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
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Power { number, operation }).await,
        };
        let shown = self.services.shown(caller)?;
        let model = refresh::claim(&self.services, &handle, model, &shown.accounts).await;
        let vms: Vec<Arc<Vm>> = match number {
            Some(number) => vec![present(&model, number)?.clone()],
            None => model.vms.iter().filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_))).cloned().collect(),
        };
        // What cannot be stored afterwards is not done: the caller would not be told.
        self.services.writable(id).await?;
        let numbers: Vec<u32> = vms.iter().map(|vm| vm.number).collect();
        let accounts = &shown.accounts;
        let errors: Vec<String> =
            stream::iter(vms)
                .map(|vm| async move {
                    self.power_vm(accounts, id, &vm, operation).await.err().map(|error| error.to_string())
                })
                .buffered(self.services.launch_slots())
                .filter_map(std::future::ready)
                .collect()
                .await;
        let look = refresh::observe(&self.services, &handle, &model, numbers, Some(accounts));
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
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => return peer.ask(caller, Request::Alter { number, document }).await,
        };
        let shown = self.services.shown(caller)?;
        let model = refresh::claim(&self.services, &handle, model, &shown.accounts).await;
        let vm = present(&model, number)?.clone();
        let Some(wanted) = document.system(&vm.system).cloned() else {
            let text = format!("Incorrect RADL no system with name {} provided.", vm.system);
            return Err(OperationError::Invalid(text));
        };
        // What cannot be done at all is no work.
        self.services.connector(Some(&shown.accounts), &vm.cloud)?;
        let failed = move |why: String| format!("Error modifying the information about the VM {number}: {why}");
        let alter = move |draft: &mut Draft| {
            let change = alteration(&wanted, &document, present(&draft.model, number)?, &draft.model.radl)
                .map_err(|why| OperationError::Invalid(failed(why)))?;
            let work = transitions::alter(draft, number, change)?;
            draft.warn_of(&document);
            draft.keep(&shown);
            Ok(work)
        };
        handle.change_and_wait(alter).await?.map_err(|why| OperationError::Cloud(failed(why)))?;
        let vm = handle.snapshot().vm(number).cloned().unwrap_or(vm);
        let info = self.services.vm_info(&vm, states::vm_state(&handle.snapshot(), &vm, self.services.clock()));
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
        self.services.allow(Access::Change)?;
        let (handle, model) = match self.hold(caller, id).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => {
                return peer.ask(caller, Request::Snapshot { number, disk, name: name.to_owned(), auto_delete }).await;
            }
        };
        let shown = self.services.shown(caller)?;
        let model = refresh::claim(&self.services, &handle, model, &shown.accounts).await;
        // What cannot be done at all is no work.
        let cloud = &present(&model, number)?.cloud;
        let connector = self.services.connector(Some(&shown.accounts), cloud)?;
        if !connector.capabilities().snapshot {
            return Err(ConnectorError::unsupported().into());
        }
        let uid = ImageUid(uuid::Uuid::new_v4().to_string());
        let (infrastructure, location) = (id.to_owned(), cloud.location.clone());
        let image = ImageIntent { infrastructure, location, uid, disk, name: name.to_owned() };
        let snapshot = move |draft: &mut Draft| {
            present(&draft.model, number)?;
            let work = transitions::snapshot(draft, number, image, auto_delete);
            draft.keep(&shown);
            Ok(work)
        };
        match handle.change_and_wait(snapshot).await?.map_err(OperationError::Cloud)? {
            Done::Image(url) => Ok(url),
            Done::Machines(_) | Done::Forgotten(_) => Err(OperationError::UnknownVm),
        }
    }

    async fn power_vm(
        &self,
        accounts: &Accounts,
        infrastructure: &str,
        vm: &Vm,
        operation: PowerOperation,
    ) -> Result<(), OperationError> {
        let connector = self.services.connector(Some(accounts), &vm.cloud)?;
        let _call = self.services.cloud_call().await;
        connector.power(&vm.mark(infrastructure), operation).await.map_err(OperationError::from)
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
