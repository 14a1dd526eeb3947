//! RADL to what a node is made of, and back: pure functions.

use super::{
    disks, image,
    mark::{Card, DataDisk, Mark},
    outports::{self, Opening},
    tool::Result,
};
use crate::{
    account::CloudAccount,
    candidate::{self, IMAGE_URL, USERNAME},
    contract::{Address, DiskSource, NewDisk, ProviderId, Resize, VmIntent, VmMark},
    error::{ConnectorError, ErrorClass},
};
use radl::{Features, Network, System};
use std::net::{IpAddr, Ipv4Addr};

/// Login user of machines that name none.
const DEFAULT_USER: &str = "cloudadm";

/// The sizes and disks that a system asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sizes {
    pub cpu_count: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    pub disks: Vec<DataDisk>,
}

/// One concrete system per image URL that is ours; the system itself when it names no image.
///
/// # Errors
/// What no node of this host can be.
pub(super) fn candidates(
    system: &System,
    account: &CloudAccount,
    has_image: impl Fn(&str) -> bool,
) -> Result<Vec<System>> {
    let features = &system.features;
    let arch = std::env::consts::ARCH;
    let refused = |text: String| Err(ConnectorError::new(ErrorClass::Invalid, text));
    if features.text("disk.0.os.name").is_some_and(|name| !name.eq_ignore_ascii_case("linux")) {
        return refused("Nodes of this host run Linux, and disk.0.os.name is another system".to_owned());
    }
    if features.number("gpu.count", "").is_some_and(|count| count > 0.0) {
        return refused("Nodes of this host have no GPU, and gpu.count asks for one".to_owned());
    }
    if features.text("cpu.arch").is_some_and(|wanted| !wanted.eq_ignore_ascii_case(arch)) {
        return refused(format!("Nodes of this host are {arch}, and cpu.arch is another one"));
    }
    let mut system = system.clone();
    if let Some(count) = features.number("cpu.count", "") {
        system.features.set_number("cpu.count", amount(count), "");
    }
    if let Some(size) = features.number("memory.size", "M") {
        system.features.set_number("memory.size", amount(size), "M");
    }
    candidate::set_default_user(&mut system.features, DEFAULT_USER);
    let is_ours = |url: &str| image::name(url).is_some_and(|name| name == image::HOST || has_image(name));
    Ok(candidate::per_image(&system, account, is_ours))
}

fn amount(number: f64) -> radl::Amount {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}

/// The login user of a system.
pub(super) fn user(system: &System) -> &str {
    system.features.text(USERNAME).unwrap_or(DEFAULT_USER)
}

/// The image a system is made of; none for the host's root.
pub(super) fn image_name(system: &System) -> Result<Option<String>> {
    let Some(url) = system.features.text(IMAGE_URL) else { return Ok(None) };
    match image::name(url) {
        Some(image::HOST) => Ok(None),
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(ConnectorError::new(ErrorClass::Invalid, format!("'{url}' is no image of the local cloud"))),
    }
}

/// The sizes of a system, and its data disks from 1 up to the first number without a size.
pub(super) fn sizes(system: &System) -> Result<Sizes> {
    let features = &system.features;
    let mut disks = Vec::new();
    for index in 1.. {
        if features.has(&format!("disk.{index}.image.url")) {
            return Err(ConnectorError::new(ErrorClass::Invalid, no_image(index)));
        }
        let Some(size) = features.number(&format!("disk.{index}.size"), "") else { break };
        disks.push(data_disk(index, size as u64)?);
    }
    let memory = features.number("memory.size", "").map(|bytes| bytes as u64);
    Ok(Sizes { cpu_count: features.number("cpu.count", ""), memory, disks })
}

fn data_disk(index: usize, size: u64) -> Result<DataDisk> {
    if size == 0 {
        return Err(ConnectorError::new(ErrorClass::Invalid, format!("disk.{index}.size must be more than 0")));
    }
    Ok(DataDisk { index, size, device: disks::device_name(index)? })
}

