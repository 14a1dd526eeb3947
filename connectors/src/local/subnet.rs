//! Choice of subnets and addresses: pure functions.

use crate::error::{ConnectorError, ErrorClass};
use ipnetwork::Ipv4Network;
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The ranges a local network may lie in: RFC 1918, RFC 5737 and RFC 2544.
const RESERVED: [(Ipv4Addr, u8); 7] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// Whether the whole network lies in a range that is never routed on the Internet.
pub(super) fn is_reserved(network: Ipv4Network) -> bool {
    RESERVED
        .iter()
        .any(|&(base, prefix)| Ipv4Network::new_checked(base, prefix).is_some_and(|range| network.is_subnet_of(range)))
}

/// The first /24 of the pool that overlaps nothing in use.
pub(super) fn pick(pool: Ipv4Network, used: &[Ipv4Network]) -> Option<Ipv4Network> {
    let first = u32::from(pool.network());
    let last = u32::from(pool.broadcast());
    (first..=last)
        .step_by(256)
        .filter_map(|base| Ipv4Network::new_checked(Ipv4Addr::from(base), 24))
        .find(|candidate| is_free(*candidate, used))
}

/// The network that a `cidr` feature asks for: itself, or with `*` the first free one, each `*` counting 1 to 254,
/// the last one fastest. What is asked for is had or refused for good: it may be free again, but who knows when.
pub(super) fn from_pattern(pattern: &str, used: &[Ipv4Network]) -> Result<Ipv4Network, ConnectorError> {
    let invalid = |why: &str| ConnectorError::new(ErrorClass::Invalid, format!("Network cidr '{pattern}' {why}"));
    let wildcards = pattern.matches('*').count();
    if wildcards > 2 {
        return Err(invalid("has more than two wildcards"));
    }
    let mut parsed = false;
    for number in 0..254_u32.pow(wildcards as u32) {
        let text = fill(pattern, number);
        let Ok(candidate) = text.parse::<Ipv4Network>() else { continue };
        parsed = true;
        // The text may name any address of the network.
        let Some(candidate) = Ipv4Network::new_checked(candidate.network(), candidate.prefix()) else { continue };
        if !is_reserved(candidate) {
            return Err(invalid("lies outside the ranges reserved for private use and documentation"));
        }
        if !(8..=29).contains(&candidate.prefix()) {
            return Err(invalid("needs a prefix from /8 to /29"));
        }
        if is_free(candidate, used) {
            return Ok(candidate);
        }
    }
    Err(if parsed { invalid("overlaps a network in use") } else { invalid("is not an IPv4 network") })
}

fn fill(pattern: &str, mut number: u32) -> String {
    let mut parts: Vec<String> = Vec::new();
    for piece in pattern.rsplit('*') {
        if !parts.is_empty() {
            parts.push((number % 254 + 1).to_string());
            number /= 254;
        }
        parts.push(piece.to_owned());
    }
    parts.into_iter().rev().collect()
}

fn is_free(candidate: Ipv4Network, used: &[Ipv4Network]) -> bool {
    !used.iter().any(|other| other.overlaps(candidate))
}

/// The address that the host has on a public network.
pub(super) fn gateway(network: Ipv4Network) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()) + 1)
}

/// The wanted address, or the lowest free one.
///
/// # Errors
/// `Invalid` for a wanted address outside the network or in use, `Capacity` when all are taken.
pub(super) fn address(
    network: Ipv4Network,
    wanted: Option<Ipv4Addr>,
    used: &BTreeSet<Ipv4Addr>,
) -> Result<Ipv4Addr, ConnectorError> {
    let hosts = u32::from(gateway(network)) + 1..u32::from(network.broadcast());
    match wanted {
        Some(ip) if !hosts.contains(&u32::from(ip)) => {
            Err(ConnectorError::new(ErrorClass::Invalid, format!("Address {ip} is not usable in network {network}")))
        }
        Some(ip) if used.contains(&ip) => {
            Err(ConnectorError::new(ErrorClass::Invalid, format!("Address {ip} is in use in network {network}")))
        }
        Some(ip) => Ok(ip),
        None => hosts.map(Ipv4Addr::from).find(|ip| !used.contains(ip)).ok_or_else(|| {
            ConnectorError::new(ErrorClass::Capacity, format!("No free address is left in network {network}"))
        }),
    }
}

/// The networks that the host's routing table knows, from `/proc/net/route` (proc(5)); the default route is left out.
pub(super) fn routes(table: &str) -> Vec<Ipv4Network> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let hex = |text: Option<&str>| u32::from_str_radix(text?, 16).ok().map(u32::swap_bytes);
            let destination = hex(columns.next())?;
            let mask = hex(columns.nth(5))?;
            let prefix = u8::try_from(mask.leading_ones()).ok()?;
            Ipv4Network::new_checked(Ipv4Addr::from(destination), prefix).filter(|network| network.prefix() > 0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn net(text: &str) -> Ipv4Network {
        text.parse().unwrap()
    }

    #[test]
    fn only_reserved_ranges_are_taken() {
        for good in ["10.1.0.0/16", "172.31.255.0/24", "192.168.0.0/16", "198.19.0.0/16", "203.0.113.0/25"] {
            assert!(is_reserved(net(good)), "{good}");
        }
        for bad in ["8.8.8.0/24", "172.32.0.0/16", "198.20.0.0/16", "0.0.0.0/0", "10.0.0.0/7"] {
            assert!(!is_reserved(net(bad)), "{bad}");
        }
    }

    #[test]
    fn subnets_never_overlap_what_is_used() {
        let used = [net("198.18.0.0/23"), net("198.18.3.128/25")];
        assert_eq!(pick(net("198.18.0.0/16"), &used), Some(net("198.18.2.0/24")));
        assert_eq!(pick(net("198.18.0.0/24"), &used), None);
        assert_eq!(from_pattern("10.0.*.0/24", &[net("10.0.1.0/24"), net("10.0.2.64/26")]), Ok(net("10.0.3.0/24")));
        let inner_first: Vec<_> = (1..=253).map(|i| net(&format!("10.1.{i}.0/24"))).collect();
        assert_eq!(from_pattern("10.*.*.0/24", &inner_first), Ok(net("10.1.254.0/24")));
        assert_eq!(from_pattern("10.3.4.5/24", &[]), Ok(net("10.3.4.0/24")));
        let class = |text: &str| from_pattern(text, &[net("10.0.0.0/8")]).unwrap_err().class;
        for bad in ["10.0.*.0/24", "8.8.*.0/24", "x", "*.*.*.0/24", "10.0.0.0/31", "", "10.0.0.0/7"] {
            assert_eq!(class(bad), ErrorClass::Invalid, "{bad}");
        }
    }

    #[test]
    fn addresses_are_given_once() {
        let network = net("10.0.0.0/29");
        let mut used = BTreeSet::new();
        let fixed = address(network, Some(Ipv4Addr::new(10, 0, 0, 4)), &used).unwrap();
        used.insert(fixed);
        while let Ok(ip) = address(network, None, &used) {
            assert!(used.insert(ip));
        }
        assert_eq!(used.len(), 5, "10.0.0.2 to .6: neither network, gateway nor broadcast");
        let class = |ip| address(network, Some(ip), &used).unwrap_err().class;
        assert_eq!(class(fixed), ErrorClass::Invalid);
        assert_eq!(class(gateway(network)), ErrorClass::Invalid);
        assert_eq!(class(Ipv4Addr::new(10, 0, 1, 2)), ErrorClass::Invalid);
    }

    #[test]
    fn routing_table_is_read() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes(table), [net("192.0.2.0/24")]);
    }
}
