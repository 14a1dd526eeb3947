//! Networks as bridges in the host's network namespace: subnets, addresses, isolation.

use super::{
    mark::{Card, Mark, Reservation, State},
    outports::{self, Opening},
    settings::LocalSettings,
    subnet,
    tool::{During, Result, run},
};
use crate::error::{ConnectorError, ErrorClass};
use ipnetwork::Ipv4Network;
use openssl::sha::sha256;
use radl::Network;
use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// First letters of the bridges of public networks; the host forwards between these and nothing else of ours.
const PUBLIC: &str = "imp";
/// First letters of the bridges of private networks.
const PRIVATE: &str = "imn";

/// Gives the network a subnet (once) and makes its bridge (when missing). `None` is the public network of machines
/// that name none.
pub(super) fn ensure(
    state: &State,
    settings: &LocalSettings,
    infrastructure: &str,
    network: Option<&Network>,
) -> Result<Reservation> {
    let id = network.map_or("", |n| n.id.as_str());
    let public = network.is_none_or(Network::is_public);
    let bridge = interface_name(if public { PUBLIC } else { PRIVATE }, &[infrastructure, id]);
    if let Some(other) = network.and_then(|n| n.features.text("provider_id")).filter(|other| *other != bridge) {
        return Err(ConnectorError::new(
            ErrorClass::Invalid,
            format!("Network {id}: provider_id '{other}' is not a network of this infrastructure in the local cloud"),
        ));
    }
    let _lock = state.lock()?;
    let reservation = match state.network(&bridge)? {
        Some(known) => known,
        None => {
            let mut used: Vec<Ipv4Network> = state.all_networks()?.into_iter().map(|r| r.cidr).collect();
            used.extend(subnet::routes(&fs::read_to_string("/proc/net/route").during("reading the routing table")?));
            let pool = if public { settings.public_pool } else { settings.private_pool };
            let cidr = match network.and_then(|n| n.features.text("cidr")) {
                Some(pattern) => subnet::from_pattern(pattern, &used)?,
                None => subnet::pick(pool, &used).ok_or_else(|| {
                    ConnectorError::new(ErrorClass::Capacity, format!("No free subnet is left in the pool {pool}"))
                })?,
            };
            let reservation =
                Reservation { infrastructure: infrastructure.to_owned(), network: id.to_owned(), bridge, cidr, public };
            state.save_network(&reservation)?;
            reservation
        }
    };
    make_bridge(&reservation)?;
    Ok(reservation)
}

/// A name for a network interface of the host: 15 characters, the most that Linux takes.
fn interface_name(prefix: &str, parts: &[&str]) -> String {
    let digest = sha256(parts.join("\0").as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{}", &hex[..15 - prefix.len()])
}

/// The host's end of the cable of card `index` of a node.
pub(super) fn cable(uid: &str, index: usize) -> String {
    interface_name("imv", &[uid, &index.to_string()])
}

fn exists(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).exists()
}

