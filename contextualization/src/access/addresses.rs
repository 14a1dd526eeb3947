//! Where a machine may answer SSH, best address first.

use crate::{contract::VmFacts, ssh::Endpoint};
use radl::{Features, Interface, Network, Radl, System};

/// The machine's one system.
pub(super) fn system(info: &Radl) -> Option<&System> {
    info.systems.first()
}

/// The interfaces, and whether their network is public.
fn interfaces(info: &Radl) -> impl Iterator<Item = (Interface<'_>, bool)> {
    let public = |id: &str| info.network(id).is_some_and(Network::is_public);
    system(info).into_iter().flat_map(System::interfaces).map(move |i| {
        let is_public = public(i.connection);
        (i, is_public)
    })
}

/// The first address on a public network.
#[must_use]
pub fn public_ip(info: &Radl) -> Option<&str> {
    interfaces(info).find_map(|(i, public)| i.ip.filter(|_| public))
}

/// The first address on a network that is not public.
#[must_use]
pub fn private_ip(info: &Radl) -> Option<&str> {
    interfaces(info).find_map(|(i, public)| i.ip.filter(|_| !public))
}

/// Whether the machine is connected to a public network, with an address or not yet.
#[must_use]
pub fn on_public_network(info: &Radl) -> bool {
    interfaces(info).any(|(_, public)| public)
}

/// The places to try from the master, in order: private and default address, each with its redirected port and with 22,
/// then the machine's reverse tunnel on the master. Empty when it has no IPv4 address and no tunnel can exist.
#[must_use]
pub fn addresses_of(vm: &VmFacts) -> Vec<Endpoint> {
    let port = vm.info.ssh_port();
    let (public, private) = (public_ip(&vm.info), private_ip(&vm.info));
    let mut places = Vec::new();
    for ip in [private, public.or(private)].into_iter().flatten() {
        for port in [port, 22] {
            places.push(Endpoint::new(ip, port));
        }
    }
    if !on_public_network(&vm.info)
        && let Some(tunnel) = super::tunnel_port(vm.creation_id)
    {
        places.push(Endpoint::new("127.0.0.1", tunnel));
    }
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

/// Whether the machine has an IPv6 address.
#[must_use]
pub fn has_ipv6(info: &Radl) -> bool {
    interfaces(info).any(|(i, _)| i.ipv6.is_some())
}

/// The features of the first network of the machine that names a proxy.
pub(super) fn proxied_network(info: &Radl) -> Option<&Features> {
    interfaces(info)
        .filter_map(|(i, _)| info.network(i.connection))
        .map(|n| &n.features)
        .find(|f| f.text("proxy_host").is_some())
}
