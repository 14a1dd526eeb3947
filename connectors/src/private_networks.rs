//! Which addresses are private (docs/spec/connectors.md, 2.8).

use ipnetwork::IpNetwork;
use std::{net::IpAddr, str::FromStr};

/// `PRIVATE_NET_MASKS` when the configuration says nothing.
const DEFAULT_MASKS: [(&str, u8); 7] = [
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("100.64.0.0", 10),
    ("192.0.0.0", 24),
    ("198.18.0.0", 15),
];

/// IPv6 addresses that are private whatever the configuration says: unique local (RFC 4193), link-local (RFC 4291).
const PRIVATE_V6: [(&str, u8); 2] = [("fc00::", 7), ("fe80::", 10)];

/// The networks whose addresses count as private; every other address is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateNetworks {
    masks: Vec<IpNetwork>,
}

impl Default for PrivateNetworks {
    fn default() -> Self {
        Self { masks: networks(&DEFAULT_MASKS) }
    }
}

/// A mask list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network: write PRIVATE_NET_MASKS as a comma separated list such as 10.0.0.0/8,192.168.0.0/16")]
pub struct InvalidMask(String);

impl FromStr for PrivateNetworks {
    type Err = InvalidMask;

    /// Reads the comma separated list of `PRIVATE_NET_MASKS`.
    fn from_str(list: &str) -> Result<Self, InvalidMask> {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        let masks =
            items.map(|item| item.parse().map_err(|_| InvalidMask(item.to_owned()))).collect::<Result<_, _>>()?;
        Ok(Self { masks })
    }
}

impl From<Vec<IpNetwork>> for PrivateNetworks {
    fn from(masks: Vec<IpNetwork>) -> Self {
        Self { masks }
    }
}

impl PrivateNetworks {
    /// Whether the address is private. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.mask_of(address).is_some()
    }

    /// Whether a network of a cloud is private, by its first address.
    #[must_use]
    pub fn contains_network(&self, network: IpNetwork) -> bool {
        self.contains(network.network())
    }

    /// The first private network that holds the address.
    #[must_use]
    pub fn mask_of(&self, address: IpAddr) -> Option<IpNetwork> {
        let address = address.to_canonical();
        self.masks.iter().copied().chain(networks(&PRIVATE_V6)).find(|mask| mask.contains(address))
    }
}

fn networks(list: &[(&str, u8)]) -> Vec<IpNetwork> {
    list.iter().filter_map(|(address, prefix)| IpNetwork::new(address.parse().ok()?, *prefix).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn private_and_public_addresses_are_told_apart() {
        let default = PrivateNetworks::default();
        for private in [
            "10.255.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.127.0.1",
            "192.0.0.8",
            "198.19.0.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(default.contains(private.parse().unwrap()), "{private}");
        }
        for public in ["11.0.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1", "2001:db8::1", "127.0.0.1"] {
            assert!(!default.contains(public.parse().unwrap()), "{public}");
        }
        assert!(default.contains_network("10.4.0.0/16".parse().unwrap()));
        assert_eq!(default.mask_of("10.4.5.6".parse().unwrap()).unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn the_configured_list_replaces_the_default() {
        let masks: PrivateNetworks = " 203.0.113.0/24, 10.1.0.0/16,".parse().unwrap();
        assert!(masks.contains("203.0.113.9".parse().unwrap()));
        assert!(!masks.contains("10.2.0.1".parse().unwrap()));
        assert!(masks.contains("fd12::1".parse().unwrap()));
        let error = "10.0.0.0/8,ten".parse::<PrivateNetworks>().unwrap_err();
        assert!(error.to_string().starts_with("`ten` is not a network"), "{error}");
    }
}
