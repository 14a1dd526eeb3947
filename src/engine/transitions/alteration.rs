//! What a document asks of a machine that exists: pure. All of it is made, or the first property that cannot be is named.

use crate::engine::state::model::Vm;
use connectors::{DiskSource, NewDisk, PublicAddress, Resize};
use radl::{Features, Network, Radl, System, Value};
use std::collections::BTreeMap;

/// What is asked of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alteration {
    /// What its cloud is to do.
    pub resize: Resize,
    /// What its document says of its disks and its new interface from then on: the next contextualization makes file systems
    /// by it.
    pub features: Features,
    /// The interface that its document has no more then.
    pub dropped_interface: Option<usize>,
}

/// What the cloud shows of a machine and nobody asks for.
const SHOWN: &str = "state";

/// What may be said later of a disk that is there.
const OF_CONTENTS: [&str; 2] = ["fstype", "mount_path"];

/// What the system and the networks of a document ask of the machine; its other sentences are about other things. What the
/// machine has already, or was asked for, is no change.
///
/// # Errors
/// The property that cannot be had, and why.
pub fn alteration(wanted: &System, document: &Radl, vm: &Vm, stored: &Radl) -> Result<Alteration, String> {
    check_networks(document, vm, stored)?;
    let of = |radl: &'_ Radl| radl.systems.first().map(|system| system.features.clone());
    let (has, asked) = (of(&vm.info).unwrap_or_default(), of(&vm.requested).unwrap_or_default());
    let address = address(wanted, document, vm);
    let wanted = &wanted.features;
    let is_known = |name: &str| is_as(wanted, &has, name) || is_as(wanted, &asked, name);
    let mut change = Alteration::default();
    let mut disks: BTreeMap<usize, NewDisk> = BTreeMap::new();
    for (name, value) in wanted.iter() {
        match (name, disk_property(name)) {
            (SHOWN, _) => {}
            ("cpu.count", _) => change.resize.cpu_count = Some(above_zero(wanted, name)?),
            ("memory.size", _) => change.resize.memory = Some(above_zero(wanted, name)? as u64),
            ("gpu.count", _) if !is_known(name) => change.resize.gpu_count = Some(number(wanted, name)?),
            ("instance_type", _) if !is_known(name) => {
                let text = wanted.text(name).ok_or_else(|| format!("{name}: a text is expected"))?;
                change.resize.instance_type = Some(text.to_owned());
            }
            (_, Some((index, _))) if !is_disk(&has, index) => {
                disks.entry(index).or_insert(NewDisk { index, ..NewDisk::default() });
                change.features.set(name, value.clone());
            }
            (_, Some((_, property))) if OF_CONTENTS.contains(&property) && !has.has(name) => {
                change.features.set(name, value.clone());
            }
            _ if address.as_ref().is_some_and(|address| address.is_about(name)) => {
                if matches!(address, Some(Address::New { .. })) {
                    change.features.set(name, value.clone());
                }
            }
            _ if is_known(name) => {}
            (_, Some((_, "size"))) => {
                let size = has.integer(name, "").unwrap_or_default();
                return Err(format!("{name}: the disk is there and has {size} bytes, which cannot be changed"));
            }
            _ => {
                return Err(format!(
                    "{name} cannot be changed while the machine exists. What can be: cpu.count, memory.size, gpu.count, \
                     instance_type, new data disks, and whether it has a public address"
                ));
            }
        }
    }
    let first = (1..).find(|index| !is_disk(&has, *index)).unwrap_or(1);
    for ((index, mut disk), next) in disks.into_iter().zip(first..) {
        if index != next {
            return Err(format!("disk.{index}: the next data disk of the machine is disk.{next}"));
        }
        let size = format!("disk.{index}.size");
        let text = |property: &str| wanted.text(&format!("disk.{index}.{property}")).map(str::to_owned);
        disk.source = text("image.url").map(|url| DiskSource::of(&url)).unwrap_or_default();
        (disk.disk_type, disk.device) = (text("type"), text("device"));
        disk.size = match wanted.has(&size) {
            true => Some(above_zero(wanted, &size)? as u64),
            false if disk.source != DiskSource::Empty => None,
            false => return Err(format!("disk.{index}: a new data disk needs a size ({size})")),
        };
        change.resize.disks.push(disk);
    }
    match address {
        Some(Address::New { network, pool, .. }) => {
            change.resize.public_address = Some(PublicAddress::Add { network, pool });
        }
        Some(Address::Gone(index)) => {
            change.resize.public_address = Some(PublicAddress::Remove);
            change.dropped_interface = Some(index);
        }
        None => {}
    }
    Ok(change)
}