/// Whether a network interface of the host is gone or was removed now.
pub(super) fn remove_interface(name: &str) -> Result<()> {
    if !exists(name) {
        return Ok(());
    }
    match run("ip", &["link", "delete", name], "") {
        // The end of a namespace removes its cables by itself, perhaps while we asked.
        Err(error) if exists(name) => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn make_bridge(Reservation { bridge, cidr, public, .. }: &Reservation) -> Result<()> {
    let address = format!("{}/{}", subnet::gateway(*cidr), cidr.prefix());
    if !exists(bridge) {
        run("ip", &["link", "add", "name", bridge, "type", "bridge"], "")?;
    }
    let set = |path: PathBuf, value: &str| fs::write(&path, value).during(format_args!("writing {}", path.display()));
    let ipv4 = Path::new("/proc/sys/net/ipv4/conf").join(bridge);
    let ipv6 = Path::new("/proc/sys/net/ipv6/conf").join(bridge);
    if ipv6.exists() {
        set(ipv6.join("disable_ipv6"), "1")?;
    }
    if *public {
        run("ip", &["-batch", "-"], &format!("address replace {address} dev {bridge}\nlink set dev {bridge} up\n"))?;
    } else {
        // The host has no address here. It must not answer for its other addresses either, nor take packets in.
        set(ipv4.join("arp_ignore"), "8")?;
        set(ipv4.join("rp_filter"), "1")?;
        set(ipv4.join("forwarding"), "0")?;
        run("ip", &["link", "set", "dev", bridge, "up"], "")?;
    }
    Ok(())
}

/// Deletes the bridges and subnets of an infrastructure; missing ones are fine.
pub(super) fn delete(state: &State, infrastructure: &str) -> Result<()> {
    let _lock = state.lock()?;
    for reservation in state.all_networks()?.into_iter().filter(|r| r.infrastructure == infrastructure) {
        remove_interface(&reservation.bridge)?;
        state.forget_network(&reservation.bridge)?;
    }
    Ok(())
}

/// What a card is wanted for.
pub(super) struct Wanted {
    pub reservation: Reservation,
    pub ip: Option<Ipv4Addr>,
    pub openings: Vec<Opening>,
}

/// Gives each card an address that no other node of its network has. The caller holds the state's lock until the
/// addresses are saved.
pub(super) fn assign(others: &[Mark], wanted: Vec<Wanted>) -> Result<Vec<Card>> {
    let mut cards: Vec<Card> = Vec::new();
    for Wanted { reservation, ip, openings } in wanted {
        let used: BTreeSet<Ipv4Addr> = others
            .iter()
            .flat_map(|mark| &mark.cards)
            .chain(&cards)
            .filter(|card| card.bridge == reservation.bridge)
            .map(|card| card.ip)
            .collect();
        let ip = subnet::address(reservation.cidr, ip, &used)?;
        cards.push(Card {
            network: (!reservation.network.is_empty()).then(|| reservation.network.clone()),
            bridge: reservation.bridge,
            ip,
            cidr: reservation.cidr,
            public: reservation.public,
            openings,
        });
    }
    Ok(cards)
}

/// Commands for ip(8) inside a node: its cards, the other end of each cable in the namespace of process `host`.
pub(super) fn inside(uid: &str, cards: &[Card], host: u32) -> String {
    let mut batch = "link set dev lo up\n".to_owned();
    for (index, card) in cards.iter().enumerate() {
        let [a, b, c, d] = card.ip.octets();
        // A hardware address that follows from the address: a node that comes back is known to its neighbours.
        let mac = format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        let cable = cable(uid, index);
        batch += &format!("link add name eth{index} address {mac} type veth peer name {cable} netns {host}\n");
        batch += &format!("address add {}/{} dev eth{index}\n", card.ip, card.cidr.prefix());
        batch += &format!("link set dev eth{index} up\n");
    }
    batch
}

/// Commands for ip(8) on the host: the cables go to their bridges.
pub(super) fn outside(uid: &str, cards: &[Card]) -> String {
    cards
        .iter()
        .enumerate()
        .map(|(index, card)| format!("link set dev {} master {} up\n", cable(uid, index), card.bridge))
        .collect()
}

/// The packet filter of a node; none when it has no public card.
pub(super) fn filter(cards: &[Card]) -> Option<String> {
    let devices: Vec<String> = (0..cards.len()).map(|index| format!("eth{index}")).collect();
    let filtered: Vec<_> = cards
        .iter()
        .zip(&devices)
        .filter(|(card, _)| card.public)
        .map(|(card, device)| outports::Filtered {
            device,
            network: card.cidr,
            gateway: subnet::gateway(card.cidr),
            openings: &card.openings,
        })
        .collect();
    (!filtered.is_empty()).then(|| outports::ruleset(&filtered))
}
