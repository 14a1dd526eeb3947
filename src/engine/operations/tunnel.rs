//! Reverse tunnels: how a machine that the master cannot reach brings its SSH there (docs/spec/api.md 2.8).
//!
//! At its first boot the machine fetches a script with a token that is good for nothing else. The script makes a key pair
//! and shows its public half: the first one that comes with the token is the machine's, another one is refused. Then it
//! is told where the master is and how the master proves itself, and the master is told the key.
//!
//! Races: of two keys that are shown with the machine's token the one that the keeper takes first stays. What a machine is told
//! is what was known when it asked; it asks again.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            change::{Change, Here},
            engine::Engine,
        },
        settings::Access,
        state::{
            model::{Infrastructure, Lifecycle, Vm},
            rights::Right,
        },
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
        let (_, model) = self.keepers.view(caller, id, Right::Connect(vm)).await?;
        not_gone(&model, vm)?;
        Ok(tunnel::script(&self.services, id, vm, base))
    }
}

/// Asks what a machine is to do for its tunnel.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTunnel {
    /// The machine.
    pub vm: u32,
    /// The public key of its tunnel. The first one shown with the machine's own token is its key from then on; a user may
    /// replace it.
    pub key: Option<String>,
}

impl Change for OpenTunnel {
    const NAME: &'static str = "open_tunnel";
    /// A machine finishes its boot in any mode.
    const ACCESS: Access = Access::Upkeep;
    /// What it is to do next.
    type Answer = Tunnel;

    fn right(&self) -> Right {
        Right::Connect(self.vm)
    }

    /// Refused for a key that is none, or another one than before; by the store.
    async fn perform(self, here: Here<'_>) -> Result<Tunnel, OperationError> {
        let (vm, model) = (self.vm, &here.model);
        not_gone(model, vm)?;
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
        let Some(key) = self.key else { return Ok(Tunnel::KeyNeeded) };
        let invalid = || OperationError::Invalid("Incorrect value in key parameter".to_owned());
        let key = access::tunnel_key(&key).ok_or_else(invalid)?;
        if machine.tunnel_key.as_ref() != Some(&key) {
            let may_replace = here.caller.is_user();
            here.handle.change(move |draft| enrol(draft.vm(vm), key, may_replace)).await?;
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

fn not_gone(model: &Infrastructure, vm: u32) -> Result<(), OperationError> {
    let is_gone = model.vm(vm).is_some_and(|vm| vm.lifecycle == Lifecycle::Gone);
    if is_gone { Err(OperationError::DeletedVm) } else { Ok(()) }
}
