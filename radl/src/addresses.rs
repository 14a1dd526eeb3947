//! Addresses reported by a provider, written into the networks and interfaces of a machine's document.
//!
//! Writing the same addresses again, in any order, changes nothing: what an interface held before goes back to it.

use crate::interfaces::interface_feature;
use crate::model::{Network, Radl, System};
use ipnetwork::IpNetwork;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// Ranges of private addresses; the base of one names the network made for it.
const PRIVATE_RANGES: [(Ipv4Addr, u8); 7] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// The document of a machine with the addresses its provider reports now. Earlier addresses that are not reported any
/// more go away; interfaces and networks that are missing are made: `public.STAMP` for public addresses, `private.BASE`
/// for private ones. `system` is the machine's system; an unknown one changes nothing.
#[must_use]
pub fn discovered(radl: &Radl, system: &str, public: &[IpAddr], private: &[IpAddr], stamp: &str) -> Radl {
    let mut radl = radl.clone();
    let Some(at) = radl.systems.iter().position(|known| known.name == system) else {
        return radl;
    };
    let mut writer = Writer {
        held: held(&radl.systems[at]),
        written: HashSet::new(),
        ranges: HashMap::new(),
        connections: connections(&radl.systems[at]),
        system: radl.systems[at].clone(),
        networks: std::mem::take(&mut radl.networks),
    };
    // What is reported as both is private: some providers report it so for lack of anything public.
    let public = public.iter().filter(|address| !private.contains(address));
    for address in writer.known_first(public) {
        writer.write_public(address, stamp);
    }
    for address in writer.known_first(private.iter()) {
        writer.write_private(address);
    }
    writer.forget_others();
    radl.networks = writer.networks;
    radl.systems[at] = writer.system;
    radl
}

/// The addresses that the interfaces hold, with the number of the interface.
fn held(system: &System) -> HashMap<IpAddr, usize> {
    let addresses = system.interfaces().flat_map(|i| [i.ip, i.ipv6].map(|address| (address, i.index)));
    addresses.filter_map(|(address, index)| Some((address?.parse().ok()?, index))).collect()
}

/// The interfaces on each network, by its id.
fn connections(system: &System) -> HashMap<String, Vec<usize>> {
    let mut connections: HashMap<String, Vec<usize>> = HashMap::new();
    for interface in system.interfaces() {
        connections.entry(interface.connection.to_owned()).or_default().push(interface.index);
    }
    connections
}

fn key(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ipv6" }
}

