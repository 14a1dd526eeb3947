//! Reverse tunnels: how a machine that the master cannot reach brings its SSH there (docs/spec/api.md 2.8).
//!
//! At its first boot the machine fetches a script with a token that is good for nothing else. The script makes a key pair
//! and shows its public half: the first one that comes with the token is the machine's, another one is refused. Then it
//! is told where the master is and how the master proves itself, and the master is told the key.

use crate::{
    auth::Caller,
    engine::{
        cluster::wire::Request,
        error::OperationError,
        operations::{engine::Engine, routing::Held},
        state::model::{Infrastructure, Lifecycle, Vm},
        work::tunnel,
    },
};
use contextualization::access;
use serde::{Deserialize, Serialize};

/// What a machine is to do for its tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tunnel {
    /// Ask again: the master is not there yet.
    Wait,
    /// Nothing: the master reaches it.
    NotNeeded,
    /// Show the public key of the tunnel.
    KeyNeeded,
    /// Run this command, again whenever it ends.
    Open(String),
}

impl Engine {
    /// The script that opens the tunnel of a machine and keeps it open; `base` is where the machine reaches this daemon.
    ///
    /// # Errors
    /// Unknown, deleted, not the caller's.
    pub async fn tunnel_script(
        &self,
        caller: &Caller,
        id: &str,
        vm: u32,
        base: &str,
    ) -> Result<String, OperationError> {
        let (_, model) = self.keepers.view_if(id, |model| may_connect(caller, model, vm)).await?;
        not_gone(&model, vm)?;
        Ok(tunnel::script(&self.services, id, vm, base))
    }

    /// What the machine is to do next. The first `key` shown with the machine's own token is its key from then on; a user
    /// may replace it.
    ///
    /// # Errors
    /// As there; a key that is none, or another one than before; the store.
    pub async fn tunnel(
        &self,
        caller: &Caller,
        id: &str,
        vm: u32,
        key: Option<&str>,
    ) -> Result<Tunnel, OperationError> {
        let (handle, model) = match self.hold_if(id, |model| may_connect(caller, model, vm)).await? {
            Held::Here(handle, model) => (handle, model),
            Held::Elsewhere(peer) => {
                return peer.ask(caller, Request::Tunnel { vm, key: key.map(str::to_owned) }).await;
            }
        };
        not_gone(&model, vm)?;
        let Some(machine) = model.vm(vm) else { return Ok(Tunnel::Wait) };
        let Some(master) = model.master.and_then(|master| model.vm(master)).filter(|master| master.is_live()) else {
            return Ok(Tunnel::Wait);
        };
        // One that was reached without a tunnel needs none, and its token is spent.
        let reached = machine.host_key.is_some() && machine.tunnel_key.is_none();
        if master.number == vm || reached || !access::needs_tunnel(&machine.info, &master.info) {
            return Ok(Tunnel::NotNeeded);
        }
        let known = |host_key: &String| access::tunnel_command(&master.info, host_key, vm);
        let Some(command) = master.host_key.as_ref().and_then(known) else { return Ok(Tunnel::Wait) };
        let Some(key) = key else { return Ok(Tunnel::KeyNeeded) };
        let invalid = || OperationError::Invalid("Incorrect value in key parameter".to_owned());
        let key = access::tunnel_key(key).ok_or_else(invalid)?;
        if machine.tunnel_key.as_ref() != Some(&key) {
            let may_replace = caller.is_user();
            handle.change(move |draft| enrol(draft.vm(vm), key, may_replace)).await?;
        }
        // Without a contextualization nobody tells the master.
        let open = model.generation.as_ref().is_some_and(|generation| generation.open);
        Ok(if open || machine.host_key.is_some() { Tunnel::Open(command) } else { Tunnel::Wait })
    }
}

fn enrol(vm: Option<&mut Vm>, key: String, may_replace: bool) -> Result<(), OperationError> {
    let vm = vm.ok_or(OperationError::UnknownVm)?;
    if vm.tunnel_key.as_ref().is_some_and(|known| *known != key) && !may_replace {
        return Err(OperationError::NotOwner);
    }
    vm.tunnel_key = Some(key);
    Ok(())
}

/// Tunnels are for the users of an infrastructure and for the machine itself.
fn may_connect(caller: &Caller, model: &Infrastructure, vm: u32) -> bool {
    caller.may_access(&model.owners) || caller.is_machine(&model.id, vm)
}

fn not_gone(model: &Infrastructure, vm: u32) -> Result<(), OperationError> {
    let is_gone = model.vm(vm).is_some_and(|vm| vm.lifecycle == Lifecycle::Gone);
    if is_gone { Err(OperationError::DeletedVm) } else { Ok(()) }
}
