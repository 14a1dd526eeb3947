//! Which machine Ansible runs on (spec/contextualization.md 1.7).

use super::decide::is_windows;
use crate::contract::{VmFacts, VmPower};
use std::collections::{BTreeSet, HashSet};

/// The text the user sees when there is no candidate.
pub const NO_MASTER: &str = "Contextualization Error: No correct Master VM found. Check if there a linux VM with Public IP.";

fn is_public(vm: &VmFacts) -> bool {
    let mut interfaces = vm.info.systems.iter().flat_map(|s| s.interfaces());
    interfaces.any(|i| vm.info.network(i.connection).is_some_and(radl::Network::is_public))
}

fn is_proxied(vm: &VmFacts) -> bool {
    let mut interfaces = vm.info.systems.iter().flat_map(|s| s.interfaces());
    interfaces.any(|i| vm.info.network(i.connection).is_some_and(|n| n.features.has("proxy_host")))
}

fn networks(vm: &VmFacts) -> HashSet<&str> {
    vm.info.systems.iter().flat_map(|s| s.interfaces()).map(|i| i.connection).collect()
}

/// The participant connected to most machines, the lowest number on a tie. Two machines are connected when both are on
/// a public network or both on the same one.
#[must_use]
pub fn select(vms: &[VmFacts], participants: &BTreeSet<u32>) -> Option<u32> {
    let taking_part: Vec<&VmFacts> = vms.iter().filter(|vm| participants.contains(&vm.id)).collect();
    let usable = |vm: &&&VmFacts| vm.power != VmPower::Down && !is_windows(vm) && (is_public(vm) || is_proxied(vm));
    let connected = |a: &VmFacts| {
        let (public, own) = (is_public(a), networks(a));
        let reaches = |b: &&&VmFacts| (public && is_public(b)) || !own.is_disjoint(&networks(b));
        taking_part.iter().filter(reaches).count()
    };
    let best = taking_part.iter().filter(usable).max_by_key(|vm| (connected(vm), std::cmp::Reverse(vm.id)))?;
    Some(best.id)
}
