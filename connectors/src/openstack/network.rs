//! Which networks of the cloud stand for the networks of a document, and how a machine is connected to them: pure
//! functions.

use super::{
    mark,
    neutron::{Network, Subnet},
};
use crate::{ConnectorError, ErrorClass, PrivateNetworks, VmIntent};
use ipnetwork::IpNetwork;
use std::{collections::BTreeMap, net::IpAddr};

/// Tag of a network: machines may have an interface on it besides a public one.
const TWO_INTERFACES: &str = "enable_two_nics";

/// The networks that the project sees.
pub(super) struct Landscape {
    pub networks: Vec<Network>,
    pub subnets: Vec<Subnet>,
}

/// What a network of the document is in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The network of this id.
    Network(String),
    /// One that is to be made, of this name.
    Make(String),
}

/// By network of the document.
pub(super) type Places = BTreeMap<String, Place>;

impl Landscape {
    pub fn network(&self, id: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.id == id)
    }

    pub fn subnet_of(&self, network: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.network_id == network)
    }

    /// Whether addresses of a network are public: by its range, IPv4 first; without one, by whether it leads outside.
    pub fn is_public(&self, network: &Network, private: &PrivateNetworks) -> bool {
        let own = || self.subnets.iter().filter(|subnet| subnet.network_id == network.id).map(|subnet| subnet.cidr);
        match own().find(IpNetwork::is_ipv4).or_else(|| own().next()) {
            Some(range) => !private.contains_network(range),
            None => network.external,
        }
    }

    /// Networks in the order in which they are taken: those that their owners call the default first, then by name.
    fn by_preference(&self) -> Vec<&Network> {
        let is_default = |network: &Network| {
            network.is_default == Some(true)
                || network.name.to_lowercase().contains("default")
                || network.tags.iter().any(|tag| tag == "default")
                || network.description.as_deref().is_some_and(|text| text.contains("default"))
        };
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|network| (!is_default(network), &network.name, &network.id));
        networks
    }

    /// Networks that floating addresses are taken from.
    pub fn pools(&self) -> impl Iterator<Item = &Network> {
        self.by_preference().into_iter().filter(|network| network.external)
    }

    /// What each network of the document is in the cloud.
    ///
    /// # Errors
    /// `Invalid`: a `provider_id` that names nothing, or names the same network twice, or there is no network for one.
    pub fn places(
        &self,
        wanted: &[radl::Network],
        infrastructure: &str,
        private: &PrivateNetworks,
    ) -> Result<Places, ConnectorError> {
        let invalid = |text: String| ConnectorError::new(ErrorClass::Invalid, text);
        let own = mark::of_infrastructure(infrastructure);
        let is_ours = |network: &&&Network| network.description.as_deref() == Some(&own);
        let is_foreign = |network: &&Network| {
            mark::is_of_some(network.description.as_deref()) && network.description.as_deref() != Some(&own)
        };
        let all = self.by_preference();
        let usable: Vec<&Network> = all.iter().copied().filter(|network| !is_foreign(network)).collect();
        let mut places = Places::new();
        let mut open = Vec::new();
        for network in wanted {
            let name = mark::network_name(infrastructure, &network.id);
            let provider = network.features.text("provider_id");
            let made = usable.iter().filter(is_ours).find(|made| made.name == name);
            let named = provider.and_then(|provider| {
                let by_name = usable.iter().find(|known| known.name == provider);
                by_name.or_else(|| usable.iter().find(|known| known.id == provider))
            });
            let is_made = wants_own(network);
            let was_made = |provider: &str| {
                let theirs = |known: &&&Network| known.name == provider || known.id == provider;
                provider.starts_with("im-") || all.iter().filter(|known| is_foreign(known)).any(|known| theirs(&known))
            };
            let place = match (named.or(made), provider) {
                (Some(known), _) => Place::Network(known.id.clone()),
                // It was made for another infrastructure.
                (None, Some(provider)) if was_made(provider) && !network.is_public() => Place::Make(name),
                (None, Some(provider)) if is_made => Place::Make(provider.to_owned()),
                (None, Some(provider)) => {
                    return Err(invalid(format!("Network with provider_id {provider} not found.")));
                }
                (None, None) if is_made => Place::Make(name),
                (None, None) => {
                    open.push(network);
                    continue;
                }
            };
            if matches!(&place, Place::Network(_)) && places.values().any(|taken| *taken == place) {
                let provider = provider.unwrap_or(&network.id);
                return Err(invalid(format!("Two different networks assigned to the same provider_id: {provider}")));
            }
            places.insert(network.id.clone(), place);
        }
        for network in open {
            let is_free = |known: &&&Network| {
                !mark::is_of_some(known.description.as_deref())
                    && !places.values().any(|taken| *taken == Place::Network(known.id.clone()))
                    && self.is_public(known, private) == network.is_public()
            };
            let place = match usable.iter().find(is_free) {
                Some(known) => Place::Network(known.id.clone()),
                None if network.is_public() => {
                    return Err(invalid(format!("No public network of the cloud is left for network: {}", network.id)));
                }
                None => Place::Make(mark::network_name(infrastructure, &network.id)),
            };
            places.insert(network.id.clone(), place);
        }
        Ok(places)
    }

    /// The range of a network that is made.
    ///
    /// # Errors
    /// `Invalid` for a `cidr` that is none, `Capacity` when every range is in use.
    pub fn range(&self, wanted: &radl::Network, used: &[IpNetwork]) -> Result<IpNetwork, ConnectorError> {
        let demanded = demanded_range(wanted);
        if let Some(cidr) = demanded.filter(|cidr| !cidr.contains('*')) {
            let invalid = |_| ConnectorError::new(ErrorClass::Invalid, format!("Network cidr '{cidr}' is none"));
            return cidr.parse().map_err(invalid);
        }
        let used = || used.iter().copied().chain(self.subnets.iter().map(|subnet| subnet.cidr));
        let free = radl::cidr::candidates(demanded.unwrap_or(radl::cidr::DEFAULT), 0)
            .map_while(|text| text.parse::<IpNetwork>().ok())
            .find(|range| !used().any(|taken| overlap(*range, taken)));
        let none = || ConnectorError::new(ErrorClass::Capacity, format!("No free range for network {}", wanted.id));
        free.ok_or_else(none)
    }
}

