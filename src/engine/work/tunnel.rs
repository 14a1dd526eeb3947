//! The script by which a machine opens the reverse tunnel to its master (docs/spec/api.md 2.8), and what has it run at the
//! first boot.

use crate::{
    auth::scoped,
    engine::{
        services::Services,
        settings::TunnelSettings,
        state::model::{Infrastructure, Vm},
    },
};
use contextualization::{access, ssh::quote};
use std::sync::Arc;

const SCRIPT: &str = include_str!("tunnel.sh");

/// The script of a machine; `base` is where it reaches this daemon.
#[must_use]
pub fn script(services: &Services, id: &str, vm: u32, base: &str) -> String {
    let token = scoped::machine_token(&services.identity_key, id, vm);
    fill_in(&token, id, vm, base, services.settings.tunnels.as_ref())
}

/// The command that a machine runs at its first boot when there is one beside it that may become its master and cannot
/// reach it; none for others, without PUBLIC_URL and with SSH_REVERSE_TUNNELS switched off. It needs curl, ssh and
/// ssh-keygen on the machine.
#[must_use]
pub fn boot_command(services: &Services, model: &Infrastructure, vm: &Vm) -> Option<String> {
    let token = scoped::machine_token(&services.identity_key, &model.id, vm.number);
    command(services.settings.tunnels.as_ref()?, model, vm, &token)
}

fn fill_in(token: &str, id: &str, vm: u32, base: &str, tunnels: Option<&TunnelSettings>) -> String {
    let url = format!("{}/infrastructures/{id}/vms/{vm}/command", base.trim_end_matches('/'));
    let pin = tunnels.and_then(|tunnels| tunnels.pinned_key.as_deref()).unwrap_or_default();
    let set = |name: &str, value: &str| format!("{name}={}\n", quote(&[value]));
    format!("#!/bin/sh\n{}{}{}{SCRIPT}", set("token", token), set("url", &url), set("pin", pin))
}

fn command(tunnels: &TunnelSettings, model: &Infrastructure, vm: &Vm, token: &str) -> Option<String> {
    let base = tunnels.public_url.as_deref()?;
    let far =
        |master: &Arc<Vm>| access::on_public_network(&master.info) && access::needs_tunnel(&vm.info, &master.info);
    if !model.live_vms().any(far) {
        return None;
    }
    let script = fill_in(token, &model.id, vm.number, base, Some(tunnels));
    let file = "/var/lib/imd-tunnel/boot.sh";
    let write = format!("umask 077; mkdir -p /var/lib/imd-tunnel && printf %s {} > {file}", quote(&[&script]));
    Some(format!("( {write} && exec sh {file} ) > /dev/null 2>&1 < /dev/null &"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::state::model::{CloudRef, Prototype};
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
        let cloud = CloudRef {
            id: "c".into(),
            kind: "Dummy".into(),
            endpoint,
            account: None,
            location: connectors::Location::default(),
        };
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
            command(&tunnels(url), &model, &vms[of], "imd1.7f/vms/1.aa")
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
