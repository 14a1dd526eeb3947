//! Which of the cloud's virtual networks stands for a network of a document. None is ever made or deleted.

use super::xml::Element;
use crate::{ConnectorError, ErrorClass, PrivateNetworks};
use ipnetwork::IpNetwork;
use radl::Network;
use std::net::IpAddr;

/// What is known of a virtual network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VirtualNetwork {
    pub id: i32,
    pub name: String,
    /// None where no address of it is known.
    pub public: Option<bool>,
    /// The operator wants it to be tried first (attribute DEFAULT).
    preferred: bool,
    is_full: bool,
}

impl VirtualNetwork {
    pub fn of(vnet: &Element, private: &PrivateNetworks) -> Option<Self> {
        let ranges = vnet.all("AR_POOL/AR");
        let size: u64 = ranges.iter().filter_map(|range| range.number::<u64>("SIZE")).sum();
        let used: u64 = vnet.number("USED_LEASES").unwrap_or(0);
        Some(Self {
            id: vnet.number("ID")?,
            name: vnet.text("NAME")?.to_owned(),
            public: sample(vnet, &ranges).map(|ip| !private.contains(ip)),
            preferred: vnet.text("TEMPLATE/DEFAULT").is_some(),
            is_full: !ranges.is_empty() && used >= size,
        })
    }

    /// Whether a `provider_id` means it: its name or its id.
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.id.to_string() == name
    }
}

/// An address of the network: of a range of addresses, else its own.
fn sample(vnet: &Element, ranges: &[&Element]) -> Option<IpAddr> {
    let of_range = |range: &&Element| {
        ["IP", "IP6_GLOBAL", "IP6", "IP6_ULA"].into_iter().find_map(|key| range.text(key)?.parse().ok())
    };
    let of_network = || {
        let text = vnet.text("TEMPLATE/NETWORK_ADDRESS")?;
        text.parse::<IpNetwork>().ok().map(|network| network.network())
    };
    ranges.iter().find_map(of_range).or_else(of_network)
}

/// The virtual network for a network of a document, besides those that are `taken` by its other networks: the one that it
/// names, else one of its visibility with room, those of the operator's choice first.
///
/// # Errors
/// `NotFound`: there is none. `Capacity`: all are full.
pub(super) fn choose<'a>(
    network: &Network,
    networks: &'a [VirtualNetwork],
    taken: &[i32],
) -> Result<&'a VirtualNetwork, ConnectorError> {
    let none = |class, what: &str| {
        let text = format!("No ONE network found for network: {}{what}", network.id);
        Err(ConnectorError::new(class, text))
    };
    if let Some(name) = network.features.text("provider_id") {
        return match networks.iter().find(|vnet| vnet.is_named(name)) {
            Some(vnet) => Ok(vnet),
            None => none(ErrorClass::NotFound, &format!(" (provider_id {name} is none that this account may use)")),
        };
    }
    let visible: Vec<_> = networks.iter().filter(|vnet| vnet.public == Some(network.is_public())).collect();
    if visible.is_empty() {
        let kind = if network.is_public() { "public" } else { "private" };
        return none(ErrorClass::NotFound, &format!(" (this account may use no {kind} one)"));
    }
    let mut free: Vec<_> = visible.into_iter().filter(|vnet| !vnet.is_full).collect();
    free.sort_by_key(|vnet| (taken.contains(&vnet.id), !vnet.preferred, vnet.id));
    match free.first() {
        Some(vnet) => Ok(vnet),
        None => none(ErrorClass::Capacity, " (all of them are full)"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use radl::Radl;

    fn networks() -> Vec<VirtualNetwork> {
        let pool = "<P><V><ID>0</ID><NAME>full</NAME><USED_LEASES>1</USED_LEASES><AR_POOL><AR><IP>158.42.1.1</IP>\
            <SIZE>1</SIZE></AR></AR_POOL></V><V><ID>1</ID><NAME>publica</NAME><USED_LEASES>0</USED_LEASES><AR_POOL><AR>\
            <IP>158.42.2.1</IP><SIZE>9</SIZE></AR></AR_POOL></V><V><ID>2</ID><NAME>privada</NAME><AR_POOL/><TEMPLATE>\
            <NETWORK_ADDRESS>10.0.0.0</NETWORK_ADDRESS></TEMPLATE></V><V><ID>3</ID><NAME>default</NAME><AR_POOL><AR>\
            <IP>10.1.0.1</IP><SIZE>9</SIZE></AR></AR_POOL><TEMPLATE><DEFAULT>YES</DEFAULT></TEMPLATE></V></P>";
        let pool = Element::parse(pool).unwrap();
        pool.children.iter().filter_map(|vnet| VirtualNetwork::of(vnet, &PrivateNetworks::default())).collect()
    }

    #[test]
    fn networks_are_those_named_or_of_the_same_visibility() {
        let of = |text: &str, taken: &[i32]| {
            let network = Radl::parse(&format!("network n ({text})")).unwrap().networks.remove(0);
            choose(&network, &networks(), taken).map(|vnet| vnet.id).map_err(|error| error.class)
        };
        assert_eq!(of("outbound = 'yes'", &[]), Ok(1), "one with room");
        assert_eq!(of("outbound = 'no'", &[]), Ok(3), "the operator's choice");
        assert_eq!(of("outbound = 'no'", &[3]), Ok(2), "another one for another network");
        assert_eq!(of("provider_id = 'privada'", &[]), Ok(2));
        assert_eq!(of("provider_id = '1'", &[]), Ok(1));
        assert_eq!(of("provider_id = 'gone'", &[]), Err(ErrorClass::NotFound));
        assert_eq!(of("outbound = 'yes'", &[1]), Ok(1), "the same one where there is no other");
    }
}
