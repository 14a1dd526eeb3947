//! RADL to the bodies of the compute API, and what it says of servers back: pure functions.

use super::{
    flavor, mark,
    neutron::{FloatingIp, Port},
    nova::{Flavor, Server},
    storage::Volume,
};
use crate::{
    Address, ConnectorError, DiskSource, ErrorClass, Guest, NewDisk, Observation, PowerState, PrivateNetworks,
    ProviderId, VmIntent,
};
use radl::Features;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The login where nobody says another.
pub(super) const DEFAULT_USER: &str = "cloudadm";

/// Longest user data, in base64 (Nova's own limit).
const LONGEST_USER_DATA: usize = 65_535;
const GIGABYTE: u64 = 1_000_000_000;
const GIBIBYTE: u64 = 1 << 30;
/// Longest key and value of metadata (Nova's own limit).
const LONGEST_METADATA: usize = 255;

/// What a machine boots from, or a disk comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Image(String),
    Volume(String),
}

/// The image or volume of a URL of this cloud: `ost://<server>[:port]/[image/|volume/]<id>`.
pub(super) fn source(url: &str, server: &str) -> Option<Source> {
    let rest = url.strip_prefix("ost://")?;
    let (host, path) = rest.split_once('/')?;
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { host }
    });
    if !name.eq_ignore_ascii_case(server) {
        return None;
    }
    let source = match path.split_once('/') {
        Some(("volume", id)) => Source::Volume(id.to_owned()),
        Some(("image", id)) => Source::Image(id.to_owned()),
        Some(_) => return None,
        None => Source::Image(path.to_owned()),
    };
    let (Source::Image(id) | Source::Volume(id)) = &source;
    (!id.is_empty() && !id.contains('/')).then_some(source)
}

pub(super) fn image_url(id: &str, server: &str) -> String {
    format!("ost://{server}/{id}")
}

/// Whole GiB of a disk: as many as the document has GB, where those are whole.
pub(super) fn gibibytes(bytes: u64) -> u64 {
    let whole = if bytes.is_multiple_of(GIGABYTE) { bytes / GIGABYTE } else { bytes.div_ceil(GIBIBYTE) };
    whole.max(1)
}

/// Name of a device of a virtio disk: that of the letter that the document names.
pub(super) fn device(wanted: &str) -> Option<String> {
    let letter = wanted.chars().last().filter(char::is_ascii_lowercase)?;
    Some(format!("vd{letter}"))
}

/// Whether a disk lives and dies with its machine, on its host.
pub(super) fn is_ephemeral(disk: &NewDisk) -> bool {
    disk.source == DiskSource::Empty && disk.disk_type.as_deref() == Some("ephemeral")
}

/// What the order for a server is made of besides the intent.
pub(super) struct Parts<'a> {
    pub flavor: &'a str,
    pub boot: &'a Source,
    /// Ids of ports, in the order of interfaces.
    pub ports: &'a [String],
    /// Volumes that are attached at the first boot, with the disk that each is.
    pub volumes: &'a [(NewDisk, String)],
    /// Whether the cloud takes tags with the order.
    pub tags: bool,
}

/// The order for a server.
///
/// # Errors
/// `Invalid`: user data or tags that the cloud does not take.
pub(super) fn server_order(intent: &VmIntent, parts: &Parts<'_>) -> Result<Value, ConnectorError> {
    let invalid = |text: String| ConnectorError::new(ErrorClass::Invalid, text);
    let mut metadata = BTreeMap::new();
    for (key, value) in &intent.tags {
        if key.is_empty() || key.len() > LONGEST_METADATA || value.len() > LONGEST_METADATA {
            return Err(invalid(format!("Tag '{key}': OpenStack takes keys and values of 255 bytes at most")));
        }
        metadata.insert(key.as_str(), value.as_str());
    }
    metadata.insert(mark::INFRASTRUCTURE, &intent.infrastructure);
    metadata.insert(mark::UID, &intent.uid.0);
    metadata.insert(mark::SYSTEM, &intent.system.name);
    let ports: Vec<_> = parts.ports.iter().map(|port| json!({ "port": port })).collect();
    let mut order = json!({
        "name": mark::server_name(intent),
        "flavorRef": parts.flavor,
        "networks": ports,
        "metadata": metadata,
    });
    if parts.tags {
        order["tags"] = json!(["im", mark::server_tag(&intent.infrastructure)]);
    }
    if let Some(zone) = intent.system.features.text("availability_zone") {
        order["availability_zone"] = zone.into();
    }
    if let Some(text) = intent.user_data.text(&Guest::of(intent, DEFAULT_USER))? {
        let encoded = openssl::base64::encode_block(text.as_bytes());
        if encoded.len() > LONGEST_USER_DATA {
            return Err(invalid("The user data (cloud-init recipe) is longer than OpenStack takes: 48 KiB".to_owned()));
        }
        order["user_data"] = encoded.into();
    }
    let devices = block_devices(intent, parts);
    if let Source::Image(image) = parts.boot
        && !intent.system.features.has("disk.0.size")
    {
        order["imageRef"] = image.as_str().into();
    }
    // A root disk of the flavor's own, and nothing else, needs no map.
    if devices.len() > 1 || order.get("imageRef").is_none() {
        order["block_device_mapping_v2"] = devices.into();
    }
    Ok(order)
}