/// The range that the document demands; the one that came with a network of ours is no demand.
pub(super) fn demanded_range(wanted: &radl::Network) -> Option<&str> {
    let came_with_ours = wanted.features.text("provider_id").is_some_and(|provider| provider.starts_with("im-"));
    wanted.features.text("cidr").filter(|_| !came_with_ours)
}

fn wants_own(network: &radl::Network) -> bool {
    !network.is_public() && network.features.text("create").is_some_and(|create| create.eq_ignore_ascii_case("yes"))
}

fn overlap(one: IpNetwork, other: IpNetwork) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

/// An interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    /// N of `net_interface.N`.
    pub interface: usize,
    /// Network of the document; none where the cloud needs one that the document does not have.
    pub network: Option<String>,
    /// Id of the network of the cloud.
    pub place: String,
    /// The address that the document demands.
    pub address: Option<IpAddr>,
    is_public: bool,
}

/// A public address that leads to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Floating {
    /// Network of the document.
    pub network: String,
    /// Id of the network of the cloud that it is taken from.
    pub pool: String,
    /// The address that the document demands: it is the user's.
    pub address: Option<IpAddr>,
}

/// How a machine is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wiring {
    pub nics: Vec<Nic>,
    pub floating: Vec<Floating>,
}

/// Connects a machine: public interfaces first; those on a pool get an address of it beside the private ones, unless there
/// is nothing else to connect the machine to.
pub(super) fn wire(
    intent: &VmIntent,
    landscape: &Landscape,
    private: &PrivateNetworks,
) -> Result<Wiring, ConnectorError> {
    let places = landscape.places(&intent.networks, &intent.infrastructure, private)?;
    let mut wiring = Wiring::default();
    for interface in intent.system.interfaces() {
        let id = match places.get(interface.connection) {
            Some(Place::Network(id)) => id,
            Some(Place::Make(name)) => {
                return Err(ConnectorError::new(ErrorClass::NotFound, format!("The network {name} is gone")));
            }
            None => continue,
        };
        let is_public = intent.networks.iter().any(|net| net.id == interface.connection && net.is_public());
        let demanded = intent.requested.features.text(&format!("net_interface.{}.ip", interface.index));
        let address = demanded.and_then(|text| text.parse().ok());
        let is_pool = landscape.network(id).is_some_and(|network| network.external);
        let network = interface.connection.to_owned();
        if is_public && is_pool {
            wiring.floating.push(Floating { network, pool: id.clone(), address });
        } else {
            let (interface, place) = (interface.index, id.clone());
            wiring.nics.push(Nic { interface, network: Some(network), place, address, is_public });
        }
    }
    if wiring.nics.is_empty()
        && let Some(floating) = wiring.floating.first().cloned()
    {
        let is_inside = |network: &&&Network| {
            !network.external
                && !mark::is_of_some(network.description.as_deref())
                && !landscape.is_public(network, private)
                && landscape.subnet_of(&network.id).is_some()
        };
        let open = landscape.network(&floating.pool).is_some_and(|network| network.shared);
        let all = landscape.by_preference();
        let nic = |network, place: &str, address, is_public| Nic {
            interface: 0,
            network,
            place: place.to_owned(),
            address,
            is_public,
        };
        match all.iter().find(is_inside) {
            Some(inside) if !open => wiring.nics.push(nic(None, &inside.id, None, false)),
            _ => {
                wiring.nics.push(nic(Some(floating.network.clone()), &floating.pool, floating.address, true));
                wiring.floating.remove(0);
            }
        }
    }
    let takes_two = |network: &Network| network.external || network.tags.iter().any(|tag| tag == TWO_INTERFACES);
    if wiring.nics.iter().any(|nic| nic.is_public) && !landscape.networks.iter().any(takes_two) {
        wiring.nics.retain(|nic| nic.is_public);
    }
    wiring.nics.sort_by_key(|nic| (!nic.is_public, nic.interface));
    Ok(wiring)
}
