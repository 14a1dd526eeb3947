//! Networks as bridges in the host's network namespace: subnets, addresses, isolation.

use super::{
    mark::{Card, Mark, Reservation, State},
    outports::{self, Opening},
    subnet,
    tool::{During, Result, run},
};
use crate::{
    contract::InfrastructureIntent,
    error::{ConnectorError, ErrorClass},
    settings::LocalSettings,
};
use ipnetwork::{IpNetwork, Ipv4Network};
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

/// The networks of the cloud.
pub(super) struct Networks<'a> {
    pub state: &'a State,
    pub settings: &'a LocalSettings,
    /// Whether nft works on this host.
    pub filter: bool,
}

impl Networks<'_> {
    /// The network of an infrastructure with its bridge: the one that it has, that of another infrastructure of its
    /// owners which `provider_id` names, or a new one. `None` is the public network of machines that name none.
    pub fn ensure(&self, network: Option<&Network>, of: &InfrastructureIntent) -> Result<Reservation> {
        let InfrastructureIntent { infrastructure, owners, .. } = of;
        let wanted = Wish::new(infrastructure, network)?;
        let _lock = self.state.lock()?;
        let known = match self.state.network(&wanted.bridge)? {
            Some(own) => Some(own),
            None => self.named(&wanted, infrastructure, owners)?,
        };
        let mut reservation = match &known {
            Some(known) => known.clone(),
            None => self.new_one(wanted, of)?,
        };
        if reservation.infrastructure == *infrastructure {
            reservation.owners.extend(owners.iter().cloned());
        } else {
            reservation.guests.insert(infrastructure.clone());
        }
        if known.as_ref() != Some(&reservation) {
            self.state.save_network(&reservation)?;
        }
        self.make_bridge(&reservation)?;
        Ok(reservation)
    }

    /// The network that a document names, when this infrastructure may use it.
    fn named(&self, wanted: &Wish<'_>, infrastructure: &str, owners: &[String]) -> Result<Option<Reservation>> {
        let Some(name) = wanted.provider_id else { return Ok(None) };
        let is_open = |found: &Reservation| {
            found.is_of(infrastructure) || owners.iter().any(|owner| found.owners.contains(owner))
        };
        let Some(found) = self.state.network(name)?.filter(is_open) else { return Ok(None) };
        let refuse = |why: String| Err(ConnectorError::new(ErrorClass::Invalid, why));
        let id = wanted.id;
        if found.public != wanted.public {
            let kind = if found.public { "public" } else { "private" };
            return refuse(format!("Network {id}: provider_id '{name}' is a {kind} network (outbound says otherwise)"));
        }
        let place = |cidr: Ipv4Network| (cidr.network(), cidr.prefix());
        let other = |cidr: &&str| cidr.parse().is_ok_and(|cidr| place(cidr) != place(found.cidr));
        if let Some(cidr) = wanted.cidr.filter(other) {
            return refuse(format!("Network {id}: cidr '{cidr}' is not that of provider_id '{name}', {}", found.cidr));
        }
        Ok(Some(found))
    }

    fn new_one(&self, wanted: Wish<'_>, of: &InfrastructureIntent) -> Result<Reservation> {
        let Wish { id, public, bridge, provider_id, cidr } = wanted;
        let networks = self.state.all_networks()?;
        let mut used: Vec<Ipv4Network> = networks.iter().map(|network| network.cidr).collect();
        used.extend(subnet::routes(&fs::read_to_string("/proc/net/route").during("reading the routing table")?));
        used.extend(of.used_cidrs.iter().filter_map(|cidr| match cidr {
            IpNetwork::V4(cidr) => Some(*cidr),
            IpNetwork::V6(_) => None,
        }));
        let demand = cidr.map(|cidr| (cidr, subnet::from_pattern(cidr, &used)));
        // Chosen here for a network, and come again with its document.
        let is_ours = |cidr: &str| {
            let same = |network: &&Reservation| cidr.parse() == Ok(network.cidr);
            provider_id.is_some() || networks.iter().find(same).is_some_and(|network| !network.demanded)
        };
        let (cidr, demanded) = match demand {
            Some((pattern, Ok(cidr))) => (cidr, provider_id.is_none() && !pattern.contains('*')),
            Some((pattern, Err(refusal))) if !is_ours(pattern) => return Err(refusal),
            _ => (self.free(public, &used)?, false),
        };
        let (infrastructure, network) = (of.infrastructure.clone(), id.to_owned());
        let (owners, guests) = (BTreeSet::new(), BTreeSet::new());
        let database = Some(self.settings.database.clone());
        Ok(Reservation { infrastructure, network, bridge, cidr, public, demanded, owners, guests, database })
    }

    fn free(&self, public: bool, used: &[Ipv4Network]) -> Result<Ipv4Network> {
        let pool = if public { self.settings.public_pool } else { self.settings.private_pool };
        subnet::pick(pool, used).ok_or_else(|| {
            ConnectorError::new(ErrorClass::Capacity, format!("No free subnet is left in the pool {pool}"))
        })
    }

    /// Makes the bridge of a network; the caller holds the state's lock.
    pub fn make_bridge(&self, Reservation { bridge, cidr, public, .. }: &Reservation) -> Result<()> {
        // Coming up is its last step.
        if is_up(bridge) {
            return Ok(());
        }
        if !exists(bridge) {
            run("ip", &["link", "add", "name", bridge, "type", "bridge"], "")?;
        }
        let set =
            |path: PathBuf, value: &str| fs::write(&path, value).during(format_args!("writing {}", path.display()));
        let ipv4 = Path::new("/proc/sys/net/ipv4/conf").join(bridge);
        let ipv6 = Path::new("/proc/sys/net/ipv6/conf").join(bridge);
        if ipv6.exists() {
            set(ipv6.join("disable_ipv6"), "1")?;
        }
        if !public {
            // The host has no address here. It must not answer for its other addresses either, nor take packets in.
            set(ipv4.join("arp_ignore"), "8")?;
            set(ipv4.join("rp_filter"), "1")?;
            set(ipv4.join("forwarding"), "0")?;
            // Nor may it look for these addresses elsewhere; the route also tells other daemons that they are taken.
            return run(
                "ip",
                &["-batch", "-"],
                &format!("route replace unreachable {cidr}\nlink set dev {bridge} up\n"),
            )
            .map(drop);
        }
        if self.filter {
            run("nft", &["-f", "-"], &forwarding(bridge))?;
        }
        // Without the filter nothing would keep a node from being routed out of the host.
        set(ipv4.join("forwarding"), if self.filter { "1" } else { "0" })?;
        let address = format!("{}/{}", subnet::gateway(*cidr), cidr.prefix());
        run("ip", &["-batch", "-"], &format!("address replace {address} dev {bridge}\nlink set dev {bridge} up\n"))
            .map(drop)
    }

    /// Deletes the bridges and subnets of an infrastructure, but for those that others use; missing ones are fine.
    pub fn delete(&self, infrastructure: &str) -> Result<()> {
        let _lock = self.state.lock()?;
        for mut reservation in self.state.all_networks()?.into_iter().filter(|network| network.is_of(infrastructure)) {
            if reservation.leave(infrastructure) {
                self.state.save_network(&reservation)?;
                continue;
            }
            remove_interface(&reservation.bridge)?;
            if !reservation.public {
                let route = ["route", "flush", "type", "unreachable", "exact", &reservation.cidr.to_string()];
                run("ip", &route, "")?;
            } else if self.filter {
                run("nft", &["-f", "-"], &no_table(&reservation.bridge))?;
            }
            self.state.forget_network(&reservation.bridge)?;
        }
        Ok(())
    }
}

