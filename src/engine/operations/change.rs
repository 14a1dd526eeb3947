//! Changes of infrastructures as values, and the one way that all of them are made: boot mode, right of the caller, the
//! keeper here or the daemon that has it.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        keeper::handle::Handle,
        operations::{engine::Engine, infrastructure::existing, routing::Held},
        settings::Access,
        state::{
            accounts::{Accounts, Shown},
            model::{Infrastructure, Lifecycle, Vm},
            rights::Right,
        },
        work::refresh,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A change of an infrastructure as one value: its fields are the parameters. Between daemons it goes as JSON under its name.
/// Who knows no such name, or finds a field that it does not know, refuses the change, for it would do something else; so a
/// field that is added later is left out where it says nothing new, and has a default.
pub trait Change: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What daemons call it to each other.
    const NAME: &'static str;
    /// What it does, for the boot mode.
    const ACCESS: Access;
    /// What the caller is told when it was made.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Who may make it.
    fn right(&self) -> Right {
        Right::Use
    }

    /// Makes it where the infrastructure is kept: checks it, plans with the clouds, has the keeper apply a rule to the draft,
    /// and waits.
    fn perform(self, here: Here<'_>) -> impl Future<Output = Result<Self::Answer, OperationError>> + Send;

    /// Makes it for an infrastructure that cannot be read, which most changes cannot.
    fn perform_unread(self, unread: Unread<'_>) -> impl Future<Output = Result<Self::Answer, OperationError>> + Send {
        std::future::ready(Err(unread.damage))
    }
}

/// An infrastructure that is kept here, and who wants to change it.
pub struct Here<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) id: &'a str,
    pub(super) handle: Handle,
    /// As it was when the caller was admitted, or when its unclaimed machines were.
    pub(super) model: Arc<Infrastructure>,
}

/// An infrastructure of which a row is damaged, and who wants to change it.
pub struct Unread<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) id: &'a str,
    /// Which row.
    pub(super) damage: OperationError,
}

impl Engine {
    /// Makes a change of an infrastructure of the caller, here or by the daemon that keeps it.
    ///
    /// # Errors
    /// Boot mode; unknown, deleted, damaged, not the caller's; those of the change.
    pub async fn make<C: Change>(&self, caller: &Caller, id: &str, change: C) -> Result<C::Answer, OperationError> {
        self.services.allow(C::ACCESS)?;
        match self.hold(caller, id, change.right()).await {
            Ok(Held::Here(handle, model)) => change.perform(Here { engine: self, caller, id, handle, model }).await,
            Ok(Held::Elsewhere(peer)) => peer.ask(caller, C::NAME, &change).await,
            Err(damage @ OperationError::Damaged(_)) => {
                change.perform_unread(Unread { engine: self, caller, id, damage }).await
            }
            Err(error) => Err(error),
        }
    }
}

impl Here<'_> {
    /// What the caller shows with the request.
    pub(super) fn shown(&self) -> Result<Shown, OperationError> {
        self.engine.services.shown(self.caller)
    }

    /// Finds out with the accounts that are shown which of them unclaimed machines belong to.
    pub(super) async fn claim(&mut self, accounts: &Accounts) {
        self.model = refresh::claim(&self.engine.services, &self.handle, self.model.clone(), accounts).await;
    }
}

/// A machine that the cloud has.
pub(super) fn present(model: &Infrastructure, number: u32) -> Result<&Arc<Vm>, OperationError> {
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
