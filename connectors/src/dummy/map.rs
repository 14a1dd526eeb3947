//! RADL to the simulated cloud and back.

use super::faults::Faults;
use super::inventory::{Machine, Pool, Resource, ResourceKind, Sizes};
use super::request::Held;
use crate::{
    Address, Candidate, CloudAccount, CloudImage, ConnectorError, DiskSource, ErrorClass, FirstLogin, Guest,
    ImageIntent, InfrastructureIntent, InfrastructureMark, Location, NewDisk, Observation, PowerState, ProviderId,
    PublicAddress, Quota, Resize, VmIntent, VmMark, VmUid,
    candidate::{self, IMAGE_URL},
};
use radl::{Features, Network, System};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The address of every machine.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The zone that a machine is wanted in.
const ZONE: &str = "availability_zone";

/// Where images live.
const IMAGES: &str = "mock0://linux.for.ev.er/";

/// Where volumes of users live.
const VOLUMES: &str = "mock0://linux.for.ev.er/volume/";

/// One concrete system per image URL and zone; a system without any URL comes back as it is.
pub(super) fn candidates(system: &System, account: &CloudAccount, zones: &[String]) -> Vec<Candidate> {
    let systems = concrete_systems(system, account);
    if zones.is_empty() {
        return systems.into_iter().map(Candidate::from).collect();
    }
    let wanted = system.features.text(ZONE);
    let zones = zones.iter().filter(|zone| wanted.is_none_or(|wanted| wanted == *zone));
    let in_zone = |zone: &String| {
        let mut systems = systems.clone();
        systems.iter_mut().for_each(|system| system.features.set_text(ZONE, zone));
        let location = Location { zone: Some(zone.clone()), ..Location::default() };
        systems.into_iter().map(move |system| Candidate { system, location: location.clone() })
    };
    zones.flat_map(in_zone).collect()
}

fn concrete_systems(system: &System, account: &CloudAccount) -> Vec<System> {
    if !system.features.has(IMAGE_URL) {
        return vec![system.clone()];
    }
    let mut systems = candidate::per_image(system, account, |_| true);
    systems.iter_mut().for_each(|system| candidate::set_default_user(&mut system.features, "username"));
    systems
}

/// What the machines of an infrastructure share: their networks, each with a security group when it has `outports`.
pub(super) fn shared(intent: &InfrastructureIntent) -> Vec<Resource> {
    let mut resources = Vec::new();
    for network in &intent.networks {
        let of_kind = |kind| Resource::new(kind, network.id.clone(), intent.mark(), None);
        resources.push(of_kind(ResourceKind::Network));
        if network.features.has("outports") {
            resources.push(of_kind(ResourceKind::SecurityGroup));
        }
    }
    resources
}

/// What a machine needs before it is made, in the order in which it is made: its key pair and its volumes, but for those
/// that exist.
pub(super) fn belongings(intent: &VmIntent) -> Vec<Resource> {
    let mark = intent.mark();
    let key = intent.login().public_key.map(|_| belonging(&mark, ResourceKind::KeyPair, "key".to_owned()));
    let volumes = NewDisk::all_of(&intent.system).filter(|disk| !is_existing(disk)).map(|disk| volume(&mark, &disk));
    key.into_iter().chain(volumes).collect()
}

/// The data disks of a machine that are volumes of the user.
pub(super) fn existing_volumes(disks: impl Iterator<Item = NewDisk>) -> impl Iterator<Item = ProviderId> {
    disks.filter_map(|disk| match disk.source {
        // Any image is accepted, also one of another cloud.
        DiskSource::Volume(url) => url.strip_prefix(VOLUMES).map(|id| ProviderId(id.to_owned())),
        DiskSource::Empty | DiskSource::Image(_) => None,
    })
}

fn is_existing(disk: &NewDisk) -> bool {
    matches!(disk.source, DiskSource::Volume(_))
}

/// The pools that a machine is to have a public address of: those that its public networks name.
pub(super) fn pools(intent: &VmIntent) -> Vec<Pool> {
    let connected = |network: &&Network| intent.system.interfaces().any(|interface| interface.connection == network.id);
    let public = intent.networks.iter().filter(connected).filter(|network| network.is_public());
    let pool = |name: &str| Pool { name: name.to_owned(), network: None };
    public.filter_map(|network| network.features.text("provider_id").map(pool)).collect()
}

/// The public addresses that a machine is to have by its marks.
pub(super) fn addresses(mark: &VmMark, machine: &Machine) -> Vec<Resource> {
    machine.pools.iter().map(|pool| belonging(mark, ResourceKind::Address, pool.name.clone())).collect()
}

/// A data disk of a machine that is to be made.
pub(super) fn volume(mark: &VmMark, disk: &NewDisk) -> Resource {
    Resource {
        size: disk.size,
        source: disk.source.clone(),
        disk_type: disk.disk_type.clone(),
        ..belonging(mark, ResourceKind::Volume, format!("disk.{}", disk.index))
    }
}

/// The volumes to make for new disks, unless the machine has others of their numbers.
pub(super) fn new_volumes(held: &Held, mark: &VmMark, disks: &[NewDisk]) -> Result<Vec<Resource>, ConnectorError> {
    let new = disks.iter().filter(|disk| !is_existing(disk)).map(|disk| volume(mark, disk));
    new.map(|wanted| unless_other(held, wanted)).collect()
}

