//! What both APIs can ask for. They translate; everything is decided here.

use super::{
    error::OperationError,
    model::{Infrastructure, State, Vm},
};
use crate::auth::Caller;
use crate::store::StoredEvent;
use connectors::PowerOperation;
use radl::Radl;
use std::{collections::BTreeSet, sync::Arc};

/// The engine as the APIs see it: cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<super::Inner>,
}

/// An infrastructure as it was at one moment.
pub type Snapshot = Arc<Infrastructure>;

impl Engine {
    /// Ids of the infrastructures of the caller, newest first; `filter` is searched in the text of the document.
    ///
    /// # Errors
    /// The store, when a filter needs it.
    pub async fn list(&self, caller: &Caller, filter: Option<&regex::Regex>) -> Result<Vec<String>, OperationError> {
        self.inner.list(caller, filter).await
    }

    /// Creates an infrastructure and launches its machines. `document` is parsed and checked. With `asynchronous` it
    /// returns once the work is durable, else when every launch has ended.
    ///
    /// # Errors
    /// Boot mode, document, credentials, clouds (nothing is left then) and the store.
    pub async fn create(&self, caller: &Caller, document: Radl, asynchronous: bool) -> Result<String, OperationError> {
        self.inner.create(caller, document, asynchronous).await
    }

    /// The infrastructure as it is now, if it is the caller's. Asks the clouds for news in the background.
    ///
    /// # Errors
    /// Unknown, deleted, not the caller's.
    pub async fn infrastructure(&self, caller: &Caller, id: &str) -> Result<Snapshot, OperationError> {
        self.inner.infrastructure(caller, id).await
    }

    /// As [`Engine::infrastructure`], and one machine of it.
    ///
    /// # Errors
    /// As there, and unknown or deleted machine.
    pub async fn vm(&self, caller: &Caller, id: &str, number: u32) -> Result<(Snapshot, Arc<Vm>), OperationError> {
        let infrastructure = self.infrastructure(caller, id).await?;
        let vm = infrastructure.vm(number).cloned().ok_or(OperationError::UnknownVm)?;
        if vm.lifecycle == super::model::Lifecycle::Gone {
            return Err(OperationError::DeletedVm);
        }
        Ok((infrastructure, vm))
    }

    /// State of the infrastructure now.
    #[must_use]
    pub fn state(&self, infrastructure: &Infrastructure) -> State {
        super::state::infrastructure_state(infrastructure, self.inner.clock())
    }

    /// State of a machine now.
    #[must_use]
    pub fn vm_state(&self, infrastructure: &Infrastructure, vm: &Vm) -> State {
        super::state::vm_state(infrastructure, vm, self.inner.clock())
    }

    /// The machine's document as `GetVMInfo` shows it: its networks and its one system, with `state`.
    #[must_use]
    pub fn vm_info(&self, infrastructure: &Infrastructure, vm: &Vm) -> Radl {
        super::render::vm_info(vm, self.vm_state(infrastructure, vm))
    }

    /// The stored document as users see it.
    #[must_use]
    pub fn document(&self, infrastructure: &Infrastructure) -> Radl {
        infrastructure.radl.without_internal()
    }

    /// The log: the infrastructure's header, then every machine's unless `header_only` (spec/api.md 5.5).
    ///
    /// # Errors
    /// As [`Engine::infrastructure`], and the store.
    pub async fn contextualization_log(
        &self,
        caller: &Caller,
        id: &str,
        header_only: bool,
    ) -> Result<String, OperationError> {
        self.inner.contextualization_log(caller, id, header_only).await
    }

    /// The log of one machine.
    ///
    /// # Errors
    /// As [`Engine::vm`], and the store.
    pub async fn vm_log(&self, caller: &Caller, id: &str, number: u32) -> Result<String, OperationError> {
        self.inner.vm_log(caller, id, number).await
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
        self.inner.add(caller, id, document, context).await
    }

    /// Deletes machines. All numbers are checked before any is touched. Returns how many went.
    ///
    /// # Errors
    /// Unknown or deleted machine, clouds, store.
    pub async fn remove(&self, caller: &Caller, id: &str, vms: &[u32], context: bool) -> Result<usize, OperationError> {
        self.inner.remove(caller, id, vms, context).await
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
        self.inner.reconfigure(caller, id, document, vms).await
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
        self.inner.power(caller, id, number, operation).await
    }

    /// Changes sizes and disks of a machine; returns the infrastructure's document of the machine after it.
    ///
    /// # Errors
    /// A document without the machine's system, clouds, store.
    pub async fn alter(&self, caller: &Caller, id: &str, number: u32, document: Radl) -> Result<Radl, OperationError> {
        self.inner.alter(caller, id, number, document).await
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
        self.inner.snapshot(caller, id, number, disk, name, auto_delete).await
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
        self.inner.destroy(caller, id, force, asynchronous).await
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
        self.inner.events(caller, id, after, limit).await
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
        self.inner.watch_events(caller, id).await
    }

    /// Whether the daemon can do its work: the store answers.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), OperationError> {
        self.inner.ready().await
    }

    /// Numbers for the metrics page: infrastructures by state of loading, machines, open generations.
    #[must_use]
    pub fn figures(&self) -> super::Figures {
        self.inner.figures()
    }
}
