//! The `outports` of a network (docs/spec/connectors.md, 2.9) as openings of a packet filter.

use crate::error::{ConnectorError, ErrorClass};
use ipnetwork::Ipv4Network;
use radl::outports::{self, Outport};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Protocol of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

/// What may come in from outside the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opening {
    pub source: Ipv4Network,
    pub protocol: Protocol,
    /// First and last port; ignored for ICMP.
    pub first: u16,
    pub last: u16,
    /// Port on the node when it differs from the one outside.
    pub local: Option<u16>,
}

impl Opening {
    /// Secure shell from everywhere.
    pub fn ssh() -> Self {
        let source = Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0)
            .unwrap_or_else(|| Ipv4Network::from(Ipv4Addr::UNSPECIFIED));
        Self { source, protocol: Protocol::Tcp, first: 22, last: 22, local: None }
    }
}

/// The openings of an `outports` feature.
pub(super) fn parse(text: &str) -> Result<Vec<Opening>, ConnectorError> {
    let rules = outports::parse(text).map_err(|error| ConnectorError::new(ErrorClass::Invalid, error.to_string()))?;
    rules.into_iter().map(opening).collect()
}

fn opening(rule: Outport) -> Result<Opening, ConnectorError> {
    let mut opening =
        Opening { protocol: rule.protocol.into(), first: rule.remote, last: rule.remote, ..Opening::ssh() };
    if let Some(cidr) = &rule.cidr {
        let invalid = || ConnectorError::new(ErrorClass::Invalid, format!("Invalid range '{cidr}' in outports"));
        let network: Ipv4Network = cidr.parse().map_err(|_| invalid())?;
        opening.source = Ipv4Network::new_checked(network.network(), network.prefix()).ok_or_else(invalid)?;
    }
    if rule.range {
        opening.last = rule.local;
    } else {
        opening.local = (rule.local != rule.remote).then_some(rule.local);
    }
    Ok(opening)
}

impl From<outports::Protocol> for Protocol {
    fn from(protocol: outports::Protocol) -> Self {
        match protocol {
            outports::Protocol::Tcp => Self::Tcp,
            outports::Protocol::Udp => Self::Udp,
            outports::Protocol::Icmp => Self::Icmp,
        }
    }
}

/// A public interface of a node: its name, network, the host's address there and what is open.
pub(super) struct Filtered<'a> {
    pub device: &'a str,
    pub network: Ipv4Network,
    pub gateway: Ipv4Addr,
    pub openings: &'a [Opening],
}

/// The rules for nft(8) inside a node: members of the network come in freely, others only where it is open.
pub(super) fn ruleset(interfaces: &[Filtered<'_>]) -> String {
    let mut filter = String::new();
    let mut mapping = String::new();
    for Filtered { device, network, gateway, openings } in interfaces {
        let from = format!("iifname \"{device}\"");
        filter += &format!("    {from} ct state established,related accept\n");
        filter += &format!("    {from} ct status dnat accept\n");
        filter += &format!("    {from} ip saddr {network} ip saddr != {gateway} accept\n");
        filter += &format!("    {from} ip6 saddr fe80::/10 accept\n");
        for opening in openings.iter() {
            let source = format!("ip saddr {}", opening.source);
            let protocol = match opening.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Icmp => {
                    filter += &format!("    {from} {source} meta l4proto icmp accept\n");
                    continue;
                }
            };
            let ports = format!("{protocol} dport {}-{}", opening.first, opening.last);
            match opening.local {
                None => filter += &format!("    {from} {source} {ports} accept\n"),
                Some(local) => mapping += &format!("    {from} {source} {ports} redirect to :{local}\n"),
            }
        }
        filter += &format!("    {from} drop\n");
    }
    format!(
        "table inet imd {{\n  chain input {{\n    type filter hook input priority 0; policy accept;\n{filter}  }}\n  \
         chain mapping {{\n    type nat hook prerouting priority -100; policy accept;\n{mapping}  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn grammar() {
        let one = |text: &str| parse(text).unwrap().remove(0);
        assert_eq!(one("22"), Opening::ssh());
        let web = one("10.0.0.7/8-8080/tcp-80/tcp");
        assert_eq!((web.source.to_string().as_str(), web.first, web.local), ("10.0.0.0/8", 8080, Some(80)));
        let range = one("9000:9010/udp");
        assert_eq!((range.protocol, range.first, range.last), (Protocol::Udp, 9000, 9010));
        assert_eq!(one("0/icmp").protocol, Protocol::Icmp);
        assert_eq!(one("443-443").local, None);
        assert_eq!(parse("80,443/tcp").unwrap().len(), 2);
        for bad in ["http", "80/sctp", "1:2-3", "80/tcp-80/udp", "9:1", "70000", "1-2-3", "10.0.0.0/33-80", "-"] {
            assert_eq!(parse(bad).unwrap_err().class, ErrorClass::Invalid, "{bad}");
        }
    }
}
