//! Port rules of a network: which ports of its machines are reachable from outside.

use crate::error::RadlError;
use crate::interfaces::interface_feature;
use crate::model::{Network, Radl};
use ipnetwork::Ipv4Network;
use std::fmt;

/// Transport of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP; the port is the message type.
    Icmp,
}

impl Protocol {
    /// The name in rules: `tcp`, `udp`, `icmp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Icmp].into_iter().find(|protocol| protocol.as_str() == name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule: a port opened as it is, a port mapped to another one, or a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outport {
    /// Port outside; first port of a range.
    pub remote: u16,
    /// Port inside the machine; last port of a range.
    pub local: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Whether `remote` and `local` bound a range (`9000:9100`).
    pub range: bool,
    /// Addresses outside that may connect, as written; none for all.
    pub cidr: Option<String>,
}

/// What is wrong with a rule. Clients know two messages for all of it; this is the detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("no blanks may stand in it")]
    Blank,
    #[error("a port is a number from 0 to 65535, or a range of them as 9000:9100")]
    Port,
    #[error("the protocol is tcp, udp or icmp, as 53/udp")]
    Protocol,
    #[error("both sides of a mapping have to name the same protocol")]
    Protocols,
    #[error("the range ends before it begins")]
    Inverted,
    #[error("a range is opened as it is: it cannot be mapped to another port")]
    MappedRange,
    #[error("the addresses in front are an IPv4 range as 10.0.0.0/8")]
    Cidr,
    #[error("it has too many parts: PORT, PORT-PORT or FIRST:LAST, behind ADDRESSES- if not all may connect")]
    Parts,
}

impl Fault {
    /// The message of the rule that stands at `at`, from 0.
    fn of_rule(self, at: usize) -> RadlError {
        let text = match self {
            Self::Protocols => "Different protocols used in local and remote outports.",
            _ => "Invalid outports format.",
        };
        RadlError::without_line(text).because(format!("rule {} of the list: {self}", at + 1))
    }
}

/// Parses the rules of an `outports` feature, in order.
///
/// # Errors
/// A rule that is malformed, has ports above 65535, an inverted range, a range combined with a mapping, an invalid cidr,
/// or two different protocols; the detail says which rule and what of it.
pub fn parse(text: &str) -> Result<Vec<Outport>, RadlError> {
    text.split(',').enumerate().map(|(at, text)| rule(text).map_err(|fault| fault.of_rule(at))).collect()
}

fn rule(text: &str) -> Result<Outport, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    if text.contains(char::is_whitespace) {
        return Err(Fault::Blank);
    }
    let mut sides: Vec<&str> = text.split('-').collect();
    let mut cidr = None;
    if sides.len() > 1 && sides.first().is_some_and(|first| first.contains('.')) {
        cidr = Some(network(sides.remove(0)).ok_or(Fault::Cidr)?);
    }
    let (first, second) = match sides[..] {
        [one] => (side(one)?, None),
        [first, second] => (side(first)?, Some(side(second)?)),
        _ => return Err(Fault::Parts),
    };
    let protocol = first.protocol.unwrap_or(Protocol::Tcp);
    if second.and_then(|side| side.protocol).is_some_and(|other| other != protocol) {
        return Err(Fault::Protocols);
    }
    let (local, range) = match (first.last, second) {
        (None, None) => (first.port, false),
        (Some(last), None) => (last, true),
        (None, Some(Side { port, last: None, .. })) => (port, false),
        // A range on one side and a mapping to the other contradict each other.
        _ => return Err(Fault::MappedRange),
    };
    if range && local < first.port {
        return Err(Fault::Inverted);
    }
    Ok(Outport { remote: first.port, local, protocol, range, cidr })
}

#[derive(Clone, Copy)]
struct Side {
    port: u16,
    last: Option<u16>,
    protocol: Option<Protocol>,
}

fn side(text: &str) -> Result<Side, Fault> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, name)) => (ports, Some(Protocol::from_name(name).ok_or(Fault::Protocol)?)),
        None => (text, None),
    };
    let port = |digits| port(digits).ok_or(Fault::Port);
    let (port, last) = match ports.split_once(':') {
        Some((first, last)) => (port(first)?, Some(port(last)?)),
        None => (port(ports)?, None),
    };
    Ok(Side { port, last, protocol })
}