/// What a document says of a network.
struct Wish<'a> {
    id: &'a str,
    public: bool,
    /// The bridge that is the infrastructure's own for it.
    bridge: String,
    /// A network of this cloud that was, or is, another infrastructure's.
    provider_id: Option<&'a str>,
    cidr: Option<&'a str>,
}

impl<'a> Wish<'a> {
    fn new(infrastructure: &str, network: Option<&'a Network>) -> Result<Self> {
        let text = |name| network.and_then(|network| network.features.text(name));
        let (id, public) = (network.map_or("", |network| network.id.as_str()), network.is_none_or(Network::is_public));
        let bridge = interface_name(if public { PUBLIC } else { PRIVATE }, &[infrastructure, id]);
        let provider_id = text("provider_id").filter(|name| *name != bridge);
        if let Some(name) = provider_id.filter(|name| !is_bridge(name)) {
            let text = format!("Network {id}: provider_id '{name}' is no network of the local cloud");
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
        Ok(Self { id, public, bridge, provider_id, cidr: text("cidr") })
    }
}

/// Whether it is the name of a bridge as they are made here.
fn is_bridge(name: &str) -> bool {
    let number = name.strip_prefix(PUBLIC).or_else(|| name.strip_prefix(PRIVATE));
    number.is_some_and(|number| number.len() == 12 && number.bytes().all(|b| b"0123456789abcdef".contains(&b)))
}

/// Rules for nft(8) on the host: public networks reach each other through it, and nothing else.
fn forwarding(bridge: &str) -> String {
    let others = format!("!= \"{PUBLIC}*\"");
    format!(
        "{}table inet imd_{bridge} {{\n  chain forward {{\n    type filter hook forward priority 0; policy accept;\n    \
         iifname \"{bridge}\" oifname {others} reject\n    oifname \"{bridge}\" iifname {others} reject\n  }}\n}}\n",
        no_table(bridge)
    )
}

/// Deletes a table that may be missing.
fn no_table(bridge: &str) -> String {
    format!("add table inet imd_{bridge}\ndelete table inet imd_{bridge}\n")
}

/// A name for a network interface of the host: 15 characters, the most that Linux takes.
fn interface_name(prefix: &str, parts: &[&str]) -> String {
    let digest = sha256(parts.join("\0").as_bytes());
    format!("{prefix}{}", &hex::encode(digest)[..15 - prefix.len()])
}

/// The host's end of the cable of card `index` of a node.
pub(super) fn cable(uid: &str, index: usize) -> String {
    interface_name("imv", &[uid, &index.to_string()])
}

fn exists(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).exists()
}

