//! Which machine Ansible runs on (docs/spec/contextualization.md 1.7).

use super::addresses::{on_public_network, private_ip, proxied_network, public_ip, system};
use crate::contract::{VmFacts, VmPower};
use radl::{Configure, Radl};
use std::collections::BTreeSet;

/// The master: of the Linux machines that take part and can be reached from outside the one connected to most others,
/// the lowest id on a tie. The choice is sticky: the caller asks again only when the former master is gone.
#[must_use]
pub fn select(vms: &[VmFacts], radl: &Radl) -> Option<u32> {
    let candidate = |vm: &&VmFacts| {
        vm.power != VmPower::Down
            && takes_part(vm, radl)
            && is_linux(&vm.info)
            && (public_ip(&vm.info).is_some() || private_ip(&vm.info).is_some())
            && (on_public_network(&vm.info) || proxied_network(&vm.info).is_some())
    };
    let connections = |vm: &VmFacts| vms.iter().filter(|other| connected(&vm.info, &other.info)).count();
    vms.iter().filter(candidate).max_by_key(|vm| (connections(vm), std::cmp::Reverse(vm.id))).map(|vm| vm.id)
}

/// Whether the machine is contextualized at all: `configure SYSTEM ()` switches it off.
#[must_use]
pub fn takes_part(vm: &VmFacts, radl: &Radl) -> bool {
    !system(&vm.info).and_then(|system| radl.configure(&system.name)).is_some_and(switches_off)
}

/// Whether a configure switches the contextualization of the system of its name off: it is there and empty.
#[must_use]
pub fn switches_off(configure: &Configure) -> bool {
    configure.recipe.is_none() && !configure.reference
}

/// Whether the operating system is Linux, which it is when nothing is said.
fn is_linux(info: &Radl) -> bool {
    let os = system(info).and_then(|system| system.features.text("disk.0.os.name"));
    os.is_none_or(|os| os.eq_ignore_ascii_case("linux"))
}

/// Whether two machines see each other: both on public networks, or on one network.
pub(super) fn connected(a: &Radl, b: &Radl) -> bool {
    let networks = |info: &Radl| -> BTreeSet<String> {
        system(info).into_iter().flat_map(|s| s.interfaces()).map(|i| i.connection.to_owned()).collect()
    };
    (on_public_network(a) && on_public_network(b)) || !networks(a).is_disjoint(&networks(b))
}