fn block_devices(intent: &VmIntent, parts: &Parts<'_>) -> Vec<Value> {
    let size = intent.system.features.number("disk.0.size", "").map(|bytes| gibibytes(bytes as u64));
    let root = match (parts.boot, size) {
        (Source::Volume(id), _) => json!({
            "boot_index": 0, "uuid": id, "source_type": "volume", "destination_type": "volume",
            "delete_on_termination": false,
        }),
        (Source::Image(id), None) => json!({
            "boot_index": 0, "uuid": id, "source_type": "image", "destination_type": "local",
            "delete_on_termination": true,
        }),
        (Source::Image(id), Some(size)) => json!({
            "boot_index": 0, "uuid": id, "source_type": "image", "destination_type": "volume",
            "volume_size": size, "delete_on_termination": true,
        }),
    };
    let mut devices = vec![root];
    let named = |mut entry: Value, disk: &NewDisk| {
        if let Some(name) = disk.device.as_deref().and_then(device) {
            entry["device_name"] = name.into();
        }
        entry
    };
    devices.extend(NewDisk::all_of(&intent.system).filter(is_ephemeral).map(|disk| {
        let kind = intent.system.features.text(&format!("disk.{}.fstype", disk.index)).unwrap_or("ext3");
        let entry = json!({
            "boot_index": -1, "source_type": "blank", "destination_type": "local", "guest_format": kind,
            "volume_size": gibibytes(disk.size.unwrap_or_default()), "delete_on_termination": true,
        });
        named(entry, &disk)
    }));
    // Volumes are deleted by their marks, after their server: so nothing of theirs depends on what Nova remembers.
    devices.extend(parts.volumes.iter().map(|(disk, id)| {
        let entry = json!({
            "boot_index": -1, "uuid": id, "source_type": "volume", "destination_type": "volume",
            "delete_on_termination": false,
        });
        named(entry, disk)
    }));
    devices
}

pub(super) fn state(server: &Server) -> PowerState {
    match server.status.as_str() {
        "ACTIVE" | "REBOOT" | "HARD_REBOOT" | "VERIFY_RESIZE" | "RESCUE" | "RESIZE" | "MIGRATING" | "REVERT_RESIZE" => {
            PowerState::Running
        }
        "SHUTOFF" | "SUSPENDED" | "PAUSED" | "SHELVED" | "SHELVED_OFFLOADED" => PowerState::Stopped,
        "DELETED" | "SOFT_DELETED" => PowerState::Off,
        "ERROR" => PowerState::Failed,
        _ => PowerState::Pending,
    }
}

/// What else the cloud says, for all servers at once.
#[derive(Default)]
pub(super) struct Surroundings {
    pub ports: Vec<Port>,
    pub floating: Vec<FloatingIp>,
    pub volumes: Vec<Volume>,
    /// Where servers tell the ids of their flavors alone.
    pub flavors: Vec<Flavor>,
}

