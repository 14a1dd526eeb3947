//! RADL to OpenNebula's templates and back: pure functions.

use super::{
    network::VirtualNetwork,
    state::State,
    template::{Template, attribute},
    xml::Element,
};
use crate::{
    Address, CloudAccount, CloudImage, ConnectorError, DiskSource, ErrorClass, Guest, GuestOs, NewDisk, Observation,
    PrivateNetworks, ProviderId, Quota, VmIntent, VmUid,
    candidate::{self, IMAGE_URL},
    contract::is_named,
    settings::OpenNebulaSettings,
};
use openssl::base64::encode_block;
use radl::{Features, System};
use std::{collections::BTreeMap, net::IpAddr};

/// Attribute of machines and security groups: the infrastructure that they belong to.
pub(super) const INFRASTRUCTURE: &str = "IM_INFRA_ID";
/// Attribute of machines: our id.
const UID: &str = "IM_VM_UID";
/// Attribute of disks: N of `disk.N`.
const DISK: &str = "IM_DISK";
/// Attribute of disks: the size that was asked for, in MB.
const ASKED: &str = "IM_SIZE";
/// Attribute of network interfaces: the network of the document.
const NETWORK: &str = "IM_NETWORK";
/// Attribute of network interfaces that were added to an existing machine.
const ADDED: &str = "IM_ADDED";

const DEFAULT_USER: &str = "root";
const MEGABYTE: u64 = 1_000_000;
/// The longest name of an object.
const LONGEST_NAME: usize = 128;

/// The image of a URL, where it is one of this cloud: `one://<server>[:port]/<id or name>`.
pub(super) fn image<'a>(url: &'a str, server: &str) -> Option<std::borrow::Cow<'a, str>> {
    let (place, image) = url.strip_prefix("one://")?.split_once('/')?;
    let host = match place.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => place,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A volume of the user is an image as any other here.
    let image = image.strip_prefix("volume/").unwrap_or(image);
    (host == server && !image.is_empty()).then(|| decoded(image))
}

/// Text with the escapes of a URL (`%20`) read.
fn decoded(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

pub(super) fn image_url(id: i32, server: &str) -> String {
    format!("one://{server}/{id}")
}

/// One system for each image of this cloud; none where the disk is smaller than what is to be free on it.
pub(super) fn candidates(system: &System, account: &CloudAccount) -> Vec<System> {
    let features = &system.features;
    if let Some(free) = features.number("disks.free_size", "")
        && features.number("disk.0.size", "").is_none_or(|size| size < free)
    {
        return Vec::new();
    }
    let mut systems = candidate::per_image(system, account, |url| image(url, &account.endpoint.server).is_some());
    for system in &mut systems {
        let features = &mut system.features;
        if let Some(cores) = features.number("cpu.count", "") {
            features.set_number("cpu.count", amount(cores), "");
        }
        if let Some(memory) = features.number("memory.size", "M") {
            features.set_number("memory.size", amount(memory.ceil()), "M");
        }
        candidate::set_default_user(features, DEFAULT_USER);
    }
    systems
}

fn amount(number: f64) -> radl::Amount {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}

/// An image by its number, or the one of a name among those that the account may use.
///
/// # Errors
/// `Invalid`: the URL is of another cloud. `NotFound`: no image has the name.
pub(super) fn image_id(url: &str, server: &str, owner: &str, images: &[Element]) -> Result<i32, ConnectorError> {
    let refused = |class, what: &str| ConnectorError::new(class, format!("{url} {what}"));
    let name = image(url, server).ok_or_else(|| refused(ErrorClass::Invalid, "is no image of this cloud"))?;
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let is_meant = |image: &&Element| {
        image.text("NAME") == Some(&*name) && (owner.is_empty() || image.text("UNAME") == Some(owner))
    };
    let found = images.iter().find(is_meant).and_then(|image| image.number("ID"));
    found.ok_or_else(|| refused(ErrorClass::NotFound, "is no image that this account may use"))
}

/// The URLs of the images that a machine is made of.
pub(super) fn image_urls(intent: &VmIntent) -> Vec<String> {
    let system = &intent.system;
    let data = NewDisk::all_of(system).filter_map(|disk| disk.source.url().map(str::to_owned));
    system.features.text(IMAGE_URL).map(str::to_owned).into_iter().chain(data).collect()
}

/// A network interface that a machine is to have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nic {
    /// The network of the document.
    pub network: String,
    pub vnet: i32,
    pub group: Option<i32>,
    pub ip: Option<String>,
    pub public: bool,
}

