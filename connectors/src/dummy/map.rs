//! RADL to the simulated cloud and back.

use super::faults::Schedule;
use super::inventory::{Kind, Machine, Resource, Sizes};
use super::request::Held;
use crate::{
    Address, CloudAccount, CloudImage, ConnectorError, ErrorClass, Guest, ImageIntent, InfrastructureIntent,
    Observation, PowerState, ProviderId, Quota, Resize, VmIntent, VmMark, VmUid,
};
use radl::{Features, Network, System, Value};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The address of every machine.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Where images live.
const IMAGES: &str = "mock0://linux.for.ev.er/";

/// One concrete system per image URL; a system without any comes back as it is.
pub(super) fn candidates(system: &System, account: &CloudAccount) -> Vec<System> {
    let urls = match system.features.get("disk.0.image.url") {
        Some(Value::Text { text, .. }) => std::slice::from_ref(text),
        Some(Value::List { items, .. }) => items,
        _ => return vec![system.clone()],
    };
    urls.iter().map(|url| concrete(system, url, account)).collect()
}

fn concrete(system: &System, url: &str, account: &CloudAccount) -> System {
    let mut system = system.clone();
    let features = &mut system.features;
    features.set_text("disk.0.image.url", url);
    features.set_text("provider.type", &account.kind);
    if !account.endpoint.server.is_empty() {
        features.set_text("provider.host", &account.endpoint.server);
    }
    if let Some(port) = account.endpoint.port {
        features.set_number("provider.port", i64::from(port), "");
    }
    if !features.has("disk.0.os.credentials.username") {
        features.set_text("disk.0.os.credentials.username", "username");
    }
    system
}

/// What the machines of an infrastructure share: their networks, each with a security group when it has `outports`.
pub(super) fn shared(intent: &InfrastructureIntent) -> Vec<Resource> {
    let mut resources = Vec::new();
    for network in &intent.networks {
        let of_kind = |kind| Resource {
            id: unknown(),
            kind,
            name: network.id.clone(),
            infrastructure: intent.infrastructure.clone(),
            uid: None,
            size: None,
            machine: None,
        };
        resources.push(of_kind(Kind::Network));
        if network.features.has("outports") {
            resources.push(of_kind(Kind::SecurityGroup));
        }
    }
    resources
}

/// What a machine needs before it is made, in the order in which it is made: its key pair, its volumes, and an address
/// from each pool that a public network of it names.
pub(super) fn belongings(intent: &VmIntent) -> Vec<Resource> {
    let (mark, features) = (intent.mark(), &intent.system.features);
    let mut resources = Vec::new();
    if features.has("disk.0.os.credentials.public_key") {
        resources.push(belonging(&mark, Kind::KeyPair, "key".to_owned(), None));
    }
    let sizes = (1..).map_while(|disk| Some((disk, features.integer(&format!("disk.{disk}.size"), "")?)));
    resources.extend(sizes.map(|(disk, size)| volume(&mark, disk, Some(u64::try_from(size).unwrap_or(0)))));
    let connected = |network: &&Network| intent.system.interfaces().any(|interface| interface.connection == network.id);
    let pools = intent.networks.iter().filter(connected).filter(|network| network.is_public());
    let pools = pools.filter_map(|network| network.features.text("provider_id"));
    resources.extend(pools.map(|pool| belonging(&mark, Kind::Address, pool.to_owned(), None)));
    resources
}

/// Data disk number `disk` of a machine.
pub(super) fn volume(mark: &VmMark, disk: usize, size: Option<u64>) -> Resource {
    belonging(mark, Kind::Volume, format!("disk.{disk}"), size)
}

/// The wanted volume, unless the machine has another one of its number.
pub(super) fn unless_other(held: &Held, wanted: Resource) -> Result<Resource, ConnectorError> {
    match held.resources.iter().find(|made| made.is_same(&wanted)) {
        Some(made) if made.size != wanted.size => {
            let size = made.size.map_or("the size of its image".to_owned(), |size| format!("{size} bytes"));
            let text = format!("{}.size: the disk is there and has {size}, which cannot be changed", wanted.name);
            Err(ConnectorError::new(ErrorClass::Invalid, text))
        }
        _ => Ok(wanted),
    }
}

/// The image that an intent asks for.
pub(super) fn image(intent: &ImageIntent) -> Resource {
    let ImageIntent { infrastructure, uid, name, .. } = intent.clone();
    let uid = Some(VmUid(uid.0));
    Resource { id: unknown(), kind: Kind::Image, name, infrastructure, uid, size: None, machine: None }
}

fn belonging(mark: &VmMark, kind: Kind, name: String, size: Option<u64>) -> Resource {
    let (infrastructure, uid) = (mark.infrastructure.clone(), Some(mark.uid.clone()));
    Resource { id: unknown(), kind, name, infrastructure, uid, size, machine: None }
}

/// The id of what is still to be made.
fn unknown() -> ProviderId {
    ProviderId(String::new())
}