fn port(digits: &str) -> Option<u16> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn network(text: &str) -> Option<String> {
    let (_, prefix) = text.split_once('/')?;
    port(prefix)?;
    text.parse::<Ipv4Network>().ok().map(|_| text.to_owned())
}

impl Outport {
    /// One tcp port, opened as it is.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self { remote: port, local: port, protocol: Protocol::Tcp, range: false, cidr: None }
    }

    /// The addresses that may connect; all of them when the rule names none.
    #[must_use]
    pub fn effective_cidr(&self) -> &str {
        self.cidr.as_deref().unwrap_or("0.0.0.0/0")
    }

    /// Whether the rule opens this port outside.
    #[must_use]
    pub fn opens(&self, port: u16, protocol: Protocol) -> bool {
        let last = if self.range { self.local } else { self.remote };
        self.protocol == protocol && (self.remote..=last).contains(&port)
    }
}

impl fmt::Display for Outport {
    /// The rule in full: `REMOTE/PROTOCOL-LOCAL/PROTOCOL`, or `FIRST:LAST/PROTOCOL`, after its cidr.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cidr) = &self.cidr {
            write!(f, "{cidr}-")?;
        }
        let Self { remote, local, protocol, .. } = self;
        if self.range {
            write!(f, "{remote}:{local}/{protocol}")
        } else {
            write!(f, "{remote}/{protocol}-{local}/{protocol}")
        }
    }
}

/// The rules with the one for SSH (22/tcp) appended unless one of them opens that port.
#[must_use]
pub fn with_ssh(mut rules: Vec<Outport>) -> Vec<Outport> {
    if !rules.iter().any(|rule| rule.opens(22, Protocol::Tcp)) {
        rules.push(Outport::tcp(22));
    }
    rules
}

impl Network {
    /// The port rules, empty without the feature or when it is malformed (which `check` refuses).
    #[must_use]
    pub fn outports(&self) -> Vec<Outport> {
        self.features.text("outports").and_then(|text| parse(text).ok()).unwrap_or_default()
    }

    /// Rewrites the rules so that `remote` leads to `local` by tcp; that rule comes first, the others keep their order.
    pub fn redirect_port(&mut self, remote: u16, local: u16) {
        let redirected = format!("{remote}-{local}");
        let others = self.outports().into_iter().filter(|rule| {
            let replaced = rule.protocol == Protocol::Tcp && rule.local == local && !rule.range;
            !replaced
        });
        let others = others.map(|rule| match rule {
            Outport { range: false, cidr: None, protocol: Protocol::Tcp, remote, local } => format!("{remote}-{local}"),
            rule => rule.to_string(),
        });
        let rules: Vec<String> = std::iter::once(redirected).chain(others).collect();
        self.features.set_text("outports", &rules.join(","));
    }
}

impl Radl {
    /// Makes `remote` outside lead to `local` of the machine by tcp, on the last public network; without one, on a new
    /// network `public.STAMP` that the first system gets an interface on.
    pub fn redirect_port(&mut self, remote: u16, local: u16, stamp: &str) {
        if let Some(network) = self.networks.iter_mut().rfind(|network| network.is_public()) {
            network.redirect_port(remote, local);
            return;
        }
        let mut network = Network { id: format!("public.{stamp}"), ..Network::default() };
        network.features.set_text("outbound", "yes");
        network.redirect_port(remote, local);
        if let Some(system) = self.systems.first_mut() {
            let connection = interface_feature(system.interfaces().count(), "connection");
            system.features.set_text(&connection, &network.id);
        }
        self.networks.push(network);
    }

    /// The port outside that leads to `local` of a machine by tcp: the last such mapping of the last public network.
    #[must_use]
    pub fn outside_port(&self, local: u16) -> u16 {
        let public = self.networks.iter().rfind(|network| network.is_public());
        let rules = public.map(Network::outports).unwrap_or_default();
        let mapped = rules.iter().rfind(|rule| rule.local == local && !rule.range && rule.protocol == Protocol::Tcp);
        mapped.map_or(local, |rule| rule.remote)
    }

    /// The port to reach the SSH server of a machine.
    #[must_use]
    pub fn ssh_port(&self) -> u16 {
        self.outside_port(22)
    }
}