fn is_up(interface: &str) -> bool {
    const IFF_UP: u32 = 1;
    let flags = fs::read_to_string(Path::new("/sys/class/net").join(interface).join("flags")).unwrap_or_default();
    u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & IFF_UP != 0)
}

/// Removes a network interface of the host; a missing one is fine.
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

/// What a card is wanted for.
pub(super) struct Wanted {
    /// RADL network; none for the network of machines that name none.
    pub network: Option<String>,
    pub reservation: Reservation,
    pub ip: Option<Ipv4Addr>,
    pub openings: Vec<Opening>,
}

/// Gives each card an address that no other node of its network has. The caller holds the state's lock until the
/// addresses are saved.
pub(super) fn assign(others: &[Mark], wanted: Vec<Wanted>) -> Result<Vec<Card>> {
    let mut cards: Vec<Card> = Vec::new();
    for Wanted { network, reservation, ip, openings } in wanted {
        let used: BTreeSet<Ipv4Addr> = others
            .iter()
            .flat_map(|mark| &mark.cards)
            .chain(&cards)
            .filter(|card| card.bridge == reservation.bridge)
            .map(|card| card.ip)
            .collect();
        let ip = subnet::address(reservation.cidr, ip, &used)?;
        cards.push(Card {
            network,
            bridge: reservation.bridge,
            ip,
            cidr: reservation.cidr,
            public: reservation.public,
            openings,
        });
    }
    Ok(cards)
}

/// Commands for ip(8) inside a node: its cards, the other end of each cable in the namespace of process `host`, and the
/// way to the other public networks. There is no way out.
pub(super) fn inside(uid: &str, cards: &[Card], host: u32, pool: Ipv4Network) -> String {
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
    if let Some(card) = cards.iter().find(|card| card.public)
        && card.cidr != pool
    {
        batch += &format!("route add {pool} via {}\n", subnet::gateway(card.cidr));
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