/// The machine that an intent asks for.
pub(super) fn machine(intent: &VmIntent) -> Result<Machine, ConnectorError> {
    let network = intent.system.interfaces().next().map(|interface| interface.connection.to_owned());
    let public = intent.networks.iter().any(|n| Some(&n.id) == network.as_ref() && n.is_public());
    Ok(Machine {
        id: unknown(),
        infrastructure: intent.infrastructure.clone(),
        uid: intent.uid.clone(),
        number: intent.number,
        fqdn: intent.fqdn.clone(),
        network,
        public,
        tags: intent.tags.clone(),
        user_data: intent.user_data.text(&Guest::of(intent, "username"))?,
        created: 0,
        power: None,
        sizes: Sizes::default(),
    })
}

/// A machine that was made elsewhere: nothing is known of it but that it runs.
pub(super) fn adopted(id: &ProviderId, now: u64) -> Machine {
    Machine {
        id: id.clone(),
        infrastructure: String::new(),
        uid: VmUid(id.0.clone()),
        number: 0,
        fqdn: String::new(),
        network: None,
        public: false,
        tags: Vec::new(),
        user_data: None,
        created: now,
        power: Some(PowerState::Running),
        sizes: Sizes::default(),
    }
}

/// What the cloud says of a machine at `now` (milliseconds since 1970).
pub(super) fn observation(machine: &Machine, states: &Schedule, now: u64) -> Observation {
    let age = Duration::from_millis(now.saturating_sub(machine.created));
    let state = machine.power.unwrap_or_else(|| states.at(age));
    let mut features = Features::new();
    features.set_text("provider.type", "Dummy");
    features.set_text("net_interface.0.ip", &ADDRESS.to_string());
    features.set_text("disk.0.os.credentials.username", "username");
    features.set_text("disk.0.os.credentials.password", "password");
    set_sizes(&mut features, &machine.sizes);
    Observation {
        id: machine.id.clone(),
        state,
        // Given together with its network, so that it stays on interface 0 although it looks private.
        addresses: vec![Address { ip: ADDRESS, public: machine.public, network: machine.network.clone() }],
        features,
        fault: (state == PowerState::Failed).then(|| "Simulated failure of the machine".to_owned()),
        infrastructure: machine.owner().map(str::to_owned),
    }
}

fn set_sizes(features: &mut Features, sizes: &Sizes) {
    if let Some(cores) = sizes.cpu_count {
        features.set_number("cpu.count", amount(cores), "");
    }
    if let Some(bytes) = sizes.memory {
        set_bytes(features, "memory.size", bytes, "M", 1_000_000);
    }
    if let Some(accelerators) = sizes.gpu_count {
        features.set_number("gpu.count", amount(accelerators), "");
    }
    if let Some(name) = &sizes.instance_type {
        features.set_text("instance_type", name);
    }
    for (disk, bytes) in &sizes.disks {
        set_bytes(features, &format!("disk.{disk}.size"), *bytes, "G", 1_000_000_000);
    }
}

/// A number of bytes in the usual unit when it is a whole number of these.
fn set_bytes(features: &mut Features, name: &str, bytes: u64, unit: &str, factor: u64) {
    let (amount, unit) = if bytes.is_multiple_of(factor) { (bytes / factor, unit) } else { (bytes, "") };
    features.set_number(name, i64::try_from(amount).unwrap_or(i64::MAX), unit);
}

/// Whole numbers are written without a dot.
fn amount(number: f64) -> radl::Amount {
    if number.fract() == 0.0 { (number as i64).into() } else { number.into() }
}

/// Takes over the sizes that are given.
pub(super) fn resize(machine: &mut Machine, resize: &Resize) {
    let sizes = &mut machine.sizes;
    sizes.cpu_count = resize.cpu_count.or(sizes.cpu_count);
    sizes.memory = resize.memory.or(sizes.memory);
    sizes.gpu_count = resize.gpu_count.or(sizes.gpu_count);
    sizes.instance_type = resize.instance_type.clone().or(sizes.instance_type.take());
    sizes.disks.extend(resize.disks.iter().filter_map(|disk| Some((disk.index, disk.size?))));
}

/// URL of an image made from a machine.
pub(super) fn snapshot_url(name: &str) -> String {
    format!("{IMAGES}{name}")
}

/// The name of the image behind such a URL.
pub(super) fn snapshot_name(url: &str) -> &str {
    url.strip_prefix(IMAGES).unwrap_or(url)
}

/// The images of every account.
pub(super) fn images() -> Vec<CloudImage> {
    let image = |n: u8| CloudImage { uri: format!("{IMAGES}image{n}"), name: format!("Image Name{n}") };
    vec![image(1), image(2)]
}

/// The limits of an account: those that clients know, and the simulated one when there is one.
pub(super) fn quotas(machines: usize, quota: Option<usize>) -> BTreeMap<String, Quota> {
    let names = ["cores", "ram", "instances", "floating_ips", "security_groups"];
    let mut quotas: BTreeMap<_, _> =
        names.into_iter().map(|name| (name.to_owned(), Quota { used: 1.0, limit: 10.0 })).collect();
    if let Some(limit) = quota {
        quotas.insert("instances".to_owned(), Quota { used: machines as f64, limit: limit as f64 });
    }
    quotas
}