/// What a document asks for the public address of a machine.
enum Address {
    /// A new interface, the next one, is on a public network, and the machine has none there.
    New { prefix: String, network: String, pool: Option<String> },
    /// The interfaces of the document are those of the machine without this one, the only public one.
    Gone(usize),
}

impl Address {
    /// Whether a name of the document says what this is about.
    fn is_about(&self, name: &str) -> bool {
        match self {
            Self::New { prefix, .. } => name.starts_with(prefix),
            Self::Gone(_) => name.starts_with("net_interface."),
        }
    }
}

fn address(wanted: &System, document: &Radl, vm: &Vm) -> Option<Address> {
    let has = vm.info.systems.first()?;
    let is_public = |id: &str| vm.info.network(id).or_else(|| document.network(id)).is_some_and(Network::is_public);
    let connections: Vec<&str> = has.interfaces().map(|interface| interface.connection).collect();
    let public: Vec<usize> = (0..connections.len()).filter(|index| is_public(connections[*index])).collect();
    let next = connections.len();
    let prefix = format!("net_interface.{next}.");
    if let Some(network) = wanted.features.text(&format!("{prefix}connection")) {
        // Its network must be one of the infrastructure's: nobody makes networks for a machine that exists.
        let known = vm.info.network(network).filter(|network| network.is_public() && public.is_empty())?;
        let pool = known.features.text("provider_id").map(str::to_owned);
        return Some(Address::New { prefix, network: network.to_owned(), pool });
    }
    let &[dropped] = &public[..] else { return None };
    let kept = connections.iter().enumerate().filter(|(index, _)| *index != dropped).map(|(_, connection)| *connection);
    let listed: Vec<&str> = wanted.interfaces().map(|interface| interface.connection).collect();
    (!listed.is_empty() && kept.eq(listed)).then_some(Address::Gone(dropped))
}

/// Number and property of a data disk that a name is about, the number spelled as it is.
fn disk_property(name: &str) -> Option<(usize, &str)> {
    let (index, property) = name.strip_prefix("disk.")?.split_once('.')?;
    let number: usize = index.parse().ok()?;
    (number > 0 && number.to_string() == index).then_some((number, property))
}

fn is_disk(features: &Features, index: usize) -> bool {
    ["size", "image.url"].iter().any(|property| features.has(&format!("disk.{index}.{property}")))
}

/// Whether what is wanted under a name is what is known there.
fn is_as(wanted: &Features, known: &Features, name: &str) -> bool {
    match wanted.get(name) {
        Some(Value::Number { .. }) => known.amount(name, None).is_some_and(|amount| wanted.admits(name, amount, "")),
        _ => wanted.value_json(name) == known.value_json(name),
    }
}

fn number(wanted: &Features, name: &str) -> Result<f64, String> {
    wanted.number(name, "").filter(|number| *number >= 0.0).ok_or_else(|| format!("{name}: a number is expected"))
}

fn above_zero(wanted: &Features, name: &str) -> Result<f64, String> {
    number(wanted, name)
        .ok()
        .filter(|number| *number > 0.0)
        .ok_or_else(|| format!("{name}: a number above 0 is expected"))
}