impl Nic {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("NETWORK_ID", self.vnet.to_string()), (NETWORK, self.network.clone())];
        if let Some(ip) = &self.ip {
            let version = if ip.contains(':') { "IP6" } else { "IP" };
            pairs.push((version, ip.clone()));
        }
        if let Some(group) = self.group {
            pairs.push(("SECURITY_GROUPS", group.to_string()));
        }
        pairs
    }

    /// What is attached to a machine that exists.
    pub fn addition(&self) -> Template {
        let mut template = Template::default();
        let added = (ADDED, "YES".to_owned());
        template.vector("NIC", &self.pairs().into_iter().chain([added]).collect::<Vec<_>>());
        template
    }
}

/// The template of a machine. `images` has the number of each image by its URL.
///
/// # Errors
/// `Invalid`: what the system asks for cannot be said to OpenNebula.
pub(super) fn machine(
    intent: &VmIntent,
    nics: &[Nic],
    images: &BTreeMap<String, i32>,
    settings: &OpenNebulaSettings,
) -> Result<Template, ConnectorError> {
    let features = &intent.system.features;
    let invalid = |text: &str| ConnectorError::new(ErrorClass::Invalid, text);
    let mut template = Template::default();
    template.set("NAME", &object_name(&intent.system.instance_name()));
    let cores = features.number("cpu.count", "").unwrap_or(1.0);
    let memory = features.number("memory.size", "M").unwrap_or(512.0);
    capacity(&mut template, Some(cores), Some(memory))?;
    let arch = features.text("cpu.arch").unwrap_or("x86_64");
    template.vector("OS", &[("ARCH", arch.to_owned())]);

    let url = features.text(IMAGE_URL).ok_or_else(|| invalid("disk.0.image.url: the machine has no image"))?;
    let id = images.get(url).ok_or_else(|| invalid("disk.0.image.url is no image of this cloud"))?;
    let mut boot = vec![("IMAGE_ID", id.to_string()), (DISK, "0".to_owned())];
    if let Some(size) = features.number("disk.0.size", "M") {
        boot.push(("SIZE", whole(size)));
    }
    template.vector("DISK", &boot);
    for data in NewDisk::all_of(&intent.system) {
        let id = data.source.url().and_then(|url| images.get(url)).copied();
        template.vector("DISK", &disk(&data, id)?);
    }
    if let Some(cluster) = features.text("availability_zone") {
        template.set("SCHED_REQUIREMENTS", &format!("CLUSTER_ID=\"{}\"", cluster.replace(['"', '\\'], "")));
    }
    for _ in 0..features.integer("gpu.count", "").unwrap_or(0) {
        template.vector("PCI", &gpu(features)?);
    }
    let mut ordered: Vec<_> = nics.iter().collect();
    ordered.sort_by_key(|nic| !nic.public);
    for nic in ordered {
        template.vector("NIC", &nic.pairs());
    }
    template.vector_with("CONTEXT", &context(intent)?, &settings.template_context);
    let tags: Vec<_> = intent.tags.iter().map(|(key, value)| (attribute(key), value.clone())).collect();
    let tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    template.vector("USER_TEMPLATE", &tags);
    template.set(INFRASTRUCTURE, &intent.infrastructure);
    template.set(UID, &intent.uid.0);
    template.lines(&settings.template_other);
    Ok(template)
}

/// Cores and memory, for a new machine and for a resized one.
///
/// # Errors
/// `Invalid`: they are no amounts that a machine can have.
pub(super) fn capacity(
    template: &mut Template,
    cores: Option<f64>,
    megabytes: Option<f64>,
) -> Result<(), ConnectorError> {
    let refused = |property: &str| {
        ConnectorError::new(ErrorClass::Invalid, format!("{property} must be more than 0 in OpenNebula"))
    };
    if let Some(cores) = cores {
        if cores.is_nan() || cores <= 0.0 {
            return Err(refused("cpu.count"));
        }
        template.set("CPU", &cores.to_string());
        template.set("VCPU", &whole(cores));
    }
    if let Some(megabytes) = megabytes {
        if megabytes.is_nan() || megabytes <= 0.0 {
            return Err(refused("memory.size"));
        }
        template.set("MEMORY", &whole(megabytes));
    }
    Ok(())
}

fn whole(number: f64) -> String {
    format!("{:.0}", number.ceil())
}

