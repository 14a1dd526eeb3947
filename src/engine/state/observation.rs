//! What an observation changes in a machine's document.

use crate::engine::state::model::Vm;
use connectors::{MappedPort, Observation, PowerState};
use radl::Radl;

/// The machine's document after an observation; none when nothing changed. `default_name` is the template for a machine
/// without a requested name.
#[must_use]
pub fn info_after(vm: &Vm, observation: &Observation, default_name: &str, now: i64) -> Option<Radl> {
    let mut after = Radl::clone(&vm.info);
    let system = after.systems.first_mut()?;
    for (name, value) in observation.features.iter() {
        system.features.set(name, value.clone());
    }
    if matches!(observation.state, PowerState::Running | PowerState::Pending) || !observation.addresses.is_empty() {
        write_addresses(&mut after, vm, observation, now);
    }
    for MappedPort { outside, inside } in &observation.ports {
        if after.outside_port(*inside) != *outside {
            after.redirect_port(*outside, *inside, &now.to_string());
        }
    }
    if let Some(system) = after.systems.first_mut() {
        system.fill_in_names(u64::from(vm.number), default_name);
    }
    (after != *vm.info).then_some(after)
}

/// Addresses whose network the connector names go to that interface; the others are placed by the common rules.
fn write_addresses(document: &mut Radl, vm: &Vm, observation: &Observation, now: i64) {
    let mut public = Vec::new();
    let mut private = Vec::new();
    for address in &observation.addresses {
        let Some(system) = document.systems.first_mut() else { return };
        let index = system
            .interfaces()
            .find(|interface| address.network.as_deref() == Some(interface.connection))
            .map(|interface| interface.index);
        match index {
            Some(index) => {
                let family = if address.ip.is_ipv4() { "ip" } else { "ipv6" };
                system.features.set_text(&format!("net_interface.{index}.{family}"), &address.ip.to_string());
            }
            // The connector wrote it itself.
            None if holds(system, &address.ip.to_string()) => {}
            None if address.public => public.push(address.ip),
            None => private.push(address.ip),
        }
    }
    if !public.is_empty() || !private.is_empty() {
        *document = radl::addresses::discovered(document, &vm.system, &public, &private, &now.to_string());
    }
}

fn holds(system: &radl::System, ip: &str) -> bool {
    let is_address =
        |name: &str| name.starts_with("net_interface.") && (name.ends_with(".ip") || name.ends_with(".ipv6"));
    system.features.iter().any(|(name, _)| is_address(name) && system.features.text(name) == Some(ip))
}