/// Networks stay as they are: a document that says something else of one asks for what cannot be had.
fn check_networks(document: &Radl, vm: &Vm, stored: &Radl) -> Result<(), String> {
    for network in &document.networks {
        let id = &network.id;
        let known: Vec<_> =
            [&*vm.info, &*vm.requested, stored].into_iter().filter_map(|radl| radl.network(id)).collect();
        if known.is_empty() {
            continue;
        }
        for (name, _) in network.features.iter() {
            if !known.iter().any(|known| is_as(&network.features, &known.features, name)) {
                return Err(format!("{name} of network {id} cannot be changed while machines use it"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::state::model::{CloudRef, Prototype};
    use connectors::{Endpoint, Location, VmUid};
    use std::sync::Arc;

    const ASKED: &str = "network net ( outbound = 'yes' )\nsystem node (\ncpu.count >= 1 and\nmemory.size >= 512M and\n\
                         disk.0.os.name = 'linux' and\nnet_interface.0.connection = 'net' and\n\
                         net_interface.0.dns_name = 'node-#N#' and\ndisk.1.size = 1G and\ndisk.1.device = 'hdb'\n)";

    /// A machine of [`ASKED`] with `more` features, as its cloud shows it.
    fn vm(more: &str) -> Vm {
        let info = ASKED.replace("node-#N#", "node-0").replace(">=", "=").replace("'hdb'\n", &format!("'vdb'{more}\n"));
        let (id, kind) = ("c".to_owned(), "C".to_owned());
        let cloud = CloudRef { id, kind, endpoint: Endpoint::default(), account: None, location: Location::default() };
        let document = |text: &str| Arc::new(Radl::parse(text).unwrap());
        let documents = Prototype { info: document(&info), requested: document(ASKED) };
        Vm::planned(0, VmUid("uid".to_owned()), Arc::new(cloud), documents, 0)
    }

    fn of(document: &str, vm: &Vm) -> Result<Alteration, String> {
        let document = Radl::parse(document).unwrap();
        alteration(&document.systems[0], &document, vm, &Radl::default())
    }

    fn asked(features: &str) -> Result<Alteration, String> {
        of(&format!("system node ( {features} )"), &vm(""))
    }

    #[test]
    fn what_can_be_had_is_asked_for() {
        let change =
            asked("cpu.count = 0.5 and memory.size = 1.5G and gpu.count = 1 and instance_type = 'big'").unwrap();
        let (cpu_count, memory, gpu_count) = (Some(0.5), Some(1_500_000_000), Some(1.0));
        let instance_type = Some("big".to_owned());
        assert_eq!(change.resize, Resize { cpu_count, memory, gpu_count, instance_type, ..Resize::default() });
        let disk = |index, size| NewDisk { index, size, ..NewDisk::default() };
        let more = "disk.3.size = 2G and disk.2.size = 1.5G and disk.2.fstype = 'ext4' and disk.2.mount_path = '/data'";
        let change = asked(more).unwrap();
        assert_eq!(change.resize.disks, [disk(2, Some(1_500_000_000)), disk(3, Some(2_000_000_000))]);
        let [fstype, path] = ["disk.2.fstype", "disk.2.mount_path"].map(|name| change.features.text(name));
        assert_eq!((fstype, path), (Some("ext4"), Some("/data")));
        // The next one counts from what the machine has by now.
        let grown = vm(" and disk.2.size = 1G");
        assert_eq!(
            of("system node ( disk.3.size = 1G )", &grown).unwrap().resize.disks,
            [disk(3, Some(1_000_000_000))]
        );
        for (url, source) in [
            ("one://cloud/1", DiskSource::Image as fn(String) -> DiskSource),
            ("ost://cloud/volume/1", DiskSource::Volume),
            ("aws://region/vol-1", DiskSource::Volume),
        ] {
            let more = format!("disk.2.image.url = '{url}' and disk.2.type = 'fast' and disk.2.device = 'vdx'");
            let asked = asked(&more).unwrap().resize.disks.remove(0);
            let (disk_type, device) = (Some("fast".to_owned()), Some("vdx".to_owned()));
            assert_eq!(asked, NewDisk { source: source(url.to_owned()), disk_type, device, ..disk(2, None) });
        }
        // A disk that has no file system yet may get one.
        let change = asked("disk.1.fstype = 'ext4' and disk.1.mount_path = '/data'").unwrap();
        assert_eq!((change.resize, change.features.text("disk.1.mount_path")), (Resize::default(), Some("/data")));
    }

    #[test]
    fn a_public_address_comes_and_goes() {
        let document = "network pub ( outbound = 'yes' and provider_id = 'pool' )\nnetwork a ()\nnetwork b ()\n";
        let machine = |connections: &[&str]| {
            let interfaces: Vec<String> = (0..)
                .zip(connections)
                .map(|(index, id)| {
                    format!("net_interface.{index}.connection = '{id}' and net_interface.{index}.ip = '10.0.0.{index}'")
                })
                .collect();
            let mut vm = vm("");
            vm.info = Arc::new(Radl::parse(&format!("{document}system node ({})", interfaces.join(" and "))).unwrap());
            vm.requested = vm.info.clone();
            vm
        };
        let asked = |features: &str, vm: &Vm| of(&format!("system node ( {features} )"), vm);
        let private = machine(&["a"]);
        let change =
            asked("net_interface.1.connection = 'pub' and net_interface.1.dns_name = 'front'", &private).unwrap();
        let pool = Some("pool".to_owned());
        assert_eq!(change.resize.public_address, Some(PublicAddress::Add { network: "pub".to_owned(), pool }));
        assert_eq!(change.features.text("net_interface.1.dns_name"), Some("front"));
        for wrong in ["net_interface.1.connection = 'b'", "net_interface.2.connection = 'pub'"] {
            assert!(asked(wrong, &private).is_err(), "{wrong}");
        }

        let both = machine(&["a", "pub", "b"]);
        assert!(asked("net_interface.3.connection = 'pub'", &both).is_err(), "it has one");
        let without = "net_interface.0.connection = 'a' and net_interface.1.connection = 'b'";
        let change = asked(without, &both).unwrap();
        let gone = (change.resize.public_address, change.dropped_interface);
        assert_eq!(gone, (Some(PublicAddress::Remove), Some(1)));
        let same = asked(&format!("net_interface.0.connection = 'a' and {}", "cpu.count = 2"), &both).unwrap();
        assert_eq!((same.resize.public_address, same.dropped_interface), (None, None));
    }

    #[test]
    fn what_is_so_already_is_no_change() {
        let change = of(ASKED, &vm("")).unwrap();
        assert_eq!((change.resize.disks, change.features), (Vec::new(), Features::new()));
        let shown = vm("").info.to_text().replace("system node (", "system node (\nstate = 'configured' and");
        assert_eq!(of(&shown, &vm("")).unwrap().resize.disks, []);
        assert_eq!(asked("disk.1.size >= 500M").unwrap().resize, Resize::default(), "it has as much");
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_its_name() {
        for (features, said) in [
            ("disk.3.size = 1G", "disk.3: the next data disk of the machine is disk.2"),
            ("disk.1.size = 2G", "disk.1.size: the disk is there and has 1000000000 bytes"),
            ("disk.1.device = 'sdz'", "disk.1.device cannot be changed"),
            ("disk.1.image.url = 'one://cloud/1'", "disk.1.image.url cannot be changed"),
            ("disk.2.fstype = 'ext4'", "disk.2: a new data disk needs a size (disk.2.size)"),
            ("disk.2.size = 'big'", "disk.2.size: a number above 0"),
            ("disk.2.size = 0", "disk.2.size: a number above 0"),
            ("disk.02.size = 1G", "disk.02.size cannot be changed"),
            ("memory.size = 0", "memory.size: a number above 0"),
            ("cpu.count = 'two'", "cpu.count: a number above 0"),
            ("disk.0.size = 10G", "disk.0.size cannot be changed"),
            ("disk.0.os.name = 'windows'", "disk.0.os.name cannot be changed"),
            ("net_interface.1.connection = 'net'", "net_interface.1.connection cannot be changed"),
            ("disks.free_size >= 10G", "disks.free_size cannot be changed"),
        ] {
            let refused = asked(features).unwrap_err();
            assert!(refused.starts_with(said), "{features}: {refused}");
        }
        let network = "network net ( outports = '80' )\nsystem node ()";
        assert!(of(network, &vm("")).unwrap_err().starts_with("outports of network net cannot be changed"));
    }
}