/// The wanted volume, unless the machine has another one of its number.
fn unless_other(held: &Held, wanted: Resource) -> Result<Resource, ConnectorError> {
    let refuse = |property: &str, is: String| {
        let text = format!("{}.{property}: the disk is there and has {is}, which cannot be changed", wanted.name);
        Err(ConnectorError::new(ErrorClass::Invalid, text))
    };
    match held.resources.iter().find(|made| made.is_same(&wanted)) {
        Some(made) if made.size != wanted.size => {
            refuse("size", made.size.map_or("the size of its image".to_owned(), |size| format!("{size} bytes")))
        }
        Some(made) if made.source != wanted.source => {
            refuse("image.url", made.source.url().map_or("no image".to_owned(), |url| format!("the image {url}")))
        }
        Some(made) if made.disk_type != wanted.disk_type => {
            refuse("type", made.disk_type.as_ref().map_or("none".to_owned(), |name| format!("the type {name}")))
        }
        _ => Ok(wanted),
    }
}

/// The image that an intent asks for.
pub(super) fn image(intent: &ImageIntent) -> Resource {
    let ImageIntent { infrastructure, location, uid, name, .. } = intent.clone();
    let mark = InfrastructureMark { infrastructure, location };
    Resource::new(ResourceKind::Image, name, mark, Some(VmUid(uid.0)))
}

fn belonging(mark: &VmMark, kind: ResourceKind, name: String) -> Resource {
    let (infrastructure, location) = (mark.infrastructure.clone(), mark.location.clone());
    Resource::new(kind, name, InfrastructureMark { infrastructure, location }, Some(mark.uid.clone()))
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
        location: intent.location.clone(),
        uid: intent.uid.clone(),
        number: intent.number,
        fqdn: intent.fqdn.clone(),
        network,
        public,
        tags: intent.tags.clone(),
        user_data: intent.user_data.text(&Guest::of(intent, "username"))?,
        public_key: intent.login().public_key,
        pools: pools(intent),
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
        location: Location::default(),
        uid: VmUid(id.0.clone()),
        number: 0,
        fqdn: String::new(),
        network: None,
        public: false,
        tags: Vec::new(),
        user_data: None,
        public_key: None,
        pools: Vec::new(),
        created: now,
        power: Some(PowerState::Running),
        sizes: Sizes::default(),
    }
}

/// What the cloud says of a machine at `now` (milliseconds since 1970); `held` are public addresses, of this machine and
/// others.
pub(super) fn observation(machine: &Machine, held: &[Resource], faults: &Faults, now: u64) -> Observation {
    let age = Duration::from_millis(now.saturating_sub(machine.created));
    let state = machine.power.unwrap_or_else(|| faults.states.at(age));
    let mut features = Features::new();
    features.set_text("provider.type", "Dummy");
    features.set_text("net_interface.0.ip", &ADDRESS.to_string());
    // Where the daemon makes the login there is none besides it.
    if faults.first_login == FirstLogin::Image {
        features.set_text("disk.0.os.credentials.username", "username");
        features.set_text("disk.0.os.credentials.password", "password");
    }
    set_sizes(&mut features, &machine.sizes);
    let address_of = |pool: &Pool| {
        let is_it = |made: &&Resource| made.machine.as_ref() == Some(&machine.id) && made.name == pool.name;
        held.iter().find(is_it)
    };
    // Given together with its network, so that it stays on interface 0 although it looks private.
    let mut addresses = vec![Address { ip: ADDRESS, public: machine.public, network: machine.network.clone() }];
    addresses.extend(machine.pools.iter().filter_map(|pool| {
        let (network, made) = (pool.network.clone()?, address_of(pool)?);
        Some(Address { ip: public_ip(&made.id), public: true, network: Some(network) })
    }));
    let missing = machine.pools.iter().filter(|pool| address_of(pool).is_none());
    Observation {
        ports: Vec::new(),
        id: machine.id.clone(),
        state,
        addresses,
        features,
        fault: (state == PowerState::Failed).then(|| "Simulated failure of the machine".to_owned()),
        infrastructure: machine.owner().map(str::to_owned),
        missing: missing.map(|pool| format!("a public address of the pool {}", pool.name)).collect(),
    }
}

/// A public address, by its id: one of TEST-NET-3 (RFC 5737).
fn public_ip(id: &ProviderId) -> IpAddr {
    let number = id.0.parse::<u64>().unwrap_or_default() % 254 + 1;
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(number).unwrap_or(1)))
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

/// Takes over the sizes that are given, and which public addresses it is to have.
pub(super) fn resize(machine: &mut Machine, resize: &Resize) {
    let sizes = &mut machine.sizes;
    sizes.cpu_count = resize.cpu_count.or(sizes.cpu_count);
    sizes.memory = resize.memory.or(sizes.memory);
    sizes.gpu_count = resize.gpu_count.or(sizes.gpu_count);
    sizes.instance_type = resize.instance_type.clone().or(sizes.instance_type.take());
    sizes.disks.extend(resize.disks.iter().filter_map(|disk| Some((disk.index, disk.size?))));
    match &resize.public_address {
        Some(PublicAddress::Add { network, pool }) => {
            let name = pool.clone().unwrap_or_else(|| network.clone());
            if !machine.pools.iter().any(|known| known.name == name) {
                machine.pools.push(Pool { name, network: Some(network.clone()) });
            }
        }
        Some(PublicAddress::Remove) => machine.pools.clear(),
        None => {}
    }
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