/// The mark with all that is asked for; disks it already has stay as they are.
pub(super) fn resized(mark: &Mark, resize: &Resize) -> Result<Mark> {
    let refuse = |class, text: String| Err(ConnectorError::new(class, text));
    let lacks = |property: &str| format!("{property}: nodes of the local cloud have none");
    if resize.gpu_count.is_some_and(|count| count > 0.0) {
        return refuse(ErrorClass::Unsupported, lacks("gpu.count"));
    }
    if resize.instance_type.is_some() {
        return refuse(ErrorClass::Unsupported, lacks("instance_type"));
    }
    let mut mark = mark.clone();
    mark.cpu_count = resize.cpu_count.or(mark.cpu_count);
    mark.memory = resize.memory.or(mark.memory);
    if resize.public_address.is_some() {
        let text = "nodes of the local cloud keep the networks that they are made on: net_interface cannot be changed";
        return refuse(ErrorClass::Unsupported, text.to_owned());
    }
    for NewDisk { index, size, source, disk_type, device } in &resize.disks {
        match source {
            DiskSource::Empty => {}
            DiskSource::Image(_) => return refuse(ErrorClass::Invalid, no_image(*index)),
            DiskSource::Volume(_) => {
                let text = format!("disk.{index}.image.url: the local cloud has no volumes besides those of its nodes");
                return refuse(ErrorClass::Invalid, text);
            }
        }
        if let Some(name) = disk_type {
            return refuse(
                ErrorClass::Invalid,
                format!("disk.{index}.type: the local cloud has no kind '{name}' of disks"),
            );
        }
        let wanted = data_disk(*index, size.unwrap_or(0))?;
        let name = |device: &str| device.strip_prefix("/dev/").unwrap_or(device).to_owned();
        if let Some(device) = device.as_deref().map(name).filter(|device| *device != wanted.device) {
            let text = format!("disk.{index}.device: the disk is at {}, not at {device}", wanted.device);
            return refuse(ErrorClass::Invalid, text);
        }
        match mark.disks.iter().find(|disk| disk.index == *index) {
            Some(disk) if *disk == wanted => {}
            Some(DataDisk { size, .. }) => {
                let text =
                    format!("disk.{index}.size: the disk is there and has {size} bytes, which cannot be changed");
                return refuse(ErrorClass::Invalid, text);
            }
            None => mark.disks.push(wanted),
        }
    }
    Ok(mark)
}

fn no_image(index: usize) -> String {
    format!("disk.{index}.image.url: data disks from images are not offered by the local cloud")
}

/// A card that a system asks for: its network (none: the default one), fixed address and openings.
#[derive(Debug, PartialEq)]
pub(super) struct CardIntent<'a> {
    pub network: Option<&'a Network>,
    pub ip: Option<Ipv4Addr>,
    pub openings: Vec<Opening>,
}

/// The cards of a machine; one on the default network when it names none.
pub(super) fn cards(intent: &VmIntent) -> Result<Vec<CardIntent<'_>>> {
    let invalid = |text: String| ConnectorError::new(ErrorClass::Invalid, text);
    let mut cards = Vec::new();
    for interface in intent.system.interfaces() {
        let id = interface.connection;
        let network = intent.networks.iter().find(|network| network.id == id);
        let network =
            network.ok_or_else(|| invalid(format!("net_interface.{}: no network '{id}'", interface.index)))?;
        let ip = interface.ip.map(|ip| {
            ip.parse().map_err(|_| invalid(format!("net_interface.{}.ip '{ip}' is no IPv4 address", interface.index)))
        });
        cards.push(CardIntent { network: Some(network), ip: ip.transpose()?, openings: openings(network)? });
    }
    if cards.is_empty() {
        cards.push(CardIntent { network: None, ip: None, openings: vec![Opening::ssh()] });
    }
    Ok(cards)
}

/// What a network opens to the outside: its `outports`, and secure shell always.
fn openings(network: &Network) -> Result<Vec<Opening>> {
    let mut openings = vec![Opening::ssh()];
    if let Some(rules) = network.features.text("outports") {
        openings.extend(outports::parse(rules)?);
    }
    Ok(openings)
}