/// A data disk; `image` is the number of what is on it.
///
/// # Errors
/// `Invalid`: it has neither a size nor a source.
pub(super) fn disk(disk: &NewDisk, image: Option<i32>) -> Result<Vec<(&'static str, String)>, ConnectorError> {
    let size = disk.size.map(|bytes| bytes.div_ceil(MEGABYTE));
    let mut pairs = match (image, size) {
        (Some(image), _) => vec![("IMAGE_ID", image.to_string())],
        (None, Some(size)) if size > 0 && disk.source == DiskSource::Empty => {
            let kind = disk.disk_type.clone().unwrap_or_else(|| "fs".to_owned());
            vec![("TYPE", kind), ("FORMAT", "qcow2".to_owned()), ("SAVE", "no".to_owned())]
        }
        _ => {
            let text = format!("disk.{}.size must be more than 0", disk.index);
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
    };
    if let Some(size) = size {
        pairs.extend([("SIZE", size.to_string()), (ASKED, size.to_string())]);
    }
    if let Some(device) = &disk.device {
        pairs.push(("TARGET", device.strip_prefix("/dev/").unwrap_or(device).to_owned()));
    }
    pairs.push((DISK, disk.index.to_string()));
    Ok(pairs)
}

/// The disk of a machine that a document calls `disk.<index>`; imported machines have no marks, and count their disks.
pub(super) fn disk_of(vm: &Element, index: usize) -> Option<&Element> {
    let disks = vm.all("TEMPLATE/DISK");
    let marked = disks.iter().find(|disk| disk.number(DISK) == Some(index)).copied();
    marked.or_else(|| {
        disks.iter().find(|disk| disk.text(DISK).is_none() && disk.number("DISK_ID") == Some(index)).copied()
    })
}

/// Whether a disk that is there is the one that is asked for.
pub(super) fn is_same_disk(there: &Element, asked: &NewDisk, image: Option<i32>) -> bool {
    let size = asked.size.map(|bytes| bytes.div_ceil(MEGABYTE));
    let is_of_size = size.is_none_or(|size| there.number(ASKED).or_else(|| there.number("SIZE")) == Some(size));
    there.number("IMAGE_ID") == image && is_of_size
}

/// The device that passes an accelerator through.
fn gpu(features: &Features) -> Result<Vec<(&'static str, String)>, ConnectorError> {
    // Class 0302: 3D controller, of the PCI code and id assignment.
    let mut pairs = vec![("CLASS", "0302".to_owned())];
    if let Some(vendor) = features.text("gpu.vendor") {
        let id = match vendor.to_ascii_lowercase().as_str() {
            "nvidia" => "10de",
            "amd" => "1002",
            "intel" => "8086",
            _ => {
                let text = format!("gpu.vendor: OpenNebula needs NVIDIA, AMD or Intel, not '{vendor}'");
                return Err(ConnectorError::new(ErrorClass::Invalid, text));
            }
        };
        pairs.push(("VENDOR", id.to_owned()));
    }
    Ok(pairs)
}

/// What the machine is told at its first boot.
fn context(intent: &VmIntent) -> Result<Vec<(&'static str, String)>, ConnectorError> {
    let mut pairs = vec![("NETWORK", "YES".to_owned()), ("SET_HOSTNAME", intent.fqdn.clone())];
    let login = intent.login();
    if let Some(user) = login.username.filter(|user| user != DEFAULT_USER && intent.guest_os() == GuestOs::Linux) {
        pairs.push(("USERNAME", user));
    }
    match (login.password, login.public_key) {
        // In base64, so that no `$` of it is taken for a variable.
        (Some(password), None) => pairs.push(("PASSWORD_BASE64", encode_block(password.as_bytes()))),
        (_, Some(key)) => pairs.push(("SSH_PUBLIC_KEY", key.trim().to_owned())),
        (None, None) => {}
    }
    if let Some(text) = intent.user_data.text(&Guest::of(intent, DEFAULT_USER))? {
        pairs.push(("USERDATA_ENCODING", "base64".to_owned()));
        pairs.push(("USERDATA", encode_block(text.as_bytes())));
    }
    Ok(pairs)
}

/// A name of an object: what any version takes, and not empty.
fn object_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let name: String = text.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "im-userimage".to_owned() } else { name.to_owned() }
}

/// The name of an image of ours: its end finds it again.
pub(super) fn image_name(name: &str, uid: &str) -> String {
    let end = image_name_end(uid);
    let plain = |c: char| if c.is_alphanumeric() || " -._".contains(c) { c } else { '-' };
    let mut base = String::new();
    for c in name.trim().chars().map(plain) {
        if base.len() + c.len_utf8() + end.len() > LONGEST_NAME {
            break;
        }
        base.push(c);
    }
    format!("{base}{end}")
}

/// The end of the name of an image of ours.
pub(super) fn image_name_end(uid: &str) -> String {
    format!("-im-{uid}")
}

/// Our id of a machine, where it is of this infrastructure.
pub(super) fn uid_in(vm: &Element, infrastructure: &str) -> Option<VmUid> {
    let uid = vm.text(&format!("USER_TEMPLATE/{UID}"))?;
    (infrastructure_of(vm) == Some(infrastructure)).then(|| VmUid(uid.to_owned()))
}

/// The infrastructure that a machine carries the mark of.
pub(super) fn infrastructure_of(vm: &Element) -> Option<&str> {
    vm.text(&format!("USER_TEMPLATE/{INFRASTRUCTURE}"))
}