pub(super) fn observation(server: &Server, around: &Surroundings, private: &PrivateNetworks) -> Observation {
    let infrastructure = mark::infrastructure(server).map(str::to_owned);
    let uid = server.metadata.get(mark::UID).map(String::as_str).unwrap_or_default();
    let own_mark = infrastructure.as_ref().map(|infrastructure| format!("im:{infrastructure}:{uid}"));
    let is_own = |description: Option<&str>| {
        let (Some(mark), Some(text)) = (&own_mark, description) else { return false };
        text.strip_prefix(mark.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let mut addresses: Vec<Address> = Vec::new();
    let mut add = |ip: std::net::IpAddr, public: Option<bool>, network: Option<&str>| {
        let ip = ip.to_canonical();
        if !addresses.iter().any(|known| known.ip == ip) {
            let public = public.unwrap_or(!private.contains(ip));
            addresses.push(Address { ip, public, network: network.map(str::to_owned) });
        }
    };
    let mut ports: Vec<_> = around.ports.iter().filter(|port| port.device_id == server.id).collect();
    ports.sort_by(|one, other| one.name.cmp(&other.name).then_with(|| one.id.cmp(&other.id)));
    for port in &ports {
        for fixed in &port.fixed_ips {
            add(fixed.ip_address, None, mark::port_network(port));
        }
    }
    let leads_here =
        |floating: &&FloatingIp| floating.port_id.as_ref().is_some_and(|port| ports.iter().any(|own| own.id == *port));
    for floating in around.floating.iter().filter(leads_here) {
        let network = floating.description.as_deref().filter(|text| is_own(Some(text)));
        let network = network.and_then(|text| text.splitn(4, ':').nth(3));
        add(floating.floating_ip_address, Some(true), network);
    }
    for address in server.addresses.values().flatten() {
        if let Ok(ip) = address.addr.parse() {
            add(ip, (address.kind.as_deref() == Some("floating")).then_some(true), None);
        }
    }
    let mut missing = Vec::new();
    let unattached = |floating: &&FloatingIp| floating.port_id.is_none() && is_own(floating.description.as_deref());
    missing.extend(around.floating.iter().filter(unattached).map(|_| "a public address".to_owned()));
    let mut features = Features::new();
    features.set_text("instance_id", &server.id);
    features.set_text("instance_name", &server.name);
    set_size(&mut features, server, &around.flavors);
    for volume in around.volumes.iter().filter(|volume| infrastructure.is_some() && is_volume_of(volume, server)) {
        let Some(index) = volume.metadata.get(mark::DISK) else { continue };
        match volume.attachments.iter().find(|attachment| attachment.server_id == server.id) {
            Some(attachment) => {
                if let Some(device) = attachment.device.as_deref().and_then(|device| device.rsplit('/').next()) {
                    features.set_text(&format!("disk.{index}.device"), device);
                }
            }
            None if server.volumes.iter().any(|attached| attached.id == volume.id) => {}
            None => missing.push(format!("disk {index}")),
        }
    }
    if server.status == "VERIFY_RESIZE" {
        missing.push("the confirmation of its new size".to_owned());
    }
    Observation {
        id: ProviderId(server.id.clone()),
        state: state(server),
        addresses,
        ports: Vec::new(),
        features,
        fault: server.fault.as_ref().filter(|_| server.status == "ERROR").map(|fault| fault.message.clone()),
        infrastructure,
        missing,
    }
}

fn is_volume_of(volume: &Volume, server: &Server) -> bool {
    [mark::INFRASTRUCTURE, mark::UID].iter().all(|key| volume.metadata.get(*key) == server.metadata.get(*key))
}

fn set_size(features: &mut Features, server: &Server, flavors: &[Flavor]) {
    let told = &server.flavor;
    let known = flavors
        .iter()
        .find(|flavor| Some(&flavor.id) == told.id.as_ref() || Some(&flavor.name) == told.original_name.as_ref());
    let own = || {
        let (name, vcpus, ram) = (told.original_name.clone()?, told.vcpus?, told.ram?);
        Some(Flavor { name, vcpus, ram, disk: told.disk.unwrap_or_default(), ..Flavor::default() })
    };
    if let Some(flavor) = known.cloned().or_else(own) {
        flavor::size(&flavor).write(features);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_images_and_volumes_of_the_own_server() {
        let image = |id: &str| Some(Source::Image(id.to_owned()));
        for (url, expected) in [
            ("ost://cloud/1", image("1")),
            ("ost://cloud:5000/1", image("1")),
            ("ost://Cloud/image/1", image("1")),
            ("ost://cloud/volume/2", Some(Source::Volume("2".to_owned()))),
            ("ost://cloud/", None),
            ("ost://cloud/volume/", None),
            ("ost://other/1", None),
            ("ost://cloud/a/b", None),
            ("one://cloud/1", None),
        ] {
            assert_eq!(source(url, "cloud"), expected, "{url}");
        }
    }

    #[test]
    fn disks_are_as_large_as_the_document_says() {
        for (bytes, size) in
            [(1_000_000_000, 1), (20_000_000_000, 20), (16_000_000, 1), (1 << 30, 1), (1_500_000_000, 2)]
        {
            assert_eq!(gibibytes(bytes), size, "{bytes}");
        }
        assert_eq!(device("hdb").as_deref(), Some("vdb"));
        assert_eq!(device("/dev/sdc").as_deref(), Some("vdc"));
        assert_eq!(device("nvme1"), None);
    }
}