struct Writer {
    /// What the interfaces held before.
    held: HashMap<IpAddr, usize>,
    /// Feature names written in this update.
    written: HashSet<String>,
    /// Range that a network serves in this update, per family.
    ranges: HashMap<(String, &'static str), IpNetwork>,
    /// Interfaces by the network they are on.
    connections: HashMap<String, Vec<usize>>,
    system: System,
    networks: Vec<Network>,
}

impl Writer {
    /// The addresses in order, those that an interface held before first.
    fn known_first<'a>(&self, addresses: impl Iterator<Item = &'a IpAddr>) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = addresses.copied().collect();
        addresses.sort_by_key(|address| !self.held.contains_key(address));
        addresses
    }

    /// Writes an address on an interface, unless it got one of that family already.
    fn write(&mut self, index: usize, address: IpAddr) {
        let name = interface_feature(index, key(address));
        if self.written.insert(name.clone()) {
            self.system.features.set_text(&name, &address.to_string());
        }
    }

    fn is_free(&self, index: usize, address: IpAddr) -> bool {
        !self.written.contains(&interface_feature(index, key(address)))
    }

    /// The numbers of the interfaces on a network, in order.
    fn on(&self, network: &str) -> &[usize] {
        self.connections.get(network).map_or(&[], Vec::as_slice)
    }

    fn next_index(&self) -> usize {
        self.system.interfaces().count()
    }

    fn connect(&mut self, index: usize, network: &str) {
        self.system.features.set_text(&interface_feature(index, "connection"), network);
        self.connections = connections(&self.system);
    }

    fn write_public(&mut self, address: IpAddr, stamp: &str) {
        let public = self.networks.iter().filter(|network| network.is_public());
        let connected = public.filter_map(|network| self.on(&network.id).first()).min();
        let index = match connected.copied() {
            Some(index) => index,
            None => {
                let known = self.networks.iter().find(|network| network.is_public());
                let id = known.map_or_else(|| format!("public.{stamp}"), |network| network.id.clone());
                self.define(&id, "yes");
                let index = self.next_index();
                self.connect(index, &id);
                index
            }
        };
        self.write(index, address);
    }

    /// Makes a network, if there is none with that id.
    fn define(&mut self, id: &str, outbound: &str) {
        if !self.networks.iter().any(|network| network.id == id) {
            let mut network = Network { id: id.to_owned(), ..Network::default() };
            network.features.set_text("outbound", outbound);
            self.networks.push(network);
        }
    }

    fn write_private(&mut self, address: IpAddr) {
        let Some(id) = self.network_for(address) else {
            return;
        };
        let range = self.range_of(&id, address);
        self.ranges.entry((id.clone(), key(address))).or_insert(range);
        // A network may be connected more than once: the interface that is free takes the address.
        let held = self.held.get(&address).filter(|held| self.on(&id).contains(held));
        let connected = held.into_iter().chain(self.on(&id)).find(|index| self.is_free(**index, address));
        if let Some(&index) = connected {
            self.write(index, address);
        } else if self.on(&id).is_empty() {
            let index = self.next_index();
            self.write(index, address);
            self.connect(index, &id);
        }
    }

    /// The range that a network serves once it has this address: its cidr, else the range of private addresses.
    fn range_of(&self, id: &str, address: IpAddr) -> IpNetwork {
        let network = self.networks.iter().find(|network| network.id == id);
        network.and_then(cidr).filter(|range| range.contains(address)).unwrap_or_else(|| private_range(address))
    }

    /// The private network for an address; none when its range has a network already that has no room for it.
    fn network_for(&mut self, address: IpAddr) -> Option<String> {
        let family = key(address);
        let used = |network: &Network| self.ranges.get(&(network.id.clone(), family));
        let is_connected = |network: &&Network| !self.on(&network.id).is_empty();
        let has_room = |network: &&Network| self.on(&network.id).iter().any(|index| self.is_free(*index, address));
        let held_by = self
            .held
            .get(&address)
            .and_then(|index| self.system.features.text(&interface_feature(*index, "connection")));
        let range = private_range(address);
        let own_name = name_for(range);
        let private = || self.networks.iter().filter(|network| !network.is_public());
        // A network made for another range is no place for this address, although it has no cidr.
        let is_open = |network: &&Network| {
            let other = network.id.starts_with("private.") && network.id != own_name;
            cidr(network).is_none() && used(network).is_none() && !other
        };
        let holds = |network: &&Network| cidr(network).is_some_and(|cidr| cidr.contains(address));
        let serving = || private().filter(|network| used(network).is_some_and(|range| range.contains(address)));
        let fits_cidr = |network: &&Network| cidr(network).is_none_or(|cidr| cidr.contains(address));
        let chosen = private()
            .find(|network| held_by == Some(network.id.as_str()) && fits_cidr(network) && has_room(network))
            .or_else(|| serving().find(has_room))
            .or_else(|| private().filter(holds).find(has_room))
            .or_else(|| private().filter(is_open).find(|network| is_connected(network) && network.id == own_name))
            .or_else(|| private().filter(is_open).find(is_connected));
        if let Some(network) = chosen {
            return Some(network.id.clone());
        }
        if serving().next().is_some() {
            return None;
        }
        let unconnected = private().find(holds).or_else(|| private().find(is_open)).map(|network| network.id.clone());
        let id = unconnected.unwrap_or(own_name);
        self.define(&id, "no");
        Some(id)
    }

    /// Removes the addresses that were not written in this update.
    fn forget_others(&mut self) {
        for index in 0..self.next_index() {
            for key in ["ip", "ipv6"] {
                let name = interface_feature(index, key);
                if !self.written.contains(&name) {
                    self.system.features.remove(&name);
                }
            }
        }
    }
}

fn cidr(network: &Network) -> Option<IpNetwork> {
    network.features.text("cidr")?.parse().ok()
}

/// The range of private addresses around an address; the /8 of its first octet for others.
fn private_range(address: IpAddr) -> IpNetwork {
    let (base, prefix) = match address {
        IpAddr::V4(v4) => {
            let known = PRIVATE_RANGES.iter().find(|(base, prefix)| {
                let mask = u32::MAX << (32 - u32::from(*prefix));
                u32::from(v4) & mask == u32::from(*base)
            });
            let (base, prefix) = known.copied().unwrap_or((Ipv4Addr::new(v4.octets()[0], 0, 0, 0), 8));
            (IpAddr::V4(base), prefix)
        }
        IpAddr::V6(_) => (IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
    };
    IpNetwork::new(base, prefix).unwrap_or_else(|_| IpNetwork::from(address))
}

/// The id of a network made for a range: `private.BASE`. IPv6 bases hold colons, which ids cannot.
fn name_for(range: IpNetwork) -> String {
    match range {
        IpNetwork::V4(range) => format!("private.{}", range.ip()),
        IpNetwork::V6(_) => "private.ipv6".to_owned(),
    }
}