/// A node has our id as its own, and all that belongs to it is in its folder.
pub(super) fn id_of(vm: &VmMark) -> ProviderId {
    vm.id.clone().unwrap_or_else(|| ProviderId(vm.uid.0.clone()))
}

/// The addresses of a node.
pub(super) fn addresses(cards: &[Card]) -> Vec<Address> {
    let address = |card: &Card| Address { ip: IpAddr::V4(card.ip), public: card.public, network: card.network.clone() };
    cards.iter().map(address).collect()
}

/// What a machine's system learns from its mark.
pub(super) fn features(mark: &Mark) -> Features {
    let mut features = Features::new();
    features.set_text("instance_id", &mark.uid.0);
    features.set_text(USERNAME, &mark.user);
    if let Some(count) = mark.cpu_count {
        features.set_number("cpu.count", amount(count), "");
    }
    if let Some(memory) = mark.memory {
        features.set_number("memory.size", amount(memory as f64 / 1e6), "M");
    }
    for disk in &mark.disks {
        features.set_text(&format!("disk.{}.device", disk.index), &disk.device);
    }
    features
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{account::Endpoint, contract::VmUid};
    use radl::Value;

    #[test]
    fn only_what_fits_is_a_candidate() {
        let account = CloudAccount {
            id: "l".to_owned(),
            kind: "Local".to_owned(),
            endpoint: Endpoint { server: "here".to_owned(), ..Endpoint::default() },
            fields: indexmap::IndexMap::new(),
        };
        let urls = ["one://cloud/1", "local://known", "local://unknown", "local://host"].map(str::to_owned).to_vec();
        let mut system = System::default();
        system.features.set("disk.0.image.url", Value::List { items: urls, line: 0 });
        let chosen = |system: &System| candidates(system, &account, |name| name == "known");
        let found = chosen(&system).unwrap();
        let urls: Vec<_> = found.iter().map(|s| s.features.text("disk.0.image.url").unwrap()).collect();
        assert_eq!(urls, ["local://known", "local://host"]);
        assert_eq!(found[0].features.text(USERNAME), Some(DEFAULT_USER));
        assert_eq!(found[0].features.text("provider.host"), Some("here"));
        let others = [("cpu.arch", "arm64"), ("disk.0.os.name", "windows")].map(|(name, other)| {
            let mut system = system.clone();
            system.features.set_text(name, other);
            (name, system)
        });
        let mut gpu = system.clone();
        gpu.features.set_number("gpu.count", 1, "");
        for (name, system) in others.iter().map(|(name, system)| (*name, system)).chain([("gpu.count", &gpu)]) {
            let error = chosen(system).unwrap_err();
            assert!(error.class == ErrorClass::Invalid && error.message.contains(name), "{error}");
        }
        assert_eq!(chosen(&System::default()).unwrap().len(), 1, "no image named: the system itself");
    }

    #[test]
    fn cards_follow_the_interfaces() {
        let mut intent = VmIntent {
            infrastructure: "i".to_owned(),
            uid: VmUid("u".to_owned()),
            number: 0,
            fqdn: "a.b".to_owned(),
            location: Default::default(),
            system: System::default(),
            requested: System::default(),
            networks: vec![Network { id: "n".to_owned(), ..Network::default() }],
            tags: Vec::new(),
            user_data: Default::default(),
        };
        let default = cards(&intent).unwrap();
        assert_eq!((default.len(), default[0].network), (1, None));
        intent.system.features.set_text("net_interface.0.connection", "n");
        intent.system.features.set_text("net_interface.0.ip", "10.0.0.9");
        let own = cards(&intent).unwrap();
        assert_eq!(own[0].ip, Some(Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!(own[0].openings, [Opening::ssh()]);
        intent.system.features.set_text("net_interface.0.ip", "10.0.0.x");
        assert_eq!(cards(&intent).unwrap_err().class, ErrorClass::Invalid);
        intent.system.features.set_text("net_interface.0.connection", "unknown");
        assert_eq!(cards(&intent).unwrap_err().class, ErrorClass::Invalid);
    }
}
