//! Reverse tunnels: how a machine that the master cannot reach brings its SSH there (docs/spec/api.md 2.8).
//!
//! At its first boot the machine fetches a script with a token that is good for nothing else. The script makes a key pair
//! and shows its public half: the first one that comes with the token is the machine's, another one is refused. Then it
//! is told where the master is and how the master proves itself, and the master is told the key.

use super::{
    Engine, Inner, OperationError,
    cluster::{Held, wire::Request},
    model::{Infrastructure, Lifecycle, Vm},
    settings::TunnelSettings,
};
use crate::auth::{Caller, scoped};
use contextualization::{access, ssh::quote};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const SCRIPT: &str = include_str!("tunnel.sh");

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
        let (_, model) = self.inner.view_if(id, |model| may_connect(caller, model, vm)).await?;
        not_gone(&model, vm)?;
        Ok(self.inner.tunnel_script(id, vm, base))
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

impl Inner {
    fn tunnel_script(&self, id: &str, vm: u32, base: &str) -> String {
        script(&scoped::machine_token(&self.identity_key, id, vm), id, vm, base, self.settings.tunnels.as_ref())
    }

    /// The command that a machine runs at its first boot when there is one beside it that may become its master and cannot
    /// reach it; none for others, without PUBLIC_URL and with SSH_REVERSE_TUNNELS switched off. It needs curl, ssh and
    /// ssh-keygen on the machine.
    #[must_use]
    pub fn boot_command(&self, model: &Infrastructure, vm: &Vm) -> Option<String> {
        let token = scoped::machine_token(&self.identity_key, &model.id, vm.number);
        boot_command(self.settings.tunnels.as_ref()?, model, vm, &token)
    }
}

fn script(token: &str, id: &str, vm: u32, base: &str, tunnels: Option<&TunnelSettings>) -> String {
    let url = format!("{}/infrastructures/{id}/vms/{vm}/command", base.trim_end_matches('/'));
    let pin = tunnels.and_then(|tunnels| tunnels.pinned_key.as_deref()).unwrap_or_default();
    let set = |name: &str, value: &str| format!("{name}={}\n", quote(&[value]));
    format!("#!/bin/sh\n{}{}{}{SCRIPT}", set("token", token), set("url", &url), set("pin", pin))
}

fn boot_command(tunnels: &TunnelSettings, model: &Infrastructure, vm: &Vm, token: &str) -> Option<String> {
    let base = tunnels.public_url.as_deref()?;
    let far =
        |master: &Arc<Vm>| access::on_public_network(&master.info) && access::needs_tunnel(&vm.info, &master.info);
    if !model.live_vms().any(far) {
        return None;
    }
    let script = script(token, &model.id, vm.number, base, Some(tunnels));
    let file = "/var/lib/imd-tunnel/boot.sh";
    let write = format!("umask 077; mkdir -p /var/lib/imd-tunnel && printf %s {} > {file}", quote(&[&script]));
    Some(format!("( {write} && exec sh {file} ) > /dev/null 2>&1 < /dev/null &"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::model::{CloudRef, Prototype};
    use radl::Radl;

    fn machine(number: u32, networks: &[(&str, bool)]) -> Arc<Vm> {
        let mut text = String::new();
        for (id, public) in networks {
            text += &format!("network {id} ( outbound = '{}' )\n", if *public { "yes" } else { "no" });
        }
        let interfaces: Vec<String> = networks
            .iter()
            .enumerate()
            .map(|(index, (id, _))| format!("net_interface.{index}.connection = '{id}'"))
            .collect();
        text += &format!("system s ( {} )", interfaces.join(" and "));
        let info = Arc::new(Radl::parse(&text).unwrap());
        let endpoint = connectors::Endpoint::default();
        let cloud = CloudRef { id: "c".into(), kind: "Dummy".into(), endpoint, account: None };
        let documents = Prototype { info: info.clone(), requested: info };
        Arc::new(Vm::planned(number, connectors::VmUid(format!("u{number}")), Arc::new(cloud), documents, 0))
    }

    #[test]
    fn only_machines_that_no_master_may_reach_get_a_boot_command() {
        let tunnels = |url: Option<&str>| TunnelSettings {
            public_url: url.map(str::to_owned),
            pinned_key: Some("sha256//abc=".to_owned()),
        };
        let with = |vms: &[Arc<Vm>], of: usize, url| {
            let mut model = Infrastructure::new("7f".to_owned(), 0, Vec::new());
            model.vms = vms.to_vec();
            boot_command(&tunnels(url), &model, &vms[of], "imd1.7f/vms/1.aa")
        };
        let url = Some("https://im.org/x/");
        let front = machine(0, &[("pub", true), ("inner", false)]);
        let (near, far) = (machine(1, &[("inner", false)]), machine(1, &[("island", false)]));
        assert_eq!(with(&[front.clone(), near.clone()], 1, url), None, "one network with the master");
        assert_eq!(with(&[far.clone(), near], 0, url), None, "nobody may be the master");
        assert_eq!(with(&[front.clone(), far.clone()], 0, url), None, "public itself");
        assert_eq!(with(&[front.clone(), far.clone()], 1, None), None, "no address to call");
        let command = with(&[front, far], 1, url).unwrap();
        // What the shell reads is the script, word by word.
        let shell = command.replacen("> /var/lib/imd-tunnel/boot.sh && exec sh /var/lib/imd-tunnel/boot.sh )", ")", 1);
        let shell = shell.replacen("mkdir -p /var/lib/imd-tunnel && ", "", 1);
        let shell = shell.strip_suffix(" > /dev/null 2>&1 < /dev/null &").unwrap();
        let output = std::process::Command::new("sh").args(["-c", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.starts_with("#!/bin/sh\ntoken='imd1.7f/vms/1.aa'\nurl='https://im.org/x/infrastructures/7f/vms/1/command'\npin='sha256//abc='\n"), "{script}");
        assert!(script.ends_with(SCRIPT));
    }
}