/// The interfaces that were added to a machine.
pub(super) fn added_nics(vm: &Element) -> Vec<&Element> {
    vm.all("TEMPLATE/NIC").into_iter().filter(|nic| nic.text(ADDED).is_some()).collect()
}

pub(super) fn observation(vm: &Element, private: &PrivateNetworks) -> Option<Observation> {
    let id = vm.text("ID")?;
    let state = State::of(vm);
    let mut features = Features::new();
    features.set_text("instance_id", id);
    if let Some(name) = vm.text("NAME") {
        features.set_text("instance_name", name);
    }
    if let Some(time) = vm.number::<i64>("STIME") {
        features.set_number("launch_time", time, "");
    }
    if let Some(cores) = vm.number::<f64>("TEMPLATE/CPU") {
        features.set_number("cpu.count", amount(cores), "");
    }
    if let Some(memory) = vm.number::<i64>("TEMPLATE/MEMORY") {
        features.set_number("memory.size", memory, "M");
    }
    for disk in vm.all("TEMPLATE/DISK") {
        let Some(index) = disk.number::<usize>(DISK).or_else(|| disk.number("DISK_ID")) else { continue };
        if let Some(size) = disk.number::<i64>("SIZE") {
            features.set_number(&format!("disk.{index}.size"), size, "M");
        }
        if let Some(device) = disk.text("TARGET") {
            features.set_text(&format!("disk.{index}.device"), device);
        }
    }
    let mut addresses = Vec::new();
    for nic in vm.all("TEMPLATE/NIC") {
        let ips = ["IP", "IP6_GLOBAL", "IP6", "IP6_ULA"].into_iter().filter_map(|key| nic.text(key)?.parse().ok());
        let known =
            |ip: IpAddr| Address { ip, public: !private.contains(ip), network: nic.text(NETWORK).map(str::to_owned) };
        for address in ips.map(known) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    let fault = vm.text("USER_TEMPLATE/ERROR").filter(|_| state.has_failed()).map(str::to_owned);
    Some(Observation {
        id: ProviderId(id.to_owned()),
        state: state.power(),
        addresses,
        features,
        fault,
        infrastructure: infrastructure_of(vm).map(str::to_owned),
        missing: Vec::new(),
        ports: Default::default(),
    })
}

/// Images of systems that can be used now (READY, USED, USED_PERS), by the filters of the caller.
pub(super) fn images(images: &[Element], server: &str, filters: &BTreeMap<String, String>) -> Vec<CloudImage> {
    let is_system = |image: &&Element| {
        image.number("TYPE").unwrap_or(0) == 0 && matches!(image.number("STATE").unwrap_or(-1), 1 | 2 | 8)
    };
    let found = images.iter().filter(is_system).filter_map(|image| {
        let name = image.text("NAME")?;
        let uri = image_url(image.number("ID")?, server);
        is_named(name, filters).then(|| CloudImage { uri, name: name.to_owned() })
    });
    found.collect()
}

/// Limits of the account; memory in GB.
pub(super) fn quotas(user: &Element, networks: &[VirtualNetwork]) -> BTreeMap<String, Quota> {
    let quota = |limit: Option<f64>, used: Option<f64>, unit: f64| {
        // -1: the default of the cloud, which the caller may not see; -2: none.
        let limit = limit.filter(|limit| *limit >= 0.0).map_or(-1.0, |limit| limit / unit);
        Quota { used: used.unwrap_or(0.0).max(0.0) / unit, limit }
    };
    let of_vms = |limit: &str, unit: f64| {
        let number = |name: &str| user.number(&format!("VM_QUOTA/VM/{name}"));
        quota(number(limit), number(&format!("{limit}_USED")), unit)
    };
    let leases = user.all("NETWORK_QUOTA/NETWORK");
    let is_public = |lease: &&&Element| {
        networks.iter().any(|vnet| Some(vnet.id) == lease.number("ID") && vnet.public == Some(true))
    };
    let public: Vec<_> = leases
        .iter()
        .filter(is_public)
        .map(|lease| quota(lease.number("LEASES"), lease.number("LEASES_USED"), 1.0))
        .collect();
    let is_unlimited = public.is_empty() || public.iter().any(|quota| quota.limit < 0.0);
    let addresses = Quota {
        used: public.iter().map(|quota| quota.used).sum(),
        limit: if is_unlimited { -1.0 } else { public.iter().map(|quota| quota.limit).sum() },
    };
    [
        ("cores", of_vms("CPU", 1.0)),
        ("ram", of_vms("MEMORY", 1024.0)),
        ("instances", of_vms("VMS", 1.0)),
        ("floating_ips", addresses),
        ("security_groups", Quota { used: 0.0, limit: -1.0 }),
    ]
    .map(|(name, quota)| (name.to_owned(), quota))
    .into()
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
